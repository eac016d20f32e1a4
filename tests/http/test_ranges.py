"""Range requests: RFC 9110 §14 as tables, abuse that is ignored, and multipart bodies that other parsers can read."""

import email.parser
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.http.ranges import MAX_OVERLAPS, MAX_RANGES, Range, content_range, multipart, parse_ranges, unsatisfied


@pytest.mark.parametrize(
    ("value", "ranges"),
    [
        # RFC 9110 §14.1.2, with 10000 bytes.
        (b"bytes=0-499", [(0, 500)]),
        (b"bytes=500-999", [(500, 1000)]),
        (b"bytes=-500", [(9500, 10000)]),
        (b"bytes=9500-", [(9500, 10000)]),
        (b"bytes=0-0,-1", [(0, 1), (9999, 10000)]),
        (b"bytes= 0-999, 4500-5499, -1000", [(0, 1000), (4500, 5500), (9000, 10000)]),
        (b"bytes=500-600,601-999", [(500, 601), (601, 1000)]),
        (b"bytes=500-700,601-999", [(500, 701), (601, 1000)]),
        # Ends beyond the content are cut.
        (b"bytes=0-", [(0, 10000)]),
        (b"bytes=0-9999", [(0, 10000)]),
        (b"bytes=0-10000", [(0, 10000)]),
        (b"bytes=9999-9999", [(9999, 10000)]),
        (b"bytes=-10000", [(0, 10000)]),
        (b"bytes=-10001", [(0, 10000)]),
        (b"bytes=1-" + b"9" * 5000, [(1, 10000)]),
        (b"bytes=-" + b"9" * 5000, [(0, 10000)]),
        (b"bytes=" + b"0" * 5000 + b"1-0002", [(1, 3)]),
        # The client's order stays.
        (b"bytes=5000-5999,0-9", [(5000, 6000), (0, 10)]),
        # White space, empty members, letter case.
        (b"BYTES=0-1", [(0, 2)]),
        (b"bytes=\t0-1 ,, , 5-6\t,", [(0, 2), (5, 7)]),
        # What cannot be satisfied is left out.
        (b"bytes=0-1,10000-", [(0, 2)]),
        (b"bytes=10000-10001,-5", [(9995, 10000)]),
        (b"bytes=-0,1-1", [(1, 2)]),
        # Nothing left: 416.
        (b"bytes=10000-", []),
        (b"bytes=10000-20000", []),
        (b"bytes=10000-,20000-", []),
        (b"bytes=-0", []),
        (b"bytes=" + b"9" * 5000 + b"-", []),
    ],
)
def test_ranges_are_cut_to_the_content_and_keep_their_order(value: bytes, ranges: list[Range]) -> None:
    assert parse_ranges(value, 10000) == ranges


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"bytes", b"bytes=", b"bytes=,", b"bytes= , ,", b"bytes 0-1", b"bytes =0-1", b" bytes=0-1"),
        *(b"items=0-1", b"bytesx=0-1", b"xbytes=0-1", b"0-1", b"bytes:0-1", b"none=0-1"),
        *(b"bytes=1", b"bytes=-", b"bytes=--1", b"bytes=1--2", b"bytes=1-2-3", b"bytes=a-b", b"bytes=0x1-2"),
        *(b"bytes=0 -1", b"bytes=0- 1", b"bytes=- 1", b"bytes=+0-1", b"bytes=0-1;2-3", b"bytes=0-1 2-3"),
        *(b"bytes=0-1,a", b"bytes=0-1,-", b"bytes=*", b"bytes=0-*", b"bytes=1.0-2", b"bytes=0-1\n", b"bytes=\xb2-"),
        *(b"bytes=2-1", b"bytes=0-1,5-4", b"bytes=10001-10000", b"bytes=0-1,bytes=2-3"),
    ],
)
def test_what_is_malformed_or_of_another_unit_is_ignored(value: bytes) -> None:
    assert parse_ranges(value, 10000) is None


@pytest.mark.parametrize("value", [b"bytes=0-", b"bytes=0-0", b"bytes=-1", b"bytes=5-6", b"bytes=-0"])
def test_a_part_of_nothing_is_everything(value: bytes) -> None:
    assert parse_ranges(value, 0) is None


