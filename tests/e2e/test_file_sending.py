"""Files over real sockets, to many clients at once: every byte arrives, memory stays where it was, nothing is left."""

import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.e2e_client import BOUND_S, Client
from tests.support.e2e_thrust import APPS, LOOPS, environment, python, until
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

SIZE_BYTES = 10_000_000
CLIENTS = 64
ALLOWED_BYTES = 8_000_000

CONTENT = random.Random(10).randbytes(SIZE_BYTES)


class FileFront:
    """`apps/file_front.py`, running."""

    def __init__(self, process: subprocess.Popen[str], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.folder = folder

    def connect(self, receive_buffer_bytes: int | None = None) -> Client:
        return Client(self.port, receive_buffer_bytes=receive_buffer_bytes)

    def descriptors(self) -> int:
        with self.connect() as client:
            return int(client.get("/-/descriptors").body)

    def memory_bytes(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))

    def forget_peak_memory(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@pytest.fixture(params=LOOPS)
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileFront]:
    """A front in front of a folder with the file `large`; stopped, it has had nothing to say."""
    (tmp_path / "large").write_bytes(CONTENT)
    port = free_port()
    env = environment(port, port, request.param)
    root = str(APPS.parents[2])
    process = subprocess.Popen(
        python(str(APPS / "file_front.py"), str(port), str(tmp_path)),
        env=env | {"PYTHONPATH": os.pathsep.join(filter(None, [env["PYTHONPATH"], root]))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(request.param)
        yield FileFront(process, port, tmp_path)
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=BOUND_S)
        assert (process.returncode, complaints) == (0, "")
    finally:
        process.kill()
        process.communicate()


def digest_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_64_clients_of_different_speed_get_every_byte(front: FileFront) -> None:
    before = front.descriptors()

    def download(number: int) -> str:
        step_bytes = random.Random(number).choice((4096, 65536, 1_000_000))
        with front.connect(receive_buffer_bytes=4096 << number % 8) as client:
            client.send_head("GET", "/large")
            assert client.receive_head().get("content-length") == str(SIZE_BYTES)
            digest = hashlib.md5(client.rest, usedforsecurity=False)
            left_bytes = SIZE_BYTES - len(client.rest)
            while left_bytes:
                data = client.socket.recv(min(step_bytes, left_bytes))
                assert data
                digest.update(data)
                left_bytes -= len(data)
            client.rest.clear()
            assert client.get("/-/descriptors").status == 200
            return digest.hexdigest()

    with ThreadPoolExecutor(CLIENTS) as threads:
        assert set(threads.map(download, range(CLIENTS))) == {digest_of(CONTENT)}
    until(lambda: front.descriptors() <= before, "all files and connections are closed")


def test_slow_readers_hold_no_memory(front: FileFront) -> None:
    with front.connect() as client:
        assert client.get("/large").body == CONTENT
    before = front.memory_bytes("VmRSS")
    front.forget_peak_memory()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(front.connect(receive_buffer_bytes=65536)) for _ in range(CLIENTS)]
        for client in clients:
            client.send_head("GET", "/large")
        for client in clients:
            client.receive_head()
        for client in clients:
            assert digest_of(client.take(SIZE_BYTES)) == digest_of(CONTENT)
    assert front.memory_bytes("VmHWM") - before < ALLOWED_BYTES


def test_parts_of_a_file_arrive_in_any_order_and_number(front: FileFront) -> None:
    choose = random.Random(7)
    with front.connect() as client:
        for _ in range(60):
            points = [sorted(choose.sample(range(SIZE_BYTES), 2)) for _ in range(choose.randrange(1, 5))]
            answer = client.get("/large?" + ",".join(f"{start}-{stop}" for start, stop in points))
            assert digest_of(answer.body) == digest_of(b"|".join(CONTENT[start:stop] for start, stop in points))


def test_a_file_that_shrinks_while_it_is_sent_never_looks_complete(front: FileFront) -> None:
    before = front.descriptors()
    (front.folder / "shrinking").write_bytes(CONTENT * 3)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(front.connect(receive_buffer_bytes=65536)) for _ in range(8)]
        for client in clients:
            client.send_head("GET", "/shrinking")
            client.receive_head()
        os.truncate(front.folder / "shrinking", 2 * SIZE_BYTES + 12345)
        for client in clients:
            with pytest.raises(ConnectionResetError):
                client.take(3 * SIZE_BYTES)
    until(lambda: front.descriptors() <= before, "all files and connections are closed")


def test_clients_that_leave_in_the_middle_leave_nothing_behind(front: FileFront) -> None:
    before = front.descriptors()
    choose = random.Random(3)
    for _ in range(100):
        with front.connect() as client:
            client.send_head("GET", "/large")
            left_bytes = choose.randrange(SIZE_BYTES)
            while left_bytes > 0:
                left_bytes -= len(client.socket.recv(min(left_bytes, 262144)))
            if choose.random() < 0.5:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    until(lambda: front.descriptors() <= before, "all files and connections are closed")


def test_a_download_ends_well_when_the_front_is_told_to_stop(front: FileFront) -> None:
    with front.connect(receive_buffer_bytes=65536) as client:
        client.send_head("GET", "/large")
        client.receive_head()
        front.process.send_signal(signal.SIGTERM)
        assert client.take(SIZE_BYTES) == CONTENT
        client.expect_end()
    front.process.wait(BOUND_S)
