"""Sends the content of a file to a client: by the kernel where that is possible, without waiting for a disk.

For `http1`, which hands over the head of the response. Large content goes from the page cache to the socket by
sendfile(2), past the transport, whose buffer is empty meanwhile, so that nothing is overtaken. When the socket is full,
the transport gets the next few kilobytes to write, the bait: neither event loop lets us watch a transport's socket, but
the transport does. It pauses the protocol as for any other content, so that the client has the same deadline, and when
it has written the bait and resumes the protocol, we go on.

sendfile waits for pages that are not in the page cache, and would keep everybody else waiting. So we look first, and
where pages are missing, or the file system does not tell (overlayfs, tmpfs, FUSE, macOS), a thread does the same step,
on a duplicate of the socket's descriptor.

Small content is read and joined with its head. What sendfile cannot do (TLS, some file systems) is read piece by piece,
from memory or else by a thread, and written. A file that grew is sent as far as was announced; one that shrank is an
error, and never made up for.
"""

import asyncio
import contextlib
import errno
import math
import os
import socket
from functools import cache, partial
from pathlib import Path

from thrust.errors import ClientGone, ThrustError
from thrust.flow import WriteGate
from thrust.http.exchange import Exchange
from thrust.http.message import Descriptor, FileContent, read_cached

STEP_BYTES = 2097152
"""What is sent before others get their turn: 0.3 ms of work, if the socket takes it. Steps of 1 MB cost a tenth more
CPU, and nobody waits less. nginx takes as much (sendfile_max_chunk). A thread has the disk read it at once, too."""

SMALL_FILE_BYTES = 32768
"""Content up to this is read, and written with its head: 50 µs of CPU instead of 66 for 16 KB, no gain at 64 KB."""

LOOK_EVERY_BYTES = 1048576
"""How densely we look for pages that are missing. Each look costs 1 to 5 µs, all together a hundredth of sending; the
kernel reads and drops pages by the hundred, so that few holes are missed, and one costs a single read."""

LOOK_AGAIN_S = 1.0
"""For how long what we saw is taken for true; a client that takes a step in pieces does not make us look for each."""

WAKE_BYTES = 1048576
"""While a socket is full: as TCP_NOTSENT_LOWAT it lets us be called when half of this is left to send, instead of two
thirds of what may be up to 4 MB. Fewer, longer steps take a tenth less CPU (file-10m). A slow client's buffer is
smaller, and nothing changes for it."""

SYSTEM_LIMIT = Path("/proc/sys/net/ipv4/tcp_notsent_lowat")

BAIT_BYTES = 16384
"""What the transport gets to write when the socket is full: as good as nothing for a slow client to hold.

Not more than asyncio's low water mark, which counts for the bait that ends a file: it is the transport's own again.
"""

_NOT_BY_SENDFILE = frozenset(
    (
        errno.EINVAL,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.ENOTSUP,
        errno.EOVERFLOW,
        errno.ENOTSOCK,
        errno.EMFILE,  # no descriptor is left for a thread's duplicate
        errno.ENFILE,
    )
)
"""Not an error of the file or the client: the same bytes can be read and written."""


async def send_file(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    gate: WriteGate,
    head: bytes,
    content: FileContent,
    exchange: Exchange,
) -> None:
    """Returns when `head` and `content` are sent, or wait in the buffer of `transport`; the caller closes `content`.

    Counts in `exchange.body_bytes`. Raises ClientGone, or ThrustError if the file cannot be sent to its announced end:
    the connection has to be reset then.
    """
    try:
        if content.length <= SMALL_FILE_BYTES:
            body = await _read_small(content)
            transport.write(head + body)
            exchange.body_bytes = len(body)
            return
        if _leads_to_kernel(transport):
            await _send_by_kernel(loop, transport, gate, head, content, exchange)
        else:
            transport.write(head)
        await _send_by_copy(transport, gate, content, exchange)
    except ConnectionError as error:
        raise ClientGone("the client closed the connection in the middle of a file") from error
    except OSError as error:
        raise ThrustError(f"a file could not be sent: {error.strerror}") from error


async def _read_small(content: FileContent) -> bytes:
    pieces = []
    while (segment := content.upcoming) is not None:
        piece = segment if isinstance(segment, bytes) else read_cached(content.descriptor, *segment)
        if piece:
            content.advance(len(piece))
        else:
            piece = await content.read()
        pieces.append(piece)
    return b"".join(pieces)


