"""Certificates by ACME as users get them: thrust with pebble, Let's Encrypt's test CA, which checks challenges.

Pebble refuses some good nonces in all of these tests. What depends on time of day is in tests/tls/test_upkeep.py.
"""

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.e2e_client import BOUND_S
from tests.support.e2e_thrust import Thrust, python, raw_worker, running_thrust, uvicorn
from tests.support.pebble import Pebble, running_pebble, write_server_pair
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("pebble"), reason="needs pebble"),
]

DOMAINS = ("a.example.com", "b.example.com")
READY = "certificate ordered"
CLIENTS = 50


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    with running_pebble(tmp_path) as pebble:
        yield pebble


@contextlib.contextmanager
def edge(
    pebble: Pebble, folder: Path, *domains: str, loop: str = "uvloop", wrapper: Sequence[str] = (), **settings: str
) -> Iterator[Thrust]:
    """thrust for `domains`, where pebble looks for it."""
    environ = {
        **pebble.environ,
        "THRUST_ACME_DOMAIN": ",".join(domains or DOMAINS[:1]),
        "STORAGE_PATH": str(folder / "store"),
        **settings,
    }
    with running_thrust(uvicorn(), env=environ, port=int(environ["PORT"]), loop=loop, wrapper=wrapper) as thrust:
        yield thrust


def trusting(pebble: Pebble, folder: Path) -> ssl.SSLContext:
    """A client that trusts pebble's certificates, and checks names."""
    return ssl.create_default_context(cafile=pebble.root_path(folder))


def get(port: int, name: str, context: ssl.SSLContext, path: str = "/up") -> bytes:
    """The whole answer to a GET over TLS."""
    with (
        socket.create_connection(("127.0.0.1", port), BOUND_S) as plain,
        context.wrap_socket(plain, server_hostname=name) as client,
    ):
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


def get_plainly(port: int, name: str, path: str = "/") -> bytes:
    """The whole answer to a GET over plain HTTP."""
    with socket.create_connection(("127.0.0.1", port), BOUND_S) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


def serial_served(port: int, name: str, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), BOUND_S) as plain,
        context.wrap_socket(plain, server_hostname=name) as client,
    ):
        return str((client.getpeercert() or {})["serialNumber"])


def test_several_domains_get_a_certificate_each(pebble: Pebble, tmp_path: Path, loop_name: str) -> None:
    with edge(pebble, tmp_path, *DOMAINS, loop=loop_name) as thrust:
        thrust.wait_for_event(READY, len(DOMAINS))
        thrust.wait_until_ready()
        context = trusting(pebble, tmp_path)
        for domain in DOMAINS:
            assert get(pebble.tls_port, domain, context).startswith(b"HTTP/1.1 200 ")
            assert get_plainly(pebble.http_port, domain).startswith(b"HTTP/1.1 308 ")
        thrust.stop()
    assert pebble.issued() == len(DOMAINS)


@pytest.mark.parametrize(("closed", "challenge"), [("http_port", "tls-alpn-01"), ("tls_port", "http-01")])
def test_whichever_challenge_works_is_used_and_remembered(tmp_path: Path, closed: str, challenge: str) -> None:
    ports = {"http_port": free_port(), "tls_port": free_port()}
    with running_pebble(tmp_path, **{**ports, closed: free_port()}) as pebble:  # where nobody listens
        settings = {"PORT": str(ports["http_port"]), "HTTPS_PORT": str(ports["tls_port"])}
        with edge(pebble, tmp_path, **settings) as thrust:
            assert thrust.wait_for_event(READY)["challenge"] == challenge
            get(ports["tls_port"], DOMAINS[0], trusting(pebble, tmp_path))
            thrust.stop()
    (notes,) = (tmp_path / "store").rglob("a.example.com.json")
    assert json.loads(notes.read_text())["challenge"] == challenge


