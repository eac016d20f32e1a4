"""The time of day in conversations: it goes with the loop's clock, which jumps.

What is stored grows old by Unix time (`time.time`), patience with it is measured by `time.monotonic`. Both follow the
loop while `wall_clock` is entered; `time.perf_counter`, which only measures, stays real.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from tests.support.clock import JumpingLoop, JumpingSelector

START_S = 1_800_000_000
"""Unix time when a conversation begins: Fri, 15 Jan 2027 08:00:00 GMT."""


def http_date(seconds: float) -> str:
    """The HTTP-date so many seconds after a conversation has begun, negative for before."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(START_S + seconds))


@contextmanager
def wall_clock(loop: JumpingLoop) -> Iterator[None]:
    """Lets `time.time` and `time.monotonic` go with the clock of `loop`."""
    began_s = JumpingSelector.now_s
    with (
        patch.object(time, "time", lambda: START_S + loop.time() - began_s),
        patch.object(time, "monotonic", loop.time),
    ):
        yield
