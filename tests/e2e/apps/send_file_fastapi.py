"""A FastAPI app whose FileResponse leaves the sending to thrust: README's recipe, and no more. REPORTS is a folder."""

import os
from urllib.parse import quote

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

REPORTS = os.environ["REPORTS"]

app = FastAPI()


class SentFile(FileResponse):
    body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers["X-Sendfile"] = quote(str(self.path))
        await Response.__call__(self, scope, receive, send)


@app.api_route("/reports/{name}", methods=["GET", "HEAD"])
async def report(name: str) -> SentFile:
    return SentFile(f"{REPORTS}/{name}", filename=name)
