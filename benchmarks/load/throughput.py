"""CPU time per request, requests per second and latency of each front under one workload.

Every round starts each front afresh, warms it up, reads its CPU time, lets wrk work, and reads its CPU time again.
The rounds interleave the fronts and rotate their order, so that a slow minute of the machine hits all of them.
"""

import os
import statistics
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.load.answer import Answer
from benchmarks.load.core_speed import slowness, wait_for_speed
from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, running
from benchmarks.load.machine import FRONT_CORE, LOAD_CORE
from benchmarks.load.proc import MB, busy_s, cpu_s, tree
from benchmarks.load.report import ratio, spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.upstream import fixed_answers
from benchmarks.load.workloads import Workload
from benchmarks.load.wrk import run_wrk

T = TypeVar("T")

WARM_UP_S = 2

# Cores' worth of work by processes outside the benchmark. A machine at rest shows 0.03 or less; at 0.35 nginx was
# seen to lose half of its requests/s, and its p99 to triple.
QUIET = 0.06
ATTEMPTS = 5

# How much slower than at its best the front's core may be. It is as fast as ever, or 1.3 to 1.8 times as slow.
FAST = 0.15

ZLIB_LEVEL = 6
GZIP_WINDOW = 31  # the largest window, in a member of gzip with its head and trailer


@dataclass(frozen=True, slots=True)
class Sample:
    """One front in one round."""

    cpu_us: float
    """CPU microseconds of the front per request."""
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    busy: float
    """Share of its core that the front used; below 1 it was not the bottleneck."""
    strangers: float
    """Cores' worth of work that processes outside the benchmark did meanwhile; a few per cent spoil the latency."""
    slowed: float
    """By which share the front's core was slower than at its best, before the run or after it (core_speed)."""
    forwarded: float
    """Share of the requests that reached the upstream."""
    coding: str
    body_bytes: int
    """Length of an answer's body as it came, after the run."""
    rss_mb: float
    pss_mb: float


def throughput(workload: Workload, rivals: Sequence[Rival], rounds: int, seconds: int) -> str:
    """The markdown table of a workload."""
    samples: dict[str, list[Sample]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rotated(rivals, number):
            sample = quietest_sample(rival, workload, seconds)
            samples[rival.name].append(sample)
            print(f"{workload.name} round {number + 1} {rival.name}: {sample}", file=sys.stderr)
    return _table(workload, samples)


def rotated(rivals: Sequence[T], number: int) -> list[T]:
    """`rivals` in the order of round `number`."""
    first = number % len(rivals)
    return [*rivals[first:], *rivals[:first]]


def quietest_sample(rival: Rival, workload: Workload, seconds: int) -> Sample:
    """A sample of a fresh front, taken again while strangers disturb it; the least disturbed one if all are."""
    taken: list[Sample] = []
    while len(taken) < ATTEMPTS and not any(s.strangers < QUIET and s.slowed < FAST for s in taken):
        with running(rival, fixed_answers, workload.path) as front:
            taken.append(measure(front, workload, seconds))
    return min(taken, key=lambda sample: sample.strangers + sample.slowed)


def measure(front: Front, workload: Workload, seconds: int) -> Sample:
    """Drives a front with wrk and reads what it cost."""
    right_answer(front, workload)
    run_wrk(front.url, workload, WARM_UP_S)
    slowed_before = wait_for_speed(FAST)
    forwarded_before = front.requests_forwarded()
    front_before_s, strangers_before_s = front.cpu_s(), strangers_s()
    report = run_wrk(front.url, workload, seconds)
    used_s, disturbed_s = front.cpu_s() - front_before_s, strangers_s() - strangers_before_s
    slowed_after = slowness()
    forwarded = front.requests_forwarded() - 1 - forwarded_before
    answer = right_answer(front, workload)
    wall_s = report.requests / report.requests_per_s
    memory = front.memory()
    return Sample(
        cpu_us=used_s / report.requests * 1e6,
        requests_per_s=report.requests_per_s,
        p50_ms=report.p50_ms,
        p99_ms=report.p99_ms,
        busy=used_s / wall_s,
        strangers=disturbed_s / wall_s,
        slowed=max(slowed_before, slowed_after),
        forwarded=forwarded / report.requests,
        coding=answer.coding,
        body_bytes=len(answer.body),
        rss_mb=memory.rss_bytes / MB,
        pss_mb=memory.pss_bytes / MB,
    )


def right_answer(front: Front, workload: Workload) -> Answer:
    """The answer that a client of `workload` gets; raises unless its content is the right one."""
    answer = front.fetch(workload.path, workload.request_headers)
    if answer.content != workload.content:
        raise BenchmarkError(f"{workload.path} brought {len(answer.body)} wrong bytes of {answer.coding}")
    return answer


def strangers_s() -> float:
    """CPU seconds since boot on our cores that neither this process nor any of its descendants used."""
    return busy_s([LOAD_CORE, FRONT_CORE]) - cpu_s(tree(os.getpid()))


def _table(workload: Workload, samples: dict[str, list[Sample]]) -> str:
    volume_gb = len(workload.content) / 1e9
    baselines_us = {name: _median(samples.get(name, []), "cpu_us") for name in workload.baselines}
    rows = [
        [
            name,
            spread([sample.cpu_us for sample in taken], 1),
            *([f"{_median(taken, 'cpu_us') / 1000 / volume_gb:.0f}"] if workload.by_volume else []),
            *(ratio(_median(taken, "cpu_us"), baseline_us) for baseline_us in baselines_us.values()),
            f"{_median(taken, 'forwarded'):.0%}",
            _body(workload, taken[-1]),
            f"{_median(taken, 'requests_per_s'):,.0f}",
            f"{_median(taken, 'p50_ms'):.2f}",
            spread([sample.p99_ms for sample in taken], 2),
            f"{_median(taken, 'busy'):.0%}",
            f"{max(sample.strangers for sample in taken):.0%}",
            f"{max(sample.slowed for sample in taken):.0%}",
            f"{_median(taken, 'rss_mb'):.0f}",
            f"{_median(taken, 'pss_mb'):.0f}",
        ]
        for name, taken in samples.items()
    ]
    volume = ["CPU ms/GB"] if workload.by_volume else []
    cost = ["CPU µs/request", *volume, *(f"× {name}" for name in baselines_us)]
    speed = ["requests/s", "p50 ms", "p99 ms", "core used", "strangers", "slowed"]
    return table(["front", *cost, "forwarded", "body", *speed, "RSS MB", "PSS MB"], rows)


def _body(workload: Workload, sample: Sample) -> str:
    """Coding and length of a body and, if it is coded, its length relative to what zlib makes of the same content."""
    if sample.coding == "identity":
        return f"{sample.body_bytes:,} bytes"
    zlib_bytes = len(zlib.compress(workload.content, ZLIB_LEVEL, wbits=GZIP_WINDOW))
    return f"{sample.coding}, {sample.body_bytes:,} bytes ({ratio(sample.body_bytes, zlib_bytes)} × zlib {ZLIB_LEVEL})"


def _median(samples: Sequence[Sample], name: str) -> float:
    """Median of one field; NaN without samples."""
    return statistics.median(getattr(sample, name) for sample in samples) if samples else float("nan")