def _leads_to_kernel(transport: asyncio.Transport) -> bool:
    """Whether what is written to the transport goes to a stream socket as it is."""
    connection = transport.get_extra_info("socket")
    is_stream = connection is not None and connection.type == socket.SOCK_STREAM
    return is_stream and transport.get_extra_info("sslcontext") is None


async def _send_by_copy(
    transport: asyncio.Transport, gate: WriteGate, content: FileContent, exchange: Exchange
) -> None:
    in_a_row_bytes = 0
    while piece := await content.read():
        exchange.body_bytes += len(piece)
        in_a_row_bytes += len(piece)
        transport.write(piece)
        del piece  # the transport has it, encrypted: not twice for as long as a client does not read
        if not gate.is_open:
            await gate.drained()
            in_a_row_bytes = 0
        elif in_a_row_bytes >= STEP_BYTES:
            await asyncio.sleep(0)
            in_a_row_bytes = 0


async def _send_by_kernel(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    gate: WriteGate,
    head: bytes,
    content: FileContent,
    exchange: Exchange,
) -> None:
    """Sends `head` and `content`; where sendfile turns out not to be possible, `content` is left as far as it came."""
    transport.set_write_buffer_limits(0)  # the gate is open when the buffer is empty, instead of nearly so
    try:
        transport.write(head)
        await _Sender(loop, transport, gate, content, exchange).send()
    except OSError as error:
        if error.errno not in _NOT_BY_SENDFILE:
            raise
    finally:
        if not transport.is_closing():
            transport.set_write_buffer_limits()


class _Sender:
    """One response on its way to one client's socket."""

    __slots__ = (
        "_can_look",
        "_content",
        "_exchange",
        "_file",
        "_gate",
        "_is_limited",
        "_looked_s",
        "_loop",
        "_next_step",
        "_seen",
        "_socket",
        "_transport",
        "_waiter",
    )

    _waiter: "asyncio.Future[None]"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        gate: WriteGate,
        content: FileContent,
        exchange: Exchange,
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._gate = gate
        self._content = content
        self._exchange = exchange
        self._file = content.descriptor
        self._socket = transport.get_extra_info("socket")
        self._next_step: asyncio.Handle | None = None
        self._is_limited = False
        self._can_look = True
        self._looked_s = -math.inf
        self._seen = (0, 0)

    async def send(self) -> None:
        """Sends everything; OSError if the file, the socket or both cannot."""
        try:
            while (segment := self._content.upcoming) is not None:
                await self._gate.drained()
                self._limit(False)
                if isinstance(segment, bytes):
                    self._write(segment)
                elif self._is_cached(*segment):
                    await self._send_cached()
                else:
                    await self._send_missing(*segment)
        finally:
            if not self._transport.is_closing():
                self._limit(False)

    async def _send_cached(self) -> None:
        """Sends of a range what is in the page cache, a step in each turn of the event loop in which there is room.

        The callback does it all: waking this task for each step costs as much as a third of sending (file-10m).
        """
        if not self._send_step():
            return
        self._waiter = waiter = self._loop.create_future()
        self._gate.on_change = self._plan_step
        self._plan_step()
        try:
            await waiter
        finally:
            self._gate.on_change = None
            if self._next_step is not None:
                self._next_step.cancel()
                self._next_step = None
            # An error in it knows us by its traceback: as a circle the two would keep the file open.
            del self._waiter, waiter

    def _plan_step(self) -> None:
        """Takes the next step in the next turn, if the bait has been written; else the gate will call this again.

        Also if the connection is closing, so that the step finds out.
        """
        if self._next_step is None and (self._gate.is_open or self._transport.is_closing()):
            self._next_step = self._loop.call_soon(self._step_or_wake)

    def _step_or_wake(self) -> None:
        self._next_step = None
        if self._waiter.done():  # cancelled a moment ago
            return
        try:
            if self._send_step():
                self._plan_step()
                return
        except Exception as error:
            self._waiter.set_exception(error)
        else:
            self._waiter.set_result(None)

    def _send_step(self) -> bool:
        """Whether there is more to send in this way, once the transport's buffer is as empty as it is now."""
        self._check_open()
        self._limit(False)
        segment = self._content.upcoming
        if segment is None or isinstance(segment, bytes) or not self._is_cached(*segment):
            return False
        start, stop = segment
        count = min(stop - start, STEP_BYTES)
        try:
            sent = _send_some(self._socket.fileno(), self._file, start, count)
        except BlockingIOError:
            sent = 0
        self._count(sent)
        if sent < count:
            start += sent
            bait = read_cached(self._file, start, min(start + BAIT_BYTES, stop))
            if not bait:
                self._can_look = False
                return False
            self._limit(True)
            self._write(bait)
        return isinstance(self._content.upcoming, tuple)

    def _limit(self, is_limited: bool) -> None:
        """Whether the transport is called later than by default; undone before sendfile, which would take less, too."""
        if is_limited != self._is_limited and _can_be_limited(self._socket):
            self._is_limited = is_limited
            limit_bytes = WAKE_BYTES if is_limited else 0  # 0 is what the system says (tcp_notsent_lowat)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, limit_bytes)

    async def _send_missing(self, start: int, stop: int) -> None:
        """Sends one step of a range in a thread, which may wait for the disk."""
        self._check_open()
        duplicate = Descriptor(os.dup(self._socket.fileno()))  # the number of the original is lost if the client leaves
        step = partial(_read_and_send, duplicate, self._file, start, min(stop - start, STEP_BYTES))
        try:
            sent, bait = await self._content.in_thread(step)
        except asyncio.CancelledError:
            _shut_down(duplicate)  # the thread may hold it for as long as the disk takes: the client shall not wait
            raise
        self._count(sent)
        if bait:
            self._write(bait)

    def _write(self, data: bytes) -> None:
        """Hands the next of the content to the transport."""
        self._check_open()
        self._transport.write(data)
        self._count(len(data))

    def _check_open(self) -> None:
        """Raises ConnectionAbortedError if the socket may not be ours any more."""
        if self._transport.is_closing():
            raise ConnectionAbortedError

    def _is_cached(self, start: int, stop: int) -> bool:
        """Whether the next step of a range will not have to wait for the disk, as far as anybody can know."""
        if not self._can_look:
            return False
        stop = min(stop, start + STEP_BYTES)
        now_s = self._loop.time()
        seen_from, seen_to = self._seen
        if not seen_from <= start <= seen_to or now_s - self._looked_s > LOOK_AGAIN_S:
            seen_from = seen_to = start
            self._looked_s = now_s
        if stop > seen_to:
            looks = range(stop - 1, seen_to - 1, -LOOK_EVERY_BYTES)
            if not all(read_cached(self._file, position, position + 1) for position in looks):
                # A look makes the kernel read what it misses, so that the next one would find just that.
                self._can_look = False
                return False
            self._seen = seen_from, stop
        return True

    def _count(self, sent_bytes: int) -> None:
        if sent_bytes:
            self._content.advance(sent_bytes)
            self._exchange.body_bytes += sent_bytes


