"""A client's HTTP/2 connection and handlers that no chain would have."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.fuzz import http2 as fuzz
from tests.support.http2_peer import Http2Peer, pseudo
from tests.support.memory_network import MemoryLoop
from tests.support.memory_requests import Pieces
from thrust.errors import BadMessage, ThrustError, UpstreamError
from thrust.http.exchange import Exchange
from thrust.http.headers import Headers
from thrust.http.message import FileContent, Handler, Request, Response
from thrust.server.front import Front, Timeouts
from thrust.server.http2 import Http2Connection
from thrust.wire.http2.frames import ErrorCode


class Stage:
    """One connection whose requests `handler` answers."""

    def __init__(self, loop: MemoryLoop, handler: Handler, max_connections: int) -> None:
        self.loop = loop
        self.exchanges: list[Exchange] = []
        self.front = Front(
            handler,
            [self.exchanges.append],
            Timeouts(120, 30, 30),
            lambda error: Response(400, Headers(), b"no\n"),
            max_connections=max_connections,
        )
        self.connection = Http2Connection(self.front, loop, b"https")
        self.peer = loop.connect(self.connection, ("192.0.2.1", 1)).peer
        self.client = Http2Peer(self.peer)


def on_stage(handler: Handler, story: Callable[[Stage], Awaitable[None]], max_connections: int = 10) -> Stage:
    loop = MemoryLoop()

    async def performance() -> Stage:
        stage = Stage(loop, handler, max_connections)
        await loop.settled()
        await story(stage)
        await loop.settled()
        stage.connection.abort()
        await asyncio.sleep(10)
        assert stage.peer.transport.lost_calls == 1
        assert stage.front.connections == set() and stage.front.busy == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return stage

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(performance())


async def ask_once(stage: Stage) -> None:
    stage.client.greet()
    stage.client.request(1)
    await stage.loop.settled()


def raising(error: Exception) -> Handler:
    async def handler(request: Request) -> Response:
        raise error

    return handler


def answering(response: Response) -> Handler:
    async def handler(request: Request) -> Response:
        return response

    return handler


@pytest.mark.parametrize(
    ("error", "noted"),
    [(ValueError("a defect"), "internal error: ValueError('a defect')"), (ThrustError("nobody's"), "nobody's")],
)
def test_a_handler_that_fails_resets_its_stream(error: Exception, noted: str) -> None:
    stage = on_stage(raising(error), ask_once)
    assert stage.client.answer(1).reset_code == ErrorCode.INTERNAL_ERROR
    assert [(e.status, e.error) for e in stage.exchanges] == [(0, noted)]
    assert [context["exception"] for context in stage.loop.errors] == [error] * isinstance(error, ValueError)


@pytest.mark.parametrize("error", [UpstreamError("broken off"), BadMessage("broken"), ValueError("a defect")])
def test_a_body_that_fails_resets_its_stream_and_is_closed(error: Exception) -> None:
    body = Pieces(b"abc", error)
    stage = on_stage(answering(Response(200, Headers(), body, content_length=6)), ask_once)
    answer = stage.client.answer(1)
    assert bytes(answer.content) == b"abc" and answer.reset_code == ErrorCode.INTERNAL_ERROR and not answer.has_ended
    assert body.is_closed and str(error) in stage.exchanges[0].error


def test_a_body_that_was_read_is_closed_too() -> None:
    body = Pieces(b"abc", b"def")
    stage = on_stage(answering(Response(200, Headers(), body, content_length=6)), ask_once)
    assert bytes(stage.client.answer(1).content) == b"abcdef" and stage.client.answer(1).has_ended
    assert body.is_closed


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_is_read_in_pieces(tmp_path: Path, method: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 5000)
    body = FileContent(os.open(path, os.O_RDONLY), [b"<", (10, 50000), b">"], asyncio.to_thread)

    async def story(stage: Stage) -> None:
        stage.client.greet()
        stage.client.request(1, method=method)
        await stage.loop.settled()

    stage = on_stage(answering(Response(200, Headers(), body)), story)
    answer = stage.client.answer(1)
    content = b"<" + b"0123456789" * 4999 + b">"
    assert bytes(answer.content) == (content if method == "GET" else b"") and answer.has_ended
    assert answer.fields["content-length"] == str(len(content))
    with pytest.raises(OSError):
        body.descriptor  # noqa: B018


def test_a_file_that_shrank_resets_its_stream(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    body = FileContent(os.open(path, os.O_RDONLY), [(0, 20)], asyncio.to_thread)
    stage = on_stage(answering(Response(200, Headers(), body)), ask_once)
    assert stage.client.answer(1).reset_code == ErrorCode.INTERNAL_ERROR
    assert stage.exchanges[0].error == "a file could not be sent: the file became shorter while it was sent"


def test_the_scheme_is_that_of_the_port() -> None:
    schemes: list[bytes] = []

    async def handler(request: Request) -> Response:
        schemes.append(request.scheme)
        return Response(204, Headers())

    on_stage(handler, ask_once)
    assert schemes == [b"https"]


def test_an_interim_response_behind_the_answer_is_dropped() -> None:
    requests: list[Request] = []

    async def handler(request: Request) -> Response:
        requests.append(request)
        return Response(200, Headers(), Pieces(b"abc", b"def"), content_length=6)

    async def story(stage: Stage) -> None:
        await ask_once(stage)
        assert requests[0].send_interim is not None
        requests[0].send_interim(103, [(b"link", b"x")])
        await stage.loop.settled()
        assert len(stage.client.answer(1).heads) == 1

    on_stage(handler, story)


def test_a_request_body_that_nobody_reads_is_given_up_with_the_answer() -> None:
    requests: list[Request] = []

    async def handler(request: Request) -> Response:
        requests.append(request)
        return Response(204, Headers())

    async def story(stage: Stage) -> None:
        client = stage.client
        client.greet()
        client.send(client.headers(1, pseudo("/", "POST"), end=False))
        client.content(1, b"abc")
        await stage.loop.settled()
        assert client.answer(1).has_ended
        body = requests[0].body
        assert not isinstance(body, bytes)
        with pytest.raises(ThrustError, match="given up"):
            await body.read()

    on_stage(handler, story)


def test_a_client_too_many_is_turned_away() -> None:
    async def story(stage: Stage) -> None:
        assert stage.peer.saw_end and stage.front.connections == set()

    stage = on_stage(answering(Response(204, Headers())), story, max_connections=0)
    assert stage.exchanges == []


async def whatever(request: Request) -> Response:
    """Answers that take some time, or content, or fail."""
    if not isinstance(request.body, bytes) and request.target == b"/a":
        content = await request.body.read()
        return Response(200, Headers(), content)
    if request.method == b"HEAD":
        await asyncio.sleep(1)
    if request.target == b"/a":
        raise ThrustError("not today")
    return Response(200, Headers(), Pieces(b"abc" * 9000, b"def"))


@pytest.mark.parametrize("seed", range(40))
def test_random_frames_break_nothing_but_their_connection(seed: int) -> None:
    rng = random.Random(seed)

    async def story(stage: Stage) -> None:
        data = fuzz.connection(rng)
        while data and not stage.peer.transport.is_closing():
            size = rng.choice([1, 9, 50, 1000])
            stage.peer.send(data[:size])
            data = data[size:]
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice([0, 0.3]))
        await asyncio.sleep(5)
        stage.client.hear()

    stage = on_stage(whatever, story)
    assert stage.loop.errors == []
    assert len(stage.exchanges) == len(set(map(id, stage.exchanges)))


def test_what_it_shows_of_itself() -> None:
    async def handler(request: Request) -> Response:
        await asyncio.sleep(1)
        return Response(204, Headers())

    async def story(stage: Stage) -> None:
        await ask_once(stage)
        assert repr(stage.connection) == "<Http2Connection 192.0.2.1 open, 1 streams>"
        assert repr(stage.connection.engine) == "<Engine open, 1 streams, window 65535>"
        assert repr(stage.connection._streams[1]) == "<Http2Stream 1 <Exchange GET / 0 >, 0 bytes waiting>"
        assert repr(stage.connection.sender) == "<Sender 0 streams ready>"

    on_stage(handler, story)


def test_a_refusal_over_tls_says_how_long_to_insist_on_it() -> None:
    async def story(stage: Stage) -> None:
        stage.front.strict_lines = [(b"strict-transport-security", b"max-age=600")]
        stage.client.greet()
        stage.client.send(stage.client.headers(1, [*pseudo(), *[(f"x-{number}", "1") for number in range(200)]]))
        await stage.loop.settled()
        stage.client.hear()
        assert stage.client.answer(1).fields["strict-transport-security"] == "max-age=600"

    on_stage(answering(Response(204, Headers())), story)
