"""What a client has said, frame by frame: the vocabulary between `engine` and the server's connection.

One frame is one event at most. Content carries how much of the windows it took, because whoever consumes it gives that
back (RFC 9113 §5.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from thrust.errors import BadMessage
from thrust.http.headers import FieldLine
from thrust.wire.http2.frames import ErrorCode
from thrust.wire.http2.requests import Http2RequestHead

# Not frozen: that doubles the price of making one, and they live for a moment (benchmark h2-cached-10k).


@dataclass(slots=True)
class RequestReceived:
    """A new stream. `has_ended`: there is no content."""

    stream_id: int
    head: Http2RequestHead
    has_ended: bool


@dataclass(slots=True)
class RequestRefused:
    """A new stream whose request has to be changed by the client.

    It is malformed, and has been reset already (`is_reset`, §8.1.1), or it can be answered with the error's status;
    then content may follow unless `has_ended`.
    """

    stream_id: int
    error: BadMessage
    is_reset: bool
    has_ended: bool


@dataclass(slots=True)
class ContentReceived:
    """Content of a request; `padding_bytes` have been taken from the stream's window besides it."""

    stream_id: int
    content: bytes
    padding_bytes: int
    has_ended: bool


@dataclass(slots=True)
class TrailersReceived:
    """The request ends, with these fields."""

    stream_id: int
    trailers: Sequence[FieldLine]


@dataclass(slots=True)
class RequestBroken:
    """The client has ended its request before all of it came, as the answer told it not to go on (§8.1)."""

    stream_id: int
    reason: str


@dataclass(slots=True)
class StreamEnded:
    """The stream is over before its time: by the client, or by us because of what the client did (`is_ours`)."""

    stream_id: int
    code: int
    reason: str
    is_ours: bool


@dataclass(slots=True)
class WindowOpened:
    """More may be sent: on this stream, on all of them for 0."""

    stream_id: int


@dataclass(slots=True)
class PriorityChanged:
    """The client wants a stream sooner or later than it said before (RFC 9218 §7)."""

    stream_id: int
    urgency: int
    is_incremental: bool


@dataclass(slots=True)
class PongReceived:
    """The answer to a PING of ours."""

    opaque: bytes


@dataclass(slots=True)
class ClientLeaves:
    """The client opens no more streams (GOAWAY); those under way go on."""

    code: int


@dataclass(slots=True)
class ConnectionFailed:
    """The client has broken the rules: a GOAWAY with `code` is among what is to be sent, nothing else will follow."""

    code: ErrorCode
    reason: str


Event = (
    RequestReceived
    | RequestRefused
    | ContentReceived
    | TrailersReceived
    | RequestBroken
    | StreamEnded
    | WindowOpened
    | PriorityChanged
    | PongReceived
    | ClientLeaves
    | ConnectionFailed
)
