"""The supervisor's decisions, with scripted workers and a clock that jumps: no process, no socket, no waiting."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from tests.support.worker_fakes import FakeSystem, RecordedEvents, RecordedLog, Script
from tests.support.worker_loops import run_jumping
from thrust.errors import WorkerError, WorkerNotStarted
from thrust.worker.diagnosis import Finding
from thrust.worker.process import Exit
from thrust.worker.supervisor import Pausing, Serving, Supervisor

STABLE = Script()
"""Opens its port after a second and lives until it is told to go."""


class Stage:
    """A Supervisor among fakes. `play` runs it beside a story and returns the exit code."""

    def __init__(
        self,
        *scripts: Script | WorkerError,
        command: tuple[str, ...] = ("app",),
        restart_on_failure: bool = False,
        drain_s: float = 0.0,
    ) -> None:
        self.system = FakeSystem(*scripts)
        self.events = RecordedEvents(drain_s)
        self.log = RecordedLog()
        self._command = command
        self._restart_on_failure = restart_on_failure

    def play(self, story: "Story | None" = None) -> int:
        return run_jumping(self._play(story))

    async def _play(self, story: "Story | None") -> int:
        self.supervisor = Supervisor(
            self._command,
            worker_port=3001,
            public_port=3000,
            boot_timeout_s=60.0,
            restart_on_failure=self._restart_on_failure,
            environ={},
            events=self.events,
            log=self.log,
            system=self.system,
        )
        run = asyncio.get_running_loop().create_task(self.supervisor.run())
        try:
            if story is not None:
                await story(self)
            return await run
        finally:
            run.cancel()
            await asyncio.wait({run})

    async def until(self, said: str, times: int = 1) -> None:
        """Wait, at most a virtual hour, until `said` was said so often."""
        async with asyncio.timeout(3600):
            while self.events.said.count(said) < times:  # noqa: ASYNC110 - this clock costs nothing
                await asyncio.sleep(0.01)

    @property
    def workers(self) -> list[list[int]]:
        """The signals that each worker got."""
        return [worker.signals for worker in self.system.started]


Story = Callable[[Stage], Awaitable[None]]


@pytest.fixture(autouse=True)
def nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each run every worker and its group is gone, and the system is closed."""
    play = Stage.play

    def checked_play(stage: Stage, story: Story | None = None) -> int:
        try:
            return play(stage, story)
        finally:
            assert [worker for worker in stage.system.started if not worker.exited.done()] == []
            assert not stage.system.is_open

    monkeypatch.setattr(Stage, "play", checked_play)


# --- Boot and end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [Exit(0), Exit(3), Exit(137, signal.SIGKILL)])
def test_the_exit_code_of_the_worker_is_the_result(end: Exit) -> None:
    stage = Stage(Script(exits_s=5.0, end=end))
    assert stage.play() == end.code
    assert stage.events.said == ["ready 3001"]


def test_requests_may_go_to_the_worker_as_soon_as_its_port_is_open() -> None:
    stage = Stage(Script(opens_s=2.5, exits_s=5.0))
    stage.play()
    assert list(zip(stage.events.times_s, stage.events.said, strict=True)) == [(pytest.approx(2.5), "ready 3001")]


def test_a_worker_that_dies_while_booting_ends_the_run_with_its_code() -> None:
    stage = Stage(Script(opens_s=None, exits_s=1.0, end=Exit(3)))
    assert stage.play() == 3
    assert stage.events.said == []
    assert stage.log.messages("error") == ["worker exited with code 3 before it opened port 3001"]


def test_a_worker_that_daemonizes_is_told_to_stay_in_the_foreground() -> None:
    stage = Stage(Script(opens_s=None, exits_s=1.0, end=Exit(0)))
    assert stage.play() == 0
    message = stage.log.messages("error")[-1]
    assert message.endswith("before it opened port 3001: a worker has to stay in the foreground")


