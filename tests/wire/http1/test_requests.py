"""Request heads: what is understood of a good one, and with which status a bad one is refused (RFC 9112 §2–3, §6)."""

from typing import Any

import pytest

from tests.support.wire_streams import Cut, Message, bytewise, read_requests, whole
from thrust.errors import BadMessage
from thrust.wire.http1.heads import MAX_FIELDS, MAX_TARGET_BYTES
from thrust.wire.http1.requests import MAX_AUTHORITY_BYTES, MAX_LIST_MEMBERS, RequestParser

both_cuts = pytest.mark.parametrize("cut", [whole, bytewise])


def head_with(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a.example") -> bytes:
    """A request head with these field lines after the Host."""
    return b"\r\n".join([start, *([host] if host else []), *lines]) + b"\r\n\r\n"


def parse(head: bytes) -> dict[str, Any]:
    return the_message(head, whole).head


def the_message(data: bytes, cut: Cut) -> Message:
    """The only message in `data`, which has to be all there and all there is."""
    outcome = read_requests(cut(data))
    assert outcome.error is None
    assert outcome.is_idle
    [message] = outcome.messages
    return message


def refusal(data: bytes, cut: Cut) -> BadMessage:
    """The error for the first message in `data`."""
    outcome = read_requests(cut(data))
    assert isinstance(outcome.error, BadMessage), f"{data!r} was taken"
    assert outcome.messages == []
    return outcome.error


# --- What is understood -----------------------------------------------------------------------------------------------


@both_cuts
def test_a_plain_get_is_understood(cut: Cut) -> None:
    head = the_message(head_with(b"Accept: */*", b"X-Empty:", b"Accept: text/html "), cut).head
    assert head == {
        "method": b"GET",
        "target": b"/",
        "authority": b"a.example",
        "minor_version": 1,
        "lines": [(b"accept", b"*/*"), (b"x-empty", b""), (b"accept", b"text/html")],
        "content_length": 0,
        "keep_alive": True,
        "expects_continue": False,
        "wants_upgrade": False,
    }


def test_a_parser_keeps_nothing_of_the_head_before() -> None:
    parser = RequestParser()
    first = parser.parse(head_with(b"A: 1"))
    with pytest.raises(BadMessage):
        parser.parse(head_with(b"Content-Length: x"))
    second = parser.parse(head_with(b"B: 2"))
    assert first.headers.lines == [(b"a", b"1")]
    assert second.headers.lines == [(b"b", b"2")]


@pytest.mark.parametrize(
    "method",
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND", b"REPORT", b"PURGE"],
)
def test_a_known_method_is_taken(method: bytes) -> None:
    assert parse(head_with(start=method + b" /x HTTP/1.1"))["method"] == method


@both_cuts
def test_one_empty_line_before_the_request_line_is_ignored(cut: Cut) -> None:
    assert the_message(b"\r\n" + head_with(), cut).head["target"] == b"/"


TARGETS: list[tuple[bytes, bytes, bytes, bytes]] = [
    # method, as received → to the worker, authority
    (b"GET", b"/", b"/", b"a.example"),
    (b"GET", b"/a/b?c=d&e=%20", b"/a/b?c=d&e=%20", b"a.example"),
    (b"GET", b"//evil.example/x", b"//evil.example/x", b"a.example"),
    (b"GET", b"/../%2e%2E/x", b"/../%2e%2E/x", b"a.example"),
    (b"GET", b'/"<>\\^`{|}%', b'/"<>\\^`{|}%', b"a.example"),
    (b"GET", b"/http://b.example/", b"/http://b.example/", b"a.example"),
    (b"OPTIONS", b"*", b"*", b"a.example"),
    (b"OPTIONS", b"/", b"/", b"a.example"),
    # absolute-form (RFC 9112 §3.2.2): its authority counts, whatever Host says
    (b"GET", b"http://b.example", b"/", b"b.example"),
    (b"GET", b"http://b.example/", b"/", b"b.example"),
    (b"GET", b"http://b.example?x=1", b"/?x=1", b"b.example"),
    (b"GET", b"http://b.example/x?y=http://c/", b"/x?y=http://c/", b"b.example"),
    (b"GET", b"HTTP://B.example:8080/x", b"/x", b"B.example:8080"),
    (b"GET", b"https://b.example/x", b"/x", b"b.example"),
    (b"GET", b"http://[2001:db8::1]:80/x", b"/x", b"[2001:db8::1]:80"),
    (b"GET", b"http://b.example//x", b"//x", b"b.example"),
    (b"GET", b"http://b.example/*", b"/*", b"b.example"),
    # §3.2.4: for OPTIONS an absent path means the server itself
    (b"OPTIONS", b"http://b.example", b"*", b"b.example"),
    (b"OPTIONS", b"http://b.example/", b"/", b"b.example"),
    (b"OPTIONS", b"http://b.example?x", b"/?x", b"b.example"),
]


@pytest.mark.parametrize(("method", "target", "understood", "authority"), TARGETS)
def test_a_target_is_brought_into_origin_form(
    method: bytes, target: bytes, understood: bytes, authority: bytes
) -> None:
    head = parse(head_with(start=b"%b %b HTTP/1.1" % (method, target)))
    assert (head["target"], head["authority"]) == (understood, authority)


HOSTS = [
    b"a",
    b"a.example",
    b"A.EXAMPLE.",
    b"a.example:80",
    b"a.example:",
    b"a.example:65535",
    b"a.example:00080",
    b"127.0.0.1:3000",
    b"[::1]",
    b"[::1]:3000",
    b"[2001:DB8::ffff:10.0.0.1]",
    b"web_1",
    b"xn--bcher-kva.example",
    b"b%C3%BCcher.example",
    b"a~b!$&'()*+;=",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_valid_host_is_the_authority(host: bytes) -> None:
    assert parse(head_with(host=b"Host:\t" + host + b" "))["authority"] == host


def test_an_http_1_0_request_needs_no_host() -> None:
    assert parse(head_with(start=b"GET / HTTP/1.0", host=b""))["authority"] == b""


PERSISTENCE: list[tuple[bytes, list[bytes], bool]] = [
    (b"HTTP/1.1", [], True),
    (b"HTTP/1.1", [b"Connection: keep-alive"], True),
    (b"HTTP/1.1", [b"Connection: close"], False),
    (b"HTTP/1.1", [b"Connection: CLOSE"], False),
    (b"HTTP/1.1", [b"Connection: x-a,close ,x-b"], False),
    (b"HTTP/1.1", [b"Connection: keep-alive", b"Connection: close"], False),
    (b"HTTP/1.1", [b"Connection: close, keep-alive"], False),
    (b"HTTP/1.1", [b"Connection: not-close"], True),
    (b"HTTP/1.1", [b"Connection:"], True),
    (b"HTTP/1.1", [b"Proxy-Connection: close"], True),
    (b"HTTP/1.0", [], False),
    (b"HTTP/1.0", [b"Connection: keep-alive"], True),
    (b"HTTP/1.0", [b"Connection: Keep-Alive, x"], True),
    (b"HTTP/1.0", [b"Connection: keep-alive, close"], False),
    (b"HTTP/1.0", [b"Keep-Alive: timeout=5"], False),
]


@pytest.mark.parametrize(("version", "lines", "persists"), PERSISTENCE)
def test_a_connection_persists_as_version_and_options_say(version: bytes, lines: list[bytes], persists: bool) -> None:
    assert parse(head_with(*lines, start=b"GET / " + version))["keep_alive"] is persists


# Field lines besides Host → those that are for the worker
HOPS: list[tuple[list[bytes], list[tuple[bytes, bytes]]]] = [
    ([b"Connection: keep-alive", b"A: 1"], [(b"a", b"1")]),
    ([b"Connection: close", b"A: 1"], [(b"a", b"1")]),
    ([b"Connection: keep-alive", b"Connection: keep-alive", b"A: 1"], [(b"a", b"1")]),
    ([b"Keep-Alive: timeout=5", b"A: 1"], [(b"a", b"1")]),
    ([b"Proxy-Connection: keep-alive", b"Proxy-Authorization: x", b"A: 1"], [(b"a", b"1")]),
    ([b"Connection: X-A, x-b", b"X-A: 1", b"X-B: 2", b"X-C: 3", b"x-a: 4"], [(b"x-c", b"3")]),
    ([b"Connection: x-a", b"Connection: x-b", b"X-A: 1", b"X-B: 2"], []),
    ([b"TE: gzip"], []),
    ([b"TE: trailers"], [(b"te", b"trailers")]),
    ([b"TE: gzip;q=0.5, Trailers", b"Connection: TE"], [(b"te", b"trailers")]),
    ([b"Trailer: x-sum", b"A: 1"], [(b"a", b"1")]),
    ([b"Upgrade: h2c", b"HTTP2-Settings: AAMA", b"Connection: Upgrade, HTTP2-Settings"], []),
    ([b"A: 1", b"B: 2", b"a: 3"], [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]),
]


@both_cuts
@pytest.mark.parametrize(("lines", "passed_on"), HOPS)
def test_fields_of_this_hop_are_taken_out(lines: list[bytes], passed_on: list[tuple[bytes, bytes]], cut: Cut) -> None:
    assert the_message(head_with(*lines), cut).head["lines"] == passed_on


def test_host_and_length_cannot_be_nominated_away() -> None:
    lines = (b"Connection: host, content-length, transfer-encoding", b"Content-Length: 2")
    message = the_message(head_with(*lines) + b"ab", whole)
    assert (message.head["authority"], message.head["content_length"]) == (b"a.example", 2)
    assert message.content == b"ab"


@pytest.mark.parametrize("line", [b"Transfer-Encoding: chunked", b"TRANSFER-ENCODING:\tCHUNKED ", b"Te: trailers"])
def test_a_chunked_body_has_no_length(line: bytes) -> None:
    expected = 0 if line.startswith(b"Te") else None
    assert RequestParser().parse(head_with(line)).content_length == expected


UPGRADES: list[tuple[bytes, list[bytes], bool]] = [
    (b"GET / HTTP/1.1", [b"Connection: Upgrade", b"Upgrade: websocket"], True),
    (b"GET / HTTP/1.1", [b"Connection: keep-alive, UPGRADE", b"Upgrade: WebSocket"], True),
    (b"GET / HTTP/1.1", [b"Connection: keep-alive", b"Connection: upgrade", b"Upgrade: h2c, websocket"], True),
    (b"GET / HTTP/1.1", [b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: websocket"], True),
    (b"GET / HTTP/1.1", [b"Upgrade: websocket"], False),
    (b"GET / HTTP/1.1", [b"Connection: upgrade"], False),
    (b"GET / HTTP/1.1", [b"Connection: Upgrade", b"Upgrade: h2c"], False),
    (b"GET / HTTP/1.1", [b"Connection: Upgrade", b"Upgrade: websocket/13"], False),
    (b"GET / HTTP/1.1", [b"Connection: Upgrade", b"Upgrade: TLS/1.0"], False),
    (b"GET / HTTP/1.0", [b"Connection: Upgrade", b"Upgrade: websocket"], False),
    (b"POST / HTTP/1.1", [b"Connection: Upgrade", b"Upgrade: websocket"], False),
]


@pytest.mark.parametrize(("start", "lines", "wanted"), UPGRADES)
def test_only_a_websocket_handshake_wants_an_upgrade(start: bytes, lines: list[bytes], wanted: bool) -> None:
    head = parse(head_with(*lines, start=start))
    assert head["wants_upgrade"] is wanted
    assert head["lines"] == []


def test_a_handshake_with_content_wants_no_upgrade() -> None:
    lines = (b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 1")
    assert not the_message(head_with(*lines) + b"x", whole).head["wants_upgrade"]


EXPECTATIONS: list[tuple[bytes, list[bytes], bool]] = [
    (b"HTTP/1.1", [b"Expect: 100-continue", b"Content-Length: 1"], True),
    (b"HTTP/1.1", [b"expect: 100-Continue", b"Transfer-Encoding: chunked"], True),
    (b"HTTP/1.1", [b"Expect: 100-continue"], False),
    (b"HTTP/1.1", [b"Expect: 100-continue", b"Content-Length: 0"], False),
    (b"HTTP/1.0", [b"Expect: 100-continue", b"Content-Length: 1"], False),
    (b"HTTP/1.1", [b"Content-Length: 1"], False),
]


@pytest.mark.parametrize(("version", "lines", "expects"), EXPECTATIONS)
def test_continue_is_expected_only_where_content_waits(version: bytes, lines: list[bytes], expects: bool) -> None:
    assert RequestParser().parse(head_with(*lines, start=b"POST / " + version)).expects_continue is expects


# --- What is refused --------------------------------------------------------------------------------------------------

REFUSED: list[tuple[int, bytes, str]] = [
    # Framing (RFC 9112 §6.3): whatever leaves two opinions about the length
    (400, head_with(b"Content-Length: 5", b"Transfer-Encoding: chunked"), "both Transfer-Encoding and Content-Length"),
    (400, head_with(b"Transfer-Encoding: chunked", b"Content-Length: 5"), "both Transfer-Encoding and Content-Length"),
    (400, head_with(b"Transfer-Encoding: chunked", b"A: 1", b"content-length: 0"), "both Transfer-Encoding and"),
    (400, head_with(b"Content-Length: 5", b"Content-Length: 5"), "2 Content-Length fields"),
    (400, head_with(b"Content-Length: 5", b"Content-Length: 6"), "2 Content-Length fields"),
    (400, head_with(b"Content-Length: 5, 5"), "invalid content-length '5, 5'"),
    (400, head_with(b"Content-Length: 5,6"), "invalid content-length '5,6'"),
    (400, head_with(b"Content-Length:"), "invalid content-length ''"),
    (400, head_with(b"Content-Length: +5"), "invalid content-length '+5'"),
    (400, head_with(b"Content-Length: -5"), "invalid content-length '-5'"),
    (400, head_with(b"Content-Length: 0x5"), "invalid content-length '0x5'"),
    (400, head_with(b"Content-Length: 5 5"), "invalid content-length '5 5'"),
    (400, head_with(b"Content-Length: 5.0"), "invalid content-length '5.0'"),
    (400, head_with(b"Content-Length: \xb2"), r"invalid content-length '\xb2'"),
    (400, head_with(b"Content-Length: " + b"9" * 19), "invalid content-length '999"),
    (400, head_with(b"Content-Length: 1" + b"0" * 40), "invalid content-length '100"),
    (400, head_with(b"Transfer-Encoding:"), "invalid transfer-encoding ''"),
    (400, head_with(b"Transfer-Encoding: chunked, chunked"), "invalid transfer-encoding 'chunked, chunked'"),
    (400, head_with(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), "invalid transfer-encoding"),
    (400, head_with(b"Transfer-Encoding: chunked,"), "invalid transfer-encoding 'chunked,'"),
    (400, head_with(b"Transfer-Encoding: ,chunked"), "invalid transfer-encoding ',chunked'"),
    (400, head_with(b"Transfer-Encoding: identity"), "invalid transfer-encoding 'identity'"),
    (400, head_with(b"Transfer-Encoding: gzip"), "invalid transfer-encoding 'gzip'"),
    (400, head_with(b"Transfer-Encoding: gzip", b"A: 1"), "invalid transfer-encoding 'gzip'"),
    (400, head_with(b"Transfer-Encoding: chunked, gzip"), "invalid transfer-encoding 'chunked, gzip'"),
    (400, head_with(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"), "invalid transfer-encoding"),
    (400, head_with(b"Transfer-Encoding: xchunked"), "invalid transfer-encoding 'xchunked'"),
    (400, head_with(b"Transfer-Encoding: chunked;q=1"), "invalid transfer-encoding 'chunked;q=1'"),
    (400, head_with(b'Transfer-Encoding: "chunked"'), "invalid transfer-encoding '\"chunked\"'"),
    (400, head_with(b"Transfer-Encoding: \xa0chunked"), r"invalid transfer-encoding '\xa0chunked'"),
    (400, head_with(b"Transfer-Encoding: chunked\t"), "Transfer-Encoding"),
    (400, head_with(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"), "Transfer-Encoding in an HTTP/1.0"),
    (501, head_with(b"Transfer-Encoding: gzip, chunked"), "transfer-encoding 'gzip, chunked' is not implemented"),
    (501, head_with(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), "transfer-encoding 'gzip, chunked'"),
    (501, head_with(b"Transfer-Encoding: identity, chunked"), "transfer-encoding 'identity, chunked'"),
    # Field lines (§5.1–5.2)
    (400, head_with(b"A : 1"), "invalid field line 'A : 1'"),
    (400, head_with(b"Content-Length : 5"), "invalid field line 'Content-Length : 5'"),
    (400, head_with(b"Transfer-Encoding\t: chunked"), "invalid field line"),
    (400, head_with(b" A: 1"), "invalid field line ' A: 1'"),
    (400, head_with(b"A: 1", b" folded"), "invalid field line ' folded'"),
    (400, head_with(b"A: 1", b"\tfolded"), r"invalid field line '\tfolded'"),
    (400, head_with(b" folded", host=b""), "invalid field line ' folded'"),
    (400, head_with(b"A"), "invalid field line 'A'"),
    (400, head_with(b": 1"), "invalid field line ': 1'"),
    (400, head_with(b"A(b): 1"), "invalid field line 'A(b): 1'"),
    (400, head_with(b"A\xe4: 1"), r"invalid field line 'A\xe4: 1'"),
    (400, head_with(b"A: \x001"), ""),
    (400, head_with(b"A: 1\x7f"), ""),
    (400, head_with(b"A: 1\x0b"), ""),
    (400, head_with(b"A: 1\nB: 2"), ""),
    (400, head_with(b"A: 1\rB: 2"), ""),
    (400, head_with(b"A: 1\r\r\nB: 2"), ""),
    (400, head_with(b"\x00: 1"), ""),
    (400, b"GET / HTTP/1.1\nHost: a.example\n\n", ""),
    (400, b"GET / HTTP/1.1\nHost: a.example\r\n\r\n", ""),
    (400, b"GET / HTTP/1.1\r\nHost: a.example\n\r\n", ""),
    (400, b"GET / HTTP/1.1\rHost: a.example\r\r", ""),
    # Host (§3.2)
    (400, head_with(host=b""), "the Host field is missing"),
    (400, head_with(host=b"", start=b"GET http://a.example/ HTTP/1.1"), "the Host field is missing"),
    (400, head_with(b"Host: a.example"), "several Host fields"),
    (400, head_with(b"HOST: b.example"), "several Host fields"),
    (400, head_with(b"Host: b", start=b"GET / HTTP/1.0"), "several Host fields"),
    (400, head_with(host=b"Host:"), "invalid host ''"),
    (400, head_with(host=b"Host:", start=b"GET / HTTP/1.0"), "invalid host ''"),
    (400, head_with(host=b"Host: a b"), "invalid host 'a b'"),
    (400, head_with(host=b"Host: a,b"), "invalid host 'a,b'"),
    (400, head_with(host=b"Host: a, a"), "invalid host 'a, a'"),
    (400, head_with(host=b"Host: u@a"), "invalid host 'u@a'"),
    (400, head_with(host=b"Host: a/b"), "invalid host 'a/b'"),
    (400, head_with(host=b"Host: http://a"), "invalid host 'http://a'"),
    (400, head_with(host=b"Host: a?b"), "invalid host 'a?b'"),
    (400, head_with(host=b"Host: a#b"), "invalid host 'a#b'"),
    (400, head_with(host=b"Host: a\\b"), "invalid host"),
    (400, head_with(host=b'Host: "a"'), "invalid host '\"a\"'"),
    (400, head_with(host=b"Host: <a>"), "invalid host '<a>'"),
    (400, head_with(host=b"Host: a%zz"), "invalid host 'a%zz'"),
    (400, head_with(host=b"Host: a%4"), "invalid host 'a%4'"),
    (400, head_with(host=b"Host: b\xfccher"), r"invalid host 'b\xfccher'"),
    (400, head_with(host=b"Host: :80"), "invalid host ':80'"),
    (400, head_with(host=b"Host: a:b"), "invalid host 'a:b'"),
    (400, head_with(host=b"Host: a:80:80"), "invalid host 'a:80:80'"),
    (400, head_with(host=b"Host: a:-1"), "invalid host 'a:-1'"),
    (400, head_with(host=b"Host: a:65536"), "invalid host 'a:65536'"),
    (400, head_with(host=b"Host: a:000080"), "invalid host 'a:000080'"),
    (400, head_with(host=b"Host: ::1"), "invalid host '::1'"),
    (400, head_with(host=b"Host: []"), "invalid host '[]'"),
    (400, head_with(host=b"Host: [::1"), "invalid host '[::1'"),
    (400, head_with(host=b"Host: [::1]80"), "invalid host '[::1]80'"),
    (400, head_with(host=b"Host: [:::]"), "invalid host '[:::]'"),
    (400, head_with(host=b"Host: [127.0.0.1]"), "invalid host '[127.0.0.1]'"),
    (400, head_with(host=b"Host: [fe80::1%25eth0]"), "invalid host"),
    (400, head_with(host=b"Host: [v1.a]"), "invalid host '[v1.a]'"),
    # Request line (§3)
    (400, b"\r\n\r\n" + head_with(), "invalid request line ''"),
    (400, b"\n" + head_with(), ""),
    (400, b" " + head_with(), "invalid request line ' GET / HTTP/1.1'"),
    (400, head_with(start=b"GET  / HTTP/1.1"), "invalid request line"),
    (400, head_with(start=b"GET /  HTTP/1.1"), "invalid request line"),
    (400, head_with(start=b"GET\t/ HTTP/1.1"), "invalid request line"),
    (400, head_with(start=b"GET /\tHTTP/1.1"), "invalid request line"),
    (400, head_with(start=b"GET / HTTP/1.1 "), "invalid request line 'GET / HTTP/1.1 '"),
    (400, head_with(start=b"GET / HTTP/1.1\t"), "invalid request line"),
    (400, head_with(start=b"GET / x HTTP/1.1"), "invalid request line"),
    (400, head_with(start=b"GET HTTP/1.1"), "invalid request line"),
    (400, head_with(start=b"GET"), "invalid request line 'GET'"),
    (400, head_with(start=b"G@T / HTTP/1.1"), "invalid request line"),
    (400, head_with(start=b"GET / http/1.1"), "invalid request line 'GET / http/1.1'"),
    (400, head_with(start=b"GET / HTTP/1.10"), "invalid request line"),
    (400, head_with(start=b"GET / HTTP/01.1"), "invalid request line"),
    (400, head_with(start=b"GET / HTTP/1"), "invalid request line"),
    (400, head_with(start=b"GET / HTTP/1,1"), "invalid request line"),
    (400, head_with(start=b"GET / HTCPCP/1.1"), "invalid request line"),
    (400, head_with(start=b"GET / RTSP/1.0"), "invalid request line"),
    (400, b"GET /\r\n\r\n", "invalid request line 'GET /'"),  # HTTP/0.9
    (400, b"HTTP/1.1 200 OK\r\n\r\n", "invalid request line"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""),  # a TLS ClientHello
    (400, b"\x80\x2e\x01\x03\x01\r\n\r\n", ""),  # one of SSL 2
    (400, b"PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n" + head_with(), "invalid request line 'PROXY TCP4"),
    (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2.0 is not spoken here"),
    (400, head_with(start=b"PRI * HTTP/1.1"), ""),
    (505, head_with(start=b"GET / HTTP/2.0"), "HTTP/2.0 is not spoken here"),
    (505, head_with(start=b"GET / HTTP/1.2"), "HTTP/1.2 is not spoken here"),
    (505, head_with(start=b"GET / HTTP/0.9"), "HTTP/0.9 is not spoken here"),
    (501, head_with(start=b"get / HTTP/1.1"), "method 'get' is not implemented"),
    (501, head_with(start=b"GETS / HTTP/1.1"), "method 'GETS' is not implemented"),
    (501, head_with(start=b"BREW / HTTP/1.1"), "method 'BREW' is not implemented"),
    (501, head_with(start=b"CONNECT a.example:443 HTTP/1.1"), "CONNECT is not implemented"),
    (501, head_with(start=b"CONNECT / HTTP/1.1"), "CONNECT is not implemented"),
    # Target (§3.2)
    (400, head_with(start=b"GET a.example:80 HTTP/1.1"), "invalid target 'a.example:80'"),  # authority-form
    (400, head_with(start=b"GET a.example HTTP/1.1"), "invalid target 'a.example'"),
    (400, head_with(start=b"GET * HTTP/1.1"), "invalid target '*'"),
    (400, head_with(start=b"OPTIONS ** HTTP/1.1"), "invalid target '**'"),
    (400, head_with(start=b"GET ?x HTTP/1.1"), "invalid target '?x'"),
    (400, head_with(start=b"GET x/y HTTP/1.1"), "invalid target 'x/y'"),
    (400, head_with(start=b"GET \\x HTTP/1.1"), "invalid target"),
    (400, head_with(start=b"GET /a#b HTTP/1.1"), "a fragment is never sent"),
    (400, head_with(start=b"GET http://a/#b HTTP/1.1"), "a fragment is never sent"),
    (400, head_with(start=b"GET http://a#b HTTP/1.1"), "a fragment is never sent"),
    (400, head_with(start=b"GET # HTTP/1.1"), "a fragment is never sent"),
    (400, head_with(start=b"GET /\xe4 HTTP/1.1"), "other bytes have to be percent-encoded"),
    (400, head_with(start=b"GET /\x7f HTTP/1.1"), ""),
    (400, head_with(start=b"GET /\x00 HTTP/1.1"), ""),
    (400, head_with(start=b"GET /\r HTTP/1.1"), ""),
    (400, head_with(start=b"GET http:// HTTP/1.1"), "invalid target 'http://'"),
    (400, head_with(start=b"GET http:///x HTTP/1.1"), "invalid target 'http:///x'"),
    (400, head_with(start=b"GET http:/a/x HTTP/1.1"), "invalid target 'http:/a/x'"),
    (400, head_with(start=b"GET http://u@a/ HTTP/1.1"), "invalid target 'http://u@a/'"),
    (400, head_with(start=b"GET http://u:p@a/ HTTP/1.1"), "invalid target 'http://u:p@a/'"),
    (400, head_with(start=b"GET http://a:99999/ HTTP/1.1"), "invalid target 'http://a:99999/'"),
    (400, head_with(start=b"GET http://a,b/ HTTP/1.1"), "invalid target 'http://a,b/'"),
    (400, head_with(start=b"GET http://[::1/ HTTP/1.1"), "invalid target 'http://[::1/'"),
    (400, head_with(start=b"GET http://[:::]/ HTTP/1.1"), "invalid target 'http://[:::]/'"),
    (400, head_with(start=b"GET ftp://a/ HTTP/1.1"), "invalid target 'ftp://a/'"),
    (400, head_with(start=b"GET ws://a/ HTTP/1.1"), "invalid target 'ws://a/'"),
    # An absolute-form target does not excuse a bad Host
    (400, head_with(start=b"GET http://a/ HTTP/1.1", host=b"Host: a,b"), "invalid host 'a,b'"),
    # Expect (RFC 9110 §10.1.1)
    (417, head_with(b"Expect: 200-ok"), "unknown expectation '200-ok'"),
    (417, head_with(b"Expect:"), "unknown expectation ''"),
    (417, head_with(b"Expect: 100-continue, x"), "unknown expectation '100-continue, x'"),
    (417, head_with(b"Expect: 100-continue", b"Expect: 100-continue"), "unknown expectation"),
]


@both_cuts
@pytest.mark.parametrize(("status", "data", "reason"), REFUSED, ids=[repr(data)[2:70] for _, data, _ in REFUSED])
def test_what_two_parsers_could_read_differently_is_refused(status: int, data: bytes, reason: str, cut: Cut) -> None:
    error = refusal(data, cut)
    assert error.status == status
    # Byte by byte, what no head contains is noticed before the line that it is in can be quoted.
    assert reason in str(error) or (cut is bytewise and "does not belong into a head" in str(error))


@pytest.mark.parametrize(("status", "data", "reason"), REFUSED, ids=[repr(data)[2:70] for _, data, _ in REFUSED])
def test_a_refused_message_ends_the_reading_after_good_ones(status: int, data: bytes, reason: str) -> None:
    outcome = read_requests([head_with() + data])
    assert isinstance(outcome.error, BadMessage)
    assert outcome.error.status == status
    assert len(outcome.messages) == 1


def test_errors_say_what_was_seen_and_what_is_accepted() -> None:
    assert str(refusal(head_with(b"Content-Length: 5, 5"), whole)) == (
        "invalid content-length '5, 5': one decimal number is accepted"
    )
    assert str(refusal(head_with(start=b"GET / HTTP/3.0"), whole)) == (
        "HTTP/3.0 is not spoken here: HTTP/1.1 and HTTP/1.0 are"
    )
    assert str(refusal(head_with(b"A: " + b"\x01" * 200), whole)).endswith("...'")


@pytest.mark.parametrize("method", [b"DESCRIBE", b"PLAY", b"ANNOUNCE"])
def test_methods_of_other_protocols_are_refused(method: bytes) -> None:
    assert refusal(head_with(start=method + b" / HTTP/1.1"), whole).status in (400, 501)


# --- Limits -----------------------------------------------------------------------------------------------------------


@both_cuts
@pytest.mark.parametrize("start", [b"/", b"http://a.example/"])
def test_a_target_of_exactly_the_limit_is_taken(cut: Cut, start: bytes) -> None:
    target = start + b"x" * (MAX_TARGET_BYTES - len(start))
    message = the_message(head_with(start=b"GET %b HTTP/1.1" % target), cut)
    assert len(message.head["target"]) == MAX_TARGET_BYTES - len(start) + 1


@both_cuts
@pytest.mark.parametrize("start", [b"/", b"http://a.example/", b"?"])
def test_a_target_one_byte_beyond_the_limit_is_414(cut: Cut, start: bytes) -> None:
    target = start + b"x" * (MAX_TARGET_BYTES + 1 - len(start))
    error = refusal(head_with(start=b"GET %b HTTP/1.1" % target), cut)
    assert error.status == 414
    assert str(error) == "target of 16385 bytes, at most 16384 are accepted"


@pytest.mark.parametrize("end", [b"", b":65535"])
def test_a_host_of_exactly_the_limit_is_taken(end: bytes) -> None:
    host = b"x" * (MAX_AUTHORITY_BYTES - len(end)) + end
    assert parse(head_with(host=b"Host: " + host))["authority"] == host


def test_a_host_beyond_the_limit_is_refused() -> None:
    host = b"x" * (MAX_AUTHORITY_BYTES + 1)
    assert refusal(head_with(host=b"Host: " + host), whole).status == 400
    assert refusal(head_with(start=b"GET http://%b/ HTTP/1.1" % host), whole).status == 400


@both_cuts
def test_exactly_the_limit_of_fields_is_taken(cut: Cut) -> None:
    lines = [b"A: %d" % number for number in range(MAX_FIELDS - 1)]
    assert len(the_message(head_with(*lines), cut).head["lines"]) == MAX_FIELDS - 1  # and Host


@both_cuts
@pytest.mark.parametrize("line", [b"A: 1", b"A:", b"Connection: keep-alive", b"Keep-Alive: 1"])
def test_one_field_beyond_the_limit_is_431(cut: Cut, line: bytes) -> None:
    error = refusal(head_with(*[line] * MAX_FIELDS), cut)
    assert error.status == 431
    assert str(error) == "101 field lines, at most 100 are accepted"


@both_cuts
@pytest.mark.parametrize("name", [b"Connection", b"TE"])
def test_exactly_the_limit_of_list_members_is_taken(cut: Cut, name: bytes) -> None:
    line = name + b": " + b",".join([b"a"] * MAX_LIST_MEMBERS)
    assert the_message(head_with(line), cut).head["lines"] == []


@both_cuts
@pytest.mark.parametrize("name", [b"Connection", b"TE"])
@pytest.mark.parametrize("values", [[b"a"] * 101, [b""] * 101], ids=["members", "empty members"])
@pytest.mark.parametrize("line_count", [1, 2])
def test_one_list_member_beyond_the_limit_is_431(cut: Cut, name: bytes, values: list[bytes], line_count: int) -> None:
    assert len(values) == MAX_LIST_MEMBERS + 1
    lines = [name + b": " + b",".join(values[start::line_count]) for start in range(line_count)]
    error = refusal(head_with(*lines), cut)
    assert error.status == 431
    assert str(error) == "a list of 101 members, at most 100 are accepted"


@pytest.mark.parametrize(
    "lines",
    [
        [b"Expect: " + b"," * 100],
        [b"Transfer-Encoding: chunked" + b",a" * 100],
        [b"Connection: upgrade", b"Upgrade: websocket" + b",a" * 100],
    ],
)
def test_every_list_that_is_read_has_the_limit(lines: list[bytes]) -> None:
    assert refusal(head_with(*lines), whole).status == 431
