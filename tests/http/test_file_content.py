"""Parts of a file as content: what is read in which order, whose the descriptor is, and when it is closed."""

import asyncio
import errno
import gc
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from thrust.http.message import FILE_PIECE_BYTES, FileContent
from thrust.http.ranges import Range

T = TypeVar("T")

DATA = bytes(range(256)) * 3000
"""More than two pieces."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """Everything is closed by then, without the help of the collector."""
    gc.disable()
    before = set(os.listdir("/dev/fd"))
    yield
    left = set(os.listdir("/dev/fd")) - before
    gc.enable()
    assert len(left) <= 1, "besides the one with which the folder is read"


async def at_once(function: Callable[[], T]) -> T:
    return function()


def opened(path: Path, *segments: bytes | Range) -> FileContent:
    return FileContent(os.open(path, os.O_RDONLY), segments, at_once)


async def pieces_of(content: FileContent) -> list[bytes]:
    pieces = []
    while piece := await content.read():
        pieces.append(piece)
    assert await content.read() == b""
    return pieces


def run(story: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner() as runner:
        return runner.run(story)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([(0, len(DATA))], DATA),
        ([(5, 9)], DATA[5:9]),
        ([b"<", (700, 800), b"|", (3, 4), b">"], b"<" + DATA[700:800] + b"|" + DATA[3:4] + b">"),
        ([(0, 0), b"", (4, 4)], b""),
        ([], b""),
        ([b"no file at all"], b"no file at all"),
    ],
)
def test_segments_are_read_in_their_order(path: Path, segments: Sequence[bytes | Range], expected: bytes) -> None:
    content = opened(path, *segments)
    assert content.length == len(expected)
    assert b"".join(run(pieces_of(content))) == expected
    assert content.trailers == []
    content.close()


def test_pieces_are_bounded(path: Path) -> None:
    content = opened(path, (0, len(DATA)))
    lengths = [len(piece) for piece in run(pieces_of(content))]
    assert set(lengths[:-1]) == {FILE_PIECE_BYTES} and 0 < lengths[-1] <= FILE_PIECE_BYTES
    assert sum(lengths) == len(DATA)
    content.close()


def test_whoever_takes_bytes_by_other_means_may_go_on_by_reading(path: Path) -> None:
    content = opened(path, b"head", (10, 1000), (5, 6))
    content.advance(1)
    assert content.upcoming == b"ead"
    content.advance(3)
    assert content.upcoming == (10, 1000)
    content.advance(100)
    assert content.upcoming == (110, 1000)
    assert run(pieces_of(content)) == [DATA[110:1000], DATA[5:6]]
    assert content.upcoming is None
    assert content.length == 4 + 990 + 1
    content.close()


def test_the_file_is_closed_once(path: Path) -> None:
    content = opened(path, (0, 10))
    fd = content.descriptor.number
    content.close()
    assert not is_open(fd)
    other = os.open(path, os.O_RDONLY)  # takes the number over
    assert other == fd
    content.close()
    del content
    assert is_open(other)
    os.close(other)


def test_content_that_nobody_closed_is_closed_with_its_end(path: Path) -> None:
    content = opened(path, (0, 10))
    fd = content.descriptor.number
    del content
    assert not is_open(fd)


def test_closed_content_cannot_be_read(path: Path) -> None:
    content = opened(path, (0, 10))
    content.close()
    with pytest.raises(OSError, match="given up"):
        run(content.read())


def test_a_file_that_became_shorter_is_an_error_and_not_an_end(path: Path) -> None:
    content = opened(path, (0, len(DATA)))
    os.truncate(path, 100)

    async def story() -> None:
        assert await content.read() == DATA[:100]
        with pytest.raises(OSError, match="became shorter") as caught:
            await content.read()
        assert caught.value.errno == errno.EIO

    run(story())
    content.close()


def test_what_the_disk_says_is_passed_on(path: Path) -> None:
    content = FileContent(os.open(path.parent, os.O_RDONLY), [(0, 10)], at_once)
    with pytest.raises(IsADirectoryError):
        run(content.read())
    content.close()


class Disk:
    """Threads that wait until the disk is told to go on."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.is_reading = threading.Event()
        self.may_go_on = threading.Event()

    async def __call__(self, function: Callable[[], T]) -> T:
        def wait_and_call() -> T:
            self.is_reading.set()
            assert self.may_go_on.wait(20)
            return function()

        return await asyncio.get_running_loop().run_in_executor(self.pool, wait_and_call)

    async def until_reading(self) -> None:
        await asyncio.to_thread(self.is_reading.wait, 20)

    def go_on(self) -> None:
        """Returns when the thread has done what it had begun."""
        self.may_go_on.set()
        self.pool.shutdown()


@pytest.mark.parametrize("ending", ["cancelled", "closed"])
def test_a_file_stays_open_while_a_thread_reads_it(path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number must not come to stand for another file or connection under the thread's hands."""
    monkeypatch.setattr("thrust.http.message._NO_WAITING", None)  # as if it were not in memory
    disk = Disk()
    content = FileContent(os.open(path, os.O_RDONLY), [(0, 10)], disk)
    fd = content.descriptor.number

    async def story() -> None:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(expect_the_end())
            await disk.until_reading()
            if ending == "cancelled":
                reading.cancel()
                await asyncio.wait([reading])
            content.close()
            assert is_open(fd)
            disk.go_on()

    async def expect_the_end() -> None:
        with pytest.raises(OSError, match="given up"):
            await content.read()

    run(story())
    assert not is_open(fd)


def test_what_it_shows_of_itself(path: Path) -> None:
    content = opened(path, (0, 10), b"x")
    assert repr(content) == "<FileContent open, 2 segments left>"
    content.close()
    assert repr(content) == "<FileContent closed, 0 segments left>"
