"""How workers go, one by one and all together: scripted workers and a clock that jumps, no process and no waiting."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from tests.support.worker_fakes import FakeSystem, RecordedEvents, RecordedLog, Script, ScriptedWorker
from tests.support.worker_loops import run_jumping
from thrust.errors import WorkerNotStarted
from thrust.worker.process import Exit
from thrust.worker.workforce import Workforce

STUBBORN = Script(obeys_term_s=None)
"""Lives on after SIGTERM."""


class Stage:
    """A Workforce among fakes; `play` tells a story of it."""

    def __init__(self, *scripts: Script | WorkerNotStarted, drain_s: float = 0.0) -> None:
        self.system = FakeSystem(*scripts)
        self.events = RecordedEvents(drain_s)
        self.log = RecordedLog()

    def play(self, story: "Story") -> float:
        """Seconds that the story took."""
        return run_jumping(self._play(story))

    async def _play(self, story: "Story") -> float:
        self.workforce = Workforce(self.system, drain=self.events.drain_old, log=self.log)
        await story(self)
        return asyncio.get_running_loop().time()

    def start(self) -> ScriptedWorker:
        worker = self.workforce.start(3001)
        assert isinstance(worker, ScriptedWorker)
        return worker


Story = Callable[[Stage], Awaitable[None]]


# --- Members ----------------------------------------------------------------------------------------------------------


def test_who_is_started_is_a_member_until_the_group_is_gone() -> None:
    async def story(stage: Stage) -> None:
        worker = stage.start()
        assert list(stage.workforce.members) == [worker]
        await worker.exited
        assert list(stage.workforce.members) == [worker]
        await stage.workforce.note_exit(worker)
        assert list(stage.workforce.members) == []

    Stage(Script(exits_s=5.0)).play(story)


def test_who_cannot_be_started_is_no_member() -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(WorkerNotStarted):
            stage.start()
        assert list(stage.workforce.members) == []

    Stage(WorkerNotStarted("no such command", exit_code=127)).play(story)


def test_the_members_show_in_the_repr() -> None:
    async def story(stage: Stage) -> None:
        assert repr(stage.workforce) == "<Workforce []>"
        stage.start()
        assert repr(stage.workforce) == "<Workforce [<Process 100 on port 3001: running>]>"

    Stage(Script()).play(story)


# --- One is dismissed -------------------------------------------------------------------------------------------------


async def dismiss(stage: Stage) -> None:
    await stage.workforce.dismiss(stage.start())


def test_a_dismissed_worker_gets_sigterm_and_its_own_end_is_the_result() -> None:
    async def story(stage: Stage) -> None:
        worker = stage.start()
        assert await stage.workforce.dismiss(worker) == Exit(3)
        assert worker.signals == [signal.SIGTERM]

    stage = Stage(Script(ended_by_term=Exit(3)))
    assert stage.play(story) == pytest.approx(0.1)
    assert stage.log.messages("warning") == []


def test_a_stopped_worker_is_continued_so_that_it_can_obey() -> None:
    stage = Stage(Script())
    stage.play(dismiss)
    assert stage.system.started[0].group_signals == [signal.SIGCONT]


def test_a_worker_that_does_not_go_is_killed_with_its_group_after_ten_seconds() -> None:
    stage = Stage(STUBBORN)
    assert stage.play(dismiss) == pytest.approx(10.0)
    assert stage.system.started[0].signals == [signal.SIGTERM, signal.SIGKILL]
    assert signal.SIGKILL in stage.system.started[0].group_signals
    assert stage.log.messages("warning") == ["worker has not ended 10.0 s after SIGTERM and is killed"]


def test_a_worker_that_has_left_its_group_is_killed_by_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        worker = stage.start()
        assert await stage.workforce.dismiss(worker) == Exit(137, signal.SIGKILL)

    monkeypatch.setattr(ScriptedWorker, "send_group", lambda worker, sig: None)
    assert Stage(STUBBORN).play(story) == pytest.approx(10.0)


def test_a_worker_that_goes_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    reclaimed_from = []
    monkeypatch.setattr(FakeSystem, "reclaim_terminal", lambda system, worker: reclaimed_from.append(worker))
    stage = Stage(Script(has_terminal=True))
    stage.play(dismiss)
    assert reclaimed_from == stage.system.started


def test_a_worker_that_is_stuck_in_the_kernel_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        worker = stage.start()
        assert await stage.workforce.dismiss(worker, 1.0) == Exit(137, signal.SIGKILL)
        assert list(stage.workforce.members) == []

    monkeypatch.setattr(ScriptedWorker, "end", lambda worker, end: None)
    # SIGTERM's second, SIGKILL's second, and the two of the group that never becomes empty.
    assert Stage(STUBBORN).play(story) == pytest.approx(4.0, abs=0.1)


# --- One is replaced --------------------------------------------------------------------------------------------------


async def retire(stage: Stage) -> None:
    await stage.workforce.retire(stage.start())


def test_a_replaced_worker_is_drained_before_it_gets_sigterm() -> None:
    async def story(stage: Stage) -> None:
        worker = stage.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(stage.workforce.retire(worker))
            await asyncio.sleep(2.9)
            assert worker.signals == []
        assert worker.signals == [signal.SIGTERM]

    stage = Stage(Script(), drain_s=3.0)
    assert stage.play(story) == pytest.approx(3.1)
    assert stage.events.said == ["drain 3001", "drained 3001"]


def test_draining_has_a_bound() -> None:
    stage = Stage(Script(), drain_s=1000.0)
    assert stage.play(retire) == pytest.approx(30.1)
    assert stage.events.said == ["drain 3001"]
    assert stage.system.started[0].signals == [signal.SIGTERM]
    assert stage.log.messages("warning") == ["the old worker is stopped with exchanges under way after 30 s"]


def test_a_drain_that_fails_does_not_keep_the_old_worker() -> None:
    async def fail(port: int) -> None:
        raise ValueError("the service has a bug")

    stage = Stage(Script())
    stage.events.drain_old = fail  # type: ignore[method-assign]
    stage.play(retire)
    assert stage.system.started[0].signals == [signal.SIGTERM]
    [message] = stage.log.messages("error")
    assert "the service has a bug" in message


# --- One has ended of itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "when", "level", "message"),
    [
        (Exit(0), "", "info", "worker exited with code 0"),
        (Exit(3), "", "error", "worker exited with code 3"),
        (Exit(3), " too early", "error", "worker exited with code 3 too early"),
        (Exit(0), " too early", "error", "worker exited with code 0 too early: a worker has to stay in the foreground"),
        (
            Exit(137, signal.SIGKILL),
            "",
            "error",
            "worker was killed by SIGKILL: perhaps the machine or the container ran out of memory",
        ),
    ],
)
def test_an_end_is_told_with_what_it_often_means(end: Exit, when: str, level: str, message: str) -> None:
    async def story(stage: Stage) -> None:
        worker = stage.start()
        await worker.exited
        await stage.workforce.note_exit(worker, when)

    stage = Stage(Script(exits_s=5.0, end=end))
    stage.play(story)
    assert stage.log.entries == [("info", "worker started"), (level, message)]


def test_an_end_that_was_asked_for_is_no_error() -> None:
    async def story(stage: Stage) -> None:
        worker = stage.start()
        stage.workforce.ask_all_to_stop(8.0)
        await worker.exited
        await stage.workforce.note_exit(worker, " too early")

    stage = Stage(Script(ended_by_term=Exit(137, signal.SIGKILL)))
    stage.play(story)
    assert stage.log.entries[1:] == [("info", "worker was killed by SIGKILL")]


async def end_and_note(stage: Stage) -> None:
    worker = stage.start()
    await worker.exited
    await stage.workforce.note_exit(worker)


def test_what_a_dead_worker_left_behind_gets_sigterm_and_time() -> None:
    stage = Stage(Script(exits_s=5.0, leftovers_s=1.0))
    assert stage.play(end_and_note) == pytest.approx(6.0, abs=0.03)
    assert stage.system.started[0].group_signals == [signal.SIGTERM, signal.SIGCONT]


def test_what_a_dead_worker_left_behind_is_killed_after_two_seconds() -> None:
    stage = Stage(Script(exits_s=5.0, leftovers_s=100.0))
    assert stage.play(end_and_note) == pytest.approx(7.0, abs=0.03)
    assert stage.system.started[0].group_signals == [signal.SIGTERM, signal.SIGCONT, signal.SIGKILL]


# --- Everyone goes ----------------------------------------------------------------------------------------------------


def test_all_are_asked_at_once_and_share_one_deadline() -> None:
    async def story(stage: Stage) -> None:
        stage.start()
        stage.start()
        stage.workforce.ask_all_to_stop(8.0)
        assert [worker.signals for worker in stage.system.started] == [[signal.SIGTERM]] * 2
        await asyncio.sleep(1.0)
        await stage.workforce.dismiss_all()
        assert list(stage.workforce.members) == []

    stage = Stage(STUBBORN, STUBBORN)
    assert stage.play(story) == pytest.approx(8.0)
    assert [worker.signals for worker in stage.system.started] == [[signal.SIGTERM, signal.SIGKILL]] * 2


def test_without_a_deadline_all_have_two_seconds() -> None:
    async def story(stage: Stage) -> None:
        stage.start()
        stage.start()
        await stage.workforce.dismiss_all()

    assert Stage(STUBBORN, STUBBORN).play(story) == pytest.approx(2.0)


def test_an_end_by_kill_all_is_no_error() -> None:
    async def story(stage: Stage) -> None:
        worker = stage.start()
        stage.workforce.kill_all()
        await stage.workforce.note_exit(worker)

    stage = Stage(STUBBORN)
    stage.play(story)
    assert stage.log.entries[1:] == [("info", "worker was killed by SIGKILL")]


def test_leftovers_may_use_the_whole_time_of_a_stop() -> None:
    async def story(stage: Stage) -> None:
        stage.start()
        stage.workforce.ask_all_to_stop(8.0)
        await stage.workforce.dismiss_all()

    stage = Stage(Script(leftovers_s=6.0))
    assert stage.play(story) == pytest.approx(6.1, abs=0.03)
    assert signal.SIGKILL not in stage.system.started[0].group_signals


def test_kill_all_gives_nobody_time() -> None:
    async def story(stage: Stage) -> None:
        stage.start()
        stage.start()
        stage.workforce.kill_all()
        await stage.workforce.dismiss_all()

    stage = Stage(STUBBORN, Script(obeys_term_s=None, leftovers_s=100.0))
    assert stage.play(story) == 0.0
    assert all(signal.SIGKILL in worker.group_signals for worker in stage.system.started)
