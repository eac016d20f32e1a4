"""What clients of the cache notice of a disk that does not answer: their p99 beside downloads that wait for it.

Downloads of the file of `file-10m` go on all the time, by more clients than a front might have threads to spare. Below
them is the disk of `slow_disk.py`, and so only fronts in Python can take part. Both figures are of the same process,
without the downloads first. Hits are asked for one after another: with a core that is busy anyway, p99 would be the
length of a queue and hide a stall.
"""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.load import slow_disk
from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, running
from benchmarks.load.machine import require_program
from benchmarks.load.report import ratio, spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.throughput import ATTEMPTS, QUIET, right_answer, rotated, strangers_s
from benchmarks.load.upstream import fixed_answers
from benchmarks.load.workloads import CACHED_10K, FILE_10M
from benchmarks.load.wrk import WrkReport, run_wrk

DOWNLOADS = 48
HIT_CLIENTS = 1
WARM_UP_S = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """One front in one round."""

    free_ms: float
    """p99 of hits while nobody downloads."""
    blocked_ms: float
    """p99 of hits beside downloads that wait for the disk."""
    strangers: float
    """Cores' worth of work that processes outside the benchmark did meanwhile; a few per cent are most of a p99."""


def blocked_disk(rivals: Sequence[Rival], rounds: int, seconds: int) -> str:
    """The markdown table of p99 without and with downloads that wait."""
    samples: dict[str, list[Sample]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rotated(rivals, number):
            sample = quietest_sample(rival, seconds)
            samples[rival.name].append(sample)
            print(f"blocked-disk round {number + 1} {rival.name}: {sample}", file=sys.stderr)
    return table(
        ["front", "hit, p99 ms", f"beside {DOWNLOADS} downloads from a disk that blocks, p99 ms", "×", "strangers"],
        [_row(name, taken) for name, taken in samples.items()],
    )


def quietest_sample(rival: Rival, seconds: int) -> Sample:
    """A sample of a fresh front, taken again while strangers disturb it; the least disturbed one if all are."""
    taken: list[Sample] = []
    while len(taken) < ATTEMPTS and not any(sample.strangers < QUIET for sample in taken):
        taken.append(measure(rival, seconds))
    return min(taken, key=lambda sample: sample.strangers)


def measure(rival: Rival, seconds: int) -> Sample:
    """p99 of hits without and with downloads that wait for the disk, in one fresh process."""
    script = Path(slow_disk.__file__).read_text()
    slow = replace(
        rival,
        files={**rival.files, "sitecustomize.py": script},
        environment={**rival.environment, "PYTHONPATH": "@directory@"},
    )
    with running(slow, fixed_answers, CACHED_10K.path) as front:
        _check_disk(front)
        _hits(front, WARM_UP_S)
        started_at, strangers_before_s = time.monotonic(), strangers_s()
        free = _hits(front, seconds)
        with _downloads(front):
            blocked = _hits(front, seconds)
            disturbed_s = strangers_s() - strangers_before_s
    return Sample(free.p99_ms, blocked.p99_ms, disturbed_s / (time.monotonic() - started_at))


def _row(name: str, taken: Sequence[Sample]) -> list[str]:
    free_ms, blocked_ms = [sample.free_ms for sample in taken], [sample.blocked_ms for sample in taken]
    times = ratio(statistics.median(blocked_ms), statistics.median(free_ms))
    worst = max(sample.strangers for sample in taken)
    return [name, spread(free_ms, 3), spread(blocked_ms, 3), times, f"{worst:.0%}"]


def _hits(front: Front, seconds: int) -> WrkReport:
    return run_wrk(front.url, CACHED_10K, seconds, connections=HIT_CLIENTS)


def _check_disk(front: Front) -> None:
    """Raises unless a download has to wait."""
    started_at = time.monotonic()
    right_answer(front, FILE_10M)
    if (took_s := time.monotonic() - started_at) < slow_disk.WAIT_S:
        raise BenchmarkError(f"a download took {took_s:.2f} s: its disk does not block")


@contextlib.contextmanager
def _downloads(front: Front) -> Iterator[None]:
    """Clients that download all the time."""
    url = front.url + FILE_10M.path
    # They share a core with the client whose waits are measured, who must not wait for them.
    command = [require_program("nice"), "-n", "19", require_program("wrk"), "-t1", f"-c{DOWNLOADS}", "-d1h", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(slow_disk.WAIT_S)  # until all of them wait
        yield
        if process.poll() is not None:
            raise BenchmarkError(f"the downloads ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
