"""Whether somebody listens on a port of 127.0.0.1: waiting for the worker, and finding a port for a second one.

Called by `worker/system`. A worker is ready when the kernel accepts a TCP connection for it. There is no event for
that, so this is the one place that asks again and again: first every 10 ms, because a start-up costs the first
visitor, later every 100 ms. IPv4 loopback only, since that is where requests are sent.

Not here: HTTP health checks. A worker that accepts and then answers badly is the business of whoever reads answers.
"""

import asyncio
import errno
import math
import socket
from collections.abc import Collection, Iterable
from typing import Any

LOOPBACK = "127.0.0.1"

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.1
_PAUSE_GROWTH = 1.3

ATTEMPT_S = 1.0
"""Bound for one attempt. On loopback it only counts when the listener's queue is full."""

_NEAR_PORTS = 10
_HIGHEST_PORT = 65535
_LOWEST_PORT = 1024


async def wait_until_open(port: int, *, until: Collection[asyncio.Future[Any]], within_s: float | None = None) -> bool:
    """True as soon as `port` accepts connections; False when a future of `until` is done or the time is over."""
    loop = asyncio.get_running_loop()
    deadline_s = math.inf if within_s is None else loop.time() + within_s
    pause_s = FIRST_PAUSE_S
    while not any(future.done() for future in until):
        if await accepts_connections(port):
            return True
        left_s = deadline_s - loop.time()
        if left_s <= 0:
            return False
        await asyncio.wait(until, timeout=min(pause_s, left_s), return_when=asyncio.FIRST_COMPLETED)
        pause_s = min(pause_s * _PAUSE_GROWTH, LONGEST_PAUSE_S)
    return False


async def accepts_connections(port: int) -> bool:
    """Whether a TCP connection to `port` succeeds now; it is closed at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            is_connected = await _connect(probe, port) == 0
            # A connection to a port of the ephemeral range may get that very port as its own and meet itself.
            return is_connected and bool(probe.getsockname() != probe.getpeername())
        except (OSError, TimeoutError):
            return False


async def find_free_port(near: int, avoid: Collection[int]) -> int:
    """A port for a second worker: the nearest free one to `near`, `near` itself included, else any free one.

    Neighbours come first because they are stable, and because a port of the ephemeral range may be taken by
    someone's outgoing connection between this answer and the worker's bind.
    """
    for port in _neighbours(near):
        # Both questions: macOS lets 127.0.0.1:3001 be bound beside a listener on *:3001.
        if port not in avoid and _can_bind(port) and not await accepts_connections(port):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as any_port:
        any_port.bind((LOOPBACK, 0))
        return int(any_port.getsockname()[1])


def _neighbours(port: int) -> Iterable[int]:
    yield port
    for distance in range(1, _NEAR_PORTS + 1):
        for neighbour in (port + distance, port - distance):
            if _LOWEST_PORT <= neighbour <= _HIGHEST_PORT:
                yield neighbour


async def _connect(probe: socket.socket, port: int) -> int:
    """The errno of connecting `probe`. Not by loop.sock_connect: uvloop's starts four threads to resolve an address."""
    error = probe.connect_ex((LOOPBACK, port))
    if error != errno.EINPROGRESS:
        return error
    loop = asyncio.get_running_loop()
    writable: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not writable.done():
            writable.set_result(None)

    loop.add_writer(probe, wake)
    try:
        async with asyncio.timeout(ATTEMPT_S):
            await writable
    finally:
        loop.remove_writer(probe)
    return probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
