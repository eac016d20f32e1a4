"""A program with a Supervisor and nothing else of thrust, for tests that need a process to kill, stop or type at.

    python -m tests.support.worker_driver LOOP PORT [--restart] COMMAND…

It relays signals as `service` does and writes every event as one line to stderr.
"""

import asyncio
import contextlib
import os
import signal
import sys

from tests.support.worker_loops import LOOPS
from thrust.errors import WorkerError, WorkerNotStarted
from thrust.worker.supervisor import Supervisor

PUBLIC_PORT = 3000
STOP_WITHIN_S = float(os.environ.get("DRIVER_STOP_WITHIN_S", "8"))


class Voice:
    """WorkerEvents and EventLog in one, to stderr."""

    def say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that has hung up
            os.write(2, f"driver: {text}\n".encode())

    def info(self, message: str, /, **fields: object) -> None:
        self.say(f"{message} {fields}" if fields else message)

    warning = error = info

    def worker_ready(self, port: int) -> None:
        self.say(f"ready {port}")

    def worker_away(self) -> None:
        self.say("away")

    def boot_timed_out(self) -> None:
        self.say("boot timed out")

    async def drain_old(self, port: int) -> None:
        self.say(f"drain {port}")


async def main(port: int, command: list[str], restart_on_failure: bool) -> int:
    voice = Voice()
    supervisor = Supervisor(
        command,
        worker_port=port,
        public_port=PUBLIC_PORT,
        boot_timeout_s=60.0,
        restart_on_failure=restart_on_failure,
        environ=os.environ,
        events=voice,
        log=voice,
    )
    loop = asyncio.get_running_loop()
    stops: list[asyncio.Task[None]] = []

    def stop() -> None:
        voice.say("stopping")
        stops.append(loop.create_task(supervisor.stop(STOP_WITHIN_S)))

    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: stop() if supervisor.has_lost_terminal else supervisor.replace())
    for sig in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH):
        loop.add_signal_handler(sig, supervisor.relay, sig)
    try:
        return await supervisor.run()
    finally:
        for task in stops:
            await task


if __name__ == "__main__":
    loop_name, port_text, *rest = sys.argv[1:]
    restart = rest[0] == "--restart"
    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        try:
            code = runner.run(main(int(port_text), rest[restart:], restart))
        except WorkerError as error:
            Voice().say(str(error))
            code = error.exit_code if isinstance(error, WorkerNotStarted) else 1
    sys.exit(code)
