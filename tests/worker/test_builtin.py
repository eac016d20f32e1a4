"""The built-in worker: how it finds, recognises and serves an application."""

import asyncio
import functools
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

import thrust
from tests.support.ports import free_port
from thrust.worker import builtin

ROOT = Path(thrust.__file__).parent.parent
START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0

BY_THE_FRONT = {
    "X-Forwarded-For": "203.0.113.9, 192.0.2.1",
    "X-Real-IP": "192.0.2.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "app.example:8443",
}


# --- Import strings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["main:app", "a.b.c:d.e", "_x:_y", "müller:app", "main:create_app()", "pkg.asgi:application"]
)
def test_an_import_string_is_a_module_and_an_attribute(word: str) -> None:
    assert builtin.is_import_string(word)


@pytest.mark.parametrize(
    "word",
    [
        *("main", "main:", ":app", "main:app:x", "a..b:c", ".a:b", "a:b.", "1a:b", "a:1", "a b:c", "main:app\n"),
        *("./main:app", "bin/main:app", "C:\\app", "localhost:3000", "main:app(1)", "main:app()()", "a:b().c"),
        *("http://localhost", "main:'x'", "--opt:x", "a-b:c", ""),
    ],
)
def test_any_other_word_is_none(word: str) -> None:
    assert not builtin.is_import_string(word)


def test_the_command_runs_this_module_with_this_python() -> None:
    command = builtin.command_for("main:app", ["--workers", "2"])
    assert command == [sys.executable, "-m", "thrust.worker.builtin", "main:app", "--workers", "2"]


# --- ASGI or WSGI -----------------------------------------------------------------------------------------------


async def asgi_function(scope: Any, receive: Any, send: Any) -> None: ...


def plain_function_around_asgi(scope: Any, receive: Any, send: Any) -> Any:
    return asgi_function(scope, receive, send)


class AsgiObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiEndpoint:
    """Awaited for each request, as Starlette's HTTPEndpoint is."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...
    def __await__(self) -> Any: ...


def wsgi_function(environ: Any, start_response: Any) -> list[bytes]:
    return []


def decorated(*arguments: Any) -> list[bytes]:
    return []


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class WsgiResponse:
    """Iterated for each request, PEP 3333's class example."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...
    def __iter__(self) -> Iterator[bytes]: ...  # type: ignore[empty-body]


class Framework:
    def __init__(self, name: str = "", *more: str) -> None: ...
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi_function, "ASGI"),
        (functools.partial(asgi_function), "ASGI"),
        (plain_function_around_asgi, "ASGI"),
        (AsgiObject(), "ASGI"),
        (AsgiEndpoint, "ASGI"),
        (Framework(), "ASGI"),
        (wsgi_function, "WSGI"),
        (decorated, "WSGI"),
        (WsgiObject(), "WSGI"),
        (WsgiResponse, "WSGI"),
        (lambda: None, "FACTORY"),
        (Framework, "NONE"),
        (AsgiObject, "NONE"),
        (lambda a, b, c, d: None, "NONE"),
        ("app", "NONE"),
        (None, "NONE"),
    ],
)
def test_what_an_object_is_shows_in_how_it_is_called(app: object, interface: str) -> None:
    assert builtin._interface(app).name == interface


# --- What the front says ----------------------------------------------------------------------------------------


def scope(**changes: Any) -> dict[str, Any]:
    headers = [(b"host", b"127.0.0.1:3001")]
    headers += [(name.lower().encode(), value.encode()) for name, value in BY_THE_FRONT.items()]
    return {"type": "http", "scheme": "http", "client": ("127.0.0.1", 5000), "headers": headers, **changes}


def test_the_client_scheme_and_host_are_those_that_the_front_names() -> None:
    seen = builtin.as_seen_by_front(scope())
    assert (seen["client"], seen["scheme"]) == (("192.0.2.1", 0), "https")
    assert [value for name, value in seen["headers"] if name == b"host"] == [b"app.example:8443"]


def test_a_websocket_over_https_is_wss() -> None:
    assert builtin.as_seen_by_front(scope(type="websocket", scheme="ws"))["scheme"] == "wss"


def test_nothing_changes_where_the_front_says_nothing() -> None:
    plain = scope(headers=[(b"host", b"x"), (b"x-forwarded-proto", b"gopher")])
    assert builtin.as_seen_by_front(plain) == plain


def test_the_scope_itself_stays_as_it_is_and_its_state_is_shared() -> None:
    state = {"lock": threading.Lock()}
    original = scope(state=state)
    copy = dict(original)
    assert builtin.as_seen_by_front(original)["state"] is state
    assert original == copy


