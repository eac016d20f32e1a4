"""CPU time per request over HTTP/2 and TLS: h2load with 16 connections of 10 streams each.

The fronts are those of the other tables, with a certificate that is made for the run. The number of requests in a run
is what h2load could do in its time; handshakes are part of it, 16 among tens of thousands.
"""

import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, started
from benchmarks.load.machine import require_program
from benchmarks.load.report import ratio, spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.throughput import WARM_UP_S, rotated
from benchmarks.load.upstream import fixed_answers
from benchmarks.load.workloads import Workload

CONNECTIONS, STREAMS = 16, 10

_LISTEN = "listen 127.0.0.1:@port@ backlog=2048;"
_LISTEN_HTTP2 = """listen 127.0.0.1:@port@ ssl http2 backlog=2048;
        ssl_certificate @directory@/certificate.pem;
        ssl_certificate_key @directory@/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One front in one round."""

    cpu_us: float
    requests_per_s: float
    mean_ms: float


def http2(workload: Workload, rivals: Sequence[Rival], rounds: int, seconds: int) -> str:
    """The markdown table of a workload."""
    samples: dict[str, list[Sample]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rotated(rivals, number):
            with started(over_tls(rival), fixed_answers) as front:
                front.wait_until_open()
                sample = _measure(front, workload, seconds)
            samples[rival.name].append(sample)
            print(f"h2-{workload.name} round {number + 1} {rival.name}: {sample}", file=sys.stderr)
    baseline_us = _median(samples.get("nginx", []), "cpu_us")
    rows = [
        [
            name,
            spread([sample.cpu_us for sample in taken], 1),
            ratio(_median(taken, "cpu_us"), baseline_us),
            f"{_median(taken, 'requests_per_s'):,.0f}",
            f"{_median(taken, 'mean_ms'):.2f}",
        ]
        for name, taken in samples.items()
    ]
    return table(["front", "CPU µs/request", "× nginx", "requests/s", "mean ms"], rows)


def over_tls(rival: Rival) -> Rival:
    """`rival` with TLS on its port, and HTTP/2 offered."""
    certificate, key = _certificate()
    files = {name: text.replace(_LISTEN, _LISTEN_HTTP2) for name, text in rival.files.items()}
    environment = {
        **rival.environment,
        "SSL_CERT_PATH": "@directory@/certificate.pem",
        "SSL_KEY_PATH": "@directory@/key.pem",
        "THRUST_HTTP2": "1",
    }
    return replace(rival, files={**files, "certificate.pem": certificate, "key.pem": key}, environment=environment)


@cache
def _certificate() -> tuple[str, str]:
    """A certificate for loopback and its key, as most have them: P-256."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        command = [require_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        return certificate.read_text(), key.read_text()


def _measure(front: Front, workload: Workload, seconds: int) -> Sample:
    url = f"https://127.0.0.1:{front.site.port}{workload.path}"
    _check_answer(url, workload)
    _run_h2load(url, WARM_UP_S)
    before_s = front.cpu_s()
    report = _run_h2load(url, seconds)
    used_s = front.cpu_s() - before_s
    _check_answer(url, workload)
    requests = int(_field(r"(\d+) succeeded, 0 failed, 0 errored", report))
    return Sample(
        cpu_us=used_s / requests * 1e6,
        requests_per_s=requests / seconds,
        mean_ms=_milliseconds(*re.findall(r"time for request: +\S+ +\S+ +([\d.]+)(us|ms|s)", report)[0]),
    )


def _check_answer(url: str, workload: Workload) -> None:
    run = subprocess.run([require_program("curl"), "-sk", "--http2", url], capture_output=True, timeout=30)
    if run.stdout != workload.content:
        raise BenchmarkError(f"{url} brought {len(run.stdout)} wrong bytes, curl ended with {run.returncode}")


def _run_h2load(url: str, seconds: int) -> str:
    command = [require_program("h2load"), f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-D{seconds}", url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if run.returncode or "Application protocol: h2\n" not in run.stdout:
        raise BenchmarkError(f"{' '.join(command)} ended with {run.returncode}: {run.stderr or run.stdout}")
    return run.stdout


def _field(pattern: str, text: str) -> str:
    if found := re.search(pattern, text):
        return found[1]
    raise BenchmarkError(f"h2load's report has no {pattern!r}: {text}")


def _milliseconds(number: str, unit: str) -> float:
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _median(samples: Sequence[Sample], name: str) -> float:
    return statistics.median(getattr(sample, name) for sample in samples) if samples else float("nan")
