"""The workers that there are, and how each of them goes: drained, asked, killed, and nothing of it left behind.

`supervisor` decides who starts and who goes, and has one Workforce, which holds everyone whose process group may still
have members. A worker always goes in the same order: it finishes what it has begun, if it was replaced; SIGTERM, once;
SIGKILL when its time is over; then the same for what it leaves in its process group. As soon as everyone is asked to
stop, one deadline counts for all.

Not here: which worker gets the requests (`supervisor`), whether one that has failed comes back (`restarts`).
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection

from thrust.worker.process import EventLog, Exit, Process
from thrust.worker.system import System

DRAIN_OLD_S = 30.0
"""How long a replaced worker may go on with the exchanges that it has begun; gunicorn's graceful_timeout."""

STOP_OLD_S = 10.0
"""From SIGTERM to SIGKILL for a worker that goes while thrust stays; Docker's grace period."""

LEFTOVERS_S = 2.0
"""From SIGTERM to SIGKILL for processes that a dead worker has left behind."""

KILLED_S = 1.0
"""How long SIGKILL may take. Only a process stuck in the kernel needs longer, and waiting does not help it."""

GROUP_CHECK_S = 0.02
"""Pause between looks at a process group without its leader: nobody is told when it becomes empty."""


class Workforce:
    """Starts workers by `system` and sees them off. `drain(port)` returns when the worker there has nothing to do."""

    def __init__(self, system: System, *, drain: Callable[[int], Awaitable[None]], log: EventLog) -> None:
        self._system = system
        self._drain_exchanges = drain
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._members: list[Process] = []
        self._stop_deadline_s: float | None = None

    @property
    def members(self) -> Collection[Process]:
        """All whose process group may have members."""
        return self._members

    def start(self, port: int) -> Process:
        """A new worker that was told `port`; raises WorkerNotStarted."""
        worker = self._system.start(port)
        self._members.append(worker)
        self._log.info("worker started", pid=worker.pid, port=port)
        return worker

    # --- Everyone -------------------------------------------------------------------------------------------------

    def ask_all_to_stop(self, within_s: float) -> None:
        """Send SIGTERM to everyone. Nobody is killed by this; who waits for the end of one does it in time."""
        self._stop_deadline_s = self._loop.time() + within_s
        for worker in self._members:
            worker.ask_to_stop()

    def kill_all(self) -> None:
        """End everyone with SIGKILL at once."""
        self._stop_deadline_s = self._loop.time()
        for worker in self._members:
            _kill(worker)

    async def dismiss_all(self) -> None:
        """Return when nobody is left. They have until the deadline of the stop; if there is none, LEFTOVERS_S."""
        for worker in self._members:
            worker.ask_to_stop()
        deadline_s = self._deadline_s()
        for worker in list(self._members):
            await self.dismiss(worker, deadline_s - self._loop.time())

    # --- One ------------------------------------------------------------------------------------------------------

    async def retire(self, old: Process) -> None:
        """See a replaced worker off, also if draining fails: a task of its own, whose errors nobody would see."""
        try:
            await self.drain(old, DRAIN_OLD_S)
        except Exception as error:
            self._log.error(f"draining the old worker failed: {error!r}")
        await self.dismiss(old)

    async def drain(self, old: Process, within_s: float) -> None:
        """Return when `old` has finished its exchanges, or when the time is over."""
        try:
            async with asyncio.timeout(within_s):
                await self._drain_exchanges(old.port)
        except TimeoutError:
            self._log.warning(f"the old worker is stopped with exchanges under way after {within_s:g} s", port=old.port)

    async def dismiss(self, worker: Process, within_s: float = STOP_OLD_S) -> Exit:
        """How `worker` ended, after SIGTERM and, when `within_s` is over, SIGKILL; its group is ended as well."""
        worker.ask_to_stop()
        await asyncio.wait({worker.exited}, timeout=max(0.0, within_s))
        if not worker.exited.done():
            self._log.warning(f"worker has not ended {within_s:.1f} s after SIGTERM and is killed", pid=worker.pid)
            _kill(worker)
            await asyncio.wait({worker.exited}, timeout=KILLED_S)
        self._system.reclaim_terminal(worker)
        await self._clear_group(worker)
        return worker.exited.result() if worker.exited.done() else Exit(128 + signal.SIGKILL, signal.SIGKILL)

    async def note_exit(self, worker: Process, when: str = "") -> None:
        """Log how `worker` ended of itself (`when`: at a bad time, which one), and end what it has left behind."""
        end = worker.exited.result()
        if self._stop_deadline_s is not None:
            self._log.info(f"worker {end}", pid=worker.pid, exit_code=end.code)
        else:
            say = self._log.error if end.code or when else self._log.info
            say(f"worker {end}{when}{_hint(end, when)}", pid=worker.pid, exit_code=end.code)
        await self._clear_group(worker)

    async def _clear_group(self, worker: Process) -> None:
        """End what a dead worker has left in its process group. A shell, for one, does not pass SIGTERM on."""
        deadline_s = self._deadline_s()
        if self._system.has_living_group(worker):
            worker.send_group(signal.SIGTERM)
            worker.send_group(signal.SIGCONT)
        while self._system.has_living_group(worker) and self._loop.time() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(GROUP_CHECK_S)  # there is no event to wait for
        worker.send_group(signal.SIGKILL)
        if worker in self._members:
            self._members.remove(worker)

    def _deadline_s(self) -> float:
        """When somebody who is to be gone now is killed, on the loop's clock."""
        return self._loop.time() + LEFTOVERS_S if self._stop_deadline_s is None else self._stop_deadline_s

    def __repr__(self) -> str:
        return f"<Workforce {self._members}>"


def _kill(worker: Process) -> None:
    worker.send_group(signal.SIGKILL)
    worker.send(signal.SIGKILL)  # should it have left its group


def _hint(end: Exit, when: str) -> str:
    """What an exit like this often means."""
    if end.signal == signal.SIGKILL:
        return ": perhaps the machine or the container ran out of memory"
    if end.code == 0 and when:
        return ": a worker has to stay in the foreground"
    return ""
