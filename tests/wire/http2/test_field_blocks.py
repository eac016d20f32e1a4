"""Header sections as bytes, compared with hpack, which is what others decode and encode with."""

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from thrust.http.headers import FieldLine
from thrust.wire.http2.field_blocks import MAX_LIST_BYTES, NO_TABLE, FieldDecoder, field_block, response_block
from thrust.wire.http2.frames import ConnectionFault, ErrorCode

names = st.binary(min_size=1, max_size=20).map(bytes.lower) | st.sampled_from([b":path", b"accept", b"cookie", b"x-a"])
lines = st.tuples(names, st.binary(max_size=60))
sections = st.lists(lines, max_size=12)


@given(st.lists(st.tuples(sections, st.booleans(), st.none() | st.integers(0, 4096)), max_size=8))
def test_what_hpack_encodes_is_decoded(rounds: list[tuple[list[FieldLine], bool, int | None]]) -> None:
    encoder, decoder = Encoder(), FieldDecoder()
    for fields, huffman, table_bytes in rounds:
        if table_bytes is not None:
            encoder.header_table_size = table_bytes
        for _ in range(2):
            assert decoder.decode_block(encoder.encode(fields, huffman=huffman)) == fields


@given(sections)
def test_what_is_encoded_hpack_decodes_with_whatever_table(fields: list[FieldLine]) -> None:
    block = field_block(fields)
    decoder = Decoder()
    decoder.header_table_size = 0
    decoder.max_allowed_table_size = 0
    assert [tuple(field) for field in decoder.decode(NO_TABLE + block, raw=True)] == fields
    assert [tuple(field) for field in decoder.decode(block, raw=True)] == fields


@given(st.binary(max_size=200))
def test_garbage_is_decoded_or_refused(block: bytes) -> None:
    try:
        ours = FieldDecoder().decode_block(block)
    except ConnectionFault as fault:
        assert fault.code in (ErrorCode.COMPRESSION_ERROR, ErrorCode.ENHANCE_YOUR_CALM)
    else:
        assert ours == [tuple(field) for field in Decoder().decode(block, raw=True)]


@pytest.mark.parametrize("status", [200, 204, 404, 101, 103, 299, 500, 503])
def test_a_status_comes_first(status: int) -> None:
    decoded = Decoder().decode(response_block(status, [(b"x", b"y")]))
    assert [tuple(field) for field in decoded] == [(":status", str(status)), ("x", "y")]


def test_what_is_secret_enters_no_table_on_the_way() -> None:
    decoded = list(Decoder().decode(field_block([(b"set-cookie", b"s=1"), (b"x-a", b"1")])))
    assert [isinstance(field, NeverIndexedHeaderTuple) for field in decoded] == [True, False]


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 254, 255, 16383, 16384, 40000])
def test_lengths_of_any_size(length: int) -> None:
    decoder = Decoder(max_header_list_size=1 << 20)
    assert list(decoder.decode(field_block([(b"x", b"v" * length)]))) == [("x", "v" * length)]


def test_a_list_is_decoded_up_to_its_limit() -> None:
    value_bytes = MAX_LIST_BYTES - 33
    assert FieldDecoder().decode_block(field_block([(b"x", b"v" * value_bytes)]))
    with pytest.raises(ConnectionFault) as fault:
        FieldDecoder().decode_block(field_block([(b"x", b"v" * (value_bytes + 1))]))
    assert fault.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_the_generation_changes_with_the_table() -> None:
    decoder, seen = FieldDecoder(), []
    for block in (b"\x82", b"\x00\x01a\x01b", b"\x10\x01a\x01b", b"\x40\x01a\x01b", b"\xbe", b"\x20", b"\x82"):
        decoder.decode_block(block)
        seen.append(decoder.generation)
    assert seen == [0, 0, 0, 1, 1, 2, 2]
