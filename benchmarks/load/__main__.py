"""`python -m benchmarks.load [CASE …]`: measures fronts side by side and prints markdown tables.

`scripts/bench` calls this in an environment that has everything. Tables go to stdout, progress to stderr.
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from benchmarks.load.best_coding import best_coding
from benchmarks.load.cold_burst import cold_burst
from benchmarks.load.errors import BenchmarkError
from benchmarks.load.file_memory import file_memory
from benchmarks.load.idle_memory import idle_memory
from benchmarks.load.machine import check_tools, description, prepare
from benchmarks.load.rivals import CACHES, FORWARDERS, RIVALS, SENDERS, Rival
from benchmarks.load.startup import startup
from benchmarks.load.stream_memory import stream_memory
from benchmarks.load.throughput import throughput
from benchmarks.load.workloads import FILE_10M, FORWARD_1K, WORKLOADS

WORKLOADS_BY_NAME = {workload.name: workload for workload in WORKLOADS}

# Each case and the fronts that have a part in it, in the order of the output.
CASES = {
    FORWARD_1K.name: FORWARDERS,
    **{workload.name: CACHES for workload in WORKLOADS if workload not in (FORWARD_1K, FILE_10M)},
    FILE_10M.name: SENDERS,
    "cold-burst": CACHES,
    "best-coding": CACHES,
    "startup": FORWARDERS,
    "idle-memory": FORWARDERS,
    "stream-memory": FORWARDERS,
    "file-memory": SENDERS,
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
    if case == "idle-memory":
        return idle_memory(rivals, rounds)
    if case == "stream-memory":
        return stream_memory(rivals, rounds)
    if case == "file-memory":
        return file_memory(rivals, rounds)
    return throughput(WORKLOADS_BY_NAME[case], rivals, rounds, seconds)


if __name__ == "__main__":
    sys.exit(main())
