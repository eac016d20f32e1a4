"""One request to the worker for everybody who asks for the same thing at the same time.

The first request for something that is not stored leads: its flight is registered, and others wait for it to land
instead of asking the worker too. A flight lands with an outcome that is the same for all who wait, and wakes them all
at once: the response was stored, it cannot be shared, or the worker failed. If the leader's client leaves before there
is an answer, the request goes on for those who wait; when the last of them has left it ends.

A response that streams is collected by a task of its own, as fast as the worker sends, so that neither the leader's
client nor any other can hold up those who wait. What turns out to be too large stops being collected at once, and
streams on to the leader alone; so does what finds no room beside all others that are being collected, or that their
clients have not taken yet.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from thrust.cache.stored import Key
from thrust.errors import ThrustError, UpstreamError
from thrust.flow import STREAM_HIGH_WATER_BYTES
from thrust.http.headers import FieldLine
from thrust.http.message import BodyStream

Place = tuple[Key, tuple[bytes | None, ...] | None]
"""A key and, once it is known by which fields the resource varies, their values."""


class Outcome(Enum):
    """How a flight ended for those who waited."""

    STORED = "stored"
    NOT_SHARED = "not shared"
    FAILED = "failed"
    LOST = "lost"


class Flight:
    """A request under way, and those who wait for what comes of it. Nobody can join one without a `place`.

    `is_wanted` is for a response that is wanted although no client waits for it. `is_second` is set when the leader had
    waited for one that failed.
    """

    __slots__ = (
        "_has_client",
        "_landed",
        "asking",
        "collecting",
        "error",
        "followers",
        "is_second",
        "is_wanted",
        "outcome",
        "place",
    )

    def __init__(self, place: Place | None = None, *, is_wanted: bool = False, is_second: bool = False) -> None:
        self.place = place
        self.is_wanted = is_wanted
        self.is_second = is_second
        self.asking: asyncio.Task[Any] | None = None
        """The task that asks the worker."""
        self.collecting: asyncio.Task[None] | None = None
        """The task that gathers a body that streams."""
        self.outcome: Outcome | None = None
        self.error: UpstreamError | None = None
        self.followers = 0
        self._has_client = True
        self._landed: asyncio.Event | None = None

    def land(self, outcome: Outcome, error: UpstreamError | None = None) -> None:
        """Wakes everybody who waits; only the first landing counts."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self.error = error
        if self._landed is not None:
            self._landed.set()

    async def landed(self, timeout_s: float) -> Outcome:
        """How it ended; NOT_SHARED if that takes longer than `timeout_s`."""
        if self.outcome is not None:
            return self.outcome
        if self._landed is None:
            self._landed = asyncio.Event()
        self.followers += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._landed.wait()
        except TimeoutError:
            return Outcome.NOT_SHARED
        finally:
            self.followers -= 1
            self._stop_if_unwanted()
        return self.outcome or Outcome.LOST

    def lose_client(self) -> None:
        """The client that led has left."""
        self._has_client = False
        self._stop_if_unwanted()

    def _stop_if_unwanted(self) -> None:
        """What nobody waits for is not fetched to its end, so that the worker notices."""
        if self.outcome is not None or self._has_client or self.followers or self.is_wanted:
            return
        for task in (self.asking, self.collecting):
            if task is not None:
                task.cancel()

    def __repr__(self) -> str:
        state = self.outcome.value if self.outcome is not None else "under way"
        return f"<Flight {state}, {self.followers} followers>"


class Room:
    """Memory for all bodies that are being collected at the same time, or that their clients have not taken yet."""

    __slots__ = ("free_bytes",)

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes

    def __repr__(self) -> str:
        return f"<Room for {self.free_bytes} bytes more>"


class Collector:
    """Gathers a streamed body of up to `max_bytes` and hands it on meanwhile; a BodyStream for the leader's client.

    Its owner awaits `collect` in a task. What is too large is read from the worker at the client's own speed once the
    client has taken what was gathered, which takes up `room` until then. `on_close` tells the owner that the client has
    left.
    """

    __slots__ = (
        "_error",
        "_gathered",
        "_grown",
        "_is_closed",
        "_is_collecting",
        "_is_complete",
        "_max_bytes",
        "_on_close",
        "_room",
        "_source",
        "_unread_bytes",
        "is_too_large",
        "trailers",
    )

    def __init__(self, source: BodyStream, max_bytes: int, room: Room, on_close: Callable[[], None]) -> None:
        self._source = source
        self.trailers: list[FieldLine] = source.trailers
        self._max_bytes = max_bytes
        self._room = room
        self._on_close = on_close
        self._gathered: deque[bytes] = deque()
        """What the client has not read yet, `_unread_bytes` of it."""
        self._unread_bytes = 0
        self._error: ThrustError | OSError | None = None
        self._is_closed = False
        self._is_collecting = True
        self._is_complete = False
        self._grown = asyncio.Event()
        self.is_too_large = False

    async def collect(self) -> bytes | None:
        """The whole content, None as soon as there is too much of it; raises what reading it raises."""
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await self._source.read():
                if not self._is_closed:
                    self._gathered.append(piece)
                    self._unread_bytes += len(piece)
                    self._grown.set()
                pieces.append(piece)
                size += len(piece)
                self._room.free_bytes -= len(piece)
                self.is_too_large = size > self._max_bytes
                if self.is_too_large or self._room.free_bytes < 0:
                    return None
            self._is_complete = True
            return b"".join(pieces)
        except (ThrustError, OSError) as error:  # OSError: of a file that is sent in the worker's place
            self._error = error
            raise
        finally:
            self._room.free_bytes += size - self._unread_bytes
            self._end()

    async def read(self) -> bytes:
        """The next content for the client, b"" at the end (BodyStream)."""
        while not self._gathered:
            if self._error is not None:
                raise self._error
            if self._is_complete:
                return b""
            if not self._is_collecting:
                return await self._source.read()
            self._grown.clear()
            await self._grown.wait()
        return self._take()

    def _take(self) -> bytes:
        """What is next of the gathered pieces: no more than a writer needs, who may hold it for a while."""
        pieces = [self._gathered.popleft()]
        size = len(pieces[0])
        while self._gathered and size + len(self._gathered[0]) <= STREAM_HIGH_WATER_BYTES:
            pieces.append(self._gathered.popleft())
            size += len(pieces[-1])
        self._give_back(size)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _give_back(self, size: int) -> None:
        """So many bytes have been taken or dropped; while they are collected, they are held all the same."""
        self._unread_bytes -= size
        if not self._is_collecting:
            self._room.free_bytes += size

    def close(self) -> None:
        """The client has left, or has everything (BodyStream)."""
        if self._is_closed:
            return
        self._is_closed = True
        self._gathered.clear()
        self._give_back(self._unread_bytes)
        if self._is_collecting:
            self._on_close()
        else:
            self._source.close()

    def _end(self) -> None:
        """Collecting is over, in whatever way; without a client nobody reads the rest."""
        self._is_collecting = False
        self._grown.set()
        if self._is_closed:
            self._source.close()

    def __repr__(self) -> str:
        state = "collecting" if self._is_collecting else "complete" if self._is_complete else "given up"
        return f"<Collector {state}>"
