"""The byte pump after a 101: client and worker connected, HTTP no longer spoken (RFC 9110 §7.8).

Each transport gets a TunnelEnd as its protocol, which writes what it receives to the other. Backpressure and half-close
pass through; a reset on one side resets the other. There is no deadline: a WebSocket may be silent for hours, so dead
peers are left to TCP keep-alive.
"""

import asyncio

from thrust.http.message import Tunnel
from thrust.server.sockets import end_writing, keep_alive, reset


class TunnelEnd(asyncio.Protocol):
    """One end of a tunnel: everything that arrives goes out at `other`."""

    __slots__ = ("_ended", "_lost", "_transport", "other", "received_bytes")

    other: "TunnelEnd"

    def __init__(self, transport: asyncio.Transport, lost: "asyncio.Future[None]") -> None:
        self._transport = transport
        self._lost = lost
        self._ended = False
        self.received_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Passes `data` on (asyncio.Protocol)."""
        self.received_bytes += len(data)
        self.other.write(data)

    def write(self, data: bytes) -> None:
        """Sends `data`, unless this side is gone."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def eof_received(self) -> bool:
        """Passes the end of one direction on; the other stays open (asyncio.Protocol)."""
        self.end()
        return not self._lost.done()

    def end(self) -> None:
        """This side sends no more: tells the other one, and closes both when both have ended."""
        self._ended = True
        if self.other._ended:
            self._transport.close()
            self.other._transport.close()
        elif self.other._transport.can_write_eof() and not self.other._transport.is_closing():
            end_writing(self.other._transport)

    def pause_writing(self) -> None:
        """This side reads slowly: the other one has to wait (asyncio.Protocol)."""
        if not self.other._transport.is_closing():
            self.other._transport.pause_reading()

    def resume_writing(self) -> None:
        """This side has read (asyncio.Protocol)."""
        if not self.other._transport.is_closing():
            self.other._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Closes the other side with this one (asyncio.Protocol)."""
        if error is None:
            self.other._transport.close()
        else:
            reset(self.other._transport)
        if not self._lost.done():
            self._lost.set_result(None)


async def splice(
    loop: asyncio.AbstractEventLoop,
    client: asyncio.Transport,
    held: bytes,
    tunnel: Tunnel,
    *,
    client_ended: bool,
    patience_s: float,
) -> int:
    """Connects `client` with the worker's half until both are closed; returns the bytes that went to the client.

    `held` is what the client has sent ahead; `client_ended` says that it will send nothing more. When one side is gone
    the other has `patience_s` to take what is still on its way.
    """
    worker = tunnel.transport
    client_lost: asyncio.Future[None] = loop.create_future()
    worker_lost: asyncio.Future[None] = loop.create_future()
    client_end, worker_end = TunnelEnd(client, client_lost), TunnelEnd(worker, worker_lost)
    client_end.other, worker_end.other = worker_end, client_end
    for transport, end in ((client, client_end), (worker, worker_end)):
        transport.set_protocol(end)
        keep_alive(transport)
    if tunnel.leftover:
        worker_end.data_received(tunnel.leftover)
    if held:
        client_end.data_received(held)
    if client_ended:
        client_end.end()
    worker.resume_reading()
    try:
        await asyncio.wait((client_lost, worker_lost), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((client_lost, worker_lost), timeout=patience_s)
    finally:
        client.abort()
        worker.abort()
    return worker_end.received_bytes
