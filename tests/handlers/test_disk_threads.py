"""Threads for disks: when they begin, how many there are, and that nothing but their jobs keeps anybody waiting."""

import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future

import pytest

from thrust.handlers.disk_threads import DiskThreads

BOUND_S = 30


class Gate:
    """A disk that answers when it is told to."""

    def __init__(self) -> None:
        self._may_go_on = threading.Semaphore(0)
        self.arrivals = threading.Semaphore(0)

    def pass_through(self) -> str:
        self.arrivals.release()
        assert self._may_go_on.acquire(timeout=BOUND_S)
        return threading.current_thread().name

    def wait_for_arrivals(self, count: int) -> None:
        for _ in range(count):
            assert self.arrivals.acquire(timeout=BOUND_S)

    def open(self, count: int) -> None:
        self._may_go_on.release(count)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open(1000)


def fail() -> None:
    raise OSError("the disk is broken")


def test_a_job_runs_in_another_thread() -> None:
    assert DiskThreads(2).submit(threading.get_ident).result(BOUND_S) != threading.get_ident()


def test_arguments_are_passed_on() -> None:
    assert DiskThreads(1).submit(int, "ff", base=16).result(BOUND_S) == 255


def test_jobs_one_after_the_other_need_one_thread() -> None:
    threads = DiskThreads(8)
    assert len({threads.submit(threading.get_ident).result(BOUND_S) for _ in range(50)}) == 1
    assert repr(threads) == "<DiskThreads 1 of 8, 0 jobs>"


def test_jobs_at_the_same_time_get_a_thread_each_up_to_the_limit(gate: Gate) -> None:
    threads = DiskThreads(4)
    jobs = [threads.submit(gate.pass_through) for _ in range(10)]
    gate.wait_for_arrivals(4)
    assert repr(threads) == "<DiskThreads 4 of 4, 10 jobs>"
    assert not gate.arrivals.acquire(blocking=False)
    gate.open(10)
    for job in jobs:
        assert job.result(BOUND_S) == "thrust-disk"


def test_what_waits_for_its_turn_keeps_its_order(gate: Gate) -> None:
    threads, order = DiskThreads(1), list[int]()
    jobs: list[Future[object]] = [threads.submit(gate.pass_through)]
    jobs += [threads.submit(order.append, number) for number in range(20)]
    gate.open(1)
    for job in jobs:
        job.result(BOUND_S)
    assert order == list(range(20))


def test_what_is_cancelled_before_its_turn_is_never_begun(gate: Gate) -> None:
    threads, done = DiskThreads(1), list[str]()
    first = threads.submit(gate.pass_through)
    gate.wait_for_arrivals(1)
    cancelled, last = threads.submit(done.append, "cancelled"), threads.submit(done.append, "last")
    assert cancelled.cancel()
    gate.open(1)
    first.result(BOUND_S)
    last.result(BOUND_S)
    assert done == ["last"]
    with pytest.raises(CancelledError):
        cancelled.result(BOUND_S)
    assert repr(threads) == "<DiskThreads 1 of 1, 0 jobs>"


def test_a_job_that_fails_tells_who_asked_and_leaves_the_thread_alive() -> None:
    threads = DiskThreads(1)
    with pytest.raises(OSError, match="the disk is broken"):
        threads.submit(fail).result(BOUND_S)
    assert threads.submit(int, "1").result(BOUND_S) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_job_is_left_when_it_is_done(fails: bool) -> None:
    class Argument:
        pass

    def job(argument: Argument) -> None:
        if fails:
            fail()

    threads, argument = DiskThreads(1), Argument()
    gone = threading.Event()
    weakref.finalize(argument, gone.set)
    outcome = threads.submit(job, argument).exception(BOUND_S)
    assert (outcome is not None) == fails
    del argument, outcome
    threads.submit(int).result(BOUND_S)  # the thread has forgotten the job before
    assert gone.wait(BOUND_S)


@pytest.mark.slow
def test_the_end_of_the_program_does_not_wait_for_a_disk() -> None:
    program = """
import threading
from thrust.handlers.disk_threads import DiskThreads
threads, begun = DiskThreads(2), threading.Event()
for _ in range(3):
    threads.submit(lambda: (begun.set(), threading.Event().wait()))
assert begun.wait(30)
print("end")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=BOUND_S, check=True)
    assert (ended.stdout, ended.stderr) == (b"end\n", b"")
