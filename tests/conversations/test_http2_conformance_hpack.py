"""RFC 7541 (HPACK): each representation, coded or not, the tables and their sizes, and what cannot be decoded."""

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from tests.support.http2_cases import HEADER_TABLE_SIZE, Case, case, get, headers, play, plays, settings, string

INDEXED_GET = b"\x82\x86\x84"  # :method GET, :scheme http, :path / of the static table
REQUEST = INDEXED_GET + b"\x01\x0bexample.org"
BROKEN = "GOAWAY COMPRESSION_ERROR"


def huffman(text: bytes) -> bytes:
    """A coded string literal (RFC 7541 §5.2)."""
    coded = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    assert len(coded) < 127
    return bytes((0x80 | len(coded),)) + coded


def request(stream_id: int, block: bytes) -> bytes:
    return headers(stream_id, block)


ACCEPT = 19  # in the static table
FIRST_DYNAMIC = 62
ENTRY = b"\x40" + string("x-a") + string("b")
"""Enters the table; 32 + 3 + 1 bytes there (§4.1)."""

CASES = [
    # §6.1: indexed fields
    case(
        "7541 6.1",
        "of the static table",
        request(1, REQUEST),
        "1: 200",
        reached=[b"GET / HTTP/1.1\r\nhost: example.org\r\n"],
    ),
    case(
        "7541 6.1",
        "POST and https of the static table",
        request(1, b"\x83\x87\x84\x01\x0bexample.org"),
        "1: 200",
        reached=[b"POST / "],
    ),
    case(
        "7541 6.1",
        "/index.html of the static table",
        request(1, b"\x82\x86\x85\x01\x0bexample.org"),
        "1: 200",
        reached=[b"GET /index.html "],
    ),
    case(
        "7541 6.1",
        "accept-encoding, gzip of the static table",
        request(1, REQUEST + b"\x90"),
        "1: 200",
        reached=[b"accept-encoding: gzip, deflate\r\n"],
    ),
    case(
        "7541 6.1",
        "of the dynamic table",
        [request(1, REQUEST + ENTRY), request(3, REQUEST + b"\xbe")],
        "1: 200, 3: 200",
        reached=[b"x-a: b\r\n"],
    ),
    case(
        "7541 6.1",
        "of the dynamic table, in the same block",
        request(1, REQUEST + ENTRY + b"\xbe"),
        "1: 200",
        reached=[b"x-a: b\r\nx-a: b\r\n"],
    ),
    case(
        "7541 6.1",
        "the newest entry has the lowest index (§2.3.3)",
        [request(1, REQUEST + b"\x40\x01a\x011" + b"\x40\x01b\x012"), request(3, REQUEST + b"\xbf\xbe")],
        "1: 200, 3: 200",
        reached=[b"a: 1\r\nb: 2\r\n"],
    ),
    case(
        "7541 6.1",
        "an index of several bytes",
        [
            request(1, REQUEST + b"".join(b"\x40" + string(f"x{number}") + string("y") for number in range(80))),
            request(3, REQUEST + b"\xff\x0e"),
        ],
        "1: 200, 3: 200",
        reached=[b"x0: y\r\n"],
    ),
    case("7541 6.1", "index 0", request(1, b"\x80"), BROKEN),
    case("7541 2.3.3", "an index just beyond both tables", request(1, REQUEST + b"\xbe"), BROKEN),
    case("7541 2.3.3", "an index far beyond both tables", request(1, REQUEST + b"\xff\xff\x7f"), BROKEN),
    case("7541 2.3.3", "a name's index beyond both tables", request(1, REQUEST + b"\x7e\x01b"), BROKEN),
    case(
        "7541 2.3.3",
        "a name's index beyond both tables, without indexing",
        request(1, REQUEST + b"\x0f\x2f\x01b"),
        BROKEN,
    ),
    # §6.2.1: literals with incremental indexing
    case(
        "7541 6.2.1",
        "indexed name",
        request(1, REQUEST + bytes((0x40 | ACCEPT,)) + string("a/b")),
        "1: 200",
        reached=[b"accept: a/b\r\n"],
    ),
    case(
        "7541 6.2.1",
        "indexed name, coded value",
        request(1, REQUEST + bytes((0x40 | ACCEPT,)) + huffman(b"a/b")),
        "1: 200",
        reached=[b"accept: a/b\r\n"],
    ),
    case(
        "7541 6.2.1",
        "new name",
        request(1, REQUEST + b"\x40" + string("x-a") + string("b")),
        "1: 200",
        reached=[b"x-a: b\r\n"],
    ),
    case(
        "7541 6.2.1",
        "new name, both coded",
        request(1, REQUEST + b"\x40" + huffman(b"x-a") + huffman(b"b")),
        "1: 200",
        reached=[b"x-a: b\r\n"],
    ),
    case(
        "7541 6.2.1",
        "name of the dynamic table",
        request(1, REQUEST + ENTRY + b"\x7e" + string("c")),
        "1: 200",
        reached=[b"x-a: b\r\nx-a: c\r\n"],
    ),
    case(
        "7541 6.2.1",
        ":path and :authority enter the table",
        [request(1, b"\x82\x86\x44\x04/abc\x41\x0bexample.org"), request(3, b"\x82\x86\xbf\xbe")],
        "1: 200, 3: 200",
        reached=[b"GET /abc "],
    ),
    # §6.2.2: without indexing
    case(
        "7541 6.2.2",
        "indexed name",
        request(1, REQUEST + b"\x0f\x04" + string("a/b")),
        "1: 200",
        reached=[b"accept: a/b\r\n"],
    ),
    case(
        "7541 6.2.2",
        "indexed name, coded value",
        request(1, REQUEST + b"\x0f\x04" + huffman(b"a/b")),
        "1: 200",
        reached=[b"accept: a/b\r\n"],
    ),
    case(
        "7541 6.2.2",
        "new name",
        request(1, REQUEST + b"\x00" + string("x-a") + string("b")),
        "1: 200",
        reached=[b"x-a: b\r\n"],
    ),
    case(
        "7541 6.2.2",
        "new name, both coded",
        request(1, REQUEST + b"\x00" + huffman(b"x-a") + huffman(b"b")),
        "1: 200",
        reached=[b"x-a: b\r\n"],
    ),
    case(
        "7541 6.2.2",
        "it does not enter the table",
        [request(1, REQUEST + b"\x00\x03x-a\x01b"), request(3, REQUEST + b"\xbe")],
        f"1: 200, {BROKEN}",
    ),
    # §6.2.3: never indexed
    case(
        "7541 6.2.3",
        "indexed name",
        request(1, REQUEST + b"\x1f\x04" + string("a/b")),
        "1: 200",
        reached=[b"accept: a/b\r\n"],
    ),
    case(
        "7541 6.2.3",
        "indexed name, coded value",
        request(1, REQUEST + b"\x1f\x04" + huffman(b"a/b")),
        "1: 200",
        reached=[b"accept: a/b\r\n"],
    ),
    case(
        "7541 6.2.3",
        "new name",
        request(1, REQUEST + b"\x10" + string("x-a") + string("b")),
        "1: 200",
        reached=[b"x-a: b\r\n"],
    ),
    case(
        "7541 6.2.3",
        "new name, both coded",
        request(1, REQUEST + b"\x10" + huffman(b"x-a") + huffman(b"b")),
        "1: 200",
        reached=[b"x-a: b\r\n"],
    ),
    case(
        "7541 6.2.3",
        "it does not enter the table",
        [request(1, REQUEST + b"\x10\x03x-a\x01b"), request(3, REQUEST + b"\xbe")],
        f"1: 200, {BROKEN}",
    ),
    # §4.2, §6.3: the table's size
    case("7541 6.3", "an update at the start", request(1, b"\x20" + REQUEST), "1: 200"),
    case("7541 6.3", "two updates at the start (§4.2)", request(1, b"\x20\x3f\xe1\x1f" + REQUEST), "1: 200"),
    case("7541 4.2", "three updates at the start", request(1, b"\x20\x21\x22" + REQUEST), BROKEN),
    case("7541 6.3", "an update to what we allow", request(1, b"\x3f\xe1\x1f" + REQUEST), "1: 200"),
    case("7541 6.3", "an update to one more than we allow", request(1, b"\x3f\xe2\x1f" + REQUEST), BROKEN),
    case("7541 6.3", "an update to very much more", request(1, b"\x3f\xe1\xff\xff\x7f" + REQUEST), BROKEN),
    case("7541 4.2", "an update behind a field", request(1, REQUEST + b"\x20"), BROKEN),
    case("7541 4.2", "an update between fields", request(1, b"\x82\x20\x86\x84\x01\x0bexample.org"), BROKEN),
    case(
        "7541 4.2",
        "an update in trailers, at the start",
        [headers(1, b"\x83\x86\x84\x01\x0bexample.org", end=False), headers(1, b"\x20\x00\x01x\x01y")],
        "1: 200",
        reached=[b"x: y\r\n"],
    ),
    case(
        "7541 4.3",
        "an update to 0 empties the table",
        [request(1, REQUEST + ENTRY), request(3, b"\x20" + REQUEST + b"\xbe")],
        f"1: 200, {BROKEN}",
    ),
    case(
        "7541 4.3",
        "an update to 0 and back empties the table",
        [request(1, REQUEST + ENTRY), request(3, b"\x20\x3f\xe1\x1f" + REQUEST + b"\xbe")],
        f"1: 200, {BROKEN}",
    ),
    case(
        "7541 4.3",
        "an update that evicts one of two",
        [
            request(1, REQUEST + ENTRY + b"\x40\x03x-c\x01d"),
            request(3, b"\x3f\x05" + REQUEST + b"\xbe"),
            request(5, REQUEST + b"\xbf"),
        ],
        f"1: 200, 3: 200, {BROKEN}",
        reached=[b"x-c: d\r\n"],
    ),
    case(
        "7541 4.4",
        "an entry larger than the table empties it",
        [
            request(1, REQUEST + ENTRY),
            request(3, REQUEST + b"\x40\x03big" + string("x" * 4096)),
            request(5, REQUEST + b"\xbe"),
        ],
        f"1: 200, 3: 200, {BROKEN}",
    ),
    case(
        "7541 4.4",
        "a new entry whose name is evicted by it",
        [request(1, b"\x3f\x05" + REQUEST + ENTRY), request(3, REQUEST + b"\x7e\x01c")],
        "1: 200, 3: 200",
        reached=[b"x-a: c\r\n"],
    ),
    case(
        "7541 4.2",
        "the client's HEADER_TABLE_SIZE is for us",
        [settings((HEADER_TABLE_SIZE, 0)), request(1, REQUEST + ENTRY), request(3, REQUEST + b"\xbe")],
        "1: 200, 3: 200",
    ),
    # §5.1: numbers
    case("7541 5.1", "a number without an end", request(1, REQUEST + b"\xff\x80\x80\x80"), BROKEN),
    case("7541 5.1", "a number with too many bytes", request(1, REQUEST + b"\xff" + b"\x80" * 20 + b"\x01"), BROKEN),
    case("7541 5.1", "a number of more than 64 bits", request(1, REQUEST + b"\xff" + b"\xff" * 10 + b"\x01"), BROKEN),
    case(
        "7541 5.1",
        "a number longer than it has to be",
        request(1, INDEXED_GET + b"\x01\x0bexample.org" + b"\x0f\x84\x00\x03a/b"),
        "1: 200",
        BROKEN,
        reached=[b"accept: a/b\r\n"],
    ),
    # §5.2: strings
    case("7541 5.2", "longer than the block", request(1, REQUEST + b"\x00\x7f\x00x"), BROKEN),
    case("7541 5.2", "a name and no value", request(1, REQUEST + b"\x00\x03x-a"), BROKEN),
    case(
        "7541 5.2", "an empty coded string", request(1, REQUEST + b"\x00\x03x-a\x80"), "1: 200", reached=[b"x-a: \r\n"]
    ),
    case(
        "7541 5.2",
        "padding of seven bits",
        request(1, REQUEST + b"\x00\x85\xf2\xb2\x4a\x84\xff\x01b"),
        "1: 200",
        reached=[b"x-test: b\r\n"],
    ),
    case("7541 5.2", "padding of twelve bits", request(1, REQUEST + b"\x00\x01x\x84\x49\x50\x9f\xff"), BROKEN),
    case("7541 5.2", "padding longer than seven bits", request(1, REQUEST + b"\x00\x01x\x82\x1f\xff"), BROKEN),
    case("7541 5.2", "padding with zeros", request(1, REQUEST + b"\x00\x01x\x81\x18"), BROKEN),
    case("7541 5.2", "EOS", request(1, REQUEST + b"\x00\x01x\x84\xff\xff\xff\xff"), BROKEN),
    case("7541 5.2", "EOS behind a character", request(1, REQUEST + b"\x00\x01x\x85\x1f\xff\xff\xff\xff"), BROKEN),
    case("7541 5.2", "half a code", request(1, REQUEST + b"\x00\x01x\x81\xfe"), BROKEN),
    case(
        "7541 5.2",
        "a character of thirty bits, which is no value",
        request(1, REQUEST + b"\x00\x01x" + huffman(b"\n")),
        "1: RST_STREAM PROTOCOL_ERROR",
    ),
    case(
        "7541 5.2",
        "each visible character, coded",
        [request(1, REQUEST + b"\x00\x01x" + huffman(bytes(range(0x21, 0x7F)))), get(3)],
        "1: 200, 3: 200",
        reached=[bytes(range(0x21, 0x7F))],
    ),
]


@pytest.mark.parametrize(("row", "read_bytes"), plays(CASES))
def test_what_becomes_of(row: Case, read_bytes: int) -> None:
    play(row, read_bytes=read_bytes)
