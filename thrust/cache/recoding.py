"""Making the best coding of stored content in the background, one at a time.

Brotli at its best takes a second for a megabyte. That is paid once, by a thread with a low priority, after somebody has
been served with a quick coding. The thread starts with the first job and is a daemon: nobody waits for it at the end.
"""

import contextlib
import os
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from queue import SimpleQueue

from thrust.coding.codings import compress_best

NICENESS = 10
"""Of the thread, on Linux: requests come first where there is one core."""

MAX_WAITING = 10_000
"""Jobs; content that is not in line keeps its quick coding, and its next rendition asks again."""

Job = tuple[bytes, bytes, Callable[[bytes], None]]


class BackgroundCoder:
    """Runs `compress_best` in a thread of its own and hands the results to the event loop."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, coding: bytes, content: bytes, on_done: Callable[[bytes], None]) -> None:
        """Calls `on_done` on the event loop with the best coding of `content`, some time."""
        if self._jobs.qsize() >= MAX_WAITING:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="thrust-coding", daemon=True)
            self._thread.start()
        self._jobs.put((coding, content, on_done))

    def _work(self) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            coding, content, on_done = self._jobs.get()
            coded = compress_best(coding, content)
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody wants it any more
                self._loop.call_soon_threadsafe(on_done, coded)