def test_holding_ends_with_the_boot_timeout_and_a_late_worker_still_opens() -> None:
    stage = Stage(Script(opens_s=90.0, exits_s=100.0))
    stage.play()
    assert stage.events.said == ["boot timed out", "ready 3001"]
    assert stage.events.times_s == [pytest.approx(60.0), pytest.approx(90.0)]


def test_a_silent_worker_is_diagnosed_after_three_seconds_and_the_same_is_not_said_twice() -> None:
    stage = Stage(Script(opens_s=None, exits_s=100.0))
    stage.system.finding = Finding("warning", "it listens elsewhere", ("elsewhere",))
    stage.play()
    assert stage.log.messages("warning") == ["it listens elsewhere"]


def test_what_has_changed_by_the_boot_timeout_is_said_as_well() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(10)
        stage.system.finding = Finding("warning", "now it listens elsewhere", ("elsewhere",))

    stage = Stage(Script(opens_s=None, exits_s=100.0))
    stage.system.finding = Finding("info", "it listens nowhere", ("nowhere",))
    stage.play(story)
    assert ("info", "it listens nowhere") in stage.log.entries
    assert ("warning", "now it listens elsewhere") in stage.log.entries


def test_a_worker_that_boots_quickly_is_not_diagnosed() -> None:
    stage = Stage(Script(opens_s=2.9, exits_s=10.0))
    stage.system.finding = Finding("warning", "it listens elsewhere", ("elsewhere",))
    stage.play()
    assert stage.log.messages("warning") == []


def test_a_worker_that_can_be_reached_around_thrust_is_reported() -> None:
    stage = Stage(Script(exits_s=10.0))
    stage.system.exposure = Finding("warning", "open to the world", ("exposed",))
    stage.play()
    assert stage.log.messages("warning") == ["open to the world"]


def test_a_taken_port_is_refused_before_anything_is_started() -> None:
    stage = Stage(STABLE)
    stage.system.holders = {3001: "nginx (pid 17)"}
    with pytest.raises(WorkerError, match=r"port 3001 of 127.0.0.1 is already taken by nginx \(pid 17\)"):
        stage.play()
    assert stage.system.started == []


def test_a_command_that_cannot_be_started_is_the_callers_error() -> None:
    with pytest.raises(WorkerNotStarted):
        Stage(WorkerNotStarted("no such command", exit_code=127)).play()


# --- Stop -------------------------------------------------------------------------------------------------------------


async def stop(stage: Stage) -> None:
    await stage.supervisor.stop(8.0)


async def stop_when_ready(stage: Stage) -> None:
    await stage.until("ready 3001")
    await stop(stage)


def test_stop_terminates_the_worker_and_its_code_is_the_result() -> None:
    stage = Stage(Script(ended_by_term=Exit(0)))
    assert stage.play(stop_when_ready) == 0
    assert stage.workers == [[signal.SIGTERM]]


def test_a_worker_that_ignores_sigterm_is_killed_with_its_group_at_the_end_of_the_budget() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        before_s = asyncio.get_running_loop().time()
        await stop(stage)
        assert asyncio.get_running_loop().time() - before_s == pytest.approx(8.0, abs=0.1)

    stage = Stage(Script(obeys_term_s=None))
    assert stage.play(story) == 137
    assert signal.SIGKILL in stage.system.started[0].group_signals


def test_a_second_stop_sends_no_second_sigterm() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        await asyncio.gather(stop(stage), stop(stage))

    stage = Stage(Script(obeys_term_s=1.0))
    stage.play(story)
    assert stage.workers == [[signal.SIGTERM]]


def test_stop_now_kills_at_once() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.stop_now()

    stage = Stage(Script(obeys_term_s=None))
    assert stage.play(story) == 137


def test_stop_during_boot_needs_no_open_port() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(0.5)
        await stop(stage)

    assert Stage(Script(opens_s=None)).play(story) == 143


