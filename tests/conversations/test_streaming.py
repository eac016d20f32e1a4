"""Backpressure: whoever is faster waits, memory stays bounded, nothing gets lost. Streams of events pass at once."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.conversation import Stage, perform
from tests.support.memory_transport import READ_BYTES
from thrust.flow import STREAM_HIGH_WATER_BYTES

PIECE = bytes(range(256)) * 256  # 64 KB
PIECES = 100

RECEIVED_BYTES = STREAM_HIGH_WATER_BYTES + READ_BYTES
"""What may have been received and not yet been consumed: nearly full, and then one more read."""

UNSENT_BYTES = 65_536 + RECEIVED_BYTES
"""What may have been written and not yet been sent: nearly asyncio's high water, and then all that was received."""


def test_every_event_is_on_the_wire_as_it_comes(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET /events HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /events HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Type: text/event-stream
        worker >> Transfer-Encoding: chunked
        worker >>
        client << HTTP/1.1 200 OK
        client << content-type: text/event-stream
        client << date: *
        client << transfer-encoding: chunked
        client <<
        worker >> 9
        worker >> data: a\n\n
        client <~ data: a\n\n
        250 s pass
        worker >> 9
        worker >> data: b\n\n
        client <~ data: b\n\n
        3600 s pass
        worker >> 9
        worker >> data: c\n\n
        client <~ data: c\n\n
        worker >> 0
        worker >>
        client << 0
        client <<
    """)
    assert stage.exchanges[0].body_bytes == 27


def test_a_worker_that_is_faster_than_its_client_waits() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        client.stop_reading()
        worker = stage.worker()
        worker.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE)))
        for _ in range(PIECES):
            worker.send(PIECE)
            await stage.settled()
        unread = len(worker.transport.incoming)
        assert not worker.transport.is_reading()
        assert PIECES * len(PIECE) - unread <= RECEIVED_BYTES + UNSENT_BYTES
        for _ in range(PIECES):
            client.read(len(PIECE))
            await stage.pass_time(20)
        assert client.transport.max_buffered_bytes <= UNSENT_BYTES
        client.read_on()
        await stage.settled()
        assert client.take().partition(b"\r\n\r\n")[2] == PIECE * PIECES

    stage = perform(story)
    assert stage.exchanges[0].error == ""


def test_a_client_that_is_faster_than_the_worker_waits() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE)))
        await stage.settled()
        worker = stage.worker()
        worker.stop_reading()
        for _ in range(PIECES):
            client.send(PIECE)
            await stage.settled()
        assert not client.transport.is_reading()
        assert PIECES * len(PIECE) - len(client.transport.incoming) <= RECEIVED_BYTES + UNSENT_BYTES
        for _ in range(PIECES):
            worker.read(len(PIECE))
            await stage.pass_time(20)
        assert worker.transport.max_buffered_bytes <= UNSENT_BYTES
        worker.read_on()
        await stage.settled()
        assert worker.take().partition(b"\r\n\r\n")[2] == PIECE * PIECES
        worker.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await stage.settled()
        assert client.take().startswith(b"HTTP/1.1 204")

    perform(story)


def test_a_stream_of_chunks_is_held_back_too() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await stage.settled()
        worker = stage.worker()
        worker.stop_reading()
        client.stop_reading()
        chunk = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
        worker.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(PIECES):
            client.send(chunk)
            worker.send(chunk)
            await stage.settled()
        for side in (client, worker):
            assert PIECES * len(chunk) - len(side.transport.incoming) <= RECEIVED_BYTES + UNSENT_BYTES + 1000
        for sender, receiver in ((client, worker), (worker, client)):
            sender.send(b"0\r\n\r\n")
            receiver.read_on()
            await stage.settled()
            assert dechunked(receiver.take().partition(b"\r\n\r\n")[2]) == PIECE * PIECES

    perform(story)


def dechunked(data: bytes) -> bytes:
    pieces = []
    while not data.startswith(b"0\r\n"):
        size_line, _, data = data.partition(b"\r\n")
        size = int(size_line, 16)
        pieces.append(data[:size])
        data = data[size + 2 :]
    return b"".join(pieces)


def test_a_client_that_pipelines_and_never_reads_waits() -> None:
    """Answers that nobody takes are not piled up, however many are asked for."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PIECE), PIECE)

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        answered = 0
        for _ in range(50):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await stage.settled()
            if stage.loop.accepted and stage.worker().take():
                answered += 1
                stage.worker().send(answer)
                await stage.settled()
        assert answered <= 3
        assert client.transport.max_buffered_bytes <= 3 * len(answer)
        client.read_on()
        while answered < 50:
            await stage.settled()
            assert stage.worker().take()
            stage.worker().send(answer)
            answered += 1
        await stage.settled()
        assert client.take().count(b"HTTP/1.1 200 OK") == 50

    perform(story)


@pytest.mark.parametrize("size", [65_536, 200_000])
def test_a_client_that_takes_nothing_of_a_whole_answer_is_cut_off(size: int) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await stage.pass_time(29)
        assert not client.saw_reset
        await stage.pass_time(2)
        assert client.saw_reset

    perform(story)


def test_a_client_that_sends_first_and_reads_later_does_not_block_an_early_answer() -> None:
    """The worker has answered and wants no more; the rest of the body is read and thrown away meanwhile."""

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE)))
        client.send(PIECE)
        await stage.settled()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(PIECE)))
        stage.worker().send(PIECE)
        await stage.settled()
        stage.worker().send(PIECE)
        await stage.settled()
        for _ in range(PIECES - 1):
            client.send(PIECE)
            await stage.settled()
        assert len(client.transport.incoming) == 0
        client.read_on()
        await stage.settled()
        assert client.take().partition(b"\r\n\r\n")[2] == 2 * PIECE

    perform(story)
