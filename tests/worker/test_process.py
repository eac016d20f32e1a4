"""Starting, signalling and burying real workers, on both event loops."""

import errno
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.worker_driving import LISTENS, Supervised, driving, python, supervise
from tests.support.worker_loops import LOOPS, run_on
from thrust.errors import WorkerNotStarted
from thrust.worker.process import (
    Exit,
    Process,
    Reaper,
    fill_in_port,
    fixes_port,
    start_worker,
    worker_environment,
)

both_loops = pytest.mark.parametrize("loop_name", LOOPS)

# --- What the command is told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "filled_in"),
    [
        ("$THRUST_WORKER_PORT", "3001"),
        ("${THRUST_WORKER_PORT}", "3001"),
        ("{port}", "3001"),
        ("--bind=127.0.0.1:$THRUST_WORKER_PORT", "--bind=127.0.0.1:3001"),
        ("exec app --port $THRUST_WORKER_PORT; echo {port}", "exec app --port 3001; echo 3001"),
        ("$THRUST_WORKER_PORTS", "$THRUST_WORKER_PORTS"),
        ("$PORT", "$PORT"),
        ("${PORT}", "${PORT}"),
        ("${port}", "${port}"),
        ('{"port": 1}', '{"port": 1}'),
        ("$$", "$$"),
    ],
)
def test_only_the_three_placeholders_become_the_port(word: str, filled_in: str) -> None:
    assert fill_in_port(["app", word], 3001) == ["app", filled_in]


@pytest.mark.parametrize(
    ("command", "is_fixed"),
    [
        ("app --port 3001", True),
        ("app --port=3001", True),
        ("app -p3001", True),
        ("app --bind 127.0.0.1:3001", True),
        ("app --bind [::1]:3001", True),
        ("app --listen=*:3001", True),
        ("app http://localhost:3001/", True),
        ("app", False),
        ("app --port 30010", False),
        ("app --port 13001", False),
        ("app --id 3001abc", False),
        ("app --version 3001.5", False),
        ("app-3001", False),
        ("app --port 3001 --other {port}", False),
        ("app --port $THRUST_WORKER_PORT", False),
    ],
)
def test_a_port_in_the_command_is_recognised(command: str, is_fixed: bool) -> None:
    assert fixes_port(command.split(), 3001) is is_fixed


def test_a_port_inside_a_shells_script_is_recognised() -> None:
    assert fixes_port(["sh", "-c", "migrate && app --port 3001 --reload"], 3001)


def test_the_worker_gets_its_port_by_every_name_and_ours_by_one() -> None:
    environ = worker_environment({"PORT": "3000", "HOME": "/app"}, port=3001, public_port=3000)
    assert environ == {
        "HOME": "/app",
        "PORT": "3001",
        "THRUST_WORKER_PORT": "3001",
        "THRUST_PUBLIC_PORT": "3000",
        "UVICORN_PORT": "3001",
        "FLASK_RUN_PORT": "3001",
        "GRANIAN_PORT": "3001",
    }


def test_a_servers_own_variable_is_left_alone_if_it_is_set() -> None:
    environ = worker_environment({"UVICORN_PORT": "8000"}, port=3001, public_port=3000)
    assert environ["UVICORN_PORT"] == "8000"


def test_the_worker_sees_the_environment_and_the_arguments(capfd: pytest.CaptureFixture[str]) -> None:
    command = ["sh", "-c", 'echo "$PORT $THRUST_WORKER_PORT $THRUST_PUBLIC_PORT $1"', "sh", "{port}"]
    port = free_port()
    supervise("asyncio", command, port=port)
    assert capfd.readouterr().out == f"{port} {port} 3000 {port}\n"


# --- How it ends ------------------------------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
)
def test_the_result_is_the_workers_exit_code(loop_name: str, script: str, code: int) -> None:
    assert supervise(loop_name, ["sh", "-c", script]).code == code


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (Exit(3), "exited with code 3"),
        (Exit(143, signal.SIGTERM), "was killed by SIGTERM"),
        (Exit(168, 40), "was killed by signal 40"),
    ],
)
def test_an_exit_describes_itself(end: Exit, sentence: str) -> None:
    assert str(end) == sentence


def attempt(program: str) -> WorkerNotStarted:
    async def start() -> Process:
        return start_worker([program], os.environ, port=3001, public_port=3000)

    with pytest.raises(WorkerNotStarted) as caught:
        run_on("asyncio", start())
    return caught.value


def executable(path: Path, content: bytes, mode: int = 0o755) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_an_unknown_command_is_127() -> None:
    error = attempt("no-such-command")
    assert error.exit_code == 127
    assert str(error) == "cannot start 'no-such-command': there is no such command in PATH"


