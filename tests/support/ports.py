"""Ports for processes that are told where to listen."""

import contextlib
import random
import socket

_given_out: set[int] = set()


def free_port() -> int:
    """A port that nobody has, below those that the kernel gives to outgoing connections; never the same twice."""
    for _ in range(1000):
        port = random.randrange(15000, 32000)
        if port in _given_out:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given_out.add(port)
            return port
    raise AssertionError("no port is free")
