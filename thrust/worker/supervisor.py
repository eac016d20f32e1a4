"""The life of the worker: started, held for, replaced, started again, stopped. Decides; `workforce` and `system` do.

`service` makes one Supervisor, implements WorkerEvents, and gets from `run` the code with which thrust exits. The story
is a state machine: a state says what is true and which worker it is true of, and one method per state waits for what
can happen in it and returns the next state.

    Starting ─▶ Booting ─▶ Serving ─▶ Replacing ─▶ Serving      (the new worker serves, the old one retires meanwhile)
        ▲          │          │           └──────▶ Starting     (the command cannot take a second port)
        └─ Pausing ◀──────────┘ ─▶ Over

What comes from outside (stop, replace) is a future that every state waits for beside its own business, so there are
no callbacks that change the state behind the back of the method that is waiting. Only one new worker is in the making
at any time; a wish to replace that comes meanwhile is remembered, once.

Not here: how a worker is brought to its end (`workforce`), which end is a failure (`restarts`), signals of thrust
itself and the draining of clients (`service`), HTTP of any kind.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, assert_never

from thrust.errors import WorkerError, WorkerNotStarted
from thrust.worker.process import EventLog, Exit, Process, fixes_port
from thrust.worker.restarts import Restarts
from thrust.worker.system import System
from thrust.worker.workforce import KILLED_S, Workforce

if TYPE_CHECKING:
    from thrust.worker.diagnosis import Finding

DIAGNOSE_AFTER_S = 3.0
"""A worker that is silent for so long may have been told the wrong port; nearly all servers boot faster."""

DRAIN_FIRST_S = 5.0
"""How long a replaced worker may go on if the next one cannot start before it is gone, and requests wait for that."""


class WorkerEvents(Protocol):
    """What the service is told. Calls come from the event loop and return at once, but for `drain_old`."""

    def worker_ready(self, port: int) -> None:
        """Requests go to `port` from now on: after the first boot, after a restart, or when a new worker took over."""

    def worker_away(self) -> None:
        """There is no worker: hold requests until `worker_ready`, or answer them after `boot_timed_out`."""

    def boot_timed_out(self) -> None:
        """The boot timeout is over: answer 503. A later `worker_ready` is still possible."""

    async def drain_old(self, port: int) -> None:
        """Return when no exchange with the worker on `port` is under way any more; cancelled when it takes too long."""


# The states. A frozen dataclass would cost a millisecond of start-up each, a NamedTuple a tenth of it.


class Starting(NamedTuple):
    """No worker; one is to be started on `port`."""

    port: int


class Booting(NamedTuple):
    """`worker` runs and has not opened its port yet."""

    worker: Process


class Serving(NamedTuple):
    """`worker` gets the requests."""

    worker: Process


class Replacing(NamedTuple):
    """`worker` gets the requests and is to be replaced."""

    worker: Process


class Pausing(NamedTuple):
    """A worker failed; the next one is started on `port` after `pause_s`."""

    port: int
    pause_s: float


class Over(NamedTuple):
    """Nothing runs any more; thrust exits with `code`."""

    code: int


State = Starting | Booting | Serving | Replacing | Pausing | Over


class Supervisor:
    """Runs `command` as the worker, once (`run`). To be made with the loop running, in the main thread."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        worker_port: int,
        public_port: int,
        boot_timeout_s: float,
        restart_on_failure: bool,
        environ: Mapping[str, str],
        events: WorkerEvents,
        log: EventLog,
        nofile_soft_limit: int | None = None,
        system: System | None = None,
    ) -> None:
        self._command = tuple(command)
        self._boot_timeout_s = boot_timeout_s
        self._restart_on_failure = restart_on_failure
        self._events = events
        self._log = log
        self._system = system or System(
            command,
            environ,
            public_port=public_port,
            nofile_soft_limit=nofile_soft_limit,
            workers=lambda: self._workforce.members,
            log=log,
        )
        self._workforce = Workforce(self._system, drain=events.drain_old, log=log)
        self._loop = asyncio.get_running_loop()
        self._state: State = Starting(worker_port)
        self._worker_port = worker_port
        self._restarts = Restarts()
        self._has_started = False
        self._last_exit = Exit(0)
        self._reported: set[object] = set()
        self._boot_timer: asyncio.TimerHandle | None = None
        self._retiring: asyncio.Task[None] | None = None
        self._stop_asked: asyncio.Future[None] = self._loop.create_future()
        self._replace_asked: asyncio.Future[None] = self._loop.create_future()
        self._finished: asyncio.Future[None] = self._loop.create_future()

    @property
    def state(self) -> State:
        """What is going on; for status pages and tests."""
        return self._state

    @property
    def has_lost_terminal(self) -> bool:
        """Whether thrust had a terminal that has hung up. A SIGHUP then means that nobody is there any more."""
        return self._system.has_lost_terminal

    # --- What the service calls -----------------------------------------------------------------------------------

    async def run(self) -> int:
        """The exit code of the story, when it is over: the worker's own, 128 + n for a signal.

        Raises WorkerError if somebody else listens on the worker's port, WorkerNotStarted if the command cannot be
        executed: both only before the first worker exists. Nothing that it has started is left behind.
        """
        self._system.open()
        self._start_boot_timer()
        try:
            while not isinstance(self._state, Over):
                self._state = await self._leave(self._state)
            return self._state.code
        finally:
            self._stop_boot_timer()
            await self._end_everyone()
            self._system.close()
            self._finished.set_result(None)

    async def stop(self, within_s: float) -> None:
        """End the worker with SIGTERM, after `within_s` its whole process group with SIGKILL; then `run` returns."""
        if not self._stop_asked.done():
            self._stop_asked.set_result(None)
        self._workforce.ask_all_to_stop(within_s)
        await asyncio.wait({self._finished}, timeout=within_s)
        if not self._finished.done():
            self.stop_now()
            await asyncio.wait({self._finished}, timeout=KILLED_S)

    def stop_now(self) -> None:
        """End everyone with SIGKILL at once."""
        if not self._stop_asked.done():
            self._stop_asked.set_result(None)
        self._workforce.kill_all()

    def relay(self, sig: int) -> None:
        """Pass `sig` on to the worker: USR1, USR2, QUIT, TTIN, TTOU, WINCH mean something to some servers."""
        worker = self._current()
        if worker is not None:
            self._restarts.note_relayed(sig)
            worker.send(sig)

    def replace(self) -> None:
        """Start a new worker and let the old one go, without losing a request if the command can take a second port."""
        if not self._replace_asked.done():
            self._replace_asked.set_result(None)

    # --- The states -----------------------------------------------------------------------------------------------

    async def _leave(self, state: State) -> State:
        """Wait for what ends `state`; returns what comes then."""
        match state:
            case Starting(port):
                return await self._starting(port)
            case Booting(worker):
                return await self._booting(worker)
            case Serving(worker):
                return await self._serving(worker)
            case Replacing(worker):
                return await self._replacing(worker)
            case Pausing(port, pause_s):
                return await self._pausing(port, pause_s)
            case Over():
                return state
            case _:
                assert_never(state)

    async def _starting(self, port: int) -> State:
        try:
            await self._expect_no_listener(port)
            if self._stop_asked.done():
                return Over(self._last_exit.code)
            worker = self._workforce.start(port)
            self._has_started = True
            return Booting(worker)
        except WorkerError as error:
            if not self._has_started:
                raise
            self._log.error(str(error))
            self._last_exit = Exit(error.exit_code if isinstance(error, WorkerNotStarted) else 1)
            return self._after_failure(port, uptime_s=0.0)

    async def _booting(self, worker: Process) -> State:
        interrupts = (worker.exited, self._replace_asked)
        is_open = await self._system.wait_until_open(worker.port, until=interrupts, within_s=DIAGNOSE_AFTER_S)
        if not is_open and not any(future.done() for future in interrupts):
            self._report(self._system.explain_closed_port(worker))
            self._system.settle_terminal(worker)  # a breakpoint at import time
            is_open = await self._system.wait_until_open(worker.port, until=interrupts)
        if is_open:
            return self._open(worker)
        if worker.exited.done():
            return await self._after_exit(worker, f" before it opened port {worker.port}")
        # To be replaced before it has served anything, so it has nothing to lose.
        self._replace_asked = self._loop.create_future()
        self._last_exit = await self._workforce.dismiss(worker)
        return Starting(worker.port)

    async def _serving(self, worker: Process) -> State:
        # Three workers at once would be one too many: the next replacement waits until the last one is complete.
        endings: set[asyncio.Future[Any]] = {worker.exited, self._retiring or self._replace_asked}
        await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        if worker.exited.done():
            return await self._after_exit(worker)
        if self._retiring is not None:
            self._retiring = None
            return Serving(worker)
        return Replacing(worker)

    async def _replacing(self, old: Process) -> State:
        self._replace_asked = self._loop.create_future()
        if self._stop_asked.done():
            return Serving(old)
        if fixes_port(self._command, old.port):
            self._log.info(
                f"the command names port {old.port} itself, so requests wait until its new worker has it;"
                " with $THRUST_WORKER_PORT in its place they would not have to"
            )
            return await self._make_way(old)
        port = await self._system.find_free_port(self._worker_port, (old.port,))
        try:
            new = self._workforce.start(port)
        except WorkerNotStarted as error:
            self._log.error(f"{error}; the old worker stays", port=old.port)
            return Serving(old)
        return await self._replacing_by(new, old)

    async def _replacing_by(self, new: Process, old: Process) -> State:
        interrupts = (new.exited, old.exited, self._stop_asked)
        is_open = await self._system.wait_until_open(new.port, until=interrupts, within_s=DIAGNOSE_AFTER_S)
        if not is_open and not any(future.done() for future in interrupts):
            if self._system.listens_on(new, old.port):
                self._log.warning(f"the new worker shares port {old.port} with the old one, instead of {new.port}")
                await self._workforce.dismiss(new)
                return await self._make_way(old)
            self._report(self._system.explain_closed_port(new))
            left_s = max(0.0, self._boot_timeout_s - DIAGNOSE_AFTER_S)
            is_open = await self._system.wait_until_open(new.port, until=interrupts, within_s=left_s)
        if is_open:
            self._retiring = self._loop.create_task(self._workforce.retire(old))
            return self._open(new)
        return await self._keep(old, new)

    async def _keep(self, old: Process, new: Process) -> State:
        """The new worker has failed to open its port, or is not needed any more: go on without it, if possible."""
        if self._stop_asked.done():
            return Serving(old)
        if old.exited.done() and not new.exited.done():
            self._worker_away()
            await self._workforce.note_exit(old, " while its successor was booting")
            return Booting(new)
        if new.exited.done():
            self._log.error(
                f"the new worker {new.exited.result()} before it opened port {new.port}; the old one stays."
                f" If the app insists on port {old.port}, let it take the one in the variable PORT",
                port=old.port,
            )
        else:
            waited = f"{self._boot_timeout_s:g} s"
            self._log.error(f"the new worker has not opened port {new.port} in {waited}; the old one stays")
        await self._workforce.dismiss(new)
        return Serving(old)

    async def _make_way(self, old: Process) -> State:
        """Stop the old worker first, because the new one needs its port; requests wait."""
        self._worker_away()
        await self._workforce.drain(old, DRAIN_FIRST_S)
        self._last_exit = await self._workforce.dismiss(old)
        return Starting(old.port)

    async def _pausing(self, port: int, pause_s: float) -> State:
        interrupts = {self._stop_asked, self._replace_asked}
        await asyncio.wait(interrupts, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        if self._replace_asked.done():
            self._replace_asked = self._loop.create_future()
        return Starting(port)

    # --- Transitions ----------------------------------------------------------------------------------------------

    def _open(self, worker: Process) -> State:
        """Send requests to `worker`, which accepts connections."""
        self._stop_boot_timer()
        boot_ms = round((self._loop.time() - worker.started_s) * 1000)
        self._log.info("worker is ready", pid=worker.pid, port=worker.port, boot_ms=boot_ms)
        self._events.worker_ready(worker.port)
        self._report(self._system.explain_exposure(worker))
        self._system.settle_terminal(worker)
        return Serving(worker)

    async def _after_exit(self, worker: Process, when: str = "") -> State:
        """The only worker is gone: what now?"""
        end = self._last_exit = worker.exited.result()
        uptime_s = self._loop.time() - worker.started_s
        had_terminal = self._system.reclaim_terminal(worker)
        has_failed = self._restarts.is_failure(end, had_terminal=had_terminal)
        if self._stop_asked.done() or not self._restart_on_failure or not has_failed:
            await self._workforce.note_exit(worker, when)
            return Over(end.code)
        self._worker_away()
        await self._workforce.note_exit(worker, when)
        return self._after_failure(worker.port, uptime_s)

    def _after_failure(self, port: int, uptime_s: float) -> State:
        if not self._restart_on_failure:
            return Over(self._last_exit.code)
        pause_s = self._restarts.next_pause_s(uptime_s)
        self._log.warning(f"worker is started again in {pause_s:g} s")
        return Pausing(port, pause_s)

    async def _end_everyone(self) -> None:
        if self._retiring is not None:
            self._retiring.cancel()
            await asyncio.wait({self._retiring})
        await self._workforce.dismiss_all()

    # --- Holding requests -----------------------------------------------------------------------------------------

    def _worker_away(self) -> None:
        """Requests wait for one boot timeout per outage, however many workers are tried meanwhile."""
        if self._boot_timer is None:
            self._events.worker_away()
            self._start_boot_timer()

    def _start_boot_timer(self) -> None:
        self._boot_timer = self._loop.call_later(self._boot_timeout_s, self._give_up_holding)

    def _stop_boot_timer(self) -> None:
        if self._boot_timer is not None:
            self._boot_timer.cancel()
            self._boot_timer = None

    def _give_up_holding(self) -> None:
        self._log.error(f"no worker is ready after {self._boot_timeout_s:g} s: requests are answered with 503")
        if isinstance(self._state, Booting):
            self._report(self._system.explain_closed_port(self._state.worker))
        self._events.boot_timed_out()

    # --- Small questions ------------------------------------------------------------------------------------------

    async def _expect_no_listener(self, port: int) -> None:
        holder = await self._system.find_holder(port)
        if holder is not None:
            raise WorkerError(
                f"port {port} of 127.0.0.1 is already taken by {holder}, but the worker needs it:"
                " stop that one, or set THRUST_WORKER_PORT to a free port"
            )

    def _current(self) -> Process | None:
        match self._state:
            case Booting(worker) | Serving(worker) | Replacing(worker):
                return worker
            case _:
                return None

    def _report(self, finding: "Finding | None") -> None:
        """Log `finding`, unless the same has been said before."""
        if finding is None or finding.key in self._reported:
            return
        self._reported.add(finding.key)
        say = self._log.info if finding.level == "info" else self._log.warning
        say(finding.sentence)

    def __repr__(self) -> str:
        return f"<Supervisor {self._state}, {len(self._workforce.members)} worker(s)>"
