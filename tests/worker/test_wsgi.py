"""WSGI applications as ASGI ones: what PEP 3333 asks for, and what happens when a client leaves."""

import asyncio
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from thrust.worker.wsgi import BODY_IN_MEMORY_BYTES, WsgiAdapter, build_environ

Message = dict[str, Any]
LIMIT_S = 10.0


def scope(**changes: Any) -> Message:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/ä/b",
        "raw_path": b"/%C3%A4/b",
        "query_string": b"q=%zz;x",
        "root_path": "",
        "headers": [(b"host", b"a.example")],
        "client": ("192.0.2.1", 0),
        "server": ("127.0.0.1", 3001),
        **changes,
    }


class Client:
    """The server's half of ASGI: says `messages`, then waits until `leave`; keeps what it is sent."""

    def __init__(self, *messages: Message) -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()
        self.has_read = asyncio.Event()
        self._messages = list(messages)

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.has_read.set()

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


def request(*pieces: bytes) -> list[Message]:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    return [*messages, {"type": "http.request", "body": b"", "more_body": False}]


def answer(app: Callable[..., Iterable[bytes]], *pieces: bytes, **changes: Any) -> Client:
    """What a client gets that sends `pieces` as its body."""

    async def converse() -> Client:
        client = Client(*request(*pieces))
        async with asyncio.timeout(LIMIT_S):
            await WsgiAdapter(app)(scope(**changes), client.receive, client.send)
        return client

    return asyncio.run(converse())


def responding(status: str, *chunks: bytes) -> Callable[..., Iterable[bytes]]:
    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        start_response(status, [("Content-Type", "text/plain"), ("X-Name", "é")])
        return chunks

    return app


def test_a_response_has_its_status_fields_and_body() -> None:
    client = answer(responding("201 Made", b"a", b"", b"b"))
    assert client.sent[0] == {
        "type": "http.response.start",
        "status": 201,
        "headers": [(b"content-type", b"text/plain"), (b"x-name", b"\xe9")],
    }
    assert (client.body, client.sent[-1]["more_body"]) == (b"ab", False)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "200 OK", "299"])
def test_a_response_without_body_is_complete(status: str) -> None:
    client = answer(responding(status))
    assert [message["type"] for message in client.sent] == ["http.response.start", "http.response.body"]
    assert (client.sent[0]["status"], client.sent[1]["more_body"]) == (int(status[:3]), False)


def test_it_keeps_to_pep_3333_as_the_standard_librarys_validator_sees_it() -> None:
    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    assert answer(validator(app), b"ab", b"cd").body == b"abcd"


def test_the_body_is_read_before_the_application_runs_and_its_length_known() -> None:
    seen: list[object] = []

    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.extend([environ["CONTENT_LENGTH"], "HTTP_TRANSFER_ENCODING" in environ, environ["wsgi.input"].read()])
        start_response("200 OK", [])
        return []

    answer(app, b"ab", b"c", headers=[(b"transfer-encoding", b"chunked")])
    assert seen == ["3", False, b"abc"]


def test_a_body_larger_than_the_memory_limit_arrives_whole() -> None:
    piece = bytes(range(256)) * 1024
    count = BODY_IN_MEMORY_BYTES // len(piece) + 2

    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    assert answer(app, *[piece] * count).body == piece * count


def test_an_upload_that_its_client_gave_up_never_reaches_the_application() -> None:
    def app(*_: object) -> Iterable[bytes]:
        raise AssertionError("the application ran")

    async def converse() -> Client:
        client = Client({"type": "http.request", "body": b"half", "more_body": True})
        client.left.set()
        await WsgiAdapter(app)(scope(), client.receive, client.send)
        return client

    assert asyncio.run(converse()).sent == []


