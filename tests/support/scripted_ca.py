"""A certificate authority over HTTPS that does what a test tells it, for what pebble cannot do.

It offers renewal windows and profiles, limits rates, forgets accounts and refuses nonces; signatures are not checked,
and every challenge counts as passed unless `failing` names it. Issues by the authority of tests/support/certificates.
"""

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.support.certificates import _authority, _builder, authority_pem, make_pair

PROBLEM = "urn:ietf:params:acme:error:"


@dataclass
class Script:
    """What the authority shall do, and what it has seen. `problems` are answered to a path, one after the other."""

    url: str = ""
    trust_path: Path = Path()
    window: tuple[str, str] | None = None
    profiles: dict[str, str] = field(default_factory=dict)
    failing: dict[str, tuple[str, str]] = field(default_factory=dict)
    offered: tuple[str, ...] = ("http-01", "tls-alpn-01")
    problems: dict[str, list[tuple[int, str, dict[str, str]]]] = field(default_factory=dict)
    retry_after: str = ""
    looks_until_done: int = 0
    issues_for: str = ""
    seen: list[tuple[str, Any]] = field(default_factory=list)
    domain: str = ""
    tried: str = ""
    looks: int = 0
    pem: str = ""

    def payloads(self, path: str) -> list[Any]:
        """What was posted to `path`."""
        return [payload for where, payload in self.seen if where == path]


@contextlib.contextmanager
def scripted_ca(folder: Path, script: Script) -> Iterator[Script]:
    """`script`, played on a port of loopback; its certificate is to be trusted by SSL_CERT_FILE."""
    pair = make_pair("127.0.0.1")
    certificate, key = pair.write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    script.trust_path = folder / "trust.pem"
    script.trust_path.write_text(authority_pem())

    class Handler(_Handler):
        pass

    Handler.script = script
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        script.url = f"https://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    script: Script
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written apart

    def log_message(self, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(200, None)

    def do_GET(self) -> None:
        path = "/ari" if self.path.startswith("/ari/") else self.path
        self.script.seen.append((path, self.path))
        if not self._has_problem(path):
            self._play(path, None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        payload = body["payload"]
        padded = payload + "=" * (-len(payload) % 4)
        content = json.loads(base64.urlsafe_b64decode(padded) or "null")
        self.script.seen.append((self.path, content))
        if not self._has_problem(self.path):
            self._play(self.path, content)

    def _has_problem(self, path: str) -> bool:
        if not (waiting := self.script.problems.get(path)):
            return False
        status, code, fields = waiting.pop(0)
        self._answer(status, {"type": PROBLEM + code, "detail": f"scripted {code}"}, fields)
        return True

    def _play(self, path: str, content: Any) -> None:
        script = self.script
        match path:
            case "/dir":
                names = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order"}
                directory: dict[str, Any] = {name: f"{script.url}/{place}" for name, place in names.items()}
                directory["meta"] = {"profiles": script.profiles, "caaIdentities": ["ca.example"]}
                if script.window is not None:
                    directory["renewalInfo"] = f"{script.url}/ari"
                self._answer(200, directory)
            case "/ari":
                start, end = script.window or ("", "")
                self._answer(200, {"suggestedWindow": {"start": start, "end": end}}, self._retry_after())
            case "/account":
                self._answer(201, {"status": "valid"}, {"Location": f"{script.url}/account/1"})
            case "/account/1":
                self._answer(200, {"status": "valid"})
            case "/order":
                script.domain, script.tried, script.pem = content["identifiers"][0]["value"], "", ""
                self._answer(201, self._order(), {"Location": f"{script.url}/order/1"})
            case "/order/1":
                self._answer(200, self._order(), self._retry_after())
            case "/authorization":
                self._answer(200, self._authorization())
            case "/challenge/http-01" | "/challenge/tls-alpn-01":
                script.tried = path.rpartition("/")[2]
                script.looks = script.looks_until_done
                self._answer(200, self._challenge(script.tried), {"Link": f'<{script.url}/authorization>;rel="up"'})
            case "/finalize":
                script.pem = _issue(content["csr"], script.issues_for or script.domain)
                self._answer(200, self._order(), {"Location": f"{script.url}/order/1"})
            case "/certificate":
                self._answer(200, script.pem)
            case _:
                self._answer(404, {"type": PROBLEM + "malformed"})

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": self.script.retry_after} if self.script.retry_after else {}

    def _order(self) -> dict[str, Any]:
        script = self.script
        done = script.tried and script.tried not in script.failing
        status = "valid" if script.pem else "ready" if done else "pending"
        order: dict[str, Any] = {
            "status": status,
            "identifiers": [{"type": "dns", "value": script.domain}],
            "authorizations": [f"{script.url}/authorization"],
            "finalize": f"{script.url}/finalize",
        }
        return order | ({"certificate": f"{script.url}/certificate"} if script.pem else {})

    def _authorization(self) -> dict[str, Any]:
        script = self.script
        status = "pending"
        if script.tried and script.looks > 0:
            script.looks -= 1
        elif script.tried:
            status = "invalid" if script.tried in script.failing else "valid"
        return {
            "status": status,
            "identifier": {"type": "dns", "value": script.domain},
            "challenges": [self._challenge(name) for name in script.offered],
        }

    def _challenge(self, name: str) -> dict[str, Any]:
        token = base64.urlsafe_b64encode(name.encode() * 3).decode().rstrip("=")
        challenge = {"type": name, "url": f"{self.script.url}/challenge/{name}", "token": token, "status": "pending"}
        if name == self.script.tried and name in self.script.failing:
            code, detail = self.script.failing[name]
            return challenge | {"status": "invalid", "error": {"type": PROBLEM + code, "detail": detail}}
        return challenge

    def _answer(self, status: int, content: Any, fields: dict[str, str] | None = None) -> None:
        body = (
            content.encode() if isinstance(content, str) else b"" if content is None else json.dumps(content).encode()
        )
        self.send_response(status)
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        self.send_header("Replay-Nonce", "bm9uY2U")
        self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _issue(csr: str, domain: str) -> str:
    request = x509.load_der_x509_csr(base64.urlsafe_b64decode(csr + "=" * (-len(csr) % 4)))
    authority, authority_key = _authority()
    key: Any = request
    builder = _builder(x509.Name([]), authority.subject, key, timedelta(0), timedelta(days=90))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=True)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = builder.add_extension(identifier, critical=False).sign(authority_key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode() + authority_pem()
