"""Files that stand beside another one and hold it compressed: `app.js.br`, `app.js.zst`, `app.js.gz`.

Called by the handlers that send files, with the function that opens files, which decides whether that may wait for a
disk. Build tools make such siblings at leisure, so they are smaller than what we could make in time. A sibling counts
if it is no older than its original, in whole seconds: some tools copy the original's time, and cut it. A tool that
gives old times to new files is not seen through.
"""

import os
from collections.abc import Callable

from thrust.coding.compressible import is_compressible
from thrust.files.confined import AnyPath, OpenedFile
from thrust.files.description import OCTET_STREAM, content_type
from thrust.files.refusals import FileRefused
from thrust.http.coded import forbids_transformation
from thrust.http.headers import Headers
from thrust.http.negotiation import IDENTITY

ENDINGS = {b"br": b".br", b"zstd": b".zst", b"gzip": b".gz"}
"""Coding → ending of the sibling's name."""

OpenFile = Callable[[AnyPath], OpenedFile]
"""`Roots.open`, or `open_cached`."""


def may_have_siblings(path: bytes) -> bool:
    """Whether a file of this name is looked for in other codings.

    Not if it is compressed already, by the table of types. For what is not in the table somebody may have reasons.
    """
    media_type = content_type(path)
    if path.lower().endswith(tuple(ENDINGS.values())):
        return False
    return media_type == OCTET_STREAM or is_compressible(media_type)


def may_be_replaced(headers: Headers) -> bool:
    """Whether an app that names a file with these response fields can be sent a sibling in place of it."""
    return b"content-encoding" not in headers and not forbids_transformation(headers)


def open_best(open_file: OpenFile, path: AnyPath, accepted: tuple[bytes, ...]) -> tuple[OpenedFile, bytes | None]:
    """The file at `path` or its best sibling, and its coding; IDENTITY is the original, None one without siblings.

    `accepted` are the client's codings, best first (`accepted_codings`). At most four files are opened, one remains.
    Raises what `open_file` does for the original. A sibling that is refused does not count; where one may have to be
    waited for, so must all (BlockingIOError).
    """
    path = os.fsencode(path)
    original = open_file(path)
    if not may_have_siblings(path):
        return original, None
    try:
        for coding in accepted:
            if coding == IDENTITY:
                break
            sibling = _open_sibling(open_file, path, coding, original.stat)
            if sibling is not None:
                original.close()
                return sibling, coding
    except BaseException:
        original.close()
        raise
    return original, IDENTITY


def _open_sibling(open_file: OpenFile, path: bytes, coding: bytes, original: os.stat_result) -> OpenedFile | None:
    if coding not in ENDINGS:
        return None
    try:
        sibling = open_file(path + ENDINGS[coding])
    except FileRefused:
        return None
    # An empty one is what a build without disk space leaves: no coding codes anything as nothing.
    if sibling.stat.st_size == 0 or int(sibling.stat.st_mtime) < int(original.st_mtime):
        sibling.close()
        return None
    return sibling
