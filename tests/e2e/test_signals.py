"""Stopping in good order, hurrying, killing at the end of the budget, replacing the worker, passing signals on."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.e2e_client import Client, Ended
from tests.support.e2e_thrust import Thrust, python, raw_worker, running_thrust, until, uvicorn
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

on_one_loop = pytest.mark.parametrize("loop_name", ["uvloop"])
"""For what does not depend on the loop."""

GUNICORN = python("-m", "gunicorn", "--bind", "127.0.0.1:$THRUST_WORKER_PORT", "--threads", "8", "flask_app:app")


@pytest.fixture
def thrust(loop_name: str) -> Iterator[Thrust]:
    """thrust in front of uvicorn, ready, for one test that ends it."""
    with running_thrust(uvicorn(), loop=loop_name) as thrust:
        thrust.wait_until_ready()
        yield thrust


def begin(thrust: Thrust, client: Client, name: str) -> None:
    """Send a request that the app answers when `name` is said; returns when the app has it."""
    client.send_head("GET", f"/wait?{name}")
    with thrust.connect_to_worker() as aside:
        aside.get(f"/wait?waits%20for%20{name}")


def say(thrust: Thrust, name: str) -> None:
    with thrust.connect_to_worker() as aside:
        assert aside.get(f"/say?{name}").status == 200


def is_refused(port: int) -> bool:
    try:
        Client(port).close()
    except ConnectionRefusedError:
        return True
    return False


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_finished_while_nothing_new_is_accepted(thrust: Thrust, number: int) -> None:
    with thrust.connect() as busy, thrust.connect() as idle:
        assert idle.get("/").status == 200
        begin(thrust, busy, "go")
        thrust.send(number)
        idle.expect_end()
        until(lambda: is_refused(thrust.port), "new connections are refused")
        assert thrust.process.poll() is None
        say(thrust, "go")
        answer = busy.receive()
        assert (answer.status, answer.body) == (200, b"go\n")
        assert answer.get("connection") == "close"
        busy.expect_end()
    assert thrust.wait() == 143
    thrust.wait_for_request(path="/wait", status=200)


@pytest.mark.parametrize("connections", ["kept alive", "new"])
def test_requests_that_were_sent_before_the_signal_are_answered(loop_name: str, connections: str) -> None:
    with running_thrust(raw_worker(), loop=loop_name) as thrust, ExitStack() as stack:
        thrust.wait_until_ready()
        clients = [stack.enter_context(thrust.connect()) for _ in range(20)]
        if connections == "kept alive":
            for client in clients:
                client.get("/")
        for client in clients:
            client.send_head("GET", "/")
        thrust.send(signal.SIGTERM)
        assert [client.receive().status for client in clients] == [200] * 20
        assert thrust.wait() == 0


@on_one_loop
def test_a_body_that_is_still_coming_is_finished_too(thrust: Thrust) -> None:
    with thrust.connect() as client, thrust.connect() as later:
        client.send(client.head("POST", "/received", ("Content-Length", "6")), b"abc")
        assert later.get("/").status == 200
        thrust.send(signal.SIGTERM)
        until(lambda: is_refused(thrust.port), "new connections are refused")
        client.send(b"def")
        assert client.receive().body.startswith(b"6 ")
    assert thrust.wait() == 143


@on_one_loop
def test_a_request_that_was_pipelined_before_the_signal_is_not_lost_in_silence(thrust: Thrust) -> None:
    with thrust.connect() as client:
        begin(thrust, client, "first")
        client.send(client.head("GET", "/sight?second"))
        thrust.send(signal.SIGTERM)
        until(lambda: is_refused(thrust.port), "new connections are refused")
        say(thrust, "first")
        # Either it is answered, or the close tells the client that it was not looked at (RFC 9112 §9.3.2).
        assert client.receive().get("connection") == "close"
        client.expect_end()
    thrust.wait()


def test_an_event_stream_does_not_keep_thrust_from_stopping(loop_name: str) -> None:
    with running_thrust(uvicorn(), loop=loop_name, env={"THRUST_SHUTDOWN_TIMEOUT": "40"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            client.send_head("GET", "/events?endless")
            client.receive_head()
            thrust.send(signal.SIGTERM)
            assert thrust.wait() == 143
            assert client.is_aborted()


HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


@on_one_loop
def test_a_websocket_is_told_that_its_server_goes_away(thrust: Thrust) -> None:
    with thrust.connect() as client:
        client.send_head("GET", "/", *HANDSHAKE)
        assert client.receive_head().status == 101
        thrust.send(signal.SIGTERM)
        # uvicorn's own close frame passes: 1012, "service restart".
        assert client.take(2)[0] == 0x88
        assert int.from_bytes(client.take(2)) == 1012
        client.send(b"\x88\x82\0\0\0\0\x03\xf4")
        client.expect_end()
    assert thrust.wait() == 143


def test_a_websocket_does_not_keep_a_worker_from_stopping_that_waits_for_it(loop_name: str) -> None:
    # Hypercorn does on CPython from 3.12 on; it would be killed at the end of the budget, with exit code 137.
    with running_thrust(["asgi_app:app"], loop=loop_name, env={"THRUST_SHUTDOWN_TIMEOUT": "40"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            client.send_head("GET", "/", *HANDSHAKE)
            assert client.receive_head().status == 101
            thrust.send(signal.SIGTERM)
            client.expect_end()
        assert thrust.wait() == 0


@on_one_loop
def test_stopping_with_nothing_under_way_is_quiet_and_orderly(thrust: Thrust) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(thrust.connect()) for _ in range(20)]
        for client in clients[:10]:
            client.get("/")
        thrust.send(signal.SIGTERM)
        for client in clients:
            client.expect_end()
    assert thrust.wait() == 143
    assert [event["msg"] for event in thrust.events()[-3:]] == [
        "stopping",
        "worker was killed by SIGTERM",
        "stopped",
    ]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait_for_what_is_under_way(second: int) -> None:
    with running_thrust(raw_worker("--on-term", "5"), env={"THRUST_SHUTDOWN_TIMEOUT": "600"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            client.send_head("GET", "/hang")
            thrust.wait_for_line("hangs")
            thrust.send(signal.SIGTERM)
            thrust.wait_for_event("stopping")
            thrust.send(second)
            assert client.receive().status == 502
        assert thrust.wait() == 5


def test_a_third_signal_kills_a_worker_that_does_not_go() -> None:
    worker = raw_worker("--on-term", "ignore")
    with running_thrust(worker, env={"THRUST_SHUTDOWN_TIMEOUT": "600"}) as thrust:
        thrust.wait_until_ready()
        thrust.send(signal.SIGINT)
        thrust.wait_for_line("got SIGTERM")
        thrust.send(signal.SIGINT)
        thrust.wait_for_event("stopping at once")
        thrust.send(signal.SIGINT)
        assert thrust.wait() == 137


def test_a_worker_that_ignores_sigterm_is_killed_with_its_group_at_the_end_of_the_budget(loop_name: str) -> None:
    worker = raw_worker("--on-term", "ignore", "--with-child")
    with running_thrust(worker, loop=loop_name, env={"THRUST_SHUTDOWN_TIMEOUT": "2"}) as thrust:
        thrust.wait_until_ready()
        thrust.wait_for_line("child ")
        assert len(thrust.company()) == 3
        thrust.send(signal.SIGTERM)
        thrust.wait_for_line("got SIGTERM")
        assert thrust.wait() == 137
        until(lambda: not thrust.company(), "nobody is left")


def test_what_is_under_way_at_the_end_of_the_budget_is_answered_and_the_worker_killed(loop_name: str) -> None:
    worker = raw_worker("--on-term", "ignore")
    with running_thrust(worker, loop=loop_name, env={"THRUST_SHUTDOWN_TIMEOUT": "1"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            client.send_head("GET", "/hang")
            thrust.wait_for_line("hangs")
            thrust.send(signal.SIGTERM)
            assert client.receive().status == 502
            client.expect_end()
        assert thrust.wait() == 137
        assert thrust.wait_for_request(path="/hang", status=502)["error"].startswith("the worker ")


def test_a_worker_that_leaves_a_child_behind_does_not_leave_it_to_us() -> None:
    with running_thrust(raw_worker("--with-child"), env={"THRUST_SHUTDOWN_TIMEOUT": "1"}) as thrust:
        thrust.wait_until_ready()
        thrust.wait_for_line("child ")
        assert thrust.stop() == 0
        until(lambda: not thrust.company(), "nobody is left")


def test_a_stop_while_the_worker_boots_answers_those_who_wait(tmp_path: os.PathLike[str], loop_name: str) -> None:
    gate = os.path.join(tmp_path, "gate")
    os.mkfifo(gate)
    with running_thrust(raw_worker("--gate", gate), loop=loop_name) as thrust:
        thrust.wait_for_line("waits at the gate")
        with thrust.connect() as held, thrust.connect() as later:
            held.send_head("GET", "/")
            assert later.get("/up").status == 503  # so the one before it has been accepted
            thrust.send(signal.SIGTERM)
            answer = held.receive()
            assert answer.status == 503
            assert answer.get("retry-after") is not None
            held.expect_end()
        assert thrust.wait() == 0


# Passing on


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGWINCH", "SIGQUIT"])
def test_signals_that_mean_something_to_servers_reach_the_worker(raw: Thrust, name: str) -> None:
    raw.send(signal.Signals[name])
    raw.wait_for_line(f"got {name}")


def test_gunicorn_starts_one_more_worker_on_sigttin_and_one_less_on_sigttou() -> None:
    with running_thrust(GUNICORN) as thrust:
        thrust.wait_until_ready()
        thrust.stderr.wait_for(lambda line: "Booting worker" in line, "first worker of gunicorn")
        thrust.send(signal.SIGTTIN)
        thrust.stderr.wait_for(lambda line: "Booting worker" in line, "second worker of gunicorn", 2)
        thrust.send(signal.SIGTTOU)
        thrust.stderr.wait_for(lambda line: "Worker exiting" in line, "end of a worker of gunicorn")
        assert thrust.stop() == 0


# Replacing


class Load:
    """Clients that ask without pause, and what came of it."""

    def __init__(self, thrust: Thrust, clients: int = 4) -> None:
        self.bodies: set[bytes] = set()
        self.failures: list[str] = []
        self.answered = 0
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[thrust, seed]) for seed in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, thrust: Thrust, seed: int) -> None:
        chance = random.Random(seed)
        while not self._is_over.is_set():
            try:
                with thrust.connect() as client:
                    self._ask_on(client, chance)
            except (OSError, Ended, AssertionError) as error:
                self._note(repr(error))

    def _ask_on(self, client: Client, chance: random.Random) -> None:
        while not self._is_over.is_set():
            method = chance.choice(["GET", "POST"])
            answer = client.exchange(method, "/", body=b"x" if method == "POST" else None)
            self._note("" if answer.status == 200 else f"{method}: {answer.status} {answer.body!r}", answer.body)
            if answer.ends_connection:
                client.expect_end()
                return

    def _note(self, failure: str, body: bytes = b"") -> None:
        with self._lock:
            if failure:
                self.failures.append(failure)
            else:
                self.answered += 1
                self.bodies.add(body)

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize(
    ("command", "loop_name"),
    [(uvicorn(), "uvloop"), (uvicorn(), "asyncio"), (GUNICORN, "uvloop")],
    ids=["uvicorn-uvloop", "uvicorn-asyncio", "gunicorn-uvloop"],
)
def test_sighup_replaces_the_worker_under_load_without_a_failed_request(command: list[str], loop_name: str) -> None:
    with running_thrust(command, loop=loop_name) as thrust:
        thrust.wait_until_ready()
        load = Load(thrust)
        try:
            until(lambda: load.answered > 100, "there is load")
            for count in (1, 2):
                replace(thrust, load, count)
        finally:
            load.stop()
        assert load.failures == []
        assert len(load.bodies) == 3
        assert thrust.stop() in (0, 143)


def replace(thrust: Thrust, load: Load, count: int) -> None:
    """Have the `count`-th worker replaced; returns when it has ended and its successor serves."""
    old = thrust.worker_pid(count)
    thrust.send(signal.SIGHUP)
    thrust.wait_for_event("worker is ready", count + 1)
    until(lambda: len(load.bodies) > count, "the new worker answers")
    until(lambda: not is_alive(old), "the old worker has ended")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_exchange_that_the_old_worker_has_begun_is_finished_by_it(thrust: Thrust) -> None:
    with thrust.connect() as old, thrust.connect() as new:
        before = old.get("/").body
        begin(thrust, old, "patience")
        thrust.send(signal.SIGHUP)
        thrust.wait_for_event("worker is ready", 2)
        until(lambda: new.get("/").body != before, "the new worker answers")
        say(thrust, "patience")
        assert old.receive().body == b"patience\n"
        assert old.get("/").body != before
    assert thrust.stop() == 143


def test_a_command_that_cannot_take_a_second_port_is_replaced_while_requests_wait(loop_name: str) -> None:
    port = free_port()
    worker = raw_worker("--port", str(port))
    with running_thrust(worker, worker_port=port, loop=loop_name) as thrust:
        thrust.wait_until_ready()
        load = Load(thrust)
        try:
            until(lambda: load.answered > 50, "there is load")
            thrust.send(signal.SIGHUP)
            thrust.wait_for_event("worker is ready", 2)
            until(lambda: len(load.bodies) == 2, "the new worker answers")
        finally:
            load.stop()
        assert load.failures == []
        assert thrust.stop() == 0


def test_a_new_worker_that_fails_leaves_the_old_one_in_its_place(tmp_path: os.PathLike[str]) -> None:
    marker = os.path.join(tmp_path, "broken")
    start = f"import os, sys, runpy; os.path.exists({marker!r}) and sys.exit(9); runpy.run_path('raw_worker.py')"
    with running_thrust(python("-c", start)) as thrust:
        thrust.wait_until_ready()
        with open(marker, "w"):
            thrust.send(signal.SIGHUP)
        thrust.wait_for_event("the new worker exited with code 9")
        with thrust.connect() as client:
            assert client.get("/").status == 200
        assert thrust.stop() == 0


@on_one_loop
def test_a_socket_that_is_listening_is_not_the_workers(thrust: Thrust) -> None:
    """The worker must not inherit our sockets: else the port would stay open after a kill."""
    for link in os.scandir(f"/proc/{thrust.worker_pid()}/fd"):
        target = os.readlink(link.path)
        if target.startswith("socket:"):
            assert target not in listening_inodes(thrust.port)


def listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in list(lines)[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    return inodes
