"""An upstream for `cold-burst`, run as a script with its port and a file: answers each GET with one asset after 100 ms.

Before an answer is waited for, its request's target is written to the file, a line each: so the file has every request,
also of clients that have gone away since. Any number of requests can be waited for at once.
"""

import asyncio
import sys
from pathlib import Path

DELAY_S = 0.1
BODY = b"console.log('cold');" * 512
HEAD = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/javascript\r\n"
    f"Content-Length: {len(BODY)}\r\n"
    "Cache-Control: public, max-age=31536000, immutable\r\n"
    "\r\n"
)


async def serve(port: int, requests: Path) -> None:
    """Answers on `port` of 127.0.0.1 until it is killed."""
    with requests.open("a", buffering=1) as log:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while head := await reader.readuntil(b"\r\n\r\n"):
                log.write(head.split(b" ", 2)[1].decode() + "\n")
                await asyncio.sleep(DELAY_S)
                writer.write(HEAD.encode() + BODY)
                await writer.drain()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await answer(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(converse, "127.0.0.1", port, backlog=2048)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