@pytest.mark.parametrize("spelling", ["plain", "url", "padded"])
def test_an_external_account_is_bound_in_any_spelling_of_its_key(tmp_path: Path, spelling: str) -> None:
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ1+/"
    given = {"plain": key, "url": key.replace("+", "-").replace("/", "_"), "padded": key + "=="}[spelling]
    stored = key.replace("+", "-").replace("/", "_")
    with (
        running_pebble(tmp_path, eab_keys={"kid-1": stored}) as pebble,
        edge(pebble, tmp_path, EAB_KID="kid-1", EAB_HMAC_KEY=given, ACME_EMAIL="ops@example.com") as thrust,
    ):
        thrust.wait_for_event(READY)
        thrust.stop()


def test_a_ca_that_wants_an_external_account_says_so_in_the_log(tmp_path: Path) -> None:
    with running_pebble(tmp_path, eab_keys={"kid-1": "AAAA"}) as pebble, edge(pebble, tmp_path) as thrust:
        reason = thrust.wait_for_event("order failed")["reason"]
        assert reason.endswith("check ACME_DIRECTORY, EAB_KID and EAB_HMAC_KEY")
        thrust.stop()


def test_a_restart_keeps_the_certificate_and_orders_nothing(pebble: Pebble, tmp_path: Path) -> None:
    with edge(pebble, tmp_path) as thrust:
        thrust.wait_for_event(READY)
        context = trusting(pebble, tmp_path)
        serial = serial_served(pebble.tls_port, DOMAINS[0], context)
        thrust.stop()
    pebble.process.kill()  # nobody is asked
    with edge(pebble, tmp_path) as thrust:
        assert thrust.wait_for_event("certificate loaded")["domain"] == DOMAINS[0]
        assert serial_served(pebble.tls_port, DOMAINS[0], context) == serial
        thrust.stop()
        complaints = [event["msg"] for event in thrust.events() if event["level"] in ("WARN", "ERROR")]
        assert not [said for said in complaints if not said.startswith("STORAGE_PATH is lost with this container")]


def on_volume(folder: Path, options: str, then: str = ":") -> list[str]:
    """The beginning of a command that finds a volume of its own at `folder`, a file system in memory."""
    script = f'mount -t tmpfs -o {options} none {folder} && {then} && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]


