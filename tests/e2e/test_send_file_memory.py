"""64 clients in the middle of 10 MB by X-Sendfile, none of them reading: what of it is in the memory of thrust.

Over plain HTTP/1.1 nothing is, because the kernel sends. Over TLS and HTTP/2 each client has a piece of the file that
comes next, one that waits in the transport, and its part of OpenSSL. What counts is the peak, as the kernel has
recorded it, from the first request until each client has got on by a few pieces. Measured were 1 MB, 14 MB over TLS,
14 MB over HTTP/2 and 19 MB with both.
"""

import contextlib
import fcntl
import random
import ssl
import struct
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.certificates import client_context, make_pair
from tests.support.e2e_client import Client
from tests.support.e2e_thrust import LOOPS, Thrust, running_thrust, until
from tests.support.http2_client import Http2Client

pytestmark = pytest.mark.slow

SIZE_BYTES = 10_000_000
CLIENTS = 64
CONTENT = random.Random(11).randbytes(SIZE_BYTES)
PART_BYTES = 1_000_000
"""How much each client reads when all are stuck."""

RECEIVE_BUFFER_BYTES = 65536
TARGET = "/x?large.bin"

UNCHANGED_LOOKS = 30
"""What has not moved for so many looks in a row, each a request through thrust, is stuck."""


class Reader(Protocol):
    """A client that has asked for the file, and does not read."""

    def read_to(self, position: int) -> bytes:
        """The content up to there, as far as it has not been read; more may have come."""

    def arrived_bytes(self) -> int:
        """What waits for this client in its socket."""

    def close(self) -> None: ...


class Http1Reader:
    """Over HTTP/1.1, with TLS or without."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self._client = Client(port, receive_buffer_bytes=RECEIVE_BUFFER_BYTES)
        self.close = self._client.close
        if context is not None:
            self._client.socket = context.wrap_socket(self._client.socket, server_hostname="127.0.0.1")
        self._client.send_head("GET", TARGET)
        assert self._client.receive_head().get("content-length") == str(SIZE_BYTES)
        self._position = 0

    def read_to(self, position: int) -> bytes:
        count, self._position = position - self._position, position
        return self._client.take(count)

    def arrived_bytes(self) -> int:
        return in_socket(self._client.socket.fileno())


class Http2Reader:
    """The same over HTTP/2, with a window as wide as the file."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self._client = Http2Client(
            port, context, window_bytes=2 * SIZE_BYTES, receive_buffer_bytes=RECEIVE_BUFFER_BYTES
        )
        self.close = self._client.close
        self._answer = self._client.answers[self._client.begin("GET", TARGET)]
        self._client.until(lambda: self._answer.status)
        assert self._answer.get("content-length") == str(SIZE_BYTES)
        self._position = 0

    def read_to(self, position: int) -> bytes:
        start, self._position = self._position, position
        self._client.until(lambda: self._answer.body_bytes >= position)
        return bytes(self._answer.body[start:position])

    def arrived_bytes(self) -> int:
        return in_socket(self._client.socket.fileno())


def in_socket(fd: int) -> int:
    """Bytes that have arrived and that nobody has read."""
    count: int = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]
    return count


def wait_until_stuck(readers: Sequence[Reader], aside: Client) -> None:
    """Returns when nothing more has arrived anywhere while thrust answered somebody else."""

    def arrived() -> list[int]:
        assert aside.get("/x?small.bin").body == b"small"
        return [reader.arrived_bytes() for reader in readers]

    def is_stuck() -> bool:
        first = arrived()
        return all(first) and all(arrived() == first for _ in range(UNCHANGED_LOOKS))

    until(is_stuck, "all sockets are full")


def grown_bytes(thrust: Thrust, kind: type[Http1Reader] | type[Http2Reader], context: ssl.SSLContext | None) -> int:
    """By how much the memory of thrust grows for CLIENTS that read a little and wait, one after another has come."""
    first = kind(thrust.port, context)
    assert first.read_to(SIZE_BYTES) == CONTENT
    first.close()
    with contextlib.ExitStack() as stack:
        aside = stack.enter_context(thrust.connect())
        if context is not None:
            aside.socket = client_context("http/1.1").wrap_socket(aside.socket, server_hostname="127.0.0.1")
        wait_until_stuck([], aside)
        before = thrust.memory_bytes()
        thrust.forget_peak_memory()
        readers: list[Reader] = []
        for _ in range(CLIENTS):
            readers.append(kind(thrust.port, context))
            stack.callback(readers[-1].close)
        wait_until_stuck(readers, aside)
        for reader in readers:
            assert reader.read_to(PART_BYTES) == CONTENT[:PART_BYTES]
        wait_until_stuck(readers, aside)
        return thrust.peak_memory_bytes() - before


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("kind", "has_tls", "allowed_bytes"),
    [
        (Http1Reader, False, 8_000_000),
        (Http1Reader, True, 16_000_000),
        (Http2Reader, False, 18_000_000),
        (Http2Reader, True, 24_000_000),
    ],
    ids=["plain", "tls", "h2c", "h2 over tls"],
)
def test_slow_readers_need_little_memory_each(
    tmp_path: Path, loop: str, kind: type[Http1Reader] | type[Http2Reader], has_tls: bool, allowed_bytes: int
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "large.bin").write_bytes(CONTENT)
    (files / "small.bin").write_bytes(b"small")
    env, context = {"THRUST_SEND_FILE_ROOT": str(files), "LOG_REQUESTS": "0"}, None
    if has_tls:
        env |= make_pair("127.0.0.1").environment(tmp_path) | {"THRUST_HTTP2": "1"}
        context = client_context("h2" if kind is Http2Reader else "http/1.1")
    else:
        env["THRUST_H2C"] = "1"
    with running_thrust(["file_namer:application"], loop=loop, env=env) as thrust:
        thrust.wait_until_ready()
        assert grown_bytes(thrust, kind, context) < allowed_bytes
