"""Reading content (RFC 9112 §6–7): every case in one piece and byte by byte, with other messages behind it."""

from dataclasses import dataclass
from functools import partial

import pytest

from tests.support.wire_streams import Cut, bytewise, cut_at, whole
from thrust.errors import BadMessage, UpstreamError
from thrust.http.headers import FieldLine
from thrust.wire.http1.bodies import (
    MAX_CHUNK_LINE_BYTES,
    MAX_TRAILERS_BYTES,
    BodyReader,
    ChunkedReader,
    FixedLengthReader,
    UntilCloseReader,
)
from thrust.wire.http1.heads import MAX_FIELDS
from thrust.wire.http1.responses import malformed

both_cuts = pytest.mark.parametrize("cut", [whole, bytewise])


@dataclass
class Read:
    """What a reader made of the bytes that it was given; `rest` includes what it was not given any more."""

    content: bytes
    is_complete: bool
    rest: bytes
    trailers: list[FieldLine]


def read(reader: BodyReader, data: bytes, cut: Cut = whole) -> Read:
    pieces = list(cut(data))
    content = b""
    while pieces and not reader.is_complete:
        content += reader.feed(pieces.pop(0))
    return Read(content, reader.is_complete, reader.rest + b"".join(pieces), reader.trailers)


# --- Fixed length -----------------------------------------------------------------------------------------------------


@both_cuts
@pytest.mark.parametrize(
    ("length", "data", "content", "rest"),
    [
        (0, b"", b"", b""),
        (0, b"next", b"", b"next"),
        (5, b"hello", b"hello", b""),
        (5, b"hellonext", b"hello", b"next"),
        (1, b"\r\n", b"\r", b"\n"),
    ],
)
def test_a_body_of_known_length_ends_there(length: int, data: bytes, content: bytes, rest: bytes, cut: Cut) -> None:
    assert read(FixedLengthReader(length), data, cut) == Read(content, True, rest, [])


@both_cuts
def test_a_body_shorter_than_its_length_is_not_complete(cut: Cut) -> None:
    reader = FixedLengthReader(5)
    assert read(reader, b"hell", cut) == Read(b"hell", False, b"", [])
    assert reader.feed_eof() is False
    assert repr(reader) == "4 of 5 bytes"


# --- Until the end of the connection ----------------------------------------------------------------------------------


@both_cuts
def test_a_body_without_length_ends_with_the_connection(cut: Cut) -> None:
    reader = UntilCloseReader()
    assert read(reader, b"hello\r\n\r\n", cut) == Read(b"hello\r\n\r\n", False, b"", [])
    assert reader.feed_eof() is True
    assert reader.is_complete
    assert repr(reader) == "9 bytes"


# --- Chunked ----------------------------------------------------------------------------------------------------------

