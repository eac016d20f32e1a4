"""Header sections of requests: what they mean, and what is refused."""

import pytest

from thrust.errors import BadMessage
from thrust.http.headers import FieldLine
from thrust.wire.http1.requests import RequestParser
from thrust.wire.http2.requests import Http2RequestHead, read_priority, understand, understand_trailers

PARSER = RequestParser()
START: list[FieldLine] = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")]
CONNECT: list[FieldLine] = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"https"),
    (b":path", b"/chat"),
    (b":authority", b"a.example"),
]


def read(*lines: FieldLine, start: list[FieldLine] = START, has_ended: bool = True) -> Http2RequestHead:
    return understand([*start, *lines], PARSER, has_ended=has_ended)


def changed(**values: bytes | None) -> list[FieldLine]:
    """START with other pseudo-fields, or without some."""
    start = dict(START) | {f":{name}".encode(): value for name, value in values.items()}
    return [(name, value) for name, value in start.items() if value is not None]


def status_of(*lines: FieldLine, start: list[FieldLine] = START, has_ended: bool = True) -> int:
    with pytest.raises(BadMessage) as refusal:
        read(*lines, start=start, has_ended=has_ended)
    return refusal.value.status


def test_a_plain_request() -> None:
    head = read((b"accept", b"*/*"), (b"te", b"trailers"), (b"x-a", b""), (b"x-b", b"a\tb \xff"))
    assert (head.method, head.target, head.authority) == (b"GET", b"/", b"a.example")
    assert head.headers.lines == [(b"accept", b"*/*"), (b"x-a", b""), (b"x-b", b"a\tb \xff"), (b"te", b"trailers")]
    assert (head.content_length, head.expects_continue, head.wants_upgrade) == (0, False, False)
    assert (head.urgency, head.is_incremental, head.protocol) == (3, False, b"")


