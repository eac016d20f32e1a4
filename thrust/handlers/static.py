"""THRUST_STATIC: folders that are served without the worker.

`/static:/app/staticfiles` serves the files beneath that folder under that path, to GET and HEAD. What is not there goes
on to the worker, as does everything that is not plainly the name of a file: folders (there are no index files), names
that begin with a dot, `..`, encoded slashes. Fingerprinted names are said to be immutable.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from thrust.cache.fingerprint import Recogniser
from thrust.files.confined import Roots
from thrust.files.refusals import FileRefused
from thrust.handlers.files import file_response
from thrust.http.headers import FieldLine
from thrust.http.message import Handler, Request, Response

IMMUTABLE: FieldLine = (b"cache-control", b"public, max-age=31536000, immutable")

# No names that a build tool gives: an encoded slash; after decoding an empty or dotted segment, backslash, control.
_ENCODED_SLASH = re.compile(rb"%2[fF]")
_UNUSUAL = re.compile(rb"(?:\A|/)(?:\.|/|\Z)|[\x00-\x1f\x7f\\]")


class Mount:
    """A path and the folder whose files are served under it."""

    __slots__ = ("prefix", "roots")

    def __init__(self, path: bytes, folder: bytes) -> None:
        self.prefix = path if path.endswith(b"/") else path + b"/"
        self.roots = Roots([folder])


class Static:
    """Serves the files of `mounts`; what is not among them comes from `following`."""

    def __init__(self, following: Handler, mounts: Sequence[Mount], recognise: Recogniser) -> None:
        self._following = following
        self._mounts = sorted(mounts, key=lambda mount: len(mount.prefix), reverse=True)
        self._prefixes = tuple(mount.prefix for mount in self._mounts)
        self._recognise = recognise

    async def __call__(self, request: Request) -> Response:
        """The file that the target names, or what `following` says."""
        if not request.target.startswith(self._prefixes) or request.method not in (b"GET", b"HEAD"):
            return await self._following(request)
        path = request.target.partition(b"?")[0]
        lines = [IMMUTABLE] if self._recognise(request.target) else []
        for mount in self._mounts:
            if not path.startswith(mount.prefix) or _ENCODED_SLASH.search(path):
                continue
            name = unquote_to_bytes(path[len(mount.prefix) :])
            if not _UNUSUAL.search(name):
                try:
                    return await file_response(request, mount.roots, name, lines=lines)
                except FileRefused as error:
                    if error.is_fault:
                        raise
        return await self._following(request)