def test_stop_before_the_first_worker_starts_none() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(0)
        await stop(stage)

    stage = Stage(STABLE)
    assert stage.play(story) == 0
    assert stage.system.started == []


def test_stop_after_the_end_returns_at_once() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(10)
        before_s = asyncio.get_running_loop().time()
        await stop(stage)
        assert asyncio.get_running_loop().time() == before_s

    assert Stage(Script(exits_s=5.0, end=Exit(4))).play(story) == 4


def test_leftovers_may_use_the_whole_budget_of_a_stop() -> None:
    stage = Stage(Script(leftovers_s=6.0))
    assert stage.play(stop_when_ready) == 143
    assert signal.SIGKILL not in stage.system.started[0].group_signals


def test_a_cancelled_run_leaves_nobody_behind() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        raise KeyError

    stage = Stage(Script(obeys_term_s=None))
    with pytest.raises(KeyError):
        stage.play(story)


def test_signals_are_relayed_to_the_worker() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.relay(signal.SIGUSR2)
        await stop(stage)

    stage = Stage(STABLE)
    stage.play(story)
    assert stage.workers == [[signal.SIGUSR2, signal.SIGTERM]]


# --- Restart ----------------------------------------------------------------------------------------------------------


def test_a_failed_worker_is_started_again_while_requests_are_held() -> None:
    stage = Stage(Script(exits_s=10.0, end=Exit(1)), Script(exits_s=10.0), restart_on_failure=True)
    assert stage.play() == 0
    assert stage.events.said == ["ready 3001", "away", "ready 3001"]
    assert stage.events.times_s == [pytest.approx(1.0), pytest.approx(10.0), pytest.approx(11.5)]


def test_without_the_setting_a_failed_worker_stays_dead() -> None:
    stage = Stage(Script(exits_s=10.0, end=Exit(1)))
    assert stage.play() == 1
    assert stage.events.said == ["ready 3001"]


def test_holding_ends_one_boot_timeout_after_the_failure_however_often_it_is_tried_again() -> None:
    failing = [Script(opens_s=None, exits_s=5.0, end=Exit(1)) for _ in range(9)]
    stage = Stage(Script(exits_s=10.0, end=Exit(1)), *failing, Script(exits_s=5.0), restart_on_failure=True)
    stage.play()
    assert stage.events.said == ["ready 3001", "away", "boot timed out", "ready 3001"]
    assert stage.events.times_s[2] == pytest.approx(70.0)


def test_a_worker_that_dies_while_booting_is_tried_again_too() -> None:
    stage = Stage(Script(opens_s=None, exits_s=0.2, end=Exit(1)), Script(exits_s=9.0), restart_on_failure=True)
    assert stage.play() == 0


def test_a_restart_finds_its_port_taken_and_tries_again() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.system.holders = {3001: "a stray child"}
        await asyncio.sleep(20.0)
        assert isinstance(stage.supervisor.state, Pausing)
        stage.system.holders = {}

    stage = Stage(Script(exits_s=10.0, end=Exit(1)), Script(exits_s=9.0), restart_on_failure=True)
    assert stage.play(story) == 0
    assert any("taken by a stray child" in message for message in stage.log.messages("error"))


def test_stop_during_the_pause_ends_with_the_failed_workers_code() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("away")
        await asyncio.sleep(0.1)
        await stop(stage)

    stage = Stage(Script(exits_s=10.0, end=Exit(5)), restart_on_failure=True)
    assert stage.play(story) == 5


def test_replace_during_the_pause_starts_at_once() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("away")
        await asyncio.sleep(0.1)
        stage.supervisor.replace()

    stage = Stage(Script(exits_s=10.0, end=Exit(5)), Script(exits_s=9.0), restart_on_failure=True)
    stage.play(story)
    assert stage.events.times_s[-1] == pytest.approx(11.1, abs=0.05)


