"""The pool's decisions, without the server; the whole way is in conversations/test_worker_connections.py."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.memory_network import MemoryLoop, Port
from tests.support.memory_requests import make_request
from thrust.errors import UpstreamError
from thrust.upstream.connection import UpstreamConnection
from thrust.upstream.pool import IDLE_LIMIT_S, Pool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Stage:
    """A pool whose worker listens on 3001."""

    def __init__(self, loop: MemoryLoop) -> None:
        self.loop = loop
        self.pool = Pool(loop, answer_timeout_s=300)
        loop.ports.update({3001: Port.ACCEPTS, 3002: Port.ACCEPTS})
        self.pool.open(3001)

    async def used(self) -> UpstreamConnection:
        """A connection that has served a request, and is idle."""
        connection = await self.pool.dial()
        answer = connection.begin(make_request())
        self.loop.accepted[-1].send(OK)
        await answer
        return connection


def on_stage(story: Callable[[Stage], Awaitable[None]]) -> None:
    loop = MemoryLoop()

    async def performance() -> None:
        stage = Stage(loop)
        await story(stage)
        stage.pool.abort()
        await loop.settled()
        assert all(transport.lost_calls == 1 for transport in loop.transports)
        assert stage.pool._all == set()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(performance())
    assert loop.errors == []


def test_an_empty_pool_has_nothing_to_take() -> None:
    async def story(stage: Stage) -> None:
        assert stage.pool.take() is None
        assert stage.pool.take(checked=True) is None

    on_stage(story)


def test_the_connection_that_was_idle_last_is_taken_first() -> None:
    async def story(stage: Stage) -> None:
        first, second = await stage.pool.dial(), await stage.pool.dial()
        answers = [second.begin(make_request()), first.begin(make_request())]
        for peer in reversed(stage.loop.accepted):
            peer.send(OK)
        await asyncio.gather(*answers)
        assert stage.pool.take() is first
        assert stage.pool.take() is second
        assert stage.pool.take() is None

    on_stage(story)


def test_a_connection_that_is_taken_is_not_reaped() -> None:
    async def story(stage: Stage) -> None:
        await stage.used()
        connection = stage.pool.take()
        assert connection is not None
        await asyncio.sleep(10 * IDLE_LIMIT_S)
        assert not connection.is_closed
        answer = connection.begin(make_request())
        await stage.loop.settled()
        stage.loop.accepted[0].send(OK)
        assert (await answer).status == 200
        await asyncio.sleep(IDLE_LIMIT_S + 0.1)
        assert connection.is_closed

    on_stage(story)


def test_checked_connections_are_alive() -> None:
    async def story(stage: Stage) -> None:
        connections = [await stage.pool.dial() for _ in range(3)]
        answers = [connection.begin(make_request()) for connection in connections]
        for peer in stage.loop.accepted:
            peer.send(OK)
        await asyncio.gather(*answers)
        stage.loop.accepted[2].close()
        stage.loop.accepted[1].send(b"junk")
        assert stage.pool.take(checked=True) is connections[0]
        assert stage.pool.take(checked=True) is None
        assert [connection.is_closed for connection in connections] == [False, True, True]

    on_stage(story)


def test_a_connection_to_another_port_is_not_kept() -> None:
    async def story(stage: Stage) -> None:
        idle = await stage.used()
        busy = await stage.pool.dial()
        answer = busy.begin(make_request())
        stage.pool.open(3002)
        assert idle.is_closed and not busy.is_closed
        assert (stage.pool.busy_count(3001), stage.pool.busy_count(3002)) == (1, 0)
        stage.loop.accepted[-1].send(OK)
        assert (await answer).status == 200
        assert busy.is_closed
        assert stage.pool.busy_count(3001) == 0

    on_stage(story)


def test_a_closed_pool_keeps_no_idle_connection_and_dials_none() -> None:
    async def story(stage: Stage) -> None:
        idle = await stage.used()
        stage.pool.close()
        assert idle.is_closed
        assert not stage.pool.is_open
        dialling = stage.loop.create_task(stage.pool.dial())
        stage.pool.give_up("it has ended")
        with pytest.raises(UpstreamError, match="the worker is not ready: it has ended") as raised:
            await dialling
        assert (raised.value.status, raised.value.retry_after_s) == (503, 2)

    on_stage(story)


def test_dialling_that_is_cancelled_leaves_nothing() -> None:
    async def story(stage: Stage) -> None:
        for turns in range(6):
            task = stage.loop.create_task(stage.pool.dial())
            for _ in range(turns):
                await asyncio.sleep(0)
            if not task.cancel():
                (await task).abort()
        await stage.loop.settled()
        assert stage.pool._all == set()

    on_stage(story)


def test_drained_waits_for_the_old_port_only() -> None:
    async def story(stage: Stage) -> None:
        old = await stage.pool.dial()
        answer = old.begin(make_request())
        stage.pool.open(3002)
        new = await stage.pool.dial()
        other = new.begin(make_request())
        drained = stage.loop.create_task(stage.pool.drained(3001))
        given_up = stage.loop.create_task(stage.pool.drained(3001))
        await asyncio.sleep(100)
        given_up.cancel()
        assert not drained.done()
        stage.loop.accepted[0].send(OK)
        await answer
        await drained
        new.give_up(other)

    on_stage(story)


def test_drained_is_told_of_a_connection_that_becomes_idle() -> None:
    async def story(stage: Stage) -> None:
        answer = (await stage.pool.dial()).begin(make_request())
        drained = stage.loop.create_task(stage.pool.drained(3001))
        await stage.loop.settled()
        assert not drained.done()
        stage.loop.accepted[0].send(OK)
        await answer
        await drained

    on_stage(story)


def test_what_it_shows_of_itself() -> None:
    async def story(stage: Stage) -> None:
        assert repr(stage.pool) == "<Pool :3001, 0 busy, 0 idle>"
        connection = await stage.used()
        assert repr(stage.pool) == "<Pool :3001, 0 busy, 1 idle>"
        assert repr(connection) == "<UpstreamConnection :3001 idle, 1 exchanges>"
        stage.pool.take()
        answer = connection.begin(make_request(b"/x"))
        assert repr(connection) == "<UpstreamConnection :3001 busy with <Request GET b'/x'>, 2 exchanges>"
        assert repr(stage.pool) == "<Pool :3001, 1 busy, 0 idle>"
        stage.pool.abort()
        assert str(answer.exception()) == "the worker is being stopped"
        assert repr(stage.pool) == "<Pool :closed, 0 busy, 0 idle>"
        assert repr(connection) == "<UpstreamConnection :3001 closed, 2 exchanges>"

    on_stage(story)


def test_an_answer_that_nobody_waits_for_is_closed() -> None:
    """And a connection that serves somebody else by then is left alone."""

    async def story(stage: Stage) -> None:
        connection = await stage.pool.dial()
        answer = connection.begin(make_request())
        stage.loop.accepted[0].send(OK)
        await stage.loop.settled()
        other = connection.begin(make_request())
        connection.give_up(answer)
        assert not connection.is_closed
        stage.loop.accepted[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await stage.loop.settled()
        connection.give_up(other)
        assert connection.is_closed

    on_stage(story)
