"""Making the best coding of stored content in the background, one at a time.

Brotli at its best takes a second for a megabyte. That is paid once, by a thread with a low priority, after somebody has
been served with a quick coding. The thread starts with the first job and is a daemon: nobody waits for it at the end.
What stands in line is still the store's to drop: then its memory is free at once, and nobody codes it.
"""

import contextlib
import os
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from queue import SimpleQueue
from weakref import ref

from thrust.cache.stored import StoredResponse
from thrust.coding.codings import compress_best
from thrust.http.negotiation import IDENTITY

NICENESS = 10
"""Of the thread, on Linux: requests come first where there is one core."""

MAX_WAITING = 10_000
"""Jobs of some hundred bytes; content that finds no place in line keeps its quick coding."""

OnDone = Callable[[StoredResponse, bytes, bytes], None]
"""Takes what was coded, the coding, and the result."""


class BackgroundCoder:
    """Runs `compress_best` in a thread of its own and hands the results to the event loop."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[tuple[ref[StoredResponse], bytes, OnDone]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, stored: StoredResponse, coding: bytes, on_done: OnDone) -> None:
        """Calls `on_done` on the event loop with the best coding of what is stored, if it still is by then."""
        if self._jobs.qsize() >= MAX_WAITING:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="thrust-coding", daemon=True)
            self._thread.start()
        self._jobs.put((ref(stored), coding, on_done))

    def _work(self) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            self._do(*self._jobs.get())

    def _do(self, waiting: "ref[StoredResponse]", coding: bytes, on_done: OnDone) -> None:
        """One job, in a function of its own so that nothing is held while there is no other."""
        stored = waiting()
        if stored is None:
            return
        plain = stored.renditions.get(IDENTITY)
        if plain is None:
            return
        try:
            coded = compress_best(coding, plain.body)
        except Exception as error:  # the quick coding does; the thread is needed for others
            self._tell({"message": f"stored content could not be coded in {coding.decode()}", "exception": error})
            return
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody wants it any more
            self._loop.call_soon_threadsafe(on_done, stored, coding, coded)

    def _tell(self, context: dict[str, object]) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.call_exception_handler, context)
