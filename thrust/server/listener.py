"""Binding, accepting, draining: the listening sockets and the life of all client connections.

`bind` runs before anything else of the program, so that a port which is taken ends it before a worker exists. The
sockets listen from then on; connections that come early wait in the backlog until `start`.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Sequence

from thrust.errors import ListenError
from thrust.server.front import Front

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel's own limit (somaxconn) applies too. nginx uses 511."""


def bind(host: str | None, port: int, setting: str = "PORT") -> list[socket.socket]:
    """Listening sockets for `port` on `host`, or on all interfaces, IPv4 and IPv6.

    Raises ListenError, whose sentence tells to change `setting` if the port cannot be had.
    """
    if host is None:
        return _bind_everywhere(port, setting)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}: {error.strerror or error}") from error
    addresses = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return _bind_all([(family, str(address[0]), port) for family, address in addresses], setting)


def _bind_everywhere(port: int, setting: str) -> list[socket.socket]:
    listening = _bind_all([(socket.AF_INET, "0.0.0.0", port)], setting)
    port = listening[0].getsockname()[1]
    try:
        return [*listening, _bind_one(socket.AF_INET6, "::", port)]
    except OSError as error:
        # A container without IPv6 is no reason not to start; a port that is taken there is.
        if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT):
            return listening
        listening[0].close()
        raise _listen_error(error, "::", port, setting) from error


def _bind_all(wanted: Sequence[tuple[int, str, int]], setting: str) -> list[socket.socket]:
    listening: list[socket.socket] = []
    for family, host, port in wanted:
        try:
            listening.append(_bind_one(family, host, port))
        except OSError as error:
            for opened in listening:
                opened.close()
            raise _listen_error(error, host, port, setting) from error
    return listening


def _bind_one(family: int, host: str, port: int) -> socket.socket:
    # The protocol is inherited by what is accepted, and asyncio sets TCP_NODELAY only where it is named.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setblocking(False)
        opened.bind((host, port))
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _listen_error(error: OSError, host: str, port: int, setting: str) -> ListenError:
    hint = ""
    if error.errno == errno.EADDRINUSE:
        hint = f"; another program listens there, stop it or set {setting}"
    elif error.errno == errno.EACCES:
        hint = f"; ports below 1024 need privileges, set {setting} to a higher one"
    elif error.errno == errno.EADDRNOTAVAIL:
        hint = "; THRUST_HOST has to be an address of this machine"
    return ListenError(f"cannot listen on {host} port {port}: {error.strerror}{hint}")


class Listener:
    """Accepts on bound sockets and knows every client connection; owns both."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        front: Front,
        connect: Callable[[], asyncio.Protocol],
    ) -> None:
        self._loop = loop
        self._front = front
        self._ports = [(listening, connect) for listening in sockets]
        self._servers: list[asyncio.Server] = []

    def add(self, sockets: Sequence[socket.socket], connect: Callable[[], asyncio.Protocol]) -> None:
        """Another port, whose connections are `connect`'s; before `start`."""
        self._ports += [(listening, connect) for listening in sockets]

    async def start(self) -> None:
        """Begins to accept."""
        for listening, connect in self._ports:
            server = await self._loop.create_server(connect, sock=listening, backlog=BACKLOG)
            self._servers.append(server)

    def stop_accepting(self) -> None:
        """Closes the listening sockets, and every connection as soon as it has no exchange under way."""
        self._front.is_draining = True
        for server in self._servers:
            server.close()
        for connection in list(self._front.connections):
            connection.drain()

    async def drained(self, timeout_s: float) -> bool:
        """Waits until the last exchange is over; False if that took longer than `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._front.quiet()
                return True
        return False

    def end_streams(self, *, also_tunnels: bool = False) -> None:
        """Ends the event streams, and tunnels if asked to, which would keep a worker from stopping."""
        for connection in list(self._front.connections):
            connection.end_stream(also_tunnel=also_tunnels)

    def abort(self) -> None:
        """Ends every connection now."""
        for connection in list(self._front.connections):
            connection.abort()

    def __repr__(self) -> str:
        return f"<Listener {len(self._ports)} sockets, {len(self._front.connections)} connections>"
