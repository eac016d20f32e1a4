"""Understanding a request head (RFC 9112 §3): method, target, authority, framing, persistence, upgrade.

`RequestParser.parse` gets one complete head from `heads.HeadBuffer` and returns a RequestHead whose fields are
end-to-end only. Whatever is doubtful becomes a BadMessage; nothing is repaired. Policy (what a Host may be called, who
is trusted) lives in the handlers.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import cast

import httptools

from thrust.errors import BadMessage
from thrust.http.exchange import Texts, texts_of
from thrust.http.headers import HOP_BY_HOP, FieldLine, Headers, tokens
from thrust.http.message import Request
from thrust.wire.http1.heads import (
    FIELD_LINES,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    MAX_TARGET_BYTES,
    TOKEN,
    explain_fields,
    parse_content_length,
    parse_field_section,
    shown,
    without_trailing_space,
)

MAX_AUTHORITY_BYTES = 259
"""A host name has at most 253 bytes as text (RFC 1035 §2.3.4), and a port six more with its colon."""

MAX_LIST_MEMBERS = 100
"""Members of each list that is read here, empty ones included: 60 KB of them in a Connection field take milliseconds,
and RFC 9110 §5.6.1.2 asks to bear a reasonable number only."""

# RFC 9112 §2.2 lets one empty line precede a request line, for old clients that send CRLF after a body.
_REQUEST_HEAD = re.compile(
    rb"(?:\r\n)?+(" + TOKEN + rb"++) ([\x21-\x7e]++) HTTP/1\.([01])\r\n" + FIELD_LINES + rb"\r\n"
)
_REQUEST_LINE = re.compile(TOKEN + rb"++ ([^ ]++) HTTP/([0-9]\.[0-9])")
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)

# RFC 3986 §3.2.2–3: a name, an IPv4 or a bracketed IPv6 address, and a port. The comma is left out of the name,
# because it joins two Host lines into one for a careless reader; so is user information.
_AUTHORITY = re.compile(
    rb"(?:(?:[A-Za-z0-9._~!$&'()*+;=-]++|%[0-9A-Fa-f]{2})++|\[([0-9A-Fa-f:.]++)\])(?::([0-9]{0,5}+))?+"
)

_FRAMING_FIELDS = frozenset(
    {b"connection", b"content-length", b"expect", b"host", b"te", b"transfer-encoding", b"upgrade"} | HOP_BY_HOP
)
_SAID_APART = HOP_BY_HOP | {b"content-length", b"expect", b"host"}
_FRAGMENT = ord("#")

MAX_REMEMBERED_LINES = 2048
MAX_REMEMBERED_BYTES = 256
"""Per line, of fields and of targets each. All are forgotten when there are too many: at most 2.5 MB."""

_CREDENTIAL = re.compile(rb"(authorization|cookie):[\t ]*+([\t\x20-\x7e\x80-\xff]*+)", re.IGNORECASE)
_NOT_REMEMBERED = frozenset({b"authorization", b"content-length", b"cookie", b"transfer-encoding"})
_RARE_FIELDS = _FRAMING_FIELDS - {b"host", b"connection"}


class RequestHead(Request):
    """A Request as its head tells it, and what the head says about the connection.

    Whoever received it adds `exchange`, and `body` and `send_interim` where there are any. `headers` hold end-to-end
    fields only.
    """

    minor_version: int
    keep_alive: bool

    def __init__(self, method: bytes, minor_version: int) -> None:
        # Not by way of Request's, which asks for what nobody knows yet (benchmark forward-1k).
        self.method = method
        self.minor_version = minor_version
        self.keep_alive = minor_version == 1


class RequestParser:
    """Parses request heads; stateless but for its memory, so one serves all connections of an event loop.

    Every browser sends the same User-Agent, Accept and the like with each request, and many ask for the same targets.
    Such a line is remembered once both our grammar and httptools have read it, as part of a head that was sound; a head
    of nothing but remembered lines is put together from them, at a third of the price (benchmark cached-10k). What
    frames a message or is a secret is never remembered, nor does a credential keep the rest of its head from that.
    """

    __slots__ = ("_known_lines", "_known_starts", "_lines")

    def __init__(self) -> None:
        self._lines: list[FieldLine] = []
        self._known_starts: dict[bytes, tuple[tuple[bytes, bytes, int], Texts]] = {}
        self._known_lines: dict[bytes, FieldLine] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each field line."""
        self._lines.append((name.lower(), value))

    def parse(self, head: bytes) -> RequestHead:
        """The RequestHead in `head`, which ends with its empty line.

        Raises BadMessage: 400, 414 (target), 431 (number of fields), 501 (method, transfer coding), 505 (version).
        """
        raw_start, *raw_lines = head[:-4].split(b"\r\n")
        known = self._known_starts.get(raw_start)
        if known is not None:
            lines = list(map(self._known_lines.get, raw_lines))
            if None not in lines or _read_credentials(lines, raw_lines):
                start, texts = known
                request = _understand(*start, cast(list[FieldLine], lines))
                request.texts = texts
                return request
        parsed = self._parse(head)
        self._remember(raw_start, raw_lines, parsed)
        return parsed

    def _remember(self, raw_start: bytes, raw_lines: list[bytes], parsed: RequestHead) -> None:
        """Keeps the lines of a sound head, as far as they are likely to come again."""
        start = parsed.method, parsed.target, parsed.minor_version
        if len(raw_start) <= MAX_REMEMBERED_BYTES and raw_start == b"%b %b HTTP/1.%d" % start:
            if len(self._known_starts) >= MAX_REMEMBERED_LINES:
                self._known_starts.clear()
            self._known_starts[raw_start] = start, texts_of(parsed.method, parsed.target)
        if len(raw_lines) != len(self._lines):
            return
        for raw, line in zip(raw_lines, self._lines, strict=True):
            if len(raw) <= MAX_REMEMBERED_BYTES and line[0] not in _NOT_REMEMBERED and raw not in self._known_lines:
                if len(self._known_lines) >= MAX_REMEMBERED_LINES:
                    self._known_lines.clear()
                self._known_lines[raw] = line

    def _parse(self, head: bytes) -> RequestHead:
        match = _REQUEST_HEAD.fullmatch(head)
        if match is None:
            raise _explain(head)
        self._lines = []
        try:
            httptools.HttpRequestParser(self).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # llhttp saw Connection: upgrade and stopped after the head, which is all that it was given
        except httptools.HttpParserInvalidMethodError as error:
            raise BadMessage(f"method {shown(match[1])} is not implemented", status=501) from error
        except httptools.HttpParserError as error:
            raise _explain_refusal(head, match, str(error)) from error
        # `find`, because `in` costs ten times as much: it first tries to read its operand as one byte's number.
        if head.find(b" \r\n") != -1 or head.find(b"\t\r\n") != -1:
            self._lines = without_trailing_space(self._lines)
        return _understand(match[1], match[2], int(match[3]), self._lines)


