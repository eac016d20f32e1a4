"""Reading whole HTTP/1.1 conversations without sockets, the way server/http1 and upstream/connection use thrust.wire.

A stream is fed bytes in any pieces and collects complete messages; an error of the parser comes out of `feed`. `WHOLE`
and `BYTEWISE` are the two ways of cutting that every table of bytes is run through.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from thrust.errors import BadMessage, ThrustError, UpstreamError
from thrust.http.exchange import Exchange
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Body, Request
from thrust.wire.http1 import requests, responses
from thrust.wire.http1.bodies import BodyReader, ChunkedReader, FixedLengthReader, UntilCloseReader
from thrust.wire.http1.heads import HeadBuffer
from thrust.wire.http1.requests import RequestHead, RequestParser
from thrust.wire.http1.responses import ResponseHead, ResponseParser, has_body
from thrust.wire.http1.writing import chunk, last_chunk

Cut = Callable[[bytes], Sequence[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut_at(data: bytes, positions: Iterable[int]) -> list[bytes]:
    """`data` in the pieces between `positions`, none of them empty."""
    borders = sorted({0, len(data), *(position for position in positions if 0 < position < len(data))})
    return [data[start:end] for start, end in zip(borders, borders[1:], strict=False)]


_SAID_BY_A_REQUEST = (
    "method",
    "target",
    "authority",
    "minor_version",
    "content_length",
    "keep_alive",
    "expects_continue",
    "wants_upgrade",
)


def seen_in(head: RequestHead | ResponseHead) -> dict[str, Any]:
    """Everything that a head says, comparable."""
    if isinstance(head, ResponseHead):
        return {name: getattr(head, name) for name in ResponseHead.__slots__}
    return {name: getattr(head, name) for name in _SAID_BY_A_REQUEST} | {"lines": head.headers.lines}


@dataclass
class Message:
    """One message as it was read, the head as `seen_in` gives it."""

    head: dict[str, Any]
    content: bytes = b""
    trailers: list[FieldLine] = field(default_factory=list)


class _Stream:
    """What requests and responses have in common: heads and bodies in turn, until one side wants to close."""

    def __init__(self, heads: HeadBuffer) -> None:
        self.messages: list[Message] = []
        self.is_closed = False
        self.rest = b""
        self._heads = heads
        self._reader: BodyReader | None = None
        self._message: Message | None = None

    def feed(self, data: bytes) -> None:
        """Takes bytes in; what follows a message that closes the connection is kept in `rest`."""
        while data:
            if self.is_closed:
                self.rest += data
                return
            data = self._feed_head(data) if self._reader is None else self._feed_body(self._reader, data)

    def _feed_head(self, data: bytes) -> bytes:
        head_bytes = self._heads.cut(data)
        if head_bytes is None:
            return b""
        head, self._reader = self._understand(head_bytes)
        self._message = Message(seen_in(head))
        if self._reader is None or self._reader.is_complete:
            self._end(b"")
        return self._heads.rest

    def _feed_body(self, reader: BodyReader, data: bytes) -> bytes:
        assert self._message is not None
        self._message.content += reader.feed(data)
        if not reader.is_complete:
            return b""
        return self._end(reader.rest)

    def _end(self, rest: bytes) -> bytes:
        assert self._message is not None
        if self._reader is not None:
            self._message.trailers = self._reader.trailers
        self.messages.append(self._message)
        self.is_closed = not self._message.head["keep_alive"]
        self._message = self._reader = None
        return rest

    def _understand(self, head_bytes: bytes) -> tuple[RequestHead | ResponseHead, BodyReader | None]:
        raise NotImplementedError

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a further message has arrived."""
        return self._heads.is_empty and self._message is None


class RequestStream(_Stream):
    """A client's side of a connection."""

    def __init__(self) -> None:
        super().__init__(HeadBuffer(BadMessage, requests.head_too_large))
        self._parser = RequestParser()

    def _understand(self, head_bytes: bytes) -> tuple[RequestHead, BodyReader | None]:
        head = self._parser.parse(head_bytes)
        if head.content_length is None:
            return head, ChunkedReader(BadMessage)
        return head, FixedLengthReader(head.content_length) if head.content_length else None


class ResponseStream(_Stream):
    """A worker's side of a connection, answering requests with `methods` one after the other."""

    def __init__(self, methods: Iterable[bytes]) -> None:
        super().__init__(HeadBuffer(responses.malformed, responses.head_too_large))
        self._parser = ResponseParser()
        self._methods = iter(methods)
        self._method = next(self._methods)

    def _understand(self, head_bytes: bytes) -> tuple[ResponseHead, BodyReader | None]:
        head = self._parser.parse(head_bytes)
        method = self._method
        if head.status >= 200:
            self._method = next(self._methods, b"GET")
        else:
            head.keep_alive = True  # an interim response decides nothing
        if not has_body(head.status, method):
            return head, None
        if head.is_chunked:
            return head, ChunkedReader(responses.malformed)
        if head.content_length is not None:
            return head, FixedLengthReader(head.content_length)
        head.keep_alive = False
        return head, UntilCloseReader()

    def feed_eof(self) -> bool:
        """Whether the connection may end here."""
        if self._reader is None:
            return self.is_idle
        ended = self._reader.feed_eof()
        if ended:
            self._end(b"")
        return ended


@dataclass
class Outcome:
    """What became of some bytes: messages that were complete, and the error that ended the reading, if one did."""

    messages: list[Message]
    error: ThrustError | None
    is_idle: bool


def read_requests(pieces: Iterable[bytes]) -> Outcome:
    """What a server reads in `pieces`; any error but BadMessage is passed on."""
    return _read(RequestStream(), pieces, BadMessage)


def read_responses(
    pieces: Iterable[bytes], methods: Iterable[bytes] = (b"GET",), *, then_closes: bool = False
) -> Outcome:
    """What a proxy reads in `pieces` from its worker; any error but UpstreamError is passed on."""
    stream = ResponseStream(methods)
    outcome = _read(stream, pieces, UpstreamError)
    if then_closes and outcome.error is None:
        outcome.is_idle = stream.feed_eof()
    return outcome


def _read(stream: _Stream, pieces: Iterable[bytes], expected: type[ThrustError]) -> Outcome:
    try:
        for piece in pieces:
            stream.feed(piece)
    except expected as error:
        return Outcome(stream.messages, error, False)
    return Outcome(stream.messages, None, stream.is_idle)


class GivenBody:
    """A BodyStream whose content is known: `pieces`, then `trailers`."""

    def __init__(self, pieces: Iterable[bytes], trailers: Iterable[FieldLine] = ()) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.trailers = list(trailers)

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self._pieces.clear()


def request_of(message: Message, *, streamed: bool) -> Request:
    """The Request that server/http1 would make of `message`, its body in one piece or streamed."""
    head = message.head
    body: Body = message.content
    if head["content_length"] != 0 and (streamed or message.trailers):
        body = GivenBody([message.content], message.trailers)
    return Request(
        head["method"],
        head["target"],
        Headers(head["lines"]),
        authority=head["authority"],
        exchange=Exchange("127.0.0.1", 0.0, 0.0),
        body=body,
        content_length=head["content_length"],
        expects_continue=head["expects_continue"],
        wants_upgrade=head["wants_upgrade"],
    )


def body_bytes(request: Request, message: Message) -> bytes:
    """The bytes that upstream/connection sends after the head of `request`."""
    if isinstance(request.body, bytes) or request.content_length is not None:
        return message.content
    return (chunk(message.content) if message.content else b"") + last_chunk(message.trailers)
