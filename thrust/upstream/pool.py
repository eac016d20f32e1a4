"""The connections to the worker, and whether there is a worker to connect to.

Sized by need: a request takes the connection that was idle last, or dials. The pool decides synchronously (`take`,
`put_back`, `forget`) and does I/O only in `dial`. It is closed while no worker is ready; then requests wait in
`wait_until_open`. When the worker moves to another port, connections to the old one finish their exchange and go.
"""

import asyncio
from collections.abc import Sequence
from typing import cast

from thrust.errors import UpstreamError
from thrust.http.headers import FieldLine
from thrust.upstream.connection import UpstreamConnection
from thrust.wire.http1.responses import ResponseParser
from thrust.wire.http1.writing import field_lines

WORKER_HOST = "127.0.0.1"

IDLE_LIMIT_S = 1.5
"""Idle connections are dropped after this: gunicorn closes them after 2 s, uvicorn and Hypercorn after 5 s, and the
side that closes first is never surprised by a request on its way."""

DIAL_TIMEOUT_S = 5.0
"""For one connect to the loopback interface; it lasts only when the worker's backlog is full."""

REDIAL_AFTER_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5)
"""Pauses between attempts while the worker refuses connections: a development server that reloads itself is away for a
second or two, and the client would rather wait than see an error page."""

RETRY_AFTER_S = 2
"""When a client that was refused should come again: boots take seconds."""


class Pool:
    """Connections to the worker on loopback. `answer_timeout_s` is the patience for its answers, 0 without limit."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, answer_timeout_s: float) -> None:
        self.answer_timeout_s = answer_timeout_s
        self.port: int | None = None
        self.told = b""
        """Field lines that every request tells the worker about us."""
        self._loop = loop
        self._parser = ResponseParser()
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._closed = asyncio.Event()
        self._closed.set()
        self._refusal: str | None = None
        self._waiters: dict[asyncio.Future[None], None] = {}  # a set that keeps the order: first come, first served
        self._reaper: asyncio.TimerHandle | None = None
        self._drain_waiters: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def is_open(self) -> bool:
        """Whether a worker is ready."""
        return self.port is not None

    def tell(self, lines: Sequence[FieldLine]) -> None:
        """From now on every request carries these field lines besides its own."""
        self.told = field_lines(lines)

    def open(self, port: int) -> None:
        """From now on requests go to the worker on `port`; idle connections to another are closed."""
        self.port = port
        self._refusal = None
        self._closed.clear()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for connection in [c for c in self._idle if c.port != port]:
            connection.abort()

    def close(self) -> None:
        """No worker is ready: requests have to wait. Exchanges under way go on."""
        self.port = None
        self._closed.set()
        for connection in self._idle[:]:
            connection.abort()

    def give_up(self, reason: str) -> None:
        """No worker is expected any more: who waits, and who comes until `open`, is refused."""
        self._refusal = reason
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(not_ready(reason))

    async def wait_until_open(self) -> None:
        """Returns when a worker is ready; raises UpstreamError (503) after `give_up`."""
        while self.port is None:
            if self._refusal is not None:
                raise not_ready(self._refusal)
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                del self._waiters[waiter]

    def take(self, *, checked: bool = False) -> UpstreamConnection | None:
        """The connection that was idle last, or None. `checked` asks the kernel whether the worker has closed it.

        The check costs a system call; it is for requests that must not be sent twice.
        """
        while self._idle:
            connection = self._idle.pop()
            if checked and connection.has_input():
                connection.abort()
                continue
            return connection
        return None

    async def dial(self) -> UpstreamConnection:
        """A new connection; waits out a worker that refuses for a moment. Raises UpstreamError."""
        for pause_s in (*REDIAL_AFTER_S, None):
            await self.wait_until_open()  # nothing was sent yet, so a worker that has just gone can be waited for
            port = cast(int, self.port)
            try:
                return await self._connect(port)
            except ConnectionRefusedError as error:
                if pause_s is None:
                    raise UpstreamError(f"the worker refuses connections on {WORKER_HOST}:{port}") from error
                await self._pause(pause_s)
        raise AssertionError("the last attempt returns or raises")

    async def _connect(self, port: int) -> UpstreamConnection:
        connection = UpstreamConnection(self._loop, self, port, self._parser)
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await self._loop.create_connection(lambda: connection, WORKER_HOST, port)
        except ConnectionRefusedError:
            raise
        except TimeoutError as error:
            reason = f"the worker accepted no connection on {WORKER_HOST}:{port} within {DIAL_TIMEOUT_S:g} s"
            raise UpstreamError(reason, status=504) from error
        except OSError as error:
            raise UpstreamError(f"cannot connect to the worker on {WORKER_HOST}:{port}: {error}") from error
        if connection.is_closed:
            raise UpstreamError("the worker closed the connection before the request was sent")
        self._all.add(connection)
        return connection

    async def _pause(self, seconds: float) -> None:
        """Waits, but not for a worker that has gone."""
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return

    def put_back(self, connection: UpstreamConnection) -> None:
        """Keeps a connection whose exchange is over, if it leads to the present worker."""
        if connection.port != self.port:
            connection.abort()
            return
        connection.idle_since_s = self._loop.time()
        self._idle.append(connection)
        if self._reaper is None:
            self._reaper = self._loop.call_later(IDLE_LIMIT_S, self._reap)
        if self._drain_waiters:
            self._notice_drained()

    def forget(self, connection: UpstreamConnection) -> None:
        """Called by a connection that is closed or has become a tunnel."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._drain_waiters:
            self._notice_drained()

    def _reap(self) -> None:
        """Drops what has been idle too long; `_idle` is sorted by that, the oldest first."""
        self._reaper = None
        oldest_kept_s = self._loop.time() - IDLE_LIMIT_S + 0.001
        for connection in [c for c in self._idle if c.idle_since_s <= oldest_kept_s]:
            connection.abort()
        if self._idle:
            self._reaper = self._loop.call_at(self._idle[0].idle_since_s + IDLE_LIMIT_S, self._reap)

    def busy_count(self, port: int) -> int:
        """How many exchanges the worker on `port` is serving."""
        return sum(connection.port == port for connection in self._all) - sum(c.port == port for c in self._idle)

    async def drained(self, port: int) -> None:
        """Returns when the worker on `port` serves no exchange any more; tunnels do not count."""
        while self.busy_count(port):
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._drain_waiters.append((port, waiter))
            await waiter

    def _notice_drained(self) -> None:
        waiting, self._drain_waiters = self._drain_waiters, []
        for port, waiter in waiting:
            if waiter.done():
                continue
            if self.busy_count(port):
                self._drain_waiters.append((port, waiter))
            else:
                waiter.set_result(None)

    def abort(self) -> None:
        """Closes every connection; exchanges under way fail."""
        self.close()
        for connection in list(self._all):
            connection.fail(UpstreamError("the worker is being stopped"))
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None

    def __repr__(self) -> str:
        return f"<Pool :{self.port or 'closed'}, {len(self._all) - len(self._idle)} busy, {len(self._idle)} idle>"


def not_ready(detail: str) -> UpstreamError:
    """The 503 for a request that comes while no worker can take it (RFC 9110 §15.6.4)."""
    return UpstreamError(f"the worker is not ready: {detail}", status=503, retry_after_s=RETRY_AFTER_S)
