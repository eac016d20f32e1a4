"""How small a cached script gets for clients that accept brotli, and how soon.

A front may answer the first hits with what can be made quickly and prepare something better meanwhile. So the script is
asked for again and again, until its body has not become shorter for a while.
"""

import sys
import time
from collections.abc import Sequence

from benchmarks.load.answer import compressed_with_brotli
from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, running
from benchmarks.load.report import ratio, table
from benchmarks.load.rivals import Rival
from benchmarks.load.throughput import right_answer
from benchmarks.load.upstream import fixed_answers
from benchmarks.load.workloads import CACHED_100K_BR, FORWARD_1K

POLL_INTERVAL_S = 0.05
SETTLED_AFTER_S = 3.0
TIMEOUT_S = 30.0


def best_coding(rivals: Sequence[Rival]) -> str:
    """The markdown table of lengths; a length does not depend on the machine, so one round will do."""
    rows = []
    for rival in rivals:
        with running(rival, fixed_answers, FORWARD_1K.path) as front:
            row = measure(front)
        rows.append([rival.name, *row])
        print(f"best-coding {rival.name}: {row}", file=sys.stderr)
    return table(["front", "first body, bytes", "best body, bytes", "coding", "× brotli -q 11", "best after, ms"], rows)


def measure(front: Front) -> list[str]:
    """The cells of one front's row."""
    started_at = shortened_at = time.monotonic()
    first = best = right_answer(front, CACHED_100K_BR)
    while (now := time.monotonic()) - shortened_at < SETTLED_AFTER_S:
        if now - started_at > TIMEOUT_S:
            raise BenchmarkError(f"the body of {CACHED_100K_BR.path} still shrinks after {TIMEOUT_S:.0f} s")
        time.sleep(POLL_INTERVAL_S)
        answer = right_answer(front, CACHED_100K_BR)
        if len(answer.body) < len(best.body):
            best, shortened_at = answer, time.monotonic()
    brotli_bytes = len(compressed_with_brotli(CACHED_100K_BR.content))
    return [
        f"{len(first.body):,}",
        f"{len(best.body):,}",
        best.coding,
        ratio(len(best.body), brotli_bytes),
        f"{(shortened_at - started_at) * 1000:.0f}",
    ]
