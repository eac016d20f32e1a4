"""thrust as its users run it: a process, started on free ports, watched by what it writes, and gone afterwards.

For tests/e2e. `running_thrust` starts `python -m thrust …` in a session of its own and gives out a Thrust, whose
methods wait for conditions (a line, an event of the log, the exit code) with generous bounds, never for a time. When
the block is left, whatever still lives in that session is killed; if the test has passed and thrust has ended by
itself, somebody being left is a failure: a worker is never orphaned.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.e2e_client import BOUND_S, Client
from tests.support.ports import free_port

APPS = Path(__file__).parents[1] / "e2e" / "apps"
WITHOUT_UVLOOP = Path(__file__).parents[1] / "e2e" / "without_uvloop"
"""A directory that hides uvloop from whoever has it first on its path."""

LOOPS = ("uvloop", "asyncio")

LOOK_AGAIN_S = 0.01
"""Pause between looks at something that tells nobody when it changes."""

Record = dict[str, Any]
"""One line of thrust's log."""


def until(is_true: Callable[[], Any], what: str) -> None:
    """Wait until something is true of the world outside, which does not tell when it changes."""
    give_up_s = time.monotonic() + BOUND_S
    while not is_true():
        assert time.monotonic() < give_up_s, f"{what}: still not after {BOUND_S:g} s"
        time.sleep(LOOK_AGAIN_S)


def python(*arguments: str) -> list[str]:
    """A command for the Python that runs the tests."""
    return [sys.executable, *arguments]


def uvicorn(*options: str, app: str = "asgi_app:app") -> list[str]:
    """uvicorn with the app for tests; its own access log would only cost time."""
    return python(
        "-m", "uvicorn", app, "--port", "$THRUST_WORKER_PORT", "--no-access-log", "--log-level", "warning", *options
    )


def raw_worker(*options: str) -> list[str]:
    """The worker that talks HTTP by hand, and badly where it is told to."""
    return python(str(APPS / "raw_worker.py"), *options)


class Lines:
    """The lines that come out of a pipe, gathered by a thread."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self._may_read = threading.Event()
        self._may_read.set()
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()

    def _gather(self) -> None:
        for line in self._pipe:
            self._may_read.wait()
            with self._changed:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def stop_reading(self) -> None:
        """Let the pipe fill up, from the next line on."""
        self._may_read.clear()

    def go_on_reading(self) -> None:
        self._may_read.set()

    def so_far(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def wait_for(self, is_it: Callable[[str], bool], what: str, count: int = 1) -> str:
        """The line for which `is_it` is true the `count`-th time."""
        found: list[str] = []
        seen = 0

        def is_here() -> bool:
            nonlocal seen
            found.extend(line for line in self._lines[seen:] if is_it(line))
            seen = len(self._lines)
            return len(found) >= count or self._has_ended

        with self._changed:
            assert self._changed.wait_for(is_here, BOUND_S), f"no {what} in {self._tail()}"
            assert len(found) >= count, f"no {what} before the end of {self._tail()}"
        return found[count - 1]

    def wait_for_end(self) -> list[str]:
        """All lines, once nobody holds the pipe any more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._has_ended, BOUND_S), "somebody keeps the pipe open"
        return self.so_far()

    def close(self) -> None:
        self._may_read.set()
        self._thread.join(BOUND_S)
        self._pipe.close()

    def _tail(self) -> str:
        return "\n".join(["…", *self._lines[-30:]])


