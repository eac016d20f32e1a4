"""What has to be true of thrust.wire for any bytes at all; raises AssertionError where it is not.

Used with bytes from hypothesis (tests/wire) and from a quicker, dumber source (tests/fuzz).
"""

import re
from collections.abc import Iterable

from tests.support.wire_streams import (
    Message,
    Outcome,
    body_bytes,
    bytewise,
    cut_at,
    read_requests,
    read_responses,
    request_of,
)
from tests.support.wire_witnesses import WITNESSES, Seen, Testimony, dechunk, h11_on_requests, h11_on_response
from thrust.errors import BadMessage
from thrust.http.headers import HOP_BY_HOP, FieldLine, may_be_trailer, tokens
from thrust.upstream.request_head import request_head
from thrust.wire.http1.bodies import ChunkedReader

REFUSALS = {400, 414, 417, 431, 501, 505}
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
METHODS = (b"GET", b"HEAD", b"GET")


def requests_do_not_depend_on_cuts(data: bytes, cuts: Iterable[int]) -> Outcome:
    """However `data` is cut, the same requests are taken or refused, and a refusal has one of the right statuses."""
    outcome = read_requests([data])
    assert_same(outcome, read_requests(bytewise(data)))
    assert_same(outcome, read_requests(cut_at(data, cuts)))
    if outcome.error is not None:
        assert getattr(outcome.error, "status", None) in REFUSALS
    return outcome


def responses_do_not_depend_on_cuts(data: bytes, cuts: Iterable[int]) -> Outcome:
    """However `data` is cut, the same responses are taken or are a 502."""
    outcome = read_responses([data], METHODS)
    assert_same(outcome, read_responses(bytewise(data), METHODS))
    assert_same(outcome, read_responses(cut_at(data, cuts), METHODS))
    if outcome.error is not None:
        assert getattr(outcome.error, "status", None) == 502
    return outcome


def assert_same(one: Outcome, other: Outcome) -> None:
    """The same messages were read and something was refused or nothing; of two faults either may be the one named."""
    assert one.messages == other.messages
    assert (one.error is None, one.is_idle) == (other.error is None, other.is_idle)


# --- What a client sent, to us and to h11 -----------------------------------------------------------------------------


def h11_reads_the_same_requests(data: bytes) -> None:
    """What we take, h11 takes in the same way, except for what tests/wire/http1/test_against_others.py lists."""
    ours = comparable_with_h11(read_requests([data]).messages)
    theirs = h11_on_requests_and_empty_lines(data)
    for message, seen in zip(ours, theirs.messages, strict=False):
        assert message.head["method"] == seen.start[0]
        assert message.head["target"] == origin_form(seen.start[0], seen.start[1])
        assert b"1.%d" % message.head["minor_version"] == seen.start[2]
        assert message.head["lines"] == request_lines(seen.lines)
        assert_same_content(message, seen)
    assert len(theirs.messages) >= len(ours), f"h11 refused what we took: {theirs.error!r}"


def h11_on_requests_and_empty_lines(data: bytes) -> Testimony:
    """What h11 sees when it is helped over the empty lines between requests."""
    testimony = h11_on_requests(data)
    if str(testimony.error) == "no request line received":
        further = h11_on_requests_and_empty_lines(testimony.rest)
        further.messages[:0] = testimony.messages
        return further
    return testimony


def comparable_with_h11(messages: list[Message]) -> list[Message]:
    """The messages up to the first after which h11 closes and we may not."""
    for count, message in enumerate(messages, start=1):
        if message.head["minor_version"] == 0:
            return messages[:count]
    return messages


def end_to_end(lines: list[FieldLine], *, said_apart: set[bytes]) -> list[FieldLine]:
    """`lines` without the fields of this hop (RFC 9110 §7.6.1), and without what a head tells in attributes."""
    nominated = tokens(value for name, value in lines if name == b"connection")
    return [line for line in lines if line[0] not in HOP_BY_HOP | set(nominated) | said_apart]


def request_lines(lines: list[FieldLine]) -> list[FieldLine]:
    """What is to be passed on of a request's `lines`."""
    takes_trailers = b"trailers" in tokens(value for name, value in lines if name == b"te")
    passed_on = end_to_end(lines, said_apart={b"host", b"content-length", b"expect"})
    return passed_on + [(b"te", b"trailers")] * takes_trailers


def response_lines(lines: list[FieldLine]) -> list[FieldLine]:
    """What is to be passed on of a response's `lines`; its length is not, the front writes that anew."""
    return end_to_end(lines, said_apart={b"content-length"})


