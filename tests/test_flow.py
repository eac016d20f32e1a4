"""Bodies that arrive while they are consumed, deadlines that are moved and hardly ever missed, the gate of a writer.

Nothing sleeps: waiting happens on a loop whose clock jumps, deadlines run on one whose clock is turned by hand. On the
former a wait that nobody could ever end raises, which is how "still waiting" is asserted.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from itertools import product
from typing import Any

import pytest

from tests.support.worker_loops import run_jumping
from thrust.errors import BadMessage, ThrustError, UpstreamError
from thrust.flow import STREAM_HIGH_WATER_BYTES, BodyBuffer, Deadline, WriteGate, start_task

FULL = b"x" * (STREAM_HIGH_WATER_BYTES + 1)


class Source:
    """The receiving half of a transport, which would complain about being told twice."""

    def __init__(self) -> None:
        self.is_paused = False
        self.pauses = 0

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False


class Arriving:
    """A BodyBuffer with its source, counting how often it said that nobody wants the rest."""

    def __init__(self) -> None:
        self.source = Source()
        self.closings = 0
        self.body = BodyBuffer(asyncio.get_running_loop(), self.source, self._note_closing)

    def _note_closing(self) -> None:
        self.closings += 1


def on_arrival(story: Callable[[Arriving], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Makes a test of a story about an Arriving."""

    async def begin() -> None:
        await story(Arriving())

    def test() -> None:
        run_jumping(begin())

    test.__name__ = story.__name__
    return test


async def still_waits(task: "asyncio.Task[Any]") -> bool:
    """Whether `task` is still not done after everything that can happen has happened."""
    for _ in range(3):
        await asyncio.sleep(0)
    return not task.done()


async def begin_read(body: BodyBuffer) -> "asyncio.Task[bytes]":
    """A task that has begun to wait for the next piece."""
    task = asyncio.get_running_loop().create_task(body.read())
    assert await still_waits(task)
    return task


# --- A body, while it arrives -----------------------------------------------------------------------------------------


@on_arrival
async def test_what_has_arrived_is_read_at_once_and_together(arriving: Arriving) -> None:
    for piece in (b"a", b"", b"b", b"c"):
        arriving.body.feed(piece)
    assert await arriving.body.read() == b"abc"


@on_arrival
async def test_a_reader_is_woken_by_the_next_piece(arriving: Arriving) -> None:
    reading = await begin_read(arriving.body)
    arriving.body.feed(b"a")
    arriving.body.feed(b"b")
    assert await reading == b"ab"


@on_arrival
async def test_an_empty_piece_wakes_nobody(arriving: Arriving) -> None:
    reading = await begin_read(arriving.body)
    arriving.body.feed(b"")
    assert await still_waits(reading)
    arriving.body.end()
    assert await reading == b""


@on_arrival
async def test_a_body_ends_with_an_empty_piece_again_and_again(arriving: Arriving) -> None:
    arriving.body.feed(b"a")
    arriving.body.end([(b"x-sum", b"1")])
    assert [await arriving.body.read() for _ in range(3)] == [b"a", b"", b""]
    assert arriving.body.trailers == [(b"x-sum", b"1")]
    assert arriving.closings == 0


@on_arrival
async def test_trailers_arrive_in_the_list_that_was_handed_out(arriving: Arriving) -> None:
    trailers = arriving.body.trailers
    arriving.body.end([(b"x-sum", b"1")])
    assert trailers == [(b"x-sum", b"1")]


@on_arrival
async def test_a_broken_body_raises_after_what_had_arrived(arriving: Arriving) -> None:
    error = BadMessage("broken")
    arriving.body.feed(b"a")
    arriving.body.fail(error)
    assert await arriving.body.read() == b"a"
    for _ in range(2):
        with pytest.raises(BadMessage) as raised:
            await arriving.body.read()
        assert raised.value is error


@on_arrival
async def test_a_waiting_reader_is_woken_by_a_failure(arriving: Arriving) -> None:
    reading = await begin_read(arriving.body)
    arriving.body.fail(UpstreamError("gone"))
    with pytest.raises(UpstreamError, match="gone"):
        await reading


@on_arrival
async def test_a_waiting_reader_is_woken_by_closing(arriving: Arriving) -> None:
    reading = await begin_read(arriving.body)
    arriving.body.close()
    with pytest.raises(ThrustError, match="given up"):
        await reading
    assert arriving.closings == 1


