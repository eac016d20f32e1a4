"""Opening a file beneath a folder one name at a time, without ever following a link: the other way to be confined.

Called by `confined.py` where there is no openat2, and for what openat2 leaves undecided: it refuses every absolute
link, also one that leads back inside. Each name is opened relative to the folder before it with O_NOFOLLOW, so the
kernel steps over no link and no `..`, whatever is renamed meanwhile. Links are read, and their text is walked in the
same way; after a `..` the walk begins anew at the top, because the parent of a moved folder may be anywhere. Nothing
outside the folders is opened or even looked at.

Without O_PATH (macOS) every folder on the way has to be readable, not only searchable.
"""

import errno
import os
from collections.abc import Callable

from thrust.files.folders import FOLDER_FLAGS, Place, names_of
from thrust.files.openat2 import FILE_FLAGS

MAX_LINKS = 40
"""Links on the way to one file, as in Linux."""

MAX_STEPS = 1000
"""Names that are looked at for one file; those before a `..` count again. Some milliseconds at most."""

Locate = Callable[[list[bytes]], Place]
"""Finds the place that an absolute path, given by its names, belongs to; OSError (EXDEV) if there is none."""

# With O_NOFOLLOW and O_DIRECTORY a link is ELOOP or ENOTDIR, depending on the system.
_MAYBE_LINK = frozenset({errno.ELOOP, errno.ENOTDIR})


def open_by_walking(place: Place, locate: Locate) -> int:
    """A descriptor of what is at `place`, opened with FILE_FLAGS.

    `locate` is asked for the target of an absolute link. Raises OSError, with EXDEV for what leads out.
    """
    walk = _Walk(place, locate)
    try:
        return walk.to_the_end()
    finally:
        walk.close()


class _Walk:
    """Where a walk has got to: at `_held` after the names in `_passed`, or at the top; `_pending` is next, reversed."""

    def __init__(self, place: Place, locate: Locate) -> None:
        self._locate = locate
        self._folder, names = place
        self._pending = names[::-1]
        self._passed: list[bytes] = []
        self._held = -1
        self._links = 0

    def to_the_end(self) -> int:
        for _ in range(MAX_STEPS):
            name = self._next_name()
            if name == b"..":
                self._up()
            elif (fd := self._step(name)) is not None:
                return fd
        raise _error(errno.ENAMETOOLONG)

    def close(self) -> None:
        if self._held >= 0:
            os.close(self._held)
        self._held = -1

    def _next_name(self) -> bytes:
        """Takes the next name that is more than `.`; if there is none, the path is that of a folder."""
        while self._pending:
            if (name := self._pending.pop()) != b".":
                return name
        raise _error(errno.EISDIR)

    def _step(self, name: bytes) -> int | None:
        """The descriptor if `name` was the last one; else one folder further, or a link's text before what follows."""
        at = self._folder.fd if self._held < 0 else self._held
        try:
            fd = os.open(name, (FOLDER_FLAGS if self._pending else FILE_FLAGS) | os.O_NOFOLLOW, dir_fd=at)
        except OSError as error:
            target = _link_target(name, at) if error.errno in _MAYBE_LINK else None
            if target is None and error.errno != errno.ELOOP:
                raise
        else:
            return self._arrive(name, fd)
        # What was a link and is none any more has been replaced in between: the same name once more.
        self._follow(name if target is None else target)
        return None

    def _arrive(self, name: bytes, fd: int) -> int | None:
        if not self._pending:
            return fd
        self.close()
        self._held = fd
        self._passed.append(name)
        return None

    def _follow(self, target: bytes) -> None:
        self._links += 1
        if self._links > MAX_LINKS:
            raise _error(errno.ELOOP)
        names = names_of(target)
        if target.startswith(b"/"):
            self._folder, names = self._locate(names)
            self._begin_anew()
        self._pending += reversed(names)

    def _up(self) -> None:
        if not self._passed:
            raise _error(errno.EXDEV)
        self._pending += reversed(self._passed[:-1])
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.close()
        self._passed.clear()


def _link_target(name: bytes, folder_fd: int) -> bytes | None:
    """The text of the link called `name`; None if that is no link."""
    try:
        return os.readlink(name, dir_fd=folder_fd)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
