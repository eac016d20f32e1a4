"""Understanding a request's header section (RFC 9113 §8.2–8.3, RFC 8441): pseudo-fields, names, what HTTP/2 forbids.

What is good HTTP/2 is then put as an HTTP/1.1 head to the parser of HTTP/1.1. It has the last word on methods, targets,
authorities and limits, so that nothing reaches a worker by HTTP/2 which HTTP/1.1 would have refused: where two parsers
disagree, requests are smuggled. A block that comes again is not parsed again.
"""

import re
from collections.abc import Sequence

from thrust.errors import BadMessage
from thrust.http.headers import FieldLine, Headers, may_be_trailer
from thrust.wire.http1.bodies import MAX_TRAILERS_BYTES
from thrust.wire.http1.heads import MAX_FIELDS, MAX_HEAD_BYTES, MAX_TARGET_BYTES, shown
from thrust.wire.http1.requests import RequestHead, RequestParser, target_too_long
from thrust.wire.http1.writing import field_lines

DEFAULT_URGENCY = 3
"""Of 0 to 7, lower is sooner (RFC 9218 §4.1)."""

MAX_KNOWN_NAMES = 1000
MAX_KNOWN_NAME_BYTES = 40

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]++")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++")
_PATH = re.compile(rb"[\x21-\x7e]++")
# RFC 9113 §8.2.1: no CR, LF or NUL, no white space around it; other controls are refused as for HTTP/1.1.
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff]++(?:[\t ]++[\x21-\x7e\x80-\xff]++)*+)?+")

_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_CONNECTION_FIELDS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_SINGLE = frozenset({b"host", b"content-length"})
_LATE_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_URGENCY = re.compile(rb"(?:^|,)[\t ]*u=([0-7])[\t ]*(?=$|[,;])")
_INCREMENTAL = re.compile(rb"(?:^|,)[\t ]*i(?:=\?([01]))?[\t ]*(?=$|[,;])")

_known_names: set[bytes] = set()


class Http2RequestHead(RequestHead):
    """A Request as its header section tells it; `protocol` is that of an extended CONNECT (RFC 8441 §4), else b""."""

    urgency = DEFAULT_URGENCY
    is_incremental = False
    protocol = b""


def understand(fields: Sequence[FieldLine], parser: RequestParser, *, has_ended: bool) -> Http2RequestHead:
    """The head in `fields`; `content_length` is None if content follows and nobody has said how much.

    Raises BadMessage: status 400 for what is malformed, others as HTTP/1.1 does.
    """
    pseudo, lines = _sort(fields)
    method, path, authority = _control_data(pseudo)
    lines, authority = _settle_host(lines, authority)
    names = {name for name, _ in lines}
    is_connect = b":protocol" in pseudo
    raw = b"%b %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (
        b"GET" if is_connect else method,
        path,
        authority,
        field_lines(lines),
    )
    if len(raw) > MAX_HEAD_BYTES:
        if len(path) > MAX_TARGET_BYTES:
            raise target_too_long(len(path))
        raise BadMessage(f"head of more than {MAX_HEAD_BYTES} bytes", status=431)
    parsed = parser.parse(raw)
    head = Http2RequestHead(parsed.method, 1)
    head.target, head.authority, head.headers = parsed.target, parsed.authority, parsed.headers
    has_length = b"content-length" in names
    if is_connect and has_length:
        raise BadMessage("content-length in a CONNECT")
    if has_ended and parsed.content_length:
        raise BadMessage(f"content-length of {parsed.content_length} bytes, but the request has no content")
    head.content_length = parsed.content_length if has_length or has_ended else None
    head.expects_continue = b"expect" in names and head.content_length != 0
    if b"priority" in names:
        head.urgency, head.is_incremental = read_priority(b",".join(parsed.headers.get_all(b"priority")))
    if is_connect:
        head.protocol = pseudo[b":protocol"]
        head.content_length = 0
    return head


def copy_of(head: Http2RequestHead) -> Http2RequestHead:
    """The same head for one more request; a worker's neighbours may change theirs."""
    copy = Http2RequestHead(head.method, 1)
    copy.target = head.target
    copy.authority = head.authority
    copy.headers = Headers(head.headers.lines.copy())
    copy.content_length = head.content_length
    if head.urgency != DEFAULT_URGENCY or head.is_incremental:
        copy.urgency, copy.is_incremental = head.urgency, head.is_incremental
    return copy


