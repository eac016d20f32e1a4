"""Requests for compressible pages on a Stage, and the answers as a client takes them apart.

For tests/conversations/test_compression*.py, where what counts is the content behind a coding whose bytes are nobody's
promise. Framing is read strictly: a stream that was cut off never looks like one that has ended.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from tests.coding.reference import decoded, text
from tests.support.conversation import Stage, perform

CODINGS = ("br", "zstd", "gzip")
PAGE = text(5000)
HTML = "Content-Type: text/html"


@dataclass
class Answer:
    """A response as it came over the wire; `chunks` are None if it was not chunked, `trailers` lines as they came."""

    status: int
    lines: list[str]
    content: bytes
    chunks: list[bytes] | None = None
    trailers: list[str] = field(default_factory=list)
    is_complete: bool = True

    def values(self, name: str) -> list[str]:
        """The values of all lines of that name."""
        return [line.partition(": ")[2] for line in self.lines if line.partition(": ")[0] == name]

    def get(self, name: str) -> str | None:
        """The value of the one line of that name, None if there is none."""
        values = self.values(name)
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def coding(self) -> str | None:
        return self.get("content-encoding")

    @property
    def decoded(self) -> bytes:
        """The content without its coding, which must be complete."""
        return self.content if self.coding is None else decoded(self.coding.encode(), self.content)


def answer_in(received: bytes, *, method: str = "GET") -> Answer:
    """The one answer that was received."""
    head, _, rest = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    answer = Answer(int(status_line.split()[1]), lines, rest)
    if method == "HEAD" or answer.status in (204, 304):
        assert rest == b""
    elif answer.get("transfer-encoding") == "chunked":
        _read_chunks(answer, rest)
    elif length := answer.get("content-length"):
        answer.is_complete = len(rest) == int(length)
        assert len(rest) <= int(length)
    return answer


def _read_chunks(answer: Answer, rest: bytes) -> None:
    answer.chunks, answer.is_complete = [], False
    while match := re.match(rb"([0-9a-f]+)\r\n", rest):
        size = int(match[1], 16)
        rest = rest[match.end() :]
        if size == 0:
            section, ending, after = (b"\r\n" + rest).partition(b"\r\n\r\n")
            assert after == b""
            answer.trailers = section.decode("latin-1").split("\r\n")[1:]
            answer.is_complete = ending != b""
            break
        assert rest[size : size + 2] in (b"\r\n", b"\r", b"")
        answer.chunks.append(rest[:size])
        rest = rest[size + 2 :]
    answer.content = b"".join(answer.chunks)


def request(*fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request for /page."""
    lines = [f"{method} /page HTTP/{version}", "Host: example.org", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def accepting(accept_encoding: str | None) -> list[str]:
    """The field line with which a client accepts these codings; None says nothing."""
    return [] if accept_encoding is None else [f"Accept-Encoding: {accept_encoding}"]


def response(*fields: str, body: bytes = PAGE, status: str = "200 OK") -> bytes:
    """A worker's response with a Content-Length."""
    return response_head(*fields, f"Content-Length: {len(body)}", status=status) + body


def response_head(*fields: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()


def chunked(*pieces: bytes) -> bytes:
    """Chunks, without the last one."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


@dataclass
class Exchanged:
    """What became of one request: as the worker received it, and as the client was answered."""

    asked: list[str]
    answer: Answer
    stage: Stage


def exchange(asked: bytes, *answered: bytes, **settings: Any) -> Exchanged:
    """Plays one request, answered by the worker with these messages, one after the other.

    Jitter is off unless asked for, the cache as well.
    """
    method = asked.partition(b" ")[0].decode()
    seen = Exchanged([], Answer(0, [], b""), None)  # type: ignore[arg-type]

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(asked)
        await stage.settled()
        seen.asked = stage.worker().take().decode("latin-1").split("\r\n")
        for message in answered:
            stage.worker().send(message)
            await stage.settled()
        seen.answer = answer_in(client.take(), method=method)

    seen.stage = perform(story, **{"compression": CODINGS, "compression_jitter_bytes": 0, **settings})
    return seen
