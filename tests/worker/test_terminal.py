"""Job control on a real pseudo-terminal: thrust and its worker as a person at a keyboard finds them."""

import os
import signal
import time

import pytest

from tests.support.worker_driving import (
    BOUND_S,
    LISTENS,
    Driver,
    Supervised,
    driving,
    driving_on_terminal,
    python,
    supervise,
)
from tests.support.worker_loops import LOOPS
from thrust.worker.supervisor import Serving

pytestmark = pytest.mark.slow
both_loops = pytest.mark.parametrize("loop_name", LOOPS)

CTRL_C, CTRL_Z = "\x03", "\x1a"

DEBUGGED = """
import os, signal, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
secret = 6 * 7
breakpoint()
print("went on", flush=True)
signal.pause()
"""

READS = """
import os, signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
for line in sys.stdin:
    os.write(1, b"got " + line.encode())  # in one piece, unlike print
"""


def worker_pid(driver: Driver) -> int:
    driver.expect("worker started {'pid': ")
    return int(driver.expect(","))


def state_of(pid: int) -> str:
    """R, S, T (stopped), … of a process; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def wait_for_state(pid: int, states: str) -> None:
    deadline_s = time.monotonic() + BOUND_S
    while (state := state_of(pid)) not in list(states):
        assert time.monotonic() < deadline_s, f"process {pid} is in state {state}, not in one of {states}"
        time.sleep(0.005)


@both_loops
def test_a_person_debugs_a_worker_with_breakpoint(loop_name: str) -> None:
    with driving_on_terminal(loop_name, python(DEBUGGED)) as driver:
        driver.expect("(Pdb)")
        driver.write("p secret\n")
        driver.expect("42")
        driver.expect("(Pdb)")
        driver.write("continue\n")
        driver.expect("went on")
        driver.signal(signal.SIGTERM)
        assert driver.wait() == 143


@both_loops
def test_ctrl_c_stops_in_good_order_because_only_thrust_gets_it(loop_name: str) -> None:
    with driving_on_terminal(loop_name, python(LISTENS)) as driver:
        driver.expect_all("worker is ready", "driver: ready")
        driver.write(CTRL_C)
        driver.expect("stopping")
        assert driver.wait() == 143  # SIGTERM from thrust, not SIGINT from the terminal


@both_loops
def test_ctrl_c_belongs_to_the_worker_while_it_holds_the_terminal(loop_name: str) -> None:
    with driving_on_terminal(loop_name, python(READS)) as driver:
        pid = worker_pid(driver)
        driver.expect("driver: ready")
        driver.write("one\n")
        driver.expect("got one")
        wait_for_state(pid, "S")  # reading again
        driver.write(CTRL_C)
        assert driver.wait() == 130
        assert "stopping" not in driver.seen


def test_ctrl_c_at_the_worker_is_the_end_even_if_failures_are_restarted() -> None:
    with driving_on_terminal("uvloop", python(READS), restart=True) as driver:
        pid = worker_pid(driver)
        driver.expect("driver: ready")
        driver.write("one\n")
        driver.expect("got one")
        wait_for_state(pid, "S")
        driver.write(CTRL_C)
        assert driver.wait() == 130
        assert "started again" not in driver.seen


def test_a_worker_that_handles_sigttin_itself_gets_the_terminal_without_asking() -> None:
    handles = """
import os, signal, socket, time
signal.signal(signal.SIGTTIN, lambda *_: os.write(1, b"one more worker"))
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while os.tcgetpgrp(0) != os.getpgrp():
    time.sleep(0.01)
os.write(1, b"got " + input().encode())
"""
    with driving_on_terminal("uvloop", python(handles)) as driver:
        driver.expect("driver: ready")
        driver.write("one\n")
        driver.expect("got one")
        assert "one more worker" not in driver.seen


def test_a_terminal_that_a_dead_worker_had_is_usable_again() -> None:
    silences = """