def understand_trailers(fields: Sequence[FieldLine]) -> list[FieldLine]:
    """The fields that may follow content; others are dropped. Raises BadMessage for what is malformed."""
    if len(fields) > MAX_FIELDS:
        raise BadMessage(f"{len(fields)} trailer fields, at most {MAX_FIELDS} are accepted")
    if sum(len(name) + len(value) + 4 for name, value in fields) > MAX_TRAILERS_BYTES:
        raise BadMessage(f"trailer section of more than {MAX_TRAILERS_BYTES} bytes")
    for name, value in fields:
        _check_field(name, value)
        if name in _LATE_FRAMING:
            raise BadMessage(f"{name.decode()} in a trailer section")
    return [line for line in fields if may_be_trailer(line[0])]


def read_priority(value: bytes) -> tuple[int, bool]:
    """Urgency and whether it is incremental, from a priority field (RFC 9218 §4); what is odd counts as default."""
    urgencies, incrementals = _URGENCY.findall(value), _INCREMENTAL.findall(value)
    return int(urgencies[-1]) if urgencies else DEFAULT_URGENCY, bool(incrementals) and incrementals[-1] != b"0"


def _sort(fields: Sequence[FieldLine]) -> tuple[dict[bytes, bytes], list[FieldLine]]:
    """Pseudo-fields, and the others; checks what §8.2 and §8.3 say about each."""
    pseudo: dict[bytes, bytes] = {}
    lines: list[FieldLine] = []
    cookies: list[bytes] = []
    for name, value in fields:
        if name[:1] == b":":
            if lines or cookies or name not in _PSEUDO or name in pseudo:
                raise BadMessage(f"pseudo-field {shown(name)} is unknown, repeated or late")
            if not _VALUE.fullmatch(value):
                raise BadMessage(f"invalid value of {name.decode()}: {shown(value)}")
            pseudo[name] = value
        elif name == b"cookie":
            _check_field(name, value)
            cookies.append(value)
        else:
            _check_field(name, value)
            lines.append((name, value))
    if cookies:
        # §8.2.3: HTTP/1.1 has one Cookie field, however many pieces a client sends to help compression.
        lines.append((b"cookie", b"; ".join(cookies)))
    return pseudo, lines


def _check_field(name: bytes, value: bytes) -> None:
    if name not in _known_names:
        if not _NAME.fullmatch(name):
            raise BadMessage(f"invalid field name {shown(name)}: lower case is accepted")
        if len(name) <= MAX_KNOWN_NAME_BYTES and len(_known_names) < MAX_KNOWN_NAMES:
            _known_names.add(name)
    if not _VALUE.fullmatch(value):
        raise BadMessage(f"invalid value of {name.decode()}: {shown(value)}")
    if name in _CONNECTION_FIELDS or (name == b"te" and value.lower() != b"trailers"):
        raise BadMessage(f"{name.decode()}: {shown(value)} does not belong into HTTP/2")  # §8.2.2


def _control_data(pseudo: dict[bytes, bytes]) -> tuple[bytes, bytes, bytes | None]:
    """Method, path and authority; checks which pseudo-fields there are (§8.3.1, §8.5, RFC 8441 §4)."""
    method, path, scheme = pseudo.get(b":method"), pseudo.get(b":path"), pseudo.get(b":scheme")
    authority = pseudo.get(b":authority")
    if method is None or not _METHOD.fullmatch(method):
        raise BadMessage("no valid :method")
    if b":protocol" in pseudo:
        if method != b"CONNECT" or authority is None:
            raise BadMessage(":protocol without CONNECT and :authority")
        if pseudo[b":protocol"] != b"websocket":
            raise BadMessage(f"protocol {shown(pseudo[b':protocol'])} is not implemented", status=501)
    elif method == b"CONNECT":
        if path is not None or scheme is not None or not authority:
            raise BadMessage("CONNECT has an :authority, and neither :scheme nor :path")
        raise BadMessage("CONNECT is not implemented: this is no proxy for other hosts", status=501)
    if scheme is None or scheme.lower() not in (b"http", b"https"):
        raise BadMessage("no :scheme http or https")
    if path is None or not _PATH.fullmatch(path):
        raise BadMessage("no valid :path")
    if path[0] != 0x2F and (path != b"*" or method != b"OPTIONS"):
        raise BadMessage(f"invalid :path {shown(path)}: one that begins with a slash is accepted")
    return method, path, authority


def _settle_host(lines: list[FieldLine], authority: bytes | None) -> tuple[list[FieldLine], bytes]:
    """`lines` without Host, and the authority that it and :authority agree on (§8.3.1)."""
    seen = [name for name, _ in lines if name in _SINGLE]
    if len(seen) != len(set(seen)):
        raise BadMessage("several Host or Content-Length fields, one is accepted")
    if b"host" not in seen:
        if not authority:
            raise BadMessage("neither :authority nor Host")
        return lines, authority
    host = next(value for name, value in lines if name == b"host")
    if authority is not None and host.lower() != authority.lower():
        raise BadMessage(f":authority {shown(authority)}, but Host {shown(host)}")
    return [line for line in lines if line[0] != b"host"], authority or host
