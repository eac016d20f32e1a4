"""thrust with HTTP/2, over TLS and by prior knowledge, on either loop: for tests that hold in each of these ways."""

import contextlib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.certificates import authority_pem, client_context, make_pair
from tests.support.e2e_client import Client
from tests.support.e2e_thrust import Thrust, running_thrust
from tests.support.http2_client import Http2Client

WAYS = ("uvloop tls", "asyncio h2c", "uvloop h2c", "asyncio tls")
TWO_WAYS = WAYS[:2]
"""For what takes long."""

NAME = "app.example.com"


@dataclass
class Http2Site:
    """A running thrust, and how to speak HTTP/2 to it."""

    thrust: Thrust
    folder: Path
    context: ssl.SSLContext | None

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.thrust.port}"

    @property
    def authority_path(self) -> Path:
        """Whom programs have to trust."""
        path = self.folder / "ca.pem"
        path.write_text(authority_pem())
        return path

    def connect(self, **options: Any) -> Http2Client:
        """A new connection."""
        return Http2Client(self.thrust.port, self.context, **options)

    def aside(self) -> Client:
        """A connection to the worker, around thrust, for what a test has to tell the app meanwhile."""
        return self.thrust.connect_to_worker()


@contextlib.contextmanager
def http2_site(command: Sequence[str], way: str, folder: Path, **env: str) -> Iterator[Http2Site]:
    """A site with `command` as its worker, ready."""
    loop, _, port = way.partition(" ")
    if port == "tls":
        settings = make_pair("127.0.0.1", "localhost", NAME).environment(folder) | {"THRUST_HTTP2": "1"}
    else:
        settings = {"THRUST_H2C": "1"}
    with running_thrust(command, loop=loop, env=settings | env) as thrust:
        thrust.wait_until_ready()
        yield Http2Site(thrust, folder, client_context("h2") if port == "tls" else None)
