"""500 clients ask at once for an asset that nobody has asked for before, of a worker that takes 100 ms.

The connections are open before, so that a round measures the answers and not the dialling. What counts is how many of
the requests reached the worker, by the worker's own log, and how long the last client had to wait.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence

from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, running
from benchmarks.load.report import spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.slow_upstream import BODY
from benchmarks.load.throughput import rotated
from benchmarks.load.upstream import REQUESTS, slow_asset

CLIENTS = 500
TIMEOUT_S = 60.0
WARM_PATH = "/"
COLD_PATH = "/assets/app-77b1d09e5f.js"


def cold_burst(rivals: Sequence[Rival], rounds: int) -> str:
    """The markdown table of requests that reached the worker and of the clients' waits."""
    samples: dict[str, list[tuple[int, float, float]]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rotated(rivals, number):
            with running(rival, slow_asset, WARM_PATH) as front:
                sample = measure(front)
            samples[rival.name].append(sample)
            print(f"cold-burst round {number + 1} {rival.name}: {sample}", file=sys.stderr)
    rows = [
        [
            name,
            spread([requests for requests, _, _ in taken], 0),
            spread([middle_ms for _, middle_ms, _ in taken], 0),
            spread([last_ms for _, _, last_ms in taken], 0),
        ]
        for name, taken in samples.items()
    ]
    return table(["front", f"requests to the worker, of {CLIENTS}", "median client, ms", "last client, ms"], rows)


def measure(front: Front) -> tuple[int, float, float]:
    """Requests that reached the worker, and the ms after which the median and the last client had its answer."""
    waits_s = asyncio.run(_burst(front.site.port))
    targets = (front.site.directory / REQUESTS).read_text().splitlines()
    return targets.count(COLD_PATH), statistics.median(waits_s) * 1000, max(waits_s) * 1000


async def _burst(port: int) -> list[float]:
    """Seconds from the first request of all to each client's answer."""
    async with asyncio.timeout(TIMEOUT_S):
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
        request = f"GET {COLD_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        started_at = time.perf_counter()
        for _, writer in connections:
            writer.write(request)
        answered_at = await asyncio.gather(*(_answered_at(reader) for reader, _ in connections))
        for _, writer in connections:
            writer.close()
    return [moment - started_at for moment in answered_at]


async def _answered_at(reader: asyncio.StreamReader) -> float:
    """The moment at which the right answer was there; raises for any other."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or await _body(head.lower(), reader) != BODY:
            raise BenchmarkError(f"a client of the burst did not get the asset, but {head!r}")
    except asyncio.IncompleteReadError as error:
        raise BenchmarkError(f"a client of the burst was left after {len(error.partial)} bytes") from error
    return time.perf_counter()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """The body that follows a head in lower case, chunked (RFC 9112 §7.1) or of known length."""
    if b"\r\ntransfer-encoding: chunked" not in head:
        return await reader.readexactly(int(head.partition(b"\r\ncontent-length: ")[2].split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body
