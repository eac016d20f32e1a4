"""Response heads of the worker: what is understood of a good one, and that a bad one is a 502 (RFC 9112 §4, §6)."""

from typing import Any

import pytest

from tests.support.wire_streams import Cut, bytewise, read_responses, seen_in, whole
from thrust.errors import UpstreamError
from thrust.wire.http1 import responses
from thrust.wire.http1.heads import MAX_FIELDS, MAX_HEAD_BYTES
from thrust.wire.http1.responses import ResponseParser, has_body

both_cuts = pytest.mark.parametrize("cut", [whole, bytewise])


def head_with(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines]) + b"\r\n\r\n"


def parse(data: bytes, cut: Cut = whole) -> dict[str, Any]:
    """The head of the only response in `data`, which answers a HEAD and so has no content."""
    outcome = read_responses(cut(data), [b"HEAD"])
    assert outcome.error is None
    [message] = outcome.messages
    return message.head


# --- What is understood -----------------------------------------------------------------------------------------------


@both_cuts
def test_a_plain_response_is_understood(cut: Cut) -> None:
    data = head_with(b"Server: x", b"Content-Length: 5", b"Set-Cookie: a=1", b"Set-Cookie: b=2 ", b"Empty:")
    assert parse(data, cut) == {
        "status": 200,
        "lines": [
            (b"server", b"x"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"empty", b""),
        ],
        "content_length": 5,
        "is_chunked": False,
        "keep_alive": True,
        "upgrade": b"",
    }


@both_cuts
@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"HTTP/1.1 200 OK", 200),
        (b"HTTP/1.1 200 ", 200),
        (b"HTTP/1.1 200", 200),
        (b"HTTP/1.1 404 Nicht gefunden \xe4", 404),
        (b"HTTP/1.1 299 a\tb", 299),
        (b"HTTP/1.0 500 x", 500),
        (b"HTTP/1.1 103 Early Hints", 103),
        (b"HTTP/1.1 599 x", 599),
        (b"HTTP/1.1 999 x", 999),
    ],
)
def test_a_status_line_is_understood(start: bytes, status: int, cut: Cut) -> None:
    assert parse(head_with(start=start), cut)["status"] == status


# Status line's start, field lines → length, chunked
FRAMINGS: list[tuple[bytes, list[bytes], int | None, bool]] = [
    (b"HTTP/1.1 200 x", [], None, False),
    (b"HTTP/1.1 200 x", [b"Content-Length: 0"], 0, False),
    (b"HTTP/1.1 200 x", [b"Content-Length: 12 "], 12, False),
    (b"HTTP/1.1 200 x", [b"Connection: close", b"Content-Length: 12"], 12, False),
    (b"HTTP/1.0 200 x", [b"Content-Length: 12"], 12, False),
    (b"HTTP/1.1 200 x", [b"Transfer-Encoding: chunked"], None, True),
    (b"HTTP/1.1 200 x", [b"transfer-encoding:CHUNKED", b"Connection: close"], None, True),
    (b"HTTP/1.1 304 x", [b"Content-Length: 12"], 12, False),
]


@pytest.mark.parametrize(("start", "lines", "length", "is_chunked"), FRAMINGS)
def test_the_framing_is_understood(start: bytes, lines: list[bytes], length: int | None, is_chunked: bool) -> None:
    head = ResponseParser().parse(head_with(*lines, start=start))
    assert (head.content_length, head.is_chunked) == (length, is_chunked)


@pytest.mark.parametrize(
    ("version", "lines", "persists"),
    [
        (b"HTTP/1.1", [], True),
        (b"HTTP/1.1", [b"Connection: keep-alive"], True),
        (b"HTTP/1.1", [b"Connection: Keep-Alive"], True),
        (b"HTTP/1.1", [b"Connection: Close"], False),
        (b"HTTP/1.1", [b"Connection: x", b"Connection: close"], False),
        (b"HTTP/1.1", [b"Connection: keep-alive", b"Connection: close"], False),
        (b"HTTP/1.0", [], False),
        (b"HTTP/1.0", [b"Connection: keep-alive"], True),
        (b"HTTP/1.0", [b"Connection: keep-alive, close"], False),
    ],
)
def test_a_connection_persists_as_version_and_options_say(version: bytes, lines: list[bytes], persists: bool) -> None:
    head = ResponseParser().parse(head_with(b"Content-Length: 0", *lines, start=version + b" 200 OK"))
    assert head.keep_alive is persists


