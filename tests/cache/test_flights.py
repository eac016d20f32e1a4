"""Flights and collectors: who waits for what, and what becomes of a body when somebody leaves, in every order."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from tests.support.clock import JumpingLoop, run_jumping
from thrust.cache.flights import Collector, Flight, Outcome, Room
from thrust.errors import ThrustError, UpstreamError
from thrust.http.headers import FieldLine

BROKEN = UpstreamError("the worker closed the connection in the middle of its response")
PLENTY = 1 << 20


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loops: list[JumpingLoop] = []

    def new_loop() -> JumpingLoop:
        loops.append(JumpingLoop())
        return loops[0]

    run_jumping(story, new_loop)
    assert loops[0].errors == []


async def settled() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    await loop.settled()


def start(work: Coroutine[Any, Any, Any], tasks: asyncio.TaskGroup) -> "asyncio.Task[Any]":
    return tasks.create_task(work)


# Flights


@pytest.mark.parametrize("outcome", Outcome)
def test_everybody_who_waits_hears_the_outcome_at_once(outcome: Outcome) -> None:
    async def story() -> None:
        flight = Flight()
        async with asyncio.TaskGroup() as tasks:
            waiting = [start(flight.landed(5.0), tasks) for _ in range(500)]
            await settled()
            assert flight.followers == 500
            flight.land(outcome)
        assert {task.result() for task in waiting} == {outcome}
        assert flight.followers == 0

    run(story)


def test_whoever_comes_after_the_landing_does_not_wait() -> None:
    async def story() -> None:
        flight = Flight()
        flight.land(Outcome.STORED)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert await flight.landed(5.0) is Outcome.STORED
        assert loop.time() == began_s

    run(story)


def test_only_the_first_landing_counts() -> None:
    flight = Flight()
    flight.land(Outcome.FAILED, BROKEN)
    flight.land(Outcome.LOST)
    flight.land(Outcome.STORED)
    assert (flight.outcome, flight.error) == (Outcome.FAILED, BROKEN)


def test_patience_ends_for_each_at_its_own_time() -> None:
    async def story() -> None:
        flight, loop = Flight(), asyncio.get_running_loop()
        began_s = loop.time()

        async def wait(patience_s: float) -> tuple[Outcome, float]:
            return await flight.landed(patience_s), loop.time() - began_s

        async with asyncio.TaskGroup() as tasks:
            hasty, patient = start(wait(1.0), tasks), start(wait(5.0), tasks)
            await asyncio.sleep(2.0)
            assert flight.followers == 1
            flight.land(Outcome.STORED)
        assert hasty.result() == (Outcome.NOT_SHARED, 1.0)
        assert patient.result() == (Outcome.STORED, 2.0)

    run(story)


def test_a_follower_that_leaves_does_not_disturb_the_others() -> None:
    async def story() -> None:
        flight = Flight()
        async with asyncio.TaskGroup() as tasks:
            leaver, stayer = start(flight.landed(5.0), tasks), start(flight.landed(5.0), tasks)
            await settled()
            leaver.cancel()
            await settled()
            assert flight.followers == 1
            flight.land(Outcome.STORED)
        assert stayer.result() is Outcome.STORED

    run(story)


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("is_wanted", "follower_leaves", "client_leaves", "has_landed", "goes_on"),
    [
        (False, False, False, False, True),
        (False, True, False, False, True),
        (False, False, True, False, True),
        (False, True, True, False, False),
        (True, True, True, False, True),
        (False, True, True, True, True),
    ],
)
@pytest.mark.parametrize("client_first", [True, False])
def test_collecting_goes_on_for_as_long_as_somebody_wants_it(
    is_wanted: bool, follower_leaves: bool, client_leaves: bool, has_landed: bool, goes_on: bool, client_first: bool
) -> None:
    async def story() -> None:
        flight = Flight(is_wanted=is_wanted)
        async with asyncio.TaskGroup() as tasks:
            flight.collecting = start(forever(), tasks)
            follower = start(flight.landed(1000.0), tasks)
            await settled()
            if has_landed:
                flight.land(Outcome.STORED)
                await settled()
            for is_client in (client_first, not client_first):
                if is_client and client_leaves:
                    flight.lose_client()
                elif not is_client and follower_leaves:
                    follower.cancel()
                await settled()
            assert flight.collecting.done() is not goes_on
            flight.land(Outcome.LOST)
            flight.collecting.cancel()

    run(story)


def test_a_request_without_anybody_to_wait_for_it_is_given_up() -> None:
    async def story() -> None:
        flight = Flight()
        async with asyncio.TaskGroup() as tasks:
            flight.asking = start(forever(), tasks)
            follower = start(flight.landed(1000.0), tasks)
            await settled()
            flight.lose_client()
            await settled()
            assert not flight.asking.done()
            follower.cancel()
            await settled()
            assert flight.asking.cancelled()

    run(story)


def test_its_repr_shows_state_and_followers() -> None:
    flight = Flight()
    assert repr(flight) == "<Flight under way, 0 followers>"
    flight.land(Outcome.NOT_SHARED)
    assert repr(flight) == "<Flight not shared, 0 followers>"


# Collectors


class Source:
    """The worker's body: the test sends pieces, ends it, or breaks it."""

    def __init__(self) -> None:
        self.trailers: list[FieldLine] = []
        self.is_closed = False
        self.reads = 0
        self._pieces: asyncio.Queue[bytes | ThrustError] = asyncio.Queue()

    def send(self, *pieces: bytes | ThrustError) -> None:
        for piece in pieces:
            self._pieces.put_nowait(piece)

    async def read(self) -> bytes:
        self.reads += 1
        piece = await self._pieces.get()
        if isinstance(piece, ThrustError):
            raise piece
        return piece

    def close(self) -> None:
        self.is_closed = True
        self.send(ThrustError("the body was given up"))


