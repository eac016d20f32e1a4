"""Strategies for HTTP/1.1 messages as bytes, valid ones and damaged ones, for property tests of thrust.wire.

A valid message comes with what its reader has to find in it. `BOUNDED` are the settings that those tests run with:
always the same examples, so that a failure in one place can be had in any other, and few. `tests/fuzz` is for many.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from thrust.http.headers import FieldLine

BOUNDED = settings(max_examples=60, derandomize=True, deadline=None, database=None)

TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VISIBLE_BYTES = bytes(range(0x21, 0x7F))
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"M-SEARCH", b"QUERY")

# Names with a meaning for framing, for the hop, or for what may come as a trailer: they have generators of their own.
SPECIAL_NAMES = frozenset(
    b"connection content-length expect host keep-alive proxy-authenticate proxy-authorization proxy-connection te "
    b"trailer transfer-encoding upgrade".split()
)


@dataclass(frozen=True)
class Sent:
    """One message on the wire, and what it says."""

    wire: bytes
    start: tuple[bytes, ...]
    """Method, target and version, or status."""
    lines: list[FieldLine]
    """The end-to-end fields, names in lower case."""
    content: bytes
    trailers: list[FieldLine]
    persists: bool
    is_chunked: bool = False


def bytes_of(alphabet: bytes, *, min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[bytes]:
    table = bytes(alphabet[byte % len(alphabet)] for byte in range(256))
    return st.binary(min_size=min_size, max_size=max_size).map(lambda drawn: drawn.translate(table))


white_space = st.sampled_from([b"", b" ", b"\t", b"  \t"])
contents = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", b"0\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n", b"x" * 300]),
)
field_values = st.one_of(
    bytes_of(VISIBLE_BYTES + b" \t" + bytes(range(0x80, 0x100)), max_size=20).map(lambda value: value.strip(b" \t")),
    st.sampled_from([b"", b"*/*", b"chunked", b"close", b"a, b", b"x: y"]),
)
field_names = st.one_of(
    bytes_of(TOKEN_BYTES, min_size=1).filter(lambda name: name.lower() not in SPECIAL_NAMES),
    st.sampled_from(
        [b"Accept", b"Cookie", b"X-Forwarded-For", b"content-type", b"Content-Lengths", b"Transfer_Encoding"]
    ),
)


@st.composite
def field_lines(draw: st.DrawFn, names: st.SearchStrategy[bytes] = field_names) -> tuple[bytes, list[FieldLine]]:
    """Field lines on the wire, with white space where it is allowed, and what they mean."""
    wire = b""
    meant: list[FieldLine] = []
    for name, value in draw(st.lists(st.tuples(names, field_values), max_size=4)):
        wire += b"%b:%b%b%b\r\n" % (name, draw(white_space), value, draw(white_space))
        meant.append((name.lower(), value))
    return wire, meant


trailer_names = st.sampled_from([b"X-Sum", b"x-sum", b"Server-Timing", b"Etag", b"X-Empty"])
extensions = st.sampled_from([b"", b";", b";a", b";a=b", b'; a = "b;c" ', b";\xff"])


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes, list[FieldLine]]:
    """A chunked body on the wire, its content and its trailers."""
    wire = content = b""
    for piece in draw(st.lists(contents.filter(bool), max_size=3)):
        size = draw(st.sampled_from([b"%x", b"%X", b"%04x"])) % len(piece)
        wire += b"%b%b\r\n%b\r\n" % (size, draw(extensions), piece)
        content += piece
    trailers_wire, trailers = draw(field_lines(trailer_names))
    wire += draw(st.sampled_from([b"0", b"000"])) + draw(extensions) + b"\r\n" + trailers_wire + b"\r\n"
    return wire, content, trailers


@st.composite
def framed_contents(draw: st.DrawFn, *, may_chunk: bool) -> tuple[bytes, bytes, bytes, list[FieldLine], bool]:
    """A framing field, the body on the wire, its content and trailers, and whether it is chunked."""
    if may_chunk and draw(st.booleans()):
        wire, content, trailers = draw(chunked())
        return (
            b"Transfer-Encoding:" + draw(st.sampled_from([b"", b" "])) + b"chunked\r\n",
            wire,
            content,
            trailers,
            True,
        )
    content = draw(contents)
    return b"content-length: %d\r\n" % len(content), content, content, [], False


paths = bytes_of(VISIBLE_BYTES.replace(b"#", b"")).map(b"/".__add__)
hosts = st.sampled_from([b"a.example", b"A:80", b"[::1]:3000", b"127.0.0.1", b"web_1:"])


@st.composite
def request_targets(draw: st.DrawFn, method: bytes) -> tuple[bytes, bytes, bytes | None]:
    """A target on the wire, what it means in origin-form, and the authority in it if there is one."""
    path = draw(paths)
    if draw(st.integers(0, 3)):
        return path, path, None
    if method == b"OPTIONS":
        return b"*", b"*", None
    authority = draw(hosts)
    return draw(st.sampled_from([b"http://", b"HTTPS://"])) + authority + path, path, authority


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """A valid request."""
    method = draw(st.sampled_from(METHODS))
    minor_version = draw(st.sampled_from([1, 1, 1, 0]))
    target, path, authority = draw(request_targets(method))
    host = draw(hosts)
    before, lines_before = draw(field_lines())
    after, lines_after = draw(field_lines())
    framing, body, content, is_chunked = b"", b"", b"", False
    trailers: list[FieldLine] = []
    if draw(st.booleans()):
        framing, body, content, trailers, is_chunked = draw(framed_contents(may_chunk=bool(minor_version)))
    connection, persists = draw(
        st.sampled_from(
            [
                (b"", bool(minor_version)),
                (b"Connection: keep-alive\r\n", True),
                (b"connection:x-none , Keep-Alive\r\n", True),
                (b"Connection: close\r\n", False),
            ]
        )
    )
    host_line = b"hOST:" + draw(white_space) + host + b"\r\n"
    start = b"%b %b HTTP/1.%d\r\n" % (method, target, minor_version)
    return Sent(
        wire=start + before + host_line + framing + after + connection + b"\r\n" + body,
        start=(method, path, authority or host, b"%d" % minor_version),
        lines=[*lines_before, *lines_after],
        content=content,
        trailers=trailers,
        persists=persists,
        is_chunked=is_chunked,
    )


@st.composite
def responses(draw: st.DrawFn) -> Sent:
    """A valid final response to a GET, which may last until the end of the connection."""
    status = draw(st.sampled_from([b"200", b"201", b"404", b"500", b"299", b"304"]))
    reason = draw(st.sampled_from([b"", b" ", b" OK", b" Nicht da \xe4"]))
    before, lines_before = draw(field_lines())
    after, lines_after = draw(field_lines())
    framing, body, content, is_chunked, persists = b"", b"", b"", False, True
    trailers: list[FieldLine] = []
    if status != b"304" and draw(st.integers(0, 3)):
        framing, body, content, trailers, is_chunked = draw(framed_contents(may_chunk=True))
    elif status != b"304":
        body = content = draw(contents)
        persists = False
    connection, may_persist = draw(st.sampled_from([(b"", True), (b"Connection: close\r\n", False)]))
    return Sent(
        wire=b"HTTP/1.1 " + status + reason + b"\r\n" + before + framing + after + connection + b"\r\n" + body,
        start=(status,),
        lines=[*lines_before, *lines_after],  # a response's length is not among the fields that are passed on
        content=content,
        trailers=trailers,
        persists=persists and may_persist,
        is_chunked=is_chunked,
    )


@st.composite
def chunked_bodies(draw: st.DrawFn) -> Sent:
    """A chunked body alone."""
    wire, content, trailers = draw(chunked())
    return Sent(wire, (), [], content, trailers, persists=True, is_chunked=True)


# --- Damage -----------------------------------------------------------------------------------------------------------

SPLICES = (
    [bytes([byte]) for byte in b"\r\n\x00\t :,;=x0159afAF\x0b\x7f\x80\xff/#?*[]@%"]
    + [b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\n ", b" HTTP/1.1", b"HTTP/1.0", b"0\r\n\r\n", b"-1", b"0x", b"+5", b"5;\n"]
    + [b"Content-Length: 5\r\n", b"content-length:0\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"Host"]
    + [b"Transfer-Encoding:\x0bchunked\r\n", b"transfer-encoding: gzip, chunked\r\n", b"Connection: close\r\n", b"TE"]
    + [b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"GET / HTTP/1.1\r\n", b"chunked"]
    + [b"Connection: host, content-length, transfer-encoding\r\n", b"http://", b"CONNECT ", b"PRI * HTTP/2.0\r\n\r\n"]
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> bytes:
    """Bytes of a valid message, or of several, after a few random changes."""
    data = b"".join(sent.wire for sent in draw(st.lists(whole, min_size=1, max_size=2)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 1, 1, 2, 5, 20])))
        match draw(st.sampled_from(["insert", "replace", "delete", "repeat"])):
            case "insert":
                data = data[:start] + draw(st.sampled_from(SPLICES)) + data[start:]
            case "replace":
                data = data[:start] + draw(st.sampled_from(SPLICES)) + data[end:]
            case "delete":
                data = data[:start] + data[end:]
            case "repeat":
                data = data[:end] + data[start:end] + data[end:]
    return data


def cuts_of(max_position: int = 600) -> st.SearchStrategy[list[int]]:
    """Positions at which to cut bytes into pieces."""
    return st.lists(st.integers(1, max_position), max_size=12)