@pytest.mark.parametrize(
    ("lines", "passed_on"),
    [
        ([b"Connection: keep-alive", b"A: 1"], [(b"a", b"1")]),
        ([b"Connection: close", b"Keep-Alive: timeout=5", b"A: 1"], [(b"a", b"1")]),
        ([b"Connection: x-a", b"X-A: 1", b"X-B: 2"], [(b"x-b", b"2")]),
        ([b"Transfer-Encoding: chunked", b"Trailer: x", b"A: 1"], [(b"a", b"1")]),
        ([b"Upgrade: h2c", b"Proxy-Authenticate: x", b"A: 1"], [(b"a", b"1")]),
        ([b"Connection: content-length", b"Content-Length: 3"], []),
    ],
)
def test_fields_of_this_hop_are_taken_out(lines: list[bytes], passed_on: list[tuple[bytes, bytes]]) -> None:
    assert ResponseParser().parse(head_with(*lines)).lines == passed_on


def test_a_101_tells_what_it_upgrades_to() -> None:
    start = b"HTTP/1.1 101 Switching Protocols"
    head = ResponseParser().parse(
        head_with(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: x", start=start)
    )
    assert (head.status, head.upgrade) == (101, b"websocket")
    assert head.lines == [(b"sec-websocket-accept", b"x")]


@pytest.mark.parametrize("status", [b"100", b"102", b"103", b"204"])
@pytest.mark.parametrize("line", [b"Content-Length: 3", b"Transfer-Encoding: chunked"])
def test_content_announced_where_none_can_be_is_forgotten_and_distrusted(status: bytes, line: bytes) -> None:
    head = ResponseParser().parse(head_with(line, b"A: 1", start=b"HTTP/1.1 " + status + b" x"))
    assert (head.content_length, head.is_chunked, head.keep_alive) == (None, False, False)
    assert head.lines == [(b"a", b"1")]


def test_a_204_that_announces_an_empty_body_is_harmless() -> None:
    head = ResponseParser().parse(head_with(b"Content-Length: 0", b"A: 1", start=b"HTTP/1.1 204 x"))
    assert head.keep_alive
    assert head.lines == [(b"a", b"1")]


@pytest.mark.parametrize(
    ("status", "method", "has_one"),
    [
        (200, b"GET", True),
        (200, b"POST", True),
        (404, b"GET", True),
        (200, b"HEAD", False),
        (404, b"HEAD", False),
        (204, b"GET", False),
        (304, b"GET", False),
        (103, b"GET", False),
        (205, b"GET", True),
    ],
)
def test_status_and_method_decide_whether_there_is_content(status: int, method: bytes, has_one: bool) -> None:
    assert has_body(status, method) is has_one


def test_a_parser_keeps_nothing_of_the_head_before() -> None:
    parser = ResponseParser()
    first = parser.parse(head_with(b"A: 1"))
    with pytest.raises(UpstreamError):
        parser.parse(head_with(b"Content-Length: x"))
    second = parser.parse(head_with(b"B: 2"))
    assert (first.lines, second.lines) == ([(b"a", b"1")], [(b"b", b"2")])


# --- What is refused --------------------------------------------------------------------------------------------------

REFUSED: list[tuple[bytes, str]] = [
    (head_with(b"Content-Length: 5", b"Transfer-Encoding: chunked"), "Transfer-Encoding"),
    (head_with(b"Transfer-Encoding: chunked", b"Content-Length: 5"), "Transfer-Encoding"),
    (head_with(b"Content-Length: 5", b"Content-Length: 5"), "Content-Length"),
    (head_with(b"Content-Length: 5", b"Content-Length: 6"), "Content-Length"),
    (head_with(b"Content-Length: 5, 5"), "content-length"),
    (head_with(b"Content-Length:"), "content-length"),
    (head_with(b"Content-Length: -5"), "content-length"),
    (head_with(b"Content-Length: 5x"), "content-length"),
    (head_with(b"Content-Length: " + b"9" * 19), "content-length"),
    (head_with(b"Transfer-Encoding: gzip, chunked"), "transfer-encoding 'gzip, chunked'"),
    (head_with(b"Transfer-Encoding: chunked, gzip"), "transfer-encoding 'chunked, gzip'"),
    (head_with(b"Transfer-Encoding: gzip"), "transfer-encoding 'gzip'"),
    (head_with(b"Transfer-Encoding: identity"), "transfer-encoding 'identity'"),
    (head_with(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), "transfer-encoding 'chunked, chunked'"),
    (head_with(b"Transfer-Encoding:"), "transfer-encoding"),
    (head_with(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK"), "transfer-encoding 'chunked'"),
    (head_with(b"A : 1"), "invalid field line 'A : 1'"),
    (head_with(b" A: 1"), "invalid field line ' A: 1'"),
    (head_with(b"A: 1", b" folded"), "invalid field line ' folded'"),
    (head_with(b"A"), "invalid field line 'A'"),
    (head_with(b": 1"), "invalid field line ': 1'"),
    (head_with(b"A\xe4: 1"), "invalid field line"),
    (head_with(b"A: \x00"), ""),
    (head_with(b"A: 1\nB: 2"), ""),
    (head_with(b"A: 1\rB: 2"), ""),
    (b"HTTP/1.1 200 OK\n\n", ""),
    (b"HTTP/1.1 200 OK\r\nA: 1\n\r\n", ""),
    (b"\r\n" + head_with(), "invalid status line ''"),
    (b" " + head_with(), "invalid status line"),
    (head_with(start=b"HTTP/1.1 200OK"), "invalid status line 'HTTP/1.1 200OK'"),
    (head_with(start=b"HTTP/1.1  200 OK"), "invalid status line"),
    (head_with(start=b"HTTP/1.1 20 OK"), "invalid status line"),
    (head_with(start=b"HTTP/1.1 2000 OK"), "invalid status line"),
    (head_with(start=b"HTTP/1.1 099 OK"), "invalid status line"),
    (head_with(start=b"HTTP/1.1 2x0 OK"), "invalid status line"),
    (head_with(start=b"HTTP/1.1 -20 OK"), "invalid status line"),
    (head_with(start=b"HTTP/1.1"), "invalid status line"),
    (head_with(start=b"HTTP/1.1 200 O\x00K"), ""),
    (head_with(start=b"HTTP/1.2 200 OK"), "invalid status line"),
    (head_with(start=b"HTTP/2 200 OK"), "invalid status line"),
    (head_with(start=b"http/1.1 200 OK"), "invalid status line"),
    (head_with(start=b"ICY 200 OK"), "invalid status line"),
    (head_with(start=b"Status: 200 OK"), "invalid status line"),
    (b"<html>oops</html>\r\n\r\n", "invalid status line '<html>oops</html>'"),
    (b"Traceback (most recent call last):\n", ""),
]


@both_cuts
@pytest.mark.parametrize(("data", "reason"), REFUSED, ids=[repr(data)[2:70] for data, _ in REFUSED])
def test_a_malformed_response_is_a_502(data: bytes, reason: str, cut: Cut) -> None:
    outcome = read_responses(cut(data))
    assert isinstance(outcome.error, UpstreamError)
    assert outcome.error.status == 502
    assert outcome.messages == []
    assert str(outcome.error).startswith("the worker sent a malformed response: ")
    assert reason in str(outcome.error) or (cut is bytewise and "does not belong into a head" in str(outcome.error))


@both_cuts
def test_a_head_beyond_the_limit_is_a_502(cut: Cut) -> None:
    outcome = read_responses(cut(head_with(b"A: " + b"x" * MAX_HEAD_BYTES)))
    assert str(outcome.error) == "the worker sent a malformed response: head of more than 65536 bytes"


def test_a_head_of_exactly_the_limit_is_taken() -> None:
    data = head_with(b"A: " + b"x" * (MAX_HEAD_BYTES - len(head_with(b"A: "))))
    assert len(data) == MAX_HEAD_BYTES
    assert parse(data)["status"] == 200


@pytest.mark.parametrize(("count", "is_taken"), [(MAX_FIELDS, True), (MAX_FIELDS + 1, False)])
def test_more_fields_than_the_limit_are_a_502(count: int, is_taken: bool) -> None:
    outcome = read_responses([head_with(*[b"A: 1"] * count)], [b"HEAD"])
    assert (outcome.error is None) is is_taken


# --- Responses in a row -----------------------------------------------------------------------------------------------


@both_cuts
def test_interim_responses_come_before_the_final_one(cut: Cut) -> None:
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
    )
    outcome = read_responses(cut(data), [b"POST", b"GET"])
    assert outcome.error is None
    assert [message.head["status"] for message in outcome.messages] == [100, 103, 200, 304]
    assert [message.content for message in outcome.messages] == [b"", b"", b"ab", b""]


# --- What is remembered -----------------------------------------------------------------------------------------------


def test_a_head_that_comes_again_is_understood_in_the_same_way() -> None:
    parser = ResponseParser()
    head = head_with(b"A: 1", b"Content-Length: 3", b"Connection: close")
    expected = seen_in(ResponseParser().parse(head))
    for _ in range(3):
        assert seen_in(parser.parse(head)) == expected


def test_a_cookie_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = ResponseParser()
    calls = []
    understand = responses._understand
    monkeypatch.setattr(responses, "_understand", lambda *head: calls.append(head) or understand(*head))
    for head in (head_with(b"A: 1"), head_with(b"SET-Cookie: a=1")):
        assert seen_in(parser.parse(head)) == seen_in(parser.parse(head))
    assert len(calls) == 3


def test_a_worker_whose_heads_all_differ_is_forgotten_from_time_to_time() -> None:
    parser = ResponseParser()
    for number in range(3 * responses.MAX_REMEMBERED_HEADS):
        assert parser.parse(head_with(b"A: %d" % number)).lines == [(b"a", b"%d" % number)]
    assert len(parser._heads) <= responses.MAX_REMEMBERED_HEADS
