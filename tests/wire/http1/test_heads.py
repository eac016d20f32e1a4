"""Cutting heads out of bytes: in whatever pieces they come, in linear work, refusing early what no head contains."""

import re
from types import SimpleNamespace

import pytest

from tests.support.wire_streams import Cut, bytewise, whole
from thrust.errors import BadMessage
from thrust.wire.http1 import heads as heads_module
from thrust.wire.http1 import requests
from thrust.wire.http1.heads import (
    MAX_HEAD_BYTES,
    HeadBuffer,
    explain_fields,
    parse_content_length,
    parse_field_section,
    shown,
    without_trailing_space,
)

HEAD = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

both_cuts = pytest.mark.parametrize("cut", [whole, bytewise])


def buffer() -> HeadBuffer:
    return HeadBuffer(BadMessage, requests.head_too_large)


def head_of(size_bytes: int) -> bytes:
    start, end = b"GET / HTTP/1.1\r\nA: ", b"\r\n\r\n"
    return start + b"x" * (size_bytes - len(start) - len(end)) + end


def feed(heads: HeadBuffer, pieces: list[bytes]) -> bytes | None:
    """The first head that `pieces` complete; all the pieces before have to be taken in silence."""
    for piece in pieces:
        if (head := heads.cut(piece)) is not None:
            return head
    return None


def test_a_head_in_one_piece_is_returned_with_what_follows_it() -> None:
    heads = buffer()
    assert heads.cut(HEAD + b"rest") == HEAD
    assert heads.rest == b"rest"
    assert heads.is_empty


@pytest.mark.parametrize("at", range(1, len(HEAD)))
def test_a_head_in_two_pieces_is_returned_with_what_follows_it(at: int) -> None:
    heads = buffer()
    assert heads.cut(HEAD[:at]) is None
    assert not heads.is_empty
    assert heads.cut(HEAD[at:] + b"rest") == HEAD
    assert heads.rest == b"rest"
    assert heads.is_empty


def test_a_head_is_complete_with_its_last_byte() -> None:
    heads = buffer()
    assert [heads.cut(byte) for byte in bytewise(HEAD)] == [None] * (len(HEAD) - 1) + [HEAD]
    assert heads.rest == b""


def test_several_heads_in_one_piece_are_cut_one_after_the_other() -> None:
    heads = buffer()
    second = HEAD.replace(b"/ ", b"/second ")
    assert heads.cut(HEAD + second + b"x") == HEAD
    assert heads.cut(heads.rest) == second
    assert heads.rest == b"x"


def test_what_follows_an_earlier_head_is_forgotten_with_the_next() -> None:
    heads = buffer()
    heads.cut(HEAD + b"rest")
    feed(heads, bytewise(HEAD))
    assert heads.rest == b""


def test_the_empty_line_before_a_request_does_not_count_as_a_part_of_one() -> None:
    heads = buffer()
    assert heads.cut(b"\r\n") is None
    assert heads.is_empty
    assert heads.cut(b"G") is None
    assert not heads.is_empty


# --- Limits -----------------------------------------------------------------------------------------------------------


@both_cuts
def test_a_head_of_exactly_the_limit_is_taken(cut: Cut) -> None:
    head = head_of(MAX_HEAD_BYTES)
    assert feed(buffer(), list(cut(head))) == head


@both_cuts
def test_a_head_one_byte_beyond_the_limit_is_431(cut: Cut) -> None:
    with pytest.raises(BadMessage, match="more than 65536") as raised:
        feed(buffer(), list(cut(head_of(MAX_HEAD_BYTES + 1))))
    assert raised.value.status == 431


def test_an_endless_head_is_refused_as_soon_as_it_is_beyond_the_limit() -> None:
    heads = buffer()
    endless = head_of(2 * MAX_HEAD_BYTES)
    assert heads.cut(endless[:MAX_HEAD_BYTES]) is None
    with pytest.raises(BadMessage):
        heads.cut(endless[MAX_HEAD_BYTES : MAX_HEAD_BYTES + 1])


def test_what_follows_a_head_does_not_count_against_the_limit() -> None:
    heads = buffer()
    assert heads.cut(HEAD[:5]) is None
    assert heads.cut(HEAD[5:] + b"x" * 2 * MAX_HEAD_BYTES) == HEAD
    assert len(heads.rest) == 2 * MAX_HEAD_BYTES


@both_cuts
@pytest.mark.parametrize("start", [b"", b"\r\n"])
def test_an_endless_request_line_is_414(cut: Cut, start: bytes) -> None:
    with pytest.raises(BadMessage, match="target of") as raised:
        feed(buffer(), list(cut(start + b"GET /" + b"x" * MAX_HEAD_BYTES)))
    assert raised.value.status == 414


@both_cuts
def test_a_long_request_line_in_a_head_that_is_too_large_is_414(cut: Cut) -> None:
    data = b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nA: " + b"y" * MAX_HEAD_BYTES
    with pytest.raises(BadMessage) as raised:
        feed(buffer(), list(cut(data)))
    assert raised.value.status == 414


def test_a_buffer_that_has_raised_holds_nothing_any_more() -> None:
    heads = buffer()
    with pytest.raises(BadMessage):
        heads.cut(b"x" * (MAX_HEAD_BYTES + 1))
    assert heads.is_empty
    assert heads.cut(HEAD) == HEAD


