"""br only: windows, and metadata that is written by hand."""

import brotli
import pytest

from tests.coding.reference import text
from thrust.coding import br


@pytest.mark.parametrize("length", [30_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_the_best_is_as_good_as_brotli_itself(length: int) -> None:
    content = text(length)
    assert len(br.compress_best(content)) <= 1.001 * len(brotli.compress(content))


@pytest.mark.parametrize(
    ("length", "window_log"),
    [(0, 16), (65_535, 16), (65_536, 17), (100_000, 17), (1_000_000, 20), (5_000_000, 22), (100_000_000, 22)],
)
def test_the_window_is_as_large_as_the_content(length: int, window_log: int) -> None:
    assert br._window_log(bytes(length)) == window_log


@pytest.mark.parametrize("skip_bytes", [1, 2, 255, 256])
def test_metadata_begins_and_ends_at_byte_boundaries(skip_bytes: int) -> None:
    empty = brotli.Compressor()
    stream = empty.flush() + br._metadata_block(skip_bytes) * 3 + empty.finish()
    assert brotli.decompress(stream) == b""


def test_the_padding_is_where_the_content_is_sent_first() -> None:
    stream = br.encoder(50)
    assert len(stream.encode(b"event") + stream.flush()) > 50
    assert len(stream.encode(b"event") + stream.flush()) < 50
