"""What a request parser remembers never shows: a head is read as by a parser that has seen nothing before."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import wire_messages
from tests.support.wire_messages import BOUNDED
from tests.support.wire_streams import seen_in
from thrust.errors import BadMessage
from thrust.wire.http1 import requests
from thrust.wire.http1.requests import RequestParser

STARTS = (
    b"GET / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"POST /a?b HTTP/1.1",
    b"GET http://b.example/x HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
    b"BREW / HTTP/1.1",
    b"GET / HTTP/2.0",
    b"",
)
LINES = (
    b"Host: a.example",
    b"host: a.example",
    b"Host: b.example, c.example",
    b"Accept: */*",
    b"Accept: text/html \t",
    b"X-Empty:",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Upgrade, X-Hop",
    b"Upgrade: websocket",
    b"X-Hop: 1",
    b"Expect: 100-continue",
    b"Expect: nonsense",
    b"TE: trailers",
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: +5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Cookie: a=1",
    b"COOKIE:  b=2 ",
    b"Authorization: Basic eDp5",
    b"Cookie : a=1",
    b"No colon",
    b" folded",
    b"Bad\x00: 1",
    b"GET / HTTP/1.1",
)

heads = st.builds(
    lambda start, lines: b"\r\n".join([start, *lines]) + b"\r\n\r\n",
    st.sampled_from(STARTS),
    st.lists(st.sampled_from(LINES), max_size=6),
)

experienced = RequestParser()


def outcome(parser: RequestParser, head: bytes) -> Any:
    try:
        return seen_in(parser.parse(head))
    except BadMessage as error:
        return error.status, str(error)


@given(drawn=st.lists(heads, min_size=1, max_size=5))
def test_combinations_of_known_lines_are_read_as_if_they_were_new(drawn: list[bytes]) -> None:
    for head in drawn * 2:
        assert outcome(experienced, head) == outcome(RequestParser(), head)


@pytest.mark.slow
@BOUNDED
@given(sent=wire_messages.requests())
def test_requests_of_all_kinds_are_read_as_if_they_were_new(sent: wire_messages.Sent) -> None:
    head = sent.wire[: sent.wire.index(b"\r\n\r\n", 2) + 4]
    for _ in range(2):
        assert outcome(experienced, head) == outcome(RequestParser(), head)


def test_what_a_handler_does_to_a_request_does_not_come_back() -> None:
    parser = RequestParser()
    head = b"GET /x HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n"
    for _ in range(3):
        request = parser.parse(head)
        assert (request.headers.lines, request.keep_alive, request.origin) == ([(b"a", b"1")], True, None)
        request.headers.add(b"b", b"2")
        request.keep_alive, request.authority = False, b"other"


def test_secrets_and_framing_are_not_kept() -> None:
    parser = RequestParser()
    lines = (b"Host: a", b"Cookie: secret=1", b"Authorization: secret", b"Content-Length: 5", b"A: 1")
    head = b"\r\n".join([b"POST / HTTP/1.1", *lines]) + b"\r\n\r\n"
    for _ in range(2):
        assert parser.parse(head).headers.get(b"cookie") == b"secret=1"
    assert set(parser._known_lines) == {b"Host: a", b"A: 1"}


def test_a_cookie_does_not_keep_the_rest_from_being_known(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = RequestParser()
    parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\n\r\n")
    monkeypatch.setattr(RequestParser, "_parse", None)
    request = parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: b=2\t\r\n\r\n")
    assert request.headers.lines == [(b"cookie", b"b=2")]


@pytest.mark.parametrize("part", [b"GET /%06d HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r\nA: %06d"])
def test_who_never_says_the_same_twice_takes_no_memory(part: bytes) -> None:
    parser = RequestParser()
    for number in range(2 * requests.MAX_REMEMBERED_LINES + 10):
        parser.parse(part % number + b"\r\n\r\n")
    assert len(parser._known_starts) <= requests.MAX_REMEMBERED_LINES
    assert len(parser._known_lines) <= requests.MAX_REMEMBERED_LINES


def test_long_lines_are_not_kept() -> None:
    parser = RequestParser()
    parser.parse(b"GET /%b HTTP/1.1\r\nHost: a\r\nB: %b\r\n\r\n" % (b"x" * 300, b"y" * 300))
    assert (list(parser._known_starts), list(parser._known_lines)) == ([], [b"Host: a"])
