"""What is used of h2 and hpack from their inside: a version that has changed it fails here, and says what is gone."""

import h2.connection
import h2.exceptions
import h2.settings
import h2.stream
import hpack
import hpack.hpack
import hpack.huffman_table
import pytest

from thrust.wire.http1.requests import RequestParser
from thrust.wire.http2.engine import Engine
from thrust.wire.http2.outgoing import CONFIG, Stream


def connection() -> h2.connection.H2Connection:
    return h2.connection.H2Connection(CONFIG)


INSIDES: list[tuple[str, object, tuple[str, ...]]] = [
    (
        "H2Connection",
        connection(),
        (
            *("streams", "_closed_streams", "MAX_CLOSED_STREAMS", "state_machine", "local_settings", "remote_settings"),
            *("highest_inbound_stream_id", "outbound_flow_control_window", "_inbound_flow_control_window_manager"),
        ),
    ),
    ("H2Stream", Stream(1, CONFIG, 1, 1), ("state_machine", "outbound_flow_control_window", "_inbound_window_manager")),
    ("WindowManager", connection()._inbound_flow_control_window_manager, ("window_consumed", "window_opened")),
    ("StreamState", h2.stream.StreamState, ("OPEN", "HALF_CLOSED_LOCAL", "HALF_CLOSED_REMOTE")),
    ("StreamInputs", h2.stream.StreamInputs, ("RECV_HEADERS", "RECV_END_STREAM")),
    (
        "StreamClosedBy",
        h2.stream.StreamClosedBy,
        ("SEND_RST_STREAM", "RECV_RST_STREAM", "SEND_END_STREAM", "RECV_END_STREAM"),
    ),
    ("Decoder", hpack.Decoder(), ("header_table", "_update_encoding_context", "_assert_valid_table_size")),
    ("HeaderTable", hpack.Decoder().header_table, ("add", "get_by_index", "STATIC_TABLE")),
    ("hpack.hpack", hpack.hpack, ("decode_integer",)),
    ("hpack.huffman_table", hpack.huffman_table, ("decode_huffman",)),
]


@pytest.mark.parametrize(("what", "inside", "names"), INSIDES, ids=[row[0] for row in INSIDES])
def test_the_libraries_have_what_is_used_of_them(what: str, inside: object, names: tuple[str, ...]) -> None:
    assert [name for name in names if not hasattr(inside, name)] == [], f"gone from {what}: read the engine again"


def test_streams_of_the_engine_are_those_of_h2() -> None:
    engine = Engine(RequestParser(), lambda: 0.0)
    assert engine._streams is engine._h2.streams


def test_a_window_of_h2_counts_down_and_refuses_too_much() -> None:
    window = connection()._inbound_flow_control_window_manager
    window.window_consumed(65535)
    with pytest.raises(h2.exceptions.FlowControlError):
        window.window_consumed(1)
