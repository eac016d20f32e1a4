"""Threads for what may wait for a disk: opening files, and reading what is not in memory.

Used by `files.py`. They are not those of asyncio's own executor, where pages are compressed, because a disk that does
not answer keeps every thread that asks it. And they are daemons: nobody can call a thread back from a disk, and the
end of the program must not wait for one.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class DiskThreads(Executor):
    """Up to `limit` threads, each begun when all others are at work; what exceeds them waits for its turn."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._changing = threading.Lock()
        self._threads = 0
        self._unfinished = 0

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """The future of what `function` returns in a thread; what is cancelled before its turn is never begun."""
        future: Future[T] = Future()
        with self._changing:
            if self._unfinished >= self._threads < self._limit:
                threading.Thread(target=self._work, name="thrust-disk", daemon=True).start()
                self._threads += 1
            self._unfinished += 1
        self._jobs.put((future, partial(function, *args, **kwargs)))
        return future

    def _work(self) -> None:
        while True:
            self._do(*self._jobs.get())

    def _do(self, future: "Future[T]", job: Callable[[], T]) -> None:
        result, error = None, None
        is_wanted = future.set_running_or_notify_cancel()
        if is_wanted:
            try:
                result = job()
            except BaseException as raised:
                error = raised
        with self._changing:  # before anybody hears of it, who may have the next job for this very thread
            self._unfinished -= 1
        if error is not None:
            future.set_exception(error)
            del error, future  # it knows this frame by its traceback: a circle, which would keep the job alive
        elif is_wanted:
            future.set_result(result)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"<DiskThreads {self._threads} of {self._limit}, {self._unfinished} jobs>"
