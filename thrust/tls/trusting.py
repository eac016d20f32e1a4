"""How a system and its browsers are told to trust a certificate: commands to copy, nothing is done here.

Trust is the user's to give, and on most systems needs his password. For `local_ca`, at the start that has made its CA,
and for `thrust --certs`.
"""

import shlex
import sys
from pathlib import Path

OS_RELEASE = Path("/etc/os-release")

_NAME = "thrust local CA"


def trust_commands(
    ca_path: Path, *, platform: str = sys.platform, os_release: str | None = None
) -> list[tuple[str, str]]:
    """Who shall trust the certificate at `ca_path`, and the command for it."""
    path = shlex.quote(str(ca_path))
    if platform == "darwin":
        keychain = "~/Library/Keychains/login.keychain-db"
        return [
            ("macOS, Safari and Chrome", f"security add-trusted-cert -r trustRoot -k {keychain} {path}"),
            ("Firefox", "set security.enterprise_roots.enabled to true in about:config"),
        ]
    # certutil makes a database that is missing, but not its folder; Chromium makes both when it first runs.
    nss = "mkdir -p $HOME/.pki/nssdb && "
    nss += f"certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n {shlex.quote(_NAME)} -i {path}"
    return [
        ("this system (curl, Python, …)", _system_command(path, _families(os_release))),
        ("Chrome and Chromium (certutil is in libnss3-tools or nss-tools)", nss),
        ("Firefox", f"import {path} in Settings, Certificates, Authorities"),
    ]


def _system_command(path: str, families: set[str]) -> str:
    if families & {"fedora", "rhel", "centos"}:
        return f"sudo cp {path} /etc/pki/ca-trust/source/anchors/thrust-local-ca.pem && sudo update-ca-trust"
    if families & {"arch"}:
        return f"sudo trust anchor --store {path}"
    if families & {"suse", "opensuse"}:
        return f"sudo cp {path} /etc/pki/trust/anchors/thrust-local-ca.pem && sudo update-ca-certificates"
    return f"sudo cp {path} /usr/local/share/ca-certificates/thrust-local-ca.crt && sudo update-ca-certificates"


def _families(os_release: str | None) -> set[str]:
    """The names of the distribution and of those it is made from (os-release(5): ID, ID_LIKE)."""
    if os_release is None:
        try:
            os_release = OS_RELEASE.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return set()
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    return set(f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split())
