"""The servers that the README names, as far as they are installed here, work behind thrust and stop in good order."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.e2e_client import BOUND_S, Client
from tests.support.e2e_thrust import (
    APPS,
    Thrust,
    environment,
    python,
    running_thrust,
    until,
    uvicorn,
)
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

HOST = ("Host", "shop.example:8443")
FROM_AFAR = (HOST, ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Request-ID", "ours-1"))
BIND = ("--bind", "127.0.0.1:$THRUST_WORKER_PORT")


@dataclass(frozen=True)
class Server:
    """How a server is started, and what it makes of what a trusted proxy says.

    `large_bytes` is what its app gives for /large; `client` is None where nobody looks for the client's address in
    X-Forwarded-For or X-Real-IP. Django takes no content without Content-Length from most servers (`reads_chunks`).
    `direct` is how it starts without thrust, if that differs.
    """

    command: list[str]
    large_bytes: int
    scheme: str = "https"
    client: str | None = None
    reads_chunks: bool = True
    direct: list[str] | None = None


ASGI_LARGE_BYTES = 1 << 21
WSGI_LARGE_BYTES = 3_000_000

GUNICORN = python("-m", "gunicorn", *BIND, "--log-level", "warning")

SERVERS = {
    "uvicorn": Server(uvicorn(), ASGI_LARGE_BYTES, client="203.0.113.7"),
    "gunicorn django sync": Server(
        [*GUNICORN, "django_site:application"], WSGI_LARGE_BYTES, client="203.0.113.7", reads_chunks=False
    ),
    "gunicorn flask gthread": Server([*GUNICORN, "--threads", "4", "flask_app:app"], WSGI_LARGE_BYTES),
    "gunicorn flask workers": Server([*GUNICORN, "--workers", "2", "flask_app:app"], WSGI_LARGE_BYTES),
    "hypercorn": Server(python("-m", "hypercorn", *BIND, "asgi_app:app"), ASGI_LARGE_BYTES, scheme="http"),
    "built-in asgi": Server(
        ["asgi_app:app"],
        ASGI_LARGE_BYTES,
        client="203.0.113.7",
        direct=python("-m", "thrust.worker.builtin", "asgi_app:app"),
    ),
    "built-in wsgi": Server(
        ["django_site:application"],
        WSGI_LARGE_BYTES,
        client="203.0.113.7",
        direct=python("-m", "thrust.worker.builtin", "django_site:application"),
    ),
    "flask run": Server(
        python("-m", "flask", "--app", "flask_app", "run", "--port", "$THRUST_WORKER_PORT"), WSGI_LARGE_BYTES
    ),
    "runserver": Server(
        python("manage.py", "runserver", "--noreload", "$THRUST_WORKER_PORT"),
        WSGI_LARGE_BYTES,
        client="203.0.113.7",
        reads_chunks=False,
    ),
}


@dataclass
class Served:
    thrust: Thrust
    server: Server


@pytest.fixture(scope="module", params=SERVERS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    server = SERVERS[request.param]
    with running_thrust(server.command) as thrust:
        thrust.wait_until_ready()
        yield Served(thrust, server)


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with served.thrust.connect() as client:
        yield client


def test_a_page_is_served_twice_on_one_connection(client: Client) -> None:
    for _ in range(2):
        answer = client.get("/", HOST)
        assert answer.status == 200
        assert answer.body.startswith(b"hello")
        assert not answer.ends_connection


def test_a_page_that_is_missing_is_the_apps_own_404(client: Client) -> None:
    assert client.get("/nowhere", HOST).status == 404


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
def test_an_upload_of_known_length_arrives_whole(client: Client, size: int) -> None:
    body = os.urandom(size)
    answer = client.exchange("POST", "/received", HOST, body=body)
    assert answer.body.decode() == f"{size} {hashlib.sha256(body).hexdigest()}"


def test_an_upload_in_chunks_arrives_whole(client: Client, served: Served) -> None:
    chunks = [os.urandom(size) for size in (1, 70_000, 3, 1_000_000, 17)]
    answer = client.exchange("POST", "/received", HOST, chunks=chunks)
    # Without a Content-Length Django's WSGI handler takes a request for one without content, whatever is before it.
    body = b"".join(chunks) if served.server.reads_chunks else b""
    assert answer.body.decode() == f"{len(body)} {hashlib.sha256(body).hexdigest()}"


def test_a_large_page_arrives_whole(client: Client, served: Served) -> None:
    answer = client.get("/large", HOST)
    assert (answer.status, len(answer.body)) == (200, served.server.large_bytes)
    assert answer.get("content-length") == str(served.server.large_bytes)


def test_the_head_of_a_page_has_no_body(client: Client) -> None:
    answer = client.exchange("HEAD", "/", HOST)
    assert (answer.status, answer.body) == (200, b"")
    assert client.get("/", HOST).status == 200


def test_the_app_sees_the_request_as_the_client_sent_it(client: Client) -> None:
    seen = client.get("/sight?a=%2F&b=c+d&&x", HOST, ("Accept", "a/b"), ("X-Colour", "red")).json()
    headers = dict(seen["headers"])
    assert (seen["method"], seen["path"], seen["query"]) == ("GET", "/sight", "a=%2F&b=c+d&&x")
    assert (seen["host"], seen["scheme"]) == ("shop.example:8443", "http")
    assert (headers["accept"], headers["x-colour"]) == ("a/b", "red")
    assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == "shop.example:8443"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", "8443")
    assert headers["x-request-start"].startswith("t=")
    assert len(headers["x-request-id"]) == 32


def test_the_app_learns_from_thrust_what_a_proxy_in_front_has_said(client: Client, served: Served) -> None:
    seen = client.get("/sight", *FROM_AFAR).json()
    headers = dict(seen["headers"])
    assert headers["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    assert (headers["x-forwarded-proto"], headers["x-request-id"]) == ("https", "ours-1")
    assert seen["scheme"] == served.server.scheme
    if served.server.client is not None:
        assert seen["client"] == served.server.client


def test_a_field_that_wsgi_would_take_for_ours_does_not_reach_the_app(client: Client) -> None:
    seen = client.get("/sight", HOST, ("X_Forwarded_For", "1.2.3.4"), ("X_Real_IP", "1.2.3.4")).json()
    assert dict(seen["headers"])["x-forwarded-for"] == "127.0.0.1"
    assert "1.2.3.4" not in str(seen)


@pytest.mark.parametrize("name", SERVERS)
def test_on_sigterm_thrust_ends_with_the_code_that_the_server_has_without_it(name: str) -> None:
    server = SERVERS[name]
    alone_port = free_port()
    words = [word.replace("$THRUST_WORKER_PORT", str(alone_port)) for word in server.direct or server.command]
    alone = subprocess.Popen(
        words,
        cwd=APPS,
        env=environment(alone_port, alone_port),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with running_thrust(server.command) as thrust:
            thrust.wait_until_ready()
            until(lambda: accepts(alone_port), "the server has started")
            with thrust.connect() as client:
                assert client.get("/", HOST).status == 200
                with Client(alone_port) as neighbour:
                    assert neighbour.get("/", HOST).status == 200
                alone.send_signal(signal.SIGTERM)
                thrust.send(signal.SIGTERM)
                client.expect_end()
            code = alone.wait(BOUND_S)
            assert thrust.wait() == (code if code >= 0 else 128 - code)
            assert thrust.wait_for_event("stopped")["exit_code"] in (0, 143)
    finally:
        alone.kill()
        alone.wait(BOUND_S)


def accepts(port: int) -> bool:
    try:
        Client(port).close()
    except ConnectionRefusedError:
        return False
    return True