def _read_credentials(lines: list[FieldLine | None], raw_lines: list[bytes]) -> bool:
    """Fills in those of `lines` that are secrets; False if another one is not known either."""
    for index, line in enumerate(lines):
        if line is None:
            match = _CREDENTIAL.fullmatch(raw_lines[index])
            if match is None:
                return False
            lines[index] = match[1].lower(), match[2].rstrip(b"\t ")
    return True


def _understand(method: bytes, target: bytes, minor_version: int, lines: list[FieldLine]) -> RequestHead:
    if len(target) > MAX_TARGET_BYTES:
        raise target_too_long(len(target))
    if len(lines) > MAX_FIELDS:
        raise BadMessage(f"{len(lines)} field lines, at most {MAX_FIELDS} are accepted", status=431)

    head = RequestHead(method, minor_version)
    fields = dict(lines)
    is_plain = len(fields) == len(lines) and minor_version == 1 and _RARE_FIELDS.isdisjoint(fields)
    if is_plain and fields.pop(b"connection", b"keep-alive") == b"keep-alive":
        # The common request of a keep-alive client (benchmark forward-1k): nothing but Host to look at.
        host = fields.pop(b"host", None)
        head.headers = Headers(list(fields.items()))
    else:
        special = [line for line in lines if line[0] in _FRAMING_FIELDS]
        host = _apply_framing(head, special)
        dropped = _SAID_APART | _nominated(special)
        head.headers = Headers([line for line in lines if line[0] not in dropped])
        if b"trailers" in _members([value for name, value in special if name == b"te"]):
            head.headers.add(b"te", b"trailers")
    head.target, head.authority = _resolve_target(method, target, host, minor_version)
    return head


