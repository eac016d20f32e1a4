"""Lines to a file descriptor that may stall, without ever making the event loop wait.

Used by `logs` for our stdout. A stalled stdout (a full pipe: nobody reads the container's log) blocks whoever
writes, and on a loaded server a system call per line would cost more than the line. So lines are gathered, and a
thread writes them: after GATHER_S, or when CHUNK_BYTES have come together. Before `start` and after `close` there is
no thread, and each line is written before the call returns.

The worker writes to the same pipe. Its lines and ours must not get mixed, so a write carries whole lines, and not
more than the pipe takes in one go. Nor may we make the pipe non-blocking: it would be so for the worker, too.

Errors of the descriptor are not reported: there is no other place to report them.
"""

import contextlib
import enum
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable

GATHER_S = 0.1
"""How old a gathered line may get. People tail logs; nginx's `flush` for the same purpose is a matter of taste."""

CHUNK_BYTES = 64 * 1024
"""The thread gets lines in portions of this size, at most; some 130 requests."""

MAX_UNWRITTEN_BYTES = 16 * 1024 * 1024
"""With more than this waiting for a stalled reader, lines that may be lost are: after some 30,000 requests."""

DIRECT_WAIT_S = 1.0
"""How long a line that is written directly waits for a reader. Then it stays for later, and the program goes on."""


class _Mode(enum.Enum):
    DIRECT = "direct"
    GATHERING = "gathering"
    GIVEN_UP = "given up"


