"""Conformance cases of HTTP/2 as rows of a table: what a client sends, byte by byte, and what has to become of it.

Blocks are made without any table, so that a row says the same wherever it stands. A row's outcome is a list of short
sentences, see `outcome`; where the RFC leaves a choice a row names several. `play` performs a row on a stage whose
worker answers everything but /wait.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hyperframe.frame import PingFrame, RstStreamFrame

from tests.support.http2_peer import Http2Peer
from tests.support.http2_stage import Http2Stage, perform_http2
from tests.support.memory_transport import READ_BYTES

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
UNKNOWN = 0xBE
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20
UNDEFINED_FLAGS = 0xFF ^ (ACK | END_HEADERS | PADDED | HAS_PRIORITY)
"""Those that mean nothing on any frame."""

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)
MAX_31 = 2**31 - 1

CODES = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
    *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)
"""RFC 9113 §7, in their order."""

PROBE_STREAM = 1001
ANSWER = b"0123456789" * 10
"""What the worker says."""

Fields = Sequence[tuple[str, str]]


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """A frame; `length` is a claim that may be wrong."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def uint32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def string(text: str | bytes) -> bytes:
    """A string literal of HPACK, not coded, of up to 16 KB (RFC 7541 §5.2)."""
    data = text.encode("latin-1") if isinstance(text, str) else text
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest = len(data) - 127
    return bytes((127, rest & 0x7F | 0x80, rest >> 7)) + data


def block(fields: Fields) -> bytes:
    """Literals without indexing and with their names (RFC 7541 §6.2.2)."""
    return b"".join(b"\x00" + string(name) + string(value) for name, value in fields)


def pseudo(method: str = "GET", path: str = "/") -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "example.org")]


def headers(stream_id: int, fields: Fields | bytes, *, end: bool = True, flags: int = END_HEADERS) -> bytes:
    """HEADERS with these fields, or this block."""
    data = fields if isinstance(fields, bytes) else block(fields)
    return frame(HEADERS, flags | (END_STREAM if end else 0), stream_id, data)


def get(stream_id: int, path: str = "/", *more: tuple[str, str], method: str = "GET") -> bytes:
    """A whole request without content."""
    return headers(stream_id, [*pseudo(method, path), *more])


def post(stream_id: int, *more: tuple[str, str], path: str = "/") -> bytes:
    """The head of a request with content."""
    return headers(stream_id, [*pseudo("POST", path), *more], end=False)


def data(stream_id: int, content: bytes = b"", *, end: bool = False) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream_id, content)


def settings(*values: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(key.to_bytes(2, "big") + uint32(value) for key, value in values))


def reset(stream_id: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream_id, uint32(code))


def window(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, uint32(increment))


def priority(stream_id: int, depends_on: int = 0, weight: int = 15) -> bytes:
    return frame(PRIORITY, 0, stream_id, uint32(depends_on) + bytes((weight,)))


def ping(opaque: bytes = b"12345678", *, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, opaque)


@dataclass(frozen=True)
class Case:
    """`said` is sent piece by piece, each when everything that follows from the one before has happened.

    `outcomes`: one of them has to come. What is in `reached` are the lines, or the content, that the worker has to have
    got, and `said_back` what has to be among the frames for the client, in bytes; `got_bytes` is how much content the
    client has got by then, by stream. Without `greets` the client says
    nothing by itself; `probe` is the stream that shows whether the connection goes on, None if none is left.
    What `is_large` is not played byte by byte.
    """

    section: str
    what: str
    said: Sequence[bytes]
    outcomes: Sequence[str]
    reached: Sequence[bytes] = ()
    said_back: Sequence[bytes] = ()
    got_bytes: dict[int, int] = field(default_factory=dict)
    settings: dict[int, int] = field(default_factory=dict)
    greets: bool = True
    is_large: bool = False
    probe: int | None = PROBE_STREAM

    def __str__(self) -> str:
        return f"{self.section} {self.what}"


def case(section: str, what: str, said: bytes | Sequence[bytes], *outcomes: str, **more: object) -> Case:
    """A row."""
    pieces = [said] if isinstance(said, bytes) else said
    return Case(section, what, pieces, outcomes, **more)  # type: ignore[arg-type]


def plays(cases: Sequence[Case]) -> list[Any]:
    """Parameters of a test, row and how much is read at once: whole pieces, and the same byte by byte."""
    names = [str(case) for case in cases]
    assert len(names) == len(set(names)), {name for name in names if names.count(name) > 1}
    whole = [pytest.param(case, READ_BYTES, id=str(case)) for case in cases]
    return whole + [pytest.param(case, 1, id=f"{case}, bytewise") for case in cases if not case.is_large]