def test_iteration_ends_and_the_response_is_closed_when_the_client_leaves() -> None:
    closed: list[bool] = []

    def endless(environ: Message, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"tick"
        finally:
            closed.append(True)

    async def converse() -> None:
        client = Client(*request())
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(WsgiAdapter(endless)(scope(), client.receive, client.send))
            await client.has_read.wait()
            client.left.set()

    asyncio.run(converse())
    assert closed == [True]


def test_the_applications_error_comes_out_as_itself_and_closes_the_response() -> None:
    closed: list[bool] = []

    def failing(environ: Message, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield b"a"
            raise ZeroDivisionError
        finally:
            closed.append(True)

    with pytest.raises(ZeroDivisionError):
        answer(failing)
    assert closed == [True]


def test_a_response_without_start_response_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="did not call start_response"):
        answer(lambda environ, start_response: [b"a"])


def test_start_response_twice_is_an_error_without_exc_info() -> None:
    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("500 Oops", [])
        return []

    with pytest.raises(RuntimeError, match="start_response twice"):
        answer(app)


def test_an_error_page_replaces_a_head_that_was_not_sent() -> None:
    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        return [b"sorry"]

    client = answer(app)
    assert (client.sent[0]["status"], client.body) == (500, b"sorry")


def test_an_error_after_the_head_was_sent_is_raised_again() -> None:
    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"begun")
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        return []

    with pytest.raises(ValueError):
        answer(app)


def test_write_sends_at_once() -> None:
    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])(b"a")
        return [b"b"]

    assert answer(app).body == b"ab"


def test_a_file_wrapper_reads_in_large_pieces() -> None:
    content = b"x" * 100_000

    def app(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(content), 4096)
        return wrapped

    client = answer(app)
    assert client.body == content
    assert len(client.sent) == 4  # head, two pieces, end


def test_a_websocket_is_refused_before_it_opens() -> None:
    async def converse() -> list[Message]:
        client = Client({"type": "websocket.connect"})
        await WsgiAdapter(responding("200 OK"))({"type": "websocket"}, client.receive, client.send)
        return client.sent

    assert asyncio.run(converse()) == [{"type": "websocket.close"}]


def test_lifespan_events_are_acknowledged() -> None:
    async def converse() -> list[Message]:
        client = Client({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
        await WsgiAdapter(responding("200 OK"))({"type": "lifespan"}, client.receive, client.send)
        return client.sent

    assert asyncio.run(converse()) == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


# --- environ ----------------------------------------------------------------------------------------------------


def environ_of(**changes: Any) -> Message:
    return build_environ(scope(**changes), io.BytesIO(), 0)


def test_the_path_is_the_decoded_bytes_of_the_target() -> None:
    environ = environ_of()
    assert environ["PATH_INFO"].encode("latin-1") == "/ä/b".encode()
    assert environ_of(raw_path=b"/%FF%2f")["PATH_INFO"].encode("latin-1") == b"/\xff/"


def test_the_query_is_passed_verbatim() -> None:
    assert environ_of()["QUERY_STRING"] == "q=%zz;x"


def test_a_root_path_moves_from_the_path_to_the_script_name() -> None:
    environ = environ_of(root_path="/app", raw_path=b"/app/x")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/x")


def test_the_client_scheme_and_server_are_those_of_the_scope() -> None:
    environ = environ_of()
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("192.0.2.1", "https")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["SERVER_PROTOCOL"]) == (
        "127.0.0.1",
        "3001",
        "HTTP/1.1",
    )


def test_fields_become_variables_and_repeated_ones_are_joined() -> None:
    lines = [
        *((b"accept", b"a"), (b"accept", b"b"), (b"cookie", b"x=1"), (b"cookie", b"y=2")),
        *((b"content-type", b"text/plain"), (b"content-length", b"0"), (b"x-name", b"\xe9")),
    ]
    environ = environ_of(headers=lines)
    assert (environ["HTTP_ACCEPT"], environ["HTTP_COOKIE"]) == ("a,b", "x=1; y=2")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["HTTP_X_NAME"]) == ("text/plain", "0", "é")
    assert "HTTP_CONTENT_TYPE" not in environ


def test_errors_go_where_logs_go() -> None:
    assert environ_of()["wsgi.errors"] is sys.stderr
