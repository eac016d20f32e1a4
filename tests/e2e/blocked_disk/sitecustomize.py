"""A disk that does not answer, for whoever has this directory on its path; see `tests/e2e/test_blocked_disk.py`.

Files called `blocked-open…` keep those who open them waiting, those called `blocked-read…` who read or send them, until
somebody has the FIFO $BLOCKED_DISK open for writing. Each who waits says so by a line in $BLOCKED_DISK.log. As with a
real disk, whoever asks only for what is there at once hears that there is nothing.
"""

import os
from typing import Any

from thrust.files.confined import AnyPath, OpenedFile, Roots

_fifo = os.environ["BLOCKED_DISK"]
_log = os.open(_fifo + ".log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

_open, _open_cached, _os_open, _pread, _preadv, _sendfile = (
    Roots.open,
    Roots.open_cached,
    os.open,
    os.pread,
    os.preadv,
    os.sendfile,
)


def _wait() -> None:
    os.write(_log, b"waiting\n")
    os.close(_os_open(_fifo, os.O_RDONLY))


def _is_blocked(fd: int) -> bool:
    return "/blocked-read" in os.readlink(f"/proc/self/fd/{fd}")


def _slow_open(self: Roots, path: AnyPath) -> OpenedFile:
    if b"/blocked-open" in os.fsencode(path):
        _wait()
    return _open(self, path)


def _open_without_waiting(self: Roots, path: AnyPath) -> OpenedFile:
    if b"/blocked-open" in os.fsencode(path):
        raise BlockingIOError
    return _open_cached(self, path)


def _slow_pread(fd: int, *rest: Any) -> bytes:
    if _is_blocked(fd):
        _wait()
    return _pread(fd, *rest)


def _slow_preadv(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
    if _is_blocked(fd):
        if flags & os.RWF_NOWAIT:
            raise BlockingIOError
        _wait()
    return _preadv(fd, buffers, offset, flags)


def _slow_sendfile(out_fd: int, in_fd: int, *rest: Any) -> int:
    if _is_blocked(in_fd):
        _wait()
    return _sendfile(out_fd, in_fd, *rest)


Roots.open, Roots.open_cached = _slow_open, _open_without_waiting  # type: ignore[method-assign]  # a disk that blocks
os.pread, os.preadv, os.sendfile = _slow_pread, _slow_preadv, _slow_sendfile  # type: ignore[assignment]  # the same
