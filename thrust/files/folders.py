"""A folder that is held open, so that what is opened beneath it does not depend on names above it.

Made by `confined.py`, passed to `walking.py`. Threads use a folder while another thread has found its successor, so
nobody closes it: the descriptor goes with the last reference. A number that is closed while it is in use could
already belong to another folder.
"""

import os
import weakref

from thrust.files.file_systems import is_local

FOLDER_FLAGS = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
"""With O_PATH, which macOS does not have, a folder that may be searched but not listed will do."""


class Folder:
    """The folder that `path` led to: `fd`, and `names`, the parts of its real path from `/` on.

    `is_local` says whether its file system opens files without asking anybody else.
    """

    __slots__ = ("__weakref__", "_identity", "fd", "is_local", "names")

    def __init__(self, path: bytes) -> None:
        """Raises OSError if there is no such folder."""
        # The real path is opened, not `path`, so that name and descriptor fit when a link is changed in between.
        real = os.path.realpath(path, strict=True)
        self.fd = os.open(real, FOLDER_FLAGS)
        # Not at exit: threads may still be at it, and the end of the process closes everything.
        weakref.finalize(self, os.close, self.fd).atexit = False
        self.names = names_of(real.rstrip(b"/"))
        self.is_local = is_local(self.fd)
        self._identity = _identity(os.fstat(self.fd))

    def is_same(self, stat: os.stat_result) -> bool:
        """Whether `stat` is that of this folder."""
        return _identity(stat) == self._identity


Place = tuple[Folder, list[bytes]]
"""Where a file is: a folder, and the names from there on."""


def names_of(path: bytes) -> list[bytes]:
    """The parts of `path`, `..` included; the last one is `.` if the path can only be that of a folder."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if path.endswith((b"/", b"/.")):
        names.append(b".")
    return names


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