class LineWriter:
    """Lines to `fd`, through a thread between `start` and `close`. Usable from any thread.

    On its way a line is in `_lines`, then in one of `_chunks`, then in the hands of the thread. The lock guards all of
    it; it is re-entrant, because a destructor that logs may run inside any allocation. `describe_loss` makes the line
    that says how many were lost.
    """

    def __init__(self, fd: int, describe_loss: Callable[[int], str], *, gather_s: float = GATHER_S) -> None:
        self._output = _Output(fd)
        self._describe_loss = describe_loss
        self._gather_s = gather_s
        self._mode = _Mode.DIRECT if self._output.is_open else _Mode.GIVEN_UP
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._lines: list[str] = []
        self._gathered_bytes = 0
        self._chunks: deque[bytes] = deque()
        self._unwritten_bytes = 0  # in chunks, with the one that the thread is writing
        self._lost_lines = 0

    def write(self, line: str) -> None:
        """Writes `line` and a newline, however much is waiting already."""
        with self._lock:
            self._add(line)

    def write_or_lose(self, line: str) -> None:
        """Writes `line` and a newline; loses and counts it while too much is waiting."""
        with self._lock:
            if self._unwritten_bytes > MAX_UNWRITTEN_BYTES:
                self._lost_lines += 1
            elif self._lines and self._gathered_bytes < CHUNK_BYTES:
                # A copy of `_add` for the line that wakes nobody (bench_access_log.py, `json line`).
                self._lines.append(line)
                self._gathered_bytes += len(line) + 1
            else:
                self._add(line)

    def start(self) -> None:
        """Gathers from now on. The thread starts with the first line."""
        with self._lock:
            if self._mode is _Mode.DIRECT:
                self._mode = _Mode.GATHERING

    def close(self, timeout_s: float) -> bool:
        """Writes everything out, ends the thread, and goes back to writing directly.

        False if the reader took it not within `timeout_s`: then it is given up, with all that is written later.
        """
        with self._lock:
            thread = self._thread
            self._is_closing = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_s)
        with self._lock:
            if self._mode is _Mode.GIVEN_UP or (thread is not None and thread.is_alive()):
                self._mode = _Mode.GIVEN_UP
                return False
            self._mode = _Mode.DIRECT
            self._thread = None
            self._is_closing = False
            self._write_directly()
            return not self._chunks

    # A line on its way. All of these are called with the lock held.

    def _add(self, line: str) -> None:
        if self._mode is _Mode.GIVEN_UP:
            return
        self._lines.append(line)
        if self._mode is _Mode.DIRECT:
            self._write_directly()
            return
        self._gathered_bytes += len(line) + 1
        if self._gathered_bytes >= CHUNK_BYTES:
            self._seal()
            self._wake_thread()
        elif len(self._lines) == 1:
            self._wake_thread()

    def _seal(self) -> None:
        """Makes one chunk of the gathered lines."""
        lines, self._lines = self._lines, []
        self._gathered_bytes = 0
        lines.append("")
        chunk = "\n".join(lines).encode("utf-8", "backslashreplace")
        self._chunks.append(chunk)
        self._unwritten_bytes += len(chunk)

    def _wake_thread(self) -> None:
        if self._thread is not None:
            self._changed.notify()
            return
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads in this container: slow is better than silent
            self._thread = None
            self._mode = _Mode.DIRECT
            self._write_directly()

    def _write_directly(self) -> None:
        if self._lines:
            self._seal()
        while self._chunks:
            chunk = self._chunks.popleft()
            rest = self._output.write(chunk, DIRECT_WAIT_S)
            self._unwritten_bytes -= len(chunk) - len(rest)
            if rest:
                self._chunks.appendleft(rest)
                return

    # The thread.

    def _run(self) -> None:
        while (chunk := self._next_chunk()) is not None:
            self._output.write(chunk, None)
            with self._lock:
                self._unwritten_bytes -= len(chunk)

    def _next_chunk(self) -> bytes | None:
        """The bytes to write next, waited for; None after `close`, when there are no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._chunks or self._is_closing)
            self._changed.wait_for(lambda: self._chunks or self._is_closing, timeout=self._gather_s)
            if self._lost_lines:
                lost_lines, self._lost_lines = self._lost_lines, 0
                self._lines.append(self._describe_loss(lost_lines))
            if self._lines:
                self._seal()
            return self._chunks.popleft() if self._chunks else None

    def __repr__(self) -> str:
        unwritten_bytes = self._unwritten_bytes + self._gathered_bytes
        return f"<LineWriter {self._mode.value}, {unwritten_bytes} bytes waiting, {self._lost_lines} lines lost>"


class _Output:
    """The file descriptor: all system calls are here."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.is_open = False
        self._is_pipe = False
        # A descriptor that is closed now belongs to somebody else soon: a socket must not get our lines.
        with contextlib.suppress(OSError):
            self._is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
            self.is_open = True

    def write(self, chunk: bytes, wait_s: float | None) -> bytes:
        """What is left of `chunk` after nothing could be written for `wait_s`; None waits as long as it takes.

        With None this blocks in the system call, too, unless the descriptor is non-blocking.
        """
        start = 0
        may_block = wait_s is None
        while start < len(chunk) and (may_block or self._has_room(wait_s)):
            taken_bytes = self._write_some(self._piece(chunk, start))
            start += taken_bytes
            may_block = wait_s is None and taken_bytes > 0
        return chunk[start:]

    def _piece(self, chunk: bytes, start: int) -> bytes:
        """What to write at once, so that the worker's output cannot get into a line of ours.

        A pipe takes PIPE_BUF bytes (4096 on Linux) in one go or not at all (POSIX); of more it takes what fits now
        and the rest after whatever others write meanwhile. A longer line cannot be helped.
        """
        if not self._is_pipe:
            return chunk[start:]
        limit = start + select.PIPE_BUF
        return chunk[start : chunk.rfind(b"\n", start, limit) + 1 or limit]

    def _has_room(self, wait_s: float | None) -> bool:
        """Whether a write would get somewhere. That a descriptor is broken the write itself will tell."""
        poller = select.poll()
        poller.register(self._fd, select.POLLOUT)
        return bool(poller.poll(None if wait_s is None else wait_s * 1000))

    def _write_some(self, data: bytes) -> int:
        """How many bytes of `data` are done with: those that were taken.

        None if it is full and non-blocking (anybody who shares stdout can make it so). All if it is broken (EPIPE,
        EIO, ENOSPC): nobody reads, and trying again would never end.
        """
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)