class Scene:
    """A source, its collector, and the task that collects; `departures` counts what the owner was told."""

    def __init__(self, max_bytes: int = PLENTY, room: Room | None = None) -> None:
        self.source = Source()
        self.departures = 0
        self.room = room or Room(PLENTY)
        self.collector = Collector(self.source, max_bytes, self.room, self._leave)
        self.collecting: asyncio.Task[bytes | None]

    def _leave(self) -> None:
        self.departures += 1

    async def read_all(self) -> bytes:
        pieces = []
        while piece := await self.collector.read():
            pieces.append(piece)
        return b"".join(pieces)


def play(scene: Callable[[], Scene], story: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        made = scene()
        async with asyncio.TaskGroup() as tasks:

            async def collect() -> bytes | None:
                try:
                    return await made.collector.collect()
                except ThrustError:
                    return b"broken"

            made.collecting = start(collect(), tasks)
            await settled()
            await story(made)
            made.collecting.cancel()
            await settled()
        made.collector.close()
        assert made.room.free_bytes == PLENTY

    run(whole)


def test_client_and_store_get_the_same_content() -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"one ", b"two ", b"three", b"")
        assert await scene.read_all() == b"one two three"
        assert await scene.collecting == b"one two three"

    play(Scene, story)


def test_nobody_waits_for_a_client_that_does_not_read() -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"one ", b"two", b"")
        assert await scene.collecting == b"one two"
        assert await scene.collector.read() == b"one two"
        assert await scene.collector.read() == b""
        assert await scene.collector.read() == b""

    play(Scene, story)


def test_the_client_gets_each_piece_as_soon_as_it_comes() -> None:
    async def story(scene: Scene) -> None:
        for piece in (b"one", b"two", b"three"):
            scene.source.send(piece)
            assert await scene.collector.read() == piece
        scene.source.send(b"")
        assert await scene.collector.read() == b""

    play(Scene, story)


def test_the_workers_trailers_are_the_collectors() -> None:
    async def story(scene: Scene) -> None:
        scene.source.trailers.append((b"x-sum", b"1"))
        assert scene.collector.trailers == [(b"x-sum", b"1")]

    play(Scene, story)


def test_a_client_that_leaves_is_told_of_and_collecting_goes_on() -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"one ")
        await settled()
        scene.collector.close()
        scene.collector.close()
        assert scene.departures == 1
        scene.source.send(b"two", b"")
        assert await scene.collecting == b"one two"
        assert scene.source.is_closed

    play(Scene, story)


def test_a_client_that_leaves_when_all_has_come_is_not_told_of() -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"one", b"")
        await scene.collecting
        scene.collector.close()
        assert scene.departures == 0
        assert scene.source.is_closed

    play(Scene, story)


@pytest.mark.parametrize("client_has_left", [True, False])
def test_giving_up_closes_the_source_unless_the_client_still_reads(client_has_left: bool) -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"one ")
        await settled()
        if client_has_left:
            scene.collector.close()
        scene.collecting.cancel()
        await settled()
        assert scene.source.is_closed is client_has_left
        if not client_has_left:
            scene.source.send(b"two", b"")
            assert await scene.read_all() == b"one two"

    play(Scene, story)


@pytest.mark.parametrize("reads_before", [True, False])
def test_a_worker_that_breaks_off_is_an_error_for_both_after_what_came(reads_before: bool) -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"one")
        if reads_before:
            assert await scene.collector.read() == b"one"
        scene.source.send(BROKEN)
        assert await scene.collecting == b"broken"
        if not reads_before:
            assert await scene.collector.read() == b"one"
        for _ in range(2):
            with pytest.raises(UpstreamError, match="in the middle"):
                await scene.collector.read()

    play(Scene, story)


