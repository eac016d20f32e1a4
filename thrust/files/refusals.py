"""Why a file is not sent: the one error that leaves this room, and what each errno of the system comes to.

The error's text is for the operator's log and names the path; the client gets `status` and nothing else. What is
missing, outside, or not ours to read is 404 alike, so that an answer does not tell whether there is such a file.
"""

import errno
import os
from enum import Enum

from thrust.errors import ThrustError

_MAX_SHOWN = 300
"""Characters of a path in a log line; a header may hold 60 KB."""


class Refusal(Enum):
    """What is wrong with a path or with the file that it leads to; the value is the end of the log's sentence."""

    OUTSIDE = "it is not beneath a folder that may be sent from"
    MISSING = "there is no such file"
    FOLDER = "it is a folder"
    NOT_REGULAR = "it is not a regular file"
    UNREADABLE = "permission denied"
    TOO_LONG = "the name is too long"
    HIDDEN = "names that begin with a dot are not served"
    NUL = "the name contains NUL"
    LINKS = "too many symbolic links on the way"
    OVERLOAD = "the system has no resources left to open it"
    FAILURE = "the system cannot open it"


_STATUS = {Refusal.OVERLOAD: 503, Refusal.FAILURE: 500}

_FAULTS = frozenset({Refusal.UNREADABLE, Refusal.OVERLOAD, Refusal.FAILURE})

_BY_ERRNO = {
    errno.ENOENT: Refusal.MISSING,
    errno.ENOTDIR: Refusal.MISSING,
    errno.EXDEV: Refusal.OUTSIDE,
    errno.EISDIR: Refusal.FOLDER,
    errno.ENXIO: Refusal.NOT_REGULAR,  # a socket, or a device without a driver
    errno.ENODEV: Refusal.NOT_REGULAR,
    errno.EOPNOTSUPP: Refusal.NOT_REGULAR,  # a socket, on macOS
    errno.EACCES: Refusal.UNREADABLE,
    errno.EPERM: Refusal.UNREADABLE,
    errno.ENAMETOOLONG: Refusal.TOO_LONG,
    errno.ELOOP: Refusal.LINKS,
    errno.EMFILE: Refusal.OVERLOAD,
    errno.ENFILE: Refusal.OVERLOAD,
    errno.ENOMEM: Refusal.OVERLOAD,
    errno.EAGAIN: Refusal.OVERLOAD,
}


class FileRefused(ThrustError):
    """A file that is not sent. `status` is the client's answer: 404, 503 if we are short of something, or 500."""

    def __init__(self, path: bytes, refusal: Refusal, detail: str = "") -> None:
        super().__init__(path, refusal, detail)
        self.path = path
        self.refusal = refusal
        self.detail = detail

    @property
    def status(self) -> int:
        """The status for the client."""
        return _STATUS.get(self.refusal, 404)

    @property
    def is_fault(self) -> bool:
        """Whether the file would be sent if the machine were in order: something for the log's level `error`."""
        return self.refusal in _FAULTS

    def __str__(self) -> str:
        name = os.fsdecode(self.path)
        shown = repr(name if len(name) <= _MAX_SHOWN else name[:_MAX_SHOWN] + "...")
        return f"cannot send the file {shown}: {self.refusal.value}{self.detail and f' ({self.detail})'}"


def refusal_of(path: bytes, error: OSError) -> FileRefused:
    """The FileRefused for an `error` that opening `path` has met."""
    refusal = _BY_ERRNO.get(error.errno or 0, Refusal.FAILURE)
    is_plain = refusal not in (Refusal.OVERLOAD, Refusal.FAILURE)
    return FileRefused(path, refusal, "" if is_plain else os.strerror(error.errno or 0))
