"""A disk that does not answer keeps those waiting who want a file from it, and nobody else.

`blocked_disk/sitecustomize.py` makes some files of thrust's block until the test lets them go.
"""

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from functools import partial
from gzip import decompress as gunzip
from pathlib import Path

import pytest

from tests.support.e2e_client import BOUND_S, Client
from tests.support.e2e_thrust import WITHOUT_UVLOOP, Thrust, running_thrust, until, uvicorn
from thrust.handlers.files import MAX_DISK_THREADS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="names of open files come from /proc"),
]

BLOCKED_DISK = Path(__file__).parent / "blocked_disk"
HIT = "/static/app-3f9a2c1b7d.js"
HITS = 500
BLOCKED_CLIENTS = MAX_DISK_THREADS + 8
CONTENT = random.Random(4).randbytes(300_000)
SCRIPT = b"export default 1;\n" * 100

FILES = {
    "blocked-open.bin": CONTENT,
    "blocked-read.bin": CONTENT,  # sent by the kernel
    "blocked-read-small.bin": CONTENT[:1000],  # read, and joined with its head
    "blocked-read-coded.txt": b"to be compressed\n" * 1000,
}


class SlowSite:
    """A running thrust with a folder of files at /static, some of them on a disk that does not answer."""

    def __init__(self, thrust: Thrust, fifo: Path) -> None:
        self.thrust = thrust
        self._fifo = fifo

    def waiting(self) -> int:
        """How often somebody had to wait for the disk."""
        return Path(f"{self._fifo}.log").read_bytes().count(b"\n")

    def has_kept_waiting(self, count: int) -> bool:
        return self.waiting() >= count

    @contextlib.contextmanager
    def answering_disk(self) -> Iterator[None]:
        """Meanwhile the disk answers."""
        end = os.open(self._fifo, os.O_RDWR)  # as O_WRONLY it would wait for somebody who waits
        try:
            yield
        finally:
            os.close(end)


@pytest.fixture
def site(loop_name: str, tmp_path: Path) -> Iterator[SlowSite]:
    folder = tmp_path / "static"
    folder.mkdir()
    for name, content in {**FILES, HIT.rpartition("/")[2]: SCRIPT}.items():
        (folder / name).write_bytes(content)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    path = [str(BLOCKED_DISK), *([str(WITHOUT_UVLOOP)] if loop_name == "asyncio" else [])]
    env = {
        "PYTHONPATH": os.pathsep.join(path),
        "BLOCKED_DISK": str(fifo),
        "THRUST_STATIC": f"/static:{folder}",
        "THRUST_SHUTDOWN_TIMEOUT": "1",
    }
    with running_thrust(uvicorn(), loop=loop_name, env=env) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.get(HIT).body == SCRIPT
        yield SlowSite(thrust, fifo)
        assert not [event for event in thrust.events() if event["level"] == "ERROR"]


def assert_hits(client: Client, count: int) -> None:
    for _ in range(count):
        answer = client.get(HIT)
        assert (answer.get("x-cache"), answer.body) == ("hit", SCRIPT)


def has_received(client: Client) -> bool:
    client.socket.setblocking(False)
    try:
        return bool(client.socket.recv(1))
    except BlockingIOError:
        return False
    finally:
        client.socket.settimeout(BOUND_S)


@pytest.mark.parametrize("name", FILES)
def test_others_are_served_while_every_thread_waits_for_the_disk(site: SlowSite, name: str) -> None:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(site.thrust.connect())
        blocked = [stack.enter_context(site.thrust.connect()) for _ in range(BLOCKED_CLIENTS)]
        coding = "gzip" if "coded" in name else "identity"
        for number, waiting in enumerate(blocked):
            # Each a resource of its own: for the same one they would wait for the first of them.
            waiting.send_head("GET", f"/static/{name}?{number}", ("Accept-Encoding", coding))
        until(lambda: site.waiting() == MAX_DISK_THREADS, "every thread waits")
        assert_hits(client, HITS)
        assert client.get("/").status  # from the worker
        late = [stack.enter_context(site.thrust.connect()) for _ in range(20)]
        for newcomer in late:
            assert_hits(newcomer, 1)
        assert site.waiting() == MAX_DISK_THREADS
        if name != "blocked-read.bin":  # of which the head has been sent
            assert not any(map(has_received, blocked))
        with site.answering_disk():
            for waiting in blocked:
                answer = waiting.receive()
                assert answer.status == 200
                assert (gunzip(answer.body) if coding == "gzip" else answer.body) == FILES[name]
                assert_hits(waiting, 1)
    assert site.thrust.stop() in (0, 143)


def test_clients_that_leave_meanwhile_do_not_come_back(site: SlowSite) -> None:
    for number, name in enumerate(FILES):
        with site.thrust.connect() as client:
            client.send_head("GET", f"/static/{name}")
            until(partial(site.has_kept_waiting, number + 1), "a thread waits")
    with site.thrust.connect() as client:
        assert_hits(client, 1)
        with site.answering_disk():
            for name, content in FILES.items():
                assert client.get(f"/static/{name}").body == content
    descriptors = Path(f"/proc/{site.thrust.pid}/fd")
    names = tuple(FILES)
    until(lambda: not [e for e in descriptors.iterdir() if _target(e).endswith(names)], "all files are closed")


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("name", ["blocked-open.bin", "blocked-read.bin"])
def test_the_end_does_not_wait_for_the_disk(site: SlowSite, name: str) -> None:
    with site.thrust.connect() as client:
        client.send_head("GET", f"/static/{name}")
        until(lambda: site.waiting() == 1, "a thread waits")
        code = site.thrust.stop()
        assert code in (0, 143)
        # Not with a reset while the thread holds the socket; but what was announced is missing.
        assert client.is_aborted() or len(client.rest) < len(FILES[name])
