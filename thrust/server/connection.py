"""What any connection with a client needs of its transport, whatever is spoken on it: patience, flow control, endings.

`http1` builds on it. Reading can be paused by whoever cannot take more; `_gate` tells writers when the client does not
read. Two deadlines guard us: one for what the client sends, moved by the protocol above; one for what it takes, kept
here. A connection ends in one of three ways: closed once all has been sent, half-closed while the client's rest is
ignored (lingering, RFC 9112 §9.6), or reset, so that what was sent cannot be taken for complete.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import cast

from thrust.errors import ClientGone
from thrust.flow import Deadline, WriteGate
from thrust.server.front import Front
from thrust.server.sockets import end_writing, reset, unsent_bytes

LINGER_S = 5.0
"""After an early answer: how long the rest of a request is read and thrown away, so that the client can read the answer
before a reset destroys it. nginx waits 5 s between reads."""


class ClientConnection(asyncio.Protocol, ABC):
    """The transport's half of a client's connection; lives until `connection_lost`."""

    __slots__ = (
        "_front",
        "_gate",
        "_is_closing",
        "_is_lingering",
        "_loop",
        "_read_deadline",
        "_read_paused",
        "_saw_eof",
        "_stalled_bytes",
        "_transport",
        "_write_deadline",
        "peer_address",
    )

    _transport: asyncio.Transport

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop) -> None:
        self._front = front
        self._loop = loop
        self._gate = WriteGate(loop)
        self._read_deadline = Deadline(loop, self._read_expired)
        self._write_deadline = Deadline(loop, self._write_expired)
        self._stalled_bytes = 0
        self._read_paused = False
        self._saw_eof = False
        self._is_closing = False
        self._is_lingering = False
        self.peer_address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted (asyncio.Protocol)."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer_address = peer[0] if peer else ""
        if not self._front.admit(self):
            self._transport.abort()
            return
        self._read_deadline.set(self._front.timeouts.read_s)
        if self._front.is_draining:
            self.drain()

    def connection_lost(self, error: Exception | None) -> None:
        """Closed, by whomever (asyncio.Protocol)."""
        self._front.dismiss(self)
        self._read_deadline.cancel()
        self._write_deadline.cancel()
        gone = ClientGone("the client closed the connection")
        self._gate.fail(gone)
        self._abandon(gone)

    # For the protocol above to fill in, or to add to

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that will end by itself, so that a shutdown waits for it."""
        return self._is_closing and self._transport.get_write_buffer_size() > 0

    @abstractmethod
    def drain(self) -> None:
        """Closes the connection now if it is idle, else after what is under way."""

    @abstractmethod
    def end_stream(self, *, also_tunnel: bool = False) -> None:
        """Ends an event stream, and a tunnel if asked to: what would never end by itself."""

    @abstractmethod
    def abort(self) -> None:
        """Ends the connection now."""

    @abstractmethod
    def _abandon(self, gone: ClientGone) -> None:
        """The connection is lost: stops whatever works for it."""

    @abstractmethod
    def _read_expired(self) -> None:
        """The client has sent too little for too long."""

    @abstractmethod
    def _blame_reader(self, reason: str) -> None:
        """The client is cut off because it does not read: notes why."""

    @abstractmethod
    def _writing_resumed(self) -> None:
        """The client has taken enough of what was written to get more."""

    # Endings

    def _close(self) -> None:
        """Closes after what has been written is sent; a client that does not take it is cut off."""
        self._is_closing = True
        self._read_deadline.clear()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._stalled_bytes = unsent_bytes(self._transport)
            self._write_deadline.set(self._front.timeouts.write_s)

    def _linger(self) -> None:
        """Ends our side and lets the client's rest pass, for LINGER_S at most."""
        self._is_lingering = True
        if self._saw_eof or not self._transport.can_write_eof():
            self._close()
            return
        end_writing(self._transport)
        self.resume_reading()
        self._read_deadline.set(LINGER_S)

    def _reset(self) -> None:
        """Ends an answer that cannot be completed so that the client cannot take it for complete."""
        reset(self._transport)

    # Flow control

    def pause_reading(self) -> None:
        """Lets the client wait (BodyBuffer's source)."""
        if not self._read_paused and not self._saw_eof and not self._transport.is_closing():
            self._read_paused = True
            self._read_deadline.clear()
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Goes on reading (BodyBuffer's source)."""
        if self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write (asyncio.Protocol)."""
        self._gate.pause()
        self._stalled_bytes = unsent_bytes(self._transport)
        self._write_deadline.set(self._front.timeouts.write_s)

    def resume_writing(self) -> None:
        """The client has read (asyncio.Protocol)."""
        self._gate.resume()
        if self._is_closing:
            return  # what is left has its deadline still, because nothing else would end this
        self._write_deadline.clear()
        if not self._is_lingering:
            self._writing_resumed()

    def _write_expired(self) -> None:
        """Cuts off a client that took nothing for the write timeout; one that takes little goes on."""
        waiting = unsent_bytes(self._transport)
        limit_s = self._front.timeouts.write_s
        if waiting < self._stalled_bytes:
            self._stalled_bytes = waiting
            self._write_deadline.set(limit_s)
            return
        self._blame_reader(f"the client read nothing for {limit_s:g} s")
        self._reset()
