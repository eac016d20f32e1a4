"""Real processes under a supervisor: inside the test (`supervise`), or as a program to talk to (`Driver`)."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.worker_fakes import RecordedEvents, RecordedLog
from tests.support.worker_loops import run_on
from thrust.worker.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
BOUND_S = 20.0
"""Longer than anything here takes on a busy machine; reaching it is a failure."""

PUBLIC_PORT = 3000

LISTENS = """
import os, signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
signal.pause()
"""
"""A worker that opens its port and does nothing else; SIGTERM ends it with 143."""


def python(source: str, *arguments: str) -> list[str]:
    """The command that runs `source`."""
    return [sys.executable, "-c", source, *arguments]


class Supervised:
    """A Supervisor in this process and what it said."""

    def __init__(self, command: Sequence[str], port: int, boot_timeout_s: float, restart_on_failure: bool) -> None:
        self.port = port
        self.events = RecordedEvents()
        self.log = RecordedLog()
        self.supervisor = Supervisor(
            command,
            worker_port=port,
            public_port=PUBLIC_PORT,
            boot_timeout_s=boot_timeout_s,
            restart_on_failure=restart_on_failure,
            environ=os.environ,
            events=self.events,
            log=self.log,
        )
        self.code: int | None = None
        self.run: asyncio.Task[int] | None = None

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until something is true of the world outside."""
        async with asyncio.timeout(BOUND_S):
            while not is_true():
                assert self.run is None or not self.run.done(), f"it is over: {self.log.entries}"
                await asyncio.sleep(0.005)

    async def until_said(self, what: str, times: int = 1) -> None:
        await self.until(lambda: self.events.said.count(what) >= times)


def supervise(
    loop_name: str,
    command: Sequence[str],
    story: Callable[[Supervised], Awaitable[None]] | None = None,
    *,
    port: int | None = None,
    boot_timeout_s: float = 60.0,
    restart_on_failure: bool = False,
) -> Supervised:
    """Run `command` under a Supervisor to its end, beside `story`."""

    async def both() -> Supervised:
        stage = Supervised(command, port or free_port(), boot_timeout_s, restart_on_failure)
        run = stage.run = asyncio.get_running_loop().create_task(stage.supervisor.run())
        try:
            async with asyncio.timeout(BOUND_S):
                if story is not None:
                    await story(stage)
                stage.code = await run
        finally:
            stage.supervisor.stop_now()
            run.cancel()
            await asyncio.wait({run})
        return stage

    return run_on(loop_name, both())


class Driver:
    """`tests.support.worker_driver` as a process, by its descriptors. Talk to it with `write` and `expect`."""

    def __init__(self, pid: int, input_fd: int, output_fd: int) -> None:
        self.pid = pid
        self.seen = ""
        self._input_fd = input_fd
        self._output_fd = output_fd
        self._descriptors = {input_fd, output_fd}
        self._at = 0
        self._code: int | None = None

    def write(self, text: str) -> None:
        os.write(self._input_fd, text.encode())

    def expect(self, text: str) -> str:
        """Read on until `text` has come; returns what came before it."""
        deadline_s = time.monotonic() + BOUND_S
        while text not in self.seen[self._at :]:
            readable, _, _ = select.select([self._output_fd], [], [], max(0.0, deadline_s - time.monotonic()))
            assert readable, f"{text!r} does not come after {self.seen!r}"
            chunk = self._read()
            assert chunk, f"{text!r} does not come, the end does: {self.seen!r}"
            self.seen += chunk
        start = self._at
        found = self.seen.index(text, start)
        self._at = found + len(text)
        return self.seen[start:found]

    def expect_all(self, *texts: str) -> None:
        """Read on until each of `texts` has come, in whatever order."""
        start = ends = self._at
        for text in texts:
            self._at = start
            self.expect(text)
            ends = max(ends, self._at)
        self._at = ends

    def expect_end(self) -> None:
        """Read on until nobody holds the other end of the output any more."""
        deadline_s = time.monotonic() + BOUND_S
        while True:
            readable, _, _ = select.select([self._output_fd], [], [], max(0.0, deadline_s - time.monotonic()))
            assert readable, f"somebody is left who could write: {self.seen!r}"
            chunk = self._read()
            if not chunk:
                return
            self.seen += chunk

    def signal(self, sig: int) -> None:
        os.kill(self.pid, sig)

    def wait(self) -> int:
        """The exit code; reading on meanwhile, so that nobody blocks on a full pipe."""
        self.expect_end()
        return self.reap()

    def reap(self) -> int:
        """The exit code, 128 + n for a signal."""
        deadline_s = time.monotonic() + BOUND_S
        while self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code
            else:
                assert time.monotonic() < deadline_s, f"it does not end: {self.seen!r}"
                time.sleep(0.005)
        return self._code

    def close(self) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.reap()
        self.hang_up()

    def hang_up(self) -> None:
        """Close our side of what it reads and writes."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = set()

    def _read(self) -> str:
        try:
            return os.read(self._output_fd, 65536).decode(errors="replace")
        except OSError:  # EIO: how a pseudo-terminal says that its other side is closed
            return ""


def driver_command(loop_name: str, command: Sequence[str], port: int, restart: bool = False) -> list[str]:
    options = ["--restart"] if restart else []
    return [sys.executable, "-m", "tests.support.worker_driver", loop_name, str(port), *options, *command]


@contextmanager
def driving(
    loop_name: str,
    command: Sequence[str],
    *,
    port: int | None = None,
    restart: bool = False,
    wrapper: Sequence[str] = (),
    environ: dict[str, str] | None = None,
) -> Iterator[Driver]:
    """A Driver with pipes; stdout and stderr are one."""
    input_read, input_write = os.pipe()
    output_read, output_write = os.pipe()
    process = subprocess.Popen(
        [*wrapper, *driver_command(loop_name, command, port or free_port(), restart)],
        stdin=input_read,
        stdout=output_write,
        stderr=output_write,
        cwd=ROOT,
        env=os.environ | (environ or {}),
        start_new_session=True,
    )
    os.close(input_read)
    os.close(output_write)
    driver = Driver(process.pid, input_write, output_read)
    try:
        yield driver
    finally:
        driver.close()
        process.returncode = 0  # it is buried


@contextmanager
def driving_on_terminal(
    loop_name: str, command: Sequence[str], *, port: int | None = None, restart: bool = False, shell: str = "{driver}"
) -> Iterator[Driver]:
    """A Driver on a pseudo-terminal of its own, as leader of the session or, with `shell`, below a shell."""
    arguments = driver_command(loop_name, command, port or free_port(), restart)
    if shell != "{driver}":
        import shlex

        arguments = ["bash", "--norc", "--noprofile", "-ic", shell.format(driver=shlex.join(arguments))]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvpe(arguments[0], arguments, os.environ | {"PS1": "", "TERM": "dumb"})
    driver = Driver(pid, terminal, terminal)
    try:
        yield driver
    finally:
        driver.close()
