"""Other readers of HTTP/1.1 than ours: h11, llhttp, Python's own http.server, and a dozen lines of chunk reading.

Workers are built on them, so they are who a smuggled request would be smuggled past. Each takes all bytes of a
connection and tells which requests (or which response) are in them, up to the first thing that it refuses.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import h11
import httptools

from thrust.http.headers import FieldLine

LARGE_BYTES = 2**20
"""Head size up to which h11 reads; ours ends earlier."""


@dataclass
class Seen:
    """One message as a witness saw it; names of fields in lower case."""

    start: tuple[bytes, ...] = ()
    lines: list[FieldLine] = field(default_factory=list)
    content: bytes = b""
    trailers: list[FieldLine] = field(default_factory=list)


@dataclass
class Testimony:
    """Complete messages, why no more of them, and what was left unread."""

    messages: list[Seen]
    error: Exception | None = None
    rest: bytes = b""


# --- h11 --------------------------------------------------------------------------------------------------------------


def h11_on_requests(data: bytes) -> Testimony:
    """What a server on h11 sees; it answers each request at once, and stops where the connection is to be closed."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGE_BYTES)
    connection.receive_data(data)
    seen: list[Seen] = []
    try:
        while (message := _h11_message(connection, h11.Request)) is not None:
            seen.append(message)
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                break
            connection.start_next_cycle()
    except h11.ProtocolError as error:
        return Testimony(seen, error, connection.trailing_data[0])
    return Testimony(seen, rest=connection.trailing_data[0])


def h11_on_response(data: bytes, method: bytes) -> Testimony:
    """What a client on h11 sees in answer to one request, interim responses included, when the connection then ends."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGE_BYTES)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    seen: list[Seen] = []
    try:
        while (message := _h11_message(connection, h11.Response, h11.InformationalResponse)) is not None:
            seen.append(message)
            if int(message.start[0]) >= 200:
                break
    except h11.ProtocolError as error:
        return Testimony(seen, error)
    return Testimony(seen, rest=connection.trailing_data[0])


def _h11_message(connection: h11.Connection, *heads: type[Any]) -> Seen | None:
    """The next complete message, None if there is none."""
    message = Seen()
    while True:
        event = connection.next_event()
        if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            return None
        if isinstance(event, heads):
            message.lines = list(event.headers)
            if isinstance(event, h11.Request):
                message.start = (event.method, event.target, event.http_version)
            else:
                message.start = (b"%d" % event.status_code,)
            if isinstance(event, h11.InformationalResponse):
                return message
        elif isinstance(event, h11.Data):
            message.content += event.data
        else:
            assert isinstance(event, h11.EndOfMessage)
            message.trailers = list(event.headers)
            return message


# --- llhttp, as uvicorn and others use it -----------------------------------------------------------------------------


class _LlhttpReader:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._message = Seen()
        self._target = b""
        self._is_in_trailers = False
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self._message = Seen()
        self._target = b""
        self._is_in_trailers = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        lines = self._message.trailers if self._is_in_trailers else self._message.lines
        lines.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._is_in_trailers = True
        version = self.parser.get_http_version().encode()
        self._message.start = (self.parser.get_method(), self._target, version)

    def on_body(self, body: bytes) -> None:
        self._message.content += body

    def on_message_complete(self) -> None:
        self.seen.append(self._message)


def llhttp_on_requests(data: bytes) -> Testimony:
    """What a server on httptools sees; an offered upgrade ends HTTP."""
    reader = _LlhttpReader()
    try:
        reader.parser.feed_data(data)
    except httptools.HttpParserUpgrade as upgrade:
        return Testimony(reader.seen, rest=data[upgrade.args[0] :])
    except httptools.HttpParserError as error:
        return Testimony(reader.seen, error)
    return Testimony(reader.seen)


# --- http.server, as Django's and Werkzeug's development servers use it -----------------------------------------------


class _StandardHandler(BaseHTTPRequestHandler):
    """BaseHTTPRequestHandler around bytes; the bodies, which it leaves to its subclasses, by its own fields."""

    protocol_version = "HTTP/1.1"

    def __init__(self, data: bytes) -> None:
        self.rfile = io.BytesIO(data)
        self.wfile = io.BytesIO()
        self.client_address = ("127.0.0.1", 1)
        self.close_connection = False
        self.error: ValueError | None = None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.error = ValueError(f"{code} {message}")

    def read_request(self) -> Seen | None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return None
        message = Seen((self.command.encode(), self.path.encode("latin-1"), self.request_version[-3:].encode()))
        message.lines = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()
        ]
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            dechunked = dechunk(self.rfile.read())
            if dechunked is None:
                return None
            message.content, message.trailers, rest = dechunked
            self.rfile = io.BytesIO(rest)
        else:
            length = int(self.headers.get("content-length", 0))
            message.content = self.rfile.read(length)
            if len(message.content) < length:
                return None
        return message


def http_server_on_requests(data: bytes) -> Testimony:
    """What a server on http.server and the email parser below it sees."""
    handler = _StandardHandler(data)
    seen: list[Seen] = []
    try:
        while not handler.close_connection and (message := handler.read_request()) is not None:
            seen.append(message)
    except ValueError as error:
        return Testimony(seen, error)
    return Testimony(seen, handler.error, handler.rfile.read())


WITNESSES: dict[str, Callable[[bytes], Testimony]] = {
    "h11": h11_on_requests,
    "llhttp": llhttp_on_requests,
    "http.server": http_server_on_requests,
}


# --- A reference ------------------------------------------------------------------------------------------------------


def dechunk(data: bytes) -> tuple[bytes, list[FieldLine], bytes] | None:
    """Content, trailers and rest of a chunked body by the letter of RFC 9112 §7.1; None if it is not complete.

    Raises ValueError for a size that is none, and for data that does not end where it says.
    """
    content = b""
    while True:
        line, crlf, data = data.partition(b"\r\n")
        if not crlf:
            return None
        digits = line.partition(b";")[0]
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):
            raise ValueError(f"size {digits!r}")
        size = int(digits, 16)
        if size == 0:
            break
        if len(data) < size + 2:
            return None
        if data[size : size + 2] != b"\r\n":
            raise ValueError(f"{data[size : size + 2]!r} after a chunk")
        content += data[:size]
        data = data[size + 2 :]
    trailers: list[FieldLine] = []
    while True:
        line, crlf, data = data.partition(b"\r\n")
        if not crlf:
            return None
        if not line:
            return content, trailers, data
        name, _, value = line.partition(b":")
        trailers.append((name.lower(), value.strip(b" \t")))
