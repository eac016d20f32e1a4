"""Conditional requests (RFC 9110 §13), and entity-tags that differ per content coding (§8.8.3.3).

Called for cache hits and for files that are sent in the worker's place. A tag `"abc"` goes to clients as `"abc~br"`
when the content is coded by us; all functions here know that, and `for_worker` takes our part off again before a
request is forwarded. Weak tags stay as they are: they never promised the same bytes.

A condition that cannot be read is one that nobody fulfils (If-Match, If-None-Match, If-Range) or one that was not sent
(dates), as the RFC has it. Nothing raises. Not here: which answers conditions apply to at all (2xx, §13.2.1).
"""

import re
from collections.abc import Sequence

from thrust.http.fields import parse_date
from thrust.http.headers import FieldLine, Headers

CODINGS = (b"br", b"zstd", b"gzip")
"""Content codings that may stand behind the `~` of a tag."""

GO_ON = 200
NOT_MODIFIED = 304
PRECONDITION_FAILED = 412

IF_MATCH = b"if-match"
IF_NONE_MATCH = b"if-none-match"
IF_MODIFIED_SINCE = b"if-modified-since"
IF_UNMODIFIED_SINCE = b"if-unmodified-since"
IF_RANGE = b"if-range"

PRECONDITIONS = frozenset({IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE})

ORIGIN_PRECONDITIONS = frozenset({IF_MATCH, IF_UNMODIFIED_SINCE})
"""Those that a cache must not evaluate, but has to leave to the worker (RFC 9111 §4.3.2)."""

# §13.2.1: methods that select no representation.
_WITHOUT_SELECTION = frozenset({b"CONNECT", b"OPTIONS", b"TRACE"})

# A tag may contain commas. Clients of sloppy servers send tags without quotes back; they count as they stand.
_TAG = re.compile(rb'(?:W/)?"[^"]*+"|[^\s,]++')
_OUR_PART = re.compile(rb'~(br|zstd|gzip)(?="?\Z)')


def evaluate(method: bytes, headers: Headers, etag: bytes | None, last_modified: bytes | None) -> int:
    """GO_ON, NOT_MODIFIED or PRECONDITION_FAILED: what the preconditions of a request come to, by §13.2.2.

    `etag` and `last_modified` are the fields of the representation that would be sent. For whoever stands in for the
    origin server, as for a file; a cache asks `is_not_modified`.
    """
    lines = [line for line in headers.lines if line[0] in PRECONDITIONS]
    if not lines or method in _WITHOUT_SELECTION:
        return GO_ON
    if not _may_proceed(lines, etag, last_modified):  # steps 1 and 2
        return PRECONDITION_FAILED
    is_read = method in (b"GET", b"HEAD")
    # Nothing is sent to who writes: all codings are of the one version that it must not overwrite.
    if not _is_unchanged(lines, etag, last_modified if is_read else None, () if is_read else CODINGS):  # steps 3 and 4
        return GO_ON
    return NOT_MODIFIED if is_read else PRECONDITION_FAILED


def is_not_modified(
    headers: Headers, etag: bytes | None, last_modified: bytes | None, accepted: Sequence[bytes] = ()
) -> bool:
    """Whether a GET or HEAD is answered with 304, by If-None-Match or else by If-Modified-Since.

    All that a cache evaluates (RFC 9111 §4.3.2); it goes to the worker with ORIGIN_PRECONDITIONS. Where the stored
    response has no Last-Modified, the cache gives its Date as `last_modified`. Beside the tag `etag` of what would be
    sent those of the same version in one of the `accepted` codings count: whoever may choose the representation may
    choose the one that the client has (RFC 9110 §12.1), but none that it could not read.
    """
    lines = [line for line in headers.lines if line[0] in PRECONDITIONS]
    return bool(lines) and _is_unchanged(lines, etag, last_modified, accepted)


def may_use_range(headers: Headers, etag: bytes | None, last_modified: bytes | None, date: bytes | None) -> bool:
    """Whether If-Range lets the Range field count; True without If-Range (§13.1.5).

    The tag has to be strong and that of the very representation that would be sent, coding included: parts of two
    codings do not fit together. A date has to be the Last-Modified, and a strong validator: at least a second older
    than `date`, the Date of that response (§8.8.2.2).
    """
    values = headers.get_all(IF_RANGE)
    if not values:
        return True
    if len(values) > 1:
        return False
    if values[0].startswith((b'"', b"W/")):
        return values[0] == etag and not etag.startswith(b"W/")
    return values[0] == last_modified and _is_strong_date(last_modified, date)


def etag_for(etag: bytes, coding: bytes) -> bytes:
    """The tag of a representation in `coding`, made from that of the uncoded one: `"abc~br"` from `"abc"`.

    Weak tags and identity keep theirs.
    """
    if coding not in CODINGS or etag.startswith(b"W/"):
        return etag
    return etag[:-1] + b"~" + coding + b'"' if etag.endswith(b'"') else etag + b"~" + coding