def test_so_many_ranges_are_served_and_no_more() -> None:
    parts = [b"%d-%d" % (at, at) for at in range(0, 2 * MAX_RANGES + 2, 2)]
    assert len(parse_ranges(b"bytes=" + b",".join(parts[:MAX_RANGES]), 10000) or []) == MAX_RANGES
    assert parse_ranges(b"bytes=" + b",".join(parts[: MAX_RANGES + 1]), 10000) is None
    unsatisfiable = b",".join([b"10000-"] * (MAX_RANGES + 1))
    assert parse_ranges(b"bytes=" + unsatisfiable, 10000) is None


@pytest.mark.parametrize("overlaps", range(5))
def test_a_few_overlaps_are_served_and_more_are_not(overlaps: int) -> None:
    value = b"bytes=" + b",".join(b"%d-%d" % (at * 10, at * 10 + 10) for at in reversed(range(overlaps + 1)))
    assert (parse_ranges(value, 10000) is not None) is (overlaps <= MAX_OVERLAPS)


def test_a_long_range_overlaps_with_each_that_lies_in_it() -> None:
    assert parse_ranges(b"bytes=0-99,10-11,20-21", 10000) == [(0, 100), (10, 12), (20, 22)]
    assert parse_ranges(b"bytes=0-99,10-11,20-21,30-31", 10000) is None


@pytest.mark.parametrize("value", [b"bytes=0-,0-", b"bytes=0-,-1", b"bytes=0-5000,5000-9999"])
def test_more_than_everything_is_everything(value: bytes) -> None:
    assert parse_ranges(value, 10000) is None


def test_everything_in_parts_is_served() -> None:
    assert parse_ranges(b"bytes=5000-,0-4999", 10000) == [(5000, 10000), (0, 5000)]


@given(st.text("0123456789-, ", max_size=60), st.integers(0, 300))
def test_ranges_lie_in_the_content_and_are_never_longer_than_it(text: str, length: int) -> None:
    ranges = parse_ranges(b"bytes=" + text.encode(), length) or []
    assert all(0 <= start < stop <= length for start, stop in ranges)
    assert sum(stop - start for start, stop in ranges) <= length
    assert len(ranges) <= MAX_RANGES


def test_content_range_counts_from_zero_to_the_last_byte() -> None:
    assert content_range(0, 500, 1234) == b"bytes 0-499/1234"
    assert content_range(1233, 1234, 1234) == b"bytes 1233-1233/1234"
    assert unsatisfied(1234) == b"bytes */1234"


def test_several_ranges_are_framed_as_in_the_rfc() -> None:
    framing = multipart([(500, 1000), (7000, 8000)], 8000, b"application/pdf", b"THIS_STRING_SEPARATES")
    assert framing.content_type == b"multipart/byteranges; boundary=THIS_STRING_SEPARATES"
    assert framing.heads == (
        b"--THIS_STRING_SEPARATES\r\nContent-Type: application/pdf\r\nContent-Range: bytes 500-999/8000\r\n\r\n",
        b"\r\n--THIS_STRING_SEPARATES\r\nContent-Type: application/pdf\r\nContent-Range: bytes 7000-7999/8000\r\n\r\n",
    )
    assert framing.ending == b"\r\n--THIS_STRING_SEPARATES--\r\n"


@given(
    content=st.text("ab\n -", min_size=1, max_size=80).map(lambda text: text.replace("\n", "\r\n").encode()),
    text=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 20)), min_size=1, max_size=6),
)
def test_a_multipart_body_is_as_long_as_announced_and_read_back(content: bytes, text: list[tuple[int, int]]) -> None:
    ranges = parse_ranges(b"bytes=" + b",".join(b"%d-%d" % (at, at + more) for at, more in text), len(content))
    if not ranges:
        return
    framing = multipart(ranges, len(content), b"text/plain", b"0123abcd")
    pieces = [head + content[start:stop] for head, (start, stop) in zip(framing.heads, ranges, strict=True)]
    body = b"".join(pieces) + framing.ending
    assert len(body) == framing.content_length
    head = b"Content-Type: " + framing.content_type + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    parts = list(message.iter_parts())
    assert [part["content-range"].encode() for part in parts] == [
        content_range(start, stop, len(content)) for start, stop in ranges
    ]
    assert [part.get_payload(decode=True) for part in parts] == [content[start:stop] for start, stop in ranges]


def test_content_without_a_type_has_parts_without_one() -> None:
    framing = multipart([(0, 1)], 2, None, b"b")
    assert framing.heads == (b"--b\r\nContent-Range: bytes 0-0/2\r\n\r\n",)