@pytest.mark.parametrize("end", [Exit(130, signal.SIGINT), Exit(130)])
def test_ctrl_c_typed_at_a_worker_that_holds_the_terminal_is_no_failure(end: Exit) -> None:
    stage = Stage(Script(exits_s=10.0, end=end, has_terminal=True), restart_on_failure=True)
    assert stage.play() == 130


def test_sigint_from_elsewhere_is_a_failure() -> None:
    stage = Stage(
        Script(exits_s=10.0, end=Exit(130, signal.SIGINT)), Script(exits_s=5.0, end=Exit(0)), restart_on_failure=True
    )
    assert stage.play() == 0


def test_a_worker_that_dies_of_a_relayed_sigquit_was_meant_to() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.relay(signal.SIGQUIT)
        stage.system.started[0].end(Exit(131, signal.SIGQUIT))

    assert Stage(STABLE, restart_on_failure=True).play(story) == 131


# --- Replace ----------------------------------------------------------------------------------------------------------


async def replace_then_stop(stage: Stage) -> None:
    await stage.until("ready 3001")
    stage.supervisor.replace()
    await stage.until("ready 3002")
    await asyncio.sleep(60.0)
    await stop(stage)


def test_a_new_worker_on_a_second_port_takes_over_and_the_old_one_retires() -> None:
    stage = Stage(STABLE, STABLE, drain_s=3.0)
    assert stage.play(replace_then_stop) == 143
    assert stage.events.said == ["ready 3001", "ready 3002", "drain 3001", "drained 3001"]
    assert [worker.port for worker in stage.system.started] == [3001, 3002]


def test_the_old_worker_gets_sigterm_only_when_it_is_drained() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await stage.until("ready 3002")
        await asyncio.sleep(2.9)
        assert stage.workers[0] == []
        await asyncio.sleep(0.3)
        assert stage.workers[0] == [signal.SIGTERM]
        await stop(stage)

    Stage(STABLE, STABLE, drain_s=3.0).play(story)


def test_the_next_replacement_comes_back_to_the_first_port() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await stage.until("ready 3002")
        await asyncio.sleep(5.0)
        stage.supervisor.replace()
        await stage.until("ready 3001", times=2)
        await stop(stage)

    stage = Stage(STABLE, STABLE, STABLE)
    stage.play(story)
    assert [worker.port for worker in stage.system.started] == [3001, 3002, 3001]


def test_wishes_during_a_replacement_are_remembered_as_one() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        for _ in range(4):
            stage.supervisor.replace()
            await asyncio.sleep(0.2)
        await stage.until("ready 3001", times=2)
        await asyncio.sleep(60.0)
        await stop(stage)

    stage = Stage(STABLE, STABLE, STABLE, drain_s=3.0)
    stage.play(story)
    assert len(stage.system.started) == 3
    assert stage.events.said.index("drained 3001") < len(stage.events.said) - 1 - stage.events.said[::-1].index(
        "ready 3001"
    )


def test_a_new_worker_that_dies_at_boot_leaves_the_old_one_in_its_place() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await asyncio.sleep(10.0)
        assert isinstance(stage.supervisor.state, Serving)
        assert stage.supervisor.state.worker is stage.system.started[0]
        await stop(stage)

    stage = Stage(STABLE, Script(opens_s=None, exits_s=0.5, end=Exit(1)))
    assert stage.play(story) == 143
    assert stage.events.said == ["ready 3001"]
    [message] = stage.log.messages("error")
    assert message.startswith("the new worker exited with code 1 before it opened port 3002; the old one stays")


def test_a_new_worker_that_never_opens_its_port_is_given_up_after_the_boot_timeout() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await asyncio.sleep(70.0)
        assert stage.workers == [[], [signal.SIGTERM]]
        await stop(stage)

    stage = Stage(STABLE, Script(opens_s=None))
    assert stage.play(story) == 143
    assert stage.events.said == ["ready 3001"]
    assert stage.workers == [[signal.SIGTERM], [signal.SIGTERM]]


