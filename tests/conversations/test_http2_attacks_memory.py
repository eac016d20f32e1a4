"""What streams take, and what they leave behind: nothing that would have to wait for a garbage collection."""

import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from tests.support.http2_cases import data
from tests.support.http2_peer import pseudo
from tests.support.http2_stage import Http2Stage, perform_http2, response
from thrust.flow import STREAM_HIGH_WATER_BYTES
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


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_tiny_frames_take_no_more_memory_than_what_is_in_them(size: int) -> None:
    content = b"".join(b"%07d " % number for number in range(7500 * size))
    frames = b"".join(data(1, content[start : start + size]) for start in range(0, len(content), size))

    async def story(scene: Http2Stage) -> None:
        client, port = scene.client, scene.stage.pool.port
        assert port is not None
        scene.stage.pool.close()
        client.send(client.headers(1, [*pseudo("/", "POST"), ("content-length", str(len(content)))], end=False))
        await scene.settled()
        tracemalloc.start()
        client.raw(frames)
        await scene.settled()
        growth_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert growth_bytes < 1.3 * len(content)
        scene.stage.open(port)
        assert (await scene.worker_got()).endswith(b"\r\n\r\n" + content)
        await scene.worker_says(response(b"ok"))
        assert client.answer(1).status == "200"
        client.reset(1)

    assert len(frames) == 60_000 * (9 + size)
    perform_http2(story)


def test_tiny_frames_wait_for_a_slow_worker_as_one_piece() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, [*pseudo("/", "POST"), ("content-length", "301")], end=False))
        await scene.settled()
        worker = scene.stage.worker()
        worker.stop_reading()
        worker.take()
        for number in range(100):
            client.content(1, b"%03d" % number)
            await scene.settled()
        assert worker.transport.max_buffered_bytes == 3, "the rest waits where small pieces are joined"
        worker.read_on()
        client.content(1, b"!", end=True)
        assert await scene.worker_got() == b"".join(b"%03d" % number for number in range(100)) + b"!"
        await scene.worker_says(response(b"ok"))

    perform_http2(story)


@pytest.mark.parametrize("piece_bytes", [16_384, 65_536])
def test_a_stream_without_window_holds_little_of_its_answer(piece_bytes: int) -> None:
    """So much on a hundred streams is what one client can make us hold."""

    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        worker = scene.stage.worker()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        sent_bytes = 0
        while not worker.transport.incoming and sent_bytes < 1_000_000:
            await scene.worker_says(b"x" * piece_bytes)
            sent_bytes += piece_bytes
        assert sent_bytes - piece_bytes <= STREAM_HIGH_WATER_BYTES + piece_bytes
        scene.client.reset(1)

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