def _apply_framing(head: RequestHead, special: list[FieldLine]) -> bytes | None:
    """Fills in how the message is framed and what it asks of the connection; returns its Host."""
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in special:
        by_name.setdefault(name, []).append(value)
    if len(by_name.get(b"host", ())) > 1:
        raise BadMessage("several Host fields, exactly one is accepted")

    # RFC 9112 §6.3; every combination that the RFC allows a server to repair is refused instead.
    lengths, codings = by_name.get(b"content-length", []), by_name.get(b"transfer-encoding", [])
    if codings and lengths:
        raise BadMessage("both Transfer-Encoding and Content-Length")
    if codings:
        _check_codings(codings, head.minor_version)
        head.content_length = None
    elif lengths:
        if len(lengths) > 1:
            raise BadMessage(f"{len(lengths)} Content-Length fields, one is accepted")
        head.content_length = parse_content_length(lengths[0], BadMessage)

    options = _members(by_name.get(b"connection", ()))
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    # RFC 6455 §4.2.1; any other offer is ignored, which RFC 9110 §7.8 allows, `h2c` above all.
    head.wants_upgrade = (
        head.minor_version == 1
        and head.method == b"GET"
        and head.content_length == 0
        and b"upgrade" in options
        and b"websocket" in _members(by_name.get(b"upgrade", ()))
    )
    if expectations := by_name.get(b"expect"):
        head.expects_continue = _expects_continue(expectations, head)
    return by_name[b"host"][0] if b"host" in by_name else None


def _check_codings(codings: list[bytes], minor_version: int) -> None:
    if minor_version == 0:
        raise BadMessage("Transfer-Encoding in an HTTP/1.0 request")
    if len(codings) == 1 and codings[0].lower() == b"chunked":
        return
    seen = shown(b", ".join(codings))
    members = _members(codings)
    if len(members) > 1 and members[-1] == b"chunked" and members.count(b"chunked") == 1:
        raise BadMessage(f"transfer-encoding {seen} is not implemented", status=501)
    # RFC 9112 §6.3 rule 4: unless chunked comes last, nobody can tell where the message ends.
    raise BadMessage(f"invalid transfer-encoding {seen}: only chunked, once, is accepted")


def _expects_continue(expectations: list[bytes], head: RequestHead) -> bool:
    if _members(expectations) != [b"100-continue"]:
        raise BadMessage("unknown expectation " + shown(b", ".join(expectations)), status=417)
    # RFC 9110 §10.1.1: ignored from HTTP/1.0, and without content there is nothing to wait for.
    return head.minor_version == 1 and head.content_length != 0


def _members(values: Sequence[bytes]) -> list[bytes]:
    """The `tokens` of one field; 431 for more than MAX_LIST_MEMBERS."""
    count = sum(value.count(b",") for value in values) + len(values)
    if count > MAX_LIST_MEMBERS:
        raise BadMessage(f"a list of {count} members, at most {MAX_LIST_MEMBERS} are accepted", status=431)
    return tokens(values)


