"""What the conversations cannot show: work in threads, cancelling, and requests that are handed back unchanged.

What is coded, how, and what is said about it, is in tests/conversations/test_compression*.py.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.coding.reference import decoded, text
from tests.support.memory_requests import Following, Pieces, ask, make_request
from thrust.errors import UpstreamError
from thrust.flow import INLINE_BYTES
from thrust.handlers.compression import CodedStream, Compression
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Handler, Request, Response

CODINGS = (b"br", b"zstd", b"gzip")
HTML = (b"content-type", b"text/html")
MAX_FILE_BYTES = 100_000


class Threads(ThreadPoolExecutor):
    """Threads that count their jobs, and begin each of them when they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs = 0
        self.may_go_on = threading.Event()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **rest: Any) -> Any:
        self.jobs += 1
        return super().submit(lambda: self.may_go_on.wait(30) and function(*arguments, **rest))


def compressing(answer: Response | Exception, jitter_bytes: int = 0) -> tuple[Compression, Following]:
    following = Following(answer)
    handler = Compression(
        following, CODINGS, jitter_bytes=jitter_bytes, spares_credentials=False, max_file_bytes=MAX_FILE_BYTES
    )
    return handler, following


def accepting(coding: bytes = b"br", *fields: FieldLine, method: bytes = b"GET") -> Request:
    return make_request(b"/", [(b"accept-encoding", coding), *fields], method=method)


async def read_all(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    assert isinstance(response.body, CodedStream)
    pieces = []
    while piece := await response.body.read():
        pieces.append(piece)
    assert await response.body.read() == b""
    return b"".join(pieces)


def run_with_threads(story: Callable[[Threads], Coroutine[Any, Any, None]]) -> int:
    """How many jobs `story` has given to the threads that it runs with."""
    threads = Threads()

    async def told() -> None:
        asyncio.get_running_loop().set_default_executor(threads)
        await story(threads)

    asyncio.run(told())
    return threads.jobs


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("size", "jobs"), [(INLINE_BYTES, 0), (INLINE_BYTES + 1, 1), (300_000, 1)])
def test_a_large_page_is_coded_by_a_thread(coding: bytes, size: int, jobs: int) -> None:
    async def story(threads: Threads) -> None:
        threads.may_go_on.set()
        response = await compressing(Response(200, Headers([HTML]), text(size)))[0](accepting(coding))
        assert decoded(coding, await read_all(response)) == text(size)

    assert run_with_threads(story) == jobs


@pytest.mark.parametrize("coding", CODINGS)
def test_large_pieces_of_a_stream_are_coded_by_threads_and_stay_in_order(coding: bytes) -> None:
    sizes = [10, 2 * INLINE_BYTES, 10, 3 * INLINE_BYTES, INLINE_BYTES, INLINE_BYTES + 1]
    pieces = [text(size, seed) for seed, size in enumerate(sizes)]

    async def story(threads: Threads) -> None:
        threads.may_go_on.set()
        response = await compressing(Response(200, Headers([HTML]), Pieces(*pieces)))[0](accepting(coding))
        assert decoded(coding, await read_all(response)) == b"".join(pieces)

    assert run_with_threads(story) == 3


def test_others_are_answered_while_a_thread_is_coding() -> None:
    async def story(threads: Threads) -> None:
        large, _ = compressing(Response(200, Headers([HTML]), text(300_000)))
        small, _ = compressing(Response(200, Headers([HTML]), text(3000)))
        under_way = asyncio.get_running_loop().create_task(large(accepting()))
        for _ in range(5):
            await asyncio.sleep(0)
            assert (await small(accepting())).headers.get(b"content-encoding") == b"br"
        assert not under_way.done()
        threads.may_go_on.set()
        assert decoded(b"br", await read_all(await under_way)) == text(300_000)

    assert run_with_threads(story) == 1


def test_a_stream_can_be_given_up_while_a_thread_is_coding() -> None:
    async def story(threads: Threads) -> None:
        source = Pieces(text(2 * INLINE_BYTES), text(10))
        response = await compressing(Response(200, Headers([HTML]), source))[0](accepting())
        reading = asyncio.get_running_loop().create_task(read_all(response))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        response.close()
        assert source.is_closed
        threads.may_go_on.set()

    assert run_with_threads(story) == 1


def test_a_source_that_breaks_is_heard_of_and_nothing_is_finished() -> None:
    source = Pieces(text(2000), UpstreamError("broken"), UpstreamError("broken"))

    async def story() -> None:
        response = await compressing(Response(200, Headers([HTML]), source))[0](accepting(b"gzip"))
        assert isinstance(response.body, CodedStream)
        assert await response.body.read()
        for _ in range(2):
            with pytest.raises(UpstreamError, match="broken"):
                await response.body.read()

    asyncio.run(story())


@pytest.mark.parametrize("answer", [Response(200, Headers([HTML]), text(2000)), UpstreamError("broken")])
def test_a_request_keeps_the_tags_that_the_client_has_sent(answer: Response | Exception) -> None:
    request = accepting(b"br", (b"if-none-match", b'"abc~br"'))
    seen: list[bytes | None] = []

    async def following(request: Request) -> Response:
        seen.append(request.headers.get(b"if-none-match"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    handler: Handler = Compression(
        following, CODINGS, jitter_bytes=0, spares_credentials=False, max_file_bytes=MAX_FILE_BYTES
    )
    if isinstance(answer, Exception):
        with pytest.raises(UpstreamError):
            ask(handler, request)
    else:
        ask(handler, request)
    assert seen == [b'"abc"']
    assert request.headers.get(b"if-none-match") == b'"abc~br"'


def test_a_response_that_will_be_sent_again_is_not_touched() -> None:
    lines = [HTML, (b"x-cache", b"hit")]
    prepared = Response(200, Headers(list(lines)), text(5000))
    prepared.head_memo = b""
    handler, _ = compressing(prepared)
    assert ask(handler, accepting()) is prepared
    assert (prepared.headers.lines, prepared.body) == (lines, text(5000))


@pytest.mark.parametrize(("body", "coding"), [(text(5000), b"zstd"), (random.Random(1).randbytes(1500), None)])
def test_head_is_answered_like_get_where_the_content_is_known(body: bytes, coding: bytes | None) -> None:
    """The cache answers HEAD with the content that it has; the server leaves it out."""
    got = ask(compressing(Response(200, Headers([HTML]), body))[0], accepting(b"zstd"))
    head = ask(compressing(Response(200, Headers([HTML]), body))[0], accepting(b"zstd", method=b"HEAD"))
    assert (head.headers, head.body, head.content_length) == (got.headers, got.body, got.content_length)
    assert head.headers.get(b"content-encoding") == coding


@settings(max_examples=30)
@given(
    coding=st.sampled_from(CODINGS),
    pieces=st.lists(st.binary(min_size=1, max_size=3000), max_size=8),
    jitter_bytes=st.sampled_from([0, 1, 32]),
)
def test_any_stream_arrives_as_it_was(coding: bytes, pieces: list[bytes], jitter_bytes: int) -> None:
    async def story() -> None:
        handler, _ = compressing(Response(200, Headers([HTML]), Pieces(*pieces)), jitter_bytes)
        assert decoded(coding, await read_all(await handler(accepting(coding)))) == b"".join(pieces)

    asyncio.run(story())
