"""Files on their way to clients, over real sockets and on both event loops: what arrives, and what is left behind.

The client is part of the same process and loop. Disks are slow when a test says so: `Disk` is what runs the functions
that may wait, and `looking` says whether the kernel tells which pages are in memory.
"""

import asyncio
import contextlib
import errno
import gc
import math
import os
import random
import socket
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.certificates import client_context, make_pair
from tests.support.worker_loops import LOOPS, run_on
from thrust.flow import WriteGate
from thrust.http import message
from thrust.http.exchange import Exchange
from thrust.http.headers import Headers
from thrust.http.message import FileContent, Request, Response
from thrust.http.ranges import Range
from thrust.server import file_sending
from thrust.server.file_sending import BAIT_BYTES, SMALL_FILE_BYTES, STEP_BYTES, WAKE_BYTES
from thrust.server.front import Front, Timeouts
from thrust.server.http1 import Http1Connection
from thrust.server.listener import Listener, bind
from thrust.server.sockets import unsent_bytes

T = TypeVar("T")

BOUND_S = 20.0
LOOK_AGAIN_S = 0.001
LARGE = random.Random(5).randbytes(12_000_000)
"""More than the buffers of two sockets take."""

SMALL = LARGE[:SMALL_FILE_BYTES]
GET = b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n"
HIT = b"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n"
TURNS = 40
"""Of the event loop, within which a request from memory is answered, whatever the disk does."""


