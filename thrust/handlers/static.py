"""THRUST_STATIC: folders that are served without the worker.

`/static:/app/staticfiles` serves the files beneath that folder under that path, to GET and HEAD. What is not there goes
on to the worker, as does everything that is not plainly the name of a file: folders (there are no index files), `..`,
encoded slashes. Names that begin with a dot are refused, but for `.well-known` (RFC 8615): what lies beside the assets
as `.git` or `.env` is nobody's business, not even by way of the worker. Fingerprinted names are said to be immutable.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from thrust.cache.fingerprint import Recogniser
from thrust.files.refusals import FileRefused, Refusal
from thrust.handlers.files import LogRefusal, Mount, file_response
from thrust.http.headers import FieldLine
from thrust.http.message import Handler, Request, Response

IMMUTABLE: FieldLine = (b"cache-control", b"public, max-age=31536000, immutable")

# Links that lead astray: something for the operator to mend, as after `collectstatic --link`.
_ASTRAY = frozenset({Refusal.OUTSIDE, Refusal.LINKS})

# No names that a build tool gives: an encoded slash; once decoded an empty segment, `.`, `..`, a backslash, a control.
_ENCODED_SLASH = re.compile(rb"%2[fF]")
_UNUSUAL = re.compile(rb"(?:\A|/)(?:\.?\.?(?:/|\Z))|[\x00-\x1f\x7f\\]")
_HIDDEN = re.compile(rb"(?:\A\.(?!well-known/)|/\.)(?!\.?(?:/|\Z))")


class Static:
    """Serves the files of `mounts`; what is not among them comes from `following`."""

    def __init__(
        self, following: Handler, mounts: Sequence[Mount], recognise: Recogniser, log_refusal: LogRefusal
    ) -> None:
        self._following = following
        self._mounts = sorted(mounts, key=lambda mount: len(mount.prefix), reverse=True)
        self._prefixes = tuple(mount.prefix for mount in self._mounts)
        self._recognise = recognise
        self._log_refusal = log_refusal

    async def __call__(self, request: Request) -> Response:
        """The file that the target names, or what `following` says."""
        if request.target.startswith(self._prefixes) and request.method in (b"GET", b"HEAD"):
            response = await self._find(request)
            if response is not None:
                return response
        return await self._following(request)

    async def _find(self, request: Request) -> Response | None:
        """The file in the first folder that has it; raises FileRefused if it cannot be read, or begins with a dot."""
        path = request.target.partition(b"?")[0]
        lines = [IMMUTABLE] if self._recognise(request.target) else []
        for mount in self._mounts:
            if not path.startswith(mount.prefix):
                continue
            name = unquote_to_bytes(path.removeprefix(mount.prefix))
            if _HIDDEN.search(name):
                raise FileRefused(path, Refusal.HIDDEN)
            if _UNUSUAL.search(name) or _ENCODED_SLASH.search(path):
                continue
            try:
                return await file_response(request, mount.roots, mount.path_of(name), lines=lines)
            except FileRefused as error:
                if error.is_fault or error.refusal in _ASTRAY:
                    self._log_refusal(request, str(error), is_fault=error.is_fault)
                    request.exchange.error = str(error)
                if error.is_fault:
                    raise
        return None
