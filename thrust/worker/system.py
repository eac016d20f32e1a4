"""What the supervisor needs of the operating system, behind one object.

`supervisor` decides and calls this; `process`, `terminal`, `readiness`, `procfs` and `diagnosis` do the work. The seam
is here so that the state machine is tested with scripted workers and a clock that jumps, and the rest with real ones.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from thrust.worker import diagnosis, procfs, readiness
from thrust.worker.diagnosis import Finding
from thrust.worker.process import EventLog, Process, Reaper, start_worker
from thrust.worker.terminal import Terminal


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
        return procfs.describe_holder(port) or "another program"

    async def find_free_port(self, near: int, avoid: Collection[int]) -> int:
        """A port for one more worker."""
        return await readiness.find_free_port(near, (*avoid, self._public_port))

    def has_living_group(self, worker: Process) -> bool:
        """Whether `worker`, or anyone else in its process group, still runs."""
        return worker.has_group() and (not procfs.CAN_LOOK or procfs.group_lives(worker.pid))

    def listens_on(self, worker: Process, port: int) -> bool:
        """Whether `worker` has opened `port`; False also where that cannot be seen."""
        return any(listener.port == port for listener in procfs.take_snapshot(worker.pid).listeners)

    def explain_closed_port(self, worker: Process) -> Finding | None:
        """Why `worker` has not opened its port; None where that cannot be seen."""
        if not procfs.CAN_LOOK:
            return None
        elapsed_s = asyncio.get_running_loop().time() - worker.started_s
        snapshot = procfs.take_snapshot(worker.pid)
        return diagnosis.explain_closed_port(snapshot, port=worker.port, command=self._command, elapsed_s=elapsed_s)

    def explain_exposure(self, worker: Process) -> Finding | None:
        """That `worker` can be reached around thrust, if it can."""
        listeners = procfs.tcp_listeners(worker.port)
        return diagnosis.explain_exposure(listeners, port=worker.port, command=self._command)

    def settle_terminal(self, worker: Process) -> None:
        """Lend the terminal to a worker that will not show that it wants it."""
        is_suspect = diagnosis.find_server(self._command) == "gunicorn"
        self._terminal.lend_if_it_never_asks(worker, is_suspect=is_suspect)

    def reclaim_terminal(self, worker: Process) -> bool:
        """Take the terminal from a worker that is gone; False if it has not had it."""
        return self._terminal.reclaim(worker)

    @property
    def has_lost_terminal(self) -> bool:
        """Whether the person's terminal has hung up."""
        return self._terminal.is_lost
