"""What coding content costs, how small it gets, and what a stream holds (`thrust.coding`).

    python -m benchmarks.micro.bench_coding

The content is that of the load benchmark: 30 KB of page, 100 KB of script. Sizes are in percent of what zlib makes of
it at level 6. Streams are counted by the memory of a process of their own, which has 200 of them (Linux only).
"""

import multiprocessing
import zlib
from functools import partial
from pathlib import Path

from benchmarks.load.contents import page, script
from benchmarks.micro.run import bench, report
from thrust.coding.codings import CODINGS, compress_best, compress_quickly, decompress, encoder
from thrust.coding.compressible import is_compressible

CONTENTS = {"30 KB page": page(30 * 1024, seed=30), "100 KB script": script(100 * 1024, seed=100)}
EVENT = page(500, seed=1)

STREAMS = 200
PAGE_KB = 4
MEMORY = Path("/proc/self/statm")


def bench_whole(coding: bytes) -> None:
    """Prints time and size for each content, coded quickly and as well as possible."""
    for what, content in CONTENTS.items():
        ways = {"quickly": partial(compress_quickly, coding, content), "best": partial(compress_best, coding, content)}
        for way, compress in ways.items():
            name = f"{coding.decode()} {way}, {what}"
            bench(name, compress)
            report(f"{name}: size", [100 * len(compress()) / len(zlib.compress(content, 6))], "%")
        coded = compress_quickly(coding, content)
        bench(f"{coding.decode()} decoding, {what}", partial(decompress, coding, coded, len(content)))


def bench_stream(coding: bytes) -> None:
    """Prints the price of an event of 500 bytes in a stream that goes on."""
    stream = encoder(coding)

    def send() -> bytes:
        return stream.encode(EVENT) + stream.flush()

    bench(f"{coding.decode()} stream, event of 500 bytes", send)


def measure_streams(coding: bytes, fed: bytes, what: str) -> None:
    """Prints what a stream holds after `fed` went through it; run in a process of its own."""
    encoder(coding).finish()  # loads the library
    before_kb = resident_kb()
    streams = [encoder(coding) for _ in range(STREAMS)]
    for stream in streams:
        stream.encode(fed)
        stream.flush()
    report(f"{coding.decode()} stream, memory {what}", [(resident_kb() - before_kb) / STREAMS], "KB")


def resident_kb() -> int:
    """The memory of this process that is in RAM."""
    return int(MEMORY.read_text().split()[1]) * PAGE_KB


def bench_memory(coding: bytes) -> None:
    """Prints what a stream holds when it is new, after an event, and after 1 MB."""
    cases = {"when new": b"", "after an event": EVENT, "after 1 MB": CONTENTS["100 KB script"] * 10}
    for what, fed in cases.items():
        process = multiprocessing.get_context("spawn").Process(target=measure_streams, args=(coding, fed, what))
        process.start()
        process.join()


def main() -> None:
    """Prints a line per case."""
    for coding in CODINGS:
        bench_whole(coding)
        bench_stream(coding)
        if MEMORY.exists():
            bench_memory(coding)
    bench("is_compressible, known", partial(is_compressible, b"text/html; charset=utf-8"))


if __name__ == "__main__":
    main()
