"""TLS with real processes and real clients: curl, OpenSSL, Python's own."""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.certificates import DAY, Pair, authority_pem, client_context, make_pair
from tests.support.e2e_client import BOUND_S, Client
from tests.support.e2e_thrust import (
    LOOPS,
    Thrust,
    environment,
    python,
    raw_worker,
    running_thrust,
    uvicorn,
)
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

NAME = "app.example.com"
PAIR = make_pair(NAME, "localhost", "127.0.0.1")


class TlsClient(Client):
    """A Client that speaks TLS."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None) -> None:
        super().__init__(port)
        context = context or client_context("http/1.1")
        self.tls = context.wrap_socket(self.socket, server_hostname="127.0.0.1", session=session)
        self.socket = self.tls


@contextlib.contextmanager
def tls_thrust(folder: Path, command: Sequence[str] = (), loop: str = "uvloop", **env: str) -> Iterator[Thrust]:
    with running_thrust(command or uvicorn(), loop=loop, env=PAIR.environment(folder) | env) as thrust:
        thrust.wait_until_ready()
        yield thrust


@pytest.fixture(scope="module", params=LOOPS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thrust]:
    """thrust with TLS on its one port, ready; shared by the tests of a module."""
    with tls_thrust(tmp_path_factory.mktemp("tls"), loop=request.param, DEBUG="1", THRUST_HSTS="on") as thrust:
        yield thrust
        assert thrust.process.poll() is None
        assert not [event for event in thrust.events() if event["level"] == "ERROR"]


def curl(port: int, *arguments: str, folder: Path) -> str:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("needs curl")
    (folder / "ca.pem").write_text(authority_pem())
    command = [program, "-sS", "--max-time", "20", "--cacert", str(folder / "ca.pem")]
    command += ["--resolve", f"{NAME}:{port}:127.0.0.1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=BOUND_S).stdout


def test_a_request_over_tls_is_one_over_https_for_everybody(site: Thrust) -> None:
    with TlsClient(site.port) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1"
        answer = client.exchange("GET", "/sight", ("X-Forwarded-Proto", "http"), ("X-Forwarded-For", "1.2.3.4"))
        assert answer.status == 200
        assert answer.json()["scheme"] == "https"
        told = dict(answer.json()["headers"])
        assert (told["x-forwarded-proto"], told["x-forwarded-port"]) == ("https", str(site.port))
        assert told["x-forwarded-for"] == "127.0.0.1"
        assert answer.get("strict-transport-security") == "max-age=31536000"
    with TlsClient(site.port) as client:
        client.send(b"nonsense\r\n\r\n")
        answer = client.receive()
        assert (answer.status, answer.get("strict-transport-security")) == (400, "max-age=31536000")


def test_curl_is_content(site: Thrust, tmp_path: Path) -> None:
    url = f"https://{NAME}:{site.port}/"
    written = curl(site.port, "-o", "/dev/null", "-w", "%{http_code} %{ssl_verify_result}", url, folder=tmp_path)
    assert written == "200 0"


def test_plain_http_on_the_same_port_is_redirected(site: Thrust, tmp_path: Path) -> None:
    with site.connect() as client:
        answer = client.exchange("POST", "/a?b=c", ("Host", f"{NAME}:{site.port}"), body=b"content")
        assert (answer.status, answer.get("location")) == (308, f"https://{NAME}:{site.port}/a?b=c")
        assert answer.get("strict-transport-security") is None
        assert client.exchange("GET", "/", ("Host", "elsewhere.example")).status == 421
        assert client.exchange("GET", "/up").status == 200
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.receive().status == 400
    followed = curl(site.port, "-L", "-w", "%{url_effective}", f"http://{NAME}:{site.port}/", folder=tmp_path)
    assert followed.endswith(f"https://{NAME}:{site.port}/")


def test_a_session_goes_on_in_another_connection(site: Thrust) -> None:
    context = client_context("http/1.1")
    with TlsClient(site.port, context) as first:
        assert first.exchange("GET", "/").status == 200
        session = first.tls.session
    with TlsClient(site.port, context, session) as second:
        assert second.exchange("GET", "/").status == 200
        assert second.tls.session_reused


def test_uploads_and_downloads_arrive_whole(site: Thrust) -> None:
    content = os.urandom(3_000_000)
    told = f"{len(content)} {hashlib.sha256(content).hexdigest()}".encode()
    with TlsClient(site.port) as client:
        assert client.exchange("POST", "/received", body=content).body == told
        pieces = [content[:1000], content[1000:200_000], content[200_000:]]
        assert client.exchange("POST", "/received", chunks=pieces).body == told
        with site.connect_to_worker() as plain:
            assert client.get("/large").body == plain.get("/large").body


def test_half_a_handshake_and_none_at_all_keep_nobody_else_waiting(site: Thrust) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), BOUND_S))
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00"[: number % 8])
        with TlsClient(site.port) as client:
            assert client.exchange("GET", "/").status == 200


def test_failed_handshakes_are_told_to_who_debugs_only(site: Thrust) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsClient(site.port, ssl.create_default_context())
    event = site.wait_for_event("handshake failed")
    assert (event["level"], event["client"]) == ("DEBUG", "127.0.0.1")
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        TlsClient(site.port, client_context("h3"))


@pytest.mark.parametrize("loop", LOOPS)
def test_files_are_sent_whole(loop: str, tmp_path: Path) -> None:
    content = os.urandom(5_000_000)
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "large.bin").write_bytes(content)
    with (
        tls_thrust(tmp_path, loop=loop, THRUST_STATIC=f"/static:{folder}") as thrust,
        TlsClient(thrust.port) as client,
    ):
        answer = client.exchange("GET", "/static/large.bin")
        assert hashlib.md5(answer.body).digest() == hashlib.md5(content).digest()
        answer = client.exchange("GET", "/static/large.bin", ("Range", "bytes=1000000-2999999"))
        assert (answer.status, answer.body) == (206, content[1_000_000:3_000_000])


@pytest.mark.parametrize("loop", LOOPS)
def test_two_ports(loop: str, tmp_path: Path) -> None:
    https_port = free_port()
    with tls_thrust(tmp_path, loop=loop, HTTPS_PORT=str(https_port)) as thrust:
        event = thrust.wait_for_event("listening")
        assert (event["port"], event["https_port"]) == (thrust.port, https_port)
        with thrust.connect() as client:
            answer = client.exchange("GET", "/a?b", ("Host", NAME))
            assert (answer.status, answer.get("location")) == (308, f"https://{NAME}:{https_port}/a?b")
        with TlsClient(https_port) as client:
            assert client.exchange("GET", "/").status == 200
            thrust.stop()
            assert client.socket.recv(1) == b""


def test_http2_is_offered_if_it_is_wanted(tmp_path: Path) -> None:
    with tls_thrust(tmp_path, THRUST_HTTP2="1") as thrust:
        for offered, agreed in ((("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1"), ((), None)):
            with TlsClient(thrust.port, client_context(*offered)) as client:
                assert client.tls.selected_alpn_protocol() == agreed


def test_new_files_are_served_and_old_connections_go_on(tmp_path: Path) -> None:
    for name, pair in (("..1", PAIR), ("..2", make_pair("127.0.0.1"))):
        (tmp_path / name).mkdir()
        pair.write(tmp_path / name)
    (tmp_path / "..data").symlink_to("..1")
    env = {"SSL_CERT_PATH": str(tmp_path / "..data/tls.crt"), "SSL_KEY_PATH": str(tmp_path / "..data/tls.key")}
    with running_thrust(uvicorn(), env=env) as thrust:
        thrust.wait_until_ready()
        with TlsClient(thrust.port) as early:
            before = early.tls.getpeercert(binary_form=True)
            (tmp_path / "..tmp").symlink_to("..2")
            os.replace(tmp_path / "..tmp", tmp_path / "..data")
            assert thrust.wait_for_event("certificate replaced")["names"] == "127.0.0.1"
            assert early.exchange("GET", "/").status == 200
            with TlsClient(thrust.port) as late:
                assert late.tls.getpeercert(binary_form=True) != before
                assert late.exchange("GET", "/").status == 200


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (Pair(b"", PAIR.key), "holds no certificate in PEM"),
        (Pair(PAIR.certificate, make_pair("b.example").key), "does not belong to the certificate"),
        (make_pair("a.example", password=b"secret"), "is encrypted"),
        (make_pair("a.example", ends=-DAY / 24), "has expired on"),
    ],
)
def test_a_certificate_that_is_no_good_ends_the_start_with_a_sentence(
    pair: Pair, sentence: str, tmp_path: Path
) -> None:
    result = start(pair.environment(tmp_path))
    assert result.returncode == 1
    assert result.stderr.startswith("thrust: ") and result.stderr.count("\n") == 1
    assert sentence in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("missing", ["SSL_CERT_PATH", "SSL_KEY_PATH"])
def test_half_of_the_settings_is_not_enough(missing: str, tmp_path: Path) -> None:
    env = PAIR.environment(tmp_path)
    del env[missing]
    result = start(env)
    assert result.returncode == 1 and f"{missing} is not; they only work together" in result.stderr


def test_a_tls_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = start(PAIR.environment(tmp_path) | {"HTTPS_PORT": str(port), "THRUST_HOST": "127.0.0.1"})
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in result.stderr and "set HTTPS_PORT" in result.stderr


def start(env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """What becomes of a thrust that cannot start; it has a terminal to ask for passwords in vain."""
    return subprocess.run(
        python("-m", "thrust", "true"),
        env=environment(free_port(), free_port()) | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )


@pytest.mark.parametrize("loop", LOOPS)
def test_an_upload_that_is_refused_early_gets_its_answer(loop: str, tmp_path: Path) -> None:
    """The client goes on sending meanwhile; a reset would take the answer from it."""
    with tls_thrust(tmp_path, loop=loop, MAX_REQUEST_BODY="1000") as thrust, TlsClient(thrust.port) as client:
        client.send_head("POST", "/received", ("Content-Length", "400000"))
        client.send(*[bytes(10_000)] * 40)
        assert client.receive().status == 413


@pytest.mark.parametrize("loop", LOOPS)
def test_a_tunnel_goes_through_tls(loop: str, tmp_path: Path) -> None:
    with (
        tls_thrust(tmp_path, loop=loop) as thrust,
        connect(f"wss://127.0.0.1:{thrust.port}/ws", ssl=client_context(), open_timeout=BOUND_S) as peer,
    ):
        for message in ("hello", "x" * 200_000):
            peer.send(message)
            assert peer.recv(BOUND_S) == message


@pytest.mark.parametrize("loop", LOOPS)
def test_a_shutdown_finishes_what_is_under_way(loop: str, tmp_path: Path) -> None:
    with tls_thrust(tmp_path, loop=loop) as thrust, TlsClient(thrust.port) as client, TlsClient(thrust.port) as idle:
        assert idle.get("/").status == 200
        client.send_head("POST", "/received", ("Content-Length", "10"))
        client.send(b"first")
        thrust.send(signal.SIGTERM)
        thrust.wait_for_event("stopping")
        assert idle.socket.recv(1) == b""
        client.send(b"after")
        answer = client.receive()
        assert answer.status == 200 and answer.body.startswith(b"10 ")
        assert answer.ends_connection
        thrust.wait()


@pytest.mark.parametrize("loop", LOOPS)
def test_only_a_body_that_is_complete_ends_with_close_notify(loop: str, tmp_path: Path) -> None:
    """HTTP/1.0 gets no length and no chunks here: the end of the connection alone tells whether this was all."""
    with tls_thrust(tmp_path, raw_worker(), loop=loop) as thrust:
        assert read_to_the_end(thrust.port, "/until-close").endswith(b"\r\n\r\nto the end")
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            read_to_the_end(thrust.port, "/short-chunked")
        thrust.stop()


def read_to_the_end(port: int, path: str) -> bytes:
    """All that comes for an HTTP/1.0 request, if TLS says that it is all."""
    with (
        socket.create_connection(("127.0.0.1", port), BOUND_S) as plain,
        client_context().wrap_socket(plain, server_hostname=NAME, suppress_ragged_eofs=False) as client,
    ):
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))
