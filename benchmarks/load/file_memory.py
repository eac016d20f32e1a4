"""Growth of a front's memory while 64 clients download a file of 10 MB that the upstream has only named.

The clients first read nothing, for long enough that whatever a front is willing to buffer is buffered, then a piece at
a time in turn. One download comes before, so that what any first request takes is not counted.
"""

import http.client
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing

from benchmarks.load import proc
from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, running
from benchmarks.load.report import spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.throughput import right_answer, rotated
from benchmarks.load.upstream import fixed_answers
from benchmarks.load.workloads import FILE_10M

CLIENTS = 64
PAUSE_S = 2.0
PIECE_BYTES = 65536


def file_memory(rivals: Sequence[Rival], rounds: int) -> str:
    """The markdown table of memory growth."""
    samples: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rotated(rivals, number):
            with running(rival, fixed_answers, FILE_10M.path) as front:
                sample_mb = growth_mb(front)
            samples[rival.name].append(sample_mb)
            print(f"file-memory round {number + 1} {rival.name}: {sample_mb}", file=sys.stderr)
    rows = [[name, spread(taken, 1)] for name, taken in samples.items()]
    return table(["front", f"{CLIENTS} × 10 MB, MB"], rows)


def growth_mb(front: Front) -> float:
    """Peak growth in MB of a front during all downloads."""
    right_answer(front, FILE_10M)
    pids = front.pids()
    before_bytes = front.memory().rss_bytes
    proc.reset_peak_rss(pids)
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(front.connect())) for _ in range(CLIENTS)]
        for connection in connections:
            connection.request("GET", FILE_10M.path)
        time.sleep(PAUSE_S)
        _read_in_turn([connection.getresponse() for connection in connections])
    return (proc.peak_rss_bytes(pids) - before_bytes) / proc.MB


def _read_in_turn(responses: Sequence[http.client.HTTPResponse]) -> None:
    """Reads all bodies to their ends; raises unless each is complete."""
    for start in range(0, len(FILE_10M.content), PIECE_BYTES):
        expected = FILE_10M.content[start : start + PIECE_BYTES]
        for response in responses:
            if response.read(len(expected)) != expected:
                raise BenchmarkError(f"a download was answered {response.status}, or its body was wrong")
