"""The built-in worker: runs `module:attribute`, an ASGI or WSGI application, on Hypercorn.

`cli` recognises the import string and makes this module the worker's command, `python -m thrust.worker.builtin
module:attribute [ARGS]…`, a process of its own. Arguments after the import string are Hypercorn's. Listening on
loopback, it believes the front about the client's address, scheme and host. What is wrong with the import string is
told in a sentence; what goes wrong inside the application's modules shows as their traceback.

Hypercorn loads the application itself (in each process of `--workers`) from an expression that calls `load` here.
"""

import inspect
import os
import re
import signal
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from thrust.worker.wsgi import Message, Receive, Scope, Send

FAILED = 1
LOOPBACK = "127.0.0.1"

_NAME = r"[^\W\d]\w*"
_IMPORT_STRING = re.compile(rf"(?P<module>{_NAME}(\.{_NAME})*):(?P<attribute>{_NAME}(\.{_NAME})*(\(\))?)")


class Defaults:
    """Hypercorn's configuration where the worker's differs; its own options and `--config` change it further."""

    workers = 0  # serve in this process: stdin stays usable for breakpoint(), one interpreter less
    loglevel = "WARNING"  # "Running on http://127.0.0.1:3001" would name a port that no browser shall use
    include_date_header = False  # the front adds one where the app has none; some frameworks have
    h11_max_incomplete_size = 128 * 1024  # bytes of a request head: the front's 64 KB and what it adds


def is_import_string(word: str) -> bool:
    """Whether `word` reads as `module:attribute` or `package.module:factory()`."""
    return _IMPORT_STRING.fullmatch(word) is not None


def command_for(import_string: str, arguments: Sequence[str]) -> list[str]:
    """The command that serves `import_string`; `arguments` are for Hypercorn."""
    return [sys.executable, "-m", "thrust.worker.builtin", import_string, *arguments]


def main() -> NoReturn:
    """Serves the application named by the first argument until SIGTERM or SIGINT; ends the process."""
    import_string, *arguments = sys.argv[1:] or [""]
    match = _IMPORT_STRING.fullmatch(import_string)
    if match is None:
        _fail(f"{import_string!r} is not of the form module:attribute")
    port = os.environ.get("THRUST_WORKER_PORT")
    if port is None:
        _fail("THRUST_WORKER_PORT is not set; this program is started by: thrust module:attribute")

    from hypercorn.__main__ import main as run_hypercorn
    from hypercorn.utils import LifespanFailureError

    sys.argv[0] = "hypercorn"  # for its usage
    # `module` and `attribute` consist of names, dots and parentheses: Hypercorn may evaluate them.
    application = f"asgi:thrust.worker.builtin:load({match['module']!r}, {match['attribute']!r})"
    ours = ["--config", "python:thrust.worker.builtin.Defaults", "--bind", f"{LOOPBACK}:{port}"]
    if "--reload" in arguments:
        ours += ["--workers", "1"]  # the process that watches cannot be the one that serves
    stops = _StopSignals()
    try:
        exit_code = run_hypercorn([application, *ours, *arguments])
    except LifespanFailureError as error:
        _fail(f"{import_string} gave up while it started: {error}")
    sys.exit(exit_code or stops.missing_exit_code())