@on_arrival
async def test_closing_between_waking_a_reader_and_its_turn_is_no_end_of_the_body(arriving: Arriving) -> None:
    reading = await begin_read(arriving.body)
    arriving.body.feed(b"a")
    arriving.body.end()
    arriving.body.close()
    with pytest.raises(ThrustError, match="given up"):
        await reading


@on_arrival
async def test_a_reader_that_is_cancelled_loses_nothing(arriving: Arriving) -> None:
    reading = await begin_read(arriving.body)
    reading.cancel()
    assert not await still_waits(reading)
    arriving.body.feed(b"a")
    assert await arriving.body.read() == b"a"


# --- Backpressure -----------------------------------------------------------------------------------------------------


@on_arrival
async def test_the_source_is_paused_beyond_the_high_water_mark_and_not_before(arriving: Arriving) -> None:
    arriving.body.feed(FULL[1:])
    assert not arriving.source.is_paused
    arriving.body.feed(b"x")
    assert arriving.source.is_paused
    arriving.body.feed(b"x")
    assert arriving.source.pauses == 1


@on_arrival
async def test_reading_lets_the_source_go_on(arriving: Arriving) -> None:
    arriving.body.feed(FULL)
    assert await arriving.body.read() == FULL
    reading = await begin_read(arriving.body)
    assert not arriving.source.is_paused
    arriving.body.feed(FULL[1:])
    assert await reading == FULL[1:]
    assert not arriving.source.is_paused
    arriving.body.feed(b"x")
    assert arriving.source.pauses == 2


@on_arrival
async def test_what_was_read_counts_until_more_is_asked_for(arriving: Arriving) -> None:
    arriving.body.feed(FULL)
    assert await arriving.body.read() == FULL
    assert arriving.source.is_paused
    arriving.body.feed(FULL)
    assert await arriving.body.read() == FULL
    assert arriving.source.is_paused
    await begin_read(arriving.body)
    assert not arriving.source.is_paused
    assert arriving.source.pauses == 1


