"""Runs wrk once and reads its report. Any answer but 2xx or 3xx and any socket error ends the benchmark."""

import re
import subprocess
from dataclasses import dataclass

from benchmarks.load.errors import BenchmarkError
from benchmarks.load.machine import require_program
from benchmarks.load.workloads import Workload

TIMEOUT_S = 10  # the slowest rival needs 0.2 s for 64 requests at once
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class WrkReport:
    """What one run of wrk saw."""

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float


def run_wrk(url: str, workload: Workload, seconds: float, *, connections: int | None = None) -> WrkReport:
    """Drives `workload` at the front `url` for `seconds` over its kept-alive connections, or as many as told."""
    clients = connections or workload.connections
    command = [require_program("wrk"), "-t1", f"-c{clients}", f"-d{seconds:.0f}s", f"--timeout={TIMEOUT_S}s"]
    command += [option for name, value in workload.request_headers.items() for option in ("-H", f"{name}: {value}")]
    command += ["-s", workload.lua] if workload.lua else []
    command += ["--latency", url + workload.path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if run.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended with {run.returncode}: {run.stderr or run.stdout}")
    return parse_report(run.stdout)


def parse_report(text: str) -> WrkReport:
    """The figures in what `wrk --latency` prints."""
    if failure := re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", text):
        raise BenchmarkError(f"wrk reports {failure[0]}, expected are 2xx answers only")
    return WrkReport(
        requests=int(_field(r"(\d+) requests in", text)),
        requests_per_s=float(_field(r"Requests/sec:\s+([\d.]+)", text)),
        p50_ms=_milliseconds(_field(r"\n\s+50%\s+(\S+)", text)),
        p99_ms=_milliseconds(_field(r"\n\s+99%\s+(\S+)", text)),
    )


def _field(pattern: str, text: str) -> str:
    if found := re.search(pattern, text):
        return found[1]
    raise BenchmarkError(f"wrk's report has no {pattern!r}: {text}")


def _milliseconds(duration: str) -> float:
    if found := re.fullmatch(r"([\d.]+)(us|ms|s|m)", duration):
        return float(found[1]) * UNITS_MS[found[2]]
    raise BenchmarkError(f"wrk's report has the duration {duration!r}, understood are us, ms, s and m")
