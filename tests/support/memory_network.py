"""A JumpingLoop on which `create_connection` leads to scripted peers instead of the network."""

import asyncio
import errno
from collections.abc import Callable
from enum import Enum
from typing import Any

from tests.support.clock import JumpingLoop
from tests.support.memory_transport import READ_BYTES, MemoryTransport, Peer


class Port(Enum):
    """How a port answers a connect."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    IGNORES = "ignores"  # the backlog is full
    SLAMS = "slams"  # accepts and resets, before the one who connects has got its turn
    DAWDLES = "dawdles"  # accepts and reads nothing yet
    UNREACHABLE = "unreachable"


class MemoryLoop(JumpingLoop):
    """`accepted` are the far ends of all connections made, in order; `ports` says who listens."""

    def __init__(self, read_bytes: int = READ_BYTES) -> None:
        self.read_bytes = read_bytes
        self.ports: dict[int, Port] = {}
        self.accepted: list[Peer] = []
        self.transports: list[MemoryTransport] = []
        self.connects = 0
        super().__init__()

    def connect(
        self, protocol: asyncio.Protocol, peername: tuple[str, int], waiter: "asyncio.Future[None] | None" = None
    ) -> MemoryTransport:
        """A transport for `protocol`, connected to a new Peer."""
        transport = MemoryTransport(self, protocol, peername=peername, read_bytes=self.read_bytes, waiter=waiter)
        self.transports.append(transport)
        return transport

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], host: str = "", port: int = 0
    ) -> tuple[MemoryTransport, Any]:
        assert host == "127.0.0.1", "the worker is on loopback"
        self.connects += 1
        await asyncio.sleep(0)
        answer = self.ports.get(port, Port.REFUSES)
        if answer is Port.IGNORES:
            await self.create_future()
        if answer is Port.UNREACHABLE:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        if answer is Port.REFUSES:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ('{host}', {port})")
        waiter: asyncio.Future[None] = self.create_future()
        transport = self.connect(protocol_factory(), (host, port), waiter)
        self.accepted.append(transport.peer)
        if answer is Port.SLAMS:
            transport.peer.reset()
        if answer is Port.DAWDLES:
            transport.peer.stop_reading()
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        if answer is Port.SLAMS:
            await self.settled()
        return transport, transport.get_protocol()
