"""RFC 9113 §6: each type of frame, its sizes, flags and errors, but for settings and windows."""

import pytest

from tests.support.http2_cases import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    Case,
    block,
    case,
    data,
    frame,
    get,
    headers,
    ping,
    play,
    plays,
    post,
    priority,
    pseudo,
    reset,
    uint32,
)

REQUEST = block(pseudo())
TRAILERS = [("x-sum", "1")]
OPEN = HEADERS, END_STREAM, 1

CASES = [
    # §6.1 DATA
    case("6.1", "DATA on stream 0", data(0, b"x"), "GOAWAY PROTOCOL_ERROR"),
    case("6.1", "one frame", [post(1), data(1, b"content", end=True)], "1: 200", reached=[b"content"]),
    case(
        "6.1",
        "several frames",
        [post(1), data(1, b"one"), data(1, b"two", end=True)],
        "1: 200",
        reached=[b"3\r\none\r\n", b"3\r\ntwo\r\n"],
    ),
    case("6.1", "an empty frame in between", [post(1), data(1, b"x"), data(1), data(1, b"y", end=True)], "1: 200"),
    case("6.1", "an empty frame at the end", [post(1), data(1, b"x"), data(1, end=True)], "1: 200"),
    case(
        "6.1",
        "padding",
        [post(1), frame(DATA, PADDED | END_STREAM, 1, b"\x06" + b"text" + bytes(6))],
        "1: 200",
        reached=[b"text"],
    ),
    case(
        "6.1",
        "padding of no length",
        [post(1), frame(DATA, PADDED | END_STREAM, 1, b"\x00text")],
        "1: 200",
        reached=[b"text"],
    ),
    case("6.1", "nothing but padding", [post(1), frame(DATA, PADDED | END_STREAM, 1, b"\xff" + bytes(255))], "1: 200"),
    case(
        "6.1",
        "padding that is not zero",
        [post(1), frame(DATA, PADDED | END_STREAM, 1, b"\x02text!!")],
        "1: 200",
        "GOAWAY PROTOCOL_ERROR",
    ),
    case(
        "6.1", "padding as long as its frame", [post(1), frame(DATA, PADDED, 1, b"\x05text")], "GOAWAY PROTOCOL_ERROR"
    ),
    case(
        "6.1", "padding longer than its frame", [post(1), frame(DATA, PADDED, 1, b"\xfftext")], "GOAWAY PROTOCOL_ERROR"
    ),
    case(
        "6.1",
        "no room for the padding's length",
        [post(1), frame(DATA, PADDED, 1)],
        "GOAWAY PROTOCOL_ERROR",
        "GOAWAY FRAME_SIZE_ERROR",
    ),
    # §6.2 HEADERS
    case("6.2", "HEADERS on stream 0", headers(0, pseudo()), "GOAWAY PROTOCOL_ERROR"),
    case(
        "6.2", "padding", frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, b"\x08" + REQUEST + bytes(8)), "1: 200"
    ),
    case("6.2", "padding and priority", frame(HEADERS, 0x2D, 1, b"\x08" + bytes(5) + REQUEST + bytes(8)), "1: 200"),
    case("6.2", "priority", frame(HEADERS, HAS_PRIORITY | 5, 1, bytes(5) + REQUEST), "1: 200"),
    case(
        "6.2",
        "padding longer than its frame",
        frame(HEADERS, PADDED | 5, 1, b"\xff" + REQUEST),
        "GOAWAY PROTOCOL_ERROR",
        "1: RST_STREAM PROTOCOL_ERROR",
    ),
    case(
        "6.2",
        "padding over the priority",
        frame(HEADERS, 0x2D, 1, b"\x05" + bytes(9)),
        "GOAWAY PROTOCOL_ERROR",
        "GOAWAY FRAME_SIZE_ERROR",
    ),
    case(
        "6.2",
        "no room for the priority",
        frame(HEADERS, HAS_PRIORITY | 5, 1, bytes(4)),
        "GOAWAY FRAME_SIZE_ERROR",
        "GOAWAY PROTOCOL_ERROR",
    ),
    case("6.2", "an empty block", headers(1, b""), "1: RST_STREAM PROTOCOL_ERROR"),
    case(
        "6.2", "HEADERS while a section goes on", frame(*OPEN, REQUEST) + frame(*OPEN, REQUEST), "GOAWAY PROTOCOL_ERROR"
    ),
    case("6.2", "DATA while a section goes on", frame(HEADERS, 0, 1, REQUEST) + data(1, b"x"), "GOAWAY PROTOCOL_ERROR"),
    # §6.3 PRIORITY
    case("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, bytes(5)), "GOAWAY PROTOCOL_ERROR"),
    case("6.3", "four bytes", [get(1, "/wait"), frame(PRIORITY, 0, 1, bytes(4))], "1: RST_STREAM FRAME_SIZE_ERROR"),
    case("6.3", "six bytes", [get(1, "/wait"), frame(PRIORITY, 0, 1, bytes(6))], "1: RST_STREAM FRAME_SIZE_ERROR"),
    case(
        "6.3",
        "four bytes, on an idle stream",
        frame(PRIORITY, 0, 1, bytes(4)),
        "GOAWAY FRAME_SIZE_ERROR",
        "1: RST_STREAM FRAME_SIZE_ERROR",
    ),
    case("6.3", "in every state", [priority(1), get(1, "/wait"), priority(1), reset(1), priority(1)], "nothing"),
    # §6.4 RST_STREAM
    case("6.4", "RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, bytes(4)), "GOAWAY PROTOCOL_ERROR"),
    case("6.4", "three bytes", [get(1, "/wait"), frame(RST_STREAM, 0, 1, bytes(3))], "GOAWAY FRAME_SIZE_ERROR"),
    case("6.4", "five bytes", [get(1, "/wait"), frame(RST_STREAM, 0, 1, bytes(5))], "GOAWAY FRAME_SIZE_ERROR"),
    case("6.4", "no bytes", [get(1, "/wait"), frame(RST_STREAM, 0, 1)], "GOAWAY FRAME_SIZE_ERROR"),
    case("6.4", "in the middle of content", [post(1), data(1, b"x"), reset(1), get(3)], "3: 200"),
    # §6.6 PUSH_PROMISE, §8.4
    case(
        "6.6",
        "PUSH_PROMISE from a client",
        [post(1), frame(PUSH_PROMISE, 4, 1, uint32(2) + REQUEST)],
        "GOAWAY PROTOCOL_ERROR",
    ),
    case("6.6", "PUSH_PROMISE on stream 0", frame(PUSH_PROMISE, 4, 0, uint32(2) + REQUEST), "GOAWAY PROTOCOL_ERROR"),
    case(
        "8.4", "PUSH_PROMISE on an idle stream", frame(PUSH_PROMISE, 4, 1, uint32(2) + REQUEST), "GOAWAY PROTOCOL_ERROR"
    ),
    # §6.7 PING
    case("6.7", "PING", ping(b"as it is"), "nothing", said_back=[ping(b"as it is", ack=True)]),
    case("6.7", "an acknowledgement nobody has asked for", ping(ack=True), "nothing"),
    case("6.7", "PING on a stream", frame(PING, 0, 1, bytes(8)), "GOAWAY PROTOCOL_ERROR"),
    case("6.7", "an acknowledgement on a stream", frame(PING, ACK, 1, bytes(8)), "GOAWAY PROTOCOL_ERROR"),
    case("6.7", "six bytes", frame(PING, 0, 0, bytes(6)), "GOAWAY FRAME_SIZE_ERROR"),
    case("6.7", "nine bytes", frame(PING, 0, 0, bytes(9)), "GOAWAY FRAME_SIZE_ERROR"),
    case("6.7", "an acknowledgement of seven bytes", frame(PING, ACK, 0, bytes(7)), "GOAWAY FRAME_SIZE_ERROR"),
    case(
        "6.7",
        "in the middle of content",
        [post(1), data(1, b"x") + ping() + data(1, end=True)],
        "1: 200",
        said_back=[ping(ack=True)],
    ),
    # §6.8 GOAWAY
    case("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), "GOAWAY PROTOCOL_ERROR"),
    case("6.8", "seven bytes", frame(GOAWAY, 0, 0, bytes(7)), "GOAWAY FRAME_SIZE_ERROR"),
    case(
        "6.8",
        "GOAWAY with debug data",
        [get(1, "/wait"), frame(GOAWAY, 0, 0, bytes(8) + b"why not")],
        "nothing",
        probe=None,
    ),
    case(
        "6.8",
        "a request behind GOAWAY",
        [get(1, "/wait") + frame(GOAWAY, 0, 0, bytes(8)), get(3)],
        "3: 200",
        "nothing",
        probe=None,
    ),
    # §6.10 CONTINUATION
    case(
        "6.10",
        "one",
        frame(*OPEN, REQUEST) + frame(CONTINUATION, END_HEADERS, 1, block([("x-a", "b")])),
        "1: 200",
        reached=[b"x-a: b\r\n"],
    ),
    case(
        "6.10",
        "several, one of them empty",
        [
            frame(*OPEN, REQUEST[:9]),
            frame(CONTINUATION, 0, 1, REQUEST[9:20]),
            frame(CONTINUATION, 0, 1),
            frame(CONTINUATION, END_HEADERS, 1, REQUEST[20:]),
        ],
        "1: 200",
    ),
    case("6.10", "an empty HEADERS before it", [frame(*OPEN), frame(CONTINUATION, END_HEADERS, 1, REQUEST)], "1: 200"),
    case(
        "6.10",
        "padded HEADERS before it",
        [
            frame(HEADERS, PADDED | END_STREAM, 1, b"\x04" + REQUEST[:9] + bytes(4)),
            frame(CONTINUATION, 4, 1, REQUEST[9:]),
        ],
        "1: 200",
    ),
    case(
        "6.10",
        "END_STREAM on it means nothing",
        [
            frame(HEADERS, 0, 1, block(pseudo("POST"))),
            frame(CONTINUATION, END_HEADERS | END_STREAM, 1),
            data(1, b"x", end=True),
        ],
        "1: 200",
        reached=[b"x"],
    ),
    case(
        "6.10",
        "for trailers",
        [post(1), frame(*OPEN), frame(CONTINUATION, END_HEADERS, 1, block(TRAILERS))],
        "1: 200",
        reached=[b"x-sum: 1\r\n"],
    ),
    case("6.10", "on stream 0", frame(*OPEN, REQUEST) + frame(CONTINUATION, END_HEADERS, 0), "GOAWAY PROTOCOL_ERROR"),
    case(
        "6.10",
        "on another stream",
        frame(*OPEN, REQUEST) + frame(CONTINUATION, END_HEADERS, 3),
        "GOAWAY PROTOCOL_ERROR",
    ),
    case(
        "6.10",
        "after a section that has ended",
        get(1, "/wait") + frame(CONTINUATION, END_HEADERS, 1),
        "GOAWAY PROTOCOL_ERROR",
    ),
    case(
        "6.10",
        "after CONTINUATION with END_HEADERS",
        frame(*OPEN, REQUEST) + frame(CONTINUATION, END_HEADERS, 1) + frame(CONTINUATION, END_HEADERS, 1),
        "GOAWAY PROTOCOL_ERROR",
        "1: 200, GOAWAY PROTOCOL_ERROR",
    ),
    case("6.10", "after DATA", [post(1), data(1, b"x"), frame(CONTINUATION, END_HEADERS, 1)], "GOAWAY PROTOCOL_ERROR"),
    case("6.10", "without anything before it", frame(CONTINUATION, END_HEADERS, 1), "GOAWAY PROTOCOL_ERROR"),
]


@pytest.mark.parametrize(("row", "read_bytes"), plays(CASES))
def test_what_becomes_of(row: Case, read_bytes: int) -> None:
    play(row, read_bytes=read_bytes)