def has_volumes() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = [*on_volume(Path("/mnt"), "size=4k"), "true"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


needs_volumes = pytest.mark.skipif(not has_volumes(), reason="unshare cannot mount file systems here")


def test_a_store_that_cannot_even_be_looked_at_leaves_plain_http_served(pebble: Pebble, tmp_path: Path) -> None:
    store = tmp_path / ("x" * 300)  # what root may not look at either
    with edge(pebble, tmp_path, STORAGE_PATH=str(store)) as thrust:
        said = thrust.wait_for_event("certificates cannot be ordered")["reason"]
        assert said.startswith(f"STORAGE_PATH {store} cannot be written (File name too long)")
        thrust.wait_until_ready()
        assert get_plainly(pebble.http_port, "127.0.0.1", "/up").startswith(b"HTTP/1.1 200 ")
        thrust.stop()
    assert not [event for event in thrust.events() if event["msg"] == "internal error"]


@needs_volumes
@pytest.mark.parametrize(
    ("options", "then", "reason"),
    [
        ("ro", ":", "(Read-only file system); mount a volume there that this user can write to"),
        ("size=32k", ":", "(No space left on device); make room there"),
        ("size=1m", "head -c 1m /dev/zero >{folder}/full || :", "(No space left on device); make room there"),
    ],
)
def test_nothing_is_ordered_that_could_not_be_kept(
    pebble: Pebble, tmp_path: Path, options: str, then: str, reason: str
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    wrapper = on_volume(volume, options, then.format(folder=volume))
    with edge(pebble, tmp_path, wrapper=wrapper, STORAGE_PATH=str(volume)) as thrust:
        said = thrust.wait_for_event("certificates cannot be ordered")["reason"]
        assert said == f"STORAGE_PATH {volume} cannot be written {reason}"
        thrust.wait_until_ready()
        assert get_plainly(pebble.http_port, "127.0.0.1", "/up").startswith(b"HTTP/1.1 200 ")
        assert get_plainly(pebble.http_port, DOMAINS[0]).startswith(b"HTTP/1.1 503 ")
        thrust.stop()
    assert pebble.issued() == 0
    assert not [event for event in thrust.events() if event["msg"] == "internal error"]


@needs_volumes
def test_a_volume_that_has_become_read_only_serves_what_it_holds(pebble: Pebble, tmp_path: Path) -> None:
    with edge(pebble, tmp_path) as thrust:
        thrust.wait_for_event(READY)
        context = trusting(pebble, tmp_path)
        thrust.stop()
    store, volume = tmp_path / "store", tmp_path / "volume"
    volume.mkdir()
    wrapper = on_volume(volume, "size=1m", f"cp -R {store}/. {volume} && mount -o remount,ro {volume}")
    with edge(pebble, tmp_path, wrapper=wrapper, STORAGE_PATH=str(volume)) as thrust:
        thrust.wait_for_event("certificate loaded")
        thrust.wait_until_ready()
        assert get(pebble.tls_port, DOMAINS[0], context).startswith(b"HTTP/1.1 200 ")
        thrust.stop()
    assert pebble.issued() == 1


def test_two_instances_on_one_volume_order_once(pebble: Pebble, tmp_path: Path) -> None:
    other_ports = {"PORT": str(free_port()), "HTTPS_PORT": str(free_port())}
    with edge(pebble, tmp_path) as one, edge(pebble, tmp_path, **other_ports) as other:
        context = trusting(pebble, tmp_path)
        thrusts = {pebble.tls_port: one, int(other_ports["HTTPS_PORT"]): other}
        for port in thrusts:
            wait_for_certificate(port, context)
        assert pebble.issued() == 1
        assert len({serial_served(port, DOMAINS[0], context) for port in thrusts}) == 1
        for thrust in thrusts.values():
            thrust.stop()


def wait_for_certificate(port: int, context: ssl.SSLContext) -> None:
    give_up_s = time.monotonic() + BOUND_S
    while True:
        try:
            serial_served(port, DOMAINS[0], context)
            return
        except OSError:
            assert time.monotonic() < give_up_s, "there is still no certificate"
            time.sleep(0.05)


def test_renewal_disturbs_none_of_those_who_are_connected(tmp_path: Path) -> None:
    failures: list[str] = []
    answers = [0] * CLIENTS
    stop = threading.Event()

    def ask(number: int) -> None:
        try:
            with (
                socket.create_connection(("127.0.0.1", pebble.tls_port), BOUND_S) as plain,
                context.wrap_socket(plain, server_hostname=DOMAINS[0]) as client,
            ):
                while not stop.wait(0.02):
                    client.sendall(f"GET /up HTTP/1.1\r\nHost: {DOMAINS[0]}\r\n\r\n".encode())
                    answer = client.recv(65536)
                    while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
                        answer += client.recv(65536)
                    assert answer.startswith(b"HTTP/1.1 200 "), answer
                    answers[number] += 1
        except Exception as error:
            failures.append(repr(error))

    with running_pebble(tmp_path, lifetime_s=9) as pebble, edge(pebble, tmp_path) as thrust:
        thrust.wait_for_event(READY)
        thrust.wait_until_ready()
        context = trusting(pebble, tmp_path)
        first = serial_served(pebble.tls_port, DOMAINS[0], context)
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        thrust.wait_for_event(READY, 2)
        assert serial_served(pebble.tls_port, DOMAINS[0], context) != first
        stop.set()
        for thread in threads:
            thread.join(BOUND_S)
        thrust.stop()
    assert failures == []
    assert min(answers) > 10


def test_before_the_first_certificate_there_is_an_alert_and_a_503(pebble: Pebble, tmp_path: Path) -> None:
    with edge(pebble, tmp_path, ACME_DIRECTORY=f"https://127.0.0.1:{free_port()}/dir") as thrust:
        thrust.wait_until_ready()
        reason = thrust.wait_for_event("order failed")["reason"]
        assert "cannot be reached" in reason
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized_name|unrecognized name"):
            serial_served(pebble.tls_port, DOMAINS[0], ssl.create_default_context())
        answer = get_plainly(pebble.http_port, DOMAINS[0])
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 10" in answer.lower()
        thrust.stop()


def test_unknown_names_get_an_alert_and_no_certificate(pebble: Pebble, tmp_path: Path) -> None:
    with edge(pebble, tmp_path) as thrust:
        thrust.wait_for_event(READY)
        for name in ("stranger.example.com", "*.example.com"):
            with pytest.raises(ssl.SSLError):
                context = ssl.create_default_context()
                context.check_hostname = False
                serial_served(pebble.tls_port, name, context)
        assert get_plainly(pebble.http_port, "stranger.example.com").startswith(b"HTTP/1.1 421 ")
        thrust.stop()
    assert pebble.issued() == 1


def test_a_domain_that_leads_elsewhere_is_named_with_the_cure(pebble: Pebble, tmp_path: Path) -> None:
    pebble.lead_astray(DOMAINS[0], "127.0.0.9")
    with edge(pebble, tmp_path, THRUST_HOST="127.0.0.1") as thrust:
        line = thrust.wait_for_event("order failed")
        assert "the CA could not reach a.example.com by http-01" in line["reason"]
        assert "127.0.0.9" in line["reason"]
        assert "A and AAAA records have to lead here" in line["reason"]
        thrust.stop()
    listed = subprocess.run(
        python("-m", "thrust", "--certs"),
        env=os.environ | pebble.environ | {"TLS_DOMAIN": DOMAINS[0], "STORAGE_PATH": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    assert "none yet; the CA could not reach a.example.com" in listed.stdout


@pytest.mark.parametrize("behaviour", ["silent", "garbage", "html", "closed"])
def test_a_ca_that_misbehaves_costs_nothing_but_the_certificate(tmp_path: Path, behaviour: str) -> None:
    port, https_port = free_port(), free_port()
    with misbehaving_ca(tmp_path, behaviour) as ca_port:
        environ = {
            "HTTPS_PORT": str(https_port),
            "TLS_DOMAIN": DOMAINS[0],
            "ACME_DIRECTORY": f"https://127.0.0.1:{ca_port}/dir",
            "SSL_CERT_FILE": str(tmp_path / "trust.pem"),
            "STORAGE_PATH": str(tmp_path / "store"),
        }
        with running_thrust(raw_worker(), env=environ, port=port) as thrust:
            thrust.wait_until_ready()
            if behaviour != "silent":
                assert f"the CA at https://127.0.0.1:{ca_port}/dir" in thrust.wait_for_event("order failed")["reason"]
            assert get_plainly(port, "127.0.0.1", "/up").startswith(b"HTTP/1.1 ")
            began_s = time.monotonic()
            thrust.stop()  # while the CA may still be waited for
            assert time.monotonic() - began_s < BOUND_S / 3
        assert not [event for event in thrust.events() if event["msg"] == "internal error"]


@contextlib.contextmanager
def misbehaving_ca(folder: Path, behaviour: str) -> Iterator[int]:
    """A port that accepts TLS and then does not behave like a CA."""
    write_server_pair(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    body = {"garbage": b'{"newNonce": 3, "meta": []}', "html": b"<html>Hello"}.get(behaviour, b"")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
    open_connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                accepted, _ = listening.accept()
                client = context.wrap_socket(accepted, server_side=True)
            except OSError:
                if listening.fileno() < 0:
                    return
                continue
            open_connections.append(client)
            if behaviour == "silent":
                continue
            with contextlib.suppress(OSError):
                client.recv(65536)
                client.sendall(answer if body else b"")
                client.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            for connection in open_connections:
                connection.close()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
    thread.join(BOUND_S)
