"""Milliseconds from executing a front to its open port, and to its first answer.

A front that starts its worker itself opens its port before the worker is there and holds the request: its first answer
includes the worker's start. For the others the upstream is already running.
"""

import sys
import time
from collections.abc import Sequence

from benchmarks.load.front import Front, started
from benchmarks.load.report import spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.throughput import rotated
from benchmarks.load.upstream import fixed_answers
from benchmarks.load.workloads import FORWARD_1K

STARTS = 20


def startup(rivals: Sequence[Rival]) -> str:
    """The markdown table of starting times; the first start of each front only fills caches and is not counted."""
    samples: dict[str, list[tuple[float, float]]] = {rival.name: [] for rival in rivals}
    for number in range(STARTS + 1):
        for rival in rotated(rivals, number):
            with started(rival, fixed_answers) as front:
                sample = measure(front)
            if number:
                samples[rival.name].append(sample)
        print(f"startup round {number}", file=sys.stderr)
    rows = [
        [name, spread([open_ms for open_ms, _ in taken], 0), spread([answer_ms for _, answer_ms in taken], 0)]
        for name, taken in samples.items()
    ]
    return table(["front", "open port, ms", "first answer, ms"], rows)


def measure(front: Front) -> tuple[float, float]:
    """Milliseconds from execution to an open port, and to a complete first answer."""
    front.wait_until_open()
    open_at = time.perf_counter()
    front.fetch(FORWARD_1K.path)
    answered_at = time.perf_counter()
    return (open_at - front.started_at) * 1000, (answered_at - front.started_at) * 1000
