"""While there is no worker: holding requests, giving up, saying what is wrong, starting it again."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.e2e_thrust import (
    Thrust,
    python,
    raw_worker,
    running_thrust,
    until,
    uvicorn,
)
from tests.support.ports import free_port

pytestmark = pytest.mark.slow


@contextmanager
def booting(tmp_path: Path, loop_name: str = "uvloop", **settings: str) -> Iterator[tuple[Thrust, Callable[[], None]]]:
    """thrust with a worker that does not open its port before the given function is called."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    def let_in() -> None:
        gate.open("wb").close()

    with running_thrust(raw_worker("--gate", str(gate)), loop=loop_name, env=settings) as thrust:
        thrust.wait_for_line("waits at the gate")
        yield thrust, let_in


def test_requests_are_held_while_the_worker_boots_and_then_answered_by_it(tmp_path: Path, loop_name: str) -> None:
    with booting(tmp_path, loop_name) as (thrust, let_in), ExitStack() as stack:
        clients = [stack.enter_context(thrust.connect()) for _ in range(50)]
        for number, client in enumerate(clients):
            client.send_request("POST", "/", body=b"x" * number * 1000)
        with thrust.connect() as later:
            assert later.get("/up").status == 503
        assert thrust.process.poll() is None
        let_in()
        pid = str(thrust.worker_pid()).encode()
        for client in clients:
            answer = client.receive()
            assert (answer.status, answer.body) == (200, pid)


def test_a_probe_is_answered_503_at_once_while_the_worker_boots(tmp_path: Path, loop_name: str) -> None:
    with booting(tmp_path, loop_name, THRUST_HEALTH_PATH="/healthz") as (thrust, let_in), thrust.connect() as client:
        answer = client.get("/healthz?verbose")
        assert (answer.status, answer.get("retry-after")) == (503, "2")
        assert "not ready" in thrust.wait_for_request(path="/healthz", status=503)["error"]
        let_in()
        thrust.wait_until_ready()
        assert client.get("/healthz").status == 200


def test_a_held_request_whose_client_leaves_is_not_sent(tmp_path: Path) -> None:
    with booting(tmp_path) as (thrust, let_in), thrust.connect() as client:
        with thrust.connect() as impatient:
            impatient.send_head("GET", "/nobody-waits")
            assert client.get("/up").status == 503
        thrust.wait_for_request(path="/nobody-waits", status=499)
        let_in()
        assert client.get("/count").body == b"1"


def test_after_the_boot_timeout_the_answer_is_503_until_the_worker_is_there(tmp_path: Path, loop_name: str) -> None:
    with booting(tmp_path, loop_name, THRUST_BOOT_TIMEOUT="1") as (thrust, let_in), thrust.connect() as client:
        for _ in range(2):
            answer = client.get("/", ("Accept", "text/html"))
            assert (answer.status, answer.get("retry-after")) == (503, "2")
            assert b"<html" in answer.body
        thrust.wait_for_event("no worker is ready after 1 s")
        let_in()
        thrust.wait_until_ready()
        assert client.get("/").status == 200


def test_a_worker_on_another_port_is_found_and_the_fix_is_said() -> None:
    port = free_port()
    command = python("-m", "uvicorn", "asgi_app:app", "--port", str(port), "--log-level", "warning")
    with running_thrust(command) as thrust:
        event = thrust.wait_for_event(f"the worker listens on 127.0.0.1:{port}, but thrust expects it on")
        assert event["level"] == "WARN"
        assert f"127.0.0.1:{thrust.worker_port}" in event["msg"]
        assert "--port '$THRUST_WORKER_PORT'" in event["msg"]


def test_a_worker_that_fails_to_start_ends_thrust_with_its_code_and_those_who_wait_hear_of_it() -> None:
    with running_thrust(python("-c", "input(); raise SystemExit(7)")) as thrust, thrust.connect() as client:
        client.send_head("GET", "/")
        with thrust.connect() as later:
            assert later.get("/up").status == 503
        assert thrust.process.stdin is not None
        thrust.process.stdin.write(b"\n")
        thrust.process.stdin.flush()
        assert client.receive().status == 503
        assert thrust.wait() == 7
        thrust.wait_for_event("worker exited with code 7 before it opened port")


def test_a_crashed_worker_is_started_again_while_requests_wait(loop_name: str) -> None:
    with running_thrust(raw_worker(), loop=loop_name, env={"THRUST_RESTART": "on-failure"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            first = client.get("/").body
            assert client.exchange("POST", "/exit?3", body=b"").status == 502
            thrust.wait_for_event("worker is started again")
            second = client.get("/")
            assert second.status == 200
            assert second.body != first
        assert thrust.stop() == 0


def test_a_worker_that_ends_well_is_not_started_again() -> None:
    with running_thrust(raw_worker(), env={"THRUST_RESTART": "on-failure"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            client.get("/exit?0")
        assert thrust.wait() == 0


def test_no_request_fails_while_a_development_server_reloads_itself(tmp_path: Path) -> None:
    source = (
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "        await send({'type': 'http.response.body', 'body': b'VERSION'})\n"
    )
    module = tmp_path / "versioned.py"
    module.write_text(source.replace("VERSION", "old"))
    command = uvicorn("--reload", "--lifespan", "off", app="versioned:app")
    with running_thrust(command, cwd=tmp_path) as thrust, thrust.connect() as client:
        assert client.get("/").body == b"old"
        module.write_text(source.replace("VERSION", "new, and longer"))
        answers = []

        def is_new() -> bool:
            os.utime(module)  # it may not have been looked at before it was changed
            answers.append(client.get("/"))
            return answers[-1].body != b"old"

        until(is_new, "the server has reloaded")
        assert {(answer.status, answer.body) for answer in answers} == {(200, b"old"), (200, b"new, and longer")}
        assert thrust.stop() in (0, 143)


def test_requests_that_are_pipelined_behind_a_held_one_keep_their_order(tmp_path: Path) -> None:
    with booting(tmp_path) as (thrust, let_in), thrust.connect() as client, thrust.connect() as later:
        client.send(b"".join(client.head("GET", f"/{number}") for number in range(100)))
        assert later.get("/up").status == 503
        let_in()
        assert [client.receive().status for _ in range(100)] == [200] * 100
        thrust.wait_for_request(path="/99")
        assert [record["path"] for record in thrust.requests()[1:]] == [f"/{number}" for number in range(100)]
