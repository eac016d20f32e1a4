"""Half a gigabyte through thrust, in either direction, with a slow receiver: the memory of thrust does not notice.

The receiver is slow at first, until everybody before it is stuck, and takes the rest as fast as it can. What counts is
the peak of the resident memory, as the kernel has recorded it, not what it happens to be now and then.
"""

import socket
import threading
from collections.abc import Callable

import pytest

from tests.support.e2e_client import Client
from tests.support.e2e_thrust import Thrust, until

pytestmark = pytest.mark.slow

BODY_BYTES = 500_000_000
ALLOWED_BYTES = 10_000_000

UNCHANGED_LOOKS = 30
"""What has not moved for so many looks in a row, each a request through thrust, is stuck."""

READERS = 40

BLOCK = b"0123456789abcdef" * 16384


def is_stuck(look: Callable[[], int]) -> bool:
    """Whether `look` gives the same number, above zero, again and again."""
    first = look()
    return first > 0 and all(look() == first for _ in range(UNCHANGED_LOOKS))


def settle(thrust: Thrust) -> int:
    """The memory of thrust after some traffic of every kind, from which on it should not grow; forgets the peak."""
    for _ in range(3):
        with thrust.connect() as client:
            assert client.get("/open").status == 200
            client.send_request("POST", "/sink", body=BLOCK * 20)
            assert client.receive().status == 200
            assert len(client.get(f"/stream?{len(BLOCK) * 20}").body) == len(BLOCK) * 20
    before = thrust.memory_bytes()
    thrust.forget_peak_memory()
    return before


def test_a_large_response_to_a_slow_reader_needs_no_memory(raw: Thrust) -> None:
    before = settle(raw)
    with raw.connect(receive_buffer_bytes=1 << 20) as client, raw.connect() as aside:
        client.send_head("GET", f"/stream?{BODY_BYTES}")
        assert client.receive_head().get("content-length") == str(BODY_BYTES)
        until(lambda: is_stuck(lambda: int(aside.get("/progress").body)), "the worker has to wait")
        assert int(aside.get("/progress").body) < BODY_BYTES // 4
        assert drain(client) == BODY_BYTES
        assert aside.get("/").status == 200
    assert raw.peak_memory_bytes() - before < ALLOWED_BYTES


def drain(client: Client) -> int:
    """The number of bytes until the body of BODY_BYTES is complete."""
    seen = len(client.rest)
    room = bytearray(1 << 20)
    while seen < BODY_BYTES:
        size = client.socket.recv_into(room)
        assert size, f"the end comes after {seen} bytes"
        seen += size
    return seen


def test_a_large_upload_to_a_slow_worker_needs_no_memory(raw: Thrust) -> None:
    with raw.connect() as aside:
        before = settle(raw)
        aside.get("/shut")
        with raw.connect() as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            upload = Upload(client)
            upload.start()
            until(lambda: is_stuck(lambda: upload.sent_bytes + 0 * aside.get("/").status), "the client has to wait")
            assert upload.sent_bytes < BODY_BYTES // 4
            aside.get("/open")
            upload.join()
            assert client.receive().body == b"%d" % BODY_BYTES
    assert raw.peak_memory_bytes() - before < ALLOWED_BYTES


class Upload(threading.Thread):
    """Sends a body of BODY_BYTES and counts what the socket has taken."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self.sent_bytes = 0

    def run(self) -> None:
        self._client.send_head("POST", "/sink", ("Content-Length", str(BODY_BYTES)))
        while self.sent_bytes < BODY_BYTES:
            self.sent_bytes += self._client.socket.send(BLOCK[: BODY_BYTES - self.sent_bytes])


def test_a_large_upload_in_chunks_from_a_client_that_is_slow_at_first_needs_no_memory(raw: Thrust) -> None:
    with raw.connect() as aside:
        before = settle(raw)
        aside.get("/open")
        with raw.connect() as client:
            client.send_head("POST", "/", ("Transfer-Encoding", "chunked"))
            for _ in range(200):
                client.send(b"1\r\nx\r\n")
                assert aside.get("/up").status == 200
            for _ in range(BODY_BYTES // 10 // len(BLOCK)):
                client.send(b"%x\r\n" % len(BLOCK), BLOCK, b"\r\n")
            client.send(b"0\r\n\r\n")
            assert client.receive().status == 200
    assert raw.peak_memory_bytes() - before < ALLOWED_BYTES


def test_many_slow_readers_need_little_memory_each(raw: Thrust) -> None:
    """A read of the event loop (256 KB) that waits for the client, and one that waits for the former, and no more."""
    before = settle(raw)
    clients = []
    try:
        for _ in range(READERS):
            client = raw.connect(receive_buffer_bytes=4096)
            clients.append(client)
            client.send_head("GET", "/stream?5000000")
        with raw.connect() as aside:
            until(lambda: is_stuck(lambda: int(aside.get("/progress").body)), "the workers have to wait")
        assert raw.peak_memory_bytes() - before < READERS * 1_000_000
    finally:
        for client in clients:
            client.close()