def test_a_client_that_is_waiting_hears_of_the_error() -> None:
    async def story(scene: Scene) -> None:
        async with asyncio.TaskGroup() as tasks:

            async def fail_to_read() -> None:
                with pytest.raises(UpstreamError):
                    await scene.collector.read()

            start(fail_to_read(), tasks)
            await settled()
            scene.source.send(BROKEN)

    play(Scene, story)


def test_content_of_exactly_the_limit_is_collected() -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"12345", b"67890", b"")
        assert await scene.collecting == b"1234567890"
        assert not scene.collector.is_too_large

    play(lambda: Scene(max_bytes=10), story)


def test_content_of_one_byte_more_goes_to_the_client_alone_and_at_its_own_speed() -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"12345", b"67890", b"x", b"more", b"")
        assert await scene.collecting is None
        assert scene.collector.is_too_large
        await settled()
        assert scene.source.reads == 3  # no more than it took to see that
        assert await scene.collector.read() == b"1234567890x"
        assert scene.source.reads == 3
        assert await scene.collector.read() == b"more"
        assert await scene.collector.read() == b""

    play(lambda: Scene(max_bytes=10), story)


def test_a_waiting_client_goes_on_by_itself_when_collecting_ends() -> None:
    async def story(scene: Scene) -> None:
        async with asyncio.TaskGroup() as tasks:
            reading = start(scene.read_all(), tasks)
            await settled()
            scene.source.send(b"123", b"456")
            await settled()
            scene.source.send(b"789", b"")
        assert reading.result() == b"123456789"
        assert scene.collecting.result() is None

    play(lambda: Scene(max_bytes=5), story)


def test_what_is_too_large_for_a_client_that_has_left_is_not_read_on() -> None:
    async def story(scene: Scene) -> None:
        scene.collector.close()
        scene.source.send(b"12345", b"67890", b"x")
        assert await scene.collecting is None
        assert scene.source.is_closed

    play(lambda: Scene(max_bytes=10), story)


def test_an_error_after_collecting_has_ended_reaches_the_client() -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"too much", BROKEN)
        assert await scene.collecting is None
        assert await scene.collector.read() == b"too much"
        with pytest.raises(UpstreamError):
            await scene.collector.read()

    play(lambda: Scene(max_bytes=3), story)


def test_bodies_share_the_room_and_give_it_back() -> None:
    async def story() -> None:
        room = Room(10)
        first, second = Scene(room=room), Scene(room=room)
        async with asyncio.TaskGroup() as tasks:
            first.collecting = start(first.collector.collect(), tasks)
            second.collecting = start(second.collector.collect(), tasks)
            first.source.send(b"123456")
            await settled()
            assert room.free_bytes == 4
            second.source.send(b"12345")
            assert await second.collecting is None
            assert not second.collector.is_too_large
            assert room.free_bytes == -1
            second.source.send(b"6", b"")
            assert await second.read_all() == b"123456"
            assert room.free_bytes == 4
            first.source.send(b"7890", b"")
            assert await first.collecting == b"1234567890"
            assert room.free_bytes == 0
            assert await first.read_all() == b"1234567890"
        assert room.free_bytes == 10

    run(story)


def test_what_the_client_has_not_taken_takes_up_room() -> None:
    async def story(scene: Scene) -> None:
        pieces = [b"1" * 40_000, b"2" * 20_000, b"3" * 50_000, b"4" * 90_000]
        scene.source.send(*pieces, b"")
        assert await scene.collecting == b"".join(pieces)
        taken = 0
        for size in (60_000, 50_000, 90_000):  # no more at once than a transport should hold
            assert scene.room.free_bytes == PLENTY - 200_000 + taken
            assert len(await scene.collector.read()) == size
            taken += size
        assert scene.room.free_bytes == PLENTY

    play(Scene, story)


@pytest.mark.parametrize("client_leaves", [True, False])
@pytest.mark.parametrize("ending", ["complete", "broken", "cancelled"])
def test_room_is_given_back_however_it_ends(ending: str, client_leaves: bool) -> None:
    async def story(scene: Scene) -> None:
        scene.source.send(b"12345")
        await settled()
        assert scene.room.free_bytes == PLENTY - 5
        match ending:
            case "complete":
                scene.source.send(b"")
            case "broken":
                scene.source.send(BROKEN)
            case _:
                scene.collecting.cancel()
        await settled()
        assert scene.room.free_bytes == PLENTY - 5
        if client_leaves:
            scene.collector.close()
        else:
            assert await scene.collector.read() == b"12345"
        assert scene.room.free_bytes == PLENTY

    play(Scene, story)


def test_reprs_show_states() -> None:
    async def story(scene: Scene) -> None:
        assert repr(scene.collector) == "<Collector collecting>"
        scene.source.send(b"")
        await scene.collecting
        assert repr(scene.collector) == "<Collector complete>"
        assert repr(Room(7)) == "<Room for 7 bytes more>"

    play(Scene, story)
