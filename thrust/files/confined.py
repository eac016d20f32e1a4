"""Opening regular files beneath a few folders, the roots, and nothing else: the door of this room.

Called by the handlers that send files: `open` in a thread, because every look at a disk may block, and before it
`open_cached` without one, because most files that are asked for have been asked for before. A name is never checked
first and opened later: either the kernel confines the path while it resolves it (`openat2.py`), or the path is walked
without following links (`walking.py`), and what is asked about the file is asked of the descriptor. Symbolic links may
lead anywhere beneath their root, absolute ones beneath any, and nowhere else. `..` in a path is taken by its spelling,
as in URLs; in a link it means what it says.

A root is the folder that its path leads to *now*: when a deploy replaces the link `current`, the next file comes from
the new release. That costs a stat per file, and where we may not wait for one as much as opening does: a tenth of
file-10k. To trust a path for a second would save it, and let the cache keep an old release's file as the new one's.

What cannot be seen: a hard link beneath a root *is* the file, wherever its other names are (Linux allows them only to
those who own the file or may write it, fs.protected_hardlinks). Nor is a mounted volume told from a folder, because
volumes are what files are kept on. Whoever may do either inside a root decides what is sent.
"""

import errno
import os
import stat
from collections.abc import Iterable

from thrust.errors import ConfigError
from thrust.files.folders import Folder, Place, names_of
from thrust.files.openat2 import Cached, load, load_cached
from thrust.files.refusals import FileRefused, Refusal, refusal_of
from thrust.files.walking import open_by_walking

AT_FDCWD = -100
"""Linux's descriptor of the working directory, of no concern for absolute paths."""

MAX_PATH_BYTES = 4095
"""What Linux takes (PATH_MAX without its NUL); also where the path is walked."""

AnyPath = bytes | str | os.PathLike[bytes] | os.PathLike[str]

# openat2's ways to say "not like this": an absolute or magic link, a folder that was renamed meanwhile, or a filter
# that was put on after it had been tried out.
_UNDECIDED = frozenset({errno.EXDEV, errno.ELOOP, errno.EAGAIN, errno.EPERM, errno.ENOSYS})


class OpenedFile:
    """A regular file that may be sent: its descriptor, and `stat` as it was on opening. Whoever drops it closes it."""

    __slots__ = ("fd", "stat")

    def __init__(self, fd: int, file_stat: os.stat_result) -> None:
        self.fd = fd
        self.stat = file_stat

    def close(self) -> None:
        """Closes the descriptor; as often as wanted. `fd` is -1 from then on."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __repr__(self) -> str:
        return f"<OpenedFile {self.fd}, {self.stat.st_size} bytes>" if self.fd >= 0 else "<OpenedFile, closed>"


class Roots:
    """The folders that files may be opened beneath. May be used by several threads at once."""

    def __init__(self, folders: Iterable[AnyPath], *, may_use_openat2: bool = True) -> None:
        """Opens `folders`, at least one; relative ones begin at the working directory of this moment.

        Raises ConfigError for one that is not there. Descriptors are closed when the object is dropped.
        """
        self._roots = [_Root(os.path.abspath(os.fsencode(folder))) for folder in folders]
        self._openat2 = load() if may_use_openat2 else None
        self._cached = load_cached() if may_use_openat2 else None

    def open(self, path: AnyPath) -> OpenedFile:
        """The regular file at `path`: an absolute one beneath any root, a relative one beneath the first.

        Of roots within each other the inner one counts. Bytes are taken as they are, `%2e` is a name. Raises
        FileRefused.
        """
        path = _without_nul(path)
        try:
            return _checked(self._open(self._locate(path)), path)
        except OSError as error:
            raise refusal_of(path, error) from error

    def open_cached(self, path: AnyPath) -> OpenedFile:
        """The same without waiting for a disk, if the kernel has all that it takes in memory.

        Raises BlockingIOError if not: then `open` tells, in a thread. FileRefused means what it means there.
        """
        path, cached = _without_nul(path), self._cached
        if cached is None:
            raise _would_wait()
        try:
            folder, names = self._locate(path, cached)
            return _checked(cached.beneath(folder.fd, b"/".join(names) or b"."), path)
        except OSError as error:
            if error.errno in _UNDECIDED:
                raise _would_wait() from None
            raise refusal_of(path, error) from error

    def _locate(self, path: bytes, cached: Cached | None = None) -> Place:
        """Where `path` leads; with `cached` EAGAIN where that cannot be told at once."""
        if len(path) > MAX_PATH_BYTES:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        names = names_of(os.path.normpath(path))
        if path.endswith((b"/", b"/.", b"/..")):
            names.append(b".")
        if path.startswith(b"/"):
            return self._locate_absolute(names, cached)
        return self._roots[0].folder(cached), names

    def _locate_absolute(self, names: list[bytes], cached: Cached | None = None) -> Place:
        best: tuple[int, Folder] | None = None
        for root in self._roots:
            folder = root.folder(cached)
            # An app may know the folder by the name that we were told, or by its real one.
            for prefix in (root.names, folder.names):
                if names[: len(prefix)] == prefix and (best is None or len(prefix) > best[0]):
                    best = len(prefix), folder
        if best is None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return best[1], names[best[0] :]

    def _open(self, place: Place) -> int:
        folder, names = place
        if self._openat2 is not None:
            try:
                return self._openat2(folder.fd, b"/".join(names) or b".")
            except OSError as error:
                if error.errno not in _UNDECIDED:
                    raise
        return open_by_walking(place, self._locate_absolute)


class _Root:
    """A folder by its path, and what that led to the last time."""

    __slots__ = ("_folder", "_path", "names")

    def __init__(self, path: bytes) -> None:
        self._path = path
        self.names = names_of(path.rstrip(b"/"))
        try:
            self._folder = Folder(path)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise ConfigError(f"cannot send files from {os.fsdecode(path)!r}: {reason}") from error

    def folder(self, cached: Cached | None) -> Folder:
        """The folder that the path leads to now, or the last one that it led to; with `cached` EAGAIN for the last."""
        if cached is not None:
            return self._folder_at_once(cached)
        folder = self._folder
        try:
            if not folder.is_same(os.stat(self._path)):
                folder = self._folder = Folder(self._path)
        except OSError:  # it leads nowhere, as for a moment while a deploy replaces a link
            pass
        return folder

    def _folder_at_once(self, cached: Cached) -> Folder:
        folder = self._folder
        if not folder.is_local:
            raise _would_wait()
        try:
            fd = cached.folder(AT_FDCWD, self._path)
        except OSError:
            raise _would_wait() from None
        try:
            is_same = folder.is_same(os.fstat(fd))
        finally:
            os.close(fd)
        if not is_same:
            raise _would_wait()
        return folder


def _would_wait() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "this may have to wait for a disk")


def _without_nul(path: AnyPath) -> bytes:
    path = os.fsencode(path)
    if b"\0" in path:
        raise FileRefused(path, Refusal.NUL)
    return path


def _checked(fd: int, path: bytes) -> OpenedFile:
    """The file if it is a regular one; otherwise `fd` is closed, and FileRefused or OSError raised."""
    try:
        file_stat = os.fstat(fd)
        if not stat.S_ISREG(file_stat.st_mode):
            raise FileRefused(path, Refusal.FOLDER if stat.S_ISDIR(file_stat.st_mode) else Refusal.NOT_REGULAR)
    except BaseException:
        os.close(fd)
        raise
    return OpenedFile(fd, file_stat)
