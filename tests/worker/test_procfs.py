"""What is read from /proc about real processes with real sockets."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.worker_driving import python
from thrust.worker import procfs
from thrust.worker.procfs import Listener, Snapshot, catches_signal, describe_holder, group_lives, take_snapshot

pytestmark = pytest.mark.skipif(not procfs.CAN_LOOK, reason="there is no /proc here")

LISTENER = """
import socket, sys
listener = eval(sys.argv[1])
print(listener.getsockname()[1] if isinstance(listener.getsockname(), tuple) else 0, flush=True)
input()
"""


@contextmanager
def listening(source: str, *wrapper: str) -> Iterator[tuple[int, int]]:
    """A process group whose member has the socket that `source` makes: its leader's pid, and the port."""
    with subprocess.Popen(
        [*wrapper, *python(LISTENER, source)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    ) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("socket.create_server(('127.0.0.1', 0))", "127.0.0.1"),
        ("socket.create_server(('127.1.2.3', 0))", "127.1.2.3"),
        ("socket.create_server(('0.0.0.0', 0))", "0.0.0.0"),
        ("socket.create_server(('::1', 0), family=socket.AF_INET6)", "::1"),
        ("socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)", "::"),
        ("socket.create_server(('::ffff:127.0.0.1', 0), family=socket.AF_INET6, dualstack_ipv6=True)", "127.0.0.1"),
    ],
)
def test_tcp_listeners_are_found_with_their_address(source: str, address: str) -> None:
    with listening(source) as (pid, port):
        assert take_snapshot(pid).listeners == (Listener(address, port),)
        assert Listener(address, port) in procfs.tcp_listeners(port)


def test_unix_listeners_are_found_with_their_path(tmp_path: Path) -> None:
    path = str(tmp_path / "a socket")
    with listening(f"[s := socket.socket(socket.AF_UNIX), s.bind({path!r}), s.listen()][0]") as (pid, _):
        assert take_snapshot(pid).listeners == (Listener(path),)


def test_a_connected_socket_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with listening(f"socket.create_connection(('127.0.0.1', {port}))") as (pid, _):
            assert take_snapshot(pid).listeners == ()


@pytest.mark.parametrize("wrapper", [("sh", "-c", '"$@"; true', "sh"), ("setsid", "--wait")])
def test_listeners_of_descendants_are_the_workers(wrapper: tuple[str, ...]) -> None:
    with listening("socket.create_server(('127.0.0.1', 0))", *wrapper) as (pid, port):
        snapshot = take_snapshot(pid)
        assert snapshot.listeners == (Listener("127.0.0.1", port),)
        assert [owner[0] for owner in snapshot.owners] == [sys.executable]


def test_listeners_of_others_are_not_the_workers() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)),
        listening("socket.create_server(('127.0.0.1', 0))") as (pid, port),
    ):
        assert take_snapshot(pid).listeners == (Listener("127.0.0.1", port),)


@pytest.mark.slow
def test_cpu_time_counts_the_whole_family() -> None:
    burn = "import time\nwhile time.process_time() < 0.15: pass\nprint(flush=True); input()"
    script = '"$@"; true'
    with subprocess.Popen(
        ["sh", "-c", script, "sh", *python(burn)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert take_snapshot(process.pid).cpu_s >= 0.14
        assert not take_snapshot(process.pid).is_stopped
        os.killpg(process.pid, signal.SIGKILL)


def test_a_stopped_worker_is_seen() -> None:
    with listening("socket.create_server(('127.0.0.1', 0))") as (pid, _):
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        assert take_snapshot(pid).is_stopped


def test_a_name_with_spaces_and_parentheses_confuses_nobody() -> None:
    rename = "open('/proc/self/comm', 'w').write('a) R 1 (b')"
    with listening(f"[{rename}, socket.create_server(('127.0.0.1', 0))][1]") as (pid, port):
        assert take_snapshot(pid).listeners == (Listener("127.0.0.1", port),)


def test_the_holder_of_a_port_is_named() -> None:
    with listening("socket.create_server(('127.0.0.1', 0))") as (pid, port):
        assert describe_holder(port) == f"{os.path.basename(sys.executable)} (pid {pid})"
    assert describe_holder(port) == ""


def test_a_group_of_zombies_does_not_live() -> None:
    with subprocess.Popen(["true"], process_group=0) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not group_lives(process.pid)
    assert group_lives(os.getpgrp())


def test_a_handled_signal_is_told_from_others() -> None:
    previous = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        assert catches_signal(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert not catches_signal(os.getpid(), signal.SIGUSR1)
    assert not catches_signal(2**22 + 1, signal.SIGUSR1)


def test_without_proc_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "CAN_LOOK", False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert take_snapshot(os.getpid()) == Snapshot()
        assert procfs.tcp_listeners(server.getsockname()[1]) == []
        assert describe_holder(server.getsockname()[1]) == ""
