"""Conditional requests: RFC 9110 §13 as tables, with entity-tags that carry our codings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.http.conditions import (
    CODINGS,
    confirmed_tag,
    etag_for,
    etag_without_coding,
    evaluate,
    for_worker,
    is_not_modified,
    may_use_range,
    strip_codings,
)
from thrust.http.headers import FieldLine, Headers

ETAG = b'"abc"'
BEFORE = b"Sat, 31 Oct 2026 10:00:00 GMT"
MODIFIED = b"Sat, 31 Oct 2026 10:00:01 GMT"
AFTER = b"Sat, 31 Oct 2026 10:00:02 GMT"


def headers_of(text: str) -> Headers:
    """Fields from `name: value | name: value`."""
    lines: list[FieldLine] = []
    for line in filter(None, text.split(" | ")):
        name, _, value = line.partition(":")
        lines.append((name.lower().encode(), value.strip().encode("latin-1")))
    return Headers(lines)


# --- If-None-Match and If-Modified-Since ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        ('"abc"', True),
        ('W/"abc"', True),
        ("*", True),
        ('"x", "abc"', True),
        ('"x",W/"abc","y"', True),
        (' , "x" ,, "abc" ,', True),
        ('"x" "abc"', True),
        ('"abd"', False),
        ('"ABC"', False),
        ('"ab"', False),
        ('"abc', False),
        ("abc", False),
        ('w/"abc"', False),
        ('""', False),
        ("", False),
        (",,", False),
        ('"a,"abc"', False),
        ('"x, "abc", y"', False),
        ('"*"', False),
        ('"abc~deflate"', False),
        ('"abc~"', False),
        ('"~br"', False),
    ],
)
def test_if_none_match_compares_weakly_and_the_workers_tag_with_every_coding(value: str, matches: bool) -> None:
    headers = headers_of(f"If-None-Match: {value}")
    for etag in (ETAG, b'W/"abc"', b'"abc~br"', b'"abc~gzip"'):
        assert is_not_modified(headers, etag, None) is matches
        assert evaluate(b"GET", headers, etag, None) == (304 if matches else 200)
        assert evaluate(b"HEAD", headers, etag, None) == (304 if matches else 200)
        assert evaluate(b"PUT", headers, etag, None) == (412 if matches else 200)


@pytest.mark.parametrize("value", ['"abc~br"', 'W/"abc~br"', '"x", "abc~br"'])
@pytest.mark.parametrize(
    ("etag", "accepted", "matches"),
    [
        (b'"abc~br"', (), True),
        (b'"abc"', (b"br", b"identity"), True),
        (b'"abc~gzip"', (b"gzip", b"br", b"identity"), True),
        (b'W/"abc"', (b"br",), True),
        # What the client has, and can no longer read, is not confirmed (RFC 9110 §13.1.2).
        (b'"abc~gzip"', (b"gzip", b"identity"), False),
        (b'"abc"', (b"identity",), False),
        (b'"abc"', (), False),
        (b'"abd~br"', (b"br",), False),
    ],
)
def test_a_coded_copy_is_confirmed_to_whoever_accepts_the_coding(
    value: str, etag: bytes, accepted: tuple[bytes, ...], matches: bool
) -> None:
    assert is_not_modified(headers_of(f"If-None-Match: {value}"), etag, None, accepted) is matches


@pytest.mark.parametrize("value", ['"abc~br"', '"abc~zstd", "x"', 'W/"abc~gzip"'])
def test_who_writes_overwrites_no_version_that_it_must_not(value: str) -> None:
    assert evaluate(b"PUT", headers_of(f"If-None-Match: {value}"), ETAG, None) == 412
    assert evaluate(b"GET", headers_of(f"If-None-Match: {value}"), ETAG, None) == 200


@pytest.mark.parametrize(
    ("etag", "value"),
    [
        (b'"a,b"', '"x","a,b"'),
        (b'"a, b"', 'W/"a, b"'),
        (b'"a~b"', '"a~b"'),
        (b'"\xfc"', '"\xfc"'),
        (b'""', '""'),
        (b"unquoted", "unquoted"),
        (b"unquoted", '"x", unquoted'),
    ],
)
def test_tags_hold_commas_and_more_and_may_lack_their_quotes(etag: bytes, value: str) -> None:
    assert is_not_modified(headers_of(f"If-None-Match: {value}"), etag, None)


def test_if_none_match_may_have_several_lines() -> None:
    headers = headers_of('If-None-Match: "x" | Accept: */* | If-None-Match: "y", "abc"')
    assert is_not_modified(headers, ETAG, None)
    assert not is_not_modified(headers, b'"z"', None)


def test_without_a_tag_only_the_star_matches() -> None:
    assert not is_not_modified(headers_of('If-None-Match: ""'), None, None)
    assert is_not_modified(headers_of("If-None-Match: *"), None, None)


@pytest.mark.parametrize(
    ("value", "last_modified", "status"),
    [
        (MODIFIED, MODIFIED, 304),
        (AFTER, MODIFIED, 304),
        (BEFORE, MODIFIED, 200),
        (b"Saturday, 31-Oct-26 10:00:01 GMT", MODIFIED, 304),
        (b"Sat Oct 31 10:00:01 2026", MODIFIED, 304),
        (AFTER, None, 200),
        (AFTER, b"yesterday", 200),
        (b"yesterday", MODIFIED, 200),
        (b"0", MODIFIED, 200),
        (b"", MODIFIED, 200),
    ],
)
def test_if_modified_since_compares_dates(value: bytes, last_modified: bytes | None, status: int) -> None:
    headers = Headers([(b"if-modified-since", value)])
    assert evaluate(b"GET", headers, ETAG, last_modified) == status
    assert evaluate(b"HEAD", headers, None, last_modified) == status
    assert is_not_modified(headers, None, last_modified) is (status == 304)


def test_if_modified_since_is_for_reading_only() -> None:
    assert evaluate(b"POST", Headers([(b"if-modified-since", AFTER)]), ETAG, MODIFIED) == 200


def test_a_date_on_two_lines_is_no_date() -> None:
    for name in (b"if-modified-since", b"if-unmodified-since"):
        assert evaluate(b"GET", Headers([(name, AFTER), (name, BEFORE)]), ETAG, MODIFIED) == 200
        assert evaluate(b"GET", Headers([(name, BEFORE), (name, AFTER)]), ETAG, MODIFIED) == 200


# --- If-Match and If-Unmodified-Since ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "etag", "status"),
    [
        ('"abc"', b'"abc"', 200),
        ('"x", "abc"', b'"abc"', 200),
        ('"x, y", "a,b"', b'"a,b"', 200),
        ("*", b'"abc"', 200),
        ("*", None, 200),
        ('"abc"', None, 412),
        ('"x"', b'"abc"', 412),
        ("", b'"abc"', 412),
        (",", b'"abc"', 412),
        # Strong comparison, by the very representation.
        ('W/"abc"', b'"abc"', 412),
        ('W/"abc"', b'W/"abc"', 412),
        ('"abc"', b'W/"abc"', 412),
        ('"abc~br"', b'"abc~br"', 200),
        ('"abc~br"', b'"abc"', 412),
        ('"abc"', b'"abc~br"', 412),
    ],
)
def test_if_match_compares_strongly(value: str, etag: bytes | None, status: int) -> None:
    for method in (b"GET", b"HEAD", b"PUT", b"DELETE"):
        assert evaluate(method, headers_of(f"If-Match: {value}"), etag, MODIFIED) == status


@pytest.mark.parametrize(
    ("value", "last_modified", "status"),
    [
        (MODIFIED, MODIFIED, 200),
        (AFTER, MODIFIED, 200),
        (BEFORE, MODIFIED, 412),
        (b"Sat Oct 31 10:00:00 2026", MODIFIED, 412),
        (BEFORE, None, 200),
        (BEFORE, b"yesterday", 200),
        (b"yesterday", MODIFIED, 200),
    ],
)
def test_if_unmodified_since_compares_dates(value: bytes, last_modified: bytes | None, status: int) -> None:
    for method in (b"GET", b"PUT"):
        assert evaluate(method, Headers([(b"if-unmodified-since", value)]), ETAG, last_modified) == status


# --- Precedence (§13.2.2) and what does not apply ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ("", 200),
        ("Accept: */* | Range: bytes=0-1 | If-Range: x", 200),
        # Step 1 before step 2: with If-Match the date does not count, whatever If-Match says.
        (f'If-Match: "abc" | If-Unmodified-Since: {BEFORE.decode()}', 200),
        (f'If-Match: "x" | If-Unmodified-Since: {AFTER.decode()}', 412),
        # Steps 1 and 2 before step 3.
        ('If-Match: "x" | If-None-Match: "abc"', 412),
        ('If-None-Match: "abc" | If-Match: "x"', 412),
        ('If-Match: "abc" | If-None-Match: "abc"', 304),
        ('If-Match: "abc" | If-None-Match: "x"', 200),
        (f'If-Unmodified-Since: {BEFORE.decode()} | If-None-Match: "abc"', 412),
        (f'If-Unmodified-Since: {AFTER.decode()} | If-None-Match: "abc"', 304),
        # Step 3 before step 4: with If-None-Match the date does not count.
        (f'If-None-Match: "x" | If-Modified-Since: {AFTER.decode()}', 200),
        (f'If-None-Match: "abc" | If-Modified-Since: {BEFORE.decode()}', 304),
        (f"If-None-Match: | If-Modified-Since: {AFTER.decode()}", 200),
        # Steps 1 and 2 before step 4.
        (f'If-Match: "x" | If-Modified-Since: {AFTER.decode()}', 412),
        (f'If-Match: "abc" | If-Modified-Since: {AFTER.decode()}', 304),
        (f"If-Unmodified-Since: {BEFORE.decode()} | If-Modified-Since: {AFTER.decode()}", 412),
        (f"If-Unmodified-Since: {MODIFIED.decode()} | If-Modified-Since: {MODIFIED.decode()}", 304),
    ],
)
def test_conditions_are_judged_in_the_order_of_the_rfc(fields: str, status: int) -> None:
    assert evaluate(b"GET", headers_of(fields), ETAG, MODIFIED) == status


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE", b"CONNECT"])
def test_a_method_without_a_representation_has_no_conditions(method: bytes) -> None:
    headers = headers_of('If-Match: "x" | If-None-Match: "abc"')
    assert evaluate(method, headers, ETAG, MODIFIED) == 200


def test_a_cache_leaves_the_conditions_of_origins_alone() -> None:
    headers = headers_of(f'If-Match: "x" | If-Unmodified-Since: {BEFORE.decode()}')
    assert not is_not_modified(headers, ETAG, MODIFIED)
    headers.add(b"if-none-match", ETAG)
    assert is_not_modified(headers, ETAG, MODIFIED)


@given(st.binary(max_size=60), st.binary(max_size=30), st.sampled_from([b"if-match", b"if-none-match", b"if-range"]))
def test_nothing_that_a_client_sends_raises(value: bytes, etag: bytes, name: bytes) -> None:
    headers = Headers([(name, value)])
    assert evaluate(b"GET", headers, etag, value) in (200, 304, 412)
    may_use_range(headers, etag, value, value)
    assert len(strip_codings(value)) <= len(value)


# --- If-Range ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "etag", "last_modified", "date", "may"),
    [
        (b'"abc"', b'"abc"', None, None, True),
        (b'"abc~br"', b'"abc~br"', None, None, True),
        (b'"abd"', b'"abc"', MODIFIED, AFTER, False),
        (b'"abc"', None, MODIFIED, AFTER, False),
        # Only the representation that would be sent.
        (b'"abc~br"', b'"abc"', None, None, False),
        (b'"abc"', b'"abc~br"', None, None, False),
        (b'"abc~gzip"', b'"abc~br"', None, None, False),
        # Strong ones only, one only.
        (b'W/"abc"', b'W/"abc"', None, None, False),
        (b'W/"abc"', b'"abc"', None, None, False),
        (b'"abc"', b'W/"abc"', None, None, False),
        (b'"abc", "x"', b'"abc"', None, None, False),
        (b"*", b'"abc"', MODIFIED, AFTER, False),
        (b"", b'"abc"', MODIFIED, AFTER, False),
        (b"abc", b"abc", None, None, False),
        # A date: exactly that one, and a second older than the response.
        (MODIFIED, b'"abc"', MODIFIED, AFTER, True),
        (MODIFIED, None, MODIFIED, AFTER, True),
        (MODIFIED, None, MODIFIED, MODIFIED, False),
        (MODIFIED, None, MODIFIED, BEFORE, False),
        (MODIFIED, None, MODIFIED, None, False),
        (MODIFIED, None, MODIFIED, b"today", False),
        (MODIFIED, b'"abc"', None, AFTER, False),
        (AFTER, None, MODIFIED, AFTER, False),
        (BEFORE, None, MODIFIED, AFTER, False),
        (b"yesterday", None, b"yesterday", AFTER, False),
    ],
)
def test_if_range_needs_a_strong_validator_of_the_same_bytes(
    value: bytes, etag: bytes | None, last_modified: bytes | None, date: bytes | None, may: bool
) -> None:
    headers = Headers([(b"range", b"bytes=0-1"), (b"if-range", value)])
    assert may_use_range(headers, etag, last_modified, date) is may


def test_without_if_range_ranges_may_be_used() -> None:
    assert may_use_range(headers_of("Range: bytes=0-1"), None, None, None)


def test_two_lines_of_if_range_fulfil_nothing() -> None:
    assert not may_use_range(headers_of('If-Range: "abc" | If-Range: "abc"'), ETAG, MODIFIED, AFTER)


# --- Tags per coding --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("etag", "coding", "coded"),
    [
        (b'"abc"', b"br", b'"abc~br"'),
        (b'"abc"', b"zstd", b'"abc~zstd"'),
        (b'"abc"', b"gzip", b'"abc~gzip"'),
        (b'""', b"br", b'"~br"'),
        (b'"a,b"', b"br", b'"a,b~br"'),
        (b"abc", b"br", b"abc~br"),
        (b'"abc"', b"identity", b'"abc"'),
        (b'W/"abc"', b"br", b'W/"abc"'),
    ],
)
def test_a_strong_tag_is_distinct_per_coding_and_a_weak_one_is_not(etag: bytes, coding: bytes, coded: bytes) -> None:
    assert etag_for(etag, coding) == coded
    assert etag_without_coding(coded) == etag


@given(st.text('ab~brgzipstd,"W/', max_size=12).map(str.encode), st.sampled_from(CODINGS))
def test_what_is_put_on_a_tag_comes_off_again(opaque: bytes, coding: bytes) -> None:
    etag = b'"' + opaque.replace(b'"', b"") + b'"'
    assert etag_without_coding(etag_for(etag, coding)) == etag
    assert etag_for(etag, coding) != etag


@pytest.mark.parametrize("etag", [b'"abc"', b'"a~b"', b'"abc~brr"', b'"abc~br "', b'"~br~x"', b'"abc-br"', b""])
def test_a_tag_without_our_part_stays(etag: bytes) -> None:
    assert etag_without_coding(etag) == etag


@pytest.mark.parametrize(
    ("value", "stripped"),
    [
        (b'"abc~br"', b'"abc"'),
        (b'W/"abc~br"', b'W/"abc"'),
        (b'"a~br", W/"b~zstd" ,"c~gzip","d~x"', b'"a", W/"b" ,"c","d~x"'),
        (b'"a~br, b~br", "c~br"', b'"a~br, b", "c"'),
        (b'"a~br~br"', b'"a~br"'),
        (b"a~br, b", b"a, b"),
        (b'"abc", *', b'"abc", *'),
        (b'"abc~br', b'"abc'),
        (b"", b""),
    ],
)
def test_a_list_of_tags_loses_our_part_and_nothing_else(value: bytes, stripped: bytes) -> None:
    assert strip_codings(value) == stripped


def test_the_worker_is_not_asked_about_copies_that_the_client_cannot_read() -> None:
    lines = headers_of('If-None-Match: "a~br", W/"b~gzip", "c" | If-Match: "d~gzip"').lines
    assert Headers(for_worker(lines, (b"br", b"identity"))) == headers_of(
        'If-None-Match: "a", W/"b~gzip", "c" | If-Match: "d"'
    )


def test_the_worker_sees_the_tags_that_it_made() -> None:
    lines = headers_of('Cookie: a~br | If-None-Match: "a~br" | If-Match: "b~gzip" | If-None-Match: "c"').lines
    assert Headers(for_worker(lines)) == headers_of(
        'Cookie: a~br | If-None-Match: "a" | If-Match: "b" | If-None-Match: "c"'
    )


def test_a_worker_cannot_continue_what_we_coded() -> None:
    lines = headers_of('Range: bytes=9- | If-Range: "a~br" | If-Match: "a~br" | If-None-Match: "b~br"').lines
    assert Headers(for_worker(lines)) == headers_of(
        'Range: bytes=9- | If-Range: "a~br" | If-Match: "a~br" | If-None-Match: "b"'
    )


def test_fields_without_our_tags_are_not_copied() -> None:
    lines = headers_of('Cookie: a~br | If-None-Match: "a" | If-Match: "b" | If-Range: "c~br"').lines
    assert for_worker(lines) is lines


@pytest.mark.parametrize(
    ("known", "etag", "accepted", "confirmed"),
    [
        ('"a~br"', b'"a"', (b"br",), b'"a~br"'),
        ('"a, b~br"', b'"a, b"', (b"br",), b'"a, b~br"'),
        ('"a~gzip", "a~br"', b'"a"', (b"br", b"gzip", b"identity"), b'"a~br"'),
        ('"a~gzip", "a~br"', b'"a~gzip"', (b"br", b"gzip", b"identity"), b'"a~br"'),
        ('"a~gzip" | If-None-Match: "a~br"', b'"a"', (b"br",), b'"a~br"'),
        ('"a~br", "a"', b'"a"', (b"identity",), b'"a"'),
        ('"b~br", "a~gzip"', b'"a"', (b"br",), b'"a"'),
        ('"a~gzip", W/"a~br"', b'"a"', (b"br",), b'W/"a~br"'),
        ('W/"a~br"', b'"a"', (b"br",), b'W/"a~br"'),
        ('"a~br"', b'W/"a"', (b"br",), b'"a~br"'),
        ('"a~br"', b'"b"', (b"br",), b'"b"'),
        ("*", b'"a"', (b"br",), b'"a"'),
        ("", b'"a"', (), b'"a"'),
    ],
)
def test_a_304_is_about_the_tag_that_the_client_has(
    known: str, etag: bytes, accepted: tuple[bytes, ...], confirmed: bytes
) -> None:
    assert confirmed_tag(headers_of(f"If-None-Match: {known}"), etag, accepted) == confirmed
