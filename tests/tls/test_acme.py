"""Orders at an authority that does what a test wants; what pebble can do is in tests/e2e/test_acme.py."""

import contextlib
import gzip
import socket
import socketserver
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scripted_ca import Script, _Handler, scripted_ca
from thrust.errors import OrderError
from thrust.tls.acme import Authority
from thrust.tls.acme_session import MAX_ANSWER_BYTES, retry_after_s
from thrust.tls.answers import Answers
from thrust.tls.renewal import MAX_RETRY_AFTER_S, Window
from thrust.tls.settings import AcmeSettings
from thrust.tls.storage import Storage

NAME = "a.example"
BOTH = ("http-01", "tls-alpn-01")


class Setting:
    """An authority's script and somebody who orders there."""

    def __init__(self, script: Script, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(script.trust_path))
        self.script = script
        self.folder = folder
        self.stopped = threading.Event()

    @property
    def open_answers(self) -> list[Path]:
        return [*self.folder.glob("store/*/challenges/*")]

    def authority(self, **settings: str | None) -> Authority:
        url = f"{self.script.url}/dir"
        storage = Storage(self.folder / "store", url)
        storage.prepare()
        return Authority(AcmeSettings(url, **settings), storage, Answers(storage), self.stopped)  # type: ignore[arg-type]

    def refusal(self, **settings: str | None) -> OrderError:
        authority = self.authority(**settings)
        try:
            with pytest.raises(OrderError) as caught:
                authority.order(NAME, BOTH)
        finally:
            authority.close()
        return caught.value


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    with scripted_ca(tmp_path, Script()) as script:
        yield Setting(script, tmp_path, monkeypatch)


def test_an_order_brings_key_and_chain(ca: Setting) -> None:
    authority = ca.authority()
    issued = authority.order(NAME, BOTH)
    assert issued.challenge == "http-01"
    assert issued.pem.startswith("-----BEGIN PRIVATE KEY-----")
    assert issued.pem.count("BEGIN CERTIFICATE") == 2
    assert ca.open_answers == []
    authority.close()


def test_the_preferred_challenge_is_tried_first(ca: Setting) -> None:
    authority = ca.authority()
    assert authority.order(NAME, BOTH[::-1]).challenge == "tls-alpn-01"
    authority.close()


def test_a_challenge_that_fails_is_followed_by_the_other(ca: Setting) -> None:
    ca.script.failing = {"http-01": ("connection", "port 80 is closed")}
    authority = ca.authority()
    assert authority.order(NAME, BOTH).challenge == "tls-alpn-01"
    authority.close()


def test_a_challenge_that_is_not_offered_is_not_tried(ca: Setting) -> None:
    ca.script.offered = ("dns-01", "tls-alpn-01")
    authority = ca.authority()
    assert authority.order(NAME, BOTH).challenge == "tls-alpn-01"
    authority.close()


def test_a_ca_that_offers_neither_is_told(ca: Setting) -> None:
    ca.script.offered = ("dns-01",)
    assert "offers neither of http-01, tls-alpn-01 for a.example" in str(ca.refusal())


def test_both_failures_are_told_with_what_the_ca_said(ca: Setting) -> None:
    ca.script.failing = {
        "http-01": ("connection", "port 80 is closed"),
        "tls-alpn-01": ("unauthorized", "another\x1b[31m certificate"),
    }
    error = ca.refusal()
    assert error.is_refusal
    assert "by http-01 (port 80 is closed)" in str(error)
    assert "something else at a.example by tls-alpn-01 (another [31m certificate)" in str(error)


def test_a_caa_record_is_told_with_the_one_to_add(ca: Setting) -> None:
    ca.script.failing = dict.fromkeys(BOTH, ("caa", "forbidden"))
    assert 'add CAA 0 issue "ca.example"' in str(ca.refusal())


def test_a_rate_limit_is_kept_as_long_as_the_ca_asks_for(ca: Setting) -> None:
    ca.script.problems = {"/order": [(429, "rateLimited", {"Retry-After": "7200"})]}
    error = ca.refusal()
    assert (error.retry_after_s, error.is_refusal) == (7200, True)
    assert "rate limit" in str(error)


