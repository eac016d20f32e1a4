"""Responses made of files: what `send_file` and `static` have in common.

`thrust/files` decides what may be opened and what is said about it. A file is found and opened in a thread, since a
disk may keep us waiting, unless the kernel knows all names on the way. The content stays in the file, whatever its
size: the server lets the kernel send it. Only those who need all of it, to keep it or to code it, read it by
`whole_content`.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from thrust.coding.codings import CODINGS
from thrust.errors import ThrustError
from thrust.files.answer import Content, answer
from thrust.files.confined import OpenedFile, Roots
from thrust.files.refusals import FileRefused, Refusal
from thrust.files.siblings import OpenFile, may_be_replaced, open_best
from thrust.handlers.disk_threads import DiskThreads
from thrust.http.conditions import IF_MATCH, for_worker
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import FileContent, Request, Response
from thrust.http.negotiation import IDENTITY, accepted_codings

MAX_DISK_THREADS = 32
"""As many as nginx has (thread_pool default). So many requests may wait for a disk before the next one does, too: for a
file that is not in memory, or for what may be one beneath a path of THRUST_STATIC. Nothing else waits for them."""

_ORIGINAL: tuple[bytes, ...] = (IDENTITY,)
_WITHOUT_CONTENT = frozenset({204, 205, 304})

_threads = DiskThreads(MAX_DISK_THREADS)

T = TypeVar("T")


class LogRefusal(Protocol):
    """Hears of each file that an app or an operator means to be sent, and that is not.

    `is_fault` says that the machine is not in order, rather than the path.
    """

    def __call__(self, request: Request, reason: str, /, *, is_fault: bool) -> None: ...


class Mount:
    """The beginning of some paths in URLs, with a slash at its end, and the folder that it stands for."""

    __slots__ = ("folder", "prefix", "roots")

    def __init__(self, prefix: bytes, folder: bytes, others: Sequence[bytes] = ()) -> None:
        """Links beneath `folder` may lead to `others`, too. Raises ConfigError for a folder that is not there."""
        self.prefix = prefix.rstrip(b"/") + b"/"
        self.folder = os.path.abspath(folder).rstrip(b"/") + b"/"
        self.roots = Roots([self.folder, *others])

    def path_of(self, name: bytes) -> bytes:
        """The path of the file with that name, which `..` does not lead out of the folder; raises FileRefused."""
        name = name.lstrip(b"/")
        if os.path.normpath(name).split(b"/", 1)[0] == b"..":
            raise FileRefused(self.folder + name, Refusal.OUTSIDE)
        return self.folder + name


def in_disk_thread(function: Callable[[], T]) -> Awaitable[T]:
    """What `function` returns, which may wait for a disk."""
    return asyncio.get_running_loop().run_in_executor(_threads, function)


async def file_response(
    request: Request, roots: Roots, path: bytes, *, status: int = 200, lines: Sequence[FieldLine] = ()
) -> Response:
    """The file at `path`, or a precompressed sibling, as the answer to `request`; raises FileRefused.

    `status` and `lines` are what an app has said about it.
    """
    headers, accepted = request.headers, _ORIGINAL
    may_have_others = may_be_replaced(Headers(list(lines)))
    if IF_MATCH in headers and b"range" not in headers:
        # Who has coded what the client holds, a build tool or we, is not to be seen in its tag: it gets the original.
        headers = Headers(for_worker(headers.lines))
    elif may_have_others:
        accepted = accepted_codings(headers.get_all(b"accept-encoding"), CODINGS)
    found = _found_at_once(roots, path, accepted)
    if found is None:
        found = await in_disk_thread(partial(_Found, roots.open, path, accepted))
    content = Content(found.file.stat, path, found.coding if may_have_others else None)
    described = answer(request.method, headers, content, time.time(), status=status, lines=lines)
    length = described.content_length
    # In answer to HEAD all of the content is there as well, so that it is seen how GET would be answered.
    segments = described.segments or ([(0, length)] if length else [])
    if segments:
        body = FileContent(found.take(), segments, in_disk_thread)
        return Response(described.status, Headers(described.lines), body, body.length)
    without_length = described.status in _WITHOUT_CONTENT
    return Response(described.status, Headers(described.lines), b"", None if without_length else 0)


async def whole_content(content: FileContent) -> bytes:
    """All of the content, which is closed; raises ThrustError if the file cannot be read."""
    pieces = []
    try:
        while piece := await content.read():
            pieces.append(piece)
    except OSError as error:
        raise ThrustError(f"a file could not be read: {error.strerror}") from error
    finally:
        content.close()
    return b"".join(pieces)


class _Found:
    """A file that has been opened, maybe by a thread, whose client may have left meanwhile: closed unless taken."""

    __slots__ = ("coding", "file")

    file: OpenedFile

    def __init__(self, open_file: OpenFile, path: bytes, accepted: tuple[bytes, ...]) -> None:
        self.file, self.coding = open_best(open_file, path, accepted)

    def take(self) -> int:
        """The descriptor, which is the caller's from now on."""
        fd, self.file.fd = self.file.fd, -1
        return fd

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self.file.close()


def _found_at_once(roots: Roots, path: bytes, accepted: tuple[bytes, ...]) -> _Found | None:
    """The file if nobody has to be waited for; else None. Raises FileRefused."""
    try:
        return _Found(roots.open_cached, path, accepted)
    except BlockingIOError:
        return None
