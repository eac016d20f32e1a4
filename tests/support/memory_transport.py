"""Transports without sockets, which behave as those of asyncio's selector loop do.

A MemoryTransport is what a protocol of ours gets. Its Peer stands for the program at the other end together with both
kernels in between: a test sends with it, looks at what it received, closes, resets, or stops reading. What is modelled:
write buffer with high and low water, pausing, both half-closes, data that a closed peer answers with a reset, resets
because of unread input or SO_LINGER, connection_lost exactly once. `test_memory_transport` compares it with real
sockets.
"""

import asyncio
import errno
import os
import socket
import struct
from typing import Any

READ_BYTES = 256 * 1024
"""What asyncio takes from a socket at once."""

HIGH_WATER_BYTES = 65_536
LOW_WATER_BYTES = 16_384
"""Of the write buffer: above the first its protocol is paused, not above the second it is resumed."""


class MemoryTransport(asyncio.Transport):
    """A connection of `protocol`; `peer` is its other end. `read_bytes` at most arrive at once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.Protocol,
        *,
        peername: tuple[str, int] = ("127.0.0.1", 40000),
        read_bytes: int = READ_BYTES,
        waiter: "asyncio.Future[None] | None" = None,
    ) -> None:
        self.socket = MemorySocket(self)
        super().__init__({"peername": peername, "socket": self.socket})
        self._loop = loop
        self.peer = Peer(self)
        self.lost_calls = 0
        self.max_buffered_bytes = 0
        self.incoming = bytearray()  # has arrived, but nobody has read it
        self.incoming_ended = False
        self.was_reset = False
        self._protocol = protocol
        self._read_bytes = read_bytes
        self._buffer = bytearray()
        self._high_water_bytes, self._low_water_bytes = HIGH_WATER_BYTES, LOW_WATER_BYTES
        self._protocol_paused = False
        self._conn_lost = 0
        self._closing = self._paused = self._eof = self._fin_sent = False
        self._is_watching = self._read_scheduled = self._write_scheduled = False
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._watch)
        if waiter is not None:
            loop.call_soon(_wake, waiter)

    # Reading

    def is_reading(self) -> bool:
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        if self.is_reading():
            self._paused = True
            self._is_watching = False

    def resume_reading(self) -> None:
        if not self._closing and self._paused:
            self._paused = False
            self._watch()

    def _watch(self) -> None:
        if self.is_reading():
            self._is_watching = True
            self.poll_read()

    def poll_read(self) -> None:
        """Does what epoll would do: wakes the reader if there is something to read."""
        is_readable = self.incoming or self.incoming_ended or self.was_reset
        if is_readable and self._is_watching and not self._read_scheduled and not self._conn_lost:
            self._read_scheduled = True
            self._loop.call_soon(self._read_ready)

    def _read_ready(self) -> None:
        self._read_scheduled = False
        if not self._is_watching or self._conn_lost:
            return
        try:
            if self.incoming:
                data = bytes(self.incoming[: self._read_bytes])
                del self.incoming[: self._read_bytes]
                self._protocol.data_received(data)
            elif self.was_reset:
                self._fatal_error(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
            elif self._protocol.eof_received():
                self._is_watching = False
            else:
                self.close()
        except Exception as error:
            self._fatal_error(error)
        self.poll_read()

    # Writing

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_water_bytes = HIGH_WATER_BYTES if high is None else high
        self._low_water_bytes = self._high_water_bytes // 4 if low is None else low
        self._maybe_pause_protocol()

    def write(self, data: Any) -> None:
        self._check_writable("write")
        if not data or self._conn_lost:
            return
        if not self._buffer:
            try:
                data = data[self.peer.accept(data) :]
            except OSError as error:
                self._fatal_error(error)
                return
            if not data:
                return
        self._add(data)
        self._maybe_pause_protocol()

    def writelines(self, list_of_data: Any) -> None:
        """Writes without ever pausing the protocol, which is what CPython 3.12 and 3.13 do."""
        self._check_writable("writelines")
        for data in list_of_data:
            self._add(data)
        self._write_ready()

    def _check_writable(self, what: str) -> None:
        if self.lost_calls:  # asyncio ignores it, uvloop raises
            raise RuntimeError(f"{what}() after connection_lost()")
        if self._eof:
            raise RuntimeError(f"Cannot call {what}() after write_eof()")

    def _add(self, data: bytes) -> None:
        self._buffer += data
        self.max_buffered_bytes = max(self.max_buffered_bytes, len(self._buffer))

    def poll_write(self) -> None:
        """Wakes the writer if the peer has taken something, or is gone."""
        if self._buffer and not self._write_scheduled and not self._conn_lost:
            self._write_scheduled = True
            self._loop.call_soon(self._write_ready)

    def _write_ready(self) -> None:
        self._write_scheduled = False
        if self._conn_lost or not self._buffer:
            return
        try:
            del self._buffer[: self.peer.accept(self._buffer)]
        except OSError as error:
            self._fatal_error(error)
            return
        self._maybe_resume_protocol()
        if self._buffer:
            if self.peer.window_bytes != 0:
                self.poll_write()
        elif self._closing:
            if not self._conn_lost:
                self._conn_lost += 1
                self._call_connection_lost(None)
        elif self._eof:
            self._send_fin()

    def _maybe_pause_protocol(self) -> None:
        if len(self._buffer) > self._high_water_bytes and not self._protocol_paused:
            self._protocol_paused = True
            self._protocol.pause_writing()

    def _maybe_resume_protocol(self) -> None:
        if len(self._buffer) <= self._low_water_bytes and self._protocol_paused:
            self._protocol_paused = False
            self._protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self.lost_calls:  # asyncio ignores it, uvloop raises
            raise RuntimeError("write_eof() after connection_lost()")
        if not self._closing and not self._eof:
            self._eof = True
            if not self._buffer:
                self._send_fin()

    def _send_fin(self) -> None:
        self._fin_sent = True
        self.peer.saw_end = True

    # Endings

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._is_watching = False
            if not self._buffer:
                self._conn_lost += 1
                self._loop.call_soon(self._call_connection_lost, None)

    def abort(self) -> None:
        self._force_close(None)

    def _fatal_error(self, error: Exception, message: str = "") -> None:
        if not isinstance(error, OSError):
            self._loop.call_exception_handler({"message": "Fatal error on transport", "exception": error})
        self._force_close(error)

    def _force_close(self, error: Exception | None) -> None:
        if self._conn_lost:
            return
        self._buffer.clear()
        self._closing = True
        self._is_watching = False
        self._conn_lost += 1
        self._loop.call_soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: Exception | None) -> None:
        self.lost_calls += 1
        try:
            self._protocol.connection_lost(error)
        finally:
            # A socket that is closed with unread input, or told not to linger, sends RST instead of FIN.
            if self.incoming or self.socket.resets_on_close:
                self.peer.saw_reset = True
            elif not self.was_reset:
                self.peer.saw_end = True
            self.socket.close()

    def __repr__(self) -> str:
        state = "lost" if self.lost_calls else "closing" if self._closing else "paused" if self._paused else "open"
        return f"<MemoryTransport {state}, {len(self.incoming)} bytes unread, {len(self._buffer)} unsent>"


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


class MemorySocket:
    """As much of a socket as the program asks of one."""

    family = socket.AF_INET
    type = None
    """No kernel moves its bytes, so files are read and written, as they are over TLS."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self.options: dict[tuple[int, int], Any] = {}
        self.is_closed = False

    @property
    def resets_on_close(self) -> bool:
        return self.options.get((socket.SOL_SOCKET, socket.SO_LINGER)) == struct.pack("ii", 1, 0)

    def dup(self) -> "MemorySocket":
        return MemorySocket(self._transport)

    def recv(self, size: int, flags: int) -> bytes:
        """Nothing: what a reset leaves behind in the kernel is for tests with real sockets."""
        raise BlockingIOError

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self._check_open()
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int) -> int:
        self._check_open()
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.ECONNRESET if self._transport.was_reset else 0

    def fileno(self) -> int:
        """A descriptor that is readable if there is something to read."""
        self._check_open()
        self._close_pair()
        self._pair = socket.socketpair()
        if self._transport.incoming or self._transport.incoming_ended or self._transport.was_reset:
            self._pair[1].send(b"!")
        return self._pair[0].fileno()

    def close(self) -> None:
        self.is_closed = True
        self._close_pair()

    def _close_pair(self) -> None:
        for end in self._pair or ():
            end.close()

    def _check_open(self) -> None:
        if self.is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class Peer:
    """The program at the other end of `transport`. Reads all that comes until told otherwise.

    `window_bytes` is how much it still takes, None for everything.
    """

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.received = bytearray()
        self.received_bytes = 0
        self.window_bytes: int | None = None
        self.saw_end = False
        self.saw_reset = False
        self.is_closed = False

    def send(self, data: bytes) -> None:
        assert not self.transport.incoming_ended and not self.is_closed, "the peer has ended its sending side"
        if not self.transport.lost_calls:
            self.transport.incoming += data
            self.transport.poll_read()

    def end(self) -> None:
        """Half-closes: sends no more, still reads."""
        self.transport.incoming_ended = True
        self.transport.poll_read()

    def close(self) -> None:
        """Closes its socket; what is sent to it from now on is answered with a reset."""
        self.is_closed = True
        self.end()

    def reset(self) -> None:
        self.is_closed = True
        self._reset_transport()

    def stop_reading(self) -> None:
        self.window_bytes = 0

    def read(self, count: int) -> None:
        """Takes so many bytes and stops again."""
        self.window_bytes = (self.window_bytes or 0) + count
        self.transport.poll_write()

    def read_on(self) -> None:
        self.window_bytes = None
        self.transport.poll_write()

    def take(self) -> bytes:
        """What was received since the last call."""
        data = bytes(self.received)
        self.received.clear()
        return data

    def accept(self, data: Any) -> int:
        """How many bytes of `data` the transport could send; raises as `socket.send` does."""
        if self.transport.was_reset:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if self.is_closed:
            self._reset_transport()
            return len(data)
        count = len(data) if self.window_bytes is None else min(len(data), self.window_bytes)
        if self.window_bytes is not None:
            self.window_bytes -= count
        self.received += data[:count]
        self.received_bytes += count
        return count

    def _reset_transport(self) -> None:
        self.transport.was_reset = True
        self.transport.poll_read()
        self.transport.poll_write()

    def __repr__(self) -> str:
        return f"<Peer received {bytes(self.received)!r}, end {self.saw_end}, reset {self.saw_reset}>"
