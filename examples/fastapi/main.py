"""A FastAPI app. Uvicorn believes the X-Forwarded-* fields of 127.0.0.1, which is thrust, so nothing is set up here."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse, StreamingResponse

app = FastAPI()


@app.get("/", response_class=PlainTextResponse)
async def index(request: Request) -> str:
    address = request.client.host if request.client else "somebody"
    return f"FastAPI behind thrust: {request.url}, asked for by {address}\n"


@app.get("/up", response_class=PlainTextResponse)
async def up() -> str:
    return "up\n"


@app.get("/count")
async def count(to: int = 10) -> StreamingResponse:
    """A server-sent event per second; thrust passes each on as it comes."""

    async def events() -> AsyncIterator[str]:
        for number in range(1, to + 1):
            yield f"data: {number}\n\n"
            await asyncio.sleep(1)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass
