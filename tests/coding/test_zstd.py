"""zstd only: frames, windows, and padding whatever the frame header looks like."""

import pytest

from tests.coding.reference import CLIENTS_WINDOW_LOG, decoded, text, zstd_frame
from thrust.coding import zstd
from thrust.coding.codec import CodingError

SKIPPABLE = b"\x50\x2a\x4d\x18\x05\x00\x00\x00abcde"


def test_several_frames_are_one_content_and_skippable_ones_are_none() -> None:
    one, two = (zstd.compress_quickly(content, 0) for content in (b"one ", b"two"))
    coded = SKIPPABLE + one + SKIPPABLE + zstd.compress_quickly(b"", 0) + two + SKIPPABLE
    assert zstd.decompress(coded, 7) == b"one two"
    with pytest.raises(CodingError, match="exceeds 6 bytes"):
        zstd.decompress(coded, 6)


def test_frames_may_end_anywhere() -> None:
    """Also where one of the slices ends in which the input is read."""
    frame = zstd.compress_quickly(text(40), 0)
    for filler in range(2 * len(frame)):
        length = zstd._PIECE_BYTES - 80 + filler
        first = b"\x50\x2a\x4d\x18" + length.to_bytes(4, "little") + b"x" * length
        assert zstd.decompress(first + frame * 3, 1000) == text(40) * 3


def test_a_skippable_frame_that_is_cut_short_is_refused() -> None:
    with pytest.raises(CodingError, match="ends too early"):
        zstd.decompress(zstd.compress_quickly(b"x", 0) + SKIPPABLE[:-1], 100)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 65_791, 65_792, 65_793, 300_000])
@pytest.mark.parametrize("padding_bytes", [1, 2, 3, 300])
def test_padding_finds_its_place_behind_every_size_of_frame_header(length: int, padding_bytes: int) -> None:
    content = text(length)
    assert decoded(b"zstd", zstd.compress_quickly(content, padding_bytes)) == content


def test_a_window_that_clients_refuse_is_refused() -> None:
    assert zstd.decompress(zstd_frame(text(1000), CLIENTS_WINDOW_LOG), 1000) == text(1000)
    with pytest.raises(CodingError, match="malformed zstd content"):
        zstd.decompress(zstd_frame(text(1000), CLIENTS_WINDOW_LOG + 1), 1000)


@pytest.mark.slow
def test_the_best_for_large_content_stays_in_the_window_that_clients_have() -> None:
    content = text(100_000) * 100
    assert decoded(b"zstd", zstd.compress_best(content)) == content


def test_a_stream_asks_the_client_for_a_small_window() -> None:
    stream = zstd.encoder(0)
    stream.encode(text(1000))
    window_descriptor = stream.flush()[5]
    assert 10 + (window_descriptor >> 3) <= 17
