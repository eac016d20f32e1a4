"""An HTTP/2 client made of frames, without any state machine, so that it can do what no client should.

It sends what it is told, in whatever order, and sorts what it receives by stream. Over a memory transport's Peer, or
over anything with `send(bytes)` and `take() -> bytes`.
"""

import select
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BOUND_S = 20.0
"""For anything that has to happen on a real connection."""

FieldLines = Sequence[tuple[str, str]]


class Pipe(Protocol):
    def send(self, data: bytes) -> None: ...
    def take(self) -> bytes: ...


@dataclass
class Answer:
    """What has come on one stream."""

    heads: list[list[tuple[str, str]]] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    frame_sizes: list[int] = field(default_factory=list)
    has_ended: bool = False
    reset_code: int | None = None

    @property
    def fields(self) -> dict[str, str]:
        """Those of the final head."""
        return next(dict(head) for head in self.heads if not dict(head).get(":status", "").startswith("1"))

    @property
    def status(self) -> str:
        return self.fields[":status"]

    @property
    def trailers(self) -> list[tuple[str, str]]:
        last = self.heads[-1]
        return [] if ":status" in dict(last) else last


class SocketPipe:
    """A real connection to 127.0.0.1. `is_over` when the other end has closed or reset it."""

    def __init__(self, port: int, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(BOUND_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_over = False

    def send(self, data: bytes) -> None:
        """Sends all of it, unless the connection is over or the other end takes nothing for BOUND_S."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            self.is_over = True

    def wait_for_more(self) -> bool:
        """Returns when something has come, the end included; False if nothing has."""
        return bool(select.select([self.socket], [], [], BOUND_S)[0])

    def take(self) -> bytes:
        """What has come."""
        data = b""
        while not self.is_over and select.select([self.socket], [], [], 0)[0]:
            try:
                piece = self.socket.recv(1 << 20)
            except ConnectionError:
                piece = b""
            if not piece:
                self.is_over = True
                break
            data += piece
        return data

    def close(self) -> None:
        self.socket.close()


class Http2Peer:
    """The client's end."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._received = b""
        self._block = b""
        self.frames: list[Frame] = []
        self.answers: dict[int, Answer] = {}
        self.settings: dict[int, int] = {}

    # Saying

    def greet(self, settings: Mapping[int, int] | None = None, *, acknowledges: bool = True) -> None:
        """The preface and SETTINGS."""
        self.raw(PREFACE)
        self.send(SettingsFrame(0, settings=dict(settings or {})))
        if acknowledges:
            self.send(SettingsFrame(0, flags=["ACK"]))

    def raw(self, data: bytes) -> None:
        self._pipe.send(data)

    def send(self, *frames: Frame) -> None:
        """These frames, in one piece."""
        self.raw(b"".join(frame.serialize() for frame in frames))

    def block(self, fields: FieldLines) -> bytes:
        return self._encoder.encode(list(fields))

    def headers(self, stream_id: int, fields: FieldLines, *, end: bool = True, **more: Any) -> HeadersFrame:
        """A HEADERS frame, not sent yet."""
        frame = HeadersFrame(stream_id, self.block(fields), flags=["END_HEADERS"], **more)
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def request(
        self, stream_id: int, path: str = "/", fields: FieldLines = (), *, method: str = "GET", end: bool = True
    ) -> None:
        """A good request."""
        self.send(self.headers(stream_id, [*pseudo(path, method), *fields], end=end))

    def content(self, stream_id: int, content: bytes, *, end: bool = False) -> None:
        self.send(DataFrame(stream_id, content, flags=["END_STREAM"] if end else []))

    def open_window(self, stream_id: int, size: int) -> None:
        self.send(WindowUpdateFrame(stream_id, window_increment=size))

    def reset(self, stream_id: int, code: int = 8) -> None:
        self.send(RstStreamFrame(stream_id, error_code=code))

    def ping(self, opaque: bytes = b"12345678", *, ack: bool = False) -> None:
        self.send(PingFrame(0, opaque_data=opaque, flags=["ACK"] if ack else []))

    # Hearing

    def hear(self) -> list[Frame]:
        """The frames that have come since the last call, sorted into `answers` too."""
        self._received += self._pipe.take()
        heard: list[Frame] = []
        while len(self._received) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._received[:9]))
            if len(self._received) < 9 + length:
                break
            frame.parse_body(memoryview(self._received[9 : 9 + length]))
            self._received = self._received[9 + length :]
            self._sort(frame)
            heard.append(frame)
        self.frames += heard
        return heard

    def _sort(self, frame: Frame) -> None:
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.settings.update(frame.settings)
        if not frame.stream_id:
            return
        answer = self.answers.setdefault(frame.stream_id, Answer())
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            assert not answer.has_ended and answer.reset_code is None, f"{frame} after the end"
            self._block += frame.data
            if "END_HEADERS" in frame.flags:
                head = [(str(name), str(value)) for name, value in self._decoder.decode(self._block)]
                answer.heads.append(head)
                self._block = b""
        if isinstance(frame, DataFrame):
            assert not answer.has_ended and answer.reset_code is None, f"{frame} after the end"
            answer.content += frame.data
            answer.frame_sizes.append(len(frame.data))
        if isinstance(frame, RstStreamFrame):
            answer.reset_code = frame.error_code
        if "END_STREAM" in frame.flags:
            answer.has_ended = True

    def answer(self, stream_id: int) -> Answer:
        """What has come on a stream by now."""
        self.hear()
        return self.answers.get(stream_id, Answer())

    @property
    def goaways(self) -> list[GoAwayFrame]:
        self.hear()
        return [frame for frame in self.frames if isinstance(frame, GoAwayFrame)]


def pseudo(path: str = "/", method: str = "GET", authority: str = "example.org") -> list[tuple[str, str]]:
    """The pseudo-fields of a request."""
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)]