import os, signal, socket, sys, termios
modes = termios.tcgetattr(0)
modes[3] &= ~(termios.ECHO | termios.ICANON)
termios.tcsetattr(0, termios.TCSANOW, modes)
print("silent", flush=True)
sys.exit(4)
"""
    shell = "{driver}; echo code=$?; stty -a"
    with driving_on_terminal("uvloop", python(silences), shell=shell) as driver:
        driver.expect("silent")
        driver.expect("code=4")
        modes = driver.expect("extproc").split()
        assert "echo" in modes
        assert "icanon" in modes


# --- Below a shell ----------------------------------------------------------------------------------------------------

SHELL = "{driver}; echo stopped=$?; fg; echo code=$?"
"""An interactive bash runs the driver and, when it has been stopped, brings it back."""

SHELL_WAITS = "{driver}; echo stopped=$?; read line; fg; echo code=$?"


@both_loops
def test_ctrl_z_stops_thrust_and_worker_and_fg_continues_both(loop_name: str) -> None:
    with driving_on_terminal(loop_name, python(LISTENS), shell=SHELL_WAITS) as driver:
        pid = worker_pid(driver)
        driver.expect_all("worker is ready", "driver: ready")
        driver.write(CTRL_Z)
        driver.expect("stopped=148")
        wait_for_state(pid, "T")
        driver.write("\n")
        wait_for_state(pid, "SR")
        driver.write(CTRL_C)
        driver.expect("stopping")
        driver.expect("code=143")


@both_loops
def test_ctrl_z_at_a_worker_that_holds_the_terminal_stops_thrust_too_and_fg_gives_it_back(loop_name: str) -> None:
    with driving_on_terminal(loop_name, python(READS), shell=SHELL) as driver:
        pid = worker_pid(driver)
        driver.expect("driver: ready")
        driver.write("one\n")
        driver.expect("got one")
        driver.write(CTRL_Z)
        driver.expect("stopped=148")
        driver.write("two\n")
        driver.expect("got two")
        wait_for_state(pid, "S")
        driver.write(CTRL_C)
        driver.expect("code=130")


@both_loops
def test_in_the_background_thrust_stops_as_the_worker_would_and_gets_the_terminal_with_fg(loop_name: str) -> None:
    shell = "{driver} & wait %1; echo stopped=$?; read line; fg; echo code=$?"
    with driving_on_terminal(loop_name, python(READS), shell=shell) as driver:
        pid = worker_pid(driver)
        driver.expect("stopped=149")
        assert state_of(pid) == "T"
        driver.write("\none\n")
        driver.expect("got one")
        wait_for_state(pid, "S")
        driver.write(CTRL_C)
        driver.expect("code=130")


def test_without_a_shell_that_could_continue_it_ctrl_z_does_no_harm() -> None:
    with driving_on_terminal("uvloop", python(READS)) as driver:
        driver.expect("driver: ready")
        driver.write("one\n")
        driver.expect("got one")
        driver.write(CTRL_Z)
        driver.write("two\n")
        driver.expect("got two")


@both_loops
def test_a_hangup_of_the_terminal_is_told_from_a_wish_to_replace_the_worker(loop_name: str) -> None:
    with driving_on_terminal(loop_name, python(LISTENS)) as driver:
        pid = worker_pid(driver)
        driver.expect("driver: ready")
        driver.hang_up()
        assert driver.reap() == 143
        assert state_of(pid) == ""


# --- Without a terminal -----------------------------------------------------------------------------------------------


@both_loops
def test_a_relayed_sigttin_does_not_stop_a_worker_that_does_not_handle_it(loop_name: str) -> None:
    with driving(loop_name, python(LISTENS)) as driver:
        driver.expect("driver: ready")
        driver.signal(signal.SIGTTIN)
        driver.expect("worker was stopped by SIGTTIN and continued")
        driver.signal(signal.SIGTERM)
        assert driver.wait() == 143


def test_a_worker_that_somebody_stopped_is_reported_and_left_alone() -> None:
    async def story(stage: Supervised) -> None:
        await stage.until_said(f"ready {stage.port}")
        assert isinstance(stage.supervisor.state, Serving)
        pid = stage.supervisor.state.worker.pid
        os.kill(pid, signal.SIGSTOP)
        await stage.until(lambda: any("stopped by SIGSTOP" in message for message in stage.log.messages("warning")))
        assert state_of(pid) == "T"
        await stage.supervisor.stop(8.0)

    assert supervise("asyncio", python(LISTENS), story).code == 143
