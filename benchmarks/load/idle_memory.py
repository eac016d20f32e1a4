"""Memory of a front at rest, and of each idle keep-alive connection.

The connections are opened one after the other, each does one request and stays open: what grows is what a front keeps
for a client that says nothing.
"""

import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front, running
from benchmarks.load.http2_visit import offering_http2, visit_over_http2
from benchmarks.load.proc import MB
from benchmarks.load.report import spread, table
from benchmarks.load.rivals import Rival
from benchmarks.load.throughput import rotated
from benchmarks.load.upstream import fixed_answers
from benchmarks.load.workloads import FORWARD_1K

CONNECTIONS = 2000
SETTLE_S = 1.0  # time for what a front does after an answer: log line, timers, a collection


Visit = Callable[[Front], socket.socket]
"""One client: asks, and returns its connection, which stays open."""


def idle_memory(rivals: Sequence[Rival], rounds: int) -> str:
    """The markdown table of memory at rest."""
    return _table([(rival, visit_over_http1) for rival in rivals], rounds)


def tls_idle_memory(rivals: Sequence[Rival], rounds: int) -> str:
    """The same over TLS, with rows for HTTP/2."""
    guests: list[tuple[Rival, Visit]] = [(rival, visit_over_http1) for rival in rivals]
    return _table([*guests, *((offering_http2(rival), visit_over_http2) for rival in rivals)], rounds)


def _table(guests: Sequence[tuple[Rival, Visit]], rounds: int) -> str:
    samples: dict[str, list[tuple[float, float, float]]] = {rival.name: [] for rival, _ in guests}
    for number in range(rounds):
        for rival, visit in rotated(guests, number):
            with running(rival, fixed_answers, FORWARD_1K.path) as front:
                sample = measure(front, visit)
            samples[rival.name].append(sample)
            print(f"idle-memory round {number + 1} {rival.name}: {sample}", file=sys.stderr)
    rows = [[name, *(spread(column, 1) for column in zip(*taken, strict=True))] for name, taken in samples.items()]
    return table(["front", "RSS MB", "PSS MB", f"KB per idle connection ({CONNECTIONS:,} open)"], rows)


def measure(front: Front, visit: Visit) -> tuple[float, float, float]:
    """RSS and PSS in MB of a front that has done a request or two, and KB of RSS per idle connection."""
    visit(front).close()
    time.sleep(SETTLE_S)
    rest = front.memory()
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(visit(front))) for _ in range(CONNECTIONS)]
        time.sleep(SETTLE_S)
        loaded = front.memory()
        _check_open(connections)
    per_connection_kb = (loaded.rss_bytes - rest.rss_bytes) / CONNECTIONS / 1000
    return rest.rss_bytes / MB, rest.pss_bytes / MB, per_connection_kb


def visit_over_http1(front: Front) -> socket.socket:
    """One GET on a connection that stays open."""
    connection = front.connect()
    connection.request("GET", FORWARD_1K.path)
    response = connection.getresponse()
    if response.status != 200 or response.read() != FORWARD_1K.content:
        raise BenchmarkError(f"an idle connection's request was answered {response.status}, or its body was cut")
    if connection.sock is None:
        raise BenchmarkError("the front closed a connection after its answer")
    return connection.sock


def _check_open(connections: Sequence[socket.socket]) -> None:
    """Raises if the front has closed any of the connections, whose memory would then be missing."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    if closed := poll.poll(0):
        raise BenchmarkError(f"the front closed {len(closed)} of {len(connections)} idle connections")
