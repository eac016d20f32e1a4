"""`python -m benchmarks.load [CASE …]`: measures fronts side by side and prints markdown tables.

`scripts/bench` calls this in an environment that has everything. Tables go to stdout, progress to stderr.
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from benchmarks.load.best_coding import best_coding
from benchmarks.load.blocked_disk import blocked_disk
from benchmarks.load.cold_burst import cold_burst
from benchmarks.load.errors import BenchmarkError
from benchmarks.load.file_memory import file_memory
from benchmarks.load.http2 import http2
from benchmarks.load.idle_memory import idle_memory, tls_idle_memory
from benchmarks.load.machine import check_tools, description, prepare
from benchmarks.load.rivals import (
    CACHES,
    FORWARDERS,
    IN_PYTHON,
    RIVALS,
    SENDERS,
    SPEAKERS_OF_HTTP2,
    TLS,
    TLS_AND_PLAIN,
    Rival,
)
from benchmarks.load.startup import startup
from benchmarks.load.stream_memory import stream_memory
from benchmarks.load.throughput import throughput
from benchmarks.load.tls_handshake import tls_handshake
from benchmarks.load.workloads import CACHED_10K, FILES, FORWARD_1K, TLS_CACHED_10K, WORKLOADS

WORKLOADS_BY_NAME = {workload.name: workload for workload in (*WORKLOADS, TLS_CACHED_10K)}
OVER_HTTP2 = {f"h2-{workload.name}": workload for workload in (CACHED_10K, FORWARD_1K)}

# Each case and the fronts that have a part in it, in the order of the output.
CASES = {
    FORWARD_1K.name: FORWARDERS,
    **{workload.name: CACHES for workload in WORKLOADS if workload not in (FORWARD_1K, *FILES)},
    **{workload.name: SENDERS for workload in FILES},
    **dict.fromkeys(OVER_HTTP2, SPEAKERS_OF_HTTP2),
    "cold-burst": CACHES,
    "best-coding": CACHES,
    "startup": FORWARDERS,
    "idle-memory": FORWARDERS,
    "stream-memory": FORWARDERS,
    "file-memory": SENDERS,
    "blocked-disk": IN_PYTHON,
    TLS_CACHED_10K.name: TLS_AND_PLAIN,
    "tls-handshake": TLS,
    "tls-idle-memory": TLS,
}


def main() -> int:
    """Runs what the command line asks for; 1 if a measurement could not be made."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so stops what was started
    options = parse_options()
    try:
        cases = selected(options.cases, list(CASES), "case")
        names = selected(options.only.split(",") if options.only else [], [rival.name for rival in RIVALS], "front")
        rivals = {case: [rival for rival in CASES[case] if rival.name in names] for case in cases}
        used = [rival for rival in RIVALS if any(rival in taking_part for taking_part in rivals.values())]
        if not used:
            raise BenchmarkError(f"{', '.join(names)}: no part in {', '.join(cases)}")
        check_tools(used)
        if not options.check_tools:
            prepare()
            print(description(used), flush=True)
            for case in filter(rivals.get, cases):
                print(f"\n### {case}\n\n{run(case, rivals[case], options.rounds, options.seconds)}", flush=True)
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure fronts side by side.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default all")
    parser.add_argument("--rounds", type=int, default=3, help="how often each front is measured; default 3")
    parser.add_argument("--seconds", type=int, default=5, help="length of one run of wrk; default 5")
    parser.add_argument("--only", default="", help="fronts to measure, separated by commas; default all")
    parser.add_argument("--check-tools", action="store_true", help="only say which programs are missing")
    return parser.parse_args()


def selected(wanted: Sequence[str], known: Sequence[str], kind: str) -> list[str]:
    """Those of `known` that are wanted, in the order of `known`; all if nothing is said."""
    if unknown := set(wanted) - set(known):
        raise BenchmarkError(f"unknown {kind} {', '.join(sorted(unknown))}, known are {', '.join(known)}")
    return [name for name in known if name in wanted or not wanted]


def run(case: str, rivals: Sequence[Rival], rounds: int, seconds: int) -> str:
    """The markdown table of one case."""
    if case == "cold-burst":
        return cold_burst(rivals, rounds)
    if case == "best-coding":
        return best_coding(rivals)
    if case == "startup":
        return startup(rivals)
    if case == "tls-handshake":
        return tls_handshake(rivals, rounds, seconds)
    if case == "idle-memory":
        return idle_memory(rivals, rounds)
    if case == "tls-idle-memory":
        return tls_idle_memory(rivals, rounds)
    if case == "stream-memory":
        return stream_memory(rivals, rounds)
    if case == "file-memory":
        return file_memory(rivals, rounds)
    if case == "blocked-disk":
        return blocked_disk(rivals, rounds, seconds)
    if case in OVER_HTTP2:
        return http2(OVER_HTTP2[case], rivals, rounds, seconds)
    return throughput(WORKLOADS_BY_NAME[case], rivals, rounds, seconds)


if __name__ == "__main__":
    sys.exit(main())