def test_pieces_of_a_cookie_become_one() -> None:
    head = read((b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c=3"))
    assert head.headers.lines == [(b"x", b"y"), (b"cookie", b"a=1; b=2; c=3")]


@pytest.mark.parametrize(
    ("lines", "has_ended", "length", "expects"),
    [
        ([], False, None, False),
        ([(b"content-length", b"5")], False, 5, False),
        ([(b"content-length", b"0")], True, 0, False),
        ([(b"expect", b"100-continue")], False, None, True),
        ([(b"expect", b"100-continue"), (b"content-length", b"5")], False, 5, True),
        ([(b"expect", b"100-continue")], True, 0, False),
    ],
)
def test_how_much_content_follows(lines: list[FieldLine], has_ended: bool, length: int | None, expects: bool) -> None:
    head = read(*lines, has_ended=has_ended)
    assert (head.content_length, head.expects_continue) == (length, expects)
    assert b"expect" not in head.headers and b"content-length" not in head.headers


@pytest.mark.parametrize(
    ("authority", "host", "meant"),
    [
        (b"a.example", b"a.example", b"a.example"),
        (b"a.example", b"A.Example", b"a.example"),
        (None, b"b.example:8080", b"b.example:8080"),
        (b"[::1]:3000", None, b"[::1]:3000"),
    ],
)
def test_whom_it_is_for(authority: bytes | None, host: bytes | None, meant: bytes) -> None:
    head = read(*([(b"host", host)] if host else []), start=changed(authority=authority))
    assert head.authority == meant and b"host" not in head.headers


def test_an_extended_connect_is_a_websocket_handshake() -> None:
    head = read((b"sec-websocket-version", b"13"), start=CONNECT, has_ended=False)
    assert (head.method, head.target, head.protocol) == (b"GET", b"/chat", b"websocket")
    assert head.content_length == 0


def test_asterisk_is_for_options() -> None:
    assert read(start=changed(method=b"OPTIONS", path=b"*")).target == b"*"


@pytest.mark.parametrize(
    "start",
    [
        changed(method=None),
        changed(scheme=None),
        changed(path=None),
        changed(authority=None),
        changed(method=b""),
        changed(method=b"GE T"),
        changed(method=b"GET / HTTP/1.1\r\nX: y\r\n\r\nGET"),
        changed(scheme=b""),
        changed(scheme=b"ftp"),
        changed(path=b""),
        changed(path=b"*"),
        changed(path=b"x"),
        changed(path=b"http://a.example/"),
        changed(path=b"/a b"),
        changed(path=b"/\xc3\xa4"),
        changed(path=b"/ HTTP/1.1\r\nx: y\r\n"),
        changed(path=b"/#fragment"),
        changed(path=b"/\0"),
        changed(authority=b""),
        changed(authority=b"user@a.example"),
        changed(authority=b"user:pass@a.example"),
        changed(authority=b"a.example, b.example"),
        changed(authority=b"a.example:99999"),
        changed(authority=b"a.example/path"),
        changed(authority=b"a.example\r\nx: y"),
        changed(authority=b" a.example"),
        [*START, (b":path", b"/")],
        [*START, (b":status", b"200")],
        [*START, (b":unknown", b"")],
        [*START, (b":", b"")],
        [*START, (b"x", b"y"), (b":path", b"/")],
        [(b"x", b"y"), *START],
        [(b"cookie", b"y"), *START],
        [],
        [*changed(method=b"CONNECT"), (b"x", b"y")],
        [(b":method", b"CONNECT")],
        [(b":method", b"CONNECT"), (b":authority", b"a.example:80"), (b":path", b"/")],
        [*START, (b":protocol", b"websocket")],
        [line for line in CONNECT if line[0] != b":authority"],
        [line for line in CONNECT if line[0] != b":path"],
        [line for line in CONNECT if line[0] != b":scheme"],
    ],
)
def test_pseudo_fields_that_are_malformed(start: list[FieldLine]) -> None:
    assert status_of(start=start) == 400


@pytest.mark.parametrize(
    "line",
    [
        (b"Upper", b"x"),
        (b"", b"x"),
        (b"a b", b"x"),
        (b"a:b", b"x"),
        (b"a\r\nb", b"x"),
        (b"a\0", b"x"),
        (b"\xc3\xa4", b"x"),
        (b"x-a", b"a\r\nx-b: c"),
        (b"x-a", b"a\nb"),
        (b"x-a", b"a\rb"),
        (b"x-a", b"a\0b"),
        (b"x-a", b"a\x7fb"),
        (b"x-a", b" a"),
        (b"x-a", b"a "),
        (b"x-a", b"\ta"),
        (b"x-a", b"a\t"),
        (b"x-a", b" "),
        (b"cookie", b"a\r\nb"),
        (b"connection", b"close"),
        (b"connection", b"x-a"),
        (b"keep-alive", b"5"),
        (b"proxy-connection", b"keep-alive"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
        (b"te", b"trailers, gzip"),
        (b"host", b"b.example"),
        (b"host", b""),
        (b"content-length", b"5"),
        (b"content-length", b"-0"),
        (b"content-length", b"+1"),
        (b"content-length", b"0, 0"),
        (b"content-length", b"0x1"),
        (b"content-length", b""),
    ],
)
def test_fields_that_are_malformed(line: FieldLine) -> None:
    assert status_of(line) == 400


@pytest.mark.parametrize("name", [b"content-length", b"host"])
def test_fields_that_may_come_once_only(name: bytes) -> None:
    value = b"0" if name == b"content-length" else b"a.example"
    assert status_of((name, value), (name, value)) == 400


@pytest.mark.parametrize(
    ("start", "lines", "status"),
    [
        (changed(method=b"FROB"), [], 501),
        (changed(method=b"get"), [], 501),
        ([(b":method", b"CONNECT"), (b":authority", b"a.example:80")], [], 501),
        ([(name, b"connect-udp" if name == b":protocol" else value) for name, value in CONNECT], [], 501),
        (changed(path=b"/" + b"x" * 20000), [], 414),
        (changed(path=b"/" + b"x" * 70000), [], 414),
        (START, [(b"x-%d" % number, b"") for number in range(101)], 431),
        (START, [(b"x", b"y" * 65536)], 431),
        (START, [(b"expect", b"a miracle")], 417),
    ],
)
def test_what_is_answered_as_in_http1(start: list[FieldLine], lines: list[FieldLine], status: int) -> None:
    assert status_of(*lines, start=start) == status


def test_a_hundred_fields_are_accepted() -> None:
    # Host is one of them, as in HTTP/1.1.
    assert len(read(*[(b"x-%d" % number, b"") for number in range(99)]).headers) == 99


@pytest.mark.parametrize(
    ("value", "urgency", "is_incremental"),
    [
        (b"", 3, False),
        (b"u=0", 0, False),
        (b"u=7, i", 7, True),
        (b"i", 3, True),
        (b"i=?1,u=2", 2, True),
        (b"i=?0", 3, False),
        (b"u=8", 3, False),
        (b"u=-1", 3, False),
        (b"u=1.5", 3, False),
        (b"u=10", 3, False),
        (b"u=5;x=1, i;y", 5, True),
        (b"u=1, u=2", 2, False),
        (b"i=1", 3, False),
        (b"uu=1, ui", 3, False),
        (b"\xff" * 50, 3, False),
    ],
)
def test_priorities(value: bytes, urgency: int, is_incremental: bool) -> None:
    assert read_priority(value) == (urgency, is_incremental)


def test_a_request_says_its_priority() -> None:
    head = read((b"priority", b"u=1"), (b"priority", b"i"))
    assert (head.urgency, head.is_incremental) == (1, True)
    assert head.headers.get_all(b"priority") == [b"u=1", b"i"]


def test_trailers_that_mean_nothing_to_framing_pass() -> None:
    fields = [(b"x-a", b"1"), (b"host", b"b"), (b"x_a", b"2"), (b"x-forwarded-for", b"3")]
    assert understand_trailers(fields) == [(b"x-a", b"1")]


@pytest.mark.parametrize(
    "fields",
    [
        [(b":path", b"/")],
        [(b"content-length", b"1")],
        [(b"transfer-encoding", b"chunked")],
        [(b"connection", b"close")],
        [(b"X", b"y")],
        [(b"x", b"y\r\n")],
        [(b"x", b"y")] * 101,
        [(b"x", b"y" * 9000)],
    ],
)
def test_trailers_that_are_malformed(fields: list[FieldLine]) -> None:
    with pytest.raises(BadMessage):
        understand_trailers(fields)
