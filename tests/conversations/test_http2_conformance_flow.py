"""RFC 9113 §6.5 (settings, and when they count) and §6.9, §5.2 (windows and their limits)."""

import pytest

from tests.support.http2_cases import (
    ACK,
    ANSWER,
    ENABLE_PUSH,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_31,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PADDED,
    SETTINGS,
    WINDOW_UPDATE,
    Case,
    case,
    data,
    frame,
    get,
    play,
    plays,
    post,
    settings,
    window,
)
from thrust.wire.http2.outgoing import STREAM_WINDOW_BYTES

ACKNOWLEDGED = [frame(SETTINGS, ACK)]
SMALL = {INITIAL_WINDOW_SIZE: 10}
CLOSED = {INITIAL_WINDOW_SIZE: 0}
ALL = len(ANSWER)
BLOCK = b"x" * 16384


def upload(stream_id: int, size_bytes: int) -> bytes:
    """A request, and so much of its content; nobody reads it, because the worker has not got the end."""
    whole, rest = divmod(size_bytes, len(BLOCK))
    return post(stream_id, path="/wait") + data(stream_id, BLOCK) * whole + data(stream_id, b"x" * rest)


CASES = [
    # §6.5
    case("6.5", "SETTINGS are acknowledged", settings((MAX_FRAME_SIZE, 20000)), "nothing", said_back=ACKNOWLEDGED),
    case("6.5", "empty SETTINGS are acknowledged", settings(), "nothing", said_back=ACKNOWLEDGED),
    case("6.5", "each SETTINGS is acknowledged", settings() * 3, "nothing", said_back=[frame(SETTINGS, ACK) * 3]),
    case("6.5", "an acknowledgement with a payload", frame(SETTINGS, ACK, 0, bytes(6)), "GOAWAY FRAME_SIZE_ERROR"),
    case("6.5", "an acknowledgement nobody waits for", frame(SETTINGS, ACK) * 2, "nothing"),
    case("6.5", "an acknowledgement on a stream", frame(SETTINGS, ACK, 1), "GOAWAY PROTOCOL_ERROR"),
    case("6.5", "SETTINGS on an idle stream", frame(SETTINGS, 0, 1, bytes(6)), "GOAWAY PROTOCOL_ERROR"),
    case("6.5", "SETTINGS on an open stream", [get(1, "/wait"), frame(SETTINGS, 0, 1)], "GOAWAY PROTOCOL_ERROR"),
    case("6.5", "five bytes", frame(SETTINGS, 0, 0, bytes(5)), "GOAWAY FRAME_SIZE_ERROR"),
    case("6.5", "seven bytes", frame(SETTINGS, 0, 0, bytes(7)), "GOAWAY FRAME_SIZE_ERROR"),
    case(
        "6.5",
        "the same setting twice: the last one counts",
        [settings((INITIAL_WINDOW_SIZE, 50), (INITIAL_WINDOW_SIZE, 7)), get(1)],
        "1: 200",
        got_bytes={1: 7},
    ),
    # §6.5.2
    case("6.5.2", "ENABLE_PUSH 0", settings((ENABLE_PUSH, 0)), "nothing"),
    case("6.5.2", "ENABLE_PUSH 1", settings((ENABLE_PUSH, 1)), "nothing"),
    case("6.5.2", "ENABLE_PUSH 2", settings((ENABLE_PUSH, 2)), "GOAWAY PROTOCOL_ERROR"),
    case("6.5.2", "ENABLE_PUSH of all bits", settings((ENABLE_PUSH, 2**32 - 1)), "GOAWAY PROTOCOL_ERROR"),
    case("6.5.2", "INITIAL_WINDOW_SIZE 2^31 - 1", settings((INITIAL_WINDOW_SIZE, MAX_31)), "nothing"),
    case("6.5.2", "INITIAL_WINDOW_SIZE 2^31", settings((INITIAL_WINDOW_SIZE, MAX_31 + 1)), "GOAWAY FLOW_CONTROL_ERROR"),
    case("6.5.2", "MAX_FRAME_SIZE 2^14", settings((MAX_FRAME_SIZE, 2**14)), "nothing"),
    case("6.5.2", "MAX_FRAME_SIZE 2^14 - 1", settings((MAX_FRAME_SIZE, 2**14 - 1)), "GOAWAY PROTOCOL_ERROR"),
    case("6.5.2", "MAX_FRAME_SIZE 2^24 - 1", settings((MAX_FRAME_SIZE, 2**24 - 1)), "nothing"),
    case("6.5.2", "MAX_FRAME_SIZE 2^24", settings((MAX_FRAME_SIZE, 2**24)), "GOAWAY PROTOCOL_ERROR"),
    case("6.5.2", "HEADER_TABLE_SIZE 0", [settings((HEADER_TABLE_SIZE, 0)), get(1)], "1: 200"),
    case("6.5.2", "HEADER_TABLE_SIZE of all bits", [settings((HEADER_TABLE_SIZE, 2**32 - 1)), get(1)], "1: 200"),
    case(
        "6.5.2",
        "MAX_CONCURRENT_STREAMS 0, which is for pushes",
        [settings((MAX_CONCURRENT_STREAMS, 0)), get(1)],
        "1: 200",
    ),
    case("6.5.2", "MAX_HEADER_LIST_SIZE 1, which is advice", [settings((MAX_HEADER_LIST_SIZE, 1)), get(1)], "1: 200"),
    case(
        "6.5.2",
        "an unknown setting among others",
        [settings((0xABC, 1), (INITIAL_WINDOW_SIZE, 3)), get(1)],
        "1: 200",
        got_bytes={1: 3},
    ),
    case("6.5.2", "setting number 0", settings((0, 1)), "nothing"),
    # §6.5.3
    case(
        "6.5.3",
        "values count from the next frame on",
        settings((INITIAL_WINDOW_SIZE, 1)) + get(1),
        "1: 200",
        got_bytes={1: 1},
        said_back=ACKNOWLEDGED,
    ),
    case(
        "6.5.3",
        "values are taken in their order",
        [settings((INITIAL_WINDOW_SIZE, MAX_31 + 1), (ENABLE_PUSH, 2))],
        "GOAWAY FLOW_CONTROL_ERROR",
    ),
    case(
        "6.5.3",
        "the acknowledgement comes before what follows",
        [settings() + get(1)],
        "1: 200",
        said_back=ACKNOWLEDGED,
    ),
    # §6.9: WINDOW_UPDATE
    case("6.9", "by nothing, for the connection", window(0, 0), "GOAWAY PROTOCOL_ERROR"),
    case("6.9", "by nothing, for a stream", [get(1, "/wait"), window(1, 0)], "1: RST_STREAM PROTOCOL_ERROR"),
    case("6.9", "by nothing but the reserved bit", window(0, 1 << 31), "GOAWAY PROTOCOL_ERROR"),
    case(
        "6.9",
        "the reserved bit is ignored",
        [get(1), window(1, 1 << 31 | 5)],
        "1: 200",
        got_bytes={1: 15},
        settings=SMALL,
    ),
    case("6.9", "three bytes", frame(WINDOW_UPDATE, 0, 0, bytes(3)), "GOAWAY FRAME_SIZE_ERROR"),
    case(
        "6.9",
        "three bytes on a stream",
        [get(1, "/wait"), frame(WINDOW_UPDATE, 0, 1, bytes(3))],
        "GOAWAY FRAME_SIZE_ERROR",
    ),
    case("6.9", "five bytes", frame(WINDOW_UPDATE, 0, 0, bytes(5)), "GOAWAY FRAME_SIZE_ERROR"),
    case("6.9", "no bytes", frame(WINDOW_UPDATE, 0, 0), "GOAWAY FRAME_SIZE_ERROR"),
    # §6.9.1: no more than the window
    case("6.9.1", "no byte more than the stream's window", get(1), "1: 200", got_bytes={1: 10}, settings=SMALL),
    case(
        "6.9.1", "nothing while the window is closed but the head", get(1), "1: 200", got_bytes={1: 0}, settings=CLOSED
    ),
    case(
        "6.9.1",
        "byte by byte",
        [get(1), window(1, 1), window(1, 1), window(1, 1)],
        "1: 200",
        got_bytes={1: 3},
        settings=CLOSED,
    ),
    case(
        "6.9.1",
        "a window for each stream",
        [get(1), get(3), window(3, 90)],
        "1: 200, 3: 200",
        got_bytes={1: 10, 3: ALL},
        settings=SMALL,
    ),
    case("6.9.1", "2^31 - 1 for the connection", window(0, MAX_31 - 65535), "nothing"),
    case("6.9.1", "2^31 for the connection", window(0, MAX_31 - 65535 + 1), "GOAWAY FLOW_CONTROL_ERROR"),
    case(
        "6.9.1",
        "2^31 for the connection, in two steps",
        window(0, MAX_31 - 65535) + window(0, 1),
        "GOAWAY FLOW_CONTROL_ERROR",
    ),
    case("6.9.1", "2^31 - 1 for a stream", [get(1, "/wait"), window(1, MAX_31 - 65535)], "nothing"),
    case(
        "6.9.1", "2^31 for a stream", [get(1, "/wait"), window(1, MAX_31 - 65534)], "1: RST_STREAM FLOW_CONTROL_ERROR"
    ),
    case(
        "6.9.1",
        "2^31 for a stream, in two steps",
        [get(1, "/wait"), window(1, MAX_31 - 65535) + window(1, 1)],
        "1: RST_STREAM FLOW_CONTROL_ERROR",
    ),
    case("6.9.1", "an empty end needs no window", [post(1), data(1, end=True)], "1: 200", settings=CLOSED),
    # §6.9.1 of what the client sends
    case("6.9.1", "content up to the stream's window", upload(1, STREAM_WINDOW_BYTES), "nothing", is_large=True),
    case(
        "6.9.1",
        "content beyond the stream's window",
        upload(1, STREAM_WINDOW_BYTES + 1),
        "1: RST_STREAM FLOW_CONTROL_ERROR",
        "GOAWAY FLOW_CONTROL_ERROR",
        is_large=True,
    ),
    case(
        "6.9.1",
        "content beyond the stream's window once somebody has read",
        [upload(1, STREAM_WINDOW_BYTES), data(1, BLOCK) * 8],
        "nothing",
        is_large=True,
    ),
    # §6.9.2: the initial window
    case(
        "6.9.2",
        "it may change before a stream",
        [settings((INITIAL_WINDOW_SIZE, 3)), get(1)],
        "1: 200",
        got_bytes={1: 3},
    ),
    case(
        "6.9.2",
        "it may grow on the way",
        [get(1), settings((INITIAL_WINDOW_SIZE, 25))],
        "1: 200",
        got_bytes={1: 25},
        settings=SMALL,
    ),
    case(
        "6.9.2",
        "it may open what was closed",
        [get(1), settings((INITIAL_WINDOW_SIZE, 1))],
        "1: 200",
        got_bytes={1: 1},
        settings=CLOSED,
    ),
    case(
        "6.9.2",
        "it may become negative, and has to be earned back",
        [get(1), settings((INITIAL_WINDOW_SIZE, 2)), window(1, 8), window(1, 5)],
        "1: 200",
        got_bytes={1: 15},
        settings=SMALL,
    ),
    case(
        "6.9.2",
        "nothing is sent while it is negative",
        [get(1), settings((INITIAL_WINDOW_SIZE, 2)), window(1, 8)],
        "1: 200",
        got_bytes={1: 10},
        settings=SMALL,
    ),
    case(
        "6.9.2",
        "it does not touch the connection's",
        [settings((INITIAL_WINDOW_SIZE, MAX_31)), window(0, MAX_31 - 65535)],
        "nothing",
    ),
    case(
        "6.9.2",
        "it may lift a stream's window beyond 2^31 - 1",
        [get(1, "/wait"), window(1, 100), settings((INITIAL_WINDOW_SIZE, MAX_31))],
        "GOAWAY FLOW_CONTROL_ERROR",
    ),
    # §5.2, §6.1: padding counts
    case(
        "5.2",
        "padding counts for the windows",
        [post(1, path="/wait"), (frame(0, PADDED, 1, b"\xff" + bytes(255)) * 90) + data(1, b"x", end=True)],
        "nothing",
    ),
    case(
        "5.2",
        "HEADERS do not count",
        [get(1), get(3), get(5)],
        "1: 200, 3: 200, 5: 200",
        settings=CLOSED,
        got_bytes={1: 0, 3: 0, 5: 0},
    ),
]


@pytest.mark.parametrize(("row", "read_bytes"), plays(CASES))
def test_what_becomes_of(row: Case, read_bytes: int) -> None:
    play(row, read_bytes=read_bytes)
