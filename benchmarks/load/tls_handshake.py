"""CPU time of a front for a client that comes, shakes hands, gets one cached script and leaves.

The client runs on the load core, one connection after the other, so that the figure is that of the work and not of a
queue. TLS 1.3, P-256 certificate, no session is resumed.
"""

import os
import sys
import time
from collections.abc import Sequence

from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, running
from benchmarks.load.machine import LOAD_CORE
from benchmarks.load.report import ratio, spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.throughput import rotated
from benchmarks.load.upstream import fixed_answers
from benchmarks.load.workloads import TLS_CACHED_10K

WARM_UP = 200  # connections


def tls_handshake(rivals: Sequence[Rival], rounds: int, seconds: int) -> str:
    """The markdown table of handshakes."""
    samples: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rotated(rivals, number):
            with running(rival, fixed_answers, TLS_CACHED_10K.path) as front:
                samples[rival.name].append(measure(front, seconds))
            print(f"tls-handshake round {number + 1} {rival.name}: {samples[rival.name][-1]:.0f} µs", file=sys.stderr)
    baseline_us = min(samples.get("nginx+tls", []), default=float("nan"))
    rows = [[name, spread(taken, 0), ratio(min(taken), baseline_us)] for name, taken in samples.items()]
    return table(["front", "CPU µs/connection", "× nginx+tls (minima)"], rows)


def measure(front: Front, seconds: int) -> float:
    """CPU microseconds of the front per connection."""
    os.sched_setaffinity(0, {LOAD_CORE})
    for _ in range(WARM_UP):
        _come_and_go(front)
    before_s, count, ends_at = front.cpu_s(), 0, time.monotonic() + seconds
    while time.monotonic() < ends_at:
        _come_and_go(front)
        count += 1
    return (front.cpu_s() - before_s) / count * 1e6


def _come_and_go(front: Front) -> None:
    if front.fetch(TLS_CACHED_10K.path).content != TLS_CACHED_10K.content:
        raise BenchmarkError("the answer is not the script")
