"""Event loops for tests: both real ones, and one whose clock jumps over every wait."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def run_on(loop_name: str, story: Coroutine[Any, Any, T]) -> T:
    """What `story` returns, on one of LOOPS."""
    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        return runner.run(story)


class _JumpingSelector(selectors.DefaultSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop that never sleeps: where nothing is left to do, its clock is put to the next timer.

    For code without real I/O. A wait without end, which would hang elsewhere, raises here.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_jumping(story: Coroutine[Any, Any, T]) -> T:
    """What `story` returns on a JumpingLoop."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(story)
