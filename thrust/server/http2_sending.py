"""Whose turn it is: the content of all streams of a connection goes out in small portions, the urgent first.

`http2` asks for as much as the transport should hold, which is little, so that a stream that has something to say later
need not wait for what was said before. Urgency orders the streams (RFC 9218 §4.1); those of the same one take turns:
a frame each if they are incremental, a few if each is of use only as a whole. A stream without window has no place
here; the connection brings it back when the client opens the window.
"""

import asyncio
import contextlib
import socket
from typing import Protocol

from thrust.wire.http2.engine import Engine
from thrust.wire.http2.frames import MAX_FRAME_BYTES

URGENCIES = 8

FRAMES_PER_TURN = 4
"""Of a stream that is not incremental: 64 KB, which take half a millisecond at 1 Gbit/s. A download is in nobody's way,
and pages do not all become ready at the same late moment. RFC 9218 §10 would send such streams one after the other;
but a client that says nothing about priorities means the same default with everything, and must not wait for a file
of a gigabyte."""

UNSENT_BYTES = 131072
"""What may wait in the kernel without being under way (TCP_NOTSENT_LOWAT), where it would be in everybody's way."""


class Sendable(Protocol):
    """A stream with content to send."""

    id: int
    urgency: int
    is_incremental: bool
    is_queued: bool

    @property
    def waiting_bytes(self) -> int:
        """How much content is ready."""
        ...

    def send(self, size_bytes: int) -> None:
        """Puts so much of it into a frame; tells whoever waits when it was the last."""
        ...


class Sender:
    """The streams that could send now, in order."""

    __slots__ = ("_engine", "_queues", "_size")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Not deques, each of which keeps 0.7 KB for as long as a client is connected (benchmark tls-idle-memory).
        self._queues: list[list[Sendable]] = [[] for _ in range(URGENCIES)]
        self._size = 0

    @property
    def is_ready(self) -> bool:
        """Whether something could be sent now."""
        return self._size > 0 and self._engine.sendable_on_connection_bytes > 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody has anything to send that its own window would allow."""
        return not self._size

    def offer(self, stream: Sendable) -> None:
        """The stream has content; it waits for its turn, unless its window is closed."""
        if not stream.is_queued:
            stream.is_queued = True
            self._size += 1
            self._queues[stream.urgency].append(stream)

    def withdraw(self, stream: Sendable) -> None:
        """The stream is over, or changes its urgency."""
        if stream.is_queued:
            stream.is_queued = False
            self._size -= 1
            self._queues[stream.urgency].remove(stream)

    def fill(self, room_bytes: int) -> None:
        """Has streams send until `room_bytes` are used up, which the last frame may exceed."""
        engine = self._engine
        for queue in self._queues:
            while queue and room_bytes > 0:
                if engine.sendable_on_connection_bytes <= 0:
                    return
                stream = queue.pop(0)
                stream.is_queued = False
                self._size -= 1
                room_bytes -= self._give_turn(stream, room_bytes)
                if stream.waiting_bytes and engine.stream_window_bytes(stream.id) > 0:
                    self.offer(stream)

    def _give_turn(self, stream: Sendable, room_bytes: int) -> int:
        """How much the stream has sent in its turn."""
        sent_bytes = 0
        for _ in range(1 if stream.is_incremental else FRAMES_PER_TURN):
            size = min(stream.waiting_bytes, self._engine.sendable_bytes(stream.id), MAX_FRAME_BYTES)
            if size <= 0 or sent_bytes >= room_bytes:
                break
            stream.send(size)
            sent_bytes += size
        return sent_bytes

    def __repr__(self) -> str:
        return f"<Sender {self._size} streams ready>"


def limit_unsent(transport: asyncio.BaseTransport) -> None:
    """Keeps the kernel from holding more than what is under way, where it can be told."""
    connection = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if connection is not None and option is not None:
        with contextlib.suppress(OSError):  # no TCP
            connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)
