"""gzip only: members, checksums, and the way without isal."""

import gzip as stdlib
import importlib.util
import sys
from types import ModuleType

import pytest

from tests.coding.reference import decoded, text
from thrust.coding import gzip
from thrust.coding.codec import CodingError


@pytest.fixture(params=["isal", "zlib"])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is here, and as it is where isal has no wheel."""
    if request.param == "isal":
        pytest.importorskip("isal")
        return gzip
    monkeypatch.setitem(sys.modules, "isal", None)
    assert gzip.__file__ is not None
    spec = importlib.util.spec_from_file_location("gzip_without_isal", gzip.__file__)
    assert spec is not None and spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    assert copy.deflate.__name__ == "zlib"
    return copy


def test_both_libraries_make_the_same_content(module: ModuleType) -> None:
    content = text(100_000)
    stream = module.encoder(0)
    coded = stream.encode(content[:60_000]) + stream.flush() + stream.flush() + stream.encode(content[60_000:])
    assert decoded(b"gzip", coded + stream.finish()) == content
    for padding_bytes in (0, 1, 300):
        assert decoded(b"gzip", module.compress_quickly(content, padding_bytes)) == content


def test_a_flush_with_nothing_to_flush_sends_nothing(module: ModuleType) -> None:
    stream = module.encoder(0)
    assert stream.flush() == b""
    assert stream.encode(b"event") + stream.flush() != b""
    assert stream.flush() == b""


def test_the_header_says_neither_when_nor_where_it_was_made(module: ModuleType) -> None:
    for coded in (module.compress_quickly(b"x", 0), module.encoder(0).finish()):
        assert coded[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def test_several_members_are_one_content() -> None:
    coded = b"".join([gzip.compress_quickly(b"one ", 0), stdlib.compress(b""), gzip.compress_quickly(b"two", 9)])
    assert gzip.decompress(coded, 7) == b"one two"
    with pytest.raises(CodingError, match="exceeds 6 bytes"):
        gzip.decompress(coded, 6)


def test_members_may_end_anywhere() -> None:
    """Also where one of the slices ends in which the input is read."""
    member = stdlib.compress(text(40))
    for filler in range(2 * len(member)):
        first = gzip.compress_quickly(b"", gzip._PIECE_BYTES - 80 + filler)
        assert gzip.decompress(first + member * 3, 1000) == text(40) * 3


def test_thousands_of_tiny_members_are_one_content() -> None:
    assert gzip.decompress(stdlib.compress(b"x") * 3000, 3000) == b"x" * 3000


@pytest.mark.parametrize("position", [-8, -5, -4, -1])
def test_a_wrong_checksum_or_length_is_refused(position: int) -> None:
    coded = bytearray(gzip.compress_quickly(text(500), 0))
    coded[position] ^= 1
    with pytest.raises(CodingError, match="malformed gzip content"):
        gzip.decompress(bytes(coded), 1000)