class Disk:
    """Threads for what may wait; while it `hangs`, it does wait."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(4)
        self._is_working = threading.Event()
        self._is_working.set()
        self.calls = 0
        self.returned = 0
        self.asked = asyncio.Event()

    async def __call__(self, function: Callable[[], T]) -> T:
        self.calls += 1
        self.asked.set()
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._wait_and_call, function)

    def _wait_and_call(self, function: Callable[[], T]) -> T:
        assert self._is_working.wait(BOUND_S)
        try:
            return function()
        finally:
            self.returned += 1

    def hang(self) -> None:
        self._is_working.clear()

    def work(self) -> None:
        self._is_working.set()

    def finish(self) -> None:
        """Returns when all that was begun is done."""
        self.work()
        self._pool.shutdown()


class Stage:
    """A front that answers /file with `segments` of the file at `path`, on a port of its own."""

    def __init__(self, path: Path, *, write_s: float = 0) -> None:
        self.loop = asyncio.get_running_loop()
        self.path = path
        self.segments: Sequence[bytes | Range] | None = None
        self.disk = Disk()
        self.contents: list[FileContent] = []
        self.exchanges: list[Exchange] = []
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        timeouts = Timeouts(idle_s=0, read_s=0, write_s=write_s)
        self.front = Front(self._answer, [self.exchanges.append], timeouts, lambda error: Response(400, Headers()))
        self._sockets = bind("127.0.0.1", 0)
        self.connections: list[Http1Connection] = []
        self.listener = Listener(self.loop, self._sockets, self.front, self.new_connection)
        self._clients: list[socket.socket] = []

    def new_connection(self) -> Http1Connection:
        self.connections.append(Http1Connection(self.front, self.loop))
        return self.connections[-1]

    async def _answer(self, request: Request) -> Response:
        if request.target == b"/hit":
            return Response(200, Headers(), b"hit")
        fd = os.open(self.path, os.O_RDONLY)
        content = FileContent(fd, self.segments or [(0, os.fstat(fd).st_size)], self.disk)
        self.contents.append(content)
        return Response(200, Headers(), content, content_length=content.length)

    async def client(self, receive_buffer_bytes: int = 65536) -> "Client":
        connection = socket.socket()
        self._clients.append(connection)
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await self.loop.sock_connect(connection, self._sockets[0].getsockname())
        return Client(connection)

    async def full(self) -> "Client":
        """A client that has asked for the file and read its head, and with whom everything is stuck."""
        client = await self.client()
        await client.send(GET)
        await client.head()
        await self.until(lambda: not self.connections[-1]._gate.is_open, "the socket is full")
        return client

    async def until(self, is_true: Callable[[], Any], what: str) -> None:
        give_up_s = self.loop.time() + BOUND_S
        while not is_true():
            assert self.loop.time() < give_up_s, f"{what}: still not after {BOUND_S:g} s"
            await asyncio.sleep(LOOK_AGAIN_S)

    async def begin(self) -> None:
        await self.listener.start()

    async def strike(self) -> None:
        for connection in self._clients:
            connection.close()
        await self.until(lambda: not self.front.connections, "all connections are lost")
        self.front.is_draining = True
        self.listener.stop_accepting()
        for listening in self._sockets:
            listening.close()
        self.disk.finish()
        await asyncio.sleep(0)
        assert [repr(context) for context in self.errors] == []
        assert self.front.busy == 0


class Client:
    """A client that reads when it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._loop = asyncio.get_running_loop()
        self._rest = bytearray()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def head(self) -> bytes:
        while b"\r\n\r\n" not in self._rest:
            self._rest += await self._receive()
        return (await self.take(self._rest.index(b"\r\n\r\n") + 4))[:-4]

    async def take(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._rest += await self._receive()
        taken = bytes(self._rest[:count])
        del self._rest[:count]
        return taken

    async def get(self, request: bytes = GET) -> bytes:
        """The content of the answer."""
        await self.send(request)
        return await self.answer()

    async def answer(self) -> bytes:
        head = await self.head()
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        return await self.take(int(length[16:]))

    async def end(self) -> bytes:
        """What comes until the connection ends in good order."""
        async with asyncio.timeout(BOUND_S):
            while data := await self._loop.sock_recv(self.socket, 262144):
                self._rest += data
        return bytes(self._rest)

    async def broken(self) -> int:
        """How many bytes of content come until the connection ends with a reset; for one that got its head."""
        with pytest.raises(ConnectionResetError):
            await self.end()
        return len(self._rest)

    async def _receive(self) -> bytes:
        async with asyncio.timeout(BOUND_S):
            data = await self._loop.sock_recv(self.socket, 262144)
        assert data, "the connection has ended"
        return data

    async def sip(self) -> None:
        """Reads a few bytes, and throws them away."""
        await self._loop.sock_recv(self.socket, 4096)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


Story = Callable[[Stage], Awaitable[None]]
Perform = Callable[..., Stage]


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(LARGE)
    return path


@pytest.fixture
def perform(loop_name: str, path: Path) -> Iterator[Perform]:
    """Plays a story on a stage; afterwards no descriptor may be left, without the help of the collector."""

    def play(story: Story, **settings: Any) -> Stage:
        async def performance() -> Stage:
            before = descriptors()
            stage = Stage(path, **settings)
            await stage.begin()
            try:
                await story(stage)
            except BaseException:
                stage.listener.stop_accepting()  # uvloop cannot be closed while something listens
                stage.listener.abort()
                stage.disk.finish()
                await asyncio.sleep(0)
                raise
            await stage.strike()
            await stage.until(lambda: descriptors() <= before, "all descriptors are closed")
            return stage

        return run_on(loop_name, performance())

    gc.disable()
    yield play
    gc.enable()


def descriptors() -> set[tuple[str, str]]:
    """The open files and sockets of this process, with their numbers; uvloop keeps a /dev/null in reserve."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return {(number, what) for number, what in found if what != "/dev/null"}


def watched() -> set[int]:
    """The descriptors that the event loop watches, as the kernel knows."""
    found = set()
    for number, what in descriptors():
        if what == "anon_inode:[eventpoll]":
            for line in Path(f"/proc/self/fdinfo/{number}").read_text().splitlines():
                if line.startswith("tfd:"):
                    found.add(int(line.split()[1]))
    return found


def is_open(path: Path) -> bool:
    return any(what == str(path) for _, what in descriptors())


@pytest.fixture
def without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can tell what is in the page cache: macOS, or many a file system."""
    monkeypatch.setattr(message, "_NO_WAITING", None)


@pytest.fixture(params=["cached", "unknown", "copied", "copied by threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways on which large content goes: by the loop or by threads, each by the kernel or by reading and writing."""
    if request.param in {"unknown", "copied by threads"}:
        monkeypatch.setattr(message, "_NO_WAITING", None)
    if request.param.startswith("copied"):
        monkeypatch.setattr(file_sending, "_leads_to_kernel", lambda transport: False)
    return str(request.param)


# What arrives


def test_a_file_arrives(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.client()
        assert await client.get() == LARGE

    stage = perform(story)
    assert [(e.status, e.body_bytes, e.error) for e in stage.exchanges] == [(200, len(LARGE), "")]
    assert (stage.disk.calls == 0) == (way in {"cached", "copied"})


def test_the_kernel_sends_it(perform: Perform, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(content: FileContent) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr(FileContent, "read", lambda content: read(content) if content.upcoming else end())

    async def end() -> bytes:
        return b""

    async def story(stage: Stage) -> None:
        assert await (await stage.client()).get() == LARGE

    perform(story)


@pytest.mark.parametrize(
    "segments",
    [
        [(5, 6)],
        [(STEP_BYTES - 1, 3 * STEP_BYTES + 1)],
        [b"<", (9_000_000, 12_000_000), b"|", (3, 4), b"|", (0, 5_000_000), b">"],
        [(8_000_000, 12_000_000), (0, 4_000_000)],
        [b"x" * 300_000, (0, 1_000_000), b"y" * 300_000],
        [b"no file at all"],
        [b"z" * 100_000],
    ],
)
def test_segments_arrive_in_their_order(perform: Perform, way: str, segments: Sequence[bytes | Range]) -> None:
    expected = b"".join(one if isinstance(one, bytes) else LARGE[slice(*one)] for one in segments)

    async def story(stage: Stage) -> None:
        stage.segments = segments
        client = await stage.client()
        assert await client.get() == expected
        assert await client.get(HIT) == b"hit"

    stage = perform(story)
    assert stage.exchanges[0].body_bytes == len(expected)


@pytest.mark.parametrize("size", [0, 1, SMALL_FILE_BYTES, SMALL_FILE_BYTES + 1, STEP_BYTES, STEP_BYTES + 1])
def test_every_size_arrives(perform: Perform, way: str, path: Path, size: int) -> None:
    os.truncate(path, size)

    async def story(stage: Stage) -> None:
        client = await stage.client()
        for _ in range(2):
            assert await client.get() == LARGE[:size]

    perform(story)


def test_a_small_file_needs_no_thread_if_it_is_in_memory(perform: Perform, path: Path) -> None:
    path.write_bytes(SMALL)

    async def story(stage: Stage) -> None:
        stage.segments = [b"<", (0, 100), (50, 60), b">"]
        assert await (await stage.client()).get() == b"<" + SMALL[:100] + SMALL[50:60] + b">"
        assert stage.disk.calls == 0

    perform(story)


def test_answers_stay_in_order_when_requests_are_pipelined(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.client()
        await client.send(HIT + GET + HIT + HIT + GET + HIT)
        for expected in (b"hit", LARGE, b"hit", b"hit", LARGE, b"hit"):
            assert await client.answer() == expected

    perform(story)


def test_what_waits_in_the_transport_is_not_overtaken(perform: Perform) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        await client.send(HIT * 3 + GET)
        assert await client.take(len(LARGE)) == LARGE
        for expected in (b"hit", b"hit", b"hit", LARGE):
            assert await client.answer() == expected

    perform(story)


def test_literals_that_the_socket_does_not_take_come_before_the_file(perform: Perform) -> None:
    literal = LARGE[::-1]

    async def story(stage: Stage) -> None:
        stage.segments = [literal, (0, len(LARGE)), literal, (0, 5)]
        client = await stage.client()
        await client.send(GET)
        await stage.until(lambda: stage.connections and not stage.connections[0]._gate.is_open, "the socket is full")
        assert stage.connections[0]._transport.get_write_buffer_size() > 0
        assert await client.answer() == literal + LARGE + literal + LARGE[:5]

    perform(story)


def test_the_connection_closes_after_the_last_byte_if_the_client_wants_it(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.client()
        await client.send(b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"connection: close" in await client.head()
        assert await client.end() == LARGE

    perform(story)


def test_a_client_of_http_1_0_knows_the_length_too(perform: Perform) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.client()
        await client.send(b"GET /file HTTP/1.0\r\n\r\n")
        assert b"content-length: %d" % len(LARGE) in await client.head()
        assert await client.end() == LARGE

    perform(story)


def test_the_answer_to_head_is_a_head(perform: Perform) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.client()
        await client.send(b"HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"content-length: %d" % len(LARGE) in await client.head()
        assert await client.get(HIT) == b"hit"

    stage = perform(story)
    assert stage.exchanges[0].body_bytes == 0


def test_a_file_that_grows_is_sent_as_it_was_announced(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        with stage.path.open("ab") as file:
            file.write(b"more" * 1_000_000)
        assert await client.take(len(LARGE)) == LARGE
        assert await client.get(HIT) == b"hit"

    perform(story)


def test_a_file_that_shrinks_ends_in_a_reset(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        os.truncate(stage.path, 11_999_999)
        assert await client.broken() < len(LARGE)

    stage = perform(story)
    error = "a file could not be sent: the file became shorter while it was sent"
    assert [(e.status, e.error) for e in stage.exchanges] == [(200, error)]
    assert stage.exchanges[0].body_bytes <= 11_999_999


@pytest.mark.parametrize("announced", [100, SMALL_FILE_BYTES])
def test_a_small_file_that_shrinks_is_not_sent_at_all(perform: Perform, path: Path, announced: int) -> None:
    os.truncate(path, announced - 1)

    async def story(stage: Stage) -> None:
        stage.segments = [(0, announced)]
        client = await stage.client()
        await client.send(GET)
        assert await client.broken() == 0

    stage = perform(story)
    assert "became shorter" in stage.exchanges[0].error


# Where the kernel cannot


class Failing:
    """os.sendfile, which from its n-th call on fails."""

    def __init__(self, error_number: int, after_calls: int) -> None:
        self._sendfile = os.sendfile
        self._error_number = error_number
        self._calls_left = after_calls

    def __call__(self, *arguments: int) -> int:
        self._calls_left -= 1
        if self._calls_left < 0:
            raise OSError(self._error_number, os.strerror(self._error_number))
        return self._sendfile(*arguments)


@pytest.mark.parametrize(("number", "after_calls"), [(errno.ENOSYS, 0), (errno.EINVAL, 3), (errno.EOVERFLOW, 9)])
@pytest.mark.parametrize("looks", [True, False])
def test_what_cannot_be_sent_by_the_kernel_is_read_and_written(
    perform: Perform, monkeypatch: pytest.MonkeyPatch, number: int, after_calls: int, looks: bool
) -> None:
    monkeypatch.setattr(os, "sendfile", Failing(number, after_calls))
    if not looks:
        monkeypatch.setattr(message, "_NO_WAITING", None)

    async def story(stage: Stage) -> None:
        stage.segments = [b"<", (0, 12_000_000), b">", (5, 900)]
        client = await stage.client()
        await client.send(GET)
        await stage.until(lambda: stage.connections and not stage.connections[0]._gate.is_open, "the socket is full")
        assert await client.answer() == b"<" + LARGE + b">" + LARGE[5:900]
        assert await client.get(HIT) == b"hit"

    stage = perform(story, write_s=BOUND_S)
    assert [e.error for e in stage.exchanges] == ["", ""]


def test_without_descriptors_for_a_duplicate_it_is_read_and_written(
    perform: Perform, monkeypatch: pytest.MonkeyPatch, without_looking: None
) -> None:
    def dup(fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async def story(stage: Stage) -> None:
        client = await stage.client()
        with monkeypatch.context() as context:
            context.setattr(os, "dup", dup)
            assert await client.get() == LARGE

    perform(story)


@pytest.mark.parametrize("looks", [True, False])
def test_what_the_disk_says_is_told_and_ends_in_a_reset(
    perform: Perform, monkeypatch: pytest.MonkeyPatch, looks: bool
) -> None:
    monkeypatch.setattr(os, "sendfile", Failing(errno.EIO, 1))
    if not looks:
        monkeypatch.setattr(message, "_NO_WAITING", None)

    async def story(stage: Stage) -> None:
        client = await stage.client()
        await client.send(GET)
        await client.head()
        assert await client.broken() < len(LARGE)

    stage = perform(story)
    assert [e.error for e in stage.exchanges] == ["a file could not be sent: Input/output error"]


def test_a_connection_with_tls_never_sees_the_plain_file(
    perform: Perform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sendfile")
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), client_context()
    ours.load_cert_chain(*make_pair("localhost").write(tmp_path))

    async def story(stage: Stage) -> None:
        server = await stage.loop.create_server(stage.new_connection, "127.0.0.1", 0, ssl=ours)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=theirs, server_hostname="localhost")
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(LARGE)) == LARGE
        writer.close()
        server.close()
        await writer.wait_closed()

    perform(story)


# Clients that are slow, or leave


def test_a_slow_reader_holds_no_memory(perform: Perform) -> None:
    async def story(stage: Stage) -> None:
        clients = [await stage.full() for _ in range(3)]
        for client, connection in zip(clients, stage.connections, strict=True):
            assert 0 < connection._transport.get_write_buffer_size() <= BAIT_BYTES
            assert await client.take(len(LARGE)) == LARGE
            assert connection._transport.get_write_buffer_size() == 0

    perform(story)


def test_a_client_that_stops_reading_is_cut_off_after_the_write_timeout(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        await stage.until(lambda: stage.exchanges, "the exchange is over")
        assert await client.broken() < len(LARGE)

    stage = perform(story, write_s=0.05)
    assert [e.error for e in stage.exchanges] == ["the client read nothing for 0.05 s"]
    assert 0 < stage.exchanges[0].body_bytes < len(LARGE)


def test_a_socket_that_takes_nothing_though_writable_makes_nobody_spin(
    perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for want of memory for all of TCP: after each attempt the transport gets some of the content to send."""
    calls = 0

    def reluctant(*arguments: int) -> int:
        nonlocal calls
        calls += 1
        raise BlockingIOError(errno.EAGAIN, "short of memory")

    monkeypatch.setattr(os, "sendfile", reluctant)

    async def story(stage: Stage) -> None:
        client = await stage.full()
        before = calls
        for _ in range(1000):
            await asyncio.sleep(0)
        assert calls == before
        assert await client.take(len(LARGE)) == LARGE

    perform(story, write_s=BOUND_S)
    assert calls == math.ceil(len(LARGE) / BAIT_BYTES)


def unsent_limit(stage: Stage) -> int:
    connection = stage.connections[0]._transport.get_extra_info("socket")
    return int(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT))


@pytest.mark.skipif(sys.platform != "linux", reason="the option means something else elsewhere")
def test_a_full_socket_calls_late_and_afterwards_it_is_as_it_was(perform: Perform) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        assert unsent_limit(stage) == WAKE_BYTES
        assert await client.take(len(LARGE)) == LARGE
        await stage.until(lambda: stage.exchanges, "the exchange is over")
        assert unsent_limit(stage) == 0
        assert await client.get(HIT) == b"hit"

    perform(story)


def test_a_client_that_reads_a_little_is_not_cut_off(perform: Perform, way: str) -> None:
    """Not even by as little as leaves the kernel without a reason to call its socket writable."""

    async def story(stage: Stage) -> None:
        client = await stage.full()
        connection = stage.connections[0]
        for _ in range(3):
            stalled_bytes = connection._stalled_bytes
            while unsent_bytes(connection._transport) >= stalled_bytes:
                await client.sip()
            connection._write_expired()
            assert not connection._transport.is_closing()
            assert not connection._gate.is_open, "the socket is as full as before"
        connection._write_expired()
        assert await client.broken() < len(LARGE)

    perform(story, write_s=BOUND_S)


def test_a_client_that_reads_on_gets_its_full_time_again(perform: Perform) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        connection = stage.connections[0]
        assert connection._write_deadline._at is not None
        assert await client.take(len(LARGE)) == LARGE
        await stage.until(lambda: stage.exchanges, "the exchange is over")
        assert connection._write_deadline._at is None
        assert connection._gate.is_open

    perform(story, write_s=BOUND_S)


def test_no_client_is_blamed_for_a_slow_disk(perform: Perform, without_looking: None) -> None:
    async def story(stage: Stage) -> None:
        stage.disk.hang()
        client = await stage.client()
        await client.send(GET)
        await stage.disk.asked.wait()
        assert stage.connections[0]._write_deadline._at is None
        stage.disk.work()
        assert await client.answer() == LARGE

    perform(story, write_s=BOUND_S)


@pytest.mark.parametrize("leave", [Client.reset, lambda client: client.socket.close()], ids=["resets", "closes"])
def test_a_client_that_leaves_ends_it(perform: Perform, way: str, leave: Callable[[Client], None]) -> None:
    async def story(stage: Stage) -> None:
        await (await stage.client()).get(HIT)
        before = watched()
        client = await stage.full()
        assert watched() > before
        leave(client)
        await stage.until(lambda: len(stage.exchanges) == 2, "the exchange is over")
        await stage.until(lambda: watched() == before and not is_open(stage.path), "nothing is left of it")

    stage = perform(story)
    exchange = stage.exchanges[1]
    assert exchange.status == 200
    assert exchange.error.startswith("the client closed the connection")
    assert exchange.body_bytes < len(LARGE)


def test_after_a_file_was_sent_nothing_is_watched_or_open(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.client()
        await client.get(HIT)
        before, open_before = watched(), descriptors()
        assert await client.get() == LARGE
        await stage.until(lambda: len(stage.exchanges) == 2, "the exchange is over")
        await stage.until(lambda: watched() == before, "only the connection itself is watched")
        assert descriptors() <= open_before

    perform(story)


def test_an_abort_ends_it_at_once(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        stage.listener.abort()
        await stage.until(lambda: stage.exchanges, "the exchange is over")
        assert await client.broken() < len(LARGE)

    stage = perform(story)
    assert [e.error for e in stage.exchanges] == ["thrust is stopping"]


def test_an_abort_in_the_very_turn_in_which_the_client_reads_on_is_one(perform: Perform) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        sent = stage.contents[0].upcoming
        stage.loop.call_soon(stage.listener.abort)
        with pytest.raises(BlockingIOError):
            while True:
                client.socket.recv(1 << 20)
        await stage.until(lambda: stage.exchanges, "the exchange is over")
        assert sent is not None
        assert stage.exchanges[0].body_bytes < len(LARGE)

    perform(story)


def test_a_drain_waits_for_the_last_byte_and_closes(perform: Perform, way: str) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()
        stage.listener.stop_accepting()
        assert stage.front.busy == 1
        assert await client.end() == LARGE
        assert await stage.listener.drained(BOUND_S)

    stage = perform(story)
    assert [e.error for e in stage.exchanges] == [""]


# Disks that are slow


async def answered_within(stage: Stage, client: Client) -> int:
    """In how many turns of the loop a request from memory is answered."""
    turns = 0

    def count() -> None:
        nonlocal turns, handle
        turns += 1
        handle = stage.loop.call_soon(count)

    handle = stage.loop.call_soon(count)
    try:
        assert await client.get(HIT) == b"hit"
    finally:
        handle.cancel()
    return turns


@pytest.mark.parametrize("size", [len(SMALL), len(LARGE)])
def test_a_disk_that_hangs_delays_nobody_else(
    perform: Perform, way: str, path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system calls that would wait are known, so that one of them on the loop is a failure instead of a delay."""
    os.truncate(path, size)
    monkeypatch.setattr(message, "_NO_WAITING", None)
    ours = threading.get_ident()
    for name in ("sendfile", "pread"):
        monkeypatch.setattr(os, name, refusing_thread(ours, getattr(os, name)))

    async def story(stage: Stage) -> None:
        aside = await stage.client()
        stage.disk.hang()
        clients = [await stage.client() for _ in range(8)]
        for client in clients:
            await client.send(GET)
        await stage.until(lambda: stage.disk.calls == 8, "all wait for the disk")
        for _ in range(50):
            assert await answered_within(stage, aside) <= TURNS
        assert (stage.disk.calls, stage.disk.returned) == (8, 0)
        stage.disk.work()
        for client in clients:
            assert await client.answer() == LARGE[:size]

    perform(story)


def refusing_thread(refused: int, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        assert threading.get_ident() != refused, "this would have to wait for the disk"
        return function(*arguments)

    return call


def test_pages_that_are_not_in_memory_are_left_to_a_thread(perform: Perform, path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            os.preadv(file.fileno(), [bytearray(1)], 6_000_000, os.RWF_NOWAIT)
        except BlockingIOError:
            pass
        except OSError:
            pytest.skip("this file system does not tell")
        else:
            pytest.skip("this file system keeps its pages")

    async def story(stage: Stage) -> None:
        client = await stage.client()
        assert await client.get() == LARGE
        calls = stage.disk.calls
        assert calls >= len(LARGE) // STEP_BYTES
        assert await client.get() == LARGE
        assert stage.disk.calls == calls, "now they are in memory"

    perform(story)


@pytest.mark.parametrize("size", [len(SMALL), len(LARGE)])
@pytest.mark.parametrize("what", ["reset", "abort", pytest.param("close", marks=pytest.mark.slow)])
def test_nobody_waits_for_a_hanging_disk_to_end_an_exchange(
    perform: Perform, way: str, path: Path, what: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(path, size)
    monkeypatch.setattr(message, "_NO_WAITING", None)

    async def story(stage: Stage) -> None:
        stage.disk.hang()
        client = await stage.client()
        await client.send(GET)
        await stage.until(lambda: stage.disk.calls == 1, "it waits for the disk")
        if what == "reset":
            client.reset()
        elif what == "close":
            client.socket.close()
        else:
            stage.listener.abort()
            with contextlib.suppress(ConnectionResetError):
                assert len(await client.end()) < 1000
        await stage.until(lambda: stage.exchanges and not stage.front.connections, "the exchange is over")
        assert stage.disk.returned == 0
        assert is_open(path), "for the thread, so that its number is given to nobody else"
        stage.disk.finish()
        await stage.until(lambda: not is_open(path), "it is closed")

    stage = perform(story)
    assert len(stage.exchanges) == 1


def test_those_who_share_the_loop_with_downloads_get_their_turn(perform: Perform) -> None:
    """However fast a client reads: what is sent in one turn is bounded."""
    largest = 0

    async def story(stage: Stage) -> None:
        nonlocal largest
        sendfile = os.sendfile

        def measuring(*arguments: int) -> int:
            nonlocal largest
            largest = max(largest, arguments[3])
            turns.append(len(ticks))
            return sendfile(*arguments)

        ticks: list[None] = []
        turns: list[int] = []

        def tick() -> None:
            nonlocal handle
            ticks.append(None)
            handle = stage.loop.call_soon(tick)

        handle = stage.loop.call_soon(tick)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "sendfile", measuring)
            assert await (await stage.client(1 << 22)).get() == LARGE
        handle.cancel()
        assert len(turns) - len(set(turns)) <= 1, "never twice in a turn, but for the first"

    perform(story)
    assert largest == STEP_BYTES


class Taking(asyncio.Transport):
    """A transport whose socket takes everything at once, and that notes in which turn of the loop that was."""

    def __init__(self, turns: list[None]) -> None:
        super().__init__()
        self.taken: list[tuple[int, int]] = []
        self._turns = turns

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.taken.append((len(self._turns), len(data)))


class Draining(asyncio.Transport):
    """A transport whose socket is full at each write, and empty again one turn later, before anybody else has run."""

    def __init__(self, gate: WriteGate) -> None:
        super().__init__()
        self.content = b""
        self._gate = gate
        self._ours, self._theirs = socket.socketpair()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.content += data
        self._gate.pause()
        asyncio.get_running_loop().call_soon(self._gate.resume)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._ours if name == "socket" else default

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


def test_a_client_that_reads_on_as_a_range_ends_gets_the_next_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate then opens between the last step of a range and the task that goes on with the next."""

    def full(*arguments: int) -> int:
        raise BlockingIOError(errno.EAGAIN, "full")

    async def nowhere(function: Callable[[], T]) -> T:
        raise AssertionError("everything is in memory")

    monkeypatch.setattr(os, "sendfile", full)

    async def story() -> bytes:
        loop = asyncio.get_running_loop()
        gate = WriteGate(loop)
        transport = Draining(gate)
        segments = [(0, 40_000), b"|", (0, 100_000), b"|", (50_000, 150_000)]
        content = FileContent(os.open(path, os.O_RDONLY), segments, nowhere)
        with contextlib.closing(content), contextlib.closing(transport):
            async with asyncio.timeout(BOUND_S):
                await file_sending.send_file(loop, transport, gate, b"", content, Exchange("", 0.0, 0.0))
        return transport.content

    assert asyncio.run(story()) == b"|".join((LARGE[:40_000], LARGE[:100_000], LARGE[50_000:150_000]))


def test_a_bug_while_a_file_is_sent_ends_the_exchange(perform: Perform, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        client = await stage.full()

        def failing(*arguments: int) -> int:
            raise RuntimeError("a bug")

        monkeypatch.setattr(os, "sendfile", failing)
        assert await client.broken() < len(LARGE)
        assert len(stage.errors) == 1
        stage.errors.clear()

    stage = perform(story)
    assert [e.error for e in stage.exchanges] == ["internal error: RuntimeError('a bug')"]


@pytest.fixture
def system_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file in which the system says how much may be unsent; read anew, and forgotten afterwards."""
    path = tmp_path / "tcp_notsent_lowat"
    monkeypatch.setattr(file_sending, "SYSTEM_LIMIT", path)
    file_sending._has_no_limit.cache_clear()
    yield path
    file_sending._has_no_limit.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="the option means something else elsewhere")
@pytest.mark.parametrize(("of_the_system", "limit"), [("16384", 0), ("1048577", WAKE_BYTES), ("-1", WAKE_BYTES)])
def test_a_lower_limit_of_the_system_is_kept(
    perform: Perform, system_limit: Path, of_the_system: str, limit: int
) -> None:
    system_limit.write_text(f"{of_the_system}\n")

    async def story(stage: Stage) -> None:
        client = await stage.full()
        assert unsent_limit(stage) == limit
        assert await client.take(len(LARGE)) == LARGE

    perform(story)


def test_a_file_in_memory_that_is_copied_to_a_fast_client_is_sent_over_many_turns(path: Path) -> None:
    """Neither the disk nor the client ever makes us wait, as over TLS to a neighbour: others get their turn still."""

    async def at_once(function: Callable[[], T]) -> T:
        return function()

    async def story() -> list[tuple[int, int]]:
        loop = asyncio.get_running_loop()
        turns: list[None] = []

        def tick() -> None:
            nonlocal handle
            turns.append(None)
            handle = loop.call_soon(tick)

        handle = loop.call_soon(tick)
        transport = Taking(turns)
        content = FileContent(os.open(path, os.O_RDONLY), [(0, len(LARGE))], at_once)
        exchange = Exchange("", 0.0, 0.0)
        await file_sending.send_file(loop, transport, WriteGate(loop), b"", content, exchange)
        handle.cancel()
        content.close()
        assert exchange.body_bytes == len(LARGE)
        return transport.taken

    by_turn: dict[int, int] = {}
    for turn, size in asyncio.run(story()):
        by_turn[turn] = by_turn.get(turn, 0) + size
    assert sum(by_turn.values()) == len(LARGE)
    assert max(by_turn.values()) < STEP_BYTES + message.FILE_PIECE_BYTES