class Searches:
    """Counts how many bytes the searches of a HeadBuffer may have to look at."""

    def __init__(self) -> None:
        self.bytes_in_reach = 0

    def counting_pattern(self, pattern: re.Pattern[bytes]) -> SimpleNamespace:
        def match(held: bytearray, start: int) -> re.Match[bytes] | None:
            self.bytes_in_reach += len(held) - start
            return pattern.match(held, start)

        return SimpleNamespace(match=match)

    def counting_bytes(self) -> bytearray:
        counter = self

        class Counting(bytearray):
            def find(self, needle: bytes, start: int) -> int:  # type: ignore[override]
                counter.bytes_in_reach += len(self) - start
                return super().find(needle, start)

        return Counting()


def test_a_head_that_comes_byte_by_byte_is_searched_in_linear_work(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches()
    monkeypatch.setattr(heads_module, "_SOUND", searches.counting_pattern(heads_module._SOUND))
    heads = buffer()
    monkeypatch.setattr(heads, "_held", searches.counting_bytes())
    head = head_of(MAX_HEAD_BYTES)
    assert feed(heads, bytewise(head)) == head
    assert len(head) < searches.bytes_in_reach < 8 * len(head)


# --- What no head contains --------------------------------------------------------------------------------------------


@both_cuts
@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"GET / HTTP/1.1\nHost: a", 14),
        (b"\nGET /", 0),
        (b"GET / HTTP/1.1\r\nHost: a\n", 23),
        (b"GET / HTTP/1.1\r\n\n", 16),
        (b"GET / HTTP/1.1\rHost: a", 14),
        (b"GET / HTTP/1.1\r\r\n", 14),
        (b"GET / HTTP/1.1\r\nA: 1\r\r", 20),
        (b"GET / HTTP/1.1\r\nA: 1\r\n\n", 22),
        (b"GET / HTTP/1.1\n\r", 14),
        (b"GET /\x00", 5),
        (b"GET / HTTP/1.1\r\nA: \x00", 19),
        (b"GET / HTTP/1.1\r\nA: \x7f", 19),
        (b"GET / HTTP/1.1\r\nA: \x0b", 19),
        (b"GET / HTTP/1.1\r\nA: \x1f", 19),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0),
    ],
)
def test_what_no_head_contains_is_refused_before_the_head_is_complete(cut: Cut, data: bytes, at: int) -> None:
    with pytest.raises(BadMessage, match=f" at {at} does not belong into a head") as raised:
        feed(buffer(), list(cut(data)))
    assert raised.value.status == 400


@both_cuts
@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\n\r", b"A: \t\x80\xff", b"\r\n", b"\r"])
def test_an_incomplete_head_without_fault_is_waited_for(cut: Cut, data: bytes) -> None:
    assert feed(buffer(), list(cut(data))) is None


@pytest.mark.parametrize("error", [BadMessage, ValueError])
def test_the_error_is_made_by_the_function_given(error: type[Exception]) -> None:
    heads = HeadBuffer(error, lambda held: error(f"{len(held)} bytes"))  # type: ignore[arg-type,return-value]
    with pytest.raises(error, match="does not belong"):
        heads.cut(b"\x00")
    with pytest.raises(error, match="70000 bytes"):
        heads.cut(b"x" * 70000)


# --- Field lines and small grammar ------------------------------------------------------------------------------------


def test_a_field_section_becomes_lower_case_names_and_bare_values() -> None:
    section = b"X-Sum: 1\r\nx-sum:\t 2 3 \t\r\nEmpty:\r\nBlank: \t \r\nObs: \xe4\r\n"
    assert parse_field_section(section, BadMessage) == [
        (b"x-sum", b"1"),
        (b"x-sum", b"2 3"),
        (b"empty", b""),
        (b"blank", b""),
        (b"obs", b"\xe4"),
    ]


@pytest.mark.parametrize(
    "section",
    [
        b"A : b\r\n",
        b" A: b\r\n",
        b": b\r\n",
        b"A\r\n",
        b"A: b\n",
        b"A: b\r\n c\r\n",
        b"A: \x00\r\n",
        b"A(: b\r\n",
        b"A: b\rc\r\n",
        b"A: b",
    ],
)
def test_a_field_section_with_a_broken_line_is_refused(section: bytes) -> None:
    with pytest.raises(BadMessage, match="invalid trailer section"):
        parse_field_section(section, BadMessage)


def test_the_broken_field_line_is_named_in_the_error() -> None:
    error = explain_fields(b"GET / HTTP/1.1\r\nGood: 1\r\nBad : 1\r\nBad: \x00\r\n\r\n", BadMessage)
    assert str(error) == "invalid field line 'Bad : 1'"


def test_white_space_after_values_is_taken_away() -> None:
    assert without_trailing_space([(b"a", b"b \t"), (b"c", b" d e"), (b"f", b"")]) == [
        (b"a", b"b"),
        (b"c", b" d e"),
        (b"f", b""),
    ]


@pytest.mark.parametrize(
    ("value", "length"), [(b"0", 0), (b"5", 5), (b"0005", 5), (b"999999999999999999", 999_999_999_999_999_999)]
)
def test_a_content_length_is_a_decimal_number(value: bytes, length: int) -> None:
    assert parse_content_length(value, BadMessage) == length


@pytest.mark.parametrize(
    "value",
    [b"", b"+5", b"-1", b"5, 5", b"5,", b"0x5", b"1e3", b"5.0", b"5 5", b"1_000", b"five", b"\xb2", b"1" + b"0" * 18],
)
def test_an_odd_content_length_is_refused(value: bytes) -> None:
    with pytest.raises(BadMessage, match="invalid content-length"):
        parse_content_length(value, BadMessage)


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", "''"), (b"a'b", '"a\'b"'), (b"\x00\xff", r"'\x00\xff'"), (b"x" * 61, f"'{'x' * 60}...'")],
)
def test_bytes_are_shown_quoted_printable_and_short(data: bytes, text: str) -> None:
    assert shown(data) == text
