"""What a request over HTTP/2 costs, part by part, beside what h2 alone takes for the same frames.

The client is the one of h2load: a GET with six fields, whose section comes again byte for byte as soon as its table has
settled, ten to a read. `a whole hit` is the server's connection with a response that is prepared already, without
sockets and observers; what a case below it does not show is the work of the server itself.
"""

import asyncio
import time
from functools import partial
from itertools import count, islice
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
from hpack import Decoder, Encoder

from benchmarks.micro.run import bench
from thrust.http.headers import Headers
from thrust.http.message import Request, Response
from thrust.server.front import Front, Timeouts
from thrust.server.http2 import Http2Connection
from thrust.wire.http1.requests import RequestParser
from thrust.wire.http2.engine import Engine
from thrust.wire.http2.events import RequestReceived
from thrust.wire.http2.field_blocks import FieldDecoder, response_block

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
FIELDS = [
    *[(b":method", b"GET"), (b":path", b"/assets/app-3f9a2c1b7d.js"), (b":scheme", b"https")],
    *[(b":authority", b"127.0.0.1:3000"), (b"user-agent", b"h2load nghttp2/1.52.0"), (b"accept", b"*/*")],
]
ANSWER = [
    *[(b"server", b"nginx"), (b"date", b"Mon, 23 Nov 2026 12:00:00 GMT"), (b"content-type", b"text/javascript")],
    *[(b"etag", b'"67410000-2800"'), (b"cache-control", b"public, max-age=31536000, immutable")],
    *[(b"age", b"5"), (b"x-cache", b"hit"), (b"cache-status", b"thrust; hit; ttl=31535995")],
]
BODY = b"x" * 10240
PER_READ = 10
LARGEST_WINDOW = bytes((0, 0, 4, 8, 0, 0, 0, 0, 0)) + (2**31 - 65536).to_bytes(4, "big")


def headers_frame(stream_id: int, block: bytes) -> bytes:
    """HEADERS with END_HEADERS and END_STREAM."""
    return len(block).to_bytes(3, "big") + b"\x01\x05" + stream_id.to_bytes(4, "big") + block


class Reads:
    """Reads of ten requests each: the same section every time, or a path that has not been seen (`is_new`)."""

    def __init__(self, *, is_new: bool = False) -> None:
        self._encoder = Encoder()
        self._stream_ids = count(1, 2)
        self._is_new = is_new
        self.first = headers_frame(next(self._stream_ids), self._encoder.encode(FIELDS))
        self._block = self._encoder.encode(FIELDS)
        # As browsers do it: the path enters no table.
        self._rest = self._encoder.encode([field for field in FIELDS if field[0] != b":path"])

    def next(self) -> bytes:
        """Ten frames."""
        return b"".join(headers_frame(number, self._section(number)) for number in islice(self._stream_ids, PER_READ))

    def _section(self, number: int) -> bytes:
        return b"\x04\x0a/%09d" % number + self._rest if self._is_new else self._block


class Wire:
    """A transport that takes everything."""

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass


def new_engine(reads: Reads) -> Engine:
    """One that has seen the first request."""
    engine = Engine(RequestParser(), time.monotonic)
    engine.begin()
    list(engine.receive(PREFACE + LARGEST_WINDOW + reads.first))
    engine.send_head(1, response_block(204, []), ends_stream=True)
    engine.take_output()
    return engine


def exchange(engine: Engine, reads: Reads, block: bytes) -> None:
    """Ten requests and their answers."""
    for event in engine.receive(reads.next()):
        engine.send_head(cast(RequestReceived, event).stream_id, block)
        engine.send_content(cast(RequestReceived, event).stream_id, BODY, ends_stream=True)
    engine.take_output()
    engine._h2.outbound_flow_control_window = 2**31 - 1


def exchange_by_h2(connection: h2.connection.H2Connection, reads: Reads) -> None:
    """The same with h2's own functions."""
    for event in connection.receive_data(reads.next()):
        if isinstance(event, h2.events.RequestReceived):
            connection.send_headers(event.stream_id, [(b":status", b"200"), *ANSWER])
            connection.send_data(event.stream_id, BODY, end_stream=True)
    connection.data_to_send()
    connection.outbound_flow_control_window = 2**31 - 1


def new_h2(reads: Reads) -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(client_side=False, header_encoding=None)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    connection.receive_data(PREFACE + LARGEST_WINDOW + reads.first)
    connection.send_headers(1, [(b":status", b"204")], end_stream=True)
    return connection


def new_connection(loop: asyncio.AbstractEventLoop, reads: Reads) -> Http2Connection:
    """The server's, in front of a response that is prepared."""
    response = Response(200, Headers(list(ANSWER)), BODY)
    response.head_memo = b""

    async def handler(request: Request) -> Response:
        return response

    front = Front(handler, [], Timeouts(120, 30, 30), lambda error: response, at_once=lambda request: response)
    connection = Http2Connection(front, loop, b"https")
    connection.connection_made(cast(asyncio.Transport, Wire()))
    connection.data_received(PREFACE + LARGEST_WINDOW + reads.first)
    return connection


def hit(connection: Http2Connection, reads: Reads) -> None:
    """Ten hits."""
    connection.data_received(reads.next())
    connection.engine._h2.outbound_flow_control_window = 2**31 - 1


def main() -> None:
    """Prints a line per case."""
    known = Reads()
    loop = asyncio.new_event_loop()
    block = response_block(200, ANSWER)
    bench("10 known requests made (harness)", Reads().next)
    bench("10 unknown requests made (harness)", Reads(is_new=True).next)
    reads = Reads()
    bench("10 exchanges by h2 alone", partial(exchange_by_h2, new_h2(reads), reads))
    reads = Reads()
    bench("10 exchanges by the engine", partial(exchange, new_engine(reads), reads, block))
    reads = Reads(is_new=True)
    bench("10 exchanges, paths unknown", partial(exchange, new_engine(reads), reads, block))
    bench("10 whole hits", partial(hit, new_connection(loop, known), known))
    loop.close()
    encoder = Encoder()
    first, again = encoder.encode(FIELDS), encoder.encode(FIELDS)
    for name, decoder in (("ours", FieldDecoder()), ("hpack's", Decoder())):
        decode = decoder.decode_block if isinstance(decoder, FieldDecoder) else partial(decoder.decode, raw=True)
        decode(first)
        bench(f"an indexed section decoded, {name}", partial(decode, again))
    bench("a response head encoded, lines known", partial(response_block, 200, ANSWER))
    bench("a response head encoded by hpack", partial(Encoder().encode, [(b":status", b"200"), *ANSWER]))


if __name__ == "__main__":
    main()
