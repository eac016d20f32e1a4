"""Files as content in conversations: framing, order, patience and endings, with time that jumps.

Transports in memory have no kernel behind them, so what is sent here is read and written, as over TLS. What the kernel
sends is in tests/server/test_file_sending.py.
"""

import asyncio
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.conversation import Stage, Story, perform
from tests.support.memory_transport import HIGH_WATER_BYTES, Peer
from thrust.http.headers import Headers
from thrust.http.message import FILE_PIECE_BYTES, FileContent, Request, Response
from thrust.http.ranges import Range

T = TypeVar("T")

DATA = bytes(range(256)) * 8000
GET = b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n"
HIT = b"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n"
WRITE_TIMEOUT_S = 30


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that is not in memory, and that nobody has open in the end, without the help of the collector."""
    monkeypatch.setattr("thrust.http.message._NO_WAITING", None)
    path = tmp_path / "report.pdf"
    path.write_bytes(DATA)
    gc.disable()
    yield path
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    gc.enable()
    assert str(path) not in links


async def in_thread(function: Callable[[], T]) -> T:
    """Takes a turn of the event loop, as a thread would."""
    await asyncio.sleep(0)
    return function()


def sends(path: Path, story: Story, *segments: bytes | Range, status: int = 200) -> Stage:
    """The stage after `story`, on which /file is answered with segments of the file."""

    async def handler(request: Request) -> Response:
        if request.target != b"/file":
            return Response(200, Headers(), b"hit")
        fd = os.open(path, os.O_RDONLY)
        whole: Sequence[bytes | Range] = [(0, os.fstat(fd).st_size)]
        content = FileContent(fd, segments or whole, in_thread)
        return Response(status, Headers(), content, content_length=content.length)

    async def begin(stage: Stage) -> None:
        stage.front.handler = handler
        stage.front.at_once = None
        await story(stage)

    return perform(begin)


def take_answer(client: Peer) -> tuple[bytes, bytes]:
    """Head and content of the answer that has arrived, and nothing may follow it."""
    head, _, content = client.take().partition(b"\r\n\r\n")
    assert b"\r\ncontent-length: %d" % len(content) in head
    return head, content


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, FILE_PIECE_BYTES, FILE_PIECE_BYTES + 1, len(DATA)])
def test_a_file_is_framed_by_its_length(path: Path, size: int) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(GET)
        await stage.settled()
        head, content = take_answer(client)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"transfer-encoding" not in head
        assert content == DATA[:size]

    os.truncate(path, size)
    stage = sends(path, story)
    assert [(e.status, e.body_bytes, e.error) for e in stage.exchanges] == [(200, size, "")]


def test_parts_and_what_is_between_them_keep_their_order(path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(GET)
        await stage.settled()
        head, content = take_answer(client)
        assert head.startswith(b"HTTP/1.1 206 Partial Content\r\n")
        assert content == b"<" + DATA[600_000:1_200_000] + b"|" + DATA[1:3] + b">"

    sends(path, story, b"<", (600_000, 1_200_000), b"|", (1, 3), b">", status=206)


def test_requests_that_are_pipelined_are_answered_in_their_order(path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(GET + HIT + GET + HIT)
        await stage.settled()
        received = client.take()
        for expected in (DATA, b"hit", DATA, b"hit"):
            head, _, received = received.partition(b"\r\n\r\n")
            assert b"content-length: %d" % len(expected) in head
            assert received.startswith(expected)
            received = received[len(expected) :]
        assert received == b""

    sends(path, story)


@pytest.mark.parametrize(
    "request_head",
    [b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"GET /file HTTP/1.0\r\n\r\n"],
)
def test_a_connection_that_is_to_be_closed_is_closed_after_the_last_byte(path: Path, request_head: bytes) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(request_head)
        await stage.settled()
        client.read_on()
        await stage.settled()
        head, content = take_answer(client)
        assert head.endswith(b"connection: close") and content == DATA
        assert client.saw_end and not client.saw_reset

    sends(path, story)


def test_the_answer_to_head_has_the_length_and_no_content(path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n" + HIT)
        await stage.settled()
        head, _, rest = client.take().partition(b"\r\n\r\n")
        assert b"content-length: %d" % len(DATA) in head
        assert rest.startswith(b"HTTP/1.1 200 OK") and rest.endswith(b"\r\n\r\nhit")

    stage = sends(path, story)
    assert [e.body_bytes for e in stage.exchanges] == [0, 3]


def test_a_client_that_does_not_read_holds_a_bounded_amount(path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(GET)
        await stage.settled()
        for _ in range(20):
            client.read(100_000)
            await stage.pass_time(WRITE_TIMEOUT_S - 1)
        client.read_on()
        await stage.settled()
        assert take_answer(client)[1] == DATA
        assert client.transport.max_buffered_bytes <= HIGH_WATER_BYTES + FILE_PIECE_BYTES

    sends(path, story)


def test_a_client_that_stops_reading_is_cut_off(path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.read(500_000)
        client.send(GET)
        await stage.pass_time(WRITE_TIMEOUT_S - 1)
        assert not client.saw_reset
        await stage.pass_time(2)
        assert client.saw_reset

    stage = sends(path, story)
    assert [e.error for e in stage.exchanges] == ["the client read nothing for 30 s"]


@pytest.mark.parametrize("leave", [Peer.reset, Peer.close])
def test_a_client_that_leaves_ends_it(path: Path, leave: Callable[[Peer], None]) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.read(300_000)
        client.send(GET)
        await stage.settled()
        leave(client)
        client.read_on()
        await stage.pass_time(5)
        assert stage.front.busy == 0

    stage = sends(path, story)
    (exchange,) = stage.exchanges
    assert exchange.status == 200 and "the client closed the connection" in exchange.error


def test_a_client_that_ends_its_sending_side_still_gets_it(path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(GET)
        client.end()
        for _ in range(30):
            await stage.pass_time(2)
            client.read(100_000)
        await stage.settled()
        assert client.take().endswith(DATA[-1000:])
        assert client.saw_end and not client.saw_reset

    stage = sends(path, story)
    assert [e.error for e in stage.exchanges] == [""]


def test_a_file_that_becomes_shorter_ends_in_a_reset(path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(GET)
        await stage.settled()
        os.truncate(path, len(DATA) - 1)
        client.read_on()
        await stage.settled()
        assert client.saw_reset
        assert len(client.take().partition(b"\r\n\r\n")[2]) < len(DATA)

    stage = sends(path, story)
    error = "a file could not be sent: the file became shorter while it was sent"
    assert [(e.status, e.error) for e in stage.exchanges] == [(200, error)]


def test_a_request_whose_content_nobody_read_is_followed_by_a_close(path: Path) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST /file HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        await stage.settled()
        head, content = take_answer(client)
        assert head.endswith(b"connection: close") and content == DATA
        assert client.saw_end

    sends(path, story)


@pytest.mark.parametrize("in_the_end", ["drain", "abort"])
def test_a_shutdown_waits_for_a_file_until_it_loses_patience(path: Path, in_the_end: str) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(GET)
        await stage.settled()
        stage.listener.stop_accepting()
        await stage.settled()
        assert stage.front.busy == 1
        if in_the_end == "drain":
            client.read_on()
            await stage.settled()
            assert client.take().endswith(DATA[-1000:])
            assert client.saw_end and not client.saw_reset
        else:
            stage.listener.abort()
            await stage.settled()
            assert client.saw_reset
        assert stage.front.busy == 0

    stage = sends(path, story)
    assert [e.error for e in stage.exchanges] == ["" if in_the_end == "drain" else "thrust is stopping"]
