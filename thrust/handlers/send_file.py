"""X-Sendfile: the app names a file in its response and is free again; the file is sent in its place.

THRUST_SEND_FILE_HEADER is the field by which it does so. X-Sendfile, and any name of one's own, holds a path.
X-Accel-Redirect holds a URI, which THRUST_SEND_FILE_MAPPING leads to a folder as an `internal` location does in nginx.
Either way the file has to lie beneath a folder that may be sent from. What the app says about it (status, type,
disposition, caching, tags) is kept, its body is dropped. Where the file is refused the log says which and why, and the
client only that there is nothing.

The worker is told by X-Sendfile-Type, as Rack and others expect it. None of these fields ever reaches a client, also
when the feature is off or listens to another one: a path tells too much.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import unquote_to_bytes

from thrust.errors import UpstreamError
from thrust.files.confined import Roots
from thrust.files.refusals import FileRefused, Refusal
from thrust.handlers.files import LogRefusal, Mount, file_response
from thrust.http.headers import FieldLine
from thrust.http.message import Handler, Request, Response, Tunnel

ACCEL_REDIRECT = b"x-accel-redirect"

# By which files are named to nginx, Apache (its module can be told to delete the file, too), lighttpd and LiteSpeed.
_FIELDS = frozenset(
    (
        *(ACCEL_REDIRECT, b"x-sendfile", b"x-sendfile-temporary"),
        *(b"x-lighttpd-send-file", b"x-sendfile2", b"x-litespeed-location"),
    )
)

_MAYBE_MISREAD = frozenset({Refusal.MISSING, Refusal.TOO_LONG, Refusal.OUTSIDE})
"""What may come of a name, or of the root before it, that is encoded: three bytes for one, and not the root's own."""

_STRUCTURE = re.compile(rb"(?:\A|/)\.{0,2}")
"""Of a path what an app may have looked at: its slashes, and the dots that begin a name, or are all of it."""

Locate = Callable[[bytes], Iterator[tuple[Roots, bytes]]]
"""Where the file may be that a worker names, the likeliest place first; raises FileRefused if there is none."""


class SendFile:
    """Sends the files that the responses of `following` name in the field `header` (lower case)."""

    def __init__(self, following: Handler, header: bytes, locate: Locate, log_refusal: LogRefusal) -> None:
        self._following = following
        self._header = header
        self._hidden = _FIELDS | {header}
        self._locate = locate
        self._log_refusal = log_refusal

    async def __call__(self, request: Request) -> Response:
        """The worker's response, or the file that it names; raises FileRefused."""
        response = await self._following(request)
        if self._hidden.isdisjoint(dict(response.headers.lines)):
            return response
        named = set(response.headers.get_all(self._header)) - {b""}
        unheeded = _take_out(response, self._hidden)
        if not named or isinstance(response.body, Tunnel):
            if unheeded:
                request.exchange.error = f"{unheeded} was dropped: THRUST_SEND_FILE_HEADER is {self._header.decode()}"
            return response
        response.close()  # whatever the body is, and however much of it is still to come
        if len(named) > 1:
            names = ", ".join(repr(os.fsdecode(name)) for name in sorted(named)[:3])
            raise UpstreamError(f"the worker's response names {len(named)} files to send: {names}")
        try:
            return await self._send(request, response, named.pop())
        except FileRefused as error:
            self._log_refusal(request, str(error), is_fault=error.is_fault)
            raise

    async def _send(self, request: Request, response: Response, named: bytes) -> Response:
        # Frameworks that always say what the type is can say nothing only by an empty one.
        lines = [line for line in response.headers.lines if line != (b"content-type", b"")]
        refused = (named, Refusal.MISSING)
        for roots, path in self._locate(named):
            try:
                return await file_response(request, roots, path, status=response.status, lines=lines)
            except FileRefused as error:
                if error.refusal not in _MAYBE_MISREAD:
                    raise
                refused = error.path, error.refusal  # not the error, which knows this frame: a circle
        raise FileRefused(*refused)


