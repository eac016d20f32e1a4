"""The worker as a process of the operating system: starting it, signalling it, burying it.

Called by `worker/system`. A worker is the leader of a process group of its own, so that Ctrl-C reaches thrust alone
and everything that the worker has started can be ended together. It inherits our stdin, stdout, stderr and whatever
descriptors were handed to thrust on purpose; signals and limits are as if thrust had not been there.

Deaths are learned from SIGCHLD, never by asking now and then. `asyncio.subprocess` is not used: its watchers start a
thread per process, do not see a process that has merely stopped, and cannot bury the orphans that PID 1 inherits.

Not here: when to start (`supervisor`), how to end (`workforce`), and what to do about a stopped worker (`terminal`).
"""

import asyncio
import errno
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol

from thrust.errors import WorkerNotStarted

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""Exit codes of a shell for a command that it cannot start."""

PORT_HINTS = ("UVICORN_PORT", "FLASK_RUN_PORT", "GRANIAN_PORT")
"""Variables from which these servers take their port when no option names one."""

_PLACEHOLDER = re.compile(r"\$THRUST_WORKER_PORT\b|\$\{THRUST_WORKER_PORT\}|(?<!\$)\{port\}")

_PR_SET_PDEATHSIG = 1
_PARENT_DEATH_SIGNAL = signal.SIGTERM
"""What the kernel sends to the worker when thrust is killed. Not SIGKILL: the signal reaches only the group's leader,
and a killed gunicorn or uvicorn master leaves its own workers behind, while SIGTERM makes it stop them first. It may
come more than once, because each of our threads that dies is a parent that dies."""

_UNKNOWN_CODE = 255
"""Exit code of a process that someone else has buried, as in asyncio."""


class EventLog(Protocol):
    """Where the worker side tells the operator what happens; `observe/logs.Log` is one."""

    def info(self, message: str, /, **fields: object) -> None: ...

    def warning(self, message: str, /, **fields: object) -> None: ...

    def error(self, message: str, /, **fields: object) -> None: ...


class Exit(NamedTuple):
    """How a process ended: with a code of its own (`signal` is 0), or by a signal."""

    code: int
    signal: int = 0

    @classmethod
    def from_status(cls, status: int) -> "Exit":
        """The Exit that waitpid's `status` describes; a signal becomes code 128 + n, as in a shell."""
        code = os.waitstatus_to_exitcode(status)
        return cls(code) if code >= 0 else cls(128 - code, -code)

    def __str__(self) -> str:
        return f"was killed by {signal_name(self.signal)}" if self.signal else f"exited with code {self.code}"


