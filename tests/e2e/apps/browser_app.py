"""A page for browsers: 60 assets, a WebSocket and an event stream; `window.done` tells what has come of them."""

from asgi_app import Receive, Scope, Send, answer, start, until_gone
from asgi_app import app as other

ASSETS = [f"/assets/part{number}-3f9a{number:08x}7dc1.{'css' if number % 3 == 0 else 'js'}" for number in range(60)]

PAGE = """<!doctype html><meta charset="utf-8"><title>sixty</title><link rel="icon" href="data:,">
<script>
window.loaded = 0;
window.talked = new Promise((resolve, reject) => {
  const said = [];
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws?page`);
  socket.onopen = () => { for (let n = 0; n < 20; n++) socket.send(`message ${n} ` + "x".repeat(n * 1000)); };
  socket.onmessage = (event) => { said.push(event.data.length); if (said.length === 20) socket.close(3000); };
  socket.onclose = (event) => resolve([said.length, event.code, event.wasClean]);
});
window.heard = new Promise((resolve) => {
  const heard = [];
  const source = new EventSource("/ticks");
  source.onmessage = (event) => {
    heard.push(event.data);
    if (heard.length === 10) { source.close(); resolve(heard); }
  };
});
window.ready = new Promise((resolve) => window.onload = () => resolve(true));
window.posted = fetch("/received", {method: "POST", body: "x".repeat(300000)}).then((answer) => answer.text());
window.done = Promise.all([window.ready, window.talked, window.heard, window.posted]).then(
  ([ready, talked, heard, posted]) => ({loaded: window.loaded, talked, heard, posted}));
</script>
"""
PAGE += "".join(
    f'<link rel="stylesheet" href="{path}">\n' if path.endswith("css") else f'<script src="{path}" async></script>\n'
    for path in ASSETS
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope.get("path", "")
    if path == "/page":
        await answer(send, PAGE.encode(), 200, (b"content-type", b"text/html; charset=utf-8"))
    elif path == "/ticks":
        await tick(receive, send)
    elif path.endswith(".css"):
        await answer(send, b"p { color: #123 }\n" * 500, 200, (b"content-type", b"text/css"))
    elif path.endswith(".js"):
        await answer(send, b"window.loaded++;\n" + b"// filler\n" * 900, 200, (b"content-type", b"text/javascript"))
    else:
        await other(scope, receive, send)


async def tick(receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-type", b"text/event-stream"))
    for number in range(10):
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
    await until_gone(receive)
