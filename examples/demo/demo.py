"""One page that shows what an app behind thrust gets to see: headers, an event stream, a WebSocket, an upload.

Plain ASGI on the standard library, so that it runs wherever thrust is installed: `scripts/demo`, which is
`thrust demo:app` in this folder, and the image that the Dockerfile at the top builds. `/up` is the health path.
"""

import asyncio
import hashlib
import html
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
TICK_S = 1.0

# What thrust sets itself, or completes when a proxy in front of it has begun.
SET_BY_THRUST = frozenset(
    {
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
        "x-request-start",
    }
)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI entry point: one coroutine per request, per WebSocket, and one for the lifespan."""
    if scope["type"] == "lifespan":
        await follow_lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    else:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server leaves the content out
        respond = ROUTES.get((method, scope["path"]), not_found)
        await respond(scope, receive, send)


async def follow_lifespan(receive: Receive, send: Send) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def show_page(scope: Message, _receive: Receive, send: Send) -> None:
    nonce = secrets.token_urlsafe(16)
    page = PAGE.replace("{{nonce}}", nonce)
    page = page.replace("{{worker}}", as_rows(describe_worker(scope)))
    page = page.replace("{{headers}}", as_rows(decode(scope["headers"])))
    policy = f"default-src 'self'; img-src data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'"
    fields = [(b"content-security-policy", policy.encode()), (b"cache-control", b"no-store")]
    await send_whole(send, 200, b"text/html; charset=utf-8", page.encode(), fields)


async def say_up(_scope: Message, _receive: Receive, send: Send) -> None:
    await send_whole(send, 200, b"text/plain", b"up\n")


async def not_found(_scope: Message, _receive: Receive, send: Send) -> None:
    await send_whole(send, 404, b"text/plain", b"nothing here\n")


async def stream_clock(_scope: Message, receive: Receive, send: Send) -> None:
    """One server-sent event per second until the browser goes away, which thrust reports at once."""
    fields = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    while True:
        event = f"data: {time.strftime('%H:%M:%S')}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        if await is_gone_within(receive, TICK_S):
            return


async def is_gone_within(receive: Receive, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


async def measure_upload(_scope: Message, receive: Receive, send: Send) -> None:
    """Counts and hashes the body piece by piece, so that an upload of any size needs no memory."""
    digest, size, pieces, started_s = hashlib.sha256(), 0, 0, time.monotonic()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        digest.update(message.get("body", b""))
        size += len(message.get("body", b""))
        pieces += 1
        more = message.get("more_body", False)
    report = {"bytes": size, "pieces": pieces, "sha256": digest.hexdigest(), "seconds": time.monotonic() - started_s}
    await send_whole(send, 200, b"application/json", json.dumps(report).encode())


async def echo(receive: Receive, send: Send) -> None:
    """Returns every WebSocket message as it came, on any path."""
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def send_whole(
    send: Send, status: int, content_type: bytes, body: bytes, fields: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *(fields or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def describe_worker(scope: Message) -> list[tuple[str, str]]:
    client = scope.get("client") or ("unknown", 0)
    names = ("PORT", "THRUST_WORKER_PORT", "THRUST_PUBLIC_PORT")
    return [
        ("process", f"{os.getpid()}, child of {os.getppid()}"),
        ("protocol to thrust", f"HTTP/{scope['http_version']}"),
        ("address of the client", client[0]),
        *((name, os.environ.get(name, "not set")) for name in names),
    ]


def decode(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def as_rows(pairs: list[tuple[str, str]]) -> str:
    return "\n".join(
        f"<tr{' class=ours' if name in SET_BY_THRUST else ''}><th>{html.escape(name)}<td>{html.escape(value)}"
        for name, value in pairs
    )


ROUTES: dict[tuple[str, str], Callable[[Message, Receive, Send], Awaitable[None]]] = {
    ("GET", "/"): show_page,
    ("GET", "/up"): say_up,
    ("GET", "/clock"): stream_clock,
    ("POST", "/upload"): measure_upload,
}