def _nominated(special: list[FieldLine]) -> set[bytes]:
    """Names that the sender's Connection field declares to be for this hop only (RFC 9110 §7.6.1).

    What frames and routes the message cannot be nominated away: it has been read by now.
    """
    return set(_members([value for name, value in special if name == b"connection"]))


def _resolve_target(method: bytes, target: bytes, host: bytes | None, minor_version: int) -> tuple[bytes, bytes]:
    """The target in origin-form (or `*`) and the authority that it is for (RFC 9112 §3.2–3.3)."""
    if method == b"CONNECT":
        raise BadMessage("CONNECT is not implemented: this is no proxy for other hosts", status=501)
    if host is None and minor_version == 1:
        raise BadMessage("the Host field is missing")
    if host is not None and not _is_authority(host):
        raise BadMessage(f"invalid host {shown(host)}")
    if _FRAGMENT in target:
        raise BadMessage(f"invalid target {shown(target)}: a fragment is never sent")
    if target[0] == 0x2F:
        return target, host or b""
    if target == b"*" and method == b"OPTIONS":
        return target, host or b""
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None or not _is_authority(absolute[1]):
        raise BadMessage(f"invalid target {shown(target)}: a path or an http URI is accepted")
    # RFC 9112 §3.2.2: the authority of an absolute-form target replaces whatever Host says.
    authority, path = absolute[1], absolute[2]
    if not path and method == b"OPTIONS":
        return b"*", authority  # §3.2.4
    return (path if path[:1] == b"/" else b"/" + path), authority


def _is_authority(value: bytes) -> bool:
    return len(value) <= MAX_AUTHORITY_BYTES and _is_well_formed(value)


@lru_cache(maxsize=1024)
def _is_well_formed(value: bytes) -> bool:
    match = _AUTHORITY.fullmatch(value)
    if match is None or int(match[2] or 0) > 65535:
        return False
    return match[1] is None or _is_ipv6(match[1])


def _is_ipv6(address: bytes) -> bool:
    # Workers take the Host apart with urllib, which raises for a bracketed host that is none.
    try:
        IPv6Address(address.decode())
    except AddressValueError:
        return False
    return True


def target_too_long(size_bytes: int) -> BadMessage:
    """The 414 for a target of (at least) `size_bytes`."""
    return BadMessage(f"target of {size_bytes} bytes, at most {MAX_TARGET_BYTES} are accepted", status=414)


def head_too_large(held: bytearray) -> BadMessage:
    """The error for a head that went beyond MAX_HEAD_BYTES: 414 if its request line alone did most of it, else 431."""
    line_end = held.find(b"\r\n", 2)
    if line_end == -1 or line_end > MAX_TARGET_BYTES + 64:
        return target_too_long(min(line_end if line_end != -1 else len(held), len(held)))
    return BadMessage(f"head of more than {MAX_HEAD_BYTES} bytes", status=431)


def _explain(head: bytes) -> BadMessage:
    """The error for a head that our grammar does not admit."""
    head = head.removeprefix(b"\r\n")
    line = head.partition(b"\r\n")[0]
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        return BadMessage(f"invalid request line {shown(line)}")
    if match[2] not in (b"1.0", b"1.1"):
        return BadMessage(f"HTTP/{match[2].decode()} is not spoken here: HTTP/1.1 and HTTP/1.0 are", status=505)
    if not re.fullmatch(rb"[\x21-\x7e]++", match[1]):
        return BadMessage(f"invalid target {shown(match[1])}: other bytes have to be percent-encoded")
    error = explain_fields(head, BadMessage)
    assert isinstance(error, BadMessage)
    return error


def _explain_refusal(head: bytes, match: re.Match[bytes], complaint: str) -> BadMessage:
    """The error for a head that only httptools refused: ours where we have one, which says more and has a status."""
    lines = parse_field_section(head[match.end(3) + 2 : -2], BadMessage)
    try:
        _understand(match[1], match[2], int(match[3]), lines)
    except BadMessage as error:
        return error
    return BadMessage(f"invalid head: {complaint}")