class HideSendFile:
    """Takes the fields of this feature out of responses while it is off."""

    def __init__(self, following: Handler) -> None:
        self._following = following

    async def __call__(self, request: Request) -> Response:
        """The worker's response without them."""
        response = await self._following(request)
        if not _FIELDS.isdisjoint(dict(response.headers.lines)) and (unheeded := _take_out(response, _FIELDS)):
            request.exchange.error = f"{unheeded} was dropped: THRUST_SEND_FILE_HEADER is off"
        return response


class Paths:
    """A Locate for paths beneath one of `roots`; there may be none."""

    def __init__(self, roots: Roots | None) -> None:
        self._roots = roots

    def __call__(self, named: bytes) -> Iterator[tuple[Roots, bytes]]:
        """The path as it is, then as it may be meant."""
        if self._roots is None:
            raise FileRefused(named, Refusal.OUTSIDE, "no working directory but /: set THRUST_SEND_FILE_ROOT")
        yield self._roots, named
        # mod_xsendfile decodes what it is given, so apps encode it.
        if (decoded := _decoded(named)) is not None:
            yield self._roots, decoded
        if (utf8 := _as_utf8(named)) is not None:
            yield self._roots, utf8


class Mappings:
    """A Locate for URIs as in X-Accel-Redirect; each of `mounts` is a beginning and the folder that it stands for."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._mounts = sorted(mounts, key=lambda mount: len(mount.prefix), reverse=True)

    def __call__(self, named: bytes) -> Iterator[tuple[Roots, bytes]]:
        """The path in the folder of the longest beginning that fits; `..` does not lead out of that folder."""
        uri = unquote_to_bytes(named.partition(b"?")[0])
        mount = next((mount for mount in self._mounts if uri.startswith(mount.prefix)), None)
        if mount is None:
            raise FileRefused(uri, Refusal.OUTSIDE, "no part of THRUST_SEND_FILE_MAPPING fits")
        path = mount.path_of(uri[len(mount.prefix) :])
        yield mount.roots, path
        if (utf8 := _as_utf8(path)) is not None:
            yield mount.roots, utf8


def offer_of(header: bytes, mounts: Sequence[Mount] = ()) -> list[FieldLine]:
    """The request fields that tell the worker to use `header`: X-Sendfile-Type, X-Accel-Mapping (folder=URI)."""
    # Rack compares the name by letter case, too.
    lines = [(b"x-sendfile-type", b"-".join(part.capitalize() for part in header.split(b"-")))]
    if mounts:
        lines.append((b"x-accel-mapping", b", ".join(mount.folder + b"=" + mount.prefix for mount in mounts)))
    return lines


def _decoded(path: bytes) -> bytes | None:
    """The path without percent-encoding; None if nothing is encoded, or a NUL, a slash, or a dot at a name's beginning.

    Apps look for those in what they have from a client, before we decode it: a name must not become another folder's,
    or that of a hidden file, behind their back.
    """
    decoded = unquote_to_bytes(path)
    if decoded == path or b"\0" in decoded:
        return None
    return decoded if _STRUCTURE.findall(decoded) == _STRUCTURE.findall(path) else None


def _as_utf8(path: bytes) -> bytes | None:
    """The path of a name that an app server has sent in Latin-1, as most do with non-ASCII text; None if it has not."""
    try:
        path.decode()
    except UnicodeDecodeError:
        return path.decode("latin-1").encode()
    return None


def _take_out(response: Response, names: frozenset[bytes]) -> str:
    """Takes the fields called `names` out of the response; returns the name of one that said something, or ""."""
    kept, taken = [], b""
    for line in response.headers.lines:
        if line[0] not in names:
            kept.append(line)
        elif line[1]:
            taken = line[0]
    response.headers.lines = kept
    return taken.decode()
