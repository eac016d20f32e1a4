"""Whether a worker that has ended has failed, and how soon the next one is started. No I/O, no clock.

`supervisor` has one Restarts and asks it at the end of a worker, if nobody has asked thrust to stop. Whether failed
workers are started again at all is a setting, which the supervisor knows.
"""

import signal

from thrust.worker.process import Exit

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STABLE_AFTER_S = 60.0
"""The pause doubles from the first to the longest; a worker that lived this long starts over."""


class Restarts:
    """Remembers how long the last pause was, and which signals the worker was sent on somebody's behalf."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S
        self._relayed: set[int] = set()

    def note_relayed(self, sig: int) -> None:
        """The worker got `sig` because thrust did; to end by it is no failure."""
        self._relayed.add(sig)

    def is_failure(self, end: Exit, *, had_terminal: bool) -> bool:
        """Whether nobody wanted a worker to end like this. With the terminal it gets Ctrl-C itself, instead of us."""
        is_ctrl_c = had_terminal and end.code == 128 + signal.SIGINT
        is_relayed = end.signal == signal.SIGQUIT and signal.SIGQUIT in self._relayed
        return end.code != 0 and not is_ctrl_c and not is_relayed

    def next_pause_s(self, uptime_s: float) -> float:
        """Seconds to wait after a worker that lived `uptime_s`: 0.5, 1, 2, … 30, and 0.5 again after a long life."""
        pause_s = FIRST_PAUSE_S if uptime_s >= STABLE_AFTER_S else self._next_s
        self._next_s = min(pause_s * 2, LONGEST_PAUSE_S)
        return pause_s

    def __repr__(self) -> str:
        return f"<Restarts: next after {self._next_s:g} s>"
