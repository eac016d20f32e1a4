"""What all client connections share: the handler, the observers, the limits on waiting, and who is connected."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol

from thrust.errors import ThrustError
from thrust.http.exchange import Exchange, Observer
from thrust.http.headers import FieldLine
from thrust.http.message import AtOnce, Handler, Response
from thrust.wire.http1.requests import RequestParser


class Drainable(Protocol):
    """A client connection, as the listener sees it."""

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that will end by itself: event streams and tunnels will not."""
        ...

    def drain(self) -> None:
        """Ends the connection as soon as the exchange under way, if any, is over."""
        ...

    def end_stream(self, *, also_tunnel: bool = False) -> None:
        """Ends an event stream, which would never end by itself, and a tunnel if asked to; anything else goes on."""
        ...

    def abort(self) -> None:
        """Ends the connection now."""
        ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Patience with clients, in seconds; 0 is without limit.

    `idle_s` is between requests, `read_s` for a whole head and between reads of a body, `write_s` between writes.
    """

    idle_s: float
    read_s: float
    write_s: float


@dataclass(slots=True)
class Front:
    """The composition that `service` hands to every connection."""

    handler: Handler
    observers: Sequence[Observer]
    timeouts: Timeouts
    error_response: Callable[[ThrustError], Response]
    strict_lines: Sequence[FieldLine] = ()
    """What every answer over TLS says of it, also one that no handler has seen (RFC 6797 §7.1)."""
    at_once: AtOnce | None = None
    """Asked before `handler`, so that what is in memory costs no task."""
    parser: RequestParser = field(default_factory=RequestParser)
    connections: set[Drainable] = field(default_factory=set)
    is_draining: bool = False
    max_connections: int = 1 << 20
    """Clients at once; one more is closed at once, so that descriptors are left for those who are served."""
    on_full: Callable[[], None] = lambda: None
    _waiters: "list[asyncio.Future[None]]" = field(default_factory=list)
    _date: bytes = b""
    _date_second: int = 0

    def date(self, now: float) -> bytes:
        """The value of a Date field for Unix time `now`; made once a second (RFC 9110 §6.6.1)."""
        second = int(now)
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode()
        return self._date

    def refusal(self, error: ThrustError, scheme: bytes) -> Response:
        """The answer to something that is no request, and that handlers never see."""
        response = self.error_response(error)
        if scheme == b"https":
            response.headers.lines.extend(self.strict_lines)
        return response

    def admit(self, connection: Drainable) -> bool:
        """Whether there is room for one more client; it is one of `connections` then."""
        if len(self.connections) >= self.max_connections:
            self.on_full()
            return False
        self.connections.add(connection)
        return True

    def dismiss(self, connection: Drainable) -> None:
        """The connection is lost, or no longer ours."""
        self.connections.discard(connection)
        self.notify()

    @property
    def busy(self) -> int:
        """How many connections a shutdown has to wait for."""
        return sum(connection.is_busy for connection in self.connections)

    def notify(self) -> None:
        """A connection may be busy no longer."""
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)

    async def quiet(self) -> None:
        """Returns when no connection is busy."""
        while self.busy:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def finish(self, exchange: Exchange) -> None:
        """Shows a finished exchange to the observers."""
        exchange.finished_s = time.perf_counter()
        for observe in self.observers:
            observe(exchange)
