"""An event loop whose clock jumps: deadlines of minutes are tested in no time, and always in the same order.

For code whose I/O is in memory (`memory_transport`). While callbacks are ready the clock stands still; when nothing is
left to do, first those who wait in `settled` go on, then the clock is put to the next timer. What would block for ever
raises instead. Work for threads is done at once, in the loop, so that it too takes no time.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class JumpingSelector(selectors.DefaultSelector):
    """Never waits: tells `on_idle` that the loop has nothing to do, and moves `now_s` instead."""

    now_s = 1000.0
    on_idle: Callable[[], bool]

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events or timeout == 0 or self.on_idle():
            return events
        if timeout is None:
            raise RuntimeError("nothing will ever happen again")
        self.now_s += max(0.0, timeout)
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time. `errors` is what its exception handler was told."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        self._jumping.on_idle = self._wake_settled
        self._settling: list[asyncio.Future[None]] = []
        self.errors: list[dict[str, Any]] = []
        super().__init__(self._jumping)
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        return self._jumping.now_s

    async def settled(self) -> None:
        """Returns when everything that can happen without time passing has happened."""
        waiter = self.create_future()
        self._settling.append(waiter)
        await waiter

    def _wake_settled(self) -> bool:
        waiting, self._settling = self._settling, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        return bool(waiting)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, function: Callable[..., T], *arguments: Any
    ) -> "asyncio.Future[T]":
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(function(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done


def run_jumping(story: Callable[[], Coroutine[Any, Any, T]], loop_factory: Callable[[], JumpingLoop]) -> T:
    """What `story` returns on a new loop."""
    __tracebackhide__ = True
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(story())
