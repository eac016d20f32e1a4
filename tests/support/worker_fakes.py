"""A scripted System with scripted workers, and recorders of what the supervisor says: for tests of its decisions."""

import asyncio
import signal
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from thrust.errors import WorkerError
from thrust.worker.diagnosis import Finding
from thrust.worker.process import Exit, Process
from thrust.worker.system import System


@dataclass
class Script:
    """How one worker behaves; times in seconds after its start, None for never.

    `opens_port` is the port that it opens, whatever it was told; None obeys. `obeys_term_s` is the time from SIGTERM
    to its end, `leftovers_s` how long others of its group live on after it unless they get SIGKILL.
    """

    opens_s: float | None = 1.0
    exits_s: float | None = None
    end: Exit = Exit(0)
    obeys_term_s: float | None = 0.1
    ended_by_term: Exit = Exit(143, signal.SIGTERM)
    leftovers_s: float = 0.0
    opens_port: int | None = None
    has_terminal: bool = False


class ScriptedWorker(Process):
    """Behaves as its Script says and remembers the signals that it got, as (seconds, signal)."""

    __slots__ = ("_group_ends_s", "_loop", "group_signals", "opened", "script", "signals")

    def __init__(self, script: Script, pid: int, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.pid = pid
        self.port = port
        self.script = script
        self.started_s = self._loop.time()
        self.exited = self._loop.create_future()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.signals: list[int] = []
        self.group_signals: list[int] = []
        self._is_leaving = False
        self._group_ends_s = 0.0
        if script.opens_s is not None and script.opens_port in (None, port):
            self._loop.call_later(script.opens_s, self._open)
        if script.exits_s is not None:
            self._loop.call_later(script.exits_s, self.end, script.end)

    def _open(self) -> None:
        if not self.exited.done():
            self.opened.set_result(None)

    def end(self, end: Exit) -> None:
        if not self.exited.done():
            self._group_ends_s = self._loop.time() + self.script.leftovers_s
            self.exited.set_result(end)

    def send(self, sig: int) -> None:
        if self.exited.done():
            return
        self.signals.append(sig)
        if sig == signal.SIGKILL:
            self.end(Exit(137, signal.SIGKILL))
        elif sig == signal.SIGTERM and self.script.obeys_term_s is not None:
            self._loop.call_later(self.script.obeys_term_s, self.end, self.script.ended_by_term)

    def send_group(self, sig: int) -> None:
        if not self.has_group():
            return
        self.group_signals.append(sig)
        if sig == signal.SIGKILL:
            self.send(sig)
            self._group_ends_s = 0.0

    def has_group(self) -> bool:
        return not self.exited.done() or self._loop.time() < self._group_ends_s


class FakeSystem(System):
    """Starts the workers of `scripts` one after the other. `holders` says who else listens on a port."""

    def __init__(self, *scripts: Script | WorkerError) -> None:
        self._scripts = list(scripts)
        self.started: list[ScriptedWorker] = []
        self.holders: dict[int, str] = {}
        self.finding: Finding | None = None
        self.exposure: Finding | None = None
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def start(self, port: int) -> Process:
        script = self._scripts.pop(0)
        if isinstance(script, WorkerError):
            raise script
        worker = ScriptedWorker(script, 100 + len(self.started), port)
        self.started.append(worker)
        return worker

    async def wait_until_open(
        self, port: int, *, until: Collection[asyncio.Future[Any]], within_s: float | None = None
    ) -> bool:
        [opened] = [worker.opened for worker in self.started if worker.port == port and not worker.exited.done()]
        await asyncio.wait({opened, *until}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return opened.done() and not any(future.done() for future in until)

    async def find_holder(self, port: int) -> str | None:
        await asyncio.sleep(0)
        return self.holders.get(port)

    async def find_free_port(self, near: int, avoid: Collection[int]) -> int:
        return next(port for port in range(near, near + 10) if port not in avoid)

    def has_living_group(self, worker: Process) -> bool:
        return worker.has_group()

    def listens_on(self, worker: Process, port: int) -> bool:
        return isinstance(worker, ScriptedWorker) and worker.script.opens_port == port

    def explain_closed_port(self, worker: Process) -> Finding | None:
        return self.finding

    def explain_exposure(self, worker: Process) -> Finding | None:
        return self.exposure

    def settle_terminal(self, worker: Process) -> None:
        pass

    def reclaim_terminal(self, worker: Process) -> bool:
        return isinstance(worker, ScriptedWorker) and worker.script.has_terminal


@dataclass
class RecordedEvents:
    """A WorkerEvents that writes down what it is told, and drains until `drained` is set or `drain_s` has passed."""

    drain_s: float = 0.0
    said: list[str] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def _note(self, what: str) -> None:
        self.said.append(what)
        self.times_s.append(asyncio.get_running_loop().time())

    def worker_ready(self, port: int) -> None:
        self._note(f"ready {port}")

    def worker_away(self) -> None:
        self._note("away")

    def boot_timed_out(self) -> None:
        self._note("boot timed out")

    async def drain_old(self, port: int) -> None:
        self._note(f"drain {port}")
        await asyncio.sleep(self.drain_s)
        self._note(f"drained {port}")


@dataclass
class RecordedLog:
    """An EventLog that keeps (level, message)."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def info(self, message: str, /, **fields: object) -> None:
        self.entries.append(("info", message))

    def warning(self, message: str, /, **fields: object) -> None:
        self.entries.append(("warning", message))

    def error(self, message: str, /, **fields: object) -> None:
        self.entries.append(("error", message))

    def messages(self, level: str) -> list[str]:
        return [message for entry_level, message in self.entries if entry_level == level]
