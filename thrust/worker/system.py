"""What the supervisor needs of the operating system, behind one object.

`supervisor` and `workforce` call this; `process`, `terminal`, `readiness`, `procfs` and `diagnosis` do the work. The
seam is here so that the state machine is tested with scripted workers and a clock that jumps, and the rest with real
ones.

`procfs` and `diagnosis` are imported where they are used, after the worker has been started: they cost milliseconds
that belong to the time before thrust listens.
"""

import asyncio
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thrust.worker import readiness
from thrust.worker.process import EventLog, Process, Reaper, start_worker
from thrust.worker.terminal import Terminal

if TYPE_CHECKING:
    from thrust.worker.diagnosis import Finding


class System:
    """Starts `command` and knows how to look at what became of it. One per supervisor."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        public_port: int,
        nofile_soft_limit: int | None,
        workers: Callable[[], Collection[Process]],
        log: EventLog,
    ) -> None:
        self._command = tuple(command)
        self._environ = environ
        self._public_port = public_port
        self._nofile_soft_limit = nofile_soft_limit
        self._terminal = Terminal(workers, log)
        self._reaper = Reaper(self._terminal.on_stopped)

    def open(self) -> None:
        """Take over SIGCHLD and, on a terminal, SIGTSTP. In the main thread, with the loop running."""
        self._reaper.open()
        self._terminal.open()

    def close(self) -> None:
        """Give the signals and the terminal back."""
        self._terminal.close()
        self._reaper.close()

    def start(self, port: int) -> Process:
        """A new worker that was told `port`; raises WorkerNotStarted."""
        process = start_worker(
            self._command,
            self._environ,
            port=port,
            public_port=self._public_port,
            nofile_soft_limit=self._nofile_soft_limit,
        )
        self._reaper.watch(process)
        return process

    async def wait_until_open(
        self, port: int, *, until: Collection[asyncio.Future[Any]], within_s: float | None = None
    ) -> bool:
        """True as soon as `port` accepts; False when one of `until` is done or the time is over."""
        return await readiness.wait_until_open(port, until=until, within_s=within_s)

    async def find_holder(self, port: int) -> str | None:
        """Who listens on `port`, in a word or two; None if nobody does."""
        if not await readiness.accepts_connections(port):
            return None
        from thrust.worker import procfs

        return procfs.describe_holder(port) or "another program"

    async def find_free_port(self, near: int, avoid: Collection[int]) -> int:
        """A port for one more worker."""
        return await readiness.find_free_port(near, (*avoid, self._public_port))

    def has_living_group(self, worker: Process) -> bool:
        """Whether `worker`, or anyone else in its process group, still runs."""
        if not worker.has_group():
            return False
        from thrust.worker import procfs

        return not procfs.CAN_LOOK or procfs.group_lives(worker.pid)

    def listens_on(self, worker: Process, port: int) -> bool:
        """Whether `worker` has opened `port`; False also where that cannot be seen."""
        from thrust.worker import procfs

        return any(listener.port == port for listener in procfs.take_snapshot(worker.pid).listeners)

    def explain_closed_port(self, worker: Process) -> "Finding | None":
        """Why `worker` has not opened its port; None where that cannot be seen."""
        from thrust.worker import diagnosis, procfs

        if not procfs.CAN_LOOK:
            return None
        elapsed_s = asyncio.get_running_loop().time() - worker.started_s
        snapshot = procfs.take_snapshot(worker.pid)
        return diagnosis.explain_closed_port(snapshot, port=worker.port, command=self._command, elapsed_s=elapsed_s)

    def explain_exposure(self, worker: Process) -> "Finding | None":
        """That `worker` can be reached around thrust, if it can."""
        from thrust.worker import diagnosis, procfs

        listeners = procfs.tcp_listeners(worker.port)
        return diagnosis.explain_exposure(listeners, port=worker.port, command=self._command)

    def settle_terminal(self, worker: Process) -> None:
        """Lend the terminal at once to a worker that handles SIGTTIN itself.

        gunicorn and uvicorn's process manager understand SIGTTIN as "one more worker". They do not stop when one of
        their children reads from the terminal, so nobody learns of it, and the kernel goes on asking for one more
        worker. Where signals cannot be looked up, gunicorn is known by its name.
        """
        if not self._terminal.is_ours():
            return
        from thrust.worker import diagnosis, procfs

        if procfs.CAN_LOOK:
            never_asks = procfs.catches_signal(worker.pid, signal.SIGTTIN)
        else:
            never_asks = diagnosis.find_server(self._command) == "gunicorn"
        if never_asks:
            self._terminal.lend(worker)

    def reclaim_terminal(self, worker: Process) -> bool:
        """Take the terminal from a worker that is gone; False if it has not had it."""
        return self._terminal.reclaim(worker)

    @property
    def has_lost_terminal(self) -> bool:
        """Whether the person's terminal has hung up."""
        return self._terminal.is_lost
