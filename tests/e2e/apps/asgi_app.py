"""The ASGI app that the end-to-end tests put behind thrust; each path is one thing to be seen from outside.

Where a test and the app have to agree on an order of events, a request waits on a name (`/wait?name`) until another
one says it (`/say?name`); nothing here waits for a time.
"""

import asyncio
import hashlib
import json
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

POOL = random.Random(1).randbytes(1 << 21)
"""What bodies are cut from: the test knows it, too."""

said: dict[str, asyncio.Event] = {}
channels: dict[str, "asyncio.Queue[str]"] = {}


def event(name: str) -> asyncio.Event:
    return said.setdefault(name, asyncio.Event())


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["type"] == "websocket":
        await echo(scope, receive, send)
    else:
        query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        await ROUTES.get(scope["path"], nothing)(scope, receive, send, query)


async def live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def read_body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client has gone")
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def start(send: Send, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def answer(send: Send, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await start(send, status, (b"content-length", b"%d" % len(body)), *headers)
    await send({"type": "http.response.body", "body": body})


async def page(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    await answer(send, b"hello from %d\n" % os.getpid(), 200, (b"content-type", b"text/plain"))


async def nothing(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    await answer(send, b"no such page\n", 404)


async def sight(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """What the app sees of the request."""
    headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "scheme": scope["scheme"],
        "client": (scope["client"] or ("",))[0],
        "host": dict(headers).get("host", ""),
        "headers": headers,
    }
    await answer(send, json.dumps(seen).encode(), 200, (b"content-type", b"application/json"))


async def digest(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Checks the digest of what it gets; answers with `size` bytes from the pool, in `pieces`, and their digest."""
    claimed = dict(scope["headers"]).get(b"x-digest", b"").decode()
    seen = hashlib.sha256(await read_body(receive)).hexdigest()
    if seen != claimed:
        await answer(send, f"the body's digest is {seen}, not {claimed}".encode(), 422)
        return
    at, size, pieces = (int(query[name]) for name in ("at", "size", "pieces"))
    body = POOL[at : at + size]
    headers = [(b"x-digest", hashlib.sha256(body).hexdigest().encode())]
    if "fixed" in query:
        headers.append((b"content-length", b"%d" % size))
    await start(send, 200, *headers)
    step = size // pieces + 1
    for begin in range(0, size, step):
        await send({"type": "http.response.body", "body": body[begin : begin + step], "more_body": True})
    await send({"type": "http.response.body"})


async def received(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """The size and the digest of the body."""
    body = await read_body(receive)
    await answer(send, f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode())


async def large(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    await answer(send, b"" if scope["method"] == "HEAD" else POOL)


async def wait(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Answers when somebody has said the name."""
    (name,) = query
    event(f"waits for {name}").set()
    await event(name).wait()
    await answer(send, f"{name}\n".encode())


async def say(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    (name,) = query
    event(name).set()
    await answer(send, b"said\n")


async def events(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """An event stream of what is published on the channel, until the client has gone."""
    (name,) = query
    channel = channels.setdefault(name, asyncio.Queue())
    await start(send, 200, (b"content-type", b"text/event-stream"))
    gone = asyncio.get_running_loop().create_task(until_gone(receive))
    while not gone.done():
        published = asyncio.get_running_loop().create_task(channel.get())
        await asyncio.wait((gone, published), return_when=asyncio.FIRST_COMPLETED)
        if published.done():
            body = f"data: {published.result()}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        else:
            published.cancel()
    event(f"gone {name}").set()


async def publish(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    ((name, text),) = query.items()
    channels.setdefault(name, asyncio.Queue()).put_nowait(text)
    await answer(send, b"published\n")


async def observe(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    """Says `here NAME`, then `gone NAME` when the client has left, before the answer or (`during`) in its midst."""
    if query.get("during") is not None:
        await start(send)
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    event(f"here {query['name']}").set()
    await until_gone(receive)
    event(f"gone {query['name']}").set()


async def debug(scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
    answer_to_all = 6 * 7
    breakpoint()
    await answer(send, f"{answer_to_all}\n".encode())


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends back what comes; `close CODE` closes, says `closed CODE` and `left QUERY` at the end."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        text = message.get("text")
        if text is not None and text.startswith("close "):
            await send({"type": "websocket.close", "code": int(text.split()[1]), "reason": "as you like"})
        elif text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
    event(f"closed {message['code']}").set()
    event(f"left {scope['query_string'].decode()}").set()


ROUTES: dict[str, Callable[[Scope, Receive, Send, dict[str, str]], Awaitable[None]]] = {
    "/": page,
    "/up": page,
    "/sight": sight,
    "/digest": digest,
    "/received": received,
    "/large": large,
    "/wait": wait,
    "/say": say,
    "/events": events,
    "/publish": publish,
    "/observe": observe,
    "/debug": debug,
}