CHUNKED: list[tuple[bytes, bytes, list[FieldLine]]] = [
    (b"0\r\n\r\n", b"", []),
    (b"000\r\n\r\n", b"", []),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", b"hello world", []),
    (b"a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n", b"0123456789abcdefghij", []),
    (b"00000000000000f\r\n0123456789abcde\r\n0\r\n\r\n", b"0123456789abcde", []),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", []),
    (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", []),
    # extensions are read over (§7.1.1)
    (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello", []),
    (b'5;a="x;y"; b = "\\"" \r\nhello\r\n0\r\n\r\n', b"hello", []),
    (b"5;\r\nhello\r\n0;\r\n\r\n", b"hello", []),
    (b"5;\xff\t\r\nhello\r\n0\r\n\r\n", b"hello", []),
    # trailers (§7.1.2)
    (b"0\r\nX-Sum: 1\r\n\r\n", b"", [(b"x-sum", b"1")]),
    (
        b"2\r\nok\r\n0;x\r\nX-Sum:\t1 \r\nx-sum: 2\r\nEmpty:\r\n\r\n",
        b"ok",
        [(b"x-sum", b"1"), (b"x-sum", b"2"), (b"empty", b"")],
    ),
]


@both_cuts
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n", b"\r\n", b"0\r\n\r\n"])
@pytest.mark.parametrize(("data", "content", "trailers"), CHUNKED)
def test_a_chunked_body_is_read(data: bytes, content: bytes, trailers: list[FieldLine], rest: bytes, cut: Cut) -> None:
    assert read(ChunkedReader(BadMessage), data + rest, cut) == Read(content, True, rest, trailers)


@pytest.mark.parametrize(("data", "content", "trailers"), CHUNKED)
def test_a_chunked_body_may_be_cut_anywhere(data: bytes, content: bytes, trailers: list[FieldLine]) -> None:
    data += b"rest"
    for first in range(1, len(data)):
        for second in range(first, len(data)):
            cut = partial(cut_at, positions=[first, second])
            assert read(ChunkedReader(BadMessage), data, cut) == Read(content, True, b"rest", trailers)


# One chunk of every kind that comes before another: by digits, leading zeros, extension and kind of content.
EARLIER = b"1\r\nx\r\nf\r\n0123456789abcde\r\n01\r\ny\r\n10;a=b\r\n0123456789abcdef\r\n5\r\n\r\n1\r\n\r\n"
EARLIER_CONTENT = b"x0123456789abcdey0123456789abcdef\r\n1\r\n"


@both_cuts
@pytest.mark.parametrize(("data", "content", "trailers"), CHUNKED)
def test_a_chunk_is_read_the_same_behind_others(
    data: bytes, content: bytes, trailers: list[FieldLine], cut: Cut
) -> None:
    assert read(ChunkedReader(BadMessage), EARLIER * 2 + data + b"rest", cut) == Read(
        EARLIER_CONTENT * 2 + content, True, b"rest", trailers
    )


@pytest.mark.parametrize("size", range(1, 300))
def test_a_size_in_any_spelling_is_understood_behind_another_chunk(size: int) -> None:
    for spelling in (b"%x", b"%X", b"0%x", b"%x;", b"%X;a"):
        data = b"1\r\nx\r\n" + spelling % size + b"\r\n" + b"y" * size + b"\r\n0\r\n\r\n"
        assert read(ChunkedReader(BadMessage), data) == Read(b"x" + b"y" * size, True, b"", [])


def test_chunks_may_be_cut_anywhere() -> None:
    data = EARLIER + b"0\r\n\r\nrest"
    for first in range(1, len(data)):
        for second in range(first, len(data)):
            cut = partial(cut_at, positions=[first, second])
            assert read(ChunkedReader(BadMessage), data, cut) == Read(EARLIER_CONTENT, True, b"rest", [])


@both_cuts
@pytest.mark.parametrize(("data", "content", "trailers"), CHUNKED)
def test_a_chunked_body_is_not_complete_before_its_last_byte(
    data: bytes, content: bytes, trailers: list[FieldLine], cut: Cut
) -> None:
    for end in range(len(data)):
        reader = ChunkedReader(BadMessage)
        so_far = read(reader, data[:end], cut)
        assert content.startswith(so_far.content)
        assert not so_far.is_complete
        assert reader.feed_eof() is False


def test_content_is_given_out_as_it_comes() -> None:
    reader = ChunkedReader(BadMessage)
    assert reader.feed(b"a\r\n0123") == b"0123"
    assert reader.feed(b"4567") == b"4567"
    assert reader.feed(b"89\r\n1\r\nx\r") == b"89x"
    assert repr(reader) == "11 bytes in chunks"


MALFORMED: list[tuple[bytes, str]] = [
    # sizes
    (b"\r\n", "invalid chunk size"),
    (b";a\r\n", "invalid chunk size"),
    (b"x\r\n", "invalid chunk size"),
    (b"g\r\n", "invalid chunk size"),
    (b"5 \r\nhello\r\n", "invalid chunk size"),
    (b"5\t\r\nhello\r\n", "invalid chunk size"),
    (b" 5\r\nhello\r\n", "invalid chunk size"),
    (b"5 ;a\r\nhello\r\n", "invalid chunk size"),
    (b"+5\r\nhello\r\n", "invalid chunk size"),
    (b"-5\r\nhello\r\n", "invalid chunk size"),
    (b"0x5\r\nhello\r\n", "invalid chunk size"),
    (b"5_0\r\n", "invalid chunk size"),
    (b"5,\r\n", "invalid chunk size"),
    (b"\xb2\r\n", "invalid chunk size"),
    (b"5\x00\r\nhello\r\n", "invalid chunk size"),
    (b"0" * 16 + b"\r\n\r\n", "invalid chunk size"),
    (b"1" + b"0" * 15 + b"\r\n", "invalid chunk size"),
    (b"f" * 100, "invalid chunk size"),
    # line ends
    (b"5\nhello\r\n0\r\n\r\n", "invalid chunk size"),
    (b"5\rhello\r\n0\r\n\r\n", "invalid chunk size"),
    (b"5\r\r\nhello\r\n", "invalid chunk size"),
    (b"5;a\nhello\r\n", "invalid chunk size"),
    (b"5;a\r\r\nhello\r\n", "invalid chunk size"),
    (b"5;a\rb\r\nhello\r\n", "invalid chunk size"),
    (b"5;a\x00\r\nhello\r\n", "invalid chunk size"),
    (b"5;a\x7f\r\nhello\r\n", "invalid chunk size"),
    (b"5\r\nhello0\r\n\r\n", "invalid end of a chunk '0"),
    (b"5\r\nhellox", "invalid end of a chunk 'x'"),
    (b"5\r\nhello\n0\r\n\r\n", "invalid end of a chunk '\\n"),
    (b"5\r\nhello\r0\r\n\r\n", "invalid end of a chunk '\\r0'"),
    (b"5\r\nhello \r\n0\r\n\r\n", "invalid end of a chunk ' "),
    (b"4\r\nhello\r\n0\r\n\r\n", "invalid end of a chunk 'o"),
    (b"6\r\nhello\r\n0\r\n\r\n", "invalid end of a chunk '\\n"),
    # trailers
    (b"0\r\nX-Sum : 1\r\n\r\n", "invalid trailer section"),
    (b"0\r\n X-Sum: 1\r\n\r\n", "invalid trailer section"),
    (b"0\r\nX-Sum: 1\r\n folded\r\n\r\n", "invalid trailer section"),
    (b"0\r\nX-Sum: 1\nX: 2\r\n\r\n", "invalid trailer section"),
    (b"0\r\nX-Sum: 1\rX: 2\r\n\r\n", "invalid trailer section"),
    (b"0\r\nX-Sum: \x00\r\n\r\n", "invalid trailer section"),
    (b"0\r\nX-Sum\r\n\r\n", "invalid trailer section"),
    (b"0\r\n: 1\r\n\r\n", "invalid trailer section"),
    (b"0\r\n\n\r\n\r\n", "invalid trailer section"),
    (b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "invalid trailer section"),
    (b"0\r\nContent-Length: 5\r\n\r\n", "content-length in a trailer section"),
    (b"0\r\nX-Sum: 1\r\nTRANSFER-ENCODING: chunked\r\n\r\n", "transfer-encoding in a trailer section"),
    (b"0\r\n" + b"A: 1\r\n" * (MAX_FIELDS + 1) + b"\r\n", "101 trailer fields, at most 100 are accepted"),
]


@both_cuts
@pytest.mark.parametrize(("data", "reason"), MALFORMED, ids=[repr(data)[2:50] for data, _ in MALFORMED])
def test_a_broken_chunk_is_refused(data: bytes, reason: str, cut: Cut) -> None:
    with pytest.raises(BadMessage) as raised:
        read(ChunkedReader(BadMessage), data, cut)
    assert str(raised.value).startswith(reason)
    assert raised.value.status == 400


@both_cuts
@pytest.mark.parametrize(("data", "reason"), MALFORMED, ids=[repr(data)[2:50] for data, _ in MALFORMED])
def test_a_broken_chunk_is_refused_behind_good_ones(data: bytes, reason: str, cut: Cut) -> None:
    with pytest.raises(BadMessage) as raised:
        read(ChunkedReader(BadMessage), EARLIER + data, cut)
    assert str(raised.value).startswith(reason)


def test_a_broken_chunk_of_the_worker_is_a_502() -> None:
    with pytest.raises(UpstreamError) as raised:
        read(ChunkedReader(malformed), b"x\r\n")
    assert str(raised.value) == "the worker sent a malformed response: invalid chunk size 'x'"
    assert raised.value.status == 502


# --- Limits of chunks -------------------------------------------------------------------------------------------------


@both_cuts
@pytest.mark.parametrize("earlier", [b"", b"1\r\nx\r\n"])
@pytest.mark.parametrize("size", [b"5", b"000000000000005"])
def test_a_size_line_of_exactly_the_limit_is_taken(cut: Cut, earlier: bytes, size: bytes) -> None:
    line = size + b";" + b"x" * (MAX_CHUNK_LINE_BYTES - len(size) - 3) + b"\r\n"
    assert len(line) == MAX_CHUNK_LINE_BYTES
    assert read(ChunkedReader(BadMessage), earlier + line + b"hello\r\n0\r\n\r\n", cut).content.endswith(b"hello")


@both_cuts
@pytest.mark.parametrize("end", [b"\r\n", b""])
@pytest.mark.parametrize("earlier", [b"", b"1\r\nx\r\n"])
@pytest.mark.parametrize("size", [b"5", b"000000000000005"])
def test_a_size_line_one_byte_beyond_the_limit_is_refused(cut: Cut, end: bytes, earlier: bytes, size: bytes) -> None:
    line = size + b";" + b"x" * (MAX_CHUNK_LINE_BYTES - len(size) - 2) + end
    with pytest.raises(BadMessage, match="chunk size line of more than 512 bytes"):
        read(ChunkedReader(BadMessage), earlier + line + b"xx", cut)


@both_cuts
def test_a_trailer_section_of_exactly_the_limit_is_taken(cut: Cut) -> None:
    section = b"A: " + b"x" * (MAX_TRAILERS_BYTES - 7) + b"\r\n\r\n"
    assert len(section) == MAX_TRAILERS_BYTES
    assert len(read(ChunkedReader(BadMessage), b"0\r\n" + section, cut).trailers) == 1


@both_cuts
@pytest.mark.parametrize(("size", "end"), [(MAX_TRAILERS_BYTES + 1, b"\r\n\r\n"), (MAX_TRAILERS_BYTES, b"\r\n\rx")])
def test_a_trailer_section_beyond_the_limit_is_refused(cut: Cut, size: int, end: bytes) -> None:
    section = b"A: " + b"x" * (size - 7) + end
    assert len(section) == size
    with pytest.raises(BadMessage, match="trailer section of more than 8192 bytes"):
        read(ChunkedReader(BadMessage), b"0\r\n" + section, cut)


@both_cuts
def test_exactly_the_limit_of_trailer_fields_is_taken(cut: Cut) -> None:
    data = b"0\r\n" + b"A: 1\r\n" * MAX_FIELDS + b"\r\n"
    assert len(read(ChunkedReader(BadMessage), data, cut).trailers) == MAX_FIELDS


@pytest.mark.parametrize(
    "name",
    [b"Host", b"CONNECTION", b"Authorization", b"X-Forwarded-For", b"X-Accel-Redirect", b"X_Sum", b"Set-Cookie"],
)
def test_a_trailer_that_would_change_what_the_message_means_is_dropped(name: bytes) -> None:
    data = b"0\r\nX-Sum: 1\r\n" + name + b": 5\r\n\r\n"
    assert read(ChunkedReader(BadMessage), data).trailers == [(b"x-sum", b"1")]
