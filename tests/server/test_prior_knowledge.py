"""The first bytes of a connection on a plain port decide which protocol it speaks."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.http2_peer import PREFACE, Http2Peer
from tests.support.memory_network import MemoryLoop
from tests.support.memory_transport import READ_BYTES, Peer
from thrust.http.headers import Headers
from thrust.http.message import Request, Response
from thrust.server.front import Front, Timeouts
from thrust.server.http1 import Http1Connection
from thrust.server.http2 import Http2Connection
from thrust.server.prior_knowledge import PriorKnowledge


class Stage:
    def __init__(self, loop: MemoryLoop) -> None:
        self.loop = loop
        self.front = Front(self.answer, [], Timeouts(120, 30, 30), lambda error: Response(400, Headers(), b"no\n"))
        front = self.front
        self.protocol = PriorKnowledge(
            front, loop, lambda: Http1Connection(front, loop), lambda: Http2Connection(front, loop)
        )
        self.client: Peer = loop.connect(self.protocol, ("192.0.2.1", 1)).peer

    async def answer(self, request: Request) -> Response:
        return Response(200, Headers(), request.exchange.protocol.encode())

    async def receive(self, data: bytes) -> bytes:
        self.client.send(data)
        await self.loop.settled()
        return self.client.take()


def on_stage(story: Callable[[Stage], Awaitable[None]], read_bytes: int = READ_BYTES) -> None:
    loop = MemoryLoop(read_bytes)

    async def performance() -> None:
        stage = Stage(loop)
        await loop.settled()
        await story(stage)
        for connection in list(stage.front.connections):
            connection.abort()
        await loop.settled()
        assert not stage.front.connections and not loop.errors
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(performance())


@pytest.mark.parametrize("read_bytes", [READ_BYTES, 1, 23])
@pytest.mark.parametrize("method", [b"GET", b"POST", b"PRI", b"P"])
def test_what_is_not_the_preface_is_http1(method: bytes, read_bytes: int) -> None:
    async def story(stage: Stage) -> None:
        answer = await stage.receive(method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200" if method in (b"GET", b"POST") else b"HTTP/1.1 ")
        assert len(stage.front.connections) <= 1

    on_stage(story, read_bytes)


@pytest.mark.parametrize("read_bytes", [READ_BYTES, 1, 23])
def test_the_preface_is_http2(read_bytes: int) -> None:
    async def story(stage: Stage) -> None:
        client = Http2Peer(stage.client)
        client.greet()
        client.request(1)
        await stage.loop.settled()
        assert bytes(client.answer(1).content) == b"HTTP/2"
        assert [type(connection) for connection in stage.front.connections] == [Http2Connection]

    on_stage(story, read_bytes)


def test_it_counts_as_a_client_and_has_the_read_timeout() -> None:
    async def story(stage: Stage) -> None:
        assert stage.front.connections == {stage.protocol} and stage.front.busy == 0
        assert await stage.receive(PREFACE[:10]) == b""
        await asyncio.sleep(31)
        assert stage.client.saw_end

    on_stage(story)


def test_a_drain_ends_it() -> None:
    async def story(stage: Stage) -> None:
        stage.protocol.end_stream()
        stage.protocol.drain()
        await stage.loop.settled()
        assert stage.client.saw_end

    on_stage(story)


def test_it_shows_what_it_knows() -> None:
    async def story(stage: Stage) -> None:
        await stage.receive(b"PR")
        assert repr(stage.protocol) == "<PriorKnowledge 192.0.2.1, 2 bytes>"

    on_stage(story)
