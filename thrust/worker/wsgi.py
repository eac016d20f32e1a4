"""A WSGI application (PEP 3333) as an ASGI one, for the built-in worker.

Hypercorn has an adapter too, but that one (0.18) answers 500 where a response has no body (Flask's HEAD, 204 and 304),
runs the application on the part of an upload that came before the client left, refuses bodies beyond 16 MB, and
iterates on for a client that is gone. Once it does none of this, this file can go.

Strategy: the whole request body first, in memory while it is small and in a temporary file beyond, because threads are
few and shall not wait for slow clients (the front limits its size by MAX_REQUEST_BODY). Then the application in a
thread of asyncio's default pool; each chunk of its response is handed to the event loop and waited for there, so that a
slow client slows the iteration down instead of filling memory.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

BODY_IN_MEMORY_BYTES = 1024 * 1024  # per request; Kamal's proxy buffers as much before it takes to the disk
FILE_CHUNK_BYTES = 65536  # Django asks for 4096, at 0.1 ms per hop between thread and event loop

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Environ = dict[str, Any]


class WsgiAdapter:
    """An ASGI application around a WSGI one. WebSockets are refused with 403, lifespan events acknowledged."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._serve(scope, receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close"})
            case "lifespan":
                await _acknowledge(receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        with SpooledTemporaryFile(BODY_IN_MEMORY_BYTES) as body:
            size_bytes = await _receive_body(receive, body)
            if size_bytes is None:
                return
            response = _Response(send, asyncio.get_running_loop())
            environ = build_environ(scope, body, size_bytes)
            try:
                async with asyncio.TaskGroup() as tasks:
                    watch = tasks.create_task(_watch(receive, response))
                    failure = await asyncio.to_thread(self._run, environ, response)
                    watch.cancel()
            finally:
                response.is_wanted = False
        if failure is not None:
            raise failure  # logged with its traceback by Hypercorn, which also ends the response

    def _run(self, environ: Environ, response: "_Response") -> Exception | None:
        """Runs the application in this thread; what it raises comes back, since it has to get out of a TaskGroup."""
        try:
            chunks = self._app(environ, response.start)
            try:
                for chunk in chunks:
                    response.write(chunk)
                response.finish()
            finally:
                if hasattr(chunks, "close"):
                    chunks.close()
        except _ClientGone:
            return None
        except Exception as error:
            return error
        return None


class _ClientGone(Exception):
    """Nobody reads the response any more."""


class _Response:
    """What the application answers; all methods are called in its thread, which they block.

    The head leaves with the first piece of body, so that `start` can be called again by error handling until then.
    """

    def __init__(self, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        self.is_wanted = True
        self._send = send
        self._loop = loop
        self._head: Message | None = None
        self._is_head_sent = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """PEP 3333's start_response; returns its `write`."""
        if exc_info and self._is_head_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._head is not None and not exc_info:
            raise RuntimeError("the application called start_response twice without exc_info")
        lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = {"type": "http.response.start", "status": int(status.split(" ", 1)[0]), "headers": lines}
        return self.write

    def write(self, chunk: bytes) -> None:
        """Sends `chunk`, after the head if that is still here; raises _ClientGone if nobody wants it."""
        if chunk:
            self._deliver({"type": "http.response.body", "body": chunk, "more_body": True})

    def finish(self) -> None:
        self._deliver({"type": "http.response.body", "body": b"", "more_body": False})

    def _deliver(self, message: Message) -> None:
        if self._head is None:
            raise RuntimeError("the application did not call start_response")
        if not self.is_wanted:
            raise _ClientGone
        messages = [message] if self._is_head_sent else [self._head, message]
        self._is_head_sent = True
        asyncio.run_coroutine_threadsafe(self._send_all(messages), self._loop).result()

    async def _send_all(self, messages: list[Message]) -> None:
        for message in messages:
            await self._send(message)


async def _receive_body(receive: Receive, body: IO[bytes]) -> int | None:
    """Bytes of the request body, now in `body` and rewound; None if the client left before its end."""
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        size_bytes += body.write(message.get("body", b""))
        if not message.get("more_body", False):
            body.seek(0)
            return size_bytes


async def _watch(receive: Receive, response: _Response) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    response.is_wanted = False


async def _acknowledge(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


def build_environ(scope: Scope, body: IO[bytes], body_bytes: int) -> Environ:
    """PEP 3333's environ: text is bytes read as latin-1.

    The body has been read to its end, so CONTENT_LENGTH is given for chunked ones as well: for frameworks a missing
    one means 0.
    """
    server_name, server_port = scope.get("server") or ("localhost", 80)
    script_name = scope.get("root_path", "").encode().decode("latin-1")
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": script_name,
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1").removeprefix(script_name),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server_name,
        "SERVER_PORT": str(server_port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": _wrap_file,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    _add_fields(environ, scope["headers"])
    if body_bytes:
        environ["CONTENT_LENGTH"] = str(body_bytes)
    return environ


def _add_fields(environ: Environ, lines: Iterable[tuple[bytes, bytes]]) -> None:
    for raw_name, raw_value in lines:
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        if name == "TRANSFER_ENCODING":
            continue  # undone already
        key = name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        separator = "; " if name == "COOKIE" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value


def _wrap_file(file: Any, chunk_bytes: int = FILE_CHUNK_BYTES) -> FileWrapper:
    return FileWrapper(file, max(chunk_bytes, FILE_CHUNK_BYTES))
