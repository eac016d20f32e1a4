"""A site on a Stage: a worker that answers from a list, and clients that ask and look at whole answers.

For what would be the same twenty lines over and over in a conversation, or takes hundreds of clients. `asked` is what
reached the worker; nobody may ask it for more than the test has put into `answers`.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.conversation import Stage, perform
from thrust.coding.codings import decompress

LATER = b""
"""In the place of an answer: the worker reads the request, and the test sends the answer when it wants to."""

Answer = bytes | Callable[["Message"], bytes]
"""What the worker sends, or how it makes that of what it was asked."""

MAX_BYTES = 1 << 24


@dataclass
class Message:
    """One request or response as it came over the wire, head and content apart."""

    start: str
    lines: list[tuple[str, str]]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    def __getitem__(self, name: str) -> str | None:
        """The value of the field `name`, all lines of it joined; None if there is none."""
        values = [value for line_name, value in self.lines if line_name == name]
        return ", ".join(values) if values else None

    @property
    def plain(self) -> bytes:
        """The content without its coding."""
        coding = (self["content-encoding"] or "").lower().removeprefix("x-")
        return decompress(coding.encode(), self.body, MAX_BYTES) if coding else self.body


def answer(*lines: str, body: bytes = b"content", status: int = 200, chunked: bool = False) -> bytes:
    """A response of the worker."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    start = f"HTTP/1.1 {status} Whatever"
    head = "".join(f"{line}\r\n" for line in (start, *lines, *([] if status in (204, 304) else [framing])))
    content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked and body else body
    return head.encode() + b"\r\n" + (b"" if status in (204, 304) else content)


def request(target: str, *lines: str, method: str = "GET", host: str = "example.org") -> bytes:
    """A request of a client."""
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "")).encode()


class Site:
    """Clients and the worker of `stage`; `answers` are given in their order."""

    def __init__(self, stage: Stage, *answers: Answer) -> None:
        self.stage = stage
        self.answers = deque(answers)
        self.asked: list[Message] = []

    async def get(
        self, target: str = "/a", *lines: str, method: str = "GET", host: str = "example.org", client: int = 1
    ) -> Message:
        """The one answer that a client gets now."""
        self.send(target, *lines, method=method, host=host, client=client)
        await self.settle()
        (reply,) = self.replies(client, is_head=method == "HEAD")
        return reply

    def send(
        self, target: str = "/a", *lines: str, method: str = "GET", host: str = "example.org", client: int = 1
    ) -> None:
        """Sends a request, and waits for nothing; a client that has lost its connection makes a new one."""
        if client in self.stage.clients and self.stage.clients[client].transport.lost_calls:
            del self.stage.clients[client]
        self.stage.client(client).send(request(target, *lines, method=method, host=host))

    async def settle(self) -> None:
        """Lets everything happen that can happen without time passing, the worker's answers included."""
        await self.stage.settled()
        while self._answer_all():
            await self.stage.settled()

    async def pass_time(self, seconds: float) -> None:
        await self.settle()
        await self.stage.pass_time(seconds)
        await self.settle()

    def replies(self, client: int = 1, *, is_head: bool = False) -> list[Message]:
        """What a client has received since it was last asked; all of it has to be complete."""
        data = self.stage.client(client).take()
        return list(_messages(data, is_head=is_head))

    def take_asked(self) -> list[Message]:
        """What has reached the worker since the last call."""
        asked, self.asked = self.asked, []
        return asked

    def _answer_all(self) -> int:
        count = 0
        for peer in self.stage.loop.accepted:
            if peer.is_closed or b"\r\n\r\n" not in peer.received:
                continue
            (message,) = _messages(peer.take())
            self.asked.append(message)
            assert self.answers, f"the worker was asked once more: {message}"
            reply = self.answers.popleft()
            data = reply if isinstance(reply, bytes) else reply(message)
            if data:
                peer.send(data)
            count += 1
        return count


def _messages(data: bytes, *, is_head: bool = False) -> Iterator[Message]:
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"incomplete: {head!r}"
        start, *lines = head.decode("latin-1").split("\r\n")
        message = Message(start, [(name, value) for name, _, value in (line.partition(": ") for line in lines)], b"")
        if start.startswith("HTTP/") and (is_head or message.status in (204, 304) or message.status < 200):
            pass
        elif message["transfer-encoding"] == "chunked":
            message.body, data = _dechunked(data)
        else:
            length = int(message["content-length"] or 0)
            message.body, data = data[:length], data[length:]
            assert len(message.body) == length, f"incomplete: {message}"
        yield message


def _dechunked(data: bytes) -> tuple[bytes, bytes]:
    """The content, and what follows it."""
    pieces = []
    while True:
        size_line, end, data = data.partition(b"\r\n")
        assert end, "the last chunk is missing"
        size = int(size_line, 16)
        if not size:
            break
        pieces.append(data[:size])
        data = data[size + 2 :]
    while not data.startswith(b"\r\n"):
        data = data.partition(b"\r\n")[2]
    return b"".join(pieces), data[2:]


def on_site(
    story: Callable[[Site], Coroutine[Any, Any, None]],
    *answers: Answer,
    cache_size_bytes: int = 1 << 23,
    **settings: Any,
) -> Stage:
    """Plays `story` on a Site behind a thrust that has a cache."""
    __tracebackhide__ = True

    async def on_stage(stage: Stage) -> None:
        __tracebackhide__ = True
        site = Site(stage, *answers)
        await story(site)
        await site.settle()
        assert not site.answers, "the worker was asked less often"

    return perform(on_stage, cache_size_bytes=cache_size_bytes, **settings)
