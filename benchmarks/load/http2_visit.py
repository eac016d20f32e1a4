"""One client of `idle_memory` that speaks HTTP/2: it gets a script of 100 KB, and stays.

The answer is long on purpose: what a front has once needed for one, it may keep.
"""

import contextlib
import ssl
from dataclasses import replace

import h2.connection
import h2.events

from benchmarks.load.errors import BenchmarkError
from benchmarks.load.front import Front
from benchmarks.load.rivals import Rival
from benchmarks.load.workloads import CACHED_100K_GZIP

RECEIVE_BYTES = 65536


def offering_http2(rival: Rival) -> Rival:
    """`rival`, which speaks TLS, with HTTP/2."""
    files = {name: text.replace(" ssl ", " ssl http2 ") for name, text in rival.files.items()}
    environment = {**rival.environment, "THRUST_HTTP2": "1"}
    return replace(rival, name=f"{rival.name}, h2 after 100 KB", files=files, environment=environment)


def visit_over_http2(front: Front) -> ssl.SSLSocket:
    """A connection that has had its answer and stays open; the caller closes it."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(contextlib.closing(front.connect_tls("h2")))
        client = h2.connection.H2Connection()
        client.initiate_connection()
        client.increment_flow_control_window(len(CACHED_100K_GZIP.content))
        head = {":method": "GET", ":scheme": "https", ":authority": "127.0.0.1", ":path": CACHED_100K_GZIP.path}
        client.send_headers(1, list(head.items()), end_stream=True)
        content = _receive_content(connection, client)
        if content != CACHED_100K_GZIP.content:
            raise BenchmarkError(f"the answer over HTTP/2 has {len(content)} wrong bytes")
        stack.pop_all()
        return connection


def _receive_content(connection: ssl.SSLSocket, client: h2.connection.H2Connection) -> bytes:
    """The content of the one answer that is awaited."""
    content = bytearray()
    while True:
        connection.sendall(client.data_to_send())
        received = connection.recv(RECEIVE_BYTES)
        if not received:
            raise BenchmarkError("the front closed a connection before its answer")
        for event in client.receive_data(received):
            if isinstance(event, h2.events.DataReceived):
                content += event.data
                client.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded):
                connection.sendall(client.data_to_send())
                return bytes(content)