def test_a_new_worker_that_cannot_be_started_leaves_the_old_one_in_its_place() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await asyncio.sleep(1.0)
        await stop(stage)

    stage = Stage(STABLE, WorkerNotStarted("cannot start 'app'", exit_code=127))
    assert stage.play(story) == 143
    assert stage.log.messages("error") == ["cannot start 'app'; the old worker stays"]


def test_a_command_that_spells_its_port_out_is_stopped_first_and_started_on_the_same_port() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await stage.until("ready 3001", times=2)
        await stop(stage)

    stage = Stage(STABLE, STABLE, command=("app", "--port", "3001"), drain_s=1.0)
    assert stage.play(story) == 143
    assert stage.events.said == ["ready 3001", "away", "drain 3001", "drained 3001", "ready 3001"]
    assert [worker.port for worker in stage.system.started] == [3001, 3001]


def test_a_new_worker_that_shares_the_old_ones_port_is_stopped_and_so_is_the_old_one() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await stage.until("ready 3001", times=2)
        await stop(stage)

    stage = Stage(STABLE, Script(opens_port=3001), STABLE)
    assert stage.play(story) == 143
    assert [worker.port for worker in stage.system.started] == [3001, 3002, 3001]
    assert stage.workers == [[signal.SIGTERM]] * 3


def test_an_old_worker_that_dies_meanwhile_hands_over_to_the_booting_one() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(9.9)
        stage.supervisor.replace()

    stage = Stage(Script(exits_s=10.0, end=Exit(1)), Script(opens_s=5.0, exits_s=20.0, end=Exit(7)))
    assert stage.play(story) == 7
    assert stage.events.said == ["ready 3001", "away", "ready 3002"]


def test_a_worker_that_is_replaced_while_it_boots_is_started_again_on_its_port() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(70.0)
        stage.supervisor.replace()

    stage = Stage(Script(opens_s=None), Script(exits_s=5.0, end=Exit(7)))
    assert stage.play(story) == 7
    assert stage.events.said == ["boot timed out", "ready 3001"]


def test_stop_during_a_replacement_ends_both_workers() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await asyncio.sleep(0.5)
        await stop(stage)

    stage = Stage(Script(ended_by_term=Exit(0)), Script(ended_by_term=Exit(9)))
    assert stage.play(story) == 0
    assert stage.workers == [[signal.SIGTERM], [signal.SIGTERM]]


def test_stop_while_the_old_worker_drains_does_not_wait_for_that() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await stage.until("drain 3001")
        before_s = asyncio.get_running_loop().time()
        await stop(stage)
        assert asyncio.get_running_loop().time() - before_s < 1.0

    stage = Stage(Script(ended_by_term=Exit(1)), Script(ended_by_term=Exit(0)), drain_s=20.0)
    assert stage.play(story) == 0


def test_stop_while_the_old_worker_makes_way_starts_no_new_one() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()
        await stage.until("drain 3001")
        await stop(stage)

    stage = Stage(STABLE, command=("app", "--port=3001"), drain_s=1.0)
    assert stage.play(story) == 143
    assert len(stage.system.started) == 1


def test_a_failure_of_the_new_worker_while_the_old_one_drains_ends_both() -> None:
    stage = Stage(STABLE, Script(exits_s=5.0, end=Exit(6)), drain_s=20.0)

    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        stage.supervisor.replace()

    assert stage.play(story) == 6


def test_the_state_shows_in_the_repr() -> None:
    async def story(stage: Stage) -> None:
        await stage.until("ready 3001")
        assert "Serving" in repr(stage.supervisor)

    stage = Stage(Script(exits_s=5.0))
    stage.play(story)
    assert repr(stage.supervisor.state) == "Over(code=0)"