@pytest.mark.parametrize(
    ("told", "named", "kept"),
    [
        ([(b"x-sendfile-type", b"X-Sendfile")], b"X-Sendfile", False),
        ([(b"x-sendfile-type", b"X-Accel-Redirect")], b"X-Accel-Redirect", False),
        ([(b"x-sendfile-type", b"X-Sendfile")], b"X-Other", True),
        ([], b"X-Sendfile", True),
    ],
)
def test_the_length_of_a_file_that_the_front_sends_is_not_announced(
    told: list[tuple[bytes, bytes]], named: bytes, kept: bool
) -> None:
    async def app(scope: dict[str, Any], receive: object, send: Any) -> None:
        lines = [(b"Content-Length", b"7"), (named, b"/a"), (b"ETag", b'"1"')]
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        await send({"type": "http.response.body", "body": b""})

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "client": ("127.0.0.1", 1), "headers": told, "scheme": "http"}
    asyncio.run(builtin.BehindThrust(app)(scope, None, send))
    start, body = sent
    assert (b"Content-Length" in dict(start["headers"])) is kept
    assert [name for name, _ in start["headers"] if name != b"Content-Length"] == [named, b"ETag"]
    assert body == {"type": "http.response.body", "body": b""}


# --- As a process -----------------------------------------------------------------------------------------------

ASGI_APP = """
    import json, threading

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            scope["state"]["lock"] = threading.Lock()
            while True:
                event = (await receive())["type"]
                await send({"type": event + ".complete"})
                if event == "lifespan.shutdown":
                    return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": f"{scope['scheme']} {scope['client'][0]}"})
            await send({"type": "websocket.close"})
            return
        seen = {
            "client": scope["client"][0],
            "scheme": scope["scheme"],
            "hosts": [value.decode() for name, value in scope["headers"] if name == b"host"],
            "state": list(scope["state"]),
        }
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})

    plain = "not an app"

    def create_app():
        return app

    class nested:
        app = app
"""

FLASK_APP = """
    from flask import Flask, request

    app = Flask(__name__)

    @app.route("/", methods=["GET", "POST"])
    def index():
        return {"client": request.remote_addr, "url": request.url, "size": len(request.get_data())}

    @app.route("/nothing")
    def nothing():
        return "", 204

    @app.route("/dated")
    def dated():
        return "", {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
"""


@dataclass
class Running:
    port: int
    process: subprocess.Popen[str]
    client: httpx.Client


def environment(port: int) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "THRUST_WORKER_PORT": str(port)}


@contextmanager
def serving(folder: Path, source: str, *words: str) -> Iterator[Running]:
    """The worker, told by `words` to serve what `source` (main.py) holds, and ready to answer."""
    (folder / "main.py").write_text(textwrap.dedent(source), encoding="utf-8")
    port = free_port()
    import_string, *arguments = words
    command = builtin.command_for(import_string, ["--log-level", "info", *arguments])
    process = subprocess.Popen(
        command, cwd=folder, env=environment(port), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    too_late = threading.Timer(START_LIMIT_S, process.kill)
    too_late.start()
    assert process.stderr is not None
    try:
        lines = []
        while line := process.stderr.readline():
            lines.append(line)
            if "Running on" in line:
                break
        else:
            pytest.fail(f"the worker did not start:\n{''.join(lines)}")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=START_LIMIT_S) as client:
            yield Running(port, process, client)
    finally:
        too_late.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_LIMIT_S)
        process.stderr.close()


