"""Ordered fields: look-ups by name, what repeats and what is replaced, lists in values, and what may be a trailer."""

import pytest

from thrust.http.headers import HOP_BY_HOP, Headers, may_be_trailer, tokens

LINES = [(b"set-cookie", b"a=1"), (b"etag", b"x"), (b"set-cookie", b"b=2"), (b"empty", b"")]


def test_fields_keep_order_and_repetition() -> None:
    headers = Headers(LINES)
    assert list(headers) == LINES
    assert len(headers) == 4


def test_the_first_line_of_a_name_is_got() -> None:
    headers = Headers(LINES)
    assert headers.get(b"set-cookie") == b"a=1"
    assert headers.get(b"empty") == b""
    assert headers.get(b"missing") is None
    assert headers.get(b"missing", b"default") == b"default"
    assert headers.get(b"empty", b"default") == b""


def test_all_lines_of_a_name_are_got_in_order() -> None:
    headers = Headers(LINES)
    assert headers.get_all(b"set-cookie") == [b"a=1", b"b=2"]
    assert headers.get_all(b"missing") == []


def test_adding_leaves_the_others() -> None:
    headers = Headers(LINES[:])
    headers.add(b"etag", b"y")
    assert headers.get_all(b"etag") == [b"x", b"y"]


def test_a_name_is_in_the_fields_whatever_its_value() -> None:
    headers = Headers(LINES)
    assert b"empty" in headers
    assert b"missing" not in headers


def test_fields_are_equal_when_their_lines_are() -> None:
    assert Headers(LINES) == Headers(LINES[:])
    assert Headers(LINES) != Headers(LINES[::-1])
    assert Headers() != []
    assert repr(Headers([(b"a", b"b")])) == "Headers([(b'a', b'b')])"


def test_headers_take_their_lines_over() -> None:
    lines = [(b"a", b"1")]
    assert Headers(lines).lines is lines
    assert Headers().lines == []


@pytest.mark.parametrize(
    ("values", "members"),
    [
        ([], []),
        ([b""], []),
        ([b"close"], [b"close"]),
        ([b"Keep-Alive,\tUPGRADE , "], [b"keep-alive", b"upgrade"]),
        ([b"a,b", b",c,,"], [b"a", b"b", b"c"]),
        ([b"a b"], [b"a b"]),
        ([b"\x0ba\xa0"], [b"\x0ba\xa0"]),
    ],
)
def test_a_list_may_be_spread_over_lines_and_full_of_holes(values: list[bytes], members: list[bytes]) -> None:
    assert tokens(values) == members


@pytest.mark.parametrize("name", [b"x-sum", b"etag", b"server-timing", b"grpc-status", b"digest", b"x-request-cost"])
def test_what_describes_the_content_may_be_a_trailer(name: bytes) -> None:
    assert may_be_trailer(name)


@pytest.mark.parametrize(
    "name",
    [
        *sorted(HOP_BY_HOP),
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"host",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-anything",
        b"x-real-ip",
        b"x-request-id",
        b"x-accel-redirect",
        b"x_sum",
        b"content_length",
    ],
)
def test_what_frames_routes_or_identifies_may_not_be_a_trailer(name: bytes) -> None:
    assert not may_be_trailer(name)
