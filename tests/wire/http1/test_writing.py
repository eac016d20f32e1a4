"""What is written: the exact bytes, and that reading them gives back what was written."""

import pytest

from thrust.errors import BadMessage
from thrust.wire.http1.bodies import ChunkedReader
from thrust.wire.http1.responses import ResponseParser
from thrust.wire.http1.writing import CONTINUE, chunk, field_lines, last_chunk, status_line


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"HTTP/1.1 200 OK\r\n"),
        (101, b"HTTP/1.1 101 Switching Protocols\r\n"),
        (103, b"HTTP/1.1 103 Early Hints\r\n"),
        (404, b"HTTP/1.1 404 Not Found\r\n"),
        (503, b"HTTP/1.1 503 Service Unavailable\r\n"),
        (299, b"HTTP/1.1 299 \r\n"),
        (999, b"HTTP/1.1 999 \r\n"),
    ],
)
def test_a_status_line_has_the_registered_phrase_or_none(status: int, line: bytes) -> None:
    assert status_line(status) == line


def test_every_status_that_is_written_can_be_read() -> None:
    parser = ResponseParser()
    for status in range(200, 1000):
        assert parser.parse(status_line(status) + b"\r\n").status == status


def test_field_lines_keep_order_and_repetition() -> None:
    lines = [(b"b", b"1"), (b"a", b""), (b"b", b"2")]
    assert field_lines(lines) == b"b: 1\r\na: \r\nb: 2\r\n"
    assert field_lines([]) == b""


def test_written_fields_are_read_back() -> None:
    lines = [(b"set-cookie", b"a=1"), (b"x-empty", b""), (b"set-cookie", b"b=2; Path=/\t\xe4")]
    assert ResponseParser().parse(status_line(200) + field_lines(lines) + b"\r\n").lines == lines


@pytest.mark.parametrize(
    ("content", "written"),
    [(b"x", b"1\r\nx\r\n"), (b"x" * 10, b"a\r\nxxxxxxxxxx\r\n"), (b"\r\n" * 128, b"100\r\n" + b"\r\n" * 128 + b"\r\n")],
)
def test_a_chunk_has_its_size_in_hexadecimal(content: bytes, written: bytes) -> None:
    assert chunk(content) == written


def test_the_last_chunk_carries_the_trailers() -> None:
    assert last_chunk() == b"0\r\n\r\n"
    assert last_chunk([(b"x-sum", b"1"), (b"x-end", b"")]) == b"0\r\nx-sum: 1\r\nx-end: \r\n\r\n"


def test_written_chunks_are_read_back() -> None:
    reader = ChunkedReader(BadMessage)
    written = chunk(b"a" * 70000) + chunk(b"\r\n0\r\n\r\n") + last_chunk([(b"x-sum", b"1")])
    assert reader.feed(written + b"rest") == b"a" * 70000 + b"\r\n0\r\n\r\n"
    assert (reader.is_complete, reader.rest, reader.trailers) == (True, b"rest", [(b"x-sum", b"1")])


def test_continue_is_a_complete_interim_response() -> None:
    assert ResponseParser().parse(CONTINUE).status == 100
