"""The supervisor with real processes and ports: replaced, restarted, diagnosed, on both event loops."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.worker_driving import LISTENS, Supervised, driving, python, supervise
from tests.support.worker_loops import LOOPS
from thrust.worker import readiness, restarts, supervisor
from thrust.worker.supervisor import Serving

pytestmark = pytest.mark.slow
both_loops = pytest.mark.parametrize("loop_name", LOOPS)

LISTENS_ON = """
import os, signal, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
signal.pause()
"""

LISTENS_ON_SHARED = """
import os, signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), reuse_port=True)
signal.pause()
"""


@pytest.fixture(autouse=True)
def quick_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DIAGNOSE_AFTER_S", 0.3)
    monkeypatch.setattr(restarts, "FIRST_PAUSE_S", 0.05)


def worker_of(stage: Supervised) -> int:
    """The pid of the worker that serves."""
    assert isinstance(stage.supervisor.state, Serving)
    return stage.supervisor.state.worker.pid


async def replace(stage: Supervised) -> None:
    """Have the worker replaced and wait for the next one to be ready."""
    ready = sum(what.startswith("ready") for what in stage.events.said)
    stage.supervisor.replace()
    await stage.until(lambda: sum(what.startswith("ready") for what in stage.events.said) > ready)


# --- Replaced ---------------------------------------------------------------------------------------------------------


@both_loops
def test_a_worker_that_listens_where_it_is_told_is_replaced_by_one_on_another_port(loop_name: str) -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        first = worker_of(stage)
        await replace(stage)
        assert worker_of(stage) != first
        [_, ready, *_] = stage.events.said
        second_port = int(ready.removeprefix("ready "))
        assert second_port != stage.port
        assert await readiness.accepts_connections(second_port)
        await stage.until(lambda: not os.path.exists(f"/proc/{first}"))
        assert not await readiness.accepts_connections(stage.port)
        await stage.supervisor.stop(8.0)

    stage = supervise(loop_name, python(LISTENS), story)
    assert stage.code == 143
    assert stage.events.said[2:] == [f"drain {stage.port}", f"drained {stage.port}"]


def test_a_command_with_a_placeholder_gets_the_second_port_filled_in() -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        await replace(stage)
        assert "away" not in stage.events.said
        await stage.supervisor.stop(8.0)

    assert supervise("uvloop", python(LISTENS_ON, "127.0.0.1", "{port}"), story).code == 143


@both_loops
def test_a_command_with_its_port_spelled_out_is_replaced_on_the_same_port(loop_name: str) -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        first = worker_of(stage)
        await replace(stage)
        assert worker_of(stage) != first
        await stage.supervisor.stop(8.0)

    port = free_port()
    stage = supervise(loop_name, python(LISTENS_ON, "127.0.0.1", str(port)), story, port=port)
    assert stage.code == 143
    assert stage.events.said == [f"ready {port}", "away", f"drain {port}", f"drained {port}", f"ready {port}"]


def test_a_worker_whose_port_is_fixed_in_its_code_stays_when_a_second_one_finds_the_port_taken() -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        first = worker_of(stage)
        stage.supervisor.replace()
        await stage.until(lambda: bool(stage.log.messages("error")))
        await stage.until(lambda: isinstance(stage.supervisor.state, Serving))
        assert worker_of(stage) == first
        await stage.supervisor.stop(8.0)

    port = free_port()
    source = LISTENS.replace('int(os.environ["PORT"])', f"{port // 2} * 2 + {port % 2}")
    stage = supervise("uvloop", python(source), story, port=port)
    assert stage.code == 143
    assert stage.events.said == [f"ready {port}"]
    [message] = stage.log.messages("error")
    assert f"the old one stays. If the app insists on port {port}, let it take the one in the variable PORT" in message


def test_a_worker_that_shares_its_fixed_port_is_stopped_before_the_next_one_starts() -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        await replace(stage)
        await stage.supervisor.stop(8.0)

    port = free_port()
    source = LISTENS_ON_SHARED.replace("int(sys.argv[1])", f"{port // 2} * 2 + {port % 2}")
    stage = supervise("uvloop", python(source), story, port=port)
    assert stage.code == 143
    assert stage.events.said == [f"ready {port}", "away", f"drain {port}", f"drained {port}", f"ready {port}"]


def test_a_broken_new_version_leaves_the_old_one_serving(tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(LISTENS)

    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        first = worker_of(stage)
        program.write_text("raise SystemExit(9)")
        stage.supervisor.replace()
        await stage.until(lambda: bool(stage.log.messages("error")))
        await stage.until(lambda: isinstance(stage.supervisor.state, Serving))
        assert worker_of(stage) == first
        program.write_text(LISTENS)
        await replace(stage)
        await stage.supervisor.stop(8.0)

    stage = supervise("asyncio", [sys.executable, str(program)], story)
    assert stage.code == 143
    [message] = stage.log.messages("error")
    assert message.startswith("the new worker exited with code 9")


@both_loops
def test_sighup_replaces_the_worker_of_a_running_program(loop_name: str) -> None:
    with driving(loop_name, python(LISTENS)) as driver:
        driver.expect("driver: ready")
        driver.signal(signal.SIGHUP)
        driver.expect("driver: ready")
        driver.expect("driver: drain")
        driver.signal(signal.SIGTERM)
        assert driver.wait() == 143


# --- Restarted --------------------------------------------------------------------------------------------------------


@both_loops
def test_a_crashed_worker_comes_back_on_its_port(loop_name: str) -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        os.kill(worker_of(stage), signal.SIGKILL)
        await stage.until_said(f"ready {stage.port}", times=2)
        await stage.supervisor.stop(8.0)

    stage = supervise(loop_name, python(LISTENS), story, restart_on_failure=True)
    assert stage.code == 143
    assert stage.events.said == [f"ready {stage.port}", "away", f"ready {stage.port}"]


def test_what_a_crashed_worker_left_behind_does_not_keep_the_port() -> None:
    family = f"""
