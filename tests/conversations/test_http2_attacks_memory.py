"""What streams leave behind: nothing that would have to wait for a garbage collection."""

import gc
from collections.abc import Iterator

import pytest

from tests.support.http2_peer import pseudo
from tests.support.http2_stage import Http2Stage, perform_http2, response
from thrust.server.http2_stream import Http2Stream


@pytest.fixture(autouse=True)
def without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living_streams() -> int:
    return sum(isinstance(thing, Http2Stream) for thing in gc.get_objects())


def test_a_stream_is_gone_with_its_answer() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.request(1)
        await scene.worker_got()
        await scene.worker_says(response(b"ok"))
        client.send(client.headers(3, pseudo("/", "POST"), end=False))
        client.content(3, b"abc")
        await scene.worker_got()
        client.content(3, b"def", end=True)
        await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await scene.worker_says(b"0\r\n\r\n")
        assert client.answer(1).status == client.answer(3).status == "200" and client.answer(3).has_ended
        assert living_streams() == 0

    perform_http2(story)


def test_a_stream_that_nobody_wants_to_read_is_gone_with_its_reset() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 300_000)
        assert living_streams() == 1
        scene.client.reset(1)
        await scene.settled()
        assert living_streams() == 0

    perform_http2(story, client_settings={4: 0})
