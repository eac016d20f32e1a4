"""What stdout can be: a pipe whose reader may be slow, late or gone, and a terminal."""

import contextlib
import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

BOUND_S = 20.0
"""Longer than any of these tests needs on a busy machine; reaching it is a failure."""


class Pipe:
    """Both ends of a pipe. What `fill` put in is not part of what is read."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self._filler_bytes = 0
        self._received = bytearray()
        self._reader: threading.Thread | None = None

    def fill(self) -> None:
        """Leaves no room in the pipe, as when nobody has read for a while."""
        was_blocking = os.get_blocking(self.write_end)
        os.set_blocking(self.write_end, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._filler_bytes += os.write(self.write_end, b"." * 4096)
        os.set_blocking(self.write_end, was_blocking)

    def read_now(self) -> bytes:
        """What the next read gives, waited for."""
        assert select.select([self.read_end], [], [], BOUND_S)[0], "nothing was written"
        return os.read(self.read_end, 1 << 20)

    def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes, in however many writes they come."""
        received = b""
        while len(received) < count:
            assert select.select([self.read_end], [], [], BOUND_S)[0], f"nothing more after {received!r}"
            received += os.read(self.read_end, count - len(received))
        return received

    def is_empty(self) -> bool:
        return not select.select([self.read_end], [], [], 0)[0]

    def start_reading(self, piece_bytes: int = 1 << 16) -> None:
        """Reads from now on, `piece_bytes` at a time, in the background."""
        self._reader = threading.Thread(target=self._read, args=[piece_bytes])
        self._reader.start()

    def _read(self, piece_bytes: int) -> None:
        while piece := os.read(self.read_end, piece_bytes):
            self._received += piece

    def all_lines(self) -> list[str]:
        """Every line that was written, after closing our write end."""
        self.close_write_end()
        if self._reader is None:
            self.start_reading()
        assert self._reader is not None
        self._reader.join(BOUND_S)
        assert not self._reader.is_alive(), "somebody keeps the pipe open"
        return bytes(self._received[self._filler_bytes :]).decode().splitlines()

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close_read_end(self) -> None:
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def close(self) -> None:
        self.close_write_end()
        if self._reader is not None:
            self._reader.join(BOUND_S)
        self.close_read_end()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


class Terminal:
    """A pseudo-terminal: what a person sees, and our stdout."""

    def __init__(self) -> None:
        self._screen, self.stdout = os.openpty()

    def seen(self, lines: int = 1) -> str:
        """What appears, until that many lines are there."""
        seen = ""
        while seen.count("\n") < lines:
            assert select.select([self._screen], [], [], BOUND_S)[0], f"nothing more after {seen!r}"
            seen += os.read(self._screen, 65536).decode()
        return seen

    def close(self) -> None:
        os.close(self.stdout)
        os.close(self._screen)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program runs where the clock shows UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
