"""RFC 9113 §5: states of streams, their numbers, how many there may be, dependencies."""

import pytest

from tests.support.http2_cases import (
    CONTINUATION,
    END_HEADERS,
    HAS_PRIORITY,
    HEADERS,
    MAX_31,
    PRIORITY,
    UNKNOWN,
    Case,
    block,
    case,
    data,
    frame,
    get,
    headers,
    play,
    plays,
    post,
    priority,
    pseudo,
    reset,
    uint32,
    window,
)
from thrust.wire.http2.outgoing import MAX_CONCURRENT_STREAMS

REQUEST = block(pseudo())
TRAILERS = [("x-sum", "1")]

# How stream 1 gets into its state, and what the client has seen until then.
HALF_CLOSED = get(1, "/wait")
RESET_BY_CLIENT = [get(1, "/wait"), reset(1)]
RESET_BY_US = [get(1, "no-path")]
WAS_RESET_BY_US = "1: RST_STREAM PROTOCOL_ERROR"

CASES = [
    # §5.1 idle: nothing but HEADERS and PRIORITY
    case("5.1 idle", "DATA", data(1, b"x", end=True), "GOAWAY PROTOCOL_ERROR"),
    case("5.1 idle", "DATA above streams that were used", [get(1), data(7)], "1: 200, GOAWAY PROTOCOL_ERROR"),
    case("5.1 idle", "DATA on an even stream", [get(3), data(2, b"x")], "3: 200, GOAWAY PROTOCOL_ERROR"),
    case("5.1 idle", "RST_STREAM", reset(1), "GOAWAY PROTOCOL_ERROR"),
    case("5.1 idle", "RST_STREAM on an even stream", reset(2), "GOAWAY PROTOCOL_ERROR"),
    case("5.1 idle", "WINDOW_UPDATE", window(1, 100), "GOAWAY PROTOCOL_ERROR"),
    case("5.1 idle", "WINDOW_UPDATE on an even stream", window(2, 100), "GOAWAY PROTOCOL_ERROR"),
    case("5.1 idle", "CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, REQUEST), "GOAWAY PROTOCOL_ERROR"),
    case("5.1 idle", "PRIORITY", [priority(1, 3), get(1)], "1: 200"),
    case("5.1 idle", "an unknown frame", frame(UNKNOWN, 0, 1), "nothing"),
    # §5.1 half-closed (remote): nothing but WINDOW_UPDATE, PRIORITY and RST_STREAM
    case("5.1 half-closed", "DATA", [HALF_CLOSED, data(1, b"x")], "1: RST_STREAM STREAM_CLOSED"),
    case("5.1 half-closed", "DATA that ends it again", [HALF_CLOSED, data(1, end=True)], "1: RST_STREAM STREAM_CLOSED"),
    case("5.1 half-closed", "HEADERS", [HALF_CLOSED, headers(1, TRAILERS)], "1: RST_STREAM STREAM_CLOSED"),
    case(
        "5.1 half-closed",
        "CONTINUATION",
        [HALF_CLOSED, frame(CONTINUATION, END_HEADERS, 1)],
        "GOAWAY PROTOCOL_ERROR",
        "GOAWAY STREAM_CLOSED",
    ),
    case("5.1 half-closed", "WINDOW_UPDATE", [HALF_CLOSED, window(1, 100)], "nothing"),
    case("5.1 half-closed", "PRIORITY", [HALF_CLOSED, priority(1, 3)], "nothing"),
    case("5.1 half-closed", "RST_STREAM", [HALF_CLOSED, reset(1)], "nothing"),
    case("5.1 half-closed", "an unknown frame", [HALF_CLOSED, frame(UNKNOWN, 0, 1)], "nothing"),
    case(
        "5.1 half-closed",
        "after trailers, DATA",
        [post(1, path="/wait"), headers(1, TRAILERS), data(1)],
        "1: RST_STREAM STREAM_CLOSED",
    ),
    # §5.1 closed: by both ends
    case(
        "5.1 closed",
        "DATA",
        [get(1), data(1, b"x")],
        "1: 200, 1: RST_STREAM STREAM_CLOSED",
        "1: 200, GOAWAY STREAM_CLOSED",
    ),
    case(
        "5.1 closed",
        "HEADERS",
        [get(1), get(1)],
        "1: 200, GOAWAY STREAM_CLOSED",
        "1: 200, GOAWAY PROTOCOL_ERROR",
    ),
    case(
        "5.1 closed",
        "CONTINUATION",
        [get(1), frame(CONTINUATION, END_HEADERS, 1, REQUEST)],
        "1: 200, GOAWAY STREAM_CLOSED",
        "1: 200, GOAWAY PROTOCOL_ERROR",
    ),
    case("5.1 closed", "WINDOW_UPDATE", [get(1), window(1, 100)], "1: 200"),
    case("5.1 closed", "RST_STREAM", [get(1), reset(1)], "1: 200"),
    case("5.1 closed", "PRIORITY", [get(1), priority(1, 3)], "1: 200"),
    # §5.1 closed: by the client's RST_STREAM
    case(
        "5.1 closed by RST_STREAM",
        "DATA",
        [*RESET_BY_CLIENT, data(1, b"x")],
        "1: RST_STREAM STREAM_CLOSED",
        "GOAWAY STREAM_CLOSED",
    ),
    case(
        "5.1 closed by RST_STREAM",
        "HEADERS",
        [*RESET_BY_CLIENT, headers(1, TRAILERS)],
        "1: RST_STREAM STREAM_CLOSED",
        "GOAWAY STREAM_CLOSED",
    ),
    case(
        "5.1 closed by RST_STREAM",
        "CONTINUATION",
        [*RESET_BY_CLIENT, frame(CONTINUATION, END_HEADERS, 1)],
        "GOAWAY STREAM_CLOSED",
        "GOAWAY PROTOCOL_ERROR",
    ),
    case("5.1 closed by RST_STREAM", "WINDOW_UPDATE", [*RESET_BY_CLIENT, window(1, 1)], "nothing"),
    case("5.1 closed by RST_STREAM", "PRIORITY", [*RESET_BY_CLIENT, priority(1)], "nothing"),
    # §5.1 closed: by our RST_STREAM, which the client may not have seen
    case("5.1 closed by us", "DATA", [*RESET_BY_US, data(1, b"x", end=True)], WAS_RESET_BY_US),
    case("5.1 closed by us", "HEADERS", [*RESET_BY_US, headers(1, TRAILERS)], WAS_RESET_BY_US),
    case("5.1 closed by us", "RST_STREAM", [*RESET_BY_US, reset(1)], WAS_RESET_BY_US),
    case("5.1 closed by us", "WINDOW_UPDATE", [*RESET_BY_US, window(1, 1)], WAS_RESET_BY_US),
    case("5.1 closed by us", "WINDOW_UPDATE by nothing", [*RESET_BY_US, window(1, 0)], WAS_RESET_BY_US),
    # §5.1.1: numbers
    case("5.1.1", "stream 0", headers(0, pseudo()), "GOAWAY PROTOCOL_ERROR"),
    case("5.1.1", "an even stream", get(2), "GOAWAY PROTOCOL_ERROR"),
    case(
        "5.1.1",
        "a number below one that was used",
        [get(5), get(3)],
        "5: 200, GOAWAY PROTOCOL_ERROR",
        "5: 200, GOAWAY STREAM_CLOSED",
    ),
    case("5.1.1", "numbers may be left out", [get(3), get(9), get(11)], "3: 200, 9: 200, 11: 200"),
    case("5.1.1", "the last number that there is", get(MAX_31), f"{MAX_31}: 200", probe=None),
    case("5.1.1", "WINDOW_UPDATE on a number that was left out", [get(3), window(1, 1)], "3: 200"),
    # §5.1.2: how many at once
    case(
        "5.1.2",
        "as many as we allow",
        b"".join(get(2 * number + 1) for number in range(MAX_CONCURRENT_STREAMS)),
        ", ".join(f"{2 * number + 1}: 200" for number in range(MAX_CONCURRENT_STREAMS)),
        is_large=True,
    ),
    case(
        "5.1.2",
        "one more than we allow",
        b"".join(get(2 * number + 1, "/wait") for number in range(MAX_CONCURRENT_STREAMS + 1)),
        f"{2 * MAX_CONCURRENT_STREAMS + 1}: RST_STREAM REFUSED_STREAM",
        f"{2 * MAX_CONCURRENT_STREAMS + 1}: RST_STREAM PROTOCOL_ERROR",
        probe=None,
    ),
    case(
        "5.1.2",
        "one that is half-closed counts, one that has ended does not",
        [
            *(get(2 * number + 1) for number in range(MAX_CONCURRENT_STREAMS)),
            b"".join(
                get(2 * number + 1, "/wait") for number in range(MAX_CONCURRENT_STREAMS, 2 * MAX_CONCURRENT_STREAMS - 1)
            ),
        ],
        ", ".join(f"{2 * number + 1}: 200" for number in range(MAX_CONCURRENT_STREAMS)),
        is_large=True,
    ),
    # §5.3: dependencies are ignored, but for the malformed
    case(
        "5.3",
        "HEADERS that depend on their own stream",
        frame(HEADERS, 5 | HAS_PRIORITY, 1, uint32(1) + b"\x0f" + REQUEST),
        "1: RST_STREAM PROTOCOL_ERROR",
        "1: 200",  # RFC 9113 has forgotten about it, RFC 7540 §5.3.1 has not
    ),
    case(
        "5.3",
        "PRIORITY that depends on its own stream",
        [get(1, "/wait"), priority(1, 1)],
        "1: RST_STREAM PROTOCOL_ERROR",
        "nothing",
    ),
    case(
        "5.3",
        "PRIORITY of an idle stream that depends on itself",
        priority(1, 1),
        "1: RST_STREAM PROTOCOL_ERROR",
        "GOAWAY PROTOCOL_ERROR",
        "nothing",
    ),
    case(
        "5.3",
        "HEADERS that depend on another",
        frame(HEADERS, 5 | HAS_PRIORITY, 3, uint32(1) + b"\x0f" + REQUEST),
        "3: 200",
    ),
    case(
        "5.3",
        "an exclusive dependency",
        frame(HEADERS, 5 | HAS_PRIORITY, 3, uint32(1 << 31 | 1) + b"\xff" + REQUEST),
        "3: 200",
    ),
    case("5.3", "a chain of dependencies", [priority(1, 3) + priority(3, 5) + priority(5, 1), get(5)], "5: 200"),
    case(
        "5.3",
        "PRIORITY between DATA",
        [post(1), data(1, b"x") + frame(PRIORITY, 0, 1, bytes(5)), data(1, end=True)],
        "1: 200",
    ),
]


@pytest.mark.parametrize(("row", "read_bytes"), plays(CASES))
def test_what_becomes_of(row: Case, read_bytes: int) -> None:
    play(row, read_bytes=read_bytes)
