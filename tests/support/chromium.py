"""Headless Chromium, driven by its DevTools protocol, which notes everything that it loads.

A browser has a HOME of its own, and so its own list of trusted authorities. Every wait is bounded.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.e2e_client import BOUND_S
from tests.support.e2e_thrust import Lines

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")

IS_THERE = bool(PROGRAM and shutil.which("certutil"))

OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

Message = dict[str, Any]


def trust(command: str, home: Path) -> None:
    """Has Chromium with this HOME trust an authority, by the command that thrust recommends."""
    environ = os.environ | {"HOME": str(home)}
    subprocess.run(command, shell=True, check=True, env=environ, stdin=subprocess.DEVNULL, timeout=BOUND_S)


class Browser:
    """A browser with one page. `messages` are what the protocol has told so far."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._session = ""
        self._last_id = 0
        self.messages: list[Message] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Message:
        """The result of a command."""
        self._last_id += 1
        command = {"id": self._last_id, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        self._connection.send(json.dumps(command))
        give_up_s = time.monotonic() + BOUND_S
        while True:
            message = json.loads(self._connection.recv(timeout=give_up_s - time.monotonic()))
            if message.get("id") == self._last_id:
                assert "result" in message, message
                result: Message = message["result"]
                return result
            self.messages.append(message)

    def open(self, url: str) -> None:
        """Begins to load a page."""
        result = self.call("Page.navigate", url=url)
        assert "errorText" not in result, result

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def told(self, method: str) -> list[Message]:
        """The parameters of every event of this name so far."""
        return [message["params"] for message in self.messages if message.get("method") == method]

    def complaints(self) -> list[str]:
        """What the console shows in red."""
        entries = [told["entry"] for told in self.told("Log.entryAdded")]
        return [f"{entry['text']} ({entry.get('url')})" for entry in entries if entry["level"] == "error"]


@contextlib.contextmanager
def chromium(home: Path) -> Iterator[Browser]:
    """A Chromium whose HOME is `home`; with everything that it has started it is gone afterwards."""
    process = subprocess.Popen(
        [PROGRAM, *OPTIONS, f"--user-data-dir={home / 'profile'}", "--remote-debugging-port=0"],
        env=os.environ | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines = Lines(process.stderr)
    try:
        found = re.search(r"ws://\S+", lines.wait_for(lambda line: "DevTools listening on" in line, "DevTools"))
        assert found is not None
        with connect(found[0], max_size=None, open_timeout=BOUND_S, ping_interval=None) as connection:
            yield Browser(connection)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(BOUND_S)
        lines.close()