class _StopSignals:
    """Finds out whether Hypercorn was told to stop, or one of the processes of `--workers` failed.

    Hypercorn (0.18, `run`) overwrites the exit code of a process that failed with that of the others, so that a crash
    would look like a clean end. To be removed when it returns the former.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def missing_exit_code(self) -> int:
        """1 if a process failed, after a run that returned 0."""
        if getattr(signal.getsignal(signal.SIGTERM), "__module__", "") != "hypercorn.run":
            return 0  # no processes: the signal belonged to the event loop of this one
        try:
            received = self._reader.recv(4096)
        except BlockingIOError:
            received = b""
        return 0 if {signal.SIGTERM, signal.SIGINT} & set(received) else FAILED


def load(module_name: str, attribute: str) -> "BehindThrust":
    """The application as ASGI, with the client's address, scheme and host in place.

    Ends the process, with a sentence or the application's traceback, if there is none.
    """
    import_string = f"{module_name}:{attribute}"
    app = _resolve(_import(module_name, import_string), attribute, import_string)
    match _interface(app):
        case _Interface.ASGI:
            return BehindThrust(app)
        case _Interface.WSGI:
            from thrust.worker.wsgi import WsgiAdapter

            return BehindThrust(WsgiAdapter(app))
        case _Interface.FACTORY:
            _fail(f"{import_string} takes no arguments; if it makes the application, write '{import_string}()'")
        case _Interface.NONE:
            _fail(f"{import_string} is {_described(app)}, not an ASGI or WSGI application")


def _import(module_name: str, import_string: str) -> ModuleType:
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            _fail(f"there is no module {error.name!r} for {import_string}, neither in {Path.cwd()} nor installed")
        _fail_with_traceback(error)
    except Exception as error:
        _fail_with_traceback(error)


def _resolve(module: ModuleType, attribute: str, import_string: str) -> Any:
    """What `attribute`, a dotted path, is in `module`; called, if it ends with parentheses."""
    value: Any = module
    for name in attribute.removesuffix("()").split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            where = getattr(module, "__file__", None) or module.__name__
            _fail(f"there is no {name!r} for {import_string} in {where}{_suggestion(name, value)}")
    if not attribute.endswith("()"):
        return value
    try:
        return value()
    except Exception as error:
        _fail_with_traceback(error)


def _suggestion(name: str, owner: object) -> str:
    from difflib import get_close_matches

    public = [candidate for candidate in dir(owner) if not candidate.startswith("_")]
    closest = get_close_matches(name, public, n=1)
    return f"; did you mean {closest[0]!r}?" if closest else ""


def _fail(sentence: str) -> NoReturn:
    sys.exit(f"thrust: {sentence}")


def _fail_with_traceback(error: Exception) -> NoReturn:
    """Ends the process with the traceback from the application's first frame on.

    Hypercorn is not to see the error: it takes every NameError for a missing application.
    """
    frames = error.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    traceback.print_exception(error.with_traceback(frames))
    sys.exit(FAILED)


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or "importlib" in filename


class _Interface(Enum):
    ASGI = "asgi"
    WSGI = "wsgi"
    FACTORY = "factory"
    NONE = "none"


def _interface(app: object) -> _Interface:
    """What `app` can be called as: coroutine functions are ASGI, else the number of arguments tells."""
    if not callable(app) or _is_plain_class(app):
        return _Interface.NONE
    if inspect.iscoroutinefunction(app) or _has_async_call(app) or (_takes(app, 3) and not _takes(app, 2)):
        return _Interface.ASGI
    if _takes(app, 2):
        return _Interface.WSGI
    return _Interface.FACTORY if _takes(app, 0) else _Interface.NONE


def _is_plain_class(app: object) -> bool:
    """Whether `app` is a class whose instances can answer nothing by themselves: a framework's, most likely."""
    return inspect.isclass(app) and not hasattr(app, "__iter__") and not hasattr(app, "__await__")


def _has_async_call(app: object) -> bool:
    return not inspect.isclass(app) and inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004


def _takes(app: Callable[..., object], count: int) -> bool:
    try:
        inspect.signature(app).bind(*range(count))
    except ValueError:
        return count == 2  # no signature to be had (compiled code): then WSGI, as Hypercorn has it
    except TypeError:
        return False
    return True


def _described(app: object) -> str:
    return f"the class {app.__name__}" if inspect.isclass(app) else f"of type {type(app).__name__}"


class BehindThrust:
    """Puts what the front says about the client where the application looks for it.

    Only a peer on loopback is believed. The front writes X-Real-IP, X-Forwarded-Proto and X-Forwarded-Host anew with
    each request, after its own judgement of what other proxies say, so there are no hops to count here. Hypercorn's
    ProxyFixMiddleware (0.18) deep-copies the scope, which fails for most lifespan states (connection pools, locks).
    """

    def __init__(self, app: "Callable[[Scope, Receive, Send], Awaitable[None]]") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] in ("http", "websocket") and (scope.get("client") or ("",))[0] == LOOPBACK:
            if field := dict(scope["headers"]).get(b"x-sendfile-type"):
                send = without_length_of_file(send, field.lower())
            scope = as_seen_by_front(scope)
        await self._app(scope, receive, send)


def as_seen_by_front(scope: "Scope") -> "Scope":
    """A copy of `scope` with the client, scheme and host that the front names."""
    told = {name: value.decode("latin-1") for name, value in scope["headers"]}
    seen = dict(scope)
    if address := told.get(b"x-real-ip"):
        seen["client"] = (address, 0)  # its port is not known
    if (scheme := told.get(b"x-forwarded-proto")) in ("http", "https"):
        websocket_scheme = "wss" if scheme == "https" else "ws"
        seen["scheme"] = scheme if scope["type"] == "http" else websocket_scheme
    if host := told.get(b"x-forwarded-host"):
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        seen["headers"] = [(b"host", host.encode("latin-1")), *others]
    return seen


def without_length_of_file(send: "Send", field: bytes) -> "Send":
    """A `send` that drops Content-Length where the response names a file in `field` (lower case).

    Frameworks announce the file's length there and send nothing, which Hypercorn would log as an error.
    """

    async def sending(message: "Message") -> None:
        if message["type"] == "http.response.start":
            lines = list(message["headers"])
            if any(name.lower() == field for name, _ in lines):
                kept = [line for line in lines if line[0].lower() != b"content-length"]
                message = {**message, "headers": kept}
        await send(message)

    return sending


if __name__ == "__main__":
    main()
