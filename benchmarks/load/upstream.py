"""The two upstreams, as command lines: an nginx with fixed answers, and a server that streams bodies at a set pace.

They run on the load core, whoever starts them: the harness, or a front that starts its worker itself.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.load.machine import LOAD_CORE, require_program
from benchmarks.load.workloads import WORKLOADS

UpstreamCommand = Callable[[int, Path], list[str]]
"""(port, scratch folder) → command line of an upstream that listens on 127.0.0.1."""

# Connections are kept for as long as a run lasts: no rival may lose time, or a request, to a redial.
CONFIG = """
worker_processes 1;
worker_rlimit_nofile 16384;
pid @directory@/upstream.pid;
error_log @directory@/upstream-error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path @directory@/upstream-client_body;
    proxy_temp_path @directory@/upstream-proxy;
    fastcgi_temp_path @directory@/upstream-fastcgi;
    uwsgi_temp_path @directory@/upstream-uwsgi;
    scgi_temp_path @directory@/upstream-scgi;
    server {{
        listen 127.0.0.1:@port@ backlog=2048;
        {locations}
    }}
}}
"""


def fixed_answers(port: int, directory: Path) -> list[str]:
    """nginx that answers each workload's path as its `location` says."""
    config = CONFIG.format(locations="\n        ".join(workload.location for workload in WORKLOADS))
    path = directory / "upstream.conf"
    path.write_text(config.replace("@port@", str(port)).replace("@directory@", str(directory)))
    error_log = str(directory / "upstream-error.log")
    return _on_load_core(require_program("nginx"), "-e", error_log, "-c", str(path), "-g", "daemon off;")


def paced_bodies(port: int, directory: Path) -> list[str]:
    """`streaming_upstream.py`: downloads as fast as they are taken, uploads read slowly."""
    script = Path(__file__).with_name("streaming_upstream.py")
    return _on_load_core(sys.executable, str(script), str(port))


def _on_load_core(*command: str) -> list[str]:
    return [require_program("taskset"), "-c", str(LOAD_CORE), *command]
