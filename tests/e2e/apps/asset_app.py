"""An ASGI app with assets, which counts how often each of its paths is asked for; the rest is `asgi_app`.

Nothing here says a word about freshness: what is kept is recognised by its name.
"""

from collections import Counter
from urllib.parse import parse_qsl

from asgi_app import Receive, Scope, Send, answer, event, start
from asgi_app import app as other
from contents import PAGE, SCRIPT, numbered_asset

JAVASCRIPT = (b"content-type", b"text/javascript; charset=utf-8")
HTML = (b"content-type", b"text/html; charset=utf-8")

asked: "Counter[str]" = Counter()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope.get("path", "")
    asked[path] += 1
    if path == "/url":
        await answer(send, b"/assets/app-3f9a2c1b7d.js")
    elif path == "/count":
        query = dict(parse_qsl(scope["query_string"].decode()))
        await answer(send, b"%d" % asked[query["path"]])
    elif path == "/page":
        await answer(send, PAGE, 200, HTML)
    elif path == "/breaks":
        await start(send, 200, HTML)
        await send({"type": "http.response.body", "body": PAGE, "more_body": True})
        raise ConnectionError("this page has no end")
    elif path == "/assets/late-3f9a2c1b7d.js":
        event("asked for late").set()
        await event("late").wait()
        await answer(send, SCRIPT, 200, JAVASCRIPT, (b"etag", b'"late"'))
    elif path.startswith("/assets/part"):
        _, content = numbered_asset(int(path.removeprefix("/assets/part").partition("-")[0]))
        await answer(send, content, 200, JAVASCRIPT)
    elif path.startswith("/assets/"):
        await answer(send, SCRIPT, 200, JAVASCRIPT, (b"etag", b'"app"'))
    else:
        await other(scope, receive, send)
