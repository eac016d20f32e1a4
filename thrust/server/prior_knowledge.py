"""The first bytes of a connection on a plain port that speaks HTTP/2 too, by prior knowledge (RFC 9113 §3.3).

With THRUST_H2C the listener makes one of these for each connection. As soon as the bytes can be told from HTTP/2's
preface, which takes one byte as a rule and never more than 24, the protocol that they belong to takes over the
transport.
"""

import asyncio
from collections.abc import Callable

from thrust.errors import ClientGone
from thrust.server.connection import ClientConnection
from thrust.server.front import Front
from thrust.wire.http2.frames import PREFACE

Connect = Callable[[], asyncio.Protocol]


class PriorKnowledge(ClientConnection):
    """A client that has not yet said what it speaks: `http1` or `http2` is made when it has."""

    __slots__ = ("_held", "_http1", "_http2")

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop, http1: Connect, http2: Connect) -> None:
        super().__init__(front, loop)
        self._http1 = http1
        self._http2 = http2
        self._held = b""

    def data_received(self, data: bytes) -> None:
        """Takes what the client sent (asyncio.Protocol), and decides."""
        self._held += data
        if not self._held.startswith(PREFACE[: len(self._held)]):
            self._hand_over(self._http1())
        elif len(self._held) >= len(PREFACE):
            self._hand_over(self._http2())

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        self._read_deadline.cancel()
        self._front.connections.discard(self)  # its place is taken by its successor
        held, self._held = self._held, b""
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if not self._transport.is_closing():
            protocol.data_received(held)

    def drain(self) -> None:
        """Closes the connection: nobody has asked for anything."""
        self._close()

    def end_stream(self, *, also_tunnel: bool = False) -> None:
        """Nothing."""

    def abort(self) -> None:
        """Ends the connection now."""
        self._transport.abort()

    def _abandon(self, gone: ClientGone) -> None:
        pass

    def _read_expired(self) -> None:
        self._close()

    def _blame_reader(self, reason: str) -> None:
        pass

    def _writing_resumed(self) -> None:
        pass

    def __repr__(self) -> str:
        return f"<PriorKnowledge {self.peer_address}, {len(self._held)} bytes>"
