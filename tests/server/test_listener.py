"""Binding and accepting, with real sockets; draining is in conversations/test_drain.py."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator

import pytest
import uvloop

from thrust.errors import ListenError
from thrust.handlers.errors import ErrorPages
from thrust.http.headers import Headers
from thrust.http.message import Request, Response
from thrust.server.front import Front, Timeouts
from thrust.server.http1 import Http1Connection
from thrust.server.listener import Listener, bind

BOUND_S = 20.0


@contextlib.contextmanager
def bound(host: str | None, port: int = 0) -> Iterator[list[socket.socket]]:
    sockets = bind(host, port)
    try:
        yield sockets
    finally:
        for listening in sockets:
            listening.close()


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
def test_without_a_host_it_listens_on_every_interface_of_both_families_at_the_same_port() -> None:
    with bound(None) as sockets:
        assert [listening.family for listening in sockets] == [socket.AF_INET, socket.AF_INET6]
        assert [listening.getsockname()[0] for listening in sockets] == ["0.0.0.0", "::"]
        assert len({listening.getsockname()[1] for listening in sockets}) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_with_a_host_it_listens_there_only(host: str) -> None:
    with bound(host) as sockets:
        assert [listening.getsockname()[0] for listening in sockets] == [host]


def test_it_listens_before_it_accepts() -> None:
    """So that a client which comes early waits instead of being refused."""
    with bound("127.0.0.1") as (listening,), socket.create_connection(listening.getsockname(), timeout=BOUND_S):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", None])
def test_a_port_that_is_taken_is_said_with_what_to_do(host: str | None) -> None:
    with bound("127.0.0.1") as (taken,):
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"cannot listen on .* port {port}: Address already in use; another"):
            bind(host, port)


def test_the_setting_to_change_is_that_of_the_port() -> None:
    with bound("127.0.0.1") as (taken,), pytest.raises(ListenError, match="stop it or set HTTPS_PORT$"):
        bind("127.0.0.1", taken.getsockname()[1], "HTTPS_PORT")


@needs_ipv6
def test_a_port_that_is_taken_in_one_family_is_taken() -> None:
    with socket.socket(socket.AF_INET6) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::", 0))
        taken.listen()
        with pytest.raises(ListenError, match="cannot listen on :: port"):
            bind(None, taken.getsockname()[1])


def test_an_address_that_is_not_ours_is_said_with_what_to_do() -> None:
    with pytest.raises(ListenError, match="cannot listen on 192.0.2.1 port .*THRUST_HOST has to be an address of"):
        bind("192.0.2.1", 0)


def test_a_name_that_means_nothing_is_said() -> None:
    with pytest.raises(ListenError, match="cannot listen on no such host: "):
        bind("no such host", 0)


def test_a_container_without_ipv6_is_served_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int = -1, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    with bound(None) as sockets:
        assert [listening.getsockname()[0] for listening in sockets] == ["0.0.0.0"]


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_what_it_accepts_is_served_without_delay_until_it_stops(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    seen: list[Request] = []
    delays: list[int] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200, Headers(), b"ok")

    async def story(sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        front = Front(handler, [], Timeouts(5, 5, 5), ErrorPages.response)  # type: ignore[arg-type]

        def connect() -> Http1Connection:
            connection = Http1Connection(front, loop)
            connections.append(connection)
            return connection

        connections: list[Http1Connection] = []
        listener = Listener(loop, sockets, front, connect)
        assert repr(listener) == "<Listener 1 sockets, 0 connections>"
        others = bind("127.0.0.1", 0)
        listener.add(others, asyncio.Protocol)
        assert repr(listener) == "<Listener 2 sockets, 0 connections>"
        await listener.start()
        reader, writer = await asyncio.open_connection(*sockets[0].getsockname()[:2])
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\nok")
        accepted = connections[0]._transport.get_extra_info("socket")
        delays.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        assert repr(connections[0]) == "<Http1Connection 127.0.0.1 idle>"
        other_address = others[0].getsockname()
        _, other = await asyncio.open_connection(*other_address)
        assert len(connections) == 1
        other.close()
        listener.stop_accepting()
        assert await reader.read() == b""
        with pytest.raises(OSError):
            await asyncio.open_connection(*other_address)
        assert await listener.drained(BOUND_S)
        with pytest.raises(OSError):
            await asyncio.open_connection(*sockets[0].getsockname()[:2])
        writer.close()

    with bound("127.0.0.1") as sockets, asyncio.Runner(loop_factory=loop_factory) as runner:
        port = sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):  # getsockname of what stop_accepting has closed
            runner.run(asyncio.wait_for(story(sockets), BOUND_S))
        assert port
    assert [request.exchange.peer_address for request in seen] == ["127.0.0.1"]
    assert delays == [1]
