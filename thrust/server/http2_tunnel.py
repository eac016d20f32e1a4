"""The byte pump of an extended CONNECT: one stream of HTTP/2 to the client, a connection to the worker (RFC 8441).

The worker speaks HTTP/1.1: to it this is a WebSocket handshake with a key, which HTTP/2 does not have, so that we make
one and check the reply. After its 101 the stream's content and the worker's bytes are the same. Backpressure passes
through on both sides: the stream's window to the client, paused reading to the worker. As in `tunnel` there is no
deadline, and TCP finds out about dead peers.
"""

import asyncio
import base64
import hashlib
import os
from collections.abc import Awaitable, Callable

from thrust.errors import ThrustError, UpstreamError
from thrust.flow import BodyBuffer, WriteGate, start_task
from thrust.http.message import BodyStream, Request, Response, Tunnel
from thrust.server.sockets import end_writing, keep_alive

PATIENCE_S = 5.0
"""For the client to end its side after the worker has ended its own."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


def ask_for_tunnel(head: Request) -> None:
    """Makes the worker's handshake of an extended CONNECT (RFC 8441 §5, RFC 6455 §4.1)."""
    head.exchange.method = "CONNECT"  # as the client has sent it; to the worker it is a GET
    head.wants_upgrade = True
    head.headers.lines = [line for line in head.headers.lines if line[0] != b"sec-websocket-key"]
    head.headers.add(b"sec-websocket-key", base64.b64encode(os.urandom(16)))


def accepts_tunnel(head: Request, response: Response) -> bool:
    """Whether the worker has read our key (RFC 6455 §4.2.2); its reply is taken out of the response."""
    key = head.headers.get(b"sec-websocket-key", b"")
    wanted = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    given = response.headers.get(b"sec-websocket-accept")
    response.headers.lines = [line for line in response.headers.lines if line[0] != b"sec-websocket-accept"]
    return given == wanted


async def run_tunnel(
    loop: asyncio.AbstractEventLoop,
    tunnel: Tunnel,
    from_client: BodyBuffer,
    to_client: Callable[[BodyStream], Awaitable[None]],
) -> None:
    """Returns when the worker has said all, and the client too or PATIENCE_S later. Closes the worker's half."""
    worker = _WorkerEnd(loop, tunnel.transport)
    tunnel.transport.set_protocol(worker)
    keep_alive(tunnel.transport)
    if tunnel.leftover:
        worker.data_received(tunnel.leftover)
    pump = start_task(loop, worker.take_all(from_client))
    try:
        tunnel.transport.resume_reading()
        await to_client(worker.body)
        await asyncio.wait((pump,), timeout=PATIENCE_S)
    finally:
        pump.cancel()
        tunnel.transport.abort()


class _WorkerEnd(asyncio.Protocol):
    """The worker's end: what it says becomes `body`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._gate = WriteGate(loop)
        self.body = BodyBuffer(loop, self, transport.abort)

    async def take_all(self, content: BodyStream) -> None:
        """Passes on what the client says, and its end."""
        try:
            while piece := await content.read():
                self._transport.write(piece)
                await self._gate.drained()
            if not self._transport.is_closing():
                end_writing(self._transport)
        except ThrustError:
            self._transport.abort()  # one of them is gone: the other hears of it

    def data_received(self, data: bytes) -> None:
        """Passes `data` on (asyncio.Protocol)."""
        self.body.feed(data)

    def eof_received(self) -> bool:
        """The worker has said all (asyncio.Protocol); what the client says can still reach it."""
        self.body.end()
        return True

    def pause_reading(self) -> None:
        """The client reads slowly: the worker has to wait (BodyBuffer's source)."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The client has read (BodyBuffer's source)."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The worker reads slowly (asyncio.Protocol)."""
        self._gate.pause()

    def resume_writing(self) -> None:
        """The worker has read (asyncio.Protocol)."""
        self._gate.resume()

    def connection_lost(self, error: Exception | None) -> None:
        """The worker is gone (asyncio.Protocol)."""
        gone = UpstreamError("the worker closed the tunnel")
        self._gate.fail(gone)
        if error is None:
            self.body.end()
        else:
            self.body.fail(gone)
