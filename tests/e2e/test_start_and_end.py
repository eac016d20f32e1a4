"""With which code thrust ends, and what it says, when it cannot start, when its worker ends, when it is killed."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.e2e_client import Client
from tests.support.e2e_thrust import LOOPS, python, raw_worker, running_thrust, until, uvicorn
from tests.support.ports import free_port

NEVER_STARTED = python("-c", "print('the worker was started')")


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_workers_own_code_is_ours(code: int, loop_name: str) -> None:
    with running_thrust(python("-c", f"raise SystemExit({code})"), loop=loop_name) as thrust:
        assert thrust.wait() == code
        assert thrust.wait_for_event("stopped")["exit_code"] == code


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGALRM])
def test_a_worker_that_a_signal_ended_gives_128_plus_its_number(number: int, loop_name: str) -> None:
    with running_thrust(raw_worker(), loop=loop_name) as thrust:
        thrust.wait_until_ready()
        os.kill(thrust.worker_pid(), number)
        assert thrust.wait() == 128 + number
        assert signal.Signals(number).name in thrust.wait_for_event("worker was killed by")["msg"]


@pytest.mark.slow
def test_a_worker_that_ends_on_its_own_ends_thrust_with_its_code() -> None:
    with running_thrust(raw_worker()) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.get("/exit?3").status == 502
            client.expect_end()
        assert thrust.wait() == 3


def test_a_command_that_does_not_exist_is_127() -> None:
    with running_thrust(["no-such-program-anywhere"]) as thrust:
        assert thrust.wait() == 127
        assert thrust.stderr.wait_for_end() == [
            "thrust: cannot start 'no-such-program-anywhere': there is no such command in PATH"
        ]


def test_a_command_that_is_not_executable_is_126(tmp_path: Path) -> None:
    script = tmp_path / "serve"
    script.write_text("#!/bin/sh\n")
    with running_thrust([str(script)]) as thrust:
        assert thrust.wait() == 126
        (line,) = thrust.stderr.wait_for_end()
        assert "it is not executable" in line


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_port_that_is_taken_is_reported_before_the_worker_is_started(address: str) -> None:
    port = free_port()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as neighbour:
        if family == socket.AF_INET6:
            neighbour.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        neighbour.bind((address, port))
        neighbour.listen()
        with running_thrust(NEVER_STARTED, port=port) as thrust:
            assert thrust.wait() == 1
            assert thrust.stdout.wait_for_end() == []
            (line,) = thrust.stderr.wait_for_end()
            assert f"cannot listen on {address} port {port}: Address already in use" in line


@pytest.mark.slow
def test_a_workers_port_that_is_taken_is_reported_before_the_worker_is_started(loop_name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as neighbour:
        port = neighbour.getsockname()[1]
        with running_thrust(NEVER_STARTED, worker_port=port, loop=loop_name) as thrust:
            assert thrust.wait() == 1
            assert "the worker was started" not in thrust.stdout.wait_for_end()
            (line,) = thrust.stderr.wait_for_end()
            assert line.startswith(f"thrust: port {port} of 127.0.0.1 is already taken by ")
            assert "THRUST_WORKER_PORT" in line


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("PORT", "http", "65535"),
        ("PORT", "70000", "65535"),
        ("THRUST_SHUTDOWN_TIMEOUT", "soon", "30s"),
        ("MAX_REQUEST_BODY", "10 bananas", "MB"),
        ("LOG_REQUESTS", "perhaps", "true"),
        ("THRUST_RESTART", "always", "on-failure"),
        ("THRUST_TRUSTED_PROXIES", "10.0.0.0/99", "10.0.0.0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_sentence_and_exit_code_1(name: str, value: str, accepted: str) -> None:
    with running_thrust(NEVER_STARTED, env={name: value}) as thrust:
        assert thrust.wait() == 1
        assert thrust.stdout.wait_for_end() == []
        (line,) = thrust.stderr.wait_for_end()
        assert line.startswith("thrust: ")
        assert name in line and value in line and accepted in line


def test_both_ports_being_one_is_refused() -> None:
    port = free_port()
    with running_thrust(NEVER_STARTED, port=port, worker_port=port) as thrust:
        assert thrust.wait() == 1
        (line,) = thrust.stderr.wait_for_end()
        assert str(port) in line


@pytest.mark.slow
def test_the_worker_gets_its_port_in_its_environment_and_arguments() -> None:
    with running_thrust(raw_worker("--port", "{port}"), env={"COLOUR": "red"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            seen = client.get("/environment").json()
        port = str(thrust.worker_port)
        assert seen["PORT"] == seen["THRUST_WORKER_PORT"] == port
        assert seen["THRUST_PUBLIC_PORT"] == str(thrust.port)
        assert seen["COLOUR"] == "red"
        assert seen["argv"] == ["--port", port]


@pytest.mark.slow
def test_stdin_is_the_workers() -> None:
    with running_thrust(python("-c", "raise SystemExit(int(input()))")) as thrust:
        assert thrust.process.stdin is not None
        thrust.process.stdin.write(b"42\n")
        thrust.process.stdin.flush()
        assert thrust.wait() == 42


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        uvicorn("--workers", "2"),
        python("-m", "gunicorn", "--workers", "2", "--bind", "127.0.0.1:$THRUST_WORKER_PORT", "flask_app:app"),
        raw_worker(),
    ],
    ids=["uvicorn", "gunicorn", "raw"],
)
def test_killing_thrust_takes_the_worker_and_all_that_it_started_along(command: list[str]) -> None:
    with running_thrust(command) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.get("/").status == 200
        thrust.send(signal.SIGKILL)
        assert thrust.process.wait() == -signal.SIGKILL
        until(lambda: not thrust.company(), "nobody is left")


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_the_tests_that_ask_for_a_loop_get_it(name: str) -> None:
    with running_thrust(raw_worker(), loop=name) as thrust:
        thrust.wait_until_ready()
        assert ("uvloop" in Path(f"/proc/{thrust.pid}/maps").read_text()) == (name == "uvloop")


@pytest.mark.slow
def test_thrust_listens_on_ipv4_and_ipv6_unless_told_otherwise(loop_name: str) -> None:
    with running_thrust(raw_worker(), loop=loop_name) as thrust:
        thrust.wait_until_ready()
        for host in ("127.0.0.1", "127.0.0.2", "::1"):
            with Client(thrust.port, host) as client:
                assert client.get("/").status == 200
                address = "::1" if ":" in host else "127.0.0.1"
                assert thrust.wait_for_request(host=client.host)["remote_addr"] == address


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "refused"), [("127.0.0.1", ("127.0.0.2", "::1")), ("::1", ("127.0.0.1",)), ("localhost", ("127.0.0.2",))]
)
def test_thrust_listens_only_where_it_is_told_to(host: str, refused: tuple[str, ...]) -> None:
    with running_thrust(raw_worker(), env={"THRUST_HOST": host}) as thrust:
        thrust.wait_until_ready()
        with Client(thrust.port, "127.0.0.1" if host == "localhost" else host) as client:
            assert client.get("/").status == 200
        for other in refused:
            with pytest.raises(ConnectionRefusedError):
                Client(thrust.port, other)
