"""HTTP/2 clients on a conversation's stage: frames on the client's side, lines of HTTP/1.1 on the worker's."""

from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.conversation import CLIENT_ADDRESS, Stage, perform
from tests.support.http2_peer import Http2Peer
from tests.support.memory_transport import READ_BYTES, Peer
from thrust.server.http2 import Http2Connection


class Http2Stage:
    """A stage with one HTTP/2 client, who has greeted unless told otherwise."""

    def __init__(self, stage: Stage, *, settings: dict[int, int] | None = None, greets: bool = True) -> None:
        self.stage = stage
        self.connection = Http2Connection(stage.front, stage.loop)
        number = len(stage.clients) + 1
        self.peer: Peer = stage.loop.connect(self.connection, (CLIENT_ADDRESS, 40000 + number)).peer
        stage.clients[number] = self.peer
        self.client = Http2Peer(self.peer)
        if greets:
            self.client.greet(settings)

    async def settled(self) -> None:
        await self.stage.settled()

    async def worker_got(self, number: int = 1) -> bytes:
        """What the worker has received since it was asked last."""
        await self.settled()
        return self.stage.worker(number).take()

    async def worker_says(self, data: bytes, number: int = 1) -> None:
        self.stage.worker(number).send(data)
        await self.settled()


Http2Story = Callable[[Http2Stage], Coroutine[Any, Any, None]]


def perform_http2(
    story: Http2Story,
    *,
    client_settings: dict[int, int] | None = None,
    greets: bool = True,
    read_bytes: int = READ_BYTES,
    **settings: Any,
) -> Stage:
    """Plays `story`, and checks that nothing is left behind."""

    async def on_stage(stage: Stage) -> None:
        scene = Http2Stage(stage, settings=client_settings, greets=greets)
        await stage.settled()
        await story(scene)

    return perform(on_stage, read_bytes=read_bytes, **settings)


def response(content: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """A worker's response."""
    head = [b"HTTP/1.1 " + status, *lines, b"content-length: %d" % len(content)]
    return b"\r\n".join(head) + b"\r\n\r\n" + content