import os, subprocess, sys, time
read_end, write_end = os.pipe()
if os.fork() == 0:
    {LISTENS.replace("signal.pause()", "os.write(write_end, b'.'); signal.pause()").replace(chr(10), chr(10) + "    ")}
os.read(read_end, 1)
time.sleep(1000)
"""

    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        os.kill(worker_of(stage), signal.SIGKILL)
        await stage.until_said(f"ready {stage.port}", times=2)
        await stage.supervisor.stop(8.0)

    assert supervise("uvloop", python(family), story, restart_on_failure=True).code == 143


# --- Diagnosed --------------------------------------------------------------------------------------------------------


def diagnose(command: list[str], port: int | None = None) -> str:
    """The first thing that is said about a worker that does not open its port."""

    async def story(stage: Supervised) -> None:
        await stage.until(lambda: len(stage.log.entries) > 1)
        await stage.supervisor.stop(8.0)

    return supervise("uvloop", command, story, port=port).log.entries[1][1]


def test_a_worker_on_another_port_is_told_so() -> None:
    port, other_port = free_port(), free_port()
    sentence = diagnose(python(LISTENS_ON, "127.0.0.1", str(other_port)), port)
    assert sentence.startswith(
        f"the worker listens on 127.0.0.1:{other_port}, but thrust expects it on 127.0.0.1:{port}: "
    )
    assert sentence.endswith(f"or set THRUST_WORKER_PORT={other_port} for thrust")


def test_a_worker_on_ipv6_is_told_so() -> None:
    source = LISTENS_ON.replace("[2]))", "[2])), family=socket.AF_INET6")
    port = free_port()
    sentence = diagnose(python(source, "::1", "{port}"), port)
    assert sentence == (
        f"the worker listens on [::1]:{port}, but thrust expects it on 127.0.0.1:{port}: let it listen on 127.0.0.1"
    )


def test_a_worker_on_a_unix_socket_is_told_so(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    source = (
        "import socket, signal, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); signal.pause()"
    )
    assert diagnose(python(source, path)).startswith(f"the worker listens on the Unix socket {path}, but thrust ")


def test_a_worker_that_listens_nowhere_is_told_so() -> None:
    assert "seems to wait for something else" in diagnose(["sleep", "1000"])
    assert "still busy starting" in diagnose(python("while True: pass"))


def test_uvicorn_on_its_own_port_is_told_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DIAGNOSE_AFTER_S", 3.0)
    (tmp_path / "main.py").write_text("async def app(scope, receive, send): ...\n")
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), "main:app", "--port", str(free_port())]
    sentence = diagnose([*command, "--lifespan=off", "--log-level=error"])
    assert "start uvicorn with --port '$THRUST_WORKER_PORT'" in sentence


def test_a_worker_on_every_address_is_warned_about() -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        await stage.supervisor.stop(8.0)

    stage = supervise("uvloop", python(LISTENS_ON, "0.0.0.0", "{port}"), story)
    [message] = stage.log.messages("warning")
    assert message.startswith(f"the worker listens on 0.0.0.0:{stage.port}, where it can be reached around thrust: ")


# --- Real servers -----------------------------------------------------------------------------------------------------

APP = """
async def asgi(scope, receive, send): ...
def wsgi(environ, start_response): ...
"""
FLASK_APP = "import flask\napp = flask.Flask(__name__)\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("uvicorn --lifespan=off main:asgi", 143),
        ("uvicorn --lifespan=off --workers 2 main:asgi", 0),
        ("gunicorn main:wsgi", 0),
        ("gunicorn --workers 2 --bind 127.0.0.1:$THRUST_WORKER_PORT main:wsgi", 0),
        ("hypercorn --bind 127.0.0.1:{port} main:asgi", 0),
        ("flask --app flask_main run", 143),
    ],
)
def test_servers_find_their_port_and_are_replaced_and_stopped(arguments: str, code: int, tmp_path: Path) -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        await replace(stage)
        assert "away" not in stage.events.said
        await stage.supervisor.stop(8.0)

    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "flask_main.py").write_text(FLASK_APP)
    command = ["env", f"PYTHONPATH={tmp_path}", sys.executable, "-m", *arguments.split()]
    assert supervise("uvloop", command, story).code == code