@pytest.mark.parametrize("path", ["/dir", "/account"])
@pytest.mark.parametrize(("status", "code", "is_refusal"), [(429, "rateLimited", True), (503, "serverInternal", False)])
def test_a_pause_is_kept_that_the_ca_asks_for_before_there_is_an_account(
    ca: Setting, path: str, status: int, code: str, is_refusal: bool
) -> None:
    ca.script.problems = {path: [(status, code, {"Retry-After": "7200"})]}
    error = ca.refusal()
    assert (error.retry_after_s, error.is_refusal) == (7200, is_refusal)


@pytest.mark.parametrize(("status", "is_refusal"), [(503, False), (429, False), (404, True)])
@pytest.mark.parametrize("path", ["/dir", "/account", "/order"])
def test_a_pause_without_a_problem_document_is_kept(
    ca: Setting, monkeypatch: pytest.MonkeyPatch, path: str, status: int, is_refusal: bool
) -> None:
    def play(handler: _Handler, asked: str, content: object) -> None:
        if asked == path:
            handler._answer(status, "busy", {"Retry-After": "7200"})
        else:
            scripted(handler, asked, content)

    scripted = _Handler._play
    monkeypatch.setattr(_Handler, "_play", play)
    error = ca.refusal()
    assert (error.retry_after_s, error.is_refusal) == (7200, is_refusal)
    assert f"answers with status {status}" in str(error)