@pytest.mark.parametrize("size", [1, 2, 700, 1023])
def test_small_pieces_take_little_more_than_their_content(size: int) -> None:
    async def story() -> None:
        content = b"".join(b"%07d " % number for number in range(STREAM_HIGH_WATER_BYTES // 8))
        body = Arriving().body
        for start in range(0, len(content), size):
            body.feed(content[start : start + size])
        assert sum(map(sys.getsizeof, body._pieces)) + sys.getsizeof(body._pieces) < 1.15 * len(content)
        assert await body.read() == content

    run_jumping(story())


ENDINGS: dict[str, Callable[[BodyBuffer], None]] = {
    "end": lambda body: body.end(),
    "fail": lambda body: body.fail(BadMessage("broken")),
    "close": lambda body: body.close(),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_whatever_ends_the_body_lets_the_source_go_on(ending: Callable[[BodyBuffer], None]) -> None:
    async def story() -> None:
        arriving = Arriving()
        arriving.body.feed(FULL)
        ending(arriving.body)
        assert not arriving.source.is_paused
        arriving.body.feed(FULL)
        assert arriving.source.pauses == 1

    run_jumping(story())


@on_arrival
async def test_a_repr_shows_state_and_waiting_bytes(arriving: Arriving) -> None:
    assert repr(arriving.body) == "<BodyBuffer open, 0 bytes waiting>"
    arriving.body.feed(FULL)
    assert repr(arriving.body) == "<BodyBuffer paused, 65537 bytes waiting>"
    await arriving.body.read()
    assert repr(arriving.body) == "<BodyBuffer paused, 0 bytes waiting>"
    arriving.body.close()
    assert repr(arriving.body) == "<BodyBuffer ended, 0 bytes waiting>"


# --- Every order of events --------------------------------------------------------------------------------------------


async def play(order: Sequence[str]) -> None:
    """Lets `order` happen to a body, reads what is left, and checks that a lost or broken body never looks complete."""
    arriving = Arriving()
    body = arriving.body
    got: list[bytes | None] = []
    for act in order:
        if act == "feed":
            body.feed(FULL)
        elif act in ENDINGS:
            ENDINGS[act](body)
        elif body._pieces or body.is_ended:  # else the read would wait
            got.append(await read_or_none(body))
        assert arriving.source.is_paused == body.is_paused

    first_ending = next((act for act in order if act in ENDINGS), None)
    assert body.is_ended == (first_ending is not None)
    assert arriving.closings == (first_ending == "close")
    while body.is_ended and (not got or got[-1]):
        got.append(await read_or_none(body))
    if got and got[-1] == b"":
        assert first_ending == "end"
        assert b"".join(piece for piece in got if piece) == FULL * order[: order.index("end")].count("feed")


async def read_or_none(body: BodyBuffer) -> bytes | None:
    """What is read; None instead of an error."""
    try:
        return await body.read()
    except ThrustError:
        return None


def test_in_every_order_of_events_only_a_complete_body_looks_complete() -> None:
    async def story() -> None:
        for order in product(["feed", "read", *ENDINGS], repeat=4):
            await play(order)

    run_jumping(story())


# --- Deadlines --------------------------------------------------------------------------------------------------------


class Timer:
    def __init__(self, at_s: float, callback: Callable[[], None]) -> None:
        self.at_s = at_s
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """The part of an event loop that a Deadline uses, turned by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[Timer] = []
        self.armings = 0

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(at_s, callback)
        self.timers.append(timer)
        self.armings += 1
        return timer

    def turn(self, seconds: float) -> None:
        """Lets so much time pass, firing each timer when it is due."""
        end_s = self.now_s + seconds
        while due := [timer for timer in self.pending() if timer.at_s <= end_s]:
            self.fire(min(due, key=lambda timer: timer.at_s))
        self.now_s = end_s

    def fire(self, timer: Timer, *, early_by_s: float = 0.0) -> None:
        self.timers.remove(timer)
        self.now_s = max(self.now_s, timer.at_s - early_by_s)
        timer.callback()

    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]


class Watched:
    """A Deadline on a Clock, and when it expired."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.expiries: list[float] = []
        self.deadline = Deadline(self.clock, lambda: self.expiries.append(self.clock.now_s - 100.0))  # type: ignore[arg-type]


def test_a_deadline_expires_once_and_on_time() -> None:
    watched = Watched()
    watched.deadline.set(5)
    watched.clock.turn(4.9)
    assert watched.expiries == []
    watched.clock.turn(100)
    assert watched.expiries == [5.0]
    assert watched.clock.pending() == []


def test_moving_a_deadline_later_touches_no_timer() -> None:
    watched = Watched()
    watched.deadline.set(5)
    for _ in range(9):
        watched.clock.turn(0.5)
        watched.deadline.set(5)
    assert watched.clock.armings == 1
    watched.clock.turn(100)
    assert watched.expiries == [9.5]
    assert watched.clock.armings == 2


def test_moving_a_deadline_earlier_moves_its_timer() -> None:
    watched = Watched()
    watched.deadline.set(60)
    watched.deadline.set(5)
    assert len(watched.clock.pending()) == 1
    watched.clock.turn(100)
    assert watched.expiries == [5.0]


def test_moving_a_deadline_later_and_earlier_again_keeps_to_the_last() -> None:
    watched = Watched()
    watched.deadline.set(10)
    watched.deadline.set(60)
    watched.deadline.set(20)
    watched.clock.turn(100)
    assert watched.expiries == [20.0]


def test_a_deadline_that_is_cleared_does_not_expire() -> None:
    watched = Watched()
    watched.deadline.set(5)
    watched.deadline.clear()
    watched.clock.turn(100)
    assert watched.expiries == []
    assert watched.clock.pending() == []


def test_a_deadline_that_is_cleared_can_be_set_again() -> None:
    watched = Watched()
    watched.deadline.set(5)
    watched.deadline.clear()
    watched.clock.turn(2)
    watched.deadline.set(5)
    watched.clock.turn(100)
    assert watched.expiries == [7.0]


def test_a_deadline_that_is_cleared_can_be_set_to_an_earlier_time() -> None:
    watched = Watched()
    watched.deadline.set(60)
    watched.deadline.clear()
    watched.deadline.set(5)
    watched.clock.turn(100)
    assert watched.expiries == [5.0]


def test_zero_seconds_mean_never() -> None:
    watched = Watched()
    watched.deadline.set(0)
    assert watched.clock.armings == 0
    watched.deadline.set(5)
    watched.deadline.set(0)
    watched.clock.turn(100)
    assert watched.expiries == []


def test_a_cancelled_deadline_lets_go_of_its_timer() -> None:
    watched = Watched()
    watched.deadline.cancel()
    watched.deadline.set(5)
    watched.deadline.cancel()
    assert watched.clock.pending() == []
    watched.deadline.cancel()
    watched.clock.turn(100)
    assert watched.expiries == []


def test_a_deadline_can_be_set_again_after_it_expired_and_by_who_is_told() -> None:
    clock = Clock()
    expiries: list[float] = []

    def expired() -> None:
        expiries.append(clock.now_s)
        if len(expiries) < 3:
            deadline.set(5)

    deadline = Deadline(clock, expired)  # type: ignore[arg-type]
    deadline.set(5)
    clock.turn(100)
    assert expiries == [105.0, 110.0, 115.0]


@pytest.mark.parametrize(("early_by_s", "expires"), [(0.0, True), (0.0009, True), (0.002, False), (1.0, False)])
def test_a_timer_may_fire_a_clock_tick_early(early_by_s: float, expires: bool) -> None:
    watched = Watched()
    watched.deadline.set(5)
    watched.clock.fire(watched.clock.timers[0], early_by_s=early_by_s)
    assert len(watched.expiries) == expires
    watched.clock.turn(100)
    assert len(watched.expiries) == 1


# --- The gate of a writer ---------------------------------------------------------------------------------------------


def gated(story: Callable[[WriteGate], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Makes a test of a story about a WriteGate."""

    async def begin() -> None:
        await story(WriteGate(asyncio.get_running_loop()))

    def test() -> None:
        run_jumping(begin())

    test.__name__ = story.__name__
    return test


async def begin_wait(gate: WriteGate) -> "asyncio.Task[None]":
    task = asyncio.get_running_loop().create_task(gate.drained())
    assert await still_waits(task)
    return task


@gated
async def test_an_open_gate_holds_nobody_up(gate: WriteGate) -> None:
    assert gate.is_open
    await gate.drained()


@gated
async def test_a_closed_gate_holds_the_writer_until_it_opens(gate: WriteGate) -> None:
    gate.pause()
    assert not gate.is_open
    waiting = await begin_wait(gate)
    gate.resume()
    await waiting
    assert gate.is_open


@gated
async def test_a_gate_that_closes_again_before_the_writer_runs_holds_it(gate: WriteGate) -> None:
    gate.pause()
    waiting = await begin_wait(gate)
    gate.resume()
    gate.pause()
    assert await still_waits(waiting)
    gate.resume()
    await waiting


@gated
async def test_a_waiting_writer_hears_of_the_failure(gate: WriteGate) -> None:
    gate.pause()
    waiting = await begin_wait(gate)
    gate.fail(UpstreamError("gone"))
    with pytest.raises(UpstreamError, match="gone"):
        await waiting


@gated
async def test_a_writer_without_a_task_is_called_when_the_gate_opens_and_when_it_fails(gate: WriteGate) -> None:
    calls: list[bool] = []
    gate.on_change = lambda: calls.append(gate.is_open)
    gate.pause()
    assert calls == []
    gate.resume()
    gate.pause()
    gate.fail(UpstreamError("gone"))
    assert calls == [True, False]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_failed_gate_lets_nobody_pass_any_more(is_open: bool) -> None:
    async def story() -> None:
        gate = WriteGate(asyncio.get_running_loop())
        gate.fail(UpstreamError("gone"))
        if not is_open:
            gate.pause()
        for _ in range(2):
            with pytest.raises(UpstreamError, match="gone"):
                await gate.drained()

    run_jumping(story())


@gated
async def test_a_writer_that_is_cancelled_leaves_the_gate_usable(gate: WriteGate) -> None:
    gate.pause()
    waiting = await begin_wait(gate)
    waiting.cancel()
    assert not await still_waits(waiting)
    gate.resume()
    await gate.drained()


# --- Tasks ------------------------------------------------------------------------------------------------------------


def test_a_task_is_started_at_once_where_python_can_do_that() -> None:
    async def story() -> None:
        steps: list[str] = []

        async def work() -> str:
            steps.append("begun")
            await asyncio.sleep(0)
            steps.append("done")
            return "result"

        task = start_task(asyncio.get_running_loop(), work())
        assert steps == (["begun"] if sys.version_info >= (3, 12) else [])
        assert await task == "result"
        assert steps == ["begun", "done"]

    run_jumping(story())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin in the next turn of the loop there")
def test_a_task_that_never_waits_is_done_when_it_is_returned() -> None:
    async def story() -> None:
        async def work() -> str:
            return "result"

        assert start_task(asyncio.get_running_loop(), work()).done()

    run_jumping(story())
