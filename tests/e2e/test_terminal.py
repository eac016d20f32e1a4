"""thrust at a person's terminal: readable log, one Ctrl-C for a stop in good order, a debugger that can be typed at."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.e2e_client import BOUND_S, Answer, Client, get
from tests.support.e2e_thrust import APPS, LOOPS, company, environment, python, until, uvicorn
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes stdin the controlling terminal of a new session, and becomes the program in its arguments."""


class AtTerminal:
    """thrust on a pseudo-terminal, whose other side is `keyboard` and screen in one."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int, port: int) -> None:
        self.process = process
        self.port = port
        self.screen = ""
        self._terminal = terminal
        self._at = 0

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def expect(self, pattern: str) -> "re.Match[str]":
        """Read on until `pattern` has appeared, after what was expected before."""
        give_up_s = time.monotonic() + BOUND_S
        while (match := re.compile(pattern).search(self.screen, self._at)) is None:
            assert self._read(give_up_s - time.monotonic()), f"{pattern!r} does not appear after {self.screen!r}"
        self._at = match.end()
        return match

    def wait(self) -> int:
        """The exit code; all that still appears is read."""
        give_up_s = time.monotonic() + BOUND_S
        while self._read(give_up_s - time.monotonic()):
            pass
        return self.process.wait(BOUND_S)

    def hang_up(self) -> None:
        """Close our side, as a terminal window does; the kernel sends SIGHUP to the session's leader."""
        os.close(self._terminal)
        self._terminal = os.open(os.devnull, os.O_RDWR)

    def close(self) -> None:
        for pid in company(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(BOUND_S)
        os.close(self._terminal)

    def _read(self, patience_s: float) -> bool:
        if not select.select([self._terminal], [], [], max(0.0, patience_s))[0]:
            return False
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)


@contextmanager
def at_terminal(command: list[str], loop_name: str = "uvloop") -> Iterator[AtTerminal]:
    port, worker_port = free_port(), free_port()
    terminal, other_side = pty.openpty()
    process = subprocess.Popen(
        python("-c", TAKE_TERMINAL, *python("-m", "thrust", *command)),
        cwd=APPS,
        env=environment(port, worker_port, loop_name) | {"TERM": "xterm"},
        stdin=other_side,
        stdout=other_side,
        stderr=other_side,
        start_new_session=True,
    )
    os.close(other_side)
    thrust = AtTerminal(process, terminal, port)
    try:
        yield thrust
    except BaseException:
        sys.stderr.write(f"--- screen\n{thrust.screen}\n--- processes {company(process.pid)}\n")
        raise
    finally:
        thrust.close()


class Question:
    """A GET that another thread waits for."""

    def __init__(self, port: int, target: str) -> None:
        self._answers: list[Answer] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(get(port, target)), daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        self._thread.join(BOUND_S)
        return self._answers[0]


@pytest.mark.parametrize("loop_name", LOOPS)
def test_ctrl_c_once_stops_in_good_order_what_was_shown_as_text(loop_name: str) -> None:
    with at_terminal(uvicorn(), loop_name) as thrust:
        thrust.expect(r"\d\d:\d\d:\d\d\S* .*INFO.*worker is ready")
        with Client(thrust.port) as busy, Client(thrust.port) as other:
            assert other.get("/sight").status == 200
            thrust.expect(r"GET +/sight +\S*200")
            busy.send_head("GET", "/observe?name=x")
            other.get("/wait?here%20x")
            thrust.type("\x03")
            thrust.expect("stopping  signal=SIGINT")
            other.expect_end()
            assert thrust.process.poll() is None
        assert thrust.wait() == 143
        assert "Traceback" not in thrust.screen
        assert '{"' not in thrust.screen


@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("command", [uvicorn(), ["asgi_app:app"]], ids=["uvicorn", "built-in"])
def test_breakpoint_can_be_typed_at_and_the_request_is_answered(command: list[str], loop_name: str) -> None:
    with at_terminal(command, loop_name) as thrust:
        thrust.expect("worker is ready")
        question = Question(thrust.port, "/debug")
        thrust.expect(r"\(Pdb\) ")
        thrust.type("answer_to_all\n")
        thrust.expect(r"\n42\r?\n")
        thrust.type("answer_to_all += 1\n")
        thrust.expect(r"\(Pdb\) ")
        thrust.type("continue\n")
        thrust.expect(r"GET +/debug +\S*200")
        assert question.answer().body == b"43\n"
        thrust.process.terminate()
        assert thrust.wait() in (0, 143)


def test_a_terminal_that_goes_away_takes_thrust_and_the_worker_along() -> None:
    with at_terminal(uvicorn()) as thrust:
        thrust.expect("worker is ready")
        thrust.hang_up()
        thrust.process.wait(BOUND_S)
        until(lambda: not company(thrust.process.pid), "nobody is left")
