"""Why the worker is not where thrust looks for it, in one sentence that ends with what to change.

Called by `worker/system` with what `procfs` has seen, when a worker has not opened its port in time. Pure. It knows the
usual servers by their names in the command, and the exact spelling of their options. The command itself is never
changed: a person has to see in their own Dockerfile what is run.
"""

import os
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from thrust.worker.procfs import Listener, Snapshot

PORT = "$THRUST_WORKER_PORT"
ADDRESS = f"127.0.0.1:{PORT}"

LONGEST_EXAMPLE = 160
"""Characters; a longer command is not repeated in the advice."""

_EVERY_ADDRESS = ("0.0.0.0", "::")
_BUSY_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell the operator. Two findings with the same `key` say the same."""

    level: Literal["info", "warning"]
    sentence: str
    key: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """How one server is told its port and its address.

    `port_words` and `address_words` are appended to a command after the options in `port_options` and
    `address_options` were taken out. A server without `address_words` says both in one option. With `is_positional`
    it is a bare word, `8000` or `0.0.0.0:8000`, that has to go.
    """

    port_words: tuple[str, ...]
    port_options: frozenset[str] = frozenset()
    address_words: tuple[str, ...] = ()
    address_options: frozenset[str] = frozenset()
    is_positional: bool = False


_HOST_AND_PORT = Server(
    ("--port", PORT), frozenset({"--port", "--uds", "--fd"}), ("--host", "127.0.0.1"), frozenset({"--host"})
)
_BIND = Server(("--bind", ADDRESS), frozenset({"--bind", "-b"}))
_RUNSERVER = Server((ADDRESS,), is_positional=True)

SERVERS = {
    "uvicorn": _HOST_AND_PORT,
    "fastapi": _HOST_AND_PORT,
    "granian": _HOST_AND_PORT,
    "gunicorn": _BIND,
    "hypercorn": _BIND,
    "runserver": _RUNSERVER,
    "flask": Server(
        ("--port", PORT), frozenset({"--port", "-p"}), ("--host", "127.0.0.1"), frozenset({"--host", "-h"})
    ),
    "daphne": Server(
        ("--port", PORT),
        frozenset({"--port", "-p", "--unix-socket", "-u", "--fd"}),
        ("--bind", "127.0.0.1"),
        frozenset({"--bind", "-b"}),
    ),
    "waitress-serve": Server((f"--listen={ADDRESS}",), frozenset({"--listen", "--port", "--host", "--unix-socket"})),
    "http.server": Server(
        (PORT,), frozenset(), ("--bind", "127.0.0.1"), frozenset({"--bind", "-b"}), is_positional=True
    ),
}
"""By the word of the command that gives the server away."""

_POSITIONAL_PORT = re.compile(r"(?:\S*:)?\d+")


def find_server(command: Iterable[str]) -> str | None:
    """The first word of `command` that names a known server, also inside `sh -c '…'`; None if there is none."""
    for word in " ".join(command).split():
        name = os.path.basename(word.strip("'\""))
        if name in SERVERS:
            return name
    return None


def explain_closed_port(snapshot: Snapshot, *, port: int, command: Sequence[str], elapsed_s: float) -> Finding:
    """Why `command` has not opened 127.0.0.1:`port` after `elapsed_s`, and what to do about it."""
    if not snapshot.listeners:
        return _explain_silence(snapshot, port, elapsed_s)
    names = " and ".join(str(listener) for listener in snapshot.listeners)
    same_port = [listener for listener in snapshot.listeners if listener.port == port]
    if any(listener.address in ("127.0.0.1", "0.0.0.0") for listener in same_port):
        reason = f"the worker listens on {names}, but accepts no connection there"
        return Finding("warning", reason, ("deaf", snapshot.listeners))
    reason = f"the worker listens on {names}, but thrust expects it on 127.0.0.1:{port}"
    advice = _advise(snapshot, command, is_port_right=bool(same_port))
    return Finding("warning", f"{reason}: {advice}", ("elsewhere", snapshot.listeners))


def explain_exposure(listeners: Iterable[Listener], *, port: int, command: Sequence[str]) -> Finding | None:
    """That a worker on every address can be reached without passing thrust; None if it is on loopback alone."""
    for listener in listeners:
        if listener.port == port and listener.address in _EVERY_ADDRESS:
            advice = _advise(Snapshot((listener,)), command, is_port_right=True)
            reason = f"the worker listens on {listener}, where it can be reached around thrust"
            return Finding("warning", f"{reason}: {advice}", ("exposed", listener))
    return None


def _explain_silence(snapshot: Snapshot, port: int, elapsed_s: float) -> Finding:
    start = f"after {elapsed_s:.0f} s the worker listens nowhere yet, and thrust expects it on 127.0.0.1:{port}"
    if snapshot.is_stopped:
        return Finding("warning", f"{start}: it has been stopped by a signal", ("silent", "stopped"))
    used = f"it has used {snapshot.cpu_s:.1f} s of CPU time"
    if snapshot.cpu_s >= elapsed_s * _BUSY_SHARE:
        return Finding("info", f"{start}: {used}, so it is still busy starting", ("silent", "busy"))
    guess = "so it seems to wait for something else, or not to be a server"
    return Finding("info", f"{start}: {used}, {guess}", ("silent", "idle"))


def _advise(snapshot: Snapshot, command: Sequence[str], *, is_port_right: bool) -> str:
    """What to change so that the worker listens on 127.0.0.1 and its port."""
    name = find_server(command)
    for owner in snapshot.owners:  # a start script hides the server, its process does not
        name = name or find_server(owner)
    if name is None:
        return _advise_stranger(snapshot.listeners, is_port_right)
    server = SERVERS[name]
    words = server.address_words if is_port_right and server.address_words else server.port_words
    advice = f"start {name} with {shlex.join(words)}"
    if name not in map(os.path.basename, command):  # it is hidden in a script
        return advice
    example = shlex.join(["thrust", *_corrected(command, name, is_port_right)])
    return f"{advice}, for example: {example}" if len(example) <= LONGEST_EXAMPLE else advice


def _advise_stranger(listeners: Sequence[Listener], is_port_right: bool) -> str:
    if is_port_right:
        return "let it listen on 127.0.0.1"
    advice = "let it listen on the port that the environment variable PORT names"
    ports = {listener.port for listener in listeners if listener.address in ("127.0.0.1", "0.0.0.0", "::")}
    if len(ports) == 1:
        return f"{advice}, or set THRUST_WORKER_PORT={ports.pop()} for thrust"
    return advice


def _corrected(command: Sequence[str], name: str, is_port_right: bool) -> list[str]:
    """`command` as it should have been."""
    server = SERVERS[name]
    if is_port_right and server.address_words:
        return [*_without(command, server.address_options), *server.address_words]
    kept = _without(command, server.port_options)
    if server.is_positional:
        start = [os.path.basename(word) for word in kept].index(name)
        kept = [word for at, word in enumerate(kept) if at < start or not _POSITIONAL_PORT.fullmatch(word)]
    return [*kept, *server.port_words]


def _without(command: Sequence[str], options: Collection[str]) -> list[str]:
    """`command` without `options` and their values, as `--port 1`, `--port=1`, `-p 1` or `-p1`."""
    kept = []
    words = iter(command)
    for word in words:
        if word in options:
            next(words, None)
        elif word.partition("=")[0] not in options and not (word[:2] in options and word[:2] != "--"):
            kept.append(word)
    return kept
