"""Clients and a worker that do everything at the wrong moment: thrust neither loses its composure nor its descriptors.

Each session is a random choice of requests, of cuts in the middle of them, and of endings: orderly, half-closed, reset.
The seeds are fixed, but the interleaving is not; what is asserted holds for any.
"""

import os
import random
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.e2e_client import Client, Ended, chunk
from tests.support.e2e_thrust import Thrust, raw_worker, running_thrust, until

pytestmark = pytest.mark.slow

SESSIONS = 600
CLIENTS = 8

PATHS = (
    "/",
    "/count",
    "/trailers",
    "/stream?1000000",
    "/until-close",
    "/short",
    "/short-chunked",
    "/silent",
    "/half-head",
    "/no-http",
    "/too-long",
    "/two-framings",
    "/bad-field",
    "/upgrade",
    "/refuse",
    "/hang",
)

UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


def some_request(client: Client, chance: random.Random) -> bytes:
    path = chance.choice(PATHS)
    kind = chance.randrange(6)
    if kind == 0:
        body = os.urandom(chance.choice([0, 10, 100_000]))
        return client.head("POST", path, ("Content-Length", str(len(body)))) + body
    if kind == 1:
        chunks = b"".join(chunk(b"x" * chance.randint(1, 50_000)) for _ in range(chance.randrange(4)))
        return client.head("POST", path, ("Transfer-Encoding", "chunked")) + chunks + b"0\r\nX-End: 1\r\n\r\n"
    if kind == 2:
        return client.head("GET", path, *UPGRADE) + b"\x81\x85\0\0\0\0hello"
    if kind == 3:
        return client.head("POST", path, ("Expect", "100-continue"), ("Content-Length", "5")) + b"hello"
    if kind == 4:
        return b"GET / HTTP/1.1\r\nHost: a\r\n" + os.urandom(20) + b"\r\n\r\n"
    return client.head(chance.choice(["GET", "HEAD", "OPTIONS"]), path)


def session(thrust: Thrust, seed: int) -> None:
    chance = random.Random(seed)
    with thrust.connect() as client:
        client.socket.settimeout(chance.choice([0.01, 0.05, 0.2]))
        try:
            data = b"".join(some_request(client, chance) for _ in range(chance.choice([1, 1, 2, 5])))
            if chance.random() < 0.4:
                data = data[: chance.randrange(len(data))]
            for _ in range(chance.randrange(3)):
                cut = chance.randrange(len(data) + 1)
                client.send(data[:cut])
                data = data[cut:]
            client.send(data)
            if chance.random() < 0.3:
                client.end_sending()
            for _ in range(chance.randrange(3)):
                client.receive()
        except (OSError, Ended, AssertionError, ValueError):
            pass  # whatever comes: such clients have no rights
        if chance.random() < 0.3:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_after_hundreds_of_bad_sessions_nothing_is_left_of_them(loop_name: str) -> None:
    # Some of those who have left cannot be told from those who are silent; they go when the worker is given up.
    with running_thrust(raw_worker(), loop=loop_name, env={"THRUST_WORKER_TIMEOUT": "2"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.get("/").status == 200
        descriptors = count_descriptors(thrust)
        with ThreadPoolExecutor(CLIENTS) as threads:
            list(threads.map(lambda seed: session(thrust, seed), range(SESSIONS)))
        until(lambda: count_descriptors(thrust) <= descriptors, "all connections are closed, on both sides")
        with thrust.connect() as client:
            assert client.get("/").status == 200
        assert thrust.stop() == 0
        assert [event for event in thrust.events() if event["level"] == "ERROR"] == []
        statuses = {record["status"] for record in thrust.requests()}
        assert {200, 400, 499, 502} <= statuses <= {0, 101, 200, 400, 408, 413, 499, 502, 504}


def count_descriptors(thrust: Thrust) -> int:
    return len(os.listdir(f"/proc/{thrust.pid}/fd"))
