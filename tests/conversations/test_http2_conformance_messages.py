"""RFC 9113 §8: exchanges, and what makes a request malformed (§8.1.1), so that it is reset and nothing else."""

import pytest

from tests.support.http2_cases import (
    ANSWER,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    Case,
    case,
    data,
    frame,
    get,
    headers,
    play,
    plays,
    post,
    pseudo,
)

MALFORMED = "1: RST_STREAM PROTOCOL_ERROR"
ALL = len(ANSWER)


def without(name: str) -> list[tuple[str, str]]:
    return [line for line in pseudo() if line[0] != name]


def having(**values: str) -> list[tuple[str, str]]:
    return list((dict(pseudo()) | {f":{name}": value for name, value in values.items()}).items())


CASES = [
    # §8.1: exchanges
    case("8.1", "GET", get(1, "/path?q"), "1: 200", reached=[b"GET /path?q HTTP/1.1\r\n"], got_bytes={1: ALL}),
    case("8.1", "HEAD", get(1, method="HEAD"), "1: 200", reached=[b"HEAD / HTTP/1.1\r\n"], got_bytes={1: 0}),
    case("8.1", "POST", [post(1), data(1, b"text", end=True)], "1: 200", reached=[b"POST / HTTP/1.1\r\n", b"text"]),
    case("8.1", "POST without content", get(1, method="POST"), "1: 200", reached=[b"content-length: 0\r\n"]),
    case("8.1", "DELETE", get(1, method="DELETE"), "1: 200", reached=[b"DELETE / HTTP/1.1\r\n"]),
    case("8.1", "OPTIONS *", get(1, "*", method="OPTIONS"), "1: 200", reached=[b"OPTIONS * HTTP/1.1\r\n"]),
    case("8.1", "a method of one's own", get(1, method="MKCALENDAR"), "1: 200", "1: 501", "1: 405"),
    case(
        "8.1",
        "POST with trailers",
        [post(1), data(1, b"text"), headers(1, [("x-sum", "1")])],
        "1: 200",
        reached=[b"text\r\n0\r\nx-sum: 1\r\n"],
    ),
    case(
        "8.1",
        "trailers and no content",
        [post(1), headers(1, [("x-sum", "1")])],
        "1: 200",
        reached=[b"0\r\nx-sum: 1\r\n"],
    ),
    case(
        "8.1",
        "HEADERS, CONTINUATION, DATA, HEADERS, CONTINUATION",
        [
            frame(HEADERS, 0, 1, b"\x83\x86\x84"),
            frame(CONTINUATION, END_HEADERS, 1, b"\x01\x0bexample.org"),
            frame(DATA, PADDED, 1, b"\x02text\0\0"),
            frame(HEADERS, END_STREAM, 1, b"\x00\x05x-sum"),
            frame(CONTINUATION, END_HEADERS, 1, b"\x011"),
        ],
        "1: 200",
        reached=[b"text", b"x-sum: 1\r\n"],
    ),
    case("8.1", "many requests at once", get(1) + get(3) + get(5) + get(7), "1: 200, 3: 200, 5: 200, 7: 200"),
    case("8.1", "trailers that do not end the request", [post(1), headers(1, [("x-sum", "1")], end=False)], MALFORMED),
    case(
        "8.1",
        "trailers with END_STREAM, twice",
        [post(1), headers(1, [("x", "1")]) + headers(1, [("x", "1")])],
        "1: RST_STREAM STREAM_CLOSED",
    ),
    # §8.2.1: names and values
    case("8.2.1", "a name in upper case", get(1, "/", ("X-TEST", "ok")), MALFORMED),
    case("8.2.1", "one letter in upper case", get(1, "/", ("x-tesT", "ok")), MALFORMED),
    case("8.2.1", "an empty name", get(1, "/", ("", "ok")), MALFORMED),
    case("8.2.1", "a blank in a name", get(1, "/", ("x test", "ok")), MALFORMED),
    case("8.2.1", "a colon in a name", get(1, "/", ("x:test", "ok")), MALFORMED),
    case("8.2.1", "a control in a name", get(1, "/", ("x\x01", "ok")), MALFORMED),
    case("8.2.1", "DEL in a name", get(1, "/", ("x\x7f", "ok")), MALFORMED),
    case("8.2.1", "more than ASCII in a name", get(1, "/", ("x\xe4", "ok")), MALFORMED),
    case("8.2.1", "NUL in a value", get(1, "/", ("x", "a\0b")), MALFORMED),
    case("8.2.1", "LF in a value", get(1, "/", ("x", "a\nb")), MALFORMED),
    case("8.2.1", "CR in a value", get(1, "/", ("x", "a\rb")), MALFORMED),
    case("8.2.1", "a blank before a value", get(1, "/", ("x", " a")), MALFORMED),
    case("8.2.1", "a tab before a value", get(1, "/", ("x", "\ta")), MALFORMED),
    case("8.2.1", "a blank behind a value", get(1, "/", ("x", "a ")), MALFORMED),
    case("8.2.1", "an empty value", get(1, "/", ("x", "")), "1: 200", reached=[b"x: \r\n"]),
    case("8.2.1", "blanks within a value", get(1, "/", ("x", "a \t b")), "1: 200", reached=[b"x: a \t b\r\n"]),
    case("8.2.1", "a value that is no ASCII", get(1, "/", ("x", "\xe4")), "1: 200", reached=[b"x: \xe4\r\n"]),
    case("8.2.1", "a name in upper case in trailers", [post(1), headers(1, [("X-Sum", "1")])], MALFORMED),
    case("8.2.1", "NUL in trailers", [post(1), headers(1, [("x", "\0")])], MALFORMED),
    # §8.2.2: the connection's fields
    case("8.2.2", "connection", get(1, "/", ("connection", "close")), MALFORMED),
    case("8.2.2", "connection: keep-alive", get(1, "/", ("connection", "keep-alive")), MALFORMED),
    case("8.2.2", "keep-alive", get(1, "/", ("keep-alive", "timeout=5")), MALFORMED),
    case("8.2.2", "proxy-connection", get(1, "/", ("proxy-connection", "keep-alive")), MALFORMED),
    case("8.2.2", "transfer-encoding", [post(1, ("transfer-encoding", "chunked")), data(1, b"x", end=True)], MALFORMED),
    case("8.2.2", "upgrade", get(1, "/", ("upgrade", "websocket")), MALFORMED),
    case("8.2.2", "te: trailers", get(1, "/", ("te", "trailers")), "1: 200"),
    case("8.2.2", "te: gzip", get(1, "/", ("te", "gzip")), MALFORMED),
    case("8.2.2", "te: trailers, deflate", get(1, "/", ("te", "trailers, deflate;q=0.5")), MALFORMED),
    case("8.2.2", "connection in trailers", [post(1), headers(1, [("connection", "close")])], MALFORMED),
    # §8.2.3: cookies
    case(
        "8.2.3",
        "a cookie in pieces",
        get(1, "/", ("cookie", "a=b"), ("cookie", "c=d"), ("x", "y")),
        "1: 200",
        reached=[b"cookie: a=b; c=d\r\n"],
    ),
    # §8.3: pseudo-fields
    case("8.3", "an unknown one", get(1, "/", (":test", "ok")), MALFORMED),
    case("8.3", "an unknown one in front", headers(1, [(":test", "ok"), *pseudo()]), MALFORMED),
    case("8.3", "the response's :status", headers(1, [*pseudo(), (":status", "200")]), MALFORMED),
    case("8.3", "one behind a field", headers(1, [*without(":path"), ("x", "y"), (":path", "/")]), MALFORMED),
    case("8.3", "all behind a field", headers(1, [("x", "y"), *pseudo()]), MALFORMED),
    case("8.3", "one in trailers", [post(1), headers(1, [(":method", "POST")])], MALFORMED),
    case("8.3", "an unknown one in trailers", [post(1), headers(1, [(":x", "y")])], MALFORMED),
    case("8.3", "in another order", headers(1, pseudo()[::-1]), "1: 200"),
    case("8.3", "in upper case", headers(1, [*without(":path"), (":PATH", "/")]), MALFORMED),
    # §8.3.1: those of a request
    case("8.3.1", "no :method", headers(1, without(":method")), MALFORMED),
    case("8.3.1", "no :scheme", headers(1, without(":scheme")), MALFORMED),
    case("8.3.1", "no :path", headers(1, without(":path")), MALFORMED),
    case(
        "8.3.1",
        "no :authority, but host",
        headers(1, [*without(":authority"), ("host", "example.org")]),
        "1: 200",
        reached=[b"host: example.org\r\n"],
    ),
    case("8.3.1", "neither :authority nor host", headers(1, without(":authority")), MALFORMED, "1: 400"),
    case("8.3.1", ":method twice", headers(1, [*pseudo(), (":method", "GET")]), MALFORMED),
    case("8.3.1", ":scheme twice", headers(1, [*pseudo(), (":scheme", "http")]), MALFORMED),
    case("8.3.1", ":path twice", headers(1, [*pseudo(), (":path", "/")]), MALFORMED),
    case("8.3.1", ":authority twice", headers(1, [*pseudo(), (":authority", "example.org")]), MALFORMED),
    case("8.3.1", "an empty :path", headers(1, having(path="")), MALFORMED),
    case("8.3.1", "a :path without a slash", headers(1, having(path="path")), MALFORMED),
    case("8.3.1", "an absolute :path", headers(1, having(path="http://example.org/")), MALFORMED),
    case("8.3.1", ":path * for GET", headers(1, having(path="*")), MALFORMED),
    case("8.3.1", "an empty :method", headers(1, having(method="")), MALFORMED),
    case("8.3.1", "an empty :scheme", headers(1, having(scheme="")), MALFORMED),
    case("8.3.1", "an empty :authority", headers(1, having(authority="")), MALFORMED, "1: 400"),
    case("8.3.1", "userinfo in :authority", headers(1, having(authority="me@example.org")), MALFORMED, "1: 400"),
    case("8.3.1", ":authority and another host", get(1, "/", ("host", "example.com")), MALFORMED),
    case("8.3.1", ":authority and the same host", get(1, "/", ("host", "example.org")), "1: 200"),
    # §8.1.1: content-length
    case(
        "8.1.1",
        "more content than announced",
        [post(1, ("content-length", "3")), data(1, b"four", end=True)],
        MALFORMED,
    ),
    case(
        "8.1.1",
        "more content than announced, in several frames",
        [post(1, ("content-length", "3")), data(1, b"tw"), data(1, b"o+", end=True)],
        MALFORMED,
    ),
    case(
        "8.1.1", "less content than announced", [post(1, ("content-length", "3")), data(1, b"1", end=True)], MALFORMED
    ),
    case(
        "8.1.1",
        "less content than announced, in several frames",
        [post(1, ("content-length", "3")), data(1, b"1"), data(1, b"2", end=True)],
        MALFORMED,
    ),
    case(
        "8.1.1",
        "less content than announced, then trailers",
        [post(1, ("content-length", "3")), data(1, b"1"), headers(1, [("x", "y")])],
        MALFORMED,
    ),
    case("8.1.1", "no content where some was announced", get(1, "/", ("content-length", "1")), MALFORMED),
    case(
        "8.1.1",
        "content where none was announced",
        post(1, ("content-length", "0")) + data(1, b"x", end=True),
        MALFORMED,
    ),
    case(
        "8.1.1",
        "content after the answer, where none was announced",
        [post(1, ("content-length", "0")), data(1, b"x")],
        f"1: 200, {MALFORMED}",
    ),
    case(
        "8.1.1",
        "as much as announced",
        [post(1, ("content-length", "4")), data(1, b"fo"), data(1, b"ur", end=True)],
        "1: 200",
        reached=[b"content-length: 4\r\n"],
    ),
    case(
        "8.1.1",
        "as much as announced, and padding",
        [post(1, ("content-length", "4")), frame(DATA, PADDED | 1, 1, b"\x03four\0\0\0")],
        "1: 200",
    ),
    case(
        "8.1.1",
        "a length that is no number",
        [post(1, ("content-length", "four")), data(1, b"four", end=True)],
        MALFORMED,
    ),
    case("8.1.1", "a length with a sign", [post(1, ("content-length", "+4")), data(1, b"four", end=True)], MALFORMED),
    case(
        "8.1.1",
        "two lengths",
        [post(1, ("content-length", "4"), ("content-length", "5")), data(1, b"four", end=True)],
        MALFORMED,
    ),
    # §8.5, RFC 8441
    case("8.5", "CONNECT with :path", headers(1, having(method="CONNECT"), end=False), MALFORMED),
    case("8.5", "CONNECT without :authority", headers(1, [(":method", "CONNECT")], end=False), MALFORMED),
    case(
        "8.5",
        "CONNECT",
        headers(1, [(":method", "CONNECT"), (":authority", "example.org:443")]),
        "1: 501",
        "1: 405",
        MALFORMED,
    ),
    case("8441.4", ":protocol without CONNECT", headers(1, [*pseudo(), (":protocol", "websocket")]), MALFORMED),
    case(
        "8441.4",
        "extended CONNECT without :path",
        headers(
            1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "example.org")]
        ),
        MALFORMED,
    ),
    # §8.6
    case("8.6", "upgrade to h2c is none of HTTP/2", get(1, "/", ("http2-settings", "AAMAAABkAAQAAP__")), "1: 200"),
]


@pytest.mark.parametrize(("row", "read_bytes"), plays(CASES))
def test_what_becomes_of(row: Case, read_bytes: int) -> None:
    play(row, read_bytes=read_bytes)
