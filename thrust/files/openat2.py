"""Linux's openat2: the kernel itself sees to it that a path does not leave a folder, whatever is renamed meanwhile.

Called by `confined.py`. The C library has no function for it, so it is called by its number. `load` tries it out once,
because a kernel before 5.6 does not know it, and seccomp filters and gVisor forbid what they do not know; then
`walking.py` does all the work. Not used there: RESOLVE_NO_XDEV, since volumes are mounted where files are kept.

`load_cached` is for who must not wait, with Linux 5.12: names are looked up in the kernel's memory only, else it says
EAGAIN. That is true of the names alone. To open what they lead to, NFS asks its server and FUSE its program, and wait
for the answer. So the caller asks `file_systems.py` about the folder, and RESOLVE_NO_XDEV keeps the file on its volume.
"""

import errno
import os
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from thrust.files.folders import FOLDER_FLAGS

OpenAt = Callable[[int, bytes], int]
"""Opens a path relative to a folder's descriptor, and returns the descriptor of what is there. Raises OSError."""

FILE_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | getattr(os, "O_LARGEFILE", 0)
"""O_NONBLOCK: opening a FIFO or a modem must not wait for the other side. Without effect on regular files."""

_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_RESOLVE_CACHED = 0x20

_CONFINED = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS

# System calls of this age have one number everywhere, but for an offset on MIPS, Alpha and x32: there files are walked
# to. A program for 32 bits sees the machine of its kernel, and its number is the same.
_NUMBERS = dict.fromkeys(
    (
        *("x86_64", "i386", "i486", "i586", "i686"),
        *("aarch64", "armv6l", "armv7l", "armv8l"),
        *("ppc64", "ppc64le", "riscv64", "s390x", "loongarch64"),
    ),
    437,
)


class Cached(NamedTuple):
    """Opening what the kernel has the names of in memory; EAGAIN for the rest."""

    beneath: OpenAt
    """A relative path, as the function of `load`, and not on another volume than the folder (EXDEV)."""
    folder: OpenAt
    """A folder by any path, not confined, with FOLDER_FLAGS: to see which one it is."""


@cache
def load() -> OpenAt | None:
    """openat2 for a relative path beneath a folder, with FILE_FLAGS; None where there is none, or not for us."""
    return _working(FILE_FLAGS, _CONFINED)


@cache
def load_cached() -> Cached | None:
    """The same for who must not wait; None where openat2 does not know how."""
    beneath = _working(FILE_FLAGS, _CONFINED | _RESOLVE_NO_XDEV | _RESOLVE_CACHED)
    folder = _working(FOLDER_FLAGS, _RESOLVE_CACHED)
    return Cached(beneath, folder) if beneath and folder else None


def _working(flags: int, resolve: int) -> OpenAt | None:
    system = os.uname()
    number = _NUMBERS.get(system.machine) if system.sysname == "Linux" else None
    if number is None:
        return None
    try:
        open_at = _bind(number, flags, resolve)
        _try_out(open_at)
    except (OSError, AttributeError):
        return None
    return open_at


def _bind(number: int, flags: int, resolve: int) -> OpenAt:
    import ctypes  # some milliseconds, for Linux only

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
    # struct open_how: flags, mode, resolve. The kernel only reads it, so that all threads share one.
    how = (ctypes.c_uint64 * 3)(flags, 0, resolve)
    size_bytes = ctypes.sizeof(how)

    def open_at(folder_fd: int, path: bytes) -> int:
        while True:
            fd: int = syscall(number, folder_fd, path, how, size_bytes)
            if fd >= 0:
                return fd
            code = ctypes.get_errno()
            if code != errno.EINTR:  # tried again, as by os.open (PEP 475)
                raise OSError(code, os.strerror(code))

    return open_at


def _try_out(open_at: OpenAt) -> None:
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(open_at(root, b"."))
    finally:
        os.close(root)
