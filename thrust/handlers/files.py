"""Responses made of files: what `send_file` and `static` have in common.

A file is found and opened in a thread, since a cold disk blocks; `thrust/files` decides what may be opened and what is
said about it. The content is sent by the server, by the kernel where that is possible.
"""

import asyncio
import time
from collections.abc import Sequence

from thrust.coding.codings import CODINGS
from thrust.files.answer import Content, answer
from thrust.files.confined import OpenedFile, Roots
from thrust.files.siblings import may_be_replaced, open_best
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import FileContent, Request, Response
from thrust.http.negotiation import IDENTITY, accepted_codings


async def file_response(
    request: Request, roots: Roots, path: bytes, *, status: int = 200, lines: Sequence[FieldLine] = ()
) -> Response:
    """The file at `path`, or a precompressed sibling, as the answer to `request`; raises FileRefused.

    `status` and `lines` are what an app has said about it.
    """
    accepted: tuple[bytes, ...] = (IDENTITY,)
    if may_be_replaced(Headers(list(lines))):
        accepted = accepted_codings(request.headers.get_all(b"accept-encoding"), CODINGS)
    opened, coding = await asyncio.to_thread(open_best, roots, path, accepted)
    return _described(request, opened, Content(opened.stat, path, coding), status, lines)


def _described(
    request: Request, opened: OpenedFile, content: Content, status: int, lines: Sequence[FieldLine]
) -> Response:
    described = answer(request.method, request.headers, content, time.time(), status=status, lines=lines)
    headers = Headers(described.lines)
    if not described.segments:
        opened.close()
        return Response(described.status, headers, b"", described.content_length or None)
    body = FileContent(opened.fd, described.segments, asyncio.to_thread)
    return Response(described.status, headers, body, described.content_length)
