"""The upstreams, as command lines: an nginx with fixed answers, one that streams bodies at a set pace, a slow one.

They run on the load core, whoever starts them: the harness, or a front that starts its worker itself.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.load.machine import LOAD_CORE, require_program
from benchmarks.load.workloads import WORKLOADS

UpstreamCommand = Callable[[int, Path], list[str]]
"""(port, scratch folder) → command line of an upstream that listens on 127.0.0.1."""

REQUESTS = "requests.log"
"""File in the run's directory in which `slow_asset` keeps a line per request: its target."""

REQUESTS_PATH = "/-/requests"
"""Here `fixed_answers` tells, by nginx's `stub_status`, how many requests it has had."""

# Connections are kept for as long as a run lasts: no rival may lose time, or a request, to a redial.
CONFIG = """
worker_processes 1;
worker_rlimit_nofile 16384;
pid @directory@/upstream.pid;
error_log @directory@/upstream-error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path @directory@/upstream-client_body;
    proxy_temp_path @directory@/upstream-proxy;
    fastcgi_temp_path @directory@/upstream-fastcgi;
    uwsgi_temp_path @directory@/upstream-uwsgi;
    scgi_temp_path @directory@/upstream-scgi;
    server {{
        listen 127.0.0.1:@port@ backlog=2048;
        location = {requests_path} {{ stub_status; }}
        {locations}
    }}
}}
"""


def fixed_answers(port: int, directory: Path) -> list[str]:
    """nginx that answers each workload's path as its `location` says."""
    for workload in WORKLOADS:
        (directory / workload.name).write_bytes(workload.content)
    locations = "\n        ".join(workload.location for workload in WORKLOADS)
    config = CONFIG.format(requests_path=REQUESTS_PATH, locations=locations)
    path = directory / "upstream.conf"
    path.write_text(config.replace("@port@", str(port)).replace("@directory@", str(directory)))
    error_log = str(directory / "upstream-error.log")
    return _on_load_core(require_program("nginx"), "-e", error_log, "-c", str(path), "-g", "daemon off;")


def paced_bodies(port: int, directory: Path) -> list[str]:
    """`streaming_upstream.py`: downloads as fast as they are taken, uploads read slowly."""
    script = Path(__file__).with_name("streaming_upstream.py")
    return _on_load_core(sys.executable, str(script), str(port))


def slow_asset(port: int, directory: Path) -> list[str]:
    """`slow_upstream.py`: cacheable answers after a while; writes down what it is asked for."""
    script = Path(__file__).with_name("slow_upstream.py")
    return _on_load_core(sys.executable, str(script), str(port), str(directory / REQUESTS))


def _on_load_core(*command: str) -> list[str]:
    return [require_program("taskset"), "-c", str(LOAD_CORE), *command]
