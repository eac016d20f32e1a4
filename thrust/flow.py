"""What both sides of the wire need to move bodies without queues: bounded streams, cheap deadlines, owned tasks.

`server/` uses it towards clients, `upstream/` towards the worker. Backpressure is always the same: whoever receives
faster than the other side consumes has its transport paused, so that the peer's TCP window does the waiting. Memory per
direction is bounded whatever the body's size: STREAM_HIGH_WATER_BYTES plus one read of the event loop (256 KB), no
matter how much of it waits here and how much is on its way out, in the consumer's hands and in its transport.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from thrust.errors import ThrustError
from thrust.http.headers import FieldLine

STREAM_HIGH_WATER_BYTES = 65536
"""Received and not yet consumed bytes of one body beyond which its sender is paused; asyncio's default for writing."""

JOINED_PIECE_BYTES = 1024
"""Smaller pieces are joined as they arrive: each takes some 50 bytes besides its content, many times as much as that if
a client sends frames or chunks of a few bytes."""

INLINE_BYTES = 32768
"""Content up to this is coded on the event loop, in about 0.1 ms, which is what handing it to a thread costs."""

T = TypeVar("T")
P = ParamSpec("P")

if sys.version_info >= (3, 12):

    def start_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Runs `coroutine` up to its first wait at once, the rest as a task that the caller owns.

        Saves a turn of the event loop per request (benchmark forward-1k). The task may be done when this returns.
        """
        return asyncio.Task(coroutine, loop=loop, eager_start=True, name="thrust")

else:

    def start_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Runs `coroutine` as a task that the caller owns, beginning with the next turn of the event loop."""
        return asyncio.Task(coroutine, loop=loop, name="thrust")