class Process:
    """A started worker, with the port that it was told to open.

    `exited` gets its Exit once the process is buried; nobody but the Reaper sets it. `started_s` is a reading of the
    loop's clock. Signals to a buried process or to an empty group go nowhere, so a number that the kernel has given
    to someone else is never hit.
    """

    __slots__ = ("_group_is_empty", "_is_leaving", "_popen", "exited", "pid", "port", "started_s")

    def __init__(self, popen: subprocess.Popen[bytes], port: int) -> None:
        self.pid = popen.pid
        self.port = port
        loop = asyncio.get_running_loop()
        self.started_s = loop.time()
        self.exited: asyncio.Future[Exit] = loop.create_future()
        self._popen = popen
        self._is_leaving = False
        self._group_is_empty = False

    def send(self, sig: int) -> None:
        """Send `sig` to the worker alone."""
        if not self.exited.done():
            with suppress(ProcessLookupError, PermissionError):  # it has become someone else's, by setuid
                os.kill(self.pid, sig)

    def send_group(self, sig: int) -> None:
        """Send `sig` to the worker and to all that it has started and that stayed in its process group."""
        if self._group_is_empty:
            return
        try:
            os.killpg(self.pid, sig)
        except (ProcessLookupError, PermissionError):  # PermissionError: macOS, when all members are zombies
            self._group_is_empty = self.exited.done()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once: some servers take the second as an order to drop everything."""
        if not self._is_leaving:
            self._is_leaving = True
            self.send(signal.SIGTERM)
            self.send_group(signal.SIGCONT)  # a stopped process obeys only when it goes on

    def has_group(self) -> bool:
        """Whether anyone of its process group is left, the worker itself included."""
        self.send_group(0)
        return not self._group_is_empty

    def bury(self, status: int | None) -> None:
        """Record the death that waitpid has reported; None if someone else took the report."""
        end = Exit(_UNKNOWN_CODE) if status is None else Exit.from_status(status)
        self._popen.returncode = end.code  # else Popen warns about, and waits for, a process that is long gone
        if not self.exited.done():
            self.exited.set_result(end)

    def __repr__(self) -> str:
        state = self.exited.result() if self.exited.done() else "running"
        return f"<Process {self.pid} on port {self.port}: {state}>"


class Reaper:
    """Learns by SIGCHLD which processes have stopped or died, and buries the dead.

    As PID 1 it buries whatever it inherits, else only what it watches. Needs the main thread and a running loop.
    """

    def __init__(self, on_stopped: Callable[[Process, int], None]) -> None:
        self._on_stopped = on_stopped
        self._watched: dict[int, Process] = {}
        self._is_init = os.getpid() == 1
        self._previous: signal._HANDLER = signal.SIG_DFL

    def open(self) -> None:
        """Take over SIGCHLD."""
        loop = asyncio.get_running_loop()
        self._previous = signal.getsignal(signal.SIGCHLD) or signal.SIG_DFL
        try:
            loop.add_signal_handler(signal.SIGCHLD, self._look)
        except RuntimeError:
            # uvloop keeps SIGCHLD for its own subprocesses, which nobody uses here. It looks after the wakeup
            # descriptor while it runs, so an ordinary handler is called in time.
            signal.signal(signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(self._look))
            signal.siginterrupt(signal.SIGCHLD, False)

    def close(self) -> None:
        """Give SIGCHLD back."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        signal.signal(signal.SIGCHLD, self._previous)

    def watch(self, process: Process) -> None:
        """Bury `process` when it dies. To be called in the loop turn that started it."""
        self._watched[process.pid] = process

    def _look(self) -> None:
        for pid in (-1,) if self._is_init else tuple(self._watched):
            try:
                while self._take_report(pid):
                    pass
            except ChildProcessError:  # no child is left, or someone else has taken the report
                if pid in self._watched:
                    self._watched.pop(pid).bury(None)

    def _take_report(self, pid: int) -> bool:
        """Act on one report of the kernel about `pid` (-1: any child); False when there is none at the moment."""
        reported, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if reported == 0:
            return False
        process = self._watched.get(reported)
        if process is None:
            return True  # an orphan that PID 1 has inherited
        if os.WIFSTOPPED(status):
            self._on_stopped(process, os.WSTOPSIG(status))
        else:
            del self._watched[reported]
            process.bury(status)
        return True


def start_worker(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    port: int,
    public_port: int,
    nofile_soft_limit: int | None = None,
) -> Process:
    """The started worker; to be given to a Reaper before the loop turns.

    `nofile_soft_limit` is the soft limit on open files that thrust found before it raised its own. Blocks until the
    command has been executed, a few milliseconds. Raises WorkerNotStarted.
    """
    prepare = _child_preparation(nofile_soft_limit)
    try:
        with _signals_blocked():
            popen = subprocess.Popen(
                fill_in_port(command, port),
                env=worker_environment(environ, port=port, public_port=public_port),
                process_group=0,
                close_fds=False,  # ours are all close-on-exec; `thrust app --env-file <(…)` hands one on
                preexec_fn=prepare,  # takes no lock, imports nothing
            )
    except OSError as error:
        raise _not_started(command[0], error, environ) from error
    return Process(popen, port)


def fill_in_port(command: Sequence[str], port: int) -> list[str]:
    """`command` with each $THRUST_WORKER_PORT, ${THRUST_WORKER_PORT} and {port} replaced.

    An exec-form ENTRYPOINT has no shell that would do it.
    """
    return [_PLACEHOLDER.sub(str(port), word) for word in command]


