"""An upstream for `stream-memory`, run as a script with its port: `GET /<n>` sends n bytes, POST reads slowly.

A download goes out as fast as the front takes it. An upload is read as slowly as `paced_blocks` does and answered with
the number of bytes that arrived. The client of `stream-memory` reads its downloads with the same function.
"""

import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK_BYTES = 1_000_000
PAUSE_S = 2.0
BYTES_PER_S = 100_000_000


def paced_blocks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """What `read` brings until it brings nothing: first after a pause, then no faster than the pace."""
    time.sleep(PAUSE_S)
    started_at, taken_bytes = time.monotonic(), 0
    while block := read(BLOCK_BYTES):
        yield block
        taken_bytes += len(block)
        time.sleep(max(0.0, started_at + taken_bytes / BYTES_PER_S - time.monotonic()))


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Sends as many bytes as the path says."""
        left_bytes = int(self.path.lstrip("/"))
        self._head(left_bytes)
        block = bytes(BLOCK_BYTES)
        while left_bytes:
            left_bytes -= self.wfile.write(block[:left_bytes])

    def do_POST(self) -> None:
        """Reads a body of known length and says how long it was."""
        left_bytes = int(self.headers["Content-Length"])

        def read(size: int) -> bytes:
            nonlocal left_bytes
            block = self.rfile.read(min(size, left_bytes))
            left_bytes -= len(block)
            return block

        answer = str(sum(len(block) for block in paced_blocks(read))).encode()
        self._head(len(answer))
        self.wfile.write(answer)

    def _head(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