def _can_be_limited(connection: socket.socket) -> bool:
    return _has_no_limit() and connection.family in (socket.AF_INET, socket.AF_INET6)


@cache
def _has_no_limit() -> bool:
    """Whether there is nothing like WAKE_BYTES yet: a system may have a lower limit for all sockets, which is kept."""
    try:
        return not 0 <= int(SYSTEM_LIMIT.read_text()) <= WAKE_BYTES
    except (OSError, ValueError):
        return False  # not Linux: the option means something else elsewhere


def _send_some(to: int, file: Descriptor, start: int, count: int) -> int:
    """How many bytes of the file the socket has taken, at least one. Raises BlockingIOError if it takes none now."""
    sent = os.sendfile(to, file.number, start, count)
    if not sent:
        raise OSError(errno.EIO, "the file became shorter while it was sent")
    return sent


def _read_and_send(to: Descriptor, file: Descriptor, start: int, count: int) -> tuple[int, bytes]:
    """The same for a thread, which may wait for the disk: how much the socket has taken, and the bait if it is full.

    No bait may also mean that the file ends here; sending on will tell. By itself the kernel would read 128 KB at a
    time.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.number, start, count, os.POSIX_FADV_WILLNEED)
    try:
        sent = _send_some(to.number, file, start, count)
    except BlockingIOError:
        sent = 0
    if sent == count:
        return sent, b""
    return sent, os.pread(file.number, min(count - sent, BAIT_BYTES), start + sent)


def _shut_down(duplicate: Descriptor) -> None:
    """Ends both directions for all who have the socket."""
    with contextlib.suppress(OSError):  # its client has gone already
        connection = socket.socket(fileno=duplicate.number)
        try:
            connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()
