"""Waiting for a port and choosing one, with real sockets on both event loops."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.support.ports import free_port
from tests.support.worker_loops import LOOPS, run_on
from thrust.worker import readiness
from thrust.worker.readiness import accepts_connections, find_free_port, wait_until_open

both_loops = pytest.mark.parametrize("loop_name", LOOPS)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


@both_loops
def test_a_listening_port_accepts(loop_name: str, listener: socket.socket) -> None:
    assert run_on(loop_name, accepts_connections(port_of(listener)))


@both_loops
def test_a_closed_port_does_not(loop_name: str) -> None:
    assert not run_on(loop_name, accepts_connections(free_port()))


@both_loops
def test_a_listener_that_accepts_nobody_does_not_hold_the_caller(
    loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "ATTEMPT_S", 0.05)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for client in waiting:  # more than the queue holds
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        assert not run_on(loop_name, accepts_connections(port_of(full)))
        for client in waiting:
            client.close()


def test_a_connection_that_meets_itself_is_no_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()

    class BoundSocket(socket.socket):
        """Gets the very port it connects to, as the kernel may choose it in the ephemeral range."""

        def setblocking(self, flag: bool) -> None:
            super().setblocking(flag)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", port))

    async def story() -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", BoundSocket)
            return await accepts_connections(port)

    assert not run_on("asyncio", story())


def during_wait(
    loop_name: str, port: int, story: Callable[[asyncio.Future[None]], Awaitable[None]], within_s: float | None = 20.0
) -> bool:
    """What wait_until_open returns when `story` happens meanwhile; it gets the future that interrupts."""

    async def both() -> bool:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wait = asyncio.get_running_loop().create_task(wait_until_open(port, until=[gone], within_s=within_s))
        await asyncio.sleep(0)
        await story(gone)
        return await asyncio.wait_for(wait, 20.0)

    return run_on(loop_name, both())


@both_loops
def test_a_port_that_opens_ends_the_wait(loop_name: str) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))

        async def open_it(gone: asyncio.Future[None]) -> None:
            server.listen()

        assert during_wait(loop_name, port_of(server), open_it)


@both_loops
def test_a_death_ends_the_wait(loop_name: str) -> None:
    async def die(gone: asyncio.Future[None]) -> None:
        gone.set_result(None)

    assert not during_wait(loop_name, free_port(), die, within_s=None)


def test_a_port_that_is_open_after_a_death_does_not_count(listener: socket.socket) -> None:
    async def story() -> bool:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        return await wait_until_open(port_of(listener), until=[gone])

    assert not run_on("asyncio", story())


@both_loops
def test_the_wait_has_a_bound(loop_name: str) -> None:
    async def nothing(gone: asyncio.Future[None]) -> None:
        pass

    assert not during_wait(loop_name, free_port(), nothing, within_s=0.05)


def test_an_ipv6_listener_is_not_where_requests_are_sent() -> None:
    with socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("::1", 0))
        server.listen()
        assert not run_on("asyncio", accepts_connections(port_of(server)))


def free_neighbourhood() -> int:
    """A port whose neighbours are free, too."""
    for _ in range(100):
        port = free_port()
        if all(readiness._can_bind(neighbour) for neighbour in range(port - 2, port + 3)):
            return port
    raise AssertionError("no free ports")


def test_the_wanted_port_comes_first_if_it_is_free() -> None:
    port = free_neighbourhood()
    assert run_on("asyncio", find_free_port(port, ())) == port


def test_the_next_port_is_taken_if_the_wanted_one_must_be_avoided() -> None:
    port = free_neighbourhood()
    assert run_on("asyncio", find_free_port(port, (port,))) == port + 1


def test_ports_in_use_are_passed_over() -> None:
    port = free_neighbourhood()
    with socket.create_server(("127.0.0.1", port)), socket.create_server(("0.0.0.0", port + 1)):
        assert run_on("asyncio", find_free_port(port, ())) == port - 1


def test_any_port_will_do_if_all_neighbours_are_in_use() -> None:
    port = free_neighbourhood()
    everyone = range(port - 20, port + 21)
    assert run_on("asyncio", find_free_port(port, everyone)) not in everyone


def test_neighbours_are_unprivileged_ports() -> None:
    assert min(list(readiness._neighbours(1025))[1:]) == 1024
    assert max(readiness._neighbours(65530)) == 65535
