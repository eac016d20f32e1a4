"""Linux's openat2: the kernel itself sees to it that a path does not leave a folder, whatever is renamed meanwhile.

Called by `confined.py`. The C library has no function for it, so it is called by its number. `load` tries it out once,
because a kernel before 5.6 does not know it, and seccomp filters and gVisor forbid what they do not know; then
`walking.py` does all the work. Not used: RESOLVE_NO_XDEV, since volumes are mounted where files are kept.
"""

import errno
import os
from collections.abc import Callable
from functools import cache

OpenBeneath = Callable[[int, bytes], int]
"""Opens a relative path beneath a folder's descriptor, with FILE_FLAGS. Raises OSError."""

FILE_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | getattr(os, "O_LARGEFILE", 0)
"""O_NONBLOCK: opening a FIFO or a modem must not wait for the other side. Without effect on regular files."""

_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08

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


@cache
def load() -> OpenBeneath | None:
    """The system call as a function; None where this system does not have it, or not for us."""
    system = os.uname()
    number = _NUMBERS.get(system.machine) if system.sysname == "Linux" else None
    if number is None:
        return None
    try:
        open_beneath = _bind(number)
        _try_out(open_beneath)
    except (OSError, AttributeError):
        return None
    return open_beneath


def _bind(number: int) -> OpenBeneath:
    import ctypes  # some milliseconds, for Linux only

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
    # struct open_how: flags, mode, resolve. The kernel only reads it, so that all threads share one.
    how = (ctypes.c_uint64 * 3)(FILE_FLAGS, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    size_bytes = ctypes.sizeof(how)

    def open_beneath(folder_fd: int, path: bytes) -> int:
        while True:
            fd: int = syscall(number, folder_fd, path, how, size_bytes)
            if fd >= 0:
                return fd
            code = ctypes.get_errno()
            if code != errno.EINTR:  # tried again, as by os.open (PEP 475)
                raise OSError(code, os.strerror(code))

    return open_beneath


def _try_out(open_beneath: OpenBeneath) -> None:
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(open_beneath(root, b"."))
    finally:
        os.close(root)
