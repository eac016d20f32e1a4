"""thrust as process 1 of a container: it buries the orphans that it inherits, and signals reach it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tests.support.e2e_client import Client
from tests.support.e2e_thrust import Thrust, children, python, raw_worker, running_thrust, until

CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]

MANY_PROCESSES = """
import subprocess, sys
for code in range(50):
    assert subprocess.call(["sh", "-c", f"exit {code}"]) == code
sys.exit(11)
"""


def has_containers() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*CONTAINER, "true"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_containers(), reason="unshare cannot make a process namespace here"),
]


@contextmanager
def contained(command: list[str], loop_name: str, **settings: str) -> Iterator[tuple[Thrust, int]]:
    """thrust as process 1 of its namespace, with the number that it has outside; its exit code is unshare's."""
    with running_thrust(command, loop=loop_name, env=settings, wrapper=CONTAINER) as thrust:
        thrust.wait_for_event("worker started")
        (outside,) = children(thrust.pid)
        yield thrust, outside


def test_orphans_are_buried_and_the_exit_code_is_still_the_workers(loop_name: str) -> None:
    with contained(raw_worker("--on-term", "6"), loop_name) as (thrust, outside):
        with thrust.connect() as client:
            orphans = [int(client.get("/orphan").body) for _ in range(5)]
            for orphan in orphans:
                until(partial(is_buried, client, orphan), "the orphan is buried")
        os.kill(outside, signal.SIGTERM)
        assert thrust.wait() == 6


def is_buried(client: Client, pid: int) -> bool:
    """Whether no process has this number any more, dead or alive."""
    return client.get(f"/exists?{pid}").body == b"no"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_1_stops_in_good_order(number: int, loop_name: str) -> None:
    with contained(raw_worker(), loop_name) as (thrust, outside):
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.get("/").status == 200
            os.kill(outside, number)
            client.expect_end()
        assert thrust.wait() == 0
        assert [event["msg"] for event in thrust.events()][-2:] == ["worker exited with code 0", "stopped"]


def test_process_1_kills_a_worker_that_ignores_sigterm(loop_name: str) -> None:
    worker = raw_worker("--on-term", "ignore", "--with-child")
    with contained(worker, loop_name, THRUST_SHUTDOWN_TIMEOUT="1") as (thrust, outside):
        thrust.wait_until_ready()
        thrust.wait_for_line("child ")
        os.kill(outside, signal.SIGTERM)
        assert thrust.wait() == 137


def test_a_worker_that_starts_many_short_processes_keeps_its_own_exit_codes(loop_name: str) -> None:
    """thrust as process 1 must not take the reports about the worker's children from the worker."""
    script = (
        "import subprocess, sys\nfor code in range(50): assert subprocess.call(['sh', '-c', f'exit {code}']) == code"
    )
    with contained(python("-c", f"{script}\nsys.exit(11)"), loop_name) as (thrust, outside):
        assert thrust.wait() == 11
