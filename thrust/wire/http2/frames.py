"""Frames as bytes (RFC 9113 §4, §6): cutting them out of a stream, and making those that we send.

`FrameCutter` looks at nothing but length, type, flags and stream, so that floods are seen before anything is parsed or
decoded. What a payload means is the business of `engine`.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum

from thrust.errors import ThrustError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (§3.4)."""

FRAME_HEAD_BYTES = 9

MAX_FRAME_BYTES = 16384
"""Of a payload, in both directions: the initial value of SETTINGS_MAX_FRAME_SIZE, which we leave as it is. Larger
frames would save little and let one stream keep the connection from the others for longer."""

MAX_STREAM_ID = 2**31 - 1

# Types (§6, RFC 9218 §7.1) and flags. Plain numbers, because an IntEnum takes four times as long to compare.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 0x10
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

_NO_RFC7540_PRIORITIES = 0x9  # RFC 9218 §2.1
_MEANINGFUL_SETTINGS = frozenset({*range(1, 7), 0x8, _NO_RFC7540_PRIORITIES})  # §6.5.2, RFC 8441 §3

_FRAME_HEAD = struct.Struct(">HBBBL")
_UINT32 = struct.Struct(">L")
_TWO_UINT32 = struct.Struct(">LL")
_SETTING = struct.Struct(">HL")

Frame = tuple[int, int, int, bytes]
"""Type, flags, stream, and the whole frame with its head."""


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (§7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class ConnectionFault(ThrustError):
    """What a client has done that ends its connection (§5.4.1); `code` goes into the GOAWAY."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class FrameCutter:
    """Cuts received bytes into frames; holds at most one that is incomplete."""

    __slots__ = ("_held", "_preface_seen")

    def __init__(self) -> None:
        self._held = b""
        self._preface_seen = False

    @property
    def is_between_frames(self) -> bool:
        """Whether no part of a frame, or of the preface, waits for the rest."""
        return not self._held

    @property
    def has_begun(self) -> bool:
        """Whether the whole preface has come."""
        return self._preface_seen

    def cut(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises ConnectionFault for a wrong preface or too long a frame.

        Has to be exhausted before it is called again.
        """
        if self._held:
            data = self._held + data
        at = 0
        if not self._preface_seen:
            if data[: len(PREFACE)] != PREFACE[: len(data)]:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the connection does not begin with HTTP/2's preface")
            if len(data) < len(PREFACE):
                self._held = data
                return
            self._preface_seen = True
            at = len(PREFACE)
        self._held = b""
        size = len(data)
        while size - at >= FRAME_HEAD_BYTES:
            high, low, kind, flags, stream_id = _FRAME_HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > MAX_FRAME_BYTES:
                what = f"frame of {length} bytes, at most {MAX_FRAME_BYTES} are accepted"
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, what)
            end = at + FRAME_HEAD_BYTES + length
            if end > size:
                break
            # The reserved bit before the stream's number is ignored (§4.1).
            yield kind, flags, stream_id & MAX_STREAM_ID, data[at:end]
            at = end
        if at < size:
            self._held = data[at:]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return _FRAME_HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def frame_head(kind: int, flags: int, stream_id: int, size_bytes: int) -> bytes:
    """The head of a frame whose payload of `size_bytes` is written behind it."""
    return _FRAME_HEAD.pack(size_bytes >> 8, size_bytes & 0xFF, kind, flags, stream_id)


def field_section_frames(stream_id: int, block: bytes, *, ends_stream: bool) -> bytes:
    """HEADERS, and CONTINUATIONs if the block needs them (§6.2, §6.10)."""
    flags = END_STREAM if ends_stream else 0
    if len(block) <= MAX_FRAME_BYTES:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [block[at : at + MAX_FRAME_BYTES] for at in range(0, len(block), MAX_FRAME_BYTES)]
    frames = [frame(HEADERS, flags, stream_id, pieces[0])]
    frames += [frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    return b"".join([*frames, frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1])])


def reset_frame(stream_id: int, code: ErrorCode) -> bytes:
    """RST_STREAM (§6.4)."""
    return frame(RST_STREAM, 0, stream_id, _UINT32.pack(code))


def window_frame(stream_id: int, increment_bytes: int) -> bytes:
    """WINDOW_UPDATE (§6.9); 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _UINT32.pack(increment_bytes))


def goaway_frame(last_stream_id: int, code: ErrorCode, reason: str = "") -> bytes:
    """GOAWAY (§6.8), with a sentence for whoever debugs the client."""
    return frame(GOAWAY, 0, 0, _TWO_UINT32.pack(last_stream_id, code) + reason.encode()[:256])


def ping_frame(opaque: bytes) -> bytes:
    """PING with eight bytes of ours (§6.7)."""
    return frame(PING, 0, 0, opaque)


def meaningful_settings(data: bytes) -> bytes:
    """A SETTINGS frame without those settings that mean nothing, which are ignored (§6.5.2).

    h2 would remember each, a kilobyte for six bytes. Raises ConnectionFault for a value that only RFC 9218 forbids.
    """
    payload = data[FRAME_HEAD_BYTES:]
    if len(payload) % _SETTING.size:
        return data  # h2 says what is wrong
    kept = [setting for setting in _SETTING.iter_unpack(payload) if setting[0] in _MEANINGFUL_SETTINGS]
    if any(key == _NO_RFC7540_PRIORITIES and value > 1 for key, value in kept):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS_NO_RFC7540_PRIORITIES that is neither 0 nor 1")
    # The head is the client's: h2 checks its stream.
    return frame(SETTINGS, data[4], uint32(data, 5), b"".join(_SETTING.pack(*setting) for setting in kept))


def uint31(data: bytes, at: int) -> int:
    """The number at `at`, without its reserved bit."""
    return int(_UINT32.unpack_from(data, at)[0]) & MAX_STREAM_ID


def uint32(data: bytes, at: int) -> int:
    """The number at `at`."""
    return int(_UINT32.unpack_from(data, at)[0])