def fixes_port(command: Sequence[str], port: int) -> bool:
    """Whether `command` spells `port` out (`--port 3001`, `-p3001`, `--bind=:3001`), so that it has no other."""
    if any(_PLACEHOLDER.search(word) for word in command):
        return False
    literal = re.compile(rf"(?:^|[\s:=]|^-[A-Za-z]){port}(?![\w.])")
    return any(literal.search(word) for word in command)


def worker_environment(environ: Mapping[str, str], *, port: int, public_port: int) -> dict[str, str]:
    """`environ` with the worker's port in PORT and THRUST_WORKER_PORT and ours in THRUST_PUBLIC_PORT."""
    return {
        **dict.fromkeys(PORT_HINTS, str(port)),
        **environ,
        "PORT": str(port),
        "THRUST_WORKER_PORT": str(port),
        "THRUST_PUBLIC_PORT": str(public_port),
    }


def signal_name(number: int) -> str:
    """`SIGTERM` for 15; `signal 40` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _child_preparation(nofile_soft_limit: int | None) -> Callable[[], None]:
    """What the child does between fork and exec; all that may import, allocate much or fail is done before."""
    prctl = _load_prctl()
    parent_pid = os.getpid()
    handled = [sig for sig in signal.valid_signals() if signal.getsignal(sig) not in (signal.SIG_DFL, None)]
    limits = _nofile_limits(nofile_soft_limit)

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(_PARENT_DEATH_SIGNAL), 0, 0, 0)
            if os.getppid() != parent_pid:  # thrust died before the kernel was told to watch it
                os._exit(128 + _PARENT_DEATH_SIGNAL)
        # Ignored signals would stay ignored over exec; handled ones must be reset before the mask opens, or a
        # signal would be written to the event loop's wakeup descriptor, which the child shares with thrust.
        for sig in handled:
            signal.signal(sig, signal.SIG_DFL)
        if limits is not None:
            with suppress(ValueError, OSError):  # macOS refuses to set some values that it reports itself
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return prepare


def _load_prctl() -> Callable[..., int] | None:
    """The C library's prctl, None where there is none. ctypes costs some milliseconds, so only Linux pays."""
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    return prctl


def _nofile_limits(soft_limit: int | None) -> tuple[int, int] | None:
    if soft_limit is None:
        return None
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    is_possible = hard_limit == resource.RLIM_INFINITY or 0 <= soft_limit <= hard_limit
    return (soft_limit if is_possible else hard_limit, hard_limit)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _not_started(program: str, error: OSError, environ: Mapping[str, str]) -> WorkerNotStarted:
    """The sentence and the exit code for a program that could not be executed, told apart as shells do."""
    path = _path_of(program, environ)
    match error.errno:
        case errno.ENOENT if path is None and "/" in program:
            reason, exit_code = "there is no such file", NOT_FOUND
        case errno.ENOENT if path is None:
            reason, exit_code = "there is no such command in PATH", NOT_FOUND
        case errno.ENOENT:
            reason, exit_code = "the interpreter that its first line names does not exist", NOT_EXECUTABLE
        case errno.EACCES if os.path.isdir(program):
            reason, exit_code = "it is a directory", NOT_EXECUTABLE
        case errno.EACCES:
            reason, exit_code = "it is not executable (chmod +x makes it so)", NOT_EXECUTABLE
        case errno.ENOEXEC:
            reason, exit_code = "it is neither a program for this machine nor a script with a #! line", NOT_EXECUTABLE
        case _:
            reason, exit_code = os.strerror(error.errno or 0), NOT_EXECUTABLE
    return WorkerNotStarted(f"cannot start {program!r}: {reason}", exit_code=exit_code)


def _path_of(program: str, environ: Mapping[str, str]) -> str | None:
    """Where the file is that PATH leads to, None if there is none."""
    import shutil  # only a failure pays for it

    return shutil.which(program, path=environ.get("PATH"))
