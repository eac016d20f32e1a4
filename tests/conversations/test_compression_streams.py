"""Compression of what comes piece by piece: nothing is held back, reordered, or looks complete when it is not."""

import random

import brotli
import pytest

from tests.coding.reference import decoded, incremental_decoder, text
from tests.support.coded_answers import (
    CODINGS,
    HTML,
    Answer,
    answer_in,
    chunked,
    exchange,
    request,
    response,
    response_head,
)
from tests.support.conversation import Stage, perform
from tests.support.memory_transport import READ_BYTES
from thrust.flow import INLINE_BYTES, STREAM_HIGH_WATER_BYTES

EVENTS = "Content-Type: text/event-stream"
CHUNKED = "Transfer-Encoding: chunked"
LAST_CHUNK = b"0\r\n\r\n"

SMALL, LARGE = 100, 3 * INLINE_BYTES
"""Pieces that are coded on the event loop, and such for a thread."""


def streamed(coding: str, *messages: bytes, **settings: object) -> Answer:
    """What a client that accepts `coding` gets of a worker's messages."""
    return exchange(request(f"Accept-Encoding: {coding}"), *messages, **settings).answer


@pytest.mark.parametrize("read_bytes", [READ_BYTES, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("jitter_bytes", [0, 32])
@pytest.mark.parametrize("coding", CODINGS)
def test_each_event_can_be_read_before_the_next_one_is_made(coding: str, jitter_bytes: int, read_bytes: int) -> None:
    events = [b"data: %d\n\n" % number for number in range(20)] + [b"data: {%b}\n\n" % text(3000), b": ping\n\n"]

    async def story(stage: Stage) -> None:
        client, decode = stage.client(), incremental_decoder(coding.encode())
        client.send(request(f"Accept-Encoding: {coding}"))
        await stage.settled()
        worker = stage.worker()
        worker.send(response_head(EVENTS, CHUNKED))
        await stage.settled()
        head = client.take()
        assert f"content-encoding: {coding}\r\n".encode() in head and head.endswith(b"\r\n\r\n")
        for event in events:
            worker.send(chunked(event))
            await stage.settled()
            assert decode(content_of(client.take())) == event
            await stage.pass_time(50)
        worker.send(LAST_CHUNK)
        await stage.settled()
        assert decode(content_of(client.take(), is_last=True)) == b""

    perform(story, read_bytes=read_bytes, compression=CODINGS, compression_jitter_bytes=jitter_bytes)


def content_of(received: bytes, *, is_last: bool = False) -> bytes:
    """The content of complete chunks, the last one among them or not."""
    answer = answer_in(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + received)
    assert answer.is_complete is is_last
    return answer.content


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("has_length", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [[SMALL] * 30, [LARGE], [LARGE, SMALL, SMALL, LARGE, SMALL], [1, LARGE, 1], [READ_BYTES + 5, 70_000, 3]],
    ids=str,
)
def test_pieces_of_any_size_arrive_whole_and_in_order(coding: str, sizes: list[int], has_length: bool) -> None:
    pieces = [text(size, seed) for seed, size in enumerate(sizes)]
    body = b"".join(pieces)
    if has_length:
        messages = [response_head(HTML, f"Content-Length: {len(body)}"), *pieces]
    else:
        messages = [response_head(HTML, CHUNKED), *map(chunked, pieces), LAST_CHUNK]
    answer = streamed(coding, *messages)
    assert answer.is_complete and answer.decoded == body
    assert (answer.coding, answer.get("transfer-encoding")) == (coding, "chunked")
    assert answer.get("content-length") is None
    assert len(answer.content) < len(body)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_stream_that_turns_out_to_be_empty_is_complete(coding: str) -> None:
    answer = streamed(coding, response_head(HTML, CHUNKED), LAST_CHUNK)
    assert answer.is_complete and answer.decoded == b""


def test_a_body_that_ends_with_the_workers_connection_is_complete_then() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(request("Accept-Encoding: gzip"))
        await stage.settled()
        stage.worker().send(response_head(HTML) + text(3000))
        await stage.settled()
        stage.worker().close()
        await stage.settled()
        answer = answer_in(client.take())
        assert answer.is_complete and answer.decoded == text(3000)

    perform(story, compression=CODINGS)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_client_of_http_1_0_reads_to_the_end_of_the_connection(coding: str) -> None:
    body = text(3 * LARGE)

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(request(f"Accept-Encoding: {coding}", version="1.0"))
        await stage.settled()
        whole = response(HTML, body=body)
        for message in (whole[:-LARGE], whole[-LARGE:]):
            stage.worker().send(message)
            await stage.settled()
        answer = answer_in(client.take())
        assert client.saw_end and not client.saw_reset
        assert (answer.coding, answer.decoded) == (coding, body)
        assert (answer.get("transfer-encoding"), answer.get("content-length")) == (None, None)

    perform(story, compression=CODINGS)


# Trailers


def test_trailers_pass_but_for_those_about_the_plain_content() -> None:
    trailers = ["X-Sum: 7", "Content-Digest: a", "Repr-Digest: b", "Digest: c", 'ETag: "abc"', "Server-Timing: db"]
    section = "".join(f"{line}\r\n" for line in trailers).encode()
    answer = streamed(
        "br", response_head(HTML, CHUNKED, "Trailer: X-Sum"), chunked(text(3000)), b"0\r\n%b\r\n" % section
    )
    assert answer.is_complete and answer.decoded == text(3000)
    assert answer.trailers == ["x-sum: 7", 'etag: "abc~br"', "server-timing: db"]


def test_trailers_of_what_is_not_compressed_pass_as_they_are() -> None:
    messages = [response_head(HTML, CHUNKED), chunked(text(3000)), b"0\r\nDigest: c\r\n\r\n"]
    answer = streamed("identity", *messages)
    assert (answer.content, answer.trailers) == (text(3000), ["digest: c"])


# Breaking off


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("has_length", [False, True])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_worker_that_breaks_off_leaves_a_coded_stream_that_does_not_look_complete(
    coding: str, size: int, has_length: bool, how: str
) -> None:
    pieces = [text(size, seed) for seed in range(3)]

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(request(f"Accept-Encoding: {coding}"))
        await stage.settled()
        worker = stage.worker()
        framing = f"Content-Length: {size * 4}" if has_length else CHUNKED
        worker.send(response_head(HTML, framing))
        for piece in pieces:
            worker.send(piece if has_length else chunked(piece))
            await stage.settled()
        worker.close() if how == "closes" else worker.reset()
        await stage.settled()
        assert client.saw_reset
        answer = answer_in(client.take())
        assert not answer.is_complete
        if size * 4 < 1024 and has_length:  # too short to be coded
            assert answer.content == b"".join(pieces)
            return
        assert incremental_decoder(coding.encode())(answer.content) == b"".join(pieces)
        assert not looks_complete(coding, answer.content)

    stage = perform(story, compression=CODINGS)
    assert "the worker closed the connection" in stage.exchanges[0].error


def looks_complete(coding: str, content: bytes) -> bool:
    """Whether a strict client takes `content` for a whole stream."""
    try:
        decoded(coding.encode(), content)
    except (AssertionError, brotli.error):
        return False
    return True


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_client_that_leaves_takes_the_workers_connection_with_it(how: str) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(request("Accept-Encoding: zstd"))
        await stage.settled()
        worker = stage.worker()
        worker.send(response_head(EVENTS, CHUNKED) + chunked(b"data: 1\n\n"))
        await stage.settled()
        assert client.take()
        client.close() if how == "closes" else client.reset()
        worker.send(chunked(b"data: 2\n\n"))
        await stage.pass_time(1)
        assert worker.saw_end or worker.saw_reset

    stage = perform(story, compression=CODINGS)
    assert "the client closed the connection" in stage.exchanges[0].error


@pytest.mark.parametrize("coding", CODINGS)
def test_a_worker_that_is_faster_than_its_client_waits(coding: str) -> None:
    """Pieces that hardly compress, so that what waits coded is as much as what waits plain."""
    pieces = [random.Random(seed).randbytes(65_536) for seed in range(40)]

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(request(f"Accept-Encoding: {coding}"))
        await stage.settled()
        client.stop_reading()
        worker = stage.worker()
        worker.send(response_head(HTML, CHUNKED))
        for piece in pieces:
            worker.send(chunked(piece))
            await stage.settled()
        worker.send(LAST_CHUNK)
        assert not worker.transport.is_reading()
        held = client.transport.get_write_buffer_size() + STREAM_HIGH_WATER_BYTES + READ_BYTES
        assert len(pieces) * 65_536 - len(worker.transport.incoming) <= held + READ_BYTES
        client.read_on()
        await stage.settled()
        answer = answer_in(client.take())
        assert answer.is_complete and answer.decoded == b"".join(pieces)
        assert client.transport.max_buffered_bytes <= 65_536 + STREAM_HIGH_WATER_BYTES + 2 * READ_BYTES

    perform(story, compression=CODINGS)


def test_a_client_may_ask_again_on_the_same_connection() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        for seed in range(3):
            client.send(request("Accept-Encoding: br"))
            await stage.settled()
            worker = stage.worker()
            assert worker.take()
            for message in (response_head(HTML, CHUNKED), chunked(text(3000, seed)), LAST_CHUNK):
                worker.send(message)
                await stage.settled()
            assert answer_in(client.take()).decoded == text(3000, seed)

    perform(story, compression=CODINGS)
