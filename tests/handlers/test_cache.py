"""What the conversations cannot show: what becomes of a request that goes on after its client has left."""

import asyncio
import gc
from typing import Any

import pytest

from tests.support.memory_requests import Pieces, make_request
from thrust.cache.fingerprint import recogniser
from thrust.cache.serving import Serving
from thrust.cache.store import Store
from thrust.cache.visit import Rules
from thrust.errors import UpstreamError
from thrust.handlers.cache import Cache
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Request, Response


class Worker:
    """Answers when the test says so; `asked` are the requests that have reached it."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answers: list[asyncio.Future[Response]] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


class Scene:
    """Two clients that ask for the same; the first, who leads, has left."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.errors: list[dict[str, Any]] = []
        self.worker = Worker()
        store = Store(1 << 20)
        self.cache = Cache(self.worker.__call__, store, Serving(store, ()), Rules(recogniser(True), 1 << 16, ()))
        self.follower: asyncio.Task[Response]

    async def begin(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        leader = make_request(b"/a")
        leader.send_interim = self._send_interim
        leading = loop.create_task(self._ask(leader))
        await settled()
        self.follower = loop.create_task(self._ask(make_request(b"/a")))
        await settled()
        leading.cancel()
        await settled()

    def _send_interim(self, status: int, lines: list[FieldLine]) -> None:
        self.told.append(status)

    async def _ask(self, request: Request) -> Response:
        return await self.cache(request)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def response(cache_control: bytes, body: bytes | Pieces) -> Response:
    return Response(200, Headers([(b"cache-control", cache_control)]), body)


def test_who_has_left_is_told_nothing_more() -> None:
    async def story() -> None:
        scene = Scene()
        await scene.begin()
        (asked,) = scene.worker.asked
        if asked.send_interim is not None:
            asked.send_interim(103, [])
        scene.worker.answers[0].set_result(response(b"max-age=60", b"content"))
        assert (await scene.follower).body == b"content"
        assert (scene.told, scene.errors) == ([], [])

    asyncio.run(story())


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_request_leaves_no_cycle_of_garbage(is_streamed: bool) -> None:
    """Python looks for these rarely here (service.py), and until then they would keep whole bodies."""

    async def story() -> None:
        worker, store = Worker(), Store(1 << 20)
        cache = Cache(worker.__call__, store, Serving(store, ()), Rules(recogniser(True), 1 << 16, ()))

        async def take() -> None:
            answer = await cache(make_request(b"/a"))
            body = answer.body
            assert (body if isinstance(body, bytes) else await body.read()) == b"content"  # type: ignore[union-attr]
            answer.close()

        async def ask() -> None:
            taking = asyncio.get_running_loop().create_task(take())
            await settled()
            worker.answers.pop().set_result(response(b"max-age=60", Pieces(b"content") if is_streamed else b"content"))
            await taking
            await settled()

        await ask()
        store.remove(next(iter(store)).key)
        gc.collect()
        gc.disable()
        try:
            await ask()
            assert gc.collect() == 0
        finally:
            gc.enable()

    asyncio.run(story())


def test_an_answer_that_nobody_takes_is_closed() -> None:
    async def story() -> None:
        scene, pieces = Scene(), Pieces(b"private")
        await scene.begin()
        scene.worker.answers[0].set_result(response(b"private", pieces))
        await settled()
        assert pieces.is_closed
        scene.worker.answers[1].set_result(response(b"private", b"own"))
        assert (await scene.follower).body == b"own"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("error", "is_unexpected"), [(UpstreamError("it is gone", status=504), False), (ZeroDivisionError(), True)]
)
def test_a_failure_for_nobody_is_told_to_the_loop_if_it_is_ours(error: Exception, is_unexpected: bool) -> None:
    async def story() -> None:
        scene = Scene()
        await scene.begin()
        scene.worker.answers[0].set_exception(error)
        await settled()
        assert [context["exception"] for context in scene.errors] == [error] * is_unexpected
        if is_unexpected:
            scene.worker.answers[1].set_result(response(b"max-age=60", b"content"))
            assert (await scene.follower).body == b"content"
        else:
            with pytest.raises(UpstreamError):
                await scene.follower

    asyncio.run(story())