def test_a_session_that_failed_to_open_opens_at_the_next_order(ca: Setting) -> None:
    ca.script.problems = {"/account": [(429, "rateLimited", {})]}
    authority = ca.authority()
    with pytest.raises(OrderError):
        authority.order(NAME, BOTH)
    assert authority.order(NAME, BOTH).pem
    authority.close()


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_that_drips_is_given_up(ca: Setting, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Each byte comes in time; all of them would take for ever, and the lock is held."""
    monkeypatch.setattr("thrust.tls.acme_session.EXCHANGE_TIMEOUT_S", 0.2)

    def drip(handler: _Handler) -> None:
        start = b"HTTP/1.1 200 OK\r\nX: " if part == "head" else b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(start)
            while not ca.stopped.wait(0.02):
                handler.wfile.write(b"x")

    monkeypatch.setattr(_Handler, "do_GET", drip)
    timer = threading.Timer(5, ca.stopped.set)
    timer.start()
    error = ca.refusal()
    timer.cancel()
    assert "has not finished an answer within 0.2 s" in str(error)
    assert not error.is_refusal
    ca.stopped.set()


def test_an_answer_without_end_is_given_up(ca: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = 0

    def flood(handler: _Handler) -> None:
        nonlocal sent
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while sent < 64 * MAX_ANSWER_BYTES:
                sent += handler.wfile.write(bytes(65536))

    monkeypatch.setattr(_Handler, "do_GET", flood)
    assert "an answer of more than 1048576 bytes" in str(ca.refusal())
    assert sent < 32 * MAX_ANSWER_BYTES


@pytest.mark.slow
def test_an_answer_that_unpacks_to_more_is_not_unpacked(ca: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(bytes(100 * MAX_ANSWER_BYTES), 9)

    def bomb(handler: _Handler) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        handler.wfile.write(head + packed)

    monkeypatch.setattr(_Handler, "do_GET", bomb)
    tracemalloc.start()
    try:
        ca.refusal()
        assert tracemalloc.get_traced_memory()[1] < 50 * MAX_ANSWER_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("retry_after", ["", "300"])
def test_an_order_that_the_ca_does_not_finish_is_waited_for_and_left_with_its_wish(
    ca: Setting, monkeypatch: pytest.MonkeyPatch, retry_after: str
) -> None:
    monkeypatch.setattr("thrust.tls.acme.ORDER_TIMEOUT_S", 0.5)
    order = _Handler._order
    monkeypatch.setattr(_Handler, "_order", lambda handler: order(handler) | {"status": "processing"})
    ca.script.retry_after = retry_after
    error = ca.refusal()
    assert "has not finished the order for a.example within 0.5 s" in str(error)
    assert (error.retry_after_s, error.is_refusal) == (float(retry_after or 0), False)
    looks = [where for where, _ in ca.script.seen if where == "/order/1"]
    assert len(looks) == 2 if retry_after else len(looks) >= 2


@pytest.mark.slow
def test_a_proxy_is_gone_through_with_the_same_trust(ca: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    with tunnelling_proxy() as (url, tunnels):
        monkeypatch.setenv("https_proxy", url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        authority = ca.authority()
        assert authority.order(NAME, BOTH).pem
        authority.close()
    assert tunnels


@contextlib.contextmanager
def tunnelling_proxy() -> Iterator[tuple[str, list[bytes]]]:
    """The URL of an HTTP proxy that knows CONNECT, and which targets it was asked for."""
    targets: list[bytes] = []

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            target = self.rfile.readline().split()[1]
            targets.append(target)
            while self.rfile.readline().strip():
                continue
            host, _, port = target.decode().rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(far, self.connection))
                back.start()
                pump(self.connection, far)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", targets
        finally:
            server.shutdown()
            thread.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
        sink.shutdown(socket.SHUT_WR)


def test_troubles_of_the_ca_are_not_ours(ca: Setting) -> None:
    ca.script.problems = {"/order": [(500, "serverInternal", {"Retry-After": "60"})]}
    error = ca.refusal()
    assert (error.retry_after_s, error.is_refusal) == (60, False)


def test_bad_nonces_are_answered_with_another(ca: Setting) -> None:
    ca.script.problems = {"/order": [(400, "badNonce", {})] * 5}
    authority = ca.authority()
    assert authority.order(NAME, BOTH).pem
    authority.close()


def test_the_account_is_kept(ca: Setting) -> None:
    for _ in range(2):
        authority = ca.authority(email="ops@example.com")
        authority.order(NAME, BOTH)
        authority.close()
    (registration,) = ca.script.payloads("/account")
    assert registration["contact"] == ["mailto:ops@example.com"]
    assert registration["termsOfServiceAgreed"] is True


def test_another_address_is_told_to_the_ca_once(ca: Setting) -> None:
    for email in ("old@example.com", "new@example.com", "new@example.com"):
        authority = ca.authority(email=email)
        authority.order(NAME, BOTH)
        authority.close()
    assert [update["contact"] for update in ca.script.payloads("/account/1")] == [["mailto:new@example.com"]]


def test_an_account_that_the_ca_has_forgotten_is_made_again(ca: Setting) -> None:
    authority = ca.authority()
    authority.order(NAME, BOTH)
    authority.close()
    ca.script.problems = {"/order": [(400, "accountDoesNotExist", {})]}
    authority = ca.authority()
    assert authority.order(NAME, BOTH).pem
    authority.close()
    assert len(ca.script.payloads("/account")) == 2


def test_an_account_that_the_ca_has_forgotten_is_made_again_with_another_address(ca: Setting) -> None:
    authority = ca.authority(email="old@example.com")
    authority.order(NAME, BOTH)
    authority.close()
    ca.script.problems = {"/account/1": [(400, "accountDoesNotExist", {})]}
    authority = ca.authority(email="new@example.com")
    assert authority.order(NAME, BOTH).pem
    authority.close()
    contacts = [registration["contact"] for registration in ca.script.payloads("/account")]
    assert contacts == [["mailto:old@example.com"], ["mailto:new@example.com"]]


def test_a_ca_that_forgets_every_account_is_asked_twice_and_no_more(ca: Setting) -> None:
    ca.script.problems = {"/order": [(400, "accountDoesNotExist", {})] * 5}
    assert "accountDoesNotExist" in str(ca.refusal())
    assert len(ca.script.payloads("/order")) == 2


def test_a_profile_is_asked_for(ca: Setting) -> None:
    ca.script.profiles = {"shortlived": "six days", "classic": ""}
    authority = ca.authority(profile="shortlived")
    authority.order(NAME, BOTH)
    authority.close()
    assert ca.script.payloads("/order")[0]["profile"] == "shortlived"


def test_an_unknown_profile_is_told_with_those_there_are(ca: Setting) -> None:
    ca.script.profiles = {"shortlived": "six days", "classic": ""}
    error = ca.refusal(profile="short")
    assert "THRUST_ACME_PROFILE short; it offers classic, shortlived" in str(error)
    assert ca.script.payloads("/order") == []


def test_a_renewal_names_the_certificate_that_it_replaces(ca: Setting) -> None:
    ca.script.window = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    authority = ca.authority()
    old = authority.order(NAME, BOTH).pem
    authority.order(NAME, BOTH, old)
    authority.close()
    first, second = ca.script.payloads("/order")
    assert "replaces" not in first
    key_identifier, _, serial = second["replaces"].partition(".")
    assert key_identifier and serial


@pytest.mark.parametrize("code", ["alreadyReplaced", "malformed"])
def test_a_certificate_that_cannot_be_replaced_is_left_out(ca: Setting, code: str) -> None:
    ca.script.window = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    authority = ca.authority()
    old = authority.order(NAME, BOTH).pem
    ca.script.problems = {"/order": [(409 if code == "alreadyReplaced" else 400, code, {})]}
    assert authority.order(NAME, BOTH, old).pem
    authority.close()
    assert ["replaces" in payload for payload in ca.script.payloads("/order")] == [False, True, False]


def test_the_renewal_window_is_read_with_its_pause(ca: Setting) -> None:
    ca.script.window = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    ca.script.retry_after = "1"
    authority = ca.authority()
    pem = authority.order(NAME, BOTH).pem
    ca.script.retry_after = "21600"
    window, pause_s = authority.renewal_window(pem)
    assert window == Window(1767225600.0, 1767312000.0)
    assert pause_s == 21600
    ca.script.retry_after = "999999999"
    assert authority.renewal_window(pem)[1] == MAX_RETRY_AFTER_S
    authority.close()


def test_a_ca_without_renewal_information_says_nothing(ca: Setting) -> None:
    authority = ca.authority()
    pem = authority.order(NAME, BOTH).pem
    assert authority.renewal_window(pem)[0] is None
    authority.close()


@pytest.mark.parametrize("path", ["/dir", "/order", "/authorization", "/finalize", "/certificate"])
def test_a_problem_at_any_step_is_a_sentence(ca: Setting, path: str) -> None:
    ca.script.problems = {path: [(400, "unheardOf", {})]}
    assert "calls it unheardOf" in str(ca.refusal()) or "check ACME_DIRECTORY" in str(ca.refusal())


def test_a_certificate_for_another_name_is_not_taken(ca: Setting) -> None:
    ca.script.issues_for = "b.example"
    error = ca.refusal()
    assert "a certificate that is not for a.example" in str(error)


def test_an_order_under_way_can_be_called_off(ca: Setting) -> None:
    ca.script.looks_until_done = 10**6
    timer = threading.Timer(0.1, ca.stopped.set)
    timer.start()
    assert str(ca.refusal()) == "called off"
    timer.join()
    assert ca.open_answers == []


def test_a_ca_that_nobody_vouches_for_is_not_talked_to(ca: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    error = ca.refusal()
    assert "is not trusted" in str(error)
    assert "HTTPSConnectionPool" not in str(error)
    assert "SSL_CERT_FILE adds a root" in str(error)
    assert not error.is_refusal


@pytest.mark.parametrize(
    ("field", "expected_s"),
    [
        ("120", 120),
        ("0", 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("٣", 0),
        ("9" * 40, 999999999),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 99999 07:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_in_both_forms(field: str, expected_s: float) -> None:
    assert retry_after_s(field, 1_800_000_000) == expected_s


def test_the_library_is_not_loaded_by_a_manager_alone() -> None:
    script = "import sys; import thrust.tls.manager; print({'acme', 'cryptography', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "set()"
