"""Which end of a worker is a failure, and how long the pauses are."""

import signal

import pytest

from thrust.worker.process import Exit
from thrust.worker.restarts import Restarts

KILLED_BY_CTRL_C = Exit(130, signal.SIGINT)
QUIT = Exit(131, signal.SIGQUIT)


@pytest.mark.parametrize(
    ("end", "had_terminal", "relayed", "is_failure"),
    [
        (Exit(0), False, [], False),
        (Exit(1), False, [], True),
        (Exit(1), True, [], True),
        (Exit(137, signal.SIGKILL), False, [], True),
        (KILLED_BY_CTRL_C, True, [], False),
        (Exit(130), True, [], False),
        (KILLED_BY_CTRL_C, False, [], True),
        (QUIT, False, [signal.SIGQUIT], False),
        (QUIT, False, [signal.SIGUSR1], True),
        (QUIT, False, [], True),
        (Exit(131), False, [signal.SIGQUIT], True),
        (Exit(138, signal.SIGUSR1), False, [signal.SIGUSR1], True),
    ],
    ids=str,
)
def test_an_end_that_somebody_wanted_is_no_failure(
    end: Exit, had_terminal: bool, relayed: list[int], is_failure: bool
) -> None:
    restarts = Restarts()
    for sig in relayed:
        restarts.note_relayed(sig)
    assert restarts.is_failure(end, had_terminal=had_terminal) is is_failure


def test_the_pause_before_a_restart_doubles_up_to_thirty_seconds() -> None:
    restarts = Restarts()
    assert [restarts.next_pause_s(1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_lived_a_minute_starts_the_pauses_over() -> None:
    restarts = Restarts()
    assert [restarts.next_pause_s(uptime_s) for uptime_s in (1, 1, 60, 1)] == [0.5, 1, 0.5, 1]


def test_the_next_pause_shows_in_the_repr() -> None:
    restarts = Restarts()
    restarts.next_pause_s(1.0)
    assert repr(restarts) == "<Restarts: next after 1 s>"
