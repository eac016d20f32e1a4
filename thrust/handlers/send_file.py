"""X-Sendfile: the app names a file in its response and is free again; the file is sent in its place.

THRUST_SEND_FILE_HEADER is the field by which it does so. X-Sendfile holds a path; X-Accel-Redirect holds a URI, which
THRUST_SEND_FILE_MAPPING leads to a folder, as an `internal` location does in nginx. Either way the file has to lie
beneath a folder that may be sent from. What the app says about it (status, type, disposition, caching, tags) is kept,
its body is dropped. Where the file is refused the log says which and why, and the client only that there is nothing.

The worker is told by X-Sendfile-Type, as Rack and others expect it. None of these fields ever reaches a client, also
when the feature is off: a path tells too much.
"""

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from thrust.files.confined import Roots
from thrust.files.refusals import FileRefused, Refusal
from thrust.handlers.files import file_response
from thrust.http.message import Handler, Request, Response, Tunnel

ACCEL_REDIRECT = b"x-accel-redirect"
_FIELDS = frozenset({ACCEL_REDIRECT, b"x-lighttpd-send-file", b"x-sendfile"})

Mapping = Sequence[tuple[bytes, bytes]]
"""Pairs of a URI's beginning and the folder that it stands for, both with a slash at the end."""


class SendFile:
    """Sends the files that the responses of `following` name in the field `header` (lower case).

    `roots` None: there is no folder that may be sent from.
    """

    def __init__(self, following: Handler, header: bytes, roots: Roots | None, mapping: Mapping = ()) -> None:
        self._following = following
        self._header = header
        self._roots = roots
        self._mapping = sorted(mapping, key=lambda pair: len(pair[0]), reverse=True)
        self._hidden = _FIELDS | {header}
        self._offer = [(b"x-sendfile-type", _spelled(header))]
        if header == ACCEL_REDIRECT and mapping:
            pairs = b", ".join(folder + b"=" + uri for uri, folder in mapping)
            self._offer.append((b"x-accel-mapping", pairs))

    async def __call__(self, request: Request) -> Response:
        """The worker's response, or the file that it names; raises FileRefused."""
        request.headers.lines = request.headers.lines + self._offer
        response = await self._following(request)
        fields = dict(response.headers.lines)
        if self._hidden.isdisjoint(fields):
            return response
        named = fields.get(self._header)
        hide(response, self._hidden)
        if not named or isinstance(response.body, Tunnel):
            return response
        response.close()
        return await self._send(request, response, named)

    async def _send(self, request: Request, response: Response, named: bytes) -> Response:
        roots, status, lines = self._roots, response.status, response.headers.lines
        if roots is None:
            raise FileRefused(named, Refusal.OUTSIDE, "the working directory is /: set THRUST_SEND_FILE_ROOT")
        if self._header == ACCEL_REDIRECT:
            return await file_response(request, roots, self._mapped(named), status=status, lines=lines)
        try:
            return await file_response(request, roots, named, status=status, lines=lines)
        except FileRefused as error:
            # mod_xsendfile decodes what it is given, so some apps encode it.
            decoded = unquote_to_bytes(named)
            if error.refusal is not Refusal.MISSING or decoded == named:
                raise
            return await file_response(request, roots, decoded, status=status, lines=lines)

    def _mapped(self, uri: bytes) -> bytes:
        """The path that an X-Accel-Redirect stands for; raises FileRefused if it is in no mapping."""
        path = unquote_to_bytes(uri.partition(b"?")[0])
        for prefix, folder in self._mapping:
            if path.startswith(prefix):
                return folder + path[len(prefix) :]
        raise FileRefused(path, Refusal.OUTSIDE, "no part of THRUST_SEND_FILE_MAPPING fits")


class HideSendFile:
    """Takes the fields of this feature out of responses while it is off."""

    def __init__(self, following: Handler) -> None:
        self._following = following

    async def __call__(self, request: Request) -> Response:
        """The worker's response without them."""
        response = await self._following(request)
        if not _FIELDS.isdisjoint(dict(response.headers.lines)):
            hide(response, _FIELDS)
        return response


def hide(response: Response, names: frozenset[bytes]) -> None:
    """Takes the fields called `names` out of the response."""
    response.headers.lines = [line for line in response.headers.lines if line[0] not in names]


def _spelled(header: bytes) -> bytes:
    """`x-accel-redirect` as `X-Accel-Redirect`: Rack compares it by letter case, too."""
    return b"-".join(part.capitalize() for part in header.split(b"-"))
