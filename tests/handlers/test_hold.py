"""Requests that wait for a worker: in order, not too many, not too long."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.support.memory_network import MemoryLoop
from tests.support.memory_requests import Following, make_request
from thrust.errors import UpstreamError
from thrust.handlers.hold import Hold
from thrust.upstream.pool import Pool


class Stage:
    """A Hold whose pool has no worker yet."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.pool = Pool(self.loop, answer_timeout_s=1)
        self.following = Following()
        self.hold = Hold(self.following, self.pool, patience_s=60)

    def ask(self, target: bytes = b"/") -> "asyncio.Task[Any]":
        return self.loop.create_task(self.hold(make_request(target)))


def on_stage(story: "Coroutine[Any, Any, None]") -> None:
    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        runner.run(story)


def test_with_a_worker_nobody_waits() -> None:
    async def story() -> None:
        stage = Stage()
        stage.pool.open(3001)
        assert (await stage.ask()).status == 204

    on_stage(story())


def test_who_came_first_goes_first() -> None:
    async def story() -> None:
        stage = Stage()
        tasks = [stage.ask(b"/%d" % number) for number in range(50)]
        await asyncio.sleep(59)
        assert stage.following.requests == []
        stage.pool.open(3001)
        await asyncio.gather(*tasks)
        assert [request.target for request in stage.following.requests] == [b"/%d" % number for number in range(50)]

    on_stage(story())


def test_a_pool_that_closes_again_at_once_lets_nobody_through() -> None:
    async def story() -> None:
        stage = Stage()
        task = stage.ask()
        await asyncio.sleep(1)
        stage.pool.open(3001)
        stage.pool.close()
        await asyncio.sleep(58)
        assert stage.following.requests == [] and not task.done()
        with pytest.raises(UpstreamError, match="the request waited 60 s for it"):
            await task

    on_stage(story())


def test_patience_ends() -> None:
    async def story() -> None:
        stage = Stage()
        with pytest.raises(UpstreamError, match="the worker is not ready: the request waited 60 s for it") as raised:
            await stage.ask()
        assert (raised.value.status, raised.value.retry_after_s) == (503, 2)
        assert stage.hold._held == 0

    on_stage(story())


def test_a_worker_that_is_not_expected_is_not_waited_for() -> None:
    async def story() -> None:
        stage = Stage()
        waiting = stage.ask()
        await asyncio.sleep(1)
        stage.pool.give_up("it has ended")
        for task in (waiting, stage.ask()):
            with pytest.raises(UpstreamError, match="it has ended"):
                await task
        assert stage.loop.time() == 1001.0
        assert stage.hold._held == 0

    on_stage(story())


def test_who_leaves_frees_its_place() -> None:
    async def story() -> None:
        stage = Stage()
        task = stage.ask()
        await asyncio.sleep(1)
        assert stage.hold._held == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stage.hold._held == 0

    on_stage(story())