def outcome(client: Http2Peer, probe: int | None) -> str:
    """What has become of it: resets and statuses by stream, then `goes on` or the GOAWAY."""
    said = []
    for stream_id, answer in sorted(client.answers.items()):
        if stream_id == probe:
            continue
        if answer.heads:
            said.append(f"{stream_id}: {answer.status}")
        if answer.reset_code is not None:
            said.append(f"{stream_id}: RST_STREAM {CODES[answer.reset_code]}")
    goaways = [f"GOAWAY {CODES[goaway.error_code]}" for goaway in client.goaways]
    return ", ".join([*said, *goaways]) or "nothing"


def play(row: Case, *, read_bytes: int = READ_BYTES) -> None:
    """Performs a row; raises AssertionError if something else came of it."""

    async def story(scene: Http2Stage) -> None:
        worker = AnsweringWorker(scene)
        for piece in row.said:
            scene.client.raw(piece)
            await worker.serve()
            scene.client.hear()
        came = outcome(scene.client, row.probe)
        assert came in row.outcomes, f"{came}; expected: {' | '.join(row.outcomes)}"
        got_bytes = {stream_id: len(scene.client.answer(stream_id).content) for stream_id in row.got_bytes}
        assert got_bytes == row.got_bytes
        if "GOAWAY" in came and "NO_ERROR" not in came:
            assert scene.peer.saw_end, "a connection error closes the connection (§5.4.1)"
        else:
            await assert_goes_on(scene, worker, row.probe)
        got = b"".join(worker.got)
        assert all(wanted in got for wanted in row.reached), f"the worker has got {got!r}"
        heard = b"".join(frame.serialize() for frame in scene.client.frames)
        assert all(wanted in heard for wanted in row.said_back), f"the client has got {scene.client.frames}"

    perform_http2(story, client_settings=row.settings, greets=row.greets, read_bytes=read_bytes)


async def assert_goes_on(scene: Http2Stage, worker: "AnsweringWorker", probe: int | None) -> None:
    """Asserts that a PING is answered, and a request unless `probe` is None."""
    client = scene.client
    before = len([frame for frame in client.frames if isinstance(frame, RstStreamFrame)])
    client.raw(ping(b"go on?!?"))
    if probe is not None:
        client.raw(get(probe, "/probe", method="HEAD"))  # needs no window
    await worker.serve()
    client.hear()
    assert any(isinstance(frame, PingFrame) and frame.opaque_data == b"go on?!?" for frame in client.frames)
    if probe is not None:
        assert client.answer(probe).status == "200" and client.answer(probe).has_ended
    assert before == len([frame for frame in client.frames if isinstance(frame, RstStreamFrame)])
    assert client.goaways == [] and not scene.peer.saw_end


class AnsweringWorker:
    """Answers each whole request with ANSWER, HEAD with its length, but /wait never. `got` is what it has read."""

    _HEAD = re.compile(rb"(?P<method>\S+) (?P<path>\S+) HTTP/1\.1\r\n(?P<fields>(?:[^\r\n]+\r\n)*)\r\n")

    def __init__(self, scene: Http2Stage) -> None:
        self._scene = scene
        self.got: list[bytes] = []
        self._unread: dict[int, bytes] = {}

    async def serve(self) -> None:
        """Returns when nothing more happens."""
        await self._scene.settled()
        while self._answer_all():
            await self._scene.settled()

    def _answer_all(self) -> bool:
        has_answered = False
        for number, peer in enumerate(self._scene.stage.loop.accepted):
            data = peer.take()
            self.got.append(data)
            data = self._unread.get(number, b"") + data
            while request := self._whole(data):
                data = data[request[1] :]
                peer.send(request[0])
                has_answered = has_answered or bool(request[0])
            self._unread[number] = data
        return has_answered

    def _whole(self, data: bytes) -> tuple[bytes, int] | None:
        """The answer to the request that `data` begins with, and its size; None if it is not complete."""
        head = self._HEAD.match(data)
        if head is None:
            assert not data or b"\r\n\r\n" not in data, f"no HTTP: {data!r}"
            return None
        end = head.end()
        length = re.search(rb"(?:^|\n)content-length: (\d+)\r\n", head["fields"])
        if length is not None:
            end += int(length[1])
        elif b"transfer-encoding: chunked" in head["fields"]:
            end = _end_of_chunks(data, end)
        if not head.end() <= end <= len(data):
            return None
        content = b"" if head["method"] == b"HEAD" else ANSWER
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), content)
        return (b"" if head["path"] == b"/wait" else answer), end


def _end_of_chunks(data: bytes, at: int) -> int:
    """Where a chunked message ends whose first chunk is at `at`; -1 if that has not come."""
    while (end_of_size := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end_of_size], 16)
        if not size:
            end = data.find(b"\r\n\r\n", end_of_size)
            return end + 4 if end >= 0 else -1
        at = end_of_size + 2 + size + 2
    return -1
