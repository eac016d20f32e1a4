"""Makes the disk below one file slow; put into a Python front's process as its `sitecustomize`.

Whoever wants content of a file called SLOW_NAME finds nothing of it in the page cache, and waits for WAIT_S, the thread
and all that depends on it, as for a disk that does not answer. Like a system call, the wait lets other threads run.
"""

import os
import time
from collections.abc import Callable
from typing import Any

SLOW_NAME = "file-10m"
WAIT_S = 3.0
"""Not 1: the threads that have waited send together, which takes a hundredth of a second of the core that they share
with the loop. Once a second, that is what p99 would show: the work of downloads, not the waiting."""


def install() -> None:
    """From now on, `os` waits for that file."""
    os.preadv = _never_cached(os.preadv)
    os.pread = _slow(os.pread, argument=0)
    os.sendfile = _slow(os.sendfile, argument=1)


def _slow(function: Callable[..., Any], argument: int) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        if _is_slow(arguments[argument]):
            time.sleep(WAIT_S)
        return function(*arguments)

    return call


def _never_cached(preadv: Callable[..., int]) -> Callable[..., int]:
    def call(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if _is_slow(fd):
            if flags & os.RWF_NOWAIT:
                raise BlockingIOError
            time.sleep(WAIT_S)
        return preadv(fd, buffers, offset, flags)

    return call


def _is_slow(fd: int) -> bool:
    return os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) == SLOW_NAME


if __name__ == "sitecustomize":
    install()
