"""A TLS client on a bare socket, and a TLS port to connect it to, for tests of what happens between the two.

The client blocks, and so runs in a thread; the port runs in the event loop of the test, with a protocol that notes what
it is told.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar, cast

from tests.support.certificates import Pair, client_context
from thrust.errors import TlsRefusal
from thrust.http.headers import Headers
from thrust.http.message import Request, Response
from thrust.server.doorway import TlsPort
from thrust.server.front import Front, Timeouts
from thrust.tls.contexts import server_context

BOUND_S = 20.0
NAME = "app.example.com"

T = TypeVar("T")


class Notes(asyncio.Protocol):
    """Notes what a transport tells; the test acts on `transport` by itself."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.events: list[str] = []
        self.stays_open = True
        self.changed = asyncio.Event()
        self.on_data: Callable[[bytes], None] = lambda data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()
        self.on_data(data)

    def eof_received(self) -> bool:
        self._note("eof")
        return self.stays_open

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self._note("lost" if error is None else f"lost: {error!r}")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, is_true: Callable[[], Any]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not is_true():
                self.changed.clear()
                await self.changed.wait()


class Stage:
    """A TLS port of 127.0.0.1. `protocols` are those of its connections, `plain` those that do not speak TLS."""

    def __init__(self, context: ssl.SSLContext, *, read_s: float = 0, max_connections: int = 1000) -> None:
        self.loop = asyncio.get_running_loop()
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self.failures: list[str] = []
        self.protocols: list[Notes] = []
        self.plain: list[Notes] = []
        self.chosen: list[tuple[bytes | None, tuple[bytes, ...]]] = []
        self.refusal: TlsRefusal | None = None
        self._context = context
        self.front = Front(_nobody, [], Timeouts(0, read_s, 0), lambda error: Response(400, Headers()))
        self.front.max_connections = max_connections
        self.port = TlsPort(
            self.front,
            self.loop,
            choose=self._choose,
            by_alpn={None: self._connect, "http/1.1": self._connect},
            plain=self._connect_plainly,
            log_failure=lambda client, reason: self.failures.append(reason),
        )

    def _choose(self, server_name: bytes | None, protocols: tuple[bytes, ...], /) -> ssl.SSLContext:
        self.chosen.append((server_name, protocols))
        if self.refusal is not None:
            raise self.refusal
        return self._context

    def _connect(self) -> asyncio.Protocol:
        self.protocols.append(Notes())
        return self.protocols[-1]

    def _connect_plainly(self) -> asyncio.Protocol:
        self.plain.append(Notes())
        return self.plain[-1]

    def serve(self, pair: Pair, folder: Any) -> None:
        """From now on clients get `pair`."""
        self._context = server_context(*pair.write(folder), ("http/1.1",))

    async def open(self) -> None:
        self._server = await self.loop.create_server(self.port.connect, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()

    async def socket(self) -> socket.socket:
        """A connection on which nothing has been said."""
        return await asyncio.to_thread(socket.create_connection, self.address, BOUND_S)

    async def client(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A client that has finished its handshake."""
        connection = await self.socket()
        context = context or client_context("http/1.1")
        return await asyncio.to_thread(context.wrap_socket, connection, server_hostname=NAME)

    async def served(self, context: ssl.SSLContext | None = None) -> tuple[ssl.SSLSocket, Notes]:
        """A client, and the protocol that serves it."""
        client = await self.client(context)
        await self.until(lambda: self.protocols)
        return client, self.protocols[-1]

    async def until(self, is_true: Callable[[], Any]) -> None:
        """Goes round until something is true that tells nobody."""
        async with asyncio.timeout(BOUND_S):
            while not is_true():  # noqa: ASYNC110 - of the world outside the loop
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self._server.close()


async def _nobody(request: Request) -> Response:
    raise AssertionError("nobody asks")


@contextlib.asynccontextmanager
async def tls_stage(pair: Pair, folder: Any, **options: Any) -> AsyncIterator[Stage]:
    """A Stage that serves `pair`; no connection may be left at its end, and no error have reached the loop."""
    stage = Stage(server_context(*pair.write(folder), ("http/1.1",)), **options)
    await stage.open()
    try:
        yield stage
        for protocol in [*stage.protocols, *stage.plain]:
            protocol.transport.abort()
        await stage.until(lambda: not stage.front.connections)
        assert not len(stage.port.handshakes)
        assert not stage.errors
    finally:
        stage.close()


def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], story: Callable[[], Any]) -> None:
    """Runs a test's coroutine on one of the loops, within BOUND_S."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(story(), 2 * BOUND_S))


@contextlib.contextmanager
def closing_all(*connections: socket.socket) -> Iterator[None]:
    try:
        yield
    finally:
        for connection in connections:
            connection.close()
