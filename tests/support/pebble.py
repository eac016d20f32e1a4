"""Let's Encrypt's test CA, pebble, as a process: a CA that checks challenges for real, against loopback.

Every name leads to 127.0.0.1, because pebble asks `pebble-challtestsrv`, whose DNS says so. Its own server certificate
is made here, and `environ` makes a thrust trust it. It refuses good nonces at random, as the real one may.
"""

import contextlib
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import authority_pem, make_pair
from tests.support.e2e_thrust import until
from tests.support.ports import free_port

NONCE_REJECTS_PERCENT = 15


@dataclass(frozen=True)
class Pebble:
    """A CA that runs. `http_port` and `tls_port` are where it looks for answers to its challenges."""

    process: subprocess.Popen[bytes]
    directory_url: str
    management_url: str
    dns_url: str
    http_port: int
    tls_port: int
    trust_path: Path

    @property
    def environ(self) -> dict[str, str]:
        """What a thrust needs to order here."""
        return {
            "ACME_DIRECTORY": self.directory_url,
            "SSL_CERT_FILE": str(self.trust_path),
            "PORT": str(self.http_port),
            "HTTPS_PORT": str(self.tls_port),
        }

    def root_path(self, folder: Path) -> Path:
        """A file with the root of the certificates that it gives."""
        context = ssl.create_default_context(cafile=self.trust_path)
        path = folder / "pebble-root.pem"
        with urllib.request.urlopen(f"{self.management_url}/roots/0", context=context, timeout=10) as answer:
            path.write_bytes(answer.read())
        return path

    def lead_astray(self, domain: str, address: str) -> None:
        """Has the DNS send the CA to `address` for `domain`."""
        asked = json.dumps({"host": domain, "addresses": [address]}).encode()
        urllib.request.urlopen(f"{self.dns_url}/add-a", asked, timeout=10).close()

    def lines(self) -> list[str]:
        """What it has logged."""
        return Path(self.trust_path.parent / "pebble.log").read_text().splitlines()

    def issued(self) -> int:
        """How many certificates it has given."""
        return sum("Issued certificate serial" in line for line in self.lines())


@contextlib.contextmanager
def running_pebble(
    folder: Path,
    *,
    lifetime_s: int = 90 * 24 * 3600,
    eab_keys: Mapping[str, str] | None = None,
    http_port: int | None = None,
    tls_port: int | None = None,
    port: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Pebble]:
    """A pebble with its DNS; `folder` is for its files. `eab_keys` are key identifiers with keys in base64."""
    port, management_port, dns_port, dns_management_port = port or free_port(), free_port(), free_port(), free_port()
    http_port, tls_port = http_port or free_port(), tls_port or free_port()
    trust_path = write_server_pair(folder)
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management_port}",
        "certificate": str(folder / "server.pem"),
        "privateKey": str(folder / "server.pem"),
        "httpPort": http_port,
        "tlsPort": tls_port,
        "externalAccountBindingRequired": eab_keys is not None,
        "externalAccountMACKeys": dict(eab_keys or {}),
        "certificateValidityPeriod": lifetime_s,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    settings = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(NONCE_REJECTS_PERCENT), **(environ or {})}
    dns = ["pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
    dns += ["-dns01", f"127.0.0.1:{dns_port}", "-management", f"127.0.0.1:{dns_management_port}"]
    with (
        open(folder / "pebble.log", "wb") as log,
        _process(dns, log, {}),
        _process(
            ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns_port}"], log, settings
        ) as process,
    ):
        pebble = Pebble(
            process,
            f"https://127.0.0.1:{port}/dir",
            f"https://127.0.0.1:{management_port}",
            f"http://127.0.0.1:{dns_management_port}",
            http_port,
            tls_port,
            trust_path,
        )
        until(lambda: _answers(pebble), "pebble answers")
        yield pebble


def write_server_pair(folder: Path) -> Path:
    """Writes server.pem, key and certificate for this machine, into `folder`; returns the file to trust."""
    pair = make_pair("localhost", "127.0.0.1")
    (folder / "server.pem").write_bytes(pair.key + pair.certificate)
    trust_path = folder / "trust.pem"
    trust_path.write_text(authority_pem())
    return trust_path


@contextlib.contextmanager
def _process(command: Sequence[str], log: object, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | environ, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _answers(pebble: Pebble) -> bool:
    assert pebble.process.poll() is None, "pebble has ended: " + "\n".join(pebble.lines()[-5:])
    context = ssl.create_default_context(cafile=pebble.trust_path)
    try:
        urllib.request.urlopen(pebble.directory_url, context=context, timeout=5).close()
        urllib.request.urlopen(f"{pebble.dns_url}/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
