"""The machine under the benchmark: its cores, limits and programs, and the lines that describe it above a table.

The front has core 1 for itself. Everything else (this harness, wrk, the upstream) shares core 0.
"""

import contextlib
import os
import platform
import random
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks.load.errors import BenchmarkError
from benchmarks.load.rivals import Rival

LOAD_CORE = 0
FRONT_CORE = 1

# Open files for 2,000 idle connections in the harness, and twice that in a front that pairs them with upstream ones.
NEEDED_FILES = 8192

# Below 32768, from where Linux numbers the client side of connections: a probe of a port that is not open yet might be
# given that very port as its own, and would then connect to itself.
SERVER_PORTS = range(20_000, 30_000)
_untried_ports = iter(random.sample(SERVER_PORTS, len(SERVER_PORTS)))

# Debian packages of the programs that every load benchmark uses, whatever the rivals.
TOOLS = {
    "taskset": "util-linux",
    "wrk": "wrk",
    "nginx": "nginx",
    "openssl": "openssl",
    "h2load": "nghttp2-client",
    "curl": "curl",
}

# Decides what a byte costs: bbr paces by timers, and a download takes twice the CPU time that it takes with cubic.
CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")

REPOSITORY = Path(__file__).parents[2]


def prepare() -> None:
    """Pins this process and with it all that it starts to the load core, and raises the limit of open files."""
    usable = os.sched_getaffinity(0)
    if not {LOAD_CORE, FRONT_CORE} <= usable:
        raise BenchmarkError(f"cores {LOAD_CORE} and {FRONT_CORE} are needed, usable are {sorted(usable)}")
    os.sched_setaffinity(0, {LOAD_CORE})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < NEEDED_FILES:
        raise BenchmarkError(f"the limit of open files is {hard}, {NEEDED_FILES} are needed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (NEEDED_FILES, hard))


def find_program(name: str) -> str | None:
    """Path of a program: this interpreter's environment first, then PATH, then where Debian keeps servers."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(folders))


def require_program(name: str) -> str:
    """Path of a program that has to be there."""
    if path := find_program(name):
        return path
    raise BenchmarkError(f"{name} is not installed")


def check_tools(rivals: Iterable[Rival]) -> None:
    """Raises with one sentence if a program from Debian is missing that measuring `rivals` takes."""
    needed = TOOLS | {
        program: rival.debian_package
        for rival in rivals
        for program in (rival.program, *rival.log_writer[:1])
        if rival.debian_package
    }
    missing = {name: package for name, package in needed.items() if find_program(name) is None}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise BenchmarkError(f"missing {', '.join(missing)}: install Debian's {packages} (apt-get install {packages})")


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now; never the same twice."""
    for port in _untried_ports:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise BenchmarkError(f"no free port is left between {SERVER_PORTS.start} and {SERVER_PORTS.stop}")


def description(rivals: Iterable[Rival]) -> str:
    """Markdown lines saying when, on what and with which versions the run was made."""
    facts = {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Commit": _commit(),
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "Kernel": f"{platform.system()} {platform.release()}, TCP {CONGESTION_CONTROL.read_text().strip()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Fronts": ", ".join(f"{rival.name} {_version(rival)}" for rival in rivals),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    commit = _output("git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD")
    changed = _output("git", "-C", str(REPOSITORY), "status", "--porcelain", "--untracked-files=no")
    return f"{commit or 'none yet'}{' with uncommitted changes' if changed else ''}"


def _version(rival: Rival) -> str:
    if rival.distributions:
        return "+".join(metadata.version(distribution) for distribution in rival.distributions)
    printed = _output(require_program(rival.program), *rival.version_arguments)
    found = re.search(r"\d+(\.\d+)+", printed)
    return found[0] if found else "of unknown version"


def _output(*command: str) -> str:
    """What a command prints, on either stream; empty if it fails."""
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    return run.stdout.strip() if run.returncode == 0 else ""
