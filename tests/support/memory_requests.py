"""Requests made by hand, and handlers that remember them: for testing one handler without its neighbours."""

import asyncio
from collections.abc import Iterable

from thrust.http.exchange import Exchange
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Body, Handler, Request, Response


def make_request(
    target: bytes = b"/",
    fields: Iterable[FieldLine] = (),
    *,
    method: bytes = b"GET",
    authority: bytes = b"example.org",
    peer_address: str = "203.0.113.7",
    body: Body = b"",
    content_length: int | None = 0,
) -> Request:
    """A request as `server` would make it."""
    return Request(
        method,
        target,
        Headers(list(fields)),
        authority=authority,
        exchange=Exchange(peer_address, 1_800_000_000.25, 0.0),
        body=body,
        content_length=content_length,
    )


def no_refusal(request: Request, reason: str, /, *, is_fault: bool) -> None:
    """The log of a test in which no file is refused."""
    raise AssertionError(reason)


class Following:
    """The next handler: remembers the requests that reach it, answers or raises."""

    def __init__(self, answer: Response | Exception | None = None) -> None:
        self._answer = answer or Response(204, Headers())
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class Pieces:
    """A BodyStream of these pieces; an exception among them is raised."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = list(pieces)
        self.trailers: list[FieldLine] = []
        self.is_closed = False

    async def read(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.is_closed = True


def ask(handler: Handler, request: Request) -> Response:
    """The answer of `handler`, on an event loop of its own."""

    async def answer() -> Response:
        return await handler(request)

    return asyncio.run(answer())
