"""Growth of a front's memory while 500 MB go through it, once each way, to a receiver that is slower than the sender.

The receiver first stops, for long enough that whatever a front is willing to buffer is buffered, then takes the body at
a set pace. The growth is the peak of resident memory, as the kernel keeps it, less what was used before.
"""

import sys
from collections.abc import Callable, Iterator, Sequence

from benchmarks.load import proc
from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, running
from benchmarks.load.report import spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.streaming_upstream import BLOCK_BYTES, paced_blocks
from benchmarks.load.throughput import rotated
from benchmarks.load.upstream import paced_bodies

BODY_BYTES = 500 * proc.MB


def stream_memory(rivals: Sequence[Rival], rounds: int) -> str:
    """The markdown table of memory growth."""
    samples: dict[str, list[tuple[float, float]]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rotated(rivals, number):
            sample = growth_mb(rival, download), growth_mb(rival, upload)
            samples[rival.name].append(sample)
            print(f"stream-memory round {number + 1} {rival.name}: {sample}", file=sys.stderr)
    rows = [[name, *(spread(column, 1) for column in zip(*taken, strict=True))] for name, taken in samples.items()]
    return table(["front", "500 MB response to a slow reader, MB", "500 MB upload to a slow worker, MB"], rows)


def growth_mb(rival: Rival, transfer: Callable[[Front], int]) -> float:
    """Peak growth in MB of a fresh front during one transfer."""
    with running(rival, paced_bodies, "/1") as front:
        pids = front.pids()
        before_bytes = front.memory().rss_bytes
        proc.reset_peak_rss(pids)
        arrived_bytes = transfer(front)
        if arrived_bytes != BODY_BYTES:
            raise BenchmarkError(f"{rival.name} let {arrived_bytes} of {BODY_BYTES} bytes through")
        return (proc.peak_rss_bytes(pids) - before_bytes) / proc.MB


def download(front: Front) -> int:
    """Bytes that a slow reader of a long response has got."""
    connection = front.connect()
    try:
        connection.request("GET", f"/{BODY_BYTES}")
        response = connection.getresponse()
        return sum(len(block) for block in paced_blocks(response.read))
    finally:
        connection.close()


def upload(front: Front) -> int:
    """Bytes that a slow worker has got of a long request."""
    connection = front.connect()
    try:
        connection.request("POST", "/", body=_blocks(), headers={"Content-Length": str(BODY_BYTES)})
        return int(connection.getresponse().read())
    finally:
        connection.close()


def _blocks() -> Iterator[bytes]:
    block = bytes(BLOCK_BYTES)
    for _ in range(BODY_BYTES // BLOCK_BYTES):
        yield block
