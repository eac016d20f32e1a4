"""What every coding has to do: decode to the same bytes for strict clients, whole, in pieces, and with padding."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.coding.reference import decoded, incremental_decoder, text
from thrust.coding.codec import CodingError
from thrust.coding.codings import CODINGS, compress_best, compress_quickly, decompress, encoder

all_codings = pytest.mark.parametrize("coding", CODINGS, ids=bytes.decode)

some_lengths = st.sampled_from([1, 500, 5000, 20_000, 40_000])
some_content = st.one_of(
    st.binary(max_size=2000),
    some_lengths.map(text),
    st.builds(lambda piece, times: piece * times, st.binary(max_size=50), st.integers(0, 1000)),
)
large_content = st.one_of(
    st.integers(0, 200_000).map(text),
    st.builds(lambda piece, times: piece * times, st.binary(max_size=50), st.integers(0, 10_000)),
)
some_paddings = st.one_of(st.just(0), st.integers(0, 2000))

FLUSH = None
Steps = list[bytes | None]
some_steps = st.lists(st.one_of(some_content, st.just(b""), st.just(FLUSH)), max_size=8)
large_steps = st.lists(st.one_of(some_content, large_content, st.just(FLUSH)), max_size=12)


def streamed(coding: bytes, pieces: list[bytes], padding_bytes: int) -> bytes:
    stream = encoder(coding, padding_bytes)
    return b"".join([*map(stream.encode, pieces), stream.finish()])


# Whole ----------------------------------------------------------------------------------------------------------------


@all_codings
@given(content=some_content, padding_bytes=some_paddings)
@settings(max_examples=40, deadline=None)
def test_what_was_compressed_quickly_decodes_to_the_same(coding: bytes, content: bytes, padding_bytes: int) -> None:
    coded = compress_quickly(coding, content, padding_bytes)
    assert decoded(coding, coded) == content
    assert decompress(coding, coded, len(content)) == content


@all_codings
@pytest.mark.parametrize("content", [b"", b"x", text(1000), text(70_000), bytes(300_000)], ids=len)
def test_what_was_compressed_as_well_as_possible_decodes_to_the_same(coding: bytes, content: bytes) -> None:
    coded = compress_best(coding, content)
    assert decoded(coding, coded) == content
    assert decompress(coding, coded, len(content)) == content


@all_codings
def test_the_best_is_smaller_than_the_quick(coding: bytes) -> None:
    content = text(50_000)
    assert len(compress_best(coding, content)) < 0.97 * len(compress_quickly(coding, content))


# In pieces ------------------------------------------------------------------------------------------------------------


@all_codings
@given(steps=some_steps, padding_bytes=some_paddings)
@settings(max_examples=40, deadline=None)
def test_a_client_can_decode_all_that_was_flushed(coding: bytes, steps: Steps, padding_bytes: int) -> None:
    follow(coding, steps, padding_bytes)


@all_codings
@given(steps=large_steps, padding_bytes=some_paddings)
@settings(max_examples=150, deadline=None)
@pytest.mark.slow
def test_a_client_can_decode_all_that_was_flushed_of_much(coding: bytes, steps: Steps, padding_bytes: int) -> None:
    follow(coding, steps, padding_bytes)


def follow(coding: bytes, steps: Steps, padding_bytes: int) -> None:
    """Sends a stream to a client, which has to have seen everything after each flush."""
    stream = encoder(coding, padding_bytes)
    decode = incremental_decoder(coding)
    fed, seen, coded = b"", b"", b""
    for content in steps:
        sent = stream.flush() if content is FLUSH else stream.encode(content)
        fed += content or b""
        coded += sent
        seen += decode(sent) if sent else b""
        assert fed.startswith(seen)
        if content is FLUSH:
            assert len(seen) == len(fed)
    coded += stream.finish()
    assert decoded(coding, coded) == fed
    assert decompress(coding, coded, len(fed)) == fed


@all_codings
def test_a_stream_longer_than_any_window_decodes_to_the_same(coding: bytes) -> None:
    pieces = [text(50_000, seed) for seed in range(6)]
    assert decoded(coding, streamed(coding, pieces, padding_bytes=17)) == b"".join(pieces)


@all_codings
def test_events_are_sent_one_by_one_and_use_what_came_before(coding: bytes) -> None:
    stream = encoder(coding)
    event = text(300)
    first, second = (stream.encode(event) + stream.flush() for _ in range(2))
    assert 0 < len(second) < len(first) / 3


@all_codings
@pytest.mark.parametrize("padding_bytes", [0, 1, 40])
def test_a_stream_of_nothing_decodes_to_nothing(coding: bytes, padding_bytes: int) -> None:
    assert decoded(coding, encoder(coding, padding_bytes).finish()) == b""
    assert decoded(coding, compress_quickly(coding, b"", padding_bytes)) == b""


@all_codings
@pytest.mark.parametrize("padding_bytes", [0, 40])
def test_flushes_with_nothing_to_flush_send_nothing(coding: bytes, padding_bytes: int) -> None:
    stream = encoder(coding, padding_bytes)
    assert [stream.flush(), stream.encode(b""), stream.flush()] == [b"", b"", b""]
    coded = stream.encode(b"event") + stream.flush()
    assert [stream.flush(), stream.encode(b""), stream.flush()] == [b"", b"", b""]
    assert decoded(coding, coded + stream.finish()) == b"event"


@all_codings
def test_no_piece_is_sent_that_holds_a_header_only(coding: bytes) -> None:
    assert encoder(coding, 40).encode(b"x") == b""


# Padding --------------------------------------------------------------------------------------------------------------


def overheads(coding: bytes, lengths: dict[int, int]) -> set[int]:
    """By how much the lengths exceed that without padding, beyond the padding."""
    return {length - lengths[0] - padding_bytes for padding_bytes, length in lengths.items() if padding_bytes}


@all_codings
@pytest.mark.parametrize("content", [b"", b"x", text(1500)], ids=len)
def test_padding_makes_whole_content_longer_by_exactly_so_much(coding: bytes, content: bytes) -> None:
    coded = {padding: compress_quickly(coding, content, padding) for padding in [*range(301), 511, 513, 5000]}
    assert {decoded(coding, each) for each in coded.values()} == {content}
    [overhead] = overheads(coding, {padding: len(each) for padding, each in coded.items()})
    assert 0 <= overhead <= 6


@all_codings
def test_padding_makes_streams_longer_by_exactly_so_much(coding: bytes) -> None:
    pieces = [text(1500, seed) for seed in range(3)]
    coded = {padding: streamed(coding, pieces, padding) for padding in [*range(301), 511, 513, 5000]}
    assert {decoded(coding, each) for each in coded.values()} == {b"".join(pieces)}
    [overhead] = overheads(coding, {padding: len(each) for padding, each in coded.items()})
    assert 0 <= overhead <= 6


@all_codings
def test_padded_content_can_be_decoded_byte_by_byte(coding: bytes) -> None:
    content = text(3000)
    for padding_bytes in range(40):
        decode = incremental_decoder(coding)
        coded = compress_quickly(coding, content, padding_bytes)
        assert b"".join(decode(coded[at : at + 1]) for at in range(len(coded))) == content


# Decoding -------------------------------------------------------------------------------------------------------------


@all_codings
def test_content_may_be_as_large_as_allowed_and_no_larger(coding: bytes) -> None:
    coded = compress_quickly(coding, text(5000))
    assert decompress(coding, coded, 5000) == text(5000)
    with pytest.raises(CodingError, match="exceeds 4999 bytes"):
        decompress(coding, coded, 4999)


@all_codings
def test_no_content_may_be_decoded_into_no_room(coding: bytes) -> None:
    assert decompress(coding, compress_quickly(coding, b""), 0) == b""
    with pytest.raises(CodingError, match="exceeds 0 bytes"):
        decompress(coding, compress_quickly(coding, b"x"), 0)


@all_codings
@pytest.mark.parametrize("padding_bytes", [0, 20])
def test_content_that_is_cut_short_is_refused(coding: bytes, padding_bytes: int) -> None:
    coded = compress_quickly(coding, text(400), padding_bytes)
    for length in range(len(coded)):
        with pytest.raises(CodingError):
            decompress(coding, coded[:length], 400)


@all_codings
def test_nothing_is_not_coded_content(coding: bytes) -> None:
    with pytest.raises(CodingError, match="ends too early, after 0 bytes"):
        decompress(coding, b"", 100)


@all_codings
@pytest.mark.parametrize("length", [400, 40_000])
@pytest.mark.parametrize("rest", [b"\x00", b"x", b"garbage" * 10], ids=repr)
def test_content_with_something_after_its_end_is_refused(coding: bytes, length: int, rest: bytes) -> None:
    with pytest.raises(CodingError):
        decompress(coding, compress_quickly(coding, text(length)) + rest, 2 * length)


@all_codings
@given(content=st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_bytes_at_random_are_decoded_or_refused(coding: bytes, content: bytes) -> None:
    try:
        assert len(decompress(coding, content, 1000)) <= 1000
    except CodingError as error:
        assert str(error)


@all_codings
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
@settings(max_examples=50, deadline=None)
def test_damaged_content_is_decoded_or_refused(coding: bytes, at: int, flip: int) -> None:
    coded = bytearray(compress_quickly(coding, text(2000), 10))
    coded[at % len(coded)] ^= flip
    try:
        assert len(decompress(coding, bytes(coded), 3000)) <= 3000
    except CodingError as error:
        assert str(error)


@pytest.mark.parametrize("coding", [b"", b"identity", b"deflate", b"GZIP"])
def test_an_unknown_coding_is_an_error_that_names_it(coding: bytes) -> None:
    with pytest.raises(CodingError, match=f"unknown content coding {coding!r}"):
        decompress(coding, b"", 100)


# Start-up -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "library"), [(b"", ""), (b"br", "brotli"), (b"zstd", "zstd"), (b"gzip", "isal")], ids=str
)
@pytest.mark.slow
def test_a_library_is_loaded_by_the_first_use_of_its_coding(coding: bytes, library: str) -> None:
    program = f"""
import sys
import thrust.coding.codings, thrust.coding.compressible
if {coding!r}:
    thrust.coding.codings.compress_quickly({coding!r}, b"x")
print(*{{"zstd" if "zstd" in name else name for name in sys.modules}} & {{"brotli", "isal", "zstd"}})
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.strip() == library
