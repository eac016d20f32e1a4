"""The sending half of an HTTP/2 connection, and what both halves share: h2's objects (RFC 9113 §5–6).

`engine` builds the receiving half on it. Frames are put together here and not by h2, which takes four times as long for
a head and its content; the windows and states that decide whether they may be sent are h2's own.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import h2.config
import h2.connection
import h2.settings
import h2.stream

from thrust.http.headers import FieldLine
from thrust.wire.http1.heads import MAX_HEAD_BYTES
from thrust.wire.http2 import floods
from thrust.wire.http2.field_blocks import NO_TABLE, field_block
from thrust.wire.http2.floods import Budget
from thrust.wire.http2.frames import (
    DATA,
    END_STREAM,
    MAX_STREAM_ID,
    PREFACE,
    ErrorCode,
    field_section_frames,
    frame_head,
    goaway_frame,
    ping_frame,
    reset_frame,
    window_frame,
)

INITIAL_WINDOW_BYTES = 65535  # §6.9.2

MAX_CONCURRENT_STREAMS = 100
"""What RFC 9113 §6.5.2 recommends not to go below; nginx allows 128, Go 250. More wait in the client."""

STREAM_WINDOW_BYTES = 131072
"""Content of one request that is held while nobody reads it. nginx takes 64 KB ahead, Go 1 MB."""

CONNECTION_WINDOW_BYTES = 1048576
"""Given back as soon as content arrives, so that a stream which nobody reads takes nothing from the others."""

MAX_CLOSED_STREAMS = 256
"""Remembered, for telling late frames from wrong ones. Without a bound of ours h2 keeps 65,536 per connection."""

_NO_RFC7540_PRIORITIES = 0x9  # RFC 9218 §2.1: their successor is understood here, they are not

Inputs = h2.stream.StreamInputs
ClosedBy = h2.stream.StreamClosedBy
OPEN_FOR_CONTENT = frozenset({h2.stream.StreamState.OPEN, h2.stream.StreamState.HALF_CLOSED_LOCAL})

CONFIG = h2.config.H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)

_Codes = h2.settings.SettingCodes
_SETTINGS = {
    _Codes.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS,
    _Codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
    _Codes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
    _Codes.ENABLE_CONNECT_PROTOCOL: 1,
    _NO_RFC7540_PRIORITIES: 1,
}
_LOCAL_SETTINGS = h2.settings.Settings(client=False, initial_values=cast(Any, _SETTINGS))
"""One for all connections, because nobody changes them: h2 keeps 5 KB for each (benchmark tls-idle-memory)."""


class _Connection(h2.connection.H2Connection):
    """h2's connection, with settings of ours and a memory that fits a server."""

    MAX_CLOSED_STREAMS = MAX_CLOSED_STREAMS

    def __init__(self) -> None:
        super().__init__(CONFIG)
        # In force at once: until a client has read them, it keeps to the RFC's initial values, which allow less.
        self.local_settings = _LOCAL_SETTINGS


class Stream(h2.stream.H2Stream):
    """h2's stream, and what h2 does not know of it."""

    expected_bytes: int | None = None
    """How much content is still to come; None if the client has not said."""

    is_answered = False
    """Whether the head of the answer has been sent, no interim one."""


