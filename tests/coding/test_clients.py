"""Padded content at clients that are installed here: curl with each coding, and the command-line tools.

Browsers cannot be asked here. What is known of them: Chromium and Firefox decode br and zstd with the reference
libraries that curl has too, and read the gzip header themselves, where both skip FCOMMENT.
"""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.coding.reference import curl_knows, text
from thrust.coding.codings import CODINGS, compress_quickly, encoder

PADDINGS_BYTES = range(301)
CONTENT = text(3000)

pytestmark = pytest.mark.slow


class CodedContent(BaseHTTPRequestHandler):
    """Answers /<coding>/<way>/<padding> with CONTENT."""

    def do_GET(self) -> None:
        _, coding, way, padding = self.path.split("/")
        body = coded(coding.encode(), way, int(padding))
        self.send_response(200)
        self.send_header("Content-Encoding", coding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def coded(coding: bytes, way: str, padding_bytes: int) -> bytes:
    if way == "whole":
        return compress_quickly(coding, CONTENT, padding_bytes)
    stream = encoder(coding, padding_bytes)
    pieces = (CONTENT[at : at + 500] for at in range(0, len(CONTENT), 500))
    return b"".join([stream.encode(piece) + stream.flush() for piece in pieces]) + stream.finish()


@pytest.fixture
def server() -> Iterator[str]:
    """Its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), CodedContent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("coding", CODINGS, ids=bytes.decode)
@pytest.mark.parametrize("way", ["whole", "flushed"])
def test_curl_decodes_every_padding(server: str, coding: bytes, way: str) -> None:
    if not curl_knows(coding):
        pytest.skip(f"curl is not installed, or does not know {coding.decode()}")
    urls = [f"{server}/{coding.decode()}/{way}/{padding}" for padding in PADDINGS_BYTES]
    command = ["curl", "--silent", "--show-error", "--fail", "--compressed", "--noproxy", "*", *urls]
    ran = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert ran.stdout == CONTENT * len(urls)


@pytest.mark.parametrize(("coding", "program"), [(b"zstd", "zstd"), (b"gzip", "gzip"), (b"br", "brotli")])
@pytest.mark.parametrize("way", ["whole", "flushed"])
def test_the_command_line_tool_decodes_every_padding(coding: bytes, program: str, way: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    for padding in PADDINGS_BYTES:
        ran = subprocess.run([program, "-dc"], input=coded(coding, way, padding), capture_output=True, timeout=10)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, CONTENT, b"")