def origin_form(method: bytes, target: bytes) -> bytes:
    if target.startswith(b"/"):
        return target
    path = re.sub(rb"^https?://[^/?]+", b"", target, flags=re.IGNORECASE)
    if not path and method == b"OPTIONS":
        return b"*"
    return path if path.startswith((b"/", b"*")) else b"/" + path


def assert_same_content(message: Message, seen: Seen) -> None:
    assert message.content == seen.content
    assert message.trailers == [line for line in seen.trailers if may_be_trailer(line[0])]


# --- What the worker is sent ------------------------------------------------------------------------------------------


def workers_read_the_same_requests(messages: list[Message], *, streamed: bool) -> None:
    """Sent on to a worker, each of `messages` is exactly one request for everything that workers are made of."""
    for wire, forwarded in connections_of(messages, streamed=streamed):
        for name, witness in WITNESSES.items():
            testimony = witness(wire)
            assert testimony.error is None, f"{name}: {testimony.error!r} for {wire!r}"
            assert testimony.rest == b"", f"{name}: {testimony.rest!r} left over of {wire!r}"
            assert len(testimony.messages) == len(forwarded), f"{name}: {testimony.messages} in {wire!r}"
            for message, seen in zip(forwarded, testimony.messages, strict=True):
                assert_forwarded(message, seen, is_http_server=name == "http.server")


def connections_of(messages: list[Message], *, streamed: bool) -> list[tuple[bytes, list[Message]]]:
    """What goes through each connection to the worker, which is a new one after a request that closes its own."""
    connections: list[tuple[bytes, list[Message]]] = []
    is_open = False
    for message in messages:
        request = request_of(message, streamed=streamed)
        head = request_head(request)
        wire, forwarded = connections.pop() if is_open else (b"", [])
        connections.append((wire + head + body_bytes(request, message), [*forwarded, message]))
        if request.wants_upgrade:
            break
        is_open = b"\r\nconnection: close\r\n" not in head
    return connections


def assert_forwarded(message: Message, seen: Seen, *, is_http_server: bool) -> None:
    head = message.head
    target = head["target"]
    if is_http_server and target.startswith(b"//"):
        target = b"/" + target.lstrip(b"/")
    assert seen.start == (head["method"], target, b"1.1")
    assert [value for name, value in seen.lines if name == b"host"] == [head["authority"]]
    ours = HOP_BY_HOP - {b"te"} | {b"host", b"content-length", b"expect"}
    assert [line for line in seen.lines if line[0] not in ours] == [
        line for line in head["lines"] if line[0] not in ours
    ]
    assert (message.content, message.trailers) == (seen.content, seen.trailers)


# --- What the worker sent ---------------------------------------------------------------------------------------------


def h11_reads_the_same_response(data: bytes, method: bytes) -> None:
    """A response that we take, when the connection then ends, h11 takes in the same way."""
    ours = up_to_final(read_responses([data], [method], then_closes=True).messages)
    if not ours or any(message.head["status"] == 101 for message in ours):
        return  # h11 wants to know first what may be upgraded to
    theirs = h11_on_response(data, method)
    for message, seen in zip(ours, theirs.messages, strict=False):
        assert b"%d" % message.head["status"] == seen.start[0]
        assert message.head["lines"] == response_lines(seen.lines)
        assert_same_content(message, seen)
    assert len(theirs.messages) >= len(ours), f"h11 refused what we took: {theirs.error!r}"


def up_to_final(messages: list[Message]) -> list[Message]:
    for count, message in enumerate(messages, start=1):
        if message.head["status"] >= 200:
            return messages[:count]
    return messages


# --- Chunks -----------------------------------------------------------------------------------------------------------


def others_read_the_same_chunks(data: bytes) -> None:
    """A chunked body that we take to its end, h11 and the reference take in the same way."""
    reader = ChunkedReader(BadMessage)
    try:
        content = reader.feed(data) if data else b""
    except BadMessage:
        return
    if not reader.is_complete:
        return
    reference = dechunk(data)
    assert reference is not None
    by_letter, trailers, rest = reference
    assert (content, reader.rest) == (by_letter, rest)
    assert reader.trailers == [line for line in trailers if may_be_trailer(line[0])]
    [by_h11] = h11_on_requests(CHUNKED_HEAD + data).messages[:1]
    assert (content, trailers) == (by_h11.content, by_h11.trailers)
