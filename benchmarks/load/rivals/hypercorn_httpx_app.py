"""An ASGI app that forwards every request to `$UPSTREAM` with one shared httpx client and streams both bodies.

Run by Hypercorn, see `hypercorn_httpx.py`. It is what one writes in an afternoon: no retries, no limits, no upgrades.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import httpx

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UPSTREAM = os.environ["UPSTREAM"]
HOP_BY_HOP = {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}

# The default of 20 idle connections would make 64 busy clients dial anew all the time.
client = httpx.AsyncClient(
    base_url=UPSTREAM, timeout=60, limits=httpx.Limits(max_connections=None, max_keepalive_connections=64)
)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answers one HTTP request with what the upstream says."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])  # lifespan: so an ASGI app says that it has none
    request = client.build_request(
        scope["method"],
        httpx.URL(path=scope["path"], query=scope["query_string"] or None),
        headers=[*end_to_end(scope["headers"]), *forwarded(scope)],
        content=body(receive) if has_body(scope["headers"]) else None,
    )
    response = await client.send(request, stream=True)
    try:
        headers = end_to_end(response.headers.raw)
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        async for chunk in response.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        await response.aclose()


def end_to_end(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """`headers` without those that belong to one connection."""
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]


def forwarded(scope: Message) -> list[tuple[bytes, bytes]]:
    """The fields that tell the upstream who asked, and how."""
    return [(b"x-forwarded-for", scope["client"][0].encode()), (b"x-forwarded-proto", scope["scheme"].encode())]


def has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the request is followed by content (RFC 9112 §6)."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)


async def body(receive: Receive) -> AsyncIterator[bytes]:
    """The chunks of the request's body as they come."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("client went away during its upload")
        yield message["body"]
        more = message["more_body"]
