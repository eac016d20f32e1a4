"""For all messages: what was sent is what is read, however it is cut; and damage is refused, never anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import wire_claims, wire_messages
from tests.support.wire_messages import BOUNDED, Sent
from tests.support.wire_streams import (
    Message,
    RequestStream,
    ResponseStream,
    body_bytes,
    bytewise,
    cut_at,
    read_requests,
    read_responses,
    request_of,
    whole,
)
from thrust.errors import BadMessage
from thrust.upstream.request_head import request_head
from thrust.wire.http1.bodies import ChunkedReader
from thrust.wire.http1.writing import chunk, field_lines, last_chunk, status_line

some_requests = st.lists(wire_messages.requests(), min_size=1, max_size=3)
some_responses = st.lists(wire_messages.responses(), min_size=1, max_size=3)


def until_close(sent: list[Sent]) -> list[Sent]:
    """The messages up to and including the first after which the connection closes."""
    for count, message in enumerate(sent, start=1):
        if not message.persists:
            return sent[:count]
    return sent


def same_request(sent: Sent, read: Message) -> bool:
    head = read.head
    return (
        sent.start == (head["method"], head["target"], head["authority"], b"%d" % head["minor_version"])
        and head["lines"] == sent.lines
        and head["keep_alive"] is sent.persists
        and head["content_length"] == (None if sent.is_chunked else len(sent.content))
        and (read.content, read.trailers) == (sent.content, sent.trailers)
    )


def same_response(sent: Sent, read: Message) -> bool:
    head = read.head
    return (
        sent.start == (b"%d" % head["status"],)
        and head["lines"] == sent.lines
        and head["keep_alive"] is sent.persists
        and head["is_chunked"] is sent.is_chunked
        and (read.content, read.trailers) == (sent.content, sent.trailers)
    )


# --- Valid messages ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@BOUNDED
@given(sent=some_requests, cuts=wire_messages.cuts_of())
def test_requests_are_read_as_they_were_sent_however_they_are_cut(sent: list[Sent], cuts: list[int]) -> None:
    data = b"".join(message.wire for message in sent)
    for pieces in (whole(data), bytewise(data), cut_at(data, cuts)):
        stream = RequestStream()
        for piece in pieces:
            stream.feed(piece)
        expected = until_close(sent)
        assert len(stream.messages) == len(expected)
        assert all(map(same_request, expected, stream.messages))
        assert stream.rest == b"".join(message.wire for message in sent[len(expected) :])


@pytest.mark.slow
@BOUNDED
@given(sent=some_responses, cuts=wire_messages.cuts_of())
def test_responses_are_read_as_they_were_sent_however_they_are_cut(sent: list[Sent], cuts: list[int]) -> None:
    # One that lasts until the close may only come last.
    sent = until_close(sent)
    data = b"".join(message.wire for message in sent)
    for pieces in (whole(data), bytewise(data), cut_at(data, cuts)):
        stream = ResponseStream([b"GET"])
        for piece in pieces:
            stream.feed(piece)
        assert stream.feed_eof()
        assert len(stream.messages) == len(sent)
        assert all(map(same_response, sent, stream.messages))
        assert stream.rest == b""


@pytest.mark.slow
@BOUNDED
@given(
    pieces=st.lists(wire_messages.contents.filter(bool), max_size=4),
    trailers=wire_messages.field_lines(wire_messages.trailer_names),
    cuts=wire_messages.cuts_of(),
)
def test_written_chunks_are_read_back(
    pieces: list[bytes], trailers: tuple[bytes, list[tuple[bytes, bytes]]], cuts: list[int]
) -> None:
    data = b"".join(map(chunk, pieces)) + last_chunk(trailers[1])
    reader = ChunkedReader(BadMessage)
    assert b"".join([reader.feed(piece) for piece in cut_at(data, cuts)]) == b"".join(pieces)
    assert (reader.is_complete, reader.rest, reader.trailers) == (True, b"", trailers[1])


@pytest.mark.slow
@BOUNDED
@given(status=st.integers(200, 999), lines=wire_messages.field_lines())
def test_a_written_response_head_is_read_back(status: int, lines: tuple[bytes, list[tuple[bytes, bytes]]]) -> None:
    data = status_line(status) + field_lines(lines[1]) + b"\r\n"
    [message] = read_responses([data], [b"HEAD"]).messages
    expected = [line for line in lines[1] if line[0] != b"content-length"]
    assert (message.head["status"], message.head["lines"]) == (status, expected)


@pytest.mark.slow
@BOUNDED
@given(sent=wire_messages.requests(), streamed=st.booleans())
def test_a_forwarded_request_says_what_was_received(sent: Sent, streamed: bool) -> None:
    [received] = read_requests([sent.wire]).messages
    request = request_of(received, streamed=streamed)
    forwarded = read_requests([request_head(request) + body_bytes(request, received)])
    assert forwarded.error is None
    assert forwarded.is_idle
    [message] = forwarded.messages
    for name in ("method", "target", "authority"):
        assert message.head[name] == received.head[name]
    assert (message.content, message.trailers) == (sent.content, sent.trailers)
    assert message.head["lines"] == sent.lines


# --- Damaged messages -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@BOUNDED
@given(data=wire_messages.damaged(wire_messages.requests()), cuts=wire_messages.cuts_of())
def test_damaged_requests_are_taken_or_refused_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    wire_claims.requests_do_not_depend_on_cuts(data, cuts)


@pytest.mark.slow
@BOUNDED
@given(data=wire_messages.damaged(wire_messages.responses()), cuts=wire_messages.cuts_of())
def test_damaged_responses_are_taken_or_refused_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    wire_claims.responses_do_not_depend_on_cuts(data, cuts)


@pytest.mark.slow
@BOUNDED
@given(data=st.binary(max_size=200), cuts=wire_messages.cuts_of())
def test_noise_is_refused_or_waited_for(data: bytes, cuts: list[int]) -> None:
    wire_claims.requests_do_not_depend_on_cuts(data, cuts)
    wire_claims.responses_do_not_depend_on_cuts(data, cuts)
