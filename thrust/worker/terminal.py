"""Job control between a person's terminal, thrust and the worker, so that `breakpoint()` works under thrust.

The worker has a process group of its own, and the terminal belongs to one group at a time. It stays with thrust at
first, so that Ctrl-C reaches thrust alone and the stop is an orderly one. When the worker wants the terminal it is
stopped by the kernel (SIGTTIN for reading, SIGTTOU for changing its modes); thrust learns of it like of a death,
lends it the terminal and continues it. From then on the worker keeps it: nobody can see when a debugger is done, so
the next Ctrl-C is the worker's too. Ctrl-Z stops both whoever holds the terminal, and `fg` continues both.

A shell's rules hold all the while: if thrust runs in the background, it does not take the terminal from anyone but
stops itself as the worker was stopped, and goes on when the person says `fg`.

Used by `worker/system`. Without a controlling terminal, which is the normal case in production, all this is silent.
Not here: SIGWINCH and the like, which `service` relays.
"""

import asyncio
import os
import signal
import termios
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from thrust.worker.process import EventLog, Process, signal_name

_CONTINUE_CHECKS = 10
_CONTINUE_CHECK_S = 0.01
"""How often, and with which pause, it is looked whether a SIGCONT has come, before it counts as never sent."""

_WANTS_TERMINAL = (signal.SIGTTIN, signal.SIGTTOU)


class Terminal:
    """The controlling terminal and who holds it; `processes` are the workers that live at the moment."""

    def __init__(self, processes: Callable[[], Collection[Process]], log: EventLog) -> None:
        self._processes = processes
        self._log = log
        self._fd: int | None = None
        self._holder: Process | None = None
        self._modes: list[Any] = []

    def open(self) -> None:
        """Look for a controlling terminal, and take over SIGTSTP if there is one. Needs a running loop."""
        try:
            self._fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        with suppress(termios.error):
            self._modes = termios.tcgetattr(self._fd)
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, self._suspend, signal.SIGTSTP)

    def close(self) -> None:
        """Take the terminal back if it is lent, and let go of it."""
        if self._fd is None:
            return
        self._take_back()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)
        os.close(self._fd)
        self._fd = None

    @property
    def is_lost(self) -> bool:
        """Whether there was a terminal and it has hung up: its window was closed, its connection broke."""
        return self._fd is not None and self._foreground_group() is None

    def lend(self, process: Process) -> None:
        """Give `process` the terminal, if it is ours to give, and continue it."""
        if self.is_ours():
            self._hand_over(process)
        process.send_group(signal.SIGCONT)

    def is_ours(self) -> bool:
        """Whether the terminal's foreground is our group, or the one that we have lent it to."""
        foreground = self._foreground_group()
        return foreground == os.getpgrp() or (self._holder is not None and foreground == self._holder.pid)

    def on_stopped(self, process: Process, sig: int) -> None:
        """React to a stopped worker; the Reaper calls this."""
        if sig in _WANTS_TERMINAL:
            self._serve_wish(process, sig)
        elif sig == signal.SIGTSTP and process is self._holder:
            self._suspend(sig)
        else:
            self._log.warning(f"worker was stopped by {signal_name(sig)}, it goes on with SIGCONT", pid=process.pid)

    def reclaim(self, process: Process) -> bool:
        """Take the terminal back from a worker that is gone, in the modes in which it was found; False if it has not
        had it. To a worker that had the terminal, and to no one else, Ctrl-C was sent.
        """
        if process is not self._holder or self._fd is None:
            return False
        self._take_back()
        if self._modes:
            with suppress(termios.error), _signal_blocked(signal.SIGTTOU):
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._modes)
        return True

    def _serve_wish(self, process: Process, sig: int) -> None:
        if self._fd is None:
            # Nobody can want what is not there: the signal was sent by hand, to a worker that does not handle it.
            self._log.warning(f"worker was stopped by {signal_name(sig)} and continued", pid=process.pid)
            process.send_group(signal.SIGCONT)
        elif self.is_ours():
            self.lend(process)
        else:
            self._suspend(sig, waiting=process)

    def _suspend(self, sig: int, waiting: Process | None = None) -> None:
        """Stop the workers and thrust; go on, returning from here, when a shell continues thrust.

        The terminal then goes to `waiting`, or to who had it before, if thrust is in the foreground.
        """
        next_holder = waiting or self._holder
        self._take_back()
        for process in self._processes():
            process.send_group(signal.SIGTSTP)
        has_stopped = _stop_own_group(sig)
        if waiting is not None and not has_stopped:
            # No shell looks after us. To continue the worker would make it ask again, for ever.
            self._log.warning("worker wants the terminal, but thrust is not in its foreground", pid=waiting.pid)
        if next_holder is not None and self.is_ours():
            self._hand_over(next_holder)
        for process in self._processes():
            if process is not waiting or has_stopped:
                process.send_group(signal.SIGCONT)

    def _hand_over(self, process: Process) -> None:
        if self._set_foreground(process.pid):
            self._holder = process

    def _take_back(self) -> None:
        holder, self._holder = self._holder, None
        if holder is None:
            return
        foreground = self._foreground_group()
        if foreground is not None and (foreground == holder.pid or not _has_members(foreground)):
            self._set_foreground(os.getpgrp())  # in all other cases a shell has taken it

    def _foreground_group(self) -> int | None:
        """The group that holds the terminal; None if there is no terminal (any more)."""
        if self._fd is None:
            return None
        try:
            return os.tcgetpgrp(self._fd)
        except OSError:
            return None

    def _set_foreground(self, group: int) -> bool:
        assert self._fd is not None
        # A background group that does this is stopped by SIGTTOU, unless it is blocked.
        with _signal_blocked(signal.SIGTTOU):
            try:
                os.tcsetpgrp(self._fd, group)
            except OSError:  # the terminal has hung up, or the group is gone
                return False
        return True


def _stop_own_group(sig: int) -> bool:
    """Stop thrust and its process group as `sig` does by default; returns when someone sends SIGCONT.

    False if nothing has happened, because the kernel spares groups that no shell could continue (orphaned ones, as in
    a container).
    """
    continued: list[int] = []
    previous = signal.signal(sig, signal.SIG_DFL)
    previous_continue = signal.signal(signal.SIGCONT, lambda number, _: continued.append(number))
    try:
        os.killpg(0, sig)
        for _ in range(_CONTINUE_CHECKS):  # SIGCONT may reach another thread a moment after this one runs again
            if continued:
                return True
            time.sleep(_CONTINUE_CHECK_S)
        return False
    finally:
        signal.signal(signal.SIGCONT, previous_continue or signal.SIG_DFL)
        signal.signal(sig, previous or signal.SIG_DFL)
        signal.siginterrupt(sig, False)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _signal_blocked(sig: int) -> Iterator[None]:
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {sig})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
