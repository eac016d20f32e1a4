"""What streams leave behind: nothing that would have to wait for a garbage collection."""

import gc
from collections.abc import Iterator

import pytest

from tests.support.http2_peer import pseudo
from tests.support.http2_stage import Http2Stage, perform_http2, response
from thrust.server.http2 import GATHERED_BYTES, MAX_UNREAD_BYTES
from thrust.server.http2_stream import Http2Stream
from thrust.wire.http2.outgoing import MAX_CONCURRENT_STREAMS


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


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_one_read_full_of_requests_for_what_is_cached_does_not_pile_up_answers(method: str) -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.open_window(0, 1 << 30)
        client.request(1, "/a.js")
        await scene.worker_got()
        wide = b"x-wide: " + b"w" * 4000
        await scene.worker_says(response(b"y" * 16000, b"cache-control: max-age=100", wide))
        client.hear()
        scene.peer.stop_reading()
        frames = [client.headers(stream_id, pseudo("/a.js", method)).serialize() for stream_id in range(3, 4003, 2)]
        scene.client.raw(b"".join(frames))
        await scene.settled()
        assert scene.peer.transport.max_buffered_bytes < MAX_UNREAD_BYTES + 2 * GATHERED_BYTES
        assert living_streams() <= MAX_CONCURRENT_STREAMS

    stage = perform_http2(story, client_settings={4: (1 << 31) - 1}, cache_size_bytes=1 << 20)
    assert [exchange.cache for exchange in stage.exchanges[:3]] == ["miss", "hit", "hit"]
