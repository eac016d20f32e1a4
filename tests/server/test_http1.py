"""A client's connection and handlers that no chain would have: what must not happen, happens in good order."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.memory_network import MemoryLoop
from tests.support.memory_requests import Pieces
from tests.support.memory_transport import Peer
from thrust.errors import BadMessage, ThrustError, UpstreamError
from thrust.http.exchange import Exchange
from thrust.http.headers import Headers
from thrust.http.message import Handler, Request, Response
from thrust.server.front import Front, Timeouts
from thrust.server.http1 import Http1Connection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Stage:
    """One connection whose requests `handler` answers."""

    def __init__(self, loop: MemoryLoop, handler: Handler) -> None:
        self.loop = loop
        self.exchanges: list[Exchange] = []
        self.front = Front(
            handler, [self.exchanges.append], Timeouts(120, 30, 30), lambda error: Response(400, Headers(), b"no\n")
        )
        self.connection = Http1Connection(self.front, loop)
        self.client: Peer = loop.connect(self.connection, ("192.0.2.1", 1)).peer


def on_stage(handler: Handler, story: Callable[[Stage], Awaitable[None]]) -> Stage:
    loop = MemoryLoop()

    async def performance() -> Stage:
        stage = Stage(loop, handler)
        await story(stage)
        await loop.settled()
        stage.connection.abort()
        await loop.settled()
        assert stage.client.transport.lost_calls == 1
        assert stage.front.connections == set() and stage.front.busy == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return stage

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(performance())


async def ask_once(stage: Stage) -> None:
    stage.client.send(GET)
    await stage.loop.settled()


def raising(error: Exception) -> Handler:
    async def handler(request: Request) -> Response:
        raise error

    return handler


def answering(response: Response) -> Handler:
    async def handler(request: Request) -> Response:
        return response

    return handler


def test_a_defect_in_a_handler_ends_the_connection_and_is_told() -> None:
    stage = on_stage(raising(ValueError("a defect")), ask_once)
    assert stage.client.saw_reset and stage.client.take() == b""
    assert [(e.status, e.error) for e in stage.exchanges] == [(0, "internal error: ValueError('a defect')")]
    assert [repr(context["exception"]) for context in stage.loop.errors] == ["ValueError('a defect')"]


def test_an_error_that_nobody_made_a_page_of_ends_the_connection() -> None:
    stage = on_stage(raising(ThrustError("nobody's")), ask_once)
    assert stage.client.saw_reset and stage.client.take() == b""
    assert [(e.status, e.error) for e in stage.exchanges] == [(0, "nobody's")]
    assert stage.loop.errors == []


@pytest.mark.parametrize("error", [UpstreamError("broken off"), BadMessage("broken"), ValueError("a defect")])
def test_a_body_that_fails_ends_the_connection_and_is_closed(error: Exception) -> None:
    body = Pieces(b"abc", error)
    stage = on_stage(answering(Response(200, Headers(), body, content_length=6)), ask_once)
    assert stage.client.take().endswith(b"\r\n\r\nabc")
    assert stage.client.saw_reset
    assert body.is_closed
    assert stage.exchanges[0].status == 200
    assert str(error) in stage.exchanges[0].error


def test_a_body_that_was_read_is_closed_too() -> None:
    body = Pieces(b"abc", b"def")
    stage = on_stage(answering(Response(200, Headers(), body, content_length=6)), ask_once)
    assert stage.client.take().endswith(b"\r\n\r\nabcdef")
    assert body.is_closed


def test_a_handler_that_answers_at_once_needs_no_task_to_be_kept() -> None:
    async def story(stage: Stage) -> None:
        stage.client.send(GET * 3)
        await stage.loop.settled()
        assert stage.client.take().count(b"HTTP/1.1 204 No Content\r\n") == 3
        assert stage.connection._task is None
        assert stage.front.busy == 0
        assert repr(stage.connection) == "<Http1Connection 192.0.2.1 idle>"

    on_stage(answering(Response(204, Headers())), story)


def test_what_it_shows_of_itself() -> None:
    async def handler(request: Request) -> Response:
        await asyncio.sleep(1)
        return Response(204, Headers())

    async def story(stage: Stage) -> None:
        stage.client.send(GET)
        await stage.loop.settled()
        assert repr(stage.connection) == "<Http1Connection 192.0.2.1 busy with <Exchange GET / 0 >>"
        stage.front.is_draining = True
        await asyncio.sleep(2)
        assert repr(stage.connection) == "<Http1Connection 192.0.2.1 closing>"

    on_stage(handler, story)


def test_an_interim_response_to_a_client_that_has_gone_is_dropped() -> None:
    requests: list[Request] = []

    async def handler(request: Request) -> Response:
        requests.append(request)
        await asyncio.sleep(1000)
        raise AssertionError("cancelled before")

    async def story(stage: Stage) -> None:
        await ask_once(stage)
        stage.client.reset()
        await stage.loop.settled()
        send_interim = requests[0].send_interim
        assert send_interim is not None
        send_interim(103, [(b"link", b"x")])
        send_interim(100, [])

    stage = on_stage(handler, story)
    assert stage.client.take() == b""
    assert [e.status for e in stage.exchanges] == [499]


def test_the_address_of_a_client_that_vanished_before_we_looked_is_empty() -> None:
    async def story(stage: Stage) -> None:
        connection = Http1Connection(stage.front, stage.loop)
        stage.loop.connect(connection, None)  # type: ignore[arg-type]
        await stage.loop.settled()
        assert connection.peer_address == ""
        connection.abort()

    on_stage(answering(Response(204, Headers())), story)


@pytest.mark.parametrize(("scheme", "expected"), [(b"https", 1), (b"http", 0)])
@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HT"], ids=["no HTTP", "too slow"])
def test_a_refusal_over_tls_says_how_long_to_insist_on_it(sent: bytes, scheme: bytes, expected: int) -> None:
    async def story(stage: Stage) -> None:
        stage.front.strict_lines = [(b"strict-transport-security", b"max-age=600")]
        connection = Http1Connection(stage.front, stage.loop, scheme)
        client = stage.loop.connect(connection, ("192.0.2.1", 2)).peer
        client.send(sent)
        await asyncio.sleep(31)
        answer = client.take()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"\r\nstrict-transport-security: max-age=600\r\n") == expected
        connection.abort()

    on_stage(answering(Response(204, Headers())), story)