async def compute(size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns, in a thread if `size_bytes` of content would keep the event loop from others."""
    if size_bytes <= INLINE_BYTES:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


class Pausable(Protocol):
    """The receiving half of a transport."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class BodyBuffer:
    """A body that arrives while it is consumed; a BodyStream of `http/message.py`.

    The receiver calls `feed`, then `end` or `fail`; the consumer `read`s until b"" or `close`s. `on_close` tells the
    receiver that nobody wants the rest. `ends_with_connection` says that nothing but the sender's closing marks the end
    (RFC 9112 §6.3 rule 8), so that nobody can tell a whole body from one that broke off.

    What the consumer has read counts until it reads again: it has passed nothing on if the other side is stuck, and a
    hundred streams of HTTP/2 may be stuck on one connection.
    """

    __slots__ = (
        "_closed",
        "_ended",
        "_error",
        "_in_hand",
        "_loop",
        "_on_close",
        "_paused",
        "_pieces",
        "_size",
        "_source",
        "_waiter",
        "ends_with_connection",
        "trailers",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: Pausable,
        on_close: Callable[[], None],
        *,
        ends_with_connection: bool = False,
    ) -> None:
        self._loop = loop
        self._source = source
        self._on_close = on_close
        self._pieces: list[bytes] = []
        self._size = 0
        self._in_hand = 0
        """Of `_size`: what the last `read` has returned."""
        self._paused = False
        self._ended = False
        self._closed = False
        self._error: ThrustError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.ends_with_connection = ends_with_connection
        self.trailers: list[FieldLine] = []

    @property
    def is_paused(self) -> bool:
        """Whether the sender is being held back because the consumer is slower."""
        return self._paused

    @property
    def is_ended(self) -> bool:
        """Whether everything has been received, or never will be."""
        return self._ended

    def feed(self, piece: bytes) -> None:
        """Adds received content; pauses the source when enough is waiting. Ignored once closed."""
        if not piece or self._ended:
            return
        pieces, size = self._pieces, len(piece)
        if size < JOINED_PIECE_BYTES and pieces and len(pieces[-1]) < JOINED_PIECE_BYTES:
            pieces[-1] += piece
        else:
            pieces.append(piece)
        self._size += size
        if self._size > STREAM_HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._source.pause_reading()
        self._wake()

    def end(self, trailers: Sequence[FieldLine] = ()) -> None:
        """Says that the body is complete."""
        if not self._ended:
            self.trailers.extend(trailers)
            self._finish()

    def fail(self, error: ThrustError) -> None:
        """Says that the body will never be complete; `read` raises `error` after what has been received."""
        if not self._ended:
            self._error = error
            self._finish()

    async def read(self) -> bytes:
        """All content that is waiting, else the next piece to come; b"" at the end. Raises what `fail` was given."""
        self._size -= self._in_hand
        self._in_hand = 0
        if self._paused and self._size <= STREAM_HIGH_WATER_BYTES:
            self._resume()
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._take()

    def close(self) -> None:
        """Gives up what is left; the receiver is told unless everything has arrived."""
        if self._closed:
            return
        self._closed = True
        if self._pieces or not self._ended:
            # A reader that has been woken and not yet run must not take this end for the body's.
            self._error = self._error or ThrustError("the body was given up")
        self._pieces.clear()
        self._size = self._in_hand = 0
        if not self._ended:
            self._finish()
            self._on_close()

    def _take(self) -> bytes:
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._in_hand = self._size
        return piece

    def _finish(self) -> None:
        # The source may go on at once: what it reads from now on belongs to somebody else.
        self._ended = True
        self._resume()
        self._wake()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._source.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __repr__(self) -> str:
        state = "ended" if self._ended else "paused" if self._paused else "open"
        return f"<BodyBuffer {state}, {self._size - self._in_hand} bytes waiting>"


class Deadline:
    """A deadline that is moved with every request and almost never missed.

    Moving it costs an assignment: the timer behind it is left alone, and when it fires too early it goes to sleep for
    the remainder (benchmark forward-1k; an event loop timer per request costs about 2 µs).
    """

    __slots__ = ("_at", "_fires_at", "_loop", "_on_expiry", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expiry: Callable[[], None]) -> None:
        self._loop = loop
        self._on_expiry = on_expiry
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def set(self, seconds: float) -> None:
        """Expires `seconds` from now unless moved before; 0 means never."""
        if not seconds:
            self._at = None
            return
        self._at = at = self._loop.time() + seconds
        if self._timer is None:
            self._arm(at)
        elif at < self._fires_at:
            self._timer.cancel()
            self._arm(at)

    def clear(self) -> None:
        """Waits for nothing, until `set` again."""
        self._at = None

    def cancel(self) -> None:
        """Ends it for good and lets go of the timer."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        self._fires_at = at
        self._timer = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._at is None:
            return
        # A loop whose clock ticks in milliseconds (uvloop) may fire that much early.
        if self._at - self._loop.time() > 0.001:
            self._arm(self._at)
            return
        self._at = None
        self._on_expiry()


class WriteGate:
    """The writing half of a transport, for one writer that can wait: forwards asyncio's flow control to `drained`.

    A writer that has no task to wait in sets `on_change`, which is called when the gate opens or fails.
    """

    __slots__ = ("_error", "_loop", "_waiter", "is_open", "on_change")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._error: ThrustError | None = None
        self.is_open = True
        self.on_change: Callable[[], None] | None = None

    def pause(self) -> None:
        """Called by the protocol's pause_writing."""
        self.is_open = False

    def resume(self) -> None:
        """Called by the protocol's resume_writing."""
        self.is_open = True
        self._wake()

    def fail(self, error: ThrustError) -> None:
        """The transport is gone: `drained` raises `error` from now on."""
        self._error = error
        self._wake()

    async def drained(self) -> None:
        """Returns when the transport takes more bytes; raises what `fail` was given."""
        while True:
            if self._error is not None:
                raise self._error
            if self.is_open:
                return
            self._waiter = self._loop.create_future()
            await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.on_change is not None:
            self.on_change()