class Outgoing:
    """What is sent to a client. Output gathers until `take_output`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._h2 = _Connection()
        self._streams = cast(dict[int, Stream], self._h2.streams)
        self._output: list[bytes | memoryview] = []
        self.output_bytes = 0
        """Of answers among the output. What else there is has cost the client as much as us."""
        self._said_no_table = False
        self._last_stream_id = MAX_STREAM_ID
        """Of the GOAWAY that was sent: later streams are ignored."""
        self._has_failed = False
        self._window_budget = Budget(floods.WINDOW_UPDATES, clock())

    def begin(self) -> None:
        """Queues our SETTINGS, which the server sends first of all (§3.4)."""
        self._h2.initiate_connection()
        self._h2.receive_data(PREFACE)  # the cutter gets the real one
        self._h2.state_machine.process_input(h2.connection.ConnectionInputs.RECV_HEADERS)  # we do not tell it of them
        self._h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - INITIAL_WINDOW_BYTES)
        self._output.append(self._h2.data_to_send())

    @property
    def has_failed(self) -> bool:
        """Whether the client has broken the rules, so that nothing more is said or heard."""
        return self._has_failed

    @property
    def open_streams(self) -> int:
        """How many streams have not ended on both sides."""
        return len(self._streams)

    def take_output(self) -> bytes:
        """What is to be sent now."""
        if not self._output:
            return b""
        data = b"".join(self._output)
        self._output.clear()
        self.output_bytes = 0
        return data

    def is_open(self, stream_id: int) -> bool:
        """Whether something can be sent on the stream, or received."""
        return stream_id in self._streams

    def sendable_bytes(self, stream_id: int) -> int:
        """How much content both windows allow on a stream now; 0 if it is gone."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return 0
        return max(0, min(stream.outbound_flow_control_window, self._h2.outbound_flow_control_window))

    def stream_window_bytes(self, stream_id: int) -> int:
        """How much content the stream's own window allows; may be negative (§6.9.2)."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.outbound_flow_control_window

    @property
    def sendable_on_connection_bytes(self) -> int:
        """How much content the connection's window allows now, for all streams together."""
        return self._h2.outbound_flow_control_window

    def send_head(self, stream_id: int, block: bytes, *, ends_stream: bool = False, is_interim: bool = False) -> None:
        """Queues a response head, or an interim one, as `response_block` made it."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if not self._said_no_table:
            self._said_no_table = True
            block = NO_TABLE + block
        frames = field_section_frames(stream_id, block, ends_stream=ends_stream)
        self._output.append(frames)
        self.output_bytes += len(frames)
        stream.is_answered = stream.is_answered or not is_interim
        if ends_stream:
            self._end_sending(stream_id, stream)

    def send_content(self, stream_id: int, content: bytes | memoryview, *, ends_stream: bool = False) -> None:
        """Queues one DATA frame; `content` is at most MAX_FRAME_BYTES and `sendable_bytes`."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        size = len(content)
        stream.outbound_flow_control_window -= size
        self._h2.outbound_flow_control_window -= size
        self._window_budget.earn(size / floods.BYTES_PER_UPDATE)
        self._output.append(frame_head(DATA, END_STREAM if ends_stream else 0, stream_id, size))
        if size:
            self._output.append(content)
            self.output_bytes += size
        if ends_stream:
            self._end_sending(stream_id, stream)

    def send_trailers(self, stream_id: int, trailers: Sequence[FieldLine]) -> None:
        """Queues the end of a response with trailer fields."""
        self.send_head(stream_id, field_block(trailers), ends_stream=True)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream before its time, for a reason of ours."""
        if stream_id in self._streams:
            self._output.append(reset_frame(stream_id, code))
            self._close(stream_id, ClosedBy.SEND_RST_STREAM)

    def ping(self, opaque: bytes) -> None:
        """Queues a PING; PongReceived will bring the eight bytes back."""
        self._output.append(ping_frame(opaque))

    def announce_end(self) -> None:
        """Queues the first of two GOAWAYs: no more streams, please; those on their way are served (§6.8)."""
        self._output.append(goaway_frame(MAX_STREAM_ID, ErrorCode.NO_ERROR))

    def end(self, code: ErrorCode = ErrorCode.NO_ERROR, reason: str = "") -> None:
        """Queues the GOAWAY that says which streams are served; later ones are ignored."""
        self._last_stream_id = min(self._last_stream_id, self._h2.highest_inbound_stream_id)
        self._output.append(goaway_frame(self._last_stream_id, code, reason))

    def fail(self, code: ErrorCode, reason: str) -> None:
        """Queues a GOAWAY after which nothing is said or heard any more."""
        self._has_failed = True
        self.end(code, reason)

    def _end_sending(self, stream_id: int, stream: Stream) -> None:
        """We have said all on this stream; it is over if the client has, too."""
        if stream.state_machine.state is h2.stream.StreamState.HALF_CLOSED_REMOTE:
            self._close(stream_id, ClosedBy.SEND_END_STREAM)
        else:
            stream.state_machine.state = h2.stream.StreamState.HALF_CLOSED_LOCAL

    def give_credit(self, stream_id: int, size_bytes: int) -> None:
        """Lets the client send so much more on a stream, as somebody has consumed what came."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.state_machine.state in OPEN_FOR_CONTENT:
            stream._inbound_window_manager.window_opened(size_bytes)
            self._output.append(window_frame(stream_id, size_bytes))

    def _close(self, stream_id: int, closed_by: h2.stream.StreamClosedBy) -> None:
        self._streams.pop(stream_id, None)
        self._h2._closed_streams[stream_id] = closed_by
