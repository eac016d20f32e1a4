"""Field lines that are remembered: the same answer as the first time, for as many and as long lines as is stated."""

import pytest

from thrust.errors import UpstreamError
from thrust.wire.http1.field_memory import MAX_REMEMBERED_BYTES, MAX_REMEMBERED_LINES, FieldMemory
from thrust.wire.http1.responses import malformed

RAW = [b"Server: x", b"server:x\t", b"Empty:", b"Blank: \t ", b"Set-Cookie: a=1", b"Set-Cookie: a=1", b"Obs: \xe4"]
READ = [
    (b"server", b"x"),
    (b"server", b"x"),
    (b"empty", b""),
    (b"blank", b""),
    (b"set-cookie", b"a=1"),
    (b"set-cookie", b"a=1"),
    (b"obs", b"\xe4"),
]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The lines that had to be parsed, in order."""
    lines: list[bytes] = []
    parse = FieldMemory.__missing__

    def noting(memory: FieldMemory, raw: bytes) -> tuple[bytes, bytes]:
        lines.append(raw)
        return parse(memory, raw)

    monkeypatch.setattr(FieldMemory, "__missing__", noting)
    return lines


def test_lines_are_read_the_same_the_second_time() -> None:
    memory = FieldMemory(malformed)
    assert memory.read(RAW) == READ
    assert memory.read(RAW) == READ
    assert memory.read([]) == []


def test_a_line_that_is_remembered_is_not_parsed_again(parsed: list[bytes]) -> None:
    memory = FieldMemory(malformed)
    memory.read([b"A: 1", b"B: 2"])
    memory.read([b"B: 2", b"C: 3", b"A: 1"])
    assert parsed == [b"A: 1", b"B: 2", b"C: 3"]


@pytest.mark.parametrize("raw", [b"Set-Cookie: a=1", b"A: " + b"x" * (MAX_REMEMBERED_BYTES - 2)])
def test_cookies_and_long_lines_are_not_remembered(raw: bytes, parsed: list[bytes]) -> None:
    memory = FieldMemory(malformed)
    assert memory.read([raw, raw]) == [memory.read([raw])[0]] * 2
    assert parsed == [raw] * 3


def test_the_memory_is_bounded(parsed: list[bytes]) -> None:
    memory = FieldMemory(malformed)
    memory.read([b"A: %d" % number for number in range(MAX_REMEMBERED_LINES)])
    memory.read([b"A: 0"])
    assert len(parsed) == MAX_REMEMBERED_LINES
    memory.read([b"B: 1"])
    assert memory.read([b"A: 0"]) == [(b"a", b"0")]
    assert parsed[-2:] == [b"B: 1", b"A: 0"]


@pytest.mark.parametrize(
    "raw",
    [b"A : 1", b" A: 1", b"A", b": 1", b"", b"A: \x00", b"A: 1\rB: 2", b"A: 1\nB: 2", b"A: 1\n", b"A(: 1", b"\xe4: 1"],
)
def test_a_broken_line_is_refused_each_time(raw: bytes) -> None:
    memory = FieldMemory(malformed)
    for _ in range(2):
        with pytest.raises(UpstreamError, match="invalid field line"):
            memory.read([b"A: 1", raw])
