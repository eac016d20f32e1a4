"""`python -m benchmarks.micro.run [MODULE …]`: runs the `bench_<module>.py` beside it, all or those named.

Each is a program of its own, run in a process of its own so that none inherits another's caches. It prints one line
per case: name, fastest round, median round, unit. `bench` does that for a plain function; a module whose subject needs
more (threads, fresh data per round) measures by itself and prints lines of the same shape with `report`.
"""

import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
ROUNDS = 25
ROUND_S = 0.02  # long against the timer's resolution, short against a time slice of the scheduler


def bench(name: str, function: Callable[[], object]) -> None:
    """Prints what one call of `function` costs in µs, the call itself (some 0.03 µs) included."""
    timer = timeit.Timer(function)
    calls, taken_s = timer.autorange()
    calls = max(1, round(calls * ROUND_S / taken_s))
    report(name, [round_s / calls * 1e6 for round_s in timer.repeat(ROUNDS, calls)], "µs")


def report(name: str, values: Sequence[float], unit: str) -> None:
    """Prints the line of one case from what its rounds measured."""
    print(f"{name:<40} {min(values):10.3f} {statistics.median(values):10.3f} {unit}", flush=True)


def main() -> int:
    """Runs the modules named on the command line, or all; 1 if one failed or is not there."""
    known = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    wanted = sys.argv[1:] or known
    if unknown := set(wanted) - set(known):
        print(f"benchmark: unknown module {', '.join(sorted(unknown))}, known are {', '.join(known)}", file=sys.stderr)
        return 1
    return max(_run(module) for module in wanted)


def _run(module: str) -> int:
    print(f"\n{module}: name, min, median, unit", flush=True)
    command = [sys.executable, "-m", f"benchmarks.micro.bench_{module}"]
    return 1 if subprocess.run(command, cwd=FOLDER.parents[1]).returncode else 0


if __name__ == "__main__":
    sys.exit(main())