def test_a_missing_file_is_127(tmp_path: Path) -> None:
    error = attempt(f"{tmp_path}/missing")
    assert error.exit_code == 127
    assert str(error).endswith("there is no such file")


def test_a_file_without_the_executable_bit_is_126(tmp_path: Path) -> None:
    error = attempt(executable(tmp_path / "script", b"#!/bin/sh\n", 0o644))
    assert error.exit_code == 126
    assert "is not executable" in str(error)


def test_a_directory_is_126(tmp_path: Path) -> None:
    error = attempt(str(tmp_path))
    assert error.exit_code == 126
    assert "is a directory" in str(error)


def test_a_file_that_is_no_program_is_126(tmp_path: Path) -> None:
    error = attempt(executable(tmp_path / "script", b"echo no first line\n"))
    assert error.exit_code == 126
    assert "neither a program for this machine nor a script with a #! line" in str(error)


def test_a_script_whose_interpreter_is_missing_is_126(tmp_path: Path) -> None:
    error = attempt(executable(tmp_path / "script", b"#!/opt/no/python\n"))
    assert error.exit_code == 126
    assert "the interpreter that its first line names does not exist" in str(error)


def test_any_other_reason_is_126_in_the_systems_words(tmp_path: Path) -> None:
    error = attempt(f"{executable(tmp_path / 'file', b'')}/program")
    assert error.exit_code == 126
    assert str(error).endswith(os.strerror(errno.ENOTDIR))


@both_loops
def test_the_handler_of_sigchld_is_given_back(loop_name: str) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    supervise(loop_name, ["true"])
    assert signal.getsignal(signal.SIGCHLD) == before


def test_a_process_that_someone_else_has_buried_counts_as_failed() -> None:
    async def story() -> Exit:
        reaper = Reaper(lambda process, sig: None)
        reaper.open()
        try:
            process = start_worker(["true"], os.environ, port=3001, public_port=3000)
            os.waitpid(process.pid, 0)  # noqa: ASYNC222 - it is over in a moment
            reaper.watch(process)
            return await process.exited
        finally:
            reaper.close()

    assert run_on("asyncio", story()) == Exit(255)


def test_a_buried_process_gets_no_more_signals() -> None:
    async def story() -> None:
        reaper = Reaper(lambda process, sig: None)
        reaper.open()
        try:
            process = start_worker(["true"], os.environ, port=3001, public_port=3000)
            reaper.watch(process)
            await process.exited
            assert not process.has_group()
            process.send(signal.SIGKILL)
            process.send_group(signal.SIGKILL)
            assert repr(process) == f"<Process {process.pid} on port 3001: exited with code 0>"
        finally:
            reaper.close()

    run_on("asyncio", story())


# --- What it inherits -------------------------------------------------------------------------------------------------


def test_signals_that_thrust_ignores_or_blocks_are_as_usual_for_the_worker(capfd: pytest.CaptureFixture[str]) -> None:
    previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        supervise("asyncio", ["sh", "-c", "grep -E '^Sig(Ign|Blk)' /proc/self/status"])
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        signal.signal(signal.SIGUSR1, previous)
    assert capfd.readouterr().out.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_no_signal_stays_blocked_in_thrust() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    supervise("asyncio", ["true"])
    with pytest.raises(WorkerNotStarted):
        supervise("asyncio", ["no-such-command"])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@pytest.mark.parametrize(("before_thrust", "limit"), [(64, "64"), (None, "128"), (10**9, "256")])
def test_the_worker_gets_the_limit_on_open_files_that_thrust_found(
    before_thrust: int | None, limit: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        reaper = Reaper(lambda process, sig: None)
        reaper.open()
        try:
            process = start_worker(
                ["sh", "-c", "ulimit -Sn"],
                os.environ,
                port=3001,
                public_port=3000,
                nofile_soft_limit=before_thrust,
            )
            reaper.watch(process)
            await process.exited
        finally:
            reaper.close()

    code = os.fork()
    if code == 0:  # lowered limits cannot be raised again, so a process of its own
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (128, 256))
            run_on("asyncio", story())
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(code, 0)[1] == 0
    assert capfd.readouterr().out.strip() == limit


