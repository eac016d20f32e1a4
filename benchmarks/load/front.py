"""One run of one front: starts it pinned to its core, with its upstream; measures it; stops both.

The front's processes are those of its tree that are pinned to the front's core. That leaves out the worker of a front
which starts the upstream itself, since the upstream's command line pins it to the load core.
"""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from benchmarks.load import proc
from benchmarks.load.answer import Answer
from benchmarks.load.errors import BenchmarkError
from benchmarks.load.machine import FRONT_CORE, free_port, require_program
from benchmarks.load.rivals import Rival, Site
from benchmarks.load.rivals.base import CERTIFICATE, KEY
from benchmarks.load.upstream import REQUESTS_PATH, UpstreamCommand

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.0005

OUTPUT = "output.log"
"""File in the run's directory that holds what the front prints."""


NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Front:
    """A running front."""

    def __init__(
        self, processes: list[subprocess.Popen[bytes]], site: Site, started_at: float, *, speaks_tls: bool = False
    ) -> None:
        self.speaks_tls = speaks_tls
        self.processes = processes
        """The front itself, then the writer of its log if it has one."""
        self.site = site
        self.started_at = started_at
        """`time.perf_counter()` just before the front was executed."""

    @property
    def url(self) -> str:
        """Address of the front without a path."""
        return f"{'https' if self.speaks_tls else 'http'}://127.0.0.1:{self.site.port}"

    def connect(self) -> http.client.HTTPConnection:
        """A client connection to the front, not open yet; the caller closes it."""
        return _connection(self.site.port, self.speaks_tls)

    def connect_tls(self, protocol: str) -> ssl.SSLSocket:
        """A connection that speaks `protocol` over TLS; the caller closes it."""
        context = _client_context()
        context.set_alpn_protocols([protocol])
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", self.site.port), timeout=60))
        if connection.selected_alpn_protocol() != protocol:
            connection.close()
            raise BenchmarkError(f"the front does not speak {protocol}")
        return connection

    def pids(self) -> list[int]:
        """The front's own processes; raises if it has died."""
        for process in self.processes:
            if process.poll() is not None:
                raise BenchmarkError(f"{process.args!r} ended with {process.returncode}")
        return proc.on_core([pid for process in self.processes for pid in proc.tree(process.pid)], FRONT_CORE)

    def cpu_s(self) -> float:
        """CPU seconds that the front has used so far."""
        return proc.cpu_s(self.pids())

    def memory(self) -> proc.Memory:
        """Resident memory of the front now."""
        return proc.memory(self.pids())

    def wait_until_open(self) -> None:
        """Returns when the front's port accepts a connection."""
        _wait_for_port(self.site.port, self.processes[0])

    def fetch(self, path: str, headers: Mapping[str, str] = NO_HEADERS) -> Answer:
        """The answer to a GET through the front, which must be a 200."""
        return _fetch(self.site.port, path, headers, speaks_tls=self.speaks_tls)

    def requests_forwarded(self) -> int:
        """Requests that an upstream of `fixed_answers` has had so far, these questions included."""
        status = _fetch(self.site.upstream_port, REQUESTS_PATH).body
        return int(status.splitlines()[2].split()[2])  # accepted and handled connections, requests


@contextmanager
def started(rival: Rival, upstream: UpstreamCommand) -> Iterator[Front]:
    """A front that was just executed, in front of an upstream; its port need not be open yet."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        directory.chmod(0o755)  # nginx's workers give up root and still have to reach their files
        upstream_port = free_port()
        command = upstream(upstream_port, directory)
        site = Site(free_port(), upstream_port, directory, command)
        if not rival.starts_upstream:
            upstream_log = directory / "upstream.log"
            process = stack.enter_context(_process(command, upstream_log, _environment(directory)))
            _wait_for_port(upstream_port, process)
        for name, text in rival.files.items():
            (directory / name).write_text(site.fill(text))
        if rival.speaks_tls:
            make_certificate(directory)
        environment = _environment(directory) | {key: site.fill(value) for key, value in rival.environment.items()}
        started_at = time.perf_counter()
        process = stack.enter_context(_process(_command(rival, site), directory / OUTPUT, environment))
        processes = [process]
        if rival.log_writer:
            log_writer = _on_front_core(site, *rival.log_writer)
            processes.append(stack.enter_context(_process(log_writer, directory / "log_writer.log", environment)))
        try:
            yield Front(processes, site, started_at, speaks_tls=rival.speaks_tls)
        except (BenchmarkError, OSError, http.client.HTTPException) as error:
            printed = (directory / OUTPUT).read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"{rival.name}: {error or repr(error)}\n{printed}".strip()) from error


@contextmanager
def running(rival: Rival, upstream: UpstreamCommand, path: str) -> Iterator[Front]:
    """A front that has already answered one GET of `path`, in front of an upstream."""
    with started(rival, upstream) as front:
        front.wait_until_open()
        front.fetch(path)
        yield front


def make_certificate(directory: Path) -> None:
    """Writes a certificate and its key, of the kind that authorities hand out today: ECDSA with P-256."""
    command = [require_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(directory / KEY), "-out", str(directory / CERTIFICATE)]
    subprocess.run(command, check=True, capture_output=True)


def _connection(port: int, speaks_tls: bool) -> http.client.HTTPConnection:
    if not speaks_tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=_client_context())


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nobody has signed it
    return context


def _fetch(port: int, path: str, headers: Mapping[str, str] = NO_HEADERS, *, speaks_tls: bool = False) -> Answer:
    """The answer to a GET on a connection of its own, which must be a 200."""
    connection = _connection(port, speaks_tls)
    # Without `skip_accept_encoding` the library itself would say that no coding is accepted, which wrk does not.
    with contextlib.closing(connection):
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
    if response.status != 200:
        raise BenchmarkError(f"GET {path} was answered {response.status}, expected is 200")
    return Answer(response.getheader("Content-Encoding", "identity"), body)


def _command(rival: Rival, site: Site) -> list[str]:
    """The front's whole command line, pinned to its core."""
    worker = site.upstream_command if rival.starts_upstream else []
    return [*_on_front_core(site, rival.program, *rival.arguments), *worker]


def _on_front_core(site: Site, program: str, *arguments: str) -> list[str]:
    taskset = [require_program("taskset"), "-c", str(FRONT_CORE)]
    return [*taskset, require_program(program), *(site.fill(argument) for argument in arguments)]


def _environment(directory: Path) -> dict[str, str]:
    """The same small environment for every front: nothing of the caller's may slow one of them down."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(directory), "LANG": "C.UTF-8"}


@contextmanager
def _process(command: list[str], output: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, printing into `output`; stopped on the way out."""
    with output.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=output.parent,
            env=environment,
            start_new_session=True,  # a Ctrl-C is for the harness, which then stops everything in order
        )
    try:
        yield process
    finally:
        _stop(process)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Returns when `port` of 127.0.0.1 accepts a connection, for which `process` has to live."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchmarkError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(POLL_INTERVAL_S)
    raise BenchmarkError(f"port {port} is not open {START_TIMEOUT_S:.0f} s after the start of {process.args!r}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and, if it does not obey, its whole tree."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        print(f"killed after {STOP_TIMEOUT_S:.0f} s: {process.args!r}", file=sys.stderr)
        for pid in proc.tree(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