def etag_without_coding(etag: bytes) -> bytes:
    """The tag that `etag_for` made `etag` from; a tag that is not ours stays."""
    return etag if etag.find(b"~") < 0 else _OUR_PART.sub(b"", etag)


def confirmed_tag(headers: Headers, etag: bytes, accepted: Sequence[bytes]) -> bytes:
    """The client's own tag for what a 304 calls `etag`: one of its If-None-Match, `etag` itself if none fits.

    Of several it is that of the first of the `accepted` codings, because a cache takes it for the one to send.
    """
    known = [tag for tag in _tags(headers.get_all(IF_NONE_MATCH)) if _confirms(tag, etag, accepted)]
    plain = etag_without_coding(etag)
    for coding in accepted:
        if (tag := etag_for(plain, coding)) in known:
            return tag
    return known[0] if known else etag


def strip_codings(value: bytes, codings: Sequence[bytes] = CODINGS) -> bytes:
    """A list of tags with our part taken off if it names one of `codings`; everything else stays byte for byte."""
    if value.find(b"~") < 0:
        return value
    return _TAG.sub(
        lambda match: etag_without_coding(match[0]) if _our_coding(match[0]) in codings else match[0], value
    )


def for_worker(lines: list[FieldLine], accepted: Sequence[bytes] = CODINGS) -> list[FieldLine]:
    """The field lines of a request with the tags that the worker knows; `lines` itself if nothing changes.

    In If-None-Match only those of `accepted` codings: what the client can no longer read must not be confirmed. In
    If-Match only without Range, and in If-Range never: the worker would answer with a part of the uncoded content, and
    the client would join it to what it holds of the coded one. As they are, such tags match nothing, and the client
    starts anew.
    """
    names = {name for name, value in lines if value.find(b"~") >= 0} & {IF_MATCH, IF_NONE_MATCH}
    if IF_MATCH in names and any(name == b"range" for name, _ in lines):
        names.discard(IF_MATCH)
    if not names:
        return lines
    codings = {IF_MATCH: CODINGS, IF_NONE_MATCH: accepted}
    return [(name, strip_codings(value, codings[name])) if name in names else (name, value) for name, value in lines]


def _may_proceed(lines: list[FieldLine], etag: bytes | None, last_modified: bytes | None) -> bool:
    """Steps 1 and 2: If-Match, strongly and by the tag as it would be sent, or else If-Unmodified-Since."""
    wanted = [value for name, value in lines if name == IF_MATCH]
    if wanted:
        return wanted == [b"*"] or (etag is not None and not etag.startswith(b"W/") and etag in _tags(wanted))
    at_s, modified_s = _dates(lines, IF_UNMODIFIED_SINCE, last_modified)
    return at_s is None or modified_s is None or modified_s <= at_s


def _is_unchanged(
    lines: list[FieldLine], etag: bytes | None, last_modified: bytes | None, accepted: Sequence[bytes]
) -> bool:
    """Steps 3 and 4: If-None-Match, weakly and in whichever of the `accepted` codings, or else If-Modified-Since."""
    known = [value for name, value in lines if name == IF_NONE_MATCH]
    if not known:
        at_s, modified_s = _dates(lines, IF_MODIFIED_SINCE, last_modified)
        return at_s is not None and modified_s is not None and modified_s <= at_s
    if etag is None or known == [b"*"]:
        return known == [b"*"]
    return known[0] == etag or any(_confirms(tag, etag, accepted) for tag in _tags(known))


def _tags(values: list[bytes]) -> list[bytes]:
    return _TAG.findall(b",".join(values))


def _confirms(tag: bytes, etag: bytes, accepted: Sequence[bytes]) -> bool:
    """Whether a client that has `tag` has the version called `etag`, in that coding or one of `accepted`.

    A tag without our part always does. It is the worker's own, in whatever coding the worker has sent it; and plain
    content, which it may stand for as well, is acceptable to all but those few who say `identity;q=0`.
    """
    tag, etag = tag.removeprefix(b"W/"), etag.removeprefix(b"W/")  # the weak comparison (§8.8.3.2)
    if tag == etag:
        return True
    if etag_without_coding(tag) != etag_without_coding(etag):
        return False
    coding = _our_coding(tag)
    return coding is None or coding in accepted


def _our_coding(tag: bytes) -> bytes | None:
    match = _OUR_PART.search(tag)
    return match[1] if match else None


def _dates(lines: list[FieldLine], name: bytes, last_modified: bytes | None) -> tuple[int | None, int | None]:
    """Unix seconds of the field called `name`, None unless there is one valid line, and of `last_modified`."""
    values = [value for line_name, value in lines if line_name == name]
    if len(values) != 1 or last_modified is None:
        return None, None
    return parse_date(values[0]), parse_date(last_modified)


def _is_strong_date(last_modified: bytes, date: bytes | None) -> bool:
    modified_s = parse_date(last_modified)
    at_s = None if date is None else parse_date(date)
    return modified_s is not None and at_s is not None and at_s - modified_s >= 1
