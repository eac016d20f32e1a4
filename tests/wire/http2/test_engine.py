"""The engine alone: bytes in, events and bytes out."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.support.http2_peer import PREFACE, Http2Peer, pseudo
from thrust.http.headers import FieldLine
from thrust.wire.http1.requests import RequestParser
from thrust.wire.http2 import floods
from thrust.wire.http2.engine import Engine
from thrust.wire.http2.events import (
    ClientLeaves,
    ConnectionFailed,
    ContentReceived,
    Event,
    PongReceived,
    PriorityChanged,
    RequestBroken,
    RequestReceived,
    RequestRefused,
    StreamEnded,
    TrailersReceived,
    WindowOpened,
)
from thrust.wire.http2.field_blocks import response_block
from thrust.wire.http2.frames import ErrorCode
from thrust.wire.http2.outgoing import MAX_CONCURRENT_STREAMS, STREAM_WINDOW_BYTES

POST = pseudo(method="POST")


def frame_bytes(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


class Bench:
    """An engine, and a client that speaks to it; `now_s` is the time."""

    def __init__(self, *, bytewise: bool = False) -> None:
        self.now_s = 0.0
        self.engine = Engine(RequestParser(), lambda: self.now_s)
        self.engine.begin()
        self.events: list[Event] = []
        self.bytewise = bytewise
        self.client = Http2Peer(self)

    def send(self, data: bytes) -> None:
        pieces = [data[at : at + 1] for at in range(len(data))] if self.bytewise else [data]
        for piece in pieces:
            self.events += self.engine.receive(piece)

    def take(self) -> bytes:
        return self.engine.take_output()

    def happened(self) -> list[Event]:
        """The events since the last call."""
        events, self.events = self.events, []
        return events

    def failure(self) -> ErrorCode | None:
        """The code of the GOAWAY that ended the connection."""
        failed = [event for event in self.events if isinstance(event, ConnectionFailed)]
        if not failed:
            assert not self.client.goaways
            return None
        assert self.engine.has_failed
        assert [goaway.error_code for goaway in self.client.goaways] == [failed[0].code]
        return failed[0].code


@pytest.fixture(params=[False, True], ids=["whole", "bytewise"])
def bench(request: pytest.FixtureRequest) -> Bench:
    bench = Bench(bytewise=request.param)
    bench.client.greet()
    bench.events.clear()
    return bench


def test_it_says_its_settings_first() -> None:
    bench = Bench()
    first, second = bench.client.hear()
    assert isinstance(first, SettingsFrame) and isinstance(second, WindowUpdateFrame)
    assert bench.client.settings == {1: 4096, 2: 0, 3: 100, 4: 131072, 5: 16384, 6: 65536, 8: 1, 9: 1}
    assert second.window_increment == 1048576 - 65535


def test_a_request_and_its_answer(bench: Bench) -> None:
    bench.client.request(1, "/path?q", [("accept", "*/*")])
    (event,) = bench.happened()
    assert isinstance(event, RequestReceived) and event.has_ended
    head = event.head
    assert (head.method, head.target, head.authority) == (b"GET", b"/path?q", b"example.org")
    assert head.headers.lines == [(b"accept", b"*/*")] and head.content_length == 0
    bench.engine.send_head(1, response_block(200, [(b"content-length", b"2"), (b"x-y", b"z")]))
    bench.engine.send_content(1, b"ab", ends_stream=True)
    answer = bench.client.answer(1)
    assert answer.heads == [[(":status", "200"), ("content-length", "2"), ("x-y", "z")]]
    assert (bytes(answer.content), answer.has_ended) == (b"ab", True)
    assert bench.engine.open_streams == 0 and not bench.engine.is_open(1)


def test_a_section_that_comes_again_means_the_same_and_is_nobody_elses(bench: Bench) -> None:
    for stream_id in (1, 3, 5, 7):
        bench.client.request(stream_id, "/", [("cookie", "a=b")])
    heads = [event.head for event in bench.happened() if isinstance(event, RequestReceived)]
    assert [head.headers.lines for head in heads] == [[(b"cookie", b"a=b")]] * 4
    assert len({id(head) for head in heads}) == len({id(head.headers.lines) for head in heads}) == 4


def test_a_section_means_something_else_when_the_table_has_changed(bench: Bench) -> None:
    start = b"\x82\x86\x84\x01\x01a"  # GET http / a

    def ask(stream_id: int, rest: bytes) -> list[FieldLine]:
        bench.client.send(HeadersFrame(stream_id, start + rest, flags=["END_HEADERS", "END_STREAM"]))
        (event,) = bench.happened()
        assert isinstance(event, RequestReceived)
        return event.head.headers.lines

    assert ask(1, b"\x40\x03x-a\x011") == [(b"x-a", b"1")]
    for stream_id in (3, 7, 11):
        assert ask(stream_id, b"\xbe") == [(b"x-a", b"1")]
        assert ask(stream_id + 2, b"\xbe\xbe") == [(b"x-a", b"1")] * 2
    assert ask(15, b"\x40\x03x-b\x012") == [(b"x-b", b"2")]
    assert ask(17, b"\xbe") == [(b"x-b", b"2")]
    assert ask(19, b"\xbe\xbe") == [(b"x-b", b"2")] * 2
    assert ask(21, b"\xbf") == [(b"x-a", b"1")]


def test_content_and_trailers(bench: Bench) -> None:
    client = bench.client
    client.send(client.headers(1, POST, end=False))
    client.content(1, b"abc")
    client.send(DataFrame(1, b"de", pad_length=10, flags=["PADDED"]))
    client.send(client.headers(1, [("x-checksum", "1"), ("cookie", "no")]))
    request, first, second, last = bench.happened()
    assert isinstance(request, RequestReceived) and request.head.content_length is None and not request.has_ended
    assert first == ContentReceived(1, b"abc", 0, False)
    assert second == ContentReceived(1, b"de", 11, False)
    assert last == TrailersReceived(1, [(b"x-checksum", b"1")])


def test_padding_priority_and_continuations_are_no_part_of_a_section(bench: Bench) -> None:
    client = bench.client
    block = client.block([*pseudo(), ("x-a", "1")])
    frame = HeadersFrame(1, block[:3], flags=["END_STREAM", "PADDED", "PRIORITY"], pad_length=7, depends_on=0)
    client.send(frame, ContinuationFrame(1, block[3:5]), ContinuationFrame(1, block[5:], flags=["END_HEADERS"]))
    (event,) = bench.happened()
    assert isinstance(event, RequestReceived) and event.head.headers.lines == [(b"x-a", b"1")] and event.has_ended


def test_other_events(bench: Bench) -> None:
    client = bench.client
    client.request(1, end=False)
    client.ping(b"abcdefgh", ack=True)
    client.open_window(0, 10)
    client.open_window(1, 10)
    client.raw(frame_bytes(0x10, 0, 0, b"\0\0\0\x01u=1, i"))
    client.raw(frame_bytes(0x77, 0xFF, 1, b"?"))
    client.send(SettingsFrame(0, settings={4: 70000}))
    client.send(GoAwayFrame(0, error_code=0))
    client.reset(1, 5)
    assert bench.happened()[1:] == [
        PongReceived(b"abcdefgh"),
        WindowOpened(0),
        WindowOpened(1),
        PriorityChanged(1, 1, True),
        WindowOpened(0),
        ClientLeaves(0),
        StreamEnded(1, 5, "the client reset the stream", False),
    ]
    assert bench.failure() is None


def test_a_ping_and_settings_are_answered(bench: Bench) -> None:
    bench.client.hear()
    bench.client.ping(b"abcdefgh")
    bench.client.send(SettingsFrame(0, settings={1: 0}))
    ping, settings = bench.client.hear()
    assert isinstance(ping, PingFrame) and "ACK" in ping.flags and ping.opaque_data == b"abcdefgh"
    assert isinstance(settings, SettingsFrame) and "ACK" in settings.flags


def test_windows_are_those_of_the_client(bench: Bench) -> None:
    client, engine = bench.client, bench.engine
    client.send(SettingsFrame(0, settings={4: 10}))
    client.request(1)
    assert engine.sendable_bytes(1) == 10
    engine.send_head(1, response_block(200, []))
    engine.send_content(1, b"12345678")
    assert (engine.sendable_bytes(1), engine.sendable_on_connection_bytes) == (2, 65535 - 8)
    client.send(SettingsFrame(0, settings={4: 0}))
    assert (engine.stream_window_bytes(1), engine.sendable_bytes(1)) == (-8, 0)
    client.open_window(1, 100)
    assert engine.sendable_bytes(1) == 92
    assert engine.sendable_bytes(3) == 0


@pytest.mark.slow
def test_the_connections_window_is_given_back_at_once_and_a_streams_is_not(bench: Bench) -> None:
    client = bench.client
    client.hear()
    client.send(client.headers(1, POST, end=False))
    for _ in range(8):
        client.content(1, b"x" * 16384)
    assert [frame for frame in client.hear() if isinstance(frame, WindowUpdateFrame)] == []
    for stream_id in range(3, 11, 2):
        client.send(client.headers(stream_id, POST, end=False))
        for _ in range(8):
            client.content(stream_id, b"x" * 16384)
    opened = [frame for frame in client.hear() if isinstance(frame, WindowUpdateFrame)]
    assert [(frame.stream_id, frame.window_increment >= 524288) for frame in opened] == [(0, True)]
    client.content(1, b"x")
    assert bench.failure() is ErrorCode.FLOW_CONTROL_ERROR


def test_credit_opens_a_stream_again(bench: Bench) -> None:
    client = bench.client
    client.send(client.headers(1, POST, end=False))
    for _ in range(8):
        client.content(1, b"x" * 16384)
    bench.engine.give_credit(1, STREAM_WINDOW_BYTES)
    client.content(1, b"x" * 16384)
    assert bench.failure() is None


def test_content_for_a_stream_that_we_reset_is_ignored(bench: Bench) -> None:
    client = bench.client
    client.send(client.headers(1, POST, end=False))
    bench.engine.reset(1, ErrorCode.NO_ERROR)
    client.hear()
    bench.happened()
    client.content(1, b"late")
    client.send(client.headers(1, [("x", "y")]))
    client.open_window(1, 5)
    client.reset(1)
    assert bench.happened() == [] and client.hear() == []


def test_streams_after_our_last_goaway_are_ignored_and_keep_the_table_in_step(bench: Bench) -> None:
    client = bench.client
    client.request(1, end=False)
    bench.engine.announce_end()
    client.request(3, "/", [("x-a", "1")])
    bench.engine.end()
    assert [goaway.last_stream_id for goaway in client.goaways] == [2**31 - 1, 3]
    bench.happened()
    client.request(5, "/", [("x-b", "2")], end=False)
    client.content(5, b"abc")
    client.open_window(5, 1)
    assert bench.happened() == []
    client.send(client.headers(1, [("x-b", "2")]))
    assert bench.happened() == [TrailersReceived(1, [(b"x-b", b"2")])]


def test_too_many_streams_are_refused_one_by_one(bench: Bench) -> None:
    for stream_id in range(1, 2 * MAX_CONCURRENT_STREAMS + 2, 2):
        bench.client.request(stream_id)
    assert bench.client.answer(2 * MAX_CONCURRENT_STREAMS + 1).reset_code == ErrorCode.REFUSED_STREAM
    assert bench.engine.open_streams == MAX_CONCURRENT_STREAMS
    assert bench.failure() is None


def open_post(client: Http2Peer) -> None:
    client.send(client.headers(1, POST, end=False))


def ended_get(client: Http2Peer) -> None:
    client.request(1)


# What the frames do, in words; what comes before; the frames; the code of RST_STREAM on stream 1.
STREAM_ERRORS: list[tuple[str, Any, Sequence[Frame], ErrorCode]] = [
    ("DATA after the end", ended_get, [DataFrame(1, b"x")], ErrorCode.STREAM_CLOSED),
    ("HEADERS after the end", ended_get, [HeadersFrame(1, b"\x82", flags=["END_HEADERS"])], ErrorCode.STREAM_CLOSED),
    ("trailers go on", open_post, [HeadersFrame(1, b"", flags=["END_HEADERS"])], ErrorCode.PROTOCOL_ERROR),
    (
        "a pseudo-field in trailers",
        open_post,
        [HeadersFrame(1, b"\x82", flags=["END_HEADERS", "END_STREAM"])],
        ErrorCode.PROTOCOL_ERROR,
    ),
    (
        "a length in trailers",
        open_post,
        [HeadersFrame(1, b"\x0f\x0d\x011", flags=["END_HEADERS", "END_STREAM"])],
        ErrorCode.PROTOCOL_ERROR,
    ),
    ("no increment", open_post, [WindowUpdateFrame(1, window_increment=1)], ErrorCode.PROTOCOL_ERROR),
    ("a window too large", open_post, [WindowUpdateFrame(1, window_increment=2**31 - 1)], ErrorCode.FLOW_CONTROL_ERROR),
    ("depends on itself", open_post, [PriorityFrame(1, depends_on=1)], ErrorCode.PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("what", "before", "frames", "code"), STREAM_ERRORS, ids=[row[0] for row in STREAM_ERRORS])
def test_what_breaks_a_stream_only(
    bench: Bench, what: str, before: Any, frames: Sequence[Frame], code: ErrorCode
) -> None:
    before(bench.client)
    bench.happened()
    data = b"".join(frame.serialize() for frame in frames)
    if what == "no increment":
        data = data[:9] + bytes(4)
    bench.client.raw(data)
    (event,) = bench.happened()
    assert isinstance(event, StreamEnded) and event.is_ours and event.code == code
    assert bench.client.answer(1).reset_code == code
    bench.client.request(3)
    assert [type(event) for event in bench.happened()] == [RequestReceived]


@pytest.mark.parametrize(
    ("length", "contents"),
    [("3", [b"abcd"]), ("3", [b"ab", b"cd"]), ("5", [b"abcd"]), ("0", [b"a"]), ("1", [])],
)
def test_content_that_is_not_as_long_as_announced_breaks_the_stream(
    bench: Bench, length: str, contents: list[bytes]
) -> None:
    client = bench.client
    client.send(client.headers(1, [*POST, ("content-length", length)], end=not contents))
    for content in contents:
        client.content(1, content, end=content is contents[-1])
    assert client.answer(1).reset_code == ErrorCode.PROTOCOL_ERROR
    assert bench.failure() is None


@pytest.mark.parametrize("length", ["4", None])
def test_content_as_long_as_announced_ends_well(bench: Bench, length: str | None) -> None:
    client = bench.client
    client.send(client.headers(1, [*POST, *([("content-length", length)] if length else [])], end=False))
    client.content(1, b"ab")
    client.content(1, b"cd", end=True)
    assert bench.happened()[-1] == ContentReceived(1, b"cd", 0, True)


@pytest.mark.parametrize(
    "end",
    [DataFrame(1, b"c", flags=["END_STREAM"]), HeadersFrame(1, b"", flags=["END_HEADERS", "END_STREAM"])],
    ids=["DATA", "trailers"],
)
def test_a_client_that_stops_its_upload_because_of_the_answer_gets_the_rest_of_that(bench: Bench, end: Frame) -> None:
    client = bench.client
    client.send(client.headers(1, [*POST, ("content-length", "9")], end=False))
    client.content(1, b"ab")
    bench.engine.send_head(1, response_block(413, []))
    client.send(end)
    assert isinstance(bench.happened()[-1], RequestBroken)
    bench.engine.send_content(1, b"too much", ends_stream=True)
    answer = client.answer(1)
    assert (bytes(answer.content), answer.has_ended, answer.reset_code) == (b"too much", True, None)
    assert bench.engine.open_streams == 0


def test_an_interim_answer_is_no_reason_to_stop_an_upload(bench: Bench) -> None:
    client = bench.client
    client.send(client.headers(1, [*POST, ("content-length", "9")], end=False))
    bench.engine.send_head(1, response_block(100, []), is_interim=True)
    client.content(1, b"ab", end=True)
    assert client.answer(1).reset_code == ErrorCode.PROTOCOL_ERROR


# What the bytes do, in words; the bytes; the code of GOAWAY.
CONNECTION_ERRORS: list[tuple[str, bytes, ErrorCode]] = [
    ("DATA on stream 0", DataFrame(1, b"x").serialize()[:5] + bytes(4) + b"x", ErrorCode.PROTOCOL_ERROR),
    ("DATA on an idle stream", DataFrame(1, b"x").serialize(), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS on stream 0", frame_bytes(1, 4, 0, b"\x82"), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS on an even stream", frame_bytes(1, 4, 2, b"\x82"), ErrorCode.PROTOCOL_ERROR),
    ("too much padding", frame_bytes(1, 4 | 8, 1, b"\x05\x82"), ErrorCode.PROTOCOL_ERROR),
    ("padding in nothing", frame_bytes(1, 4 | 8, 1, b""), ErrorCode.PROTOCOL_ERROR),
    ("priority in nothing", frame_bytes(1, 4 | 0x20, 1, b"\0\0"), ErrorCode.FRAME_SIZE_ERROR),
    ("RST_STREAM on stream 0", frame_bytes(3, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    ("RST_STREAM on an idle stream", frame_bytes(3, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    ("RST_STREAM of three bytes", frame_bytes(3, 0, 1, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    ("SETTINGS on a stream", frame_bytes(4, 0, 1, b""), ErrorCode.PROTOCOL_ERROR),
    ("SETTINGS of five bytes", frame_bytes(4, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
    ("SETTINGS acknowledged with more", frame_bytes(4, 1, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
    ("a push setting of 2", frame_bytes(4, 0, 0, bytes((0, 2, 0, 0, 0, 2))), ErrorCode.PROTOCOL_ERROR),
    ("an initial window too large", frame_bytes(4, 0, 0, bytes((0, 4, 128, 0, 0, 0))), ErrorCode.FLOW_CONTROL_ERROR),
    ("a frame size too small", frame_bytes(4, 0, 0, bytes((0, 5, 0, 0, 63, 255))), ErrorCode.PROTOCOL_ERROR),
    ("a frame size too large", frame_bytes(4, 0, 0, bytes((0, 5, 1, 0, 0, 0))), ErrorCode.PROTOCOL_ERROR),
    ("PUSH_PROMISE", PushPromiseFrame(1, promised_stream_id=2, data=b"\x82").serialize(), ErrorCode.PROTOCOL_ERROR),
    ("PING on a stream", frame_bytes(6, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    ("PING of seven bytes", frame_bytes(6, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    ("GOAWAY on a stream", frame_bytes(7, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    ("no increment", frame_bytes(8, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    ("an increment for an idle stream", frame_bytes(8, 0, 1, bytes((0, 0, 0, 1))), ErrorCode.PROTOCOL_ERROR),
    ("WINDOW_UPDATE of three bytes", frame_bytes(8, 0, 0, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    ("a window too large", frame_bytes(8, 0, 0, bytes((127, 255, 255, 255))), ErrorCode.FLOW_CONTROL_ERROR),
    ("CONTINUATION without HEADERS", frame_bytes(9, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
    ("PRIORITY on stream 0", frame_bytes(2, 0, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    ("PRIORITY of four bytes", frame_bytes(2, 0, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
    ("PRIORITY_UPDATE on a stream", frame_bytes(16, 0, 1, bytes((0, 0, 0, 1))), ErrorCode.PROTOCOL_ERROR),
    ("a frame too large", frame_bytes(0, 0, 1, bytes(16385)), ErrorCode.FRAME_SIZE_ERROR),
    ("PING between HEADERS", frame_bytes(1, 0, 1, b"\x82") + frame_bytes(6, 0, 0, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    ("another's CONTINUATION", frame_bytes(1, 0, 1, b"\x82") + frame_bytes(9, 4, 3, b""), ErrorCode.PROTOCOL_ERROR),
    ("an index that is not there", frame_bytes(1, 5, 1, b"\xff\x00"), ErrorCode.COMPRESSION_ERROR),
    ("index 0", frame_bytes(1, 5, 1, b"\x80"), ErrorCode.COMPRESSION_ERROR),
    ("half a literal", frame_bytes(1, 5, 1, b"\x00\x05ab"), ErrorCode.COMPRESSION_ERROR),
    ("a name without its value", frame_bytes(1, 5, 1, b"\x00\x01a"), ErrorCode.COMPRESSION_ERROR),
    ("an endless number", frame_bytes(1, 5, 1, b"\xff" * 12), ErrorCode.COMPRESSION_ERROR),
    ("a table too large", frame_bytes(1, 5, 1, b"\x3f\xff\x7f\x82"), ErrorCode.COMPRESSION_ERROR),
    ("a table size behind a field", frame_bytes(1, 5, 1, b"\x82\x20"), ErrorCode.COMPRESSION_ERROR),
    ("a bad Huffman code", frame_bytes(1, 5, 1, b"\x00\x81\xff\x81\xff"), ErrorCode.COMPRESSION_ERROR),
]


@pytest.mark.parametrize(("what", "data", "code"), CONNECTION_ERRORS, ids=[row[0] for row in CONNECTION_ERRORS])
def test_what_breaks_the_connection(bench: Bench, what: str, data: bytes, code: ErrorCode) -> None:
    bench.client.raw(data)
    assert bench.failure() is code
    bench.happened()
    bench.client.request(9)
    assert bench.happened() == [], "nothing is heard after that"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", PREFACE[:-1] + b"!", PREFACE + PingFrame(0).serialize()])
def test_what_does_not_begin_as_it_should(data: bytes) -> None:
    bench = Bench()
    bench.client.raw(data)
    assert bench.failure() is ErrorCode.PROTOCOL_ERROR


def test_a_stream_number_that_goes_back_breaks_the_connection(bench: Bench) -> None:
    bench.client.request(5)
    bench.client.request(3)
    assert bench.failure() is ErrorCode.PROTOCOL_ERROR


def test_headers_on_a_stream_that_has_ended_break_the_connection(bench: Bench) -> None:
    bench.client.request(1)
    bench.engine.send_head(1, response_block(204, []), ends_stream=True)
    bench.client.request(1)
    assert bench.failure() is ErrorCode.STREAM_CLOSED


def test_a_malformed_request_is_reset_and_the_next_one_is_served(bench: Bench) -> None:
    bench.client.request(1, "/", [("Upper", "case")])
    (event,) = bench.happened()
    assert isinstance(event, RequestRefused) and event.is_reset
    assert bench.client.answer(1).reset_code == ErrorCode.PROTOCOL_ERROR
    bench.client.request(3, "/", [("x-a", "1")])
    assert isinstance(bench.happened()[0], RequestReceived)


def test_a_request_that_is_too_large_can_be_answered(bench: Bench) -> None:
    bench.client.request(1, "/", [(f"x-{number}", "1") for number in range(200)])
    (event,) = bench.happened()
    assert isinstance(event, RequestRefused) and not event.is_reset and event.error.status == 431
    assert bench.engine.is_open(1)


# Floods


def repeated(frame: Frame | bytes, count: int) -> Iterator[bytes]:
    data = frame if isinstance(frame, bytes) else frame.serialize()
    return (data for _ in range(count))


FLOODS: list[tuple[str, Any]] = [
    ("PING", lambda: repeated(PingFrame(0), 1001)),
    ("SETTINGS", lambda: repeated(SettingsFrame(0), 101)),
    ("PRIORITY", lambda: repeated(PriorityFrame(3), 1001)),
    ("unknown frames", lambda: repeated(frame_bytes(0xFA, 0, 0, b""), 1001)),
    ("GOAWAY", lambda: repeated(GoAwayFrame(0), 1001)),
    ("empty DATA", lambda: repeated(DataFrame(1, b""), 101)),
    ("padding only", lambda: repeated(DataFrame(1, b"", flags=["PADDED"], pad_length=1), 101)),
    ("WINDOW_UPDATE", lambda: repeated(WindowUpdateFrame(1, window_increment=1), 2001)),
    ("RST_STREAM again and again", lambda: repeated(RstStreamFrame(1), 1003)),
]


@pytest.mark.parametrize(("what", "frames"), FLOODS, ids=[row[0] for row in FLOODS])
def test_floods_are_told_to_calm_down(what: str, frames: Any) -> None:
    bench = Bench()
    bench.client.greet()
    bench.client.send(bench.client.headers(1, POST, end=False))
    *allowed, last = frames()
    bench.client.raw(b"".join(allowed[:-41]))
    assert bench.failure() is None
    bench.client.raw(b"".join([*allowed[-41:], last]))
    assert bench.failure() is ErrorCode.ENHANCE_YOUR_CALM


def test_what_is_a_flood_at_once_is_none_over_time() -> None:
    bench = Bench()
    bench.client.greet()
    for _ in range(5000):
        bench.now_s += 0.02
        bench.client.ping()
        bench.client.hear()
    assert bench.failure() is None


@pytest.mark.slow
def test_windows_may_be_opened_as_often_as_content_was_sent() -> None:
    bench = Bench()
    bench.client.greet()
    bench.client.request(1)
    bench.engine.send_head(1, response_block(200, []))
    for _ in range(10000):
        bench.engine.send_content(1, b"x" * 1024)
        bench.client.open_window(1, 1024)
        bench.client.open_window(0, 1024) if _ % 2 else None
        bench.now_s += 0.005
    assert bench.failure() is None


def test_rapid_resets_are_told_to_calm_down() -> None:
    bench = Bench()
    bench.client.greet()
    for number in range(floods.RESETS.at_once + 1):
        bench.client.request(2 * number + 1)
        bench.client.reset(2 * number + 1)
    assert bench.failure() is ErrorCode.ENHANCE_YOUR_CALM


def test_resets_after_the_head_of_the_answer_are_no_rapid_ones() -> None:
    bench = Bench()
    bench.client.greet()
    for number in range(2 * floods.RESETS.at_once):
        bench.client.request(2 * number + 1)
        bench.engine.send_head(2 * number + 1, response_block(200, []))
        bench.client.reset(2 * number + 1)
    assert bench.failure() is None


def test_resets_after_an_interim_answer_are() -> None:
    bench = Bench()
    bench.client.greet()
    for number in range(floods.RESETS.at_once + 1):
        bench.client.request(2 * number + 1)
        bench.engine.send_head(2 * number + 1, response_block(103, []), is_interim=True)
        bench.client.reset(2 * number + 1)
    assert bench.failure() is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "provoke",
    [
        lambda client, stream_id: client.raw(frame_bytes(8, 0, stream_id, bytes(4))),
        lambda client, stream_id: client.open_window(stream_id, 2**31 - 1),
        lambda client, stream_id: client.content(stream_id, b"x"),
        lambda client, stream_id: client.send(PriorityFrame(stream_id, depends_on=stream_id)),
        lambda client, stream_id: client.send(client.headers(stream_id, [("x", "y")])),
    ],
    ids=["no increment", "overflow", "DATA after the end", "depends on itself", "HEADERS after the end"],
)
def test_provoked_resets_are_told_to_calm_down(provoke: Any) -> None:
    bench = Bench()
    bench.client.greet()
    for number in range(floods.PROVOKED_RESETS.at_once):
        bench.client.request(2 * number + 1)
        provoke(bench.client, 2 * number + 1)
    assert bench.failure() is None
    bench.client.request(999)
    provoke(bench.client, 999)
    assert bench.failure() is ErrorCode.ENHANCE_YOUR_CALM


def test_malformed_requests_are_told_to_calm_down() -> None:
    bench = Bench()
    bench.client.greet()
    for number in range(floods.PROVOKED_RESETS.at_once + 1):
        bench.client.request(2 * number + 1, "no path")
    assert bench.failure() is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(("count", "size"), [(33, 1), (4, 16384), (33, 0)])
def test_endless_continuations_are_cut_before_anything_is_decoded(count: int, size: int) -> None:
    bench = Bench()
    bench.client.greet()
    bench.client.send(HeadersFrame(1, b"\xff" * 10))
    for _ in range(count - 1):
        bench.client.send(ContinuationFrame(1, b"\xff" * size))
    assert bench.failure() is None
    bench.client.send(ContinuationFrame(1, b"\xff" * size))
    assert bench.failure() is ErrorCode.ENHANCE_YOUR_CALM


def test_a_header_bomb_is_cut() -> None:
    bench = Bench()
    bench.client.greet()
    bomb = bench.client.block([*pseudo(), ("x", "y" * 4000)]) + b"\xbe" * 10000
    bench.client.send(HeadersFrame(1, bomb, flags=["END_HEADERS", "END_STREAM"]))
    assert bench.failure() is ErrorCode.ENHANCE_YOUR_CALM
