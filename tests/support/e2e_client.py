"""An HTTP/1.1 client on a bare socket, for tests that care about every byte.

It sends what it is told, in whatever pieces, and reads answers strictly: framing is checked, interim answers and
trailers are kept, bytes after the end of an answer stay in `rest`. It follows nothing, repeats nothing, and every wait
for the other side is bounded.
"""

import contextlib
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

BOUND_S = 30.0
"""Longer than anything here takes on a busy machine; reaching it is a failure."""

RECEIVE_BYTES = 262144

FieldLine = tuple[str, str]


class Ended(Exception):
    """The other side has closed the connection where more was expected."""


@dataclass
class Answer:
    """A response; `interim` holds those with 1xx that came before it."""

    status: int
    reason: str
    fields: list[FieldLine]
    body: bytes = b""
    trailers: list[FieldLine] = field(default_factory=list)
    interim: list["Answer"] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        """The value of the field, None if it is missing; there must not be two."""
        values = [value for key, value in self.fields if key == name.lower()]
        assert len(values) <= 1, f"{name} comes {len(values)} times"
        return values[0] if values else None

    @property
    def is_chunked(self) -> bool:
        return self.get("transfer-encoding") == "chunked"

    @property
    def ends_connection(self) -> bool:
        return "close" in (self.get("connection") or "").lower()

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection to 127.0.0.1:`port`, or another `host`."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, receive_buffer_bytes: int | None = None) -> None:
        self.host = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.rest = bytearray()
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            self.socket.settimeout(BOUND_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer_bytes is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            self.socket.connect((host, port))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    # Sending

    def send(self, *pieces: bytes) -> None:
        """Each piece with a system call of its own, and mostly a packet of its own."""
        for piece in pieces:
            self.socket.sendall(piece)

    def send_head(self, method: str, target: str, *fields: FieldLine) -> None:
        """Request line and fields; Host is added unless given."""
        self.send(self.head(method, target, *fields))

    def head(self, method: str, target: str, *fields: FieldLine) -> bytes:
        lines = [] if any(name.lower() == "host" for name, _ in fields) else [("Host", self.host)]
        text = "".join(f"{name}: {value}\r\n" for name, value in [*lines, *fields])
        return f"{method} {target} HTTP/1.1\r\n{text}\r\n".encode("latin-1")

    def send_request(
        self,
        method: str,
        target: str,
        *fields: FieldLine,
        body: bytes | None = None,
        chunks: Iterable[bytes] | None = None,
    ) -> None:
        """A request with `body`, or with `chunks` as chunked content, or without any."""
        if chunks is not None:
            self.send(self.head(method, target, *fields, ("Transfer-Encoding", "chunked")))
            self.send(*map(chunk, chunks), b"0\r\n\r\n")
        elif body is not None:
            self.send(self.head(method, target, *fields, ("Content-Length", str(len(body)))) + body)
        else:
            self.send_head(method, target, *fields)

    def end_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    # Receiving

    def exchange(
        self,
        method: str,
        target: str,
        *fields: FieldLine,
        body: bytes | None = None,
        chunks: Iterable[bytes] | None = None,
    ) -> Answer:
        """The answer to a request."""
        self.send_request(method, target, *fields, body=body, chunks=chunks)
        return self.receive(method)

    def get(self, target: str, *fields: FieldLine) -> Answer:
        return self.exchange("GET", target, *fields)

    def receive(self, method: str = "GET") -> Answer:
        """The next final answer, read to its end."""
        answer = self.receive_head()
        has_body = method != "HEAD" and answer.status not in (204, 304)
        if has_body and answer.is_chunked:
            answer.body = b"".join(self.chunks(answer))
        elif has_body and answer.get("content-length") is not None:
            answer.body = self.take(int(answer.get("content-length") or ""))
        elif has_body:
            answer.body = self.take_all()
        return answer

    def receive_head(self) -> Answer:
        """The head of the next final answer, after all interim ones."""
        interim = []
        while (answer := self.receive_one()).status < 200 and answer.status != 101:
            interim.append(answer)
        answer.interim = interim
        return answer

    def receive_one(self) -> Answer:
        """The head of the next answer, which may be an interim one."""
        start_line, *lines = self._take_through(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        version, status, reason = start_line.split(" ", 2)
        assert version == "HTTP/1.1" and len(status) == 3, start_line
        return Answer(int(status), reason, [_parse_field(line) for line in lines])

    def chunks(self, answer: Answer) -> Iterable[bytes]:
        """Each chunk as it arrives; afterwards `answer` has its trailers."""
        while size := int(self._take_through(b"\r\n"), 16):
            yield self.take(size)
            assert self.take(2) == b"\r\n"
        while line := self._take_through(b"\r\n")[:-2]:
            answer.trailers.append(_parse_field(line.decode("latin-1")))

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        while len(self.rest) < size:
            self._receive()
        taken = bytes(self.rest[:size])
        del self.rest[:size]
        return taken

    def take_all(self) -> bytes:
        """Everything up to the end of the connection, which must be an orderly one."""
        with contextlib.suppress(Ended):
            while True:
                self._receive()
        taken = bytes(self.rest)
        self.rest.clear()
        return taken

    def expect_end(self) -> None:
        """Assert that the other side closes, in good order and without another byte."""
        assert self.take_all() == b""

    def is_aborted(self) -> bool:
        """Whether the connection ends with a reset; what comes before it is ignored."""
        try:
            self.take_all()
        except ConnectionResetError:
            return True
        return False

    def _take_through(self, end: bytes) -> bytes:
        searched = 0
        while (at := self.rest.find(end, searched)) < 0:
            searched = max(0, len(self.rest) - len(end))
            self._receive()
        return self.take(at + len(end))

    def _receive(self) -> None:
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise Ended(f"the connection has ended after {bytes(self.rest[:200])!r}")
        self.rest += data


def chunk(content: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def _parse_field(line: str) -> FieldLine:
    name, colon, value = line.partition(":")
    assert colon and name == name.strip(), line
    return name.lower(), value.strip()


def get(port: int, target: str = "/", *fields: FieldLine, host: str = "127.0.0.1") -> Answer:
    """The answer to a GET on a connection of its own."""
    with Client(port, host) as client:
        return client.get(target, *fields)
