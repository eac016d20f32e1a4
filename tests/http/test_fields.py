"""Reading dates, seconds and Cache-Control as a peer may have written them, and writing dates."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.http.fields import MAX_SECONDS, cache_control, delta_seconds, format_date, parse_date

RFC_EXAMPLE = 784111777  # RFC 9110 §5.6.7 gives this time in all three formats


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", RFC_EXAMPLE),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", RFC_EXAMPLE),
        (b"Sun Nov  6 08:49:37 1994", RFC_EXAMPLE),
        (b"Wed Nov 16 08:49:37 1994", RFC_EXAMPLE + 10 * 86400),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (b"Thu, 01 Dec 1960 00:00:00 GMT", -286675200),
        (b"Thu, 29 Feb 2024 23:59:59 GMT", 1709251199),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800),  # a leap second
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
        # Letter case does not count (RFC 9111 §4.2), and a wrong weekday does no harm.
        (b"sun, 06 NOV 1994 08:49:37 gmt", RFC_EXAMPLE),
        (b"SUNDAY, 06-nov-94 08:49:37 Gmt", RFC_EXAMPLE),
        (b"Mon, 06 Nov 1994 08:49:37 GMT", RFC_EXAMPLE),
        # Two digits of a year: at most 50 years ahead.
        (b"Monday, 31-Dec-76 00:00:00 GMT", 3376598400),
        (b"Saturday, 01-Jan-77 00:00:00 GMT", 220924800),
    ],
)
def test_a_date_is_read_in_the_three_formats(value: bytes, seconds: int) -> None:
    assert parse_date(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"-1",
        b"784111777",
        b"never",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 GMT ",
        b" Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06  Nov  1994 08:49:37 GMT",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08.49.37 GMT",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Thu, 29 Feb 2023 00:00:00 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 06 Foo 1994 08:49:37 GMT",
        b"Sun, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov 6 08:49:37 1994",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 0٦ Nov 1994 08:49:37 GMT".encode(),
        b"\xff" * 29,
        b"x" * 100_000,
    ],
)
def test_what_is_in_no_format_is_no_date(value: bytes) -> None:
    assert parse_date(value) is None


@given(st.integers(min_value=-62135596800, max_value=253402300799))
def test_a_date_that_was_written_is_read_again(seconds: int) -> None:
    written = format_date(seconds)
    assert parse_date(written) == seconds
    assert written.decode() == datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b ") + written[12:].decode()


def test_dates_are_written_in_whole_seconds_that_have_begun() -> None:
    assert format_date(RFC_EXAMPLE + 0.999) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_date(-0.5) == b"Wed, 31 Dec 1969 23:59:59 GMT"


@pytest.mark.parametrize(
    ("argument", "seconds"),
    [
        (b"0", 0),
        (b"60", 60),
        (b"00060", 60),
        (b"000", 0),
        (b"0" * 5000 + b"7", 7),
        (b"2147483647", MAX_SECONDS - 1),
        (b"2147483648", MAX_SECONDS),
        (b"31536000000", MAX_SECONDS),
        (b"9" * 5000, MAX_SECONDS),
        (None, None),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1.5", None),
        (b"60s", None),
        (b" 60", None),
        (b"1_000", None),
        (b"'60'", None),
        (b"0x10", None),
        ("٦".encode(), None),
        (b"\xb2", None),
    ],
)
def test_seconds_are_digits_and_have_an_upper_limit(argument: bytes | None, seconds: int | None) -> None:
    assert delta_seconds(argument) == seconds


@pytest.mark.parametrize(
    ("values", "directives"),
    [
        ([], {}),
        ([b""], {}),
        ([b" , ,\t,"], {}),
        ([b"no-store"], {b"no-store": None}),
        ([b"PUBLIC, Max-Age=60"], {b"public": None, b"max-age": b"60"}),
        ([b"public,max-age=60,,immutable"], {b"public": None, b"max-age": b"60", b"immutable": None}),
        ([b'max-age="60"'], {b"max-age": b"60"}),
        ([b'private="set-cookie, x-id", a=B'], {b"private": b"set-cookie, x-id", b"a": b"B"}),
        ([rb'ext="a\"b\\c, no-store"'], {b"ext": rb'a"b\c, no-store'}),
        ([b'ext="max-age=100", max-age=1'], {b"ext": b"max-age=100", b"max-age": b"1"}),
        ([b'ext=""'], {b"ext": b""}),
        ([b"max-age=60 , public"], {b"max-age": b"60", b"public": None}),
        ([b"public", b"max-age=60"], {b"public": None, b"max-age": b"60"}),
        ([b"max-age='60'"], {b"max-age": b"'60'"}),
        ([b"not-public"], {b"not-public": None}),
        ([b"public, s-max-age=60"], {b"public": None, b"s-max-age": b"60"}),
    ],
)
def test_directives_are_read_over_all_lines(values: list[bytes], directives: dict[bytes, bytes | None]) -> None:
    assert dict(cache_control(values)) == directives


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        (b"max-age = 60", {b"max-age": b"= 60"}),
        (b"max-age= 60", {b"max-age": b"= 60"}),
        (b"max-age=60 61", {b"max-age": b"=60 61"}),
        (b"max-age=", {b"max-age": b"="}),
        (b'max-age="60', {b"max-age": b'="60'}),
        (b'max-age="60"1', {b"max-age": b'="60"1'}),
        (b"private; max-age=60", {b"private": b"; max-age=60"}),
        (b'ext="never closed, no-store', {b"ext": b'="never closed', b"no-store": None}),
        (b'="x", public', {b"public": None}),
        (b"\xff, public", {b"public": None}),
        (b'"quoted", public', {b"public": None}),
    ],
)
def test_a_slip_of_the_pen_keeps_the_name_and_spoils_the_argument(
    value: bytes, directives: dict[bytes, bytes | None]
) -> None:
    assert dict(cache_control([value])) == directives


def test_an_open_quote_does_not_swallow_the_next_line() -> None:
    assert b"no-store" in cache_control([b'ext="open', b'no-store, ext="'])


@pytest.mark.parametrize(
    ("value", "name", "argument"),
    [
        (b"max-age=60, max-age=30", b"max-age", b"30"),
        (b"max-age=30, max-age=60", b"max-age", b"30"),
        (b"max-age=60, max-age=x", b"max-age", b"x"),
        (b"max-age, max-age=60", b"max-age", None),
        (b"s-maxage=0, s-maxage=9", b"s-maxage", b"0"),
        (b"stale-if-error=5, stale-if-error=9", b"stale-if-error", b"5"),
        (b"stale-while-revalidate=9, stale-while-revalidate=5", b"stale-while-revalidate", b"5"),
        (b"max-stale, max-stale=5", b"max-stale", b"5"),
        (b"max-stale=5, max-stale", b"max-stale", b"5"),
        (b"max-stale=99999999999, max-stale", b"max-stale", b"99999999999"),
        (b"min-fresh=5, min-fresh=9", b"min-fresh", b"9"),
        (b"min-fresh=x, min-fresh=9", b"min-fresh", b"x"),
        (b'private="a", private', b"private", None),
        (b'no-cache, no-cache="a"', b"no-cache", None),
        (b'no-cache="a", no-cache="b"', b"no-cache", b"a,b"),
        (b"ext=1, ext=2", b"ext", b"1"),
    ],
)
def test_of_two_occurrences_the_more_restrictive_counts(value: bytes, name: bytes, argument: bytes | None) -> None:
    assert cache_control([value])[name] == argument
    assert cache_control(value.split(b", "))[name] == argument


def test_merging_lines_changes_nothing_that_is_remembered() -> None:
    before = dict(cache_control([b"max-age=60"]))
    cache_control([b"max-age=60", b"max-age=30, no-store"])
    assert dict(cache_control([b"max-age=60"])) == before


def test_a_long_value_is_read_like_a_short_one() -> None:
    value = b'ext="' + b"a, " * 20_000 + b'", no-store'
    assert set(cache_control([value])) == {b"ext", b"no-store"}
    assert len(cache_control([b',a="' * 16_000])) == 1


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_reading_never_raises_and_names_are_lower_case_tokens(values: list[bytes]) -> None:
    for name in cache_control(values):
        assert name
        assert name == name.lower()
        assert not set(name) & set(b' \t",;=\\')


@given(
    st.lists(st.binary(max_size=20), max_size=3),
    st.sampled_from([b"no-store", b"NO-STORE", b" no-store\t", b"no-store;"]),
)
def test_a_line_that_forbids_is_seen_whatever_stands_in_the_others(others: list[bytes], line: bytes) -> None:
    assert b"no-store" in cache_control([*others, line])


@given(st.binary(max_size=40))
def test_reading_a_date_never_raises(value: bytes) -> None:
    parse_date(value)
