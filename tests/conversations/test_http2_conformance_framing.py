"""RFC 9113 §3.4 (preface), §4 (frames, sizes, header sections), §5.4 (errors), §5.5 (extensions), §7 (codes)."""

import pytest

from tests.support.http2_cases import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_31,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    UNDEFINED_FLAGS,
    UNKNOWN,
    WINDOW_UPDATE,
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
    pseudo,
    reset,
    settings,
    uint32,
    window,
)
from tests.support.http2_peer import PREFACE

REQUEST = block(pseudo())
RESERVED_BIT = 1 << 31
NOTHING_SAID = {"greets": False}

CASES = [
    # §3.4: the preface
    case(
        "3.4", "a request right behind the preface and SETTINGS", PREFACE + settings() + get(1), "1: 200", greets=False
    ),
    case(
        "3.4", "SETTINGS with values", PREFACE + settings((INITIAL_WINDOW_SIZE, 100)) + get(1), "1: 200", greets=False
    ),
    case("3.4", "another preface", b"INVALID CONNECTION PREFACE\r\n\r\n", "GOAWAY PROTOCOL_ERROR", greets=False),
    case("3.4", "a preface wrong in its last byte", PREFACE[:-1] + b"!", "GOAWAY PROTOCOL_ERROR", greets=False),
    case("3.4", "a preface in lower case", PREFACE.lower(), "GOAWAY PROTOCOL_ERROR", greets=False),
    case("3.4", "HTTP/1.1", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "GOAWAY PROTOCOL_ERROR", greets=False),
    case("3.4", "HEADERS before SETTINGS", PREFACE + get(1), "GOAWAY PROTOCOL_ERROR", greets=False),
    case("3.4", "PING before SETTINGS", PREFACE + ping(), "GOAWAY PROTOCOL_ERROR", greets=False),
    case("3.4", "an unknown frame before SETTINGS", PREFACE + frame(UNKNOWN), "GOAWAY PROTOCOL_ERROR", greets=False),
    case(
        "3.4",
        "an acknowledgement instead of SETTINGS",
        PREFACE + frame(SETTINGS, ACK),
        "GOAWAY PROTOCOL_ERROR",
        greets=False,
    ),
    case("3.4", "the preface twice", PREFACE, "GOAWAY FRAME_SIZE_ERROR", "GOAWAY PROTOCOL_ERROR"),
    # §4.1: the frame format
    case("4.1", "an unknown type", [frame(UNKNOWN, payload=bytes(8)), get(1)], "1: 200"),
    case("4.1", "an unknown type on an open stream", [post(1), frame(UNKNOWN, 0xFF, 1), data(1, end=True)], "1: 200"),
    case("4.1", "an unknown type on an idle stream", frame(UNKNOWN, 0, 77), "nothing"),
    case(
        "4.1",
        "undefined flags on PING",
        frame(PING, UNDEFINED_FLAGS, 0, b"12345678"),
        "nothing",
        said_back=[ping(ack=True)],
    ),
    case("4.1", "undefined flags on DATA", [post(1), frame(DATA, UNDEFINED_FLAGS | END_STREAM, 1, b"x")], "1: 200"),
    case(
        "4.1",
        "undefined flags on HEADERS",
        frame(HEADERS, UNDEFINED_FLAGS | END_HEADERS | END_STREAM, 1, REQUEST),
        "1: 200",
    ),
    case("4.1", "undefined flags on SETTINGS", frame(SETTINGS, 0xFE), "nothing", said_back=[frame(SETTINGS, ACK)]),
    case(
        "4.1",
        "undefined flags on RST_STREAM",
        [post(1, path="/wait"), frame(RST_STREAM, 0xFF, 1, uint32(8))],
        "nothing",
    ),
    case("4.1", "undefined flags on WINDOW_UPDATE", frame(WINDOW_UPDATE, 0xFF, 0, uint32(1)), "nothing"),
    case(
        "4.1",
        "the reserved bit on PING",
        frame(PING, 0, RESERVED_BIT, b"12345678"),
        "nothing",
        said_back=[ping(ack=True)],
    ),
    case("4.1", "the reserved bit on HEADERS", headers(RESERVED_BIT | 1, pseudo()), "1: 200"),
    case("4.1", "the reserved bit on DATA", [post(1), data(RESERVED_BIT | 1, b"x", end=True)], "1: 200"),
    # §4.2: the frame size
    case("4.2", "DATA of 16,384 bytes", [post(1), data(1, b"x" * 16384, end=True)], "1: 200", reached=[b"x" * 16384]),
    case(
        "4.2",
        "DATA of 16,385 bytes",
        [post(1), data(1, b"x" * 16385)],
        "GOAWAY FRAME_SIZE_ERROR",
        "1: RST_STREAM FRAME_SIZE_ERROR",
    ),
    case(
        "4.2", "HEADERS of 16,385 bytes", headers(1, REQUEST + bytes(16385 - len(REQUEST))), "GOAWAY FRAME_SIZE_ERROR"
    ),
    case(
        "4.2",
        "HEADERS of 16,384 bytes",
        headers(1, [*pseudo(), ("x", "y" * (16384 - len(REQUEST) - 6))]),
        "1: 200",
        "1: 431",
    ),
    case(
        "4.2",
        "CONTINUATION of 16,385 bytes",
        [headers(1, REQUEST, flags=0), frame(CONTINUATION, 4, 1, bytes(16385))],
        "GOAWAY FRAME_SIZE_ERROR",
    ),
    case("4.2", "an unknown frame of 16,384 bytes", frame(UNKNOWN, payload=bytes(16384)), "nothing"),
    case("4.2", "an unknown frame of 16,385 bytes", frame(UNKNOWN, payload=bytes(16385)), "GOAWAY FRAME_SIZE_ERROR"),
    case("4.2", "a claim of 16 MB", frame(DATA, 0, 1, length=2**24 - 1), "GOAWAY FRAME_SIZE_ERROR"),
    case("4.2", "half a frame, and its rest later", [get(1)[:5], get(1)[5:20], get(1)[20:]], "1: 200"),
    # §4.3: header sections
    case("4.3", "a block that cannot be decoded", headers(1, b"\xff\xff\xff\xff\xff"), "GOAWAY COMPRESSION_ERROR"),
    case("4.3", "a block that ends in a field", headers(1, REQUEST[:-1]), "GOAWAY COMPRESSION_ERROR"),
    case(
        "4.3",
        "a broken block of trailers",
        [post(1), headers(1, b"\x00\x7f")],
        "GOAWAY COMPRESSION_ERROR",
    ),
    case(
        "4.3",
        "a broken block on a stream that was reset by us",
        [get(1, "relative"), headers(1, b"\x00\x7f")],
        "1: RST_STREAM PROTOCOL_ERROR, GOAWAY COMPRESSION_ERROR",
    ),
    case(
        "4.3",
        "a refused request changes the table all the same",
        [
            headers(1, b"\x40\x01A\x01b" + REQUEST),  # malformed: a name in upper case, in front
            headers(3, REQUEST + b"\x40\x03x-a\x05works"),
            headers(5, REQUEST + b"\xbe"),
        ],
        "1: RST_STREAM PROTOCOL_ERROR, 3: 200, 5: 200",
        reached=[b"x-a: works\r\n"],
    ),
    case(
        "4.3",
        "PRIORITY between HEADERS and CONTINUATION",
        frame(HEADERS, END_STREAM, 1, REQUEST) + frame(PRIORITY, 0, 1, bytes(5)) + frame(CONTINUATION, END_HEADERS, 1),
        "GOAWAY PROTOCOL_ERROR",
    ),
    case(
        "4.3",
        "HEADERS of another stream between HEADERS and CONTINUATION",
        frame(HEADERS, END_STREAM, 1, REQUEST) + get(3) + frame(CONTINUATION, END_HEADERS, 1),
        "GOAWAY PROTOCOL_ERROR",
    ),
    case(
        "4.3",
        "an unknown frame between HEADERS and CONTINUATION",
        frame(HEADERS, END_STREAM, 1, REQUEST) + frame(UNKNOWN) + frame(CONTINUATION, END_HEADERS, 1),
        "GOAWAY PROTOCOL_ERROR",
    ),
    case(
        "4.3",
        "a block cut in the middle of a string",
        frame(HEADERS, END_STREAM, 1, REQUEST[:-4]) + frame(CONTINUATION, END_HEADERS, 1, REQUEST[-4:]),
        "1: 200",
        reached=[b"host: example.org\r\n"],
    ),
    # §5.4: errors
    case(
        "5.4.1",
        "GOAWAY comes before the end, with the last stream that was looked at",
        [get(1) + get(3), frame(PING, 0, 0, b"short")],
        "1: 200, 3: 200, GOAWAY FRAME_SIZE_ERROR",
        said_back=[uint32(3) + uint32(6)],
    ),
    case(
        "5.4.1",
        "nothing is answered behind a connection error",
        frame(PING, 0, 0, b"short") + get(1) + ping(),
        "GOAWAY FRAME_SIZE_ERROR",
    ),
    case(
        "5.4.2",
        "the other streams go on after a stream error",
        [post(1, path="/wait"), get(3, "x"), data(1, b"y")],
        "3: RST_STREAM PROTOCOL_ERROR",
    ),
    case("5.4.2", "no RST_STREAM in reply to RST_STREAM", [get(1, "/wait"), reset(1), reset(1)], "nothing"),
    # §5.5: extensions
    case(
        "5.5",
        "an unknown frame in the middle of a header section",
        [frame(HEADERS, 0, 1, REQUEST), frame(UNKNOWN, 0, 1), frame(CONTINUATION, END_HEADERS, 1)],
        "GOAWAY PROTOCOL_ERROR",
    ),
    case("5.5", "an unknown setting", settings((0xFF00, MAX_31)), "nothing", said_back=[frame(SETTINGS, ACK)]),
    case("5.5", "PRIORITY_UPDATE, which is an extension", frame(0x10, 0, 0, uint32(1) + b"u=1"), "nothing"),
    case("9218 7.1", "PRIORITY_UPDATE of three bytes", frame(0x10, 0, 0, bytes(3)), "GOAWAY FRAME_SIZE_ERROR"),
    case("9218 7.1", "PRIORITY_UPDATE on a stream", frame(0x10, 0, 1, uint32(1)), "GOAWAY PROTOCOL_ERROR"),
    case("9218 7.1", "PRIORITY_UPDATE for stream 0", frame(0x10, 0, 0, uint32(0) + b"u=1"), "GOAWAY PROTOCOL_ERROR"),
    case("9218 2.1", "NO_RFC7540_PRIORITIES 1", settings((9, 1)), "nothing", said_back=[frame(SETTINGS, ACK)]),
    case("9218 2.1", "NO_RFC7540_PRIORITIES 2", settings((9, 2)), "GOAWAY PROTOCOL_ERROR"),
    case("5.5", "ORIGIN and ALTSVC, which are for clients", frame(0x0C) + frame(0x0A, 0, 0, bytes(4)), "nothing"),
    # §7: codes
    case(
        "7",
        "GOAWAY with an unknown code",
        [get(1, "/wait"), frame(GOAWAY, 0, 0, uint32(0) + uint32(0xABCDEF))],
        "nothing",
        probe=None,
    ),
    case("7", "RST_STREAM with an unknown code", [get(1, "/wait"), reset(1, 0xABCDEF)], "nothing"),
    case("5.1", "WINDOW_UPDATE behind the preface", [window(0, 1), get(1)], "1: 200"),
]


@pytest.mark.parametrize(("row", "read_bytes"), plays(CASES))
def test_what_becomes_of(row: Case, read_bytes: int) -> None:
    play(row, read_bytes=read_bytes)