def failing(folder: Path, *words: str, source: str = ASGI_APP) -> subprocess.CompletedProcess[str]:
    """The worker's end, where it cannot serve."""
    (folder / "main.py").write_text(textwrap.dedent(source), encoding="utf-8")
    import_string, *arguments = words
    return subprocess.run(
        builtin.command_for(import_string, arguments),
        cwd=folder,
        env=environment(free_port()),
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("import_string", ["main:app", "main:create_app()", "main:nested.app"])
def test_an_asgi_app_sees_its_client_and_keeps_its_lifespan_state(tmp_path: Path, import_string: str) -> None:
    with serving(tmp_path, ASGI_APP, import_string) as worker:
        assert worker.client.get("/", headers=BY_THE_FRONT).json() == {
            "client": "192.0.2.1",
            "scheme": "https",
            "hosts": ["app.example:8443"],
            "state": ["lock"],
        }
        uri = f"ws://127.0.0.1:{worker.port}/"
        with connect(uri, additional_headers=BY_THE_FRONT, open_timeout=START_LIMIT_S) as websocket:
            assert websocket.recv(START_LIMIT_S) == "wss 192.0.2.1"


@pytest.mark.slow
def test_a_wsgi_app_sees_its_client_and_every_kind_of_response_arrives(tmp_path: Path) -> None:
    with serving(tmp_path, FLASK_APP, "main:app") as worker:
        answer = worker.client.post("/", content=b"x" * 20_000_000, headers=BY_THE_FRONT)
        assert answer.json() == {"client": "192.0.2.1", "url": "https://app.example:8443/", "size": 20_000_000}
        assert worker.client.get("/nothing").status_code == 204
        assert worker.client.get("/dated").headers.get_list("date") == ["Mon, 01 Jan 2024 00:00:00 GMT"]
        head = worker.client.head("/")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0


@pytest.mark.slow
def test_a_request_head_as_large_as_the_front_allows_is_taken(tmp_path: Path) -> None:
    with serving(tmp_path, ASGI_APP, "main:app") as worker:
        assert worker.client.get("/", headers={"X-Large": "x" * 65_000}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--workers", "2"], ["--worker-class", "uvloop"], ["--reload"]])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_arguments_reach_hypercorn_and_a_signal_ends_it_with_0(
    tmp_path: Path, arguments: Sequence[str], number: signal.Signals
) -> None:
    with serving(tmp_path, ASGI_APP, "main:app", *arguments) as worker:
        assert worker.client.get("/").status_code == 200
        worker.process.send_signal(number)
        assert worker.process.wait(STOP_LIMIT_S) == 0


@pytest.mark.slow
def test_only_loopback_is_listened_on(tmp_path: Path) -> None:
    with serving(tmp_path, ASGI_APP, "main:app") as worker, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", worker.port), timeout=STOP_LIMIT_S)


@pytest.mark.slow
def test_stdin_is_the_apps(tmp_path: Path) -> None:
    source = "import sys\nprint(sys.stdin.readline(), flush=True)\nraise SystemExit(7)"
    (tmp_path / "main.py").write_text(source)
    result = subprocess.run(
        builtin.command_for("main:app", []),
        cwd=tmp_path,
        env=environment(free_port()),
        input="from the terminal",
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )
    assert (result.returncode, result.stdout) == (7, "from the terminal\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("import_string", "sentence"),
    [
        ("nothing:app", "there is no module 'nothing' for nothing:app, neither in {folder} nor installed"),
        ("main.sub:app", "there is no module 'main.sub' for main.sub:app, neither in {folder} nor installed"),
        ("main:ap", "there is no 'ap' for main:ap in {folder}/main.py; did you mean 'app'?"),
        ("main:nested.zzz", "there is no 'zzz' for main:nested.zzz in {folder}/main.py"),
        ("main:plain", "main:plain is of type str, not an ASGI or WSGI application"),
        ("main:nested", "main:nested is the class nested, not an ASGI or WSGI application"),
        (
            "main:create_app",
            "main:create_app takes no arguments; if it makes the application, write 'main:create_app()'",
        ),
        ("main:app(1)", "'main:app(1)' is not of the form module:attribute"),
    ],
)
def test_a_wrong_import_string_is_a_sentence(tmp_path: Path, import_string: str, sentence: str) -> None:
    result = failing(tmp_path, import_string)
    assert result.stderr == f"thrust: {sentence.format(folder=tmp_path)}\n"
    assert (result.returncode, result.stdout) == (1, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "import_string", "last_line"),
    [
        ("import no_such_library", "main:app", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("undefined_name", "main:app", "NameError: name 'undefined_name' is not defined"),
        ("def app(:", "main:app", "SyntaxError: invalid syntax"),
        ("def create_app(): return 1 / 0", "main:create_app()", "ZeroDivisionError: division by zero"),
    ],
)
def test_an_error_of_the_app_is_its_own_traceback(
    tmp_path: Path, source: str, import_string: str, last_line: str
) -> None:
    result = failing(tmp_path, import_string, source=source)
    lines = result.stderr.splitlines()
    assert lines[-1] == last_line
    assert [line for line in lines if line.startswith("  File ")][0].startswith(f'  File "{tmp_path}/main.py", line 1')
    assert (result.returncode, "hypercorn" in result.stderr) == (1, False)


@pytest.mark.slow
def test_a_failed_start_up_is_told_in_the_apps_words(tmp_path: Path) -> None:
    source = """
        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})
    """
    result = failing(tmp_path, "main:app", source=source)
    assert result.returncode == 1
    assert result.stderr.startswith("thrust: main:app gave up while it started: ")
    assert "no database" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_process_of_several_that_fails_is_no_clean_end(tmp_path: Path) -> None:
    result = failing(tmp_path, "main:ap", "--workers", "2")
    assert result.returncode == 1
    assert "thrust: there is no 'ap' for main:ap" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.slow
def test_an_unknown_argument_is_hypercorns_to_refuse(tmp_path: Path) -> None:
    result = failing(tmp_path, "main:app", "--frobnicate")
    assert result.returncode == 2
    assert "unrecognized arguments: --frobnicate" in result.stderr


@pytest.mark.slow
def test_started_by_hand_it_says_what_is_missing(tmp_path: Path) -> None:
    environ = {name: value for name, value in environment(0).items() if name != "THRUST_WORKER_PORT"}
    result = subprocess.run(
        builtin.command_for("main:app", []),
        env=environ,
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )
    assert result.stderr == (
        "thrust: THRUST_WORKER_PORT is not set; this program is started by: thrust module:attribute\n"
    )
    assert result.returncode == 1