def test_a_descriptor_that_was_handed_to_thrust_reaches_the_worker(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+") as file:
        os.set_inheritable(file.fileno(), True)
        assert supervise("asyncio", ["sh", "-c", f"echo here > /dev/fd/{file.fileno()}"]).code == 0
    assert (tmp_path / "file").read_text() == "here\n"


@pytest.mark.slow
@both_loops
def test_stdin_stdout_and_stderr_are_the_workers(loop_name: str) -> None:
    with driving(loop_name, ["sh", "-c", 'read line; echo "out $line"; echo "err $line" >&2']) as driver:
        driver.write("hello\n")
        driver.expect("out hello")
        driver.expect("err hello")
        assert driver.wait() == 0


# --- Nobody is left ---------------------------------------------------------------------------------------------------

STUBBORN_FAMILY = """
import os, signal, socket, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; print('child', flush=True); signal.pause()"])
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("parent", flush=True)
child.wait()
"""
"""Ignores SIGTERM, and so does its child, which inherits that."""


@pytest.mark.slow
@both_loops
def test_a_worker_that_ignores_sigterm_is_killed_with_its_grandchildren(loop_name: str) -> None:
    with driving(loop_name, python(STUBBORN_FAMILY), environ={"DRIVER_STOP_WITHIN_S": "0.5"}) as driver:
        driver.expect_all("ready", "child")
        driver.signal(signal.SIGTERM)
        assert driver.wait() == 137  # the end of the output: nobody holds the pipe any more


@both_loops
def test_what_a_shell_started_gets_sigterm_although_the_shell_does_not_pass_it_on(loop_name: str) -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        await stage.supervisor.stop(8.0)

    listens = f"""
import signal, sys, time
signal.pause = lambda: [time.sleep(0.01) for _ in iter(int, 1)]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("orderly", file=sys.stderr)))
{LISTENS}"""
    command = ["sh", "-c", '"$@" ; exit 1', "sh", *python(listens)]
    read_end, write_end = os.pipe()
    saved = os.dup(2)
    os.dup2(write_end, 2)
    try:
        assert supervise(loop_name, command, story).code == 143
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(write_end)
    with open(read_end) as lines:
        assert "orderly\n" in lines.read()


@pytest.mark.slow
@both_loops
def test_the_worker_dies_when_thrust_is_killed(loop_name: str) -> None:
    with driving(loop_name, python(LISTENS)) as driver:
        driver.expect("ready")
        driver.signal(signal.SIGKILL)
        assert driver.wait() == 137  # the end of the output: the worker is gone, too


@pytest.mark.slow
def test_a_worker_that_is_told_of_the_death_of_thrust_can_stop_its_own_workers() -> None:
    master = """
import os, signal, socket, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
def stop(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # each thread of thrust that dies sends one
    child.terminate()
    child.wait()
    os.write(1, b"stopped the child")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:  # pause() would miss a signal that comes just before it
    time.sleep(0.01)
"""
    with driving("uvloop", python(master)) as driver:
        driver.expect("ready")
        driver.signal(signal.SIGKILL)
        driver.expect("stopped the child")
        driver.expect_end()


LEAVES_ORPHANS = """
import os, socket, sys, time
orphans = []
for _ in range(5):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        orphan = os.fork()
        if orphan == 0:
            os.setsid()
            os._exit(0)
        os.write(write_end, str(orphan).encode())
        os._exit(0)
    os.waitpid(child, 0)
    orphans.append(os.read(read_end, 20).decode())
deadline = time.monotonic() + 10
while any(os.path.exists(f"/proc/{pid}") for pid in orphans) and time.monotonic() < deadline:
    time.sleep(0.01)
left = [pid for pid in orphans if os.path.exists(f"/proc/{pid}")]
print("zombies" if left else "buried", os.getppid(), flush=True)
sys.exit(5)
"""


def unshare_command() -> list[str]:
    """The prefix that makes a command PID 1 of a namespace of its own; skips where that is forbidden."""
    command = ["unshare", "--pid", "--fork", "--mount-proc"]
    if os.geteuid() != 0:
        command.insert(1, "--map-root-user")
    works = shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    if not works and os.environ.get("CI") != "true":
        pytest.skip("unshare is not permitted here")
    assert works, "unshare must work where CI=true"
    return command


@pytest.mark.slow
@both_loops
def test_as_pid_1_orphans_are_buried_and_the_exit_code_is_still_the_workers(loop_name: str) -> None:
    with driving(loop_name, python(LEAVES_ORPHANS), wrapper=unshare_command()) as driver:
        driver.expect("buried 1")
        assert driver.wait() == 5


@pytest.mark.slow
def test_as_pid_1_a_command_that_cannot_be_started_has_its_code() -> None:
    with driving("uvloop", ["no-such-command"], wrapper=unshare_command()) as driver:
        assert driver.wait() == 127


@pytest.mark.slow
def test_a_taken_port_ends_the_program_with_one_sentence() -> None:
    with driving("asyncio", python(LISTENS)) as first:
        first.expect("worker is ready")
        port = int(first.expect("}").rpartition("'port': ")[2].partition(",")[0])
        with driving("asyncio", python(LISTENS), port=port) as second:
            assert second.wait() == 1
            assert f"port {port} of 127.0.0.1 is already taken by python" in second.seen