class Thrust:
    """A running thrust. `port` is where it listens, `worker_port` where its (first) worker does."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, worker_port: int) -> None:
        assert process.stdout is not None and process.stderr is not None
        self.process = process
        self.pid = process.pid
        self.port = port
        self.worker_port = worker_port
        self.stdout = Lines(process.stdout)
        self.stderr = Lines(process.stderr)

    # Talking to it

    def connect(self, host: str = "127.0.0.1", *, receive_buffer_bytes: int | None = None) -> Client:
        """A new connection; the port is open as soon as thrust has said so."""
        self.wait_for_event("listening")
        return Client(self.port, host, receive_buffer_bytes=receive_buffer_bytes)

    def connect_to_worker(self) -> Client:
        """A connection around thrust, for what a test has to tell the app meanwhile."""
        return Client(self.worker_port)

    def wait_until_ready(self) -> None:
        """Returns when requests go to a worker."""
        self.wait_for_event("worker is ready")

    def send(self, *signals: int) -> None:
        for sig in signals:
            os.kill(self.pid, sig)

    # What it has said

    def events(self) -> list[Record]:
        """The log so far, without requests."""
        return [record for record in records_in(self.stdout.so_far()) if record["msg"] != "Request"]

    def requests(self) -> list[Record]:
        """The lines about requests so far."""
        return [record for record in records_in(self.stdout.so_far()) if record["msg"] == "Request"]

    def wait_for_event(self, beginning: str, count: int = 1) -> Record:
        """The `count`-th event whose message begins like this."""
        return self._wait_for_record(lambda record: record["msg"].startswith(beginning), beginning, count)

    def wait_for_request(self, count: int = 1, **fields: object) -> Record:
        """The `count`-th line about a request with these fields."""
        wanted = {"msg": "Request", **fields}
        return self._wait_for_record(lambda record: wanted.items() <= record.items(), str(wanted), count)

    def _wait_for_record(self, is_it: Callable[[Record], bool], what: str, count: int) -> Record:
        line = self.stdout.wait_for(lambda line: is_record(line) and is_it(json.loads(line)), what, count)
        record: Record = json.loads(line)
        return record

    def wait_for_line(self, text: str, count: int = 1) -> str:
        """The `count`-th line on stdout that contains `text`; of the worker, usually."""
        return self.stdout.wait_for(lambda line: text in line, text, count)

    def worker_pid(self, count: int = 1) -> int:
        """The process number of the `count`-th worker."""
        return int(self.wait_for_event("worker started", count)["pid"])

    # Its end

    def wait(self) -> int:
        """The exit code; a signal that ended thrust itself is negative."""
        code = self.process.wait(BOUND_S)
        self.stdout.wait_for_end()
        return code

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        self.send(signal.SIGTERM)
        return self.wait()

    def company(self) -> list[int]:
        """All processes of its session that live, itself included."""
        return company(self.pid)

    def memory_bytes(self) -> int:
        """Resident memory now."""
        return self._status_bytes("VmRSS")

    def forget_peak_memory(self) -> None:
        """`peak_memory_bytes` starts over."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_memory_bytes(self) -> int:
        """The most memory that was ever resident."""
        return self._status_bytes("VmHWM")

    def _status_bytes(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name} in /proc/{self.pid}/status")

    def describe(self) -> str:
        """Everything that helps to understand a failure."""
        living = [f"{pid}: {command_line(pid)}" for pid in self.company()]
        blocks = {"stdout": self.stdout.so_far()[-40:], "stderr": self.stderr.so_far()[-40:], "processes": living}
        return "\n".join(line for name, lines in blocks.items() for line in (f"--- {name}", *lines)) + "\n"

    def close(self) -> None:
        """Kill all that is left of it."""
        give_up_s = time.monotonic() + BOUND_S
        while left := self.company():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process.poll() is None:
                self.process.wait(BOUND_S)
            assert time.monotonic() < give_up_s, f"{left} cannot be killed"
            time.sleep(LOOK_AGAIN_S)
        self.process.wait(BOUND_S)
        self.stdout.close()
        self.stderr.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


@contextlib.contextmanager
def running_thrust(
    command: Sequence[str],
    *,
    loop: str = "uvloop",
    env: Mapping[str, str] | None = None,
    cwd: Path = APPS,
    port: int | None = None,
    worker_port: int | None = None,
    options: Sequence[str] = (),
    wrapper: Sequence[str] = (),
) -> Iterator[Thrust]:
    """thrust with `command` as its worker. Its stdin is a pipe, `process.stdin`."""
    port, worker_port = port or free_port(), worker_port or free_port()
    process = subprocess.Popen(
        [*wrapper, *python("-m", "thrust"), *options, *command],
        cwd=cwd,
        env=environment(port, worker_port, loop) | dict(env or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    thrust = Thrust(process, port, worker_port)
    try:
        yield thrust
        if process.poll() is not None:
            until(lambda: not thrust.company(), "thrust has ended, and so has all that it started")
    except BaseException:
        sys.stderr.write(thrust.describe())
        raise
    finally:
        thrust.close()


def environment(port: int, worker_port: int, loop: str = "uvloop") -> dict[str, str]:
    """The environment of a thrust on these ports, without settings that the tests' own may hold."""
    bare = {"PORT", "DEBUG", "HTTP_PORT", "TARGET_PORT", "LOG_REQUESTS", "FORWARD_HEADERS", "MAX_REQUEST_BODY"}
    kept = {k: v for k, v in os.environ.items() if k not in bare and not k.startswith(("THRUST_", "THRUSTER_"))}
    path = [str(WITHOUT_UVLOOP)] if loop == "asyncio" else []
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(path + [os.environ[name] for name in ("PYTHONPATH",) if name in os.environ]),
        "PYTHONUNBUFFERED": "1",
        "PORT": str(port),
        "THRUST_WORKER_PORT": str(worker_port),
    }


def is_record(line: str) -> bool:
    """Whether `line` of the common stdout is thrust's, not the worker's."""
    return line.startswith('{"time":')


def records_in(lines: Sequence[str]) -> list[Record]:
    """The lines that are thrust's, parsed."""
    return [json.loads(line) for line in lines if is_record(line)]


def all_processes() -> list[tuple[int, list[str]]]:
    """Every process with the fields of its /proc/PID/stat from the state on (proc(5))."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.append((int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()))
    return found


def company(session: int) -> list[int]:
    """The processes of a session that live."""
    return [pid for pid, fields in all_processes() if int(fields[3]) == session and fields[0] not in "ZX"]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return "gone"


def children(pid: int) -> list[int]:
    """The processes that `pid` has started, or inherited."""
    return [child for child, fields in all_processes() if int(fields[1]) == pid]
