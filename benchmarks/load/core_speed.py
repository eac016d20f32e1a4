"""How fast the front's core is just now.

A virtual core may be half of a real one. When strangers on the same machine use the other half, all of this takes up
to 1.8 times as long, in CPU time too, and an interpreter suffers more than nginx. No counter of the guest shows it, a
piece of work that is always the same does.
"""

import os
import time

from benchmarks.load.machine import FRONT_CORE

TURNS = 20_000
PIECES = 100
"""Together some 0.1 s: strangers come and go."""

PATIENCE_S = 10.0

_quickest_s = float("inf")


def slowness() -> float:
    """By which share the front's core is slower than it was at its best since we began: 0 is as fast as ever.

    To be called while the front has nothing to do.
    """
    global _quickest_s
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {FRONT_CORE})
    try:
        pieces_s = [_piece_s() for _ in range(PIECES)]
    finally:
        os.sched_setaffinity(0, ours)
    _quickest_s = min(_quickest_s, *pieces_s)
    return sum(pieces_s) / PIECES / _quickest_s - 1


def wait_for_speed(enough: float) -> float:
    """Waits until `slowness` is below `enough`, but for no longer than PATIENCE_S; what it was in the end."""
    give_up_s = time.monotonic() + PATIENCE_S
    while (slowed := slowness()) >= enough and time.monotonic() < give_up_s:
        pass
    return slowed


def _piece_s() -> float:
    began_s = time.thread_time()
    total = 0
    for number in range(TURNS):
        total += number
    return time.thread_time() - began_s
