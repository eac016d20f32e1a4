"""Which certificates there are, as lines for whoever runs `thrust --certs` or `--print-config`.

Reads what is stored and asks nobody, so it can be run beside a thrust that serves. Changes nothing.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from thrust.errors import CertificateError, StorageError
from thrust.tls.certificates import PemFiles, load
from thrust.tls.local_ca import CA_NAME, PAIR_NAME, check_authority, check_pair
from thrust.tls.renewal import Validity
from thrust.tls.storage import Storage
from thrust.tls.telling import moment
from thrust.tls.trusting import trust_commands
from thrust.tls.upkeep import next_order_at_s
from thrust.tls.validity import fingerprint, read_validity

HEADER = ("CERTIFICATE", "EXPIRES", "RENEWAL", "STATE")


def acme_rows(domains: Sequence[str], storage: Storage, now_s: float | None = None) -> list[tuple[str, ...]]:
    """A row like HEADER for each domain."""
    at_s = time.time() if now_s is None else now_s
    return [_acme_row(domain, storage, at_s) for domain in domains]


def static_rows(certificate: Path, key: Path) -> list[tuple[str, ...]]:
    """The row of a certificate that somebody else renews."""
    try:
        loaded = load(PemFiles(certificate, key), ())
    except CertificateError as error:
        return [(str(certificate), "-", "-", str(error))]
    return [(",".join(loaded.names) or str(certificate), moment(loaded.expires_at), "by others", "valid")]


def local_rows(folder: Path, now_s: float | None = None) -> list[tuple[str, ...]]:
    """The rows of this machine's own authority and of its certificate for localhost."""
    at_s = time.time() if now_s is None else now_s
    flaws = {CA_NAME: _flaw_of(check_authority, folder), PAIR_NAME: _flaw_of(check_pair, folder)}
    rows: list[tuple[str, ...]] = []
    for name, flaw in flaws.items():
        path = folder / name
        validity = _validity_of(_text_of(path))
        expires = moment(validity.not_after_s) if validity else "-"
        rows.append((str(path), expires, "at a start", flaw or _state(validity, at_s)))
    return rows


def how_to_trust(folder: Path) -> list[str]:
    """A line for each system or browser that shall trust this machine's authority."""
    return [f"to have {who} trust it: {command}" for who, command in trust_commands(folder / CA_NAME)]


def _acme_row(domain: str, storage: Storage, now_s: float) -> tuple[str, ...]:
    try:
        storage.check_readable(domain)
    except StorageError as error:
        return domain, "-", "-", str(error)
    pem = storage.read_pair(domain)
    validity, notes = _validity_of(pem), storage.read_notes(domain).about(fingerprint(pem))
    order_at_s = next_order_at_s(domain, validity, notes, now_s)
    state = _state(validity, now_s)
    if notes.trouble is not None:
        state = f"{state}; {notes.trouble.sentence}"
    next_order = moment(order_at_s) if order_at_s > now_s else "due"
    return domain, moment(validity.not_after_s) if validity else "-", next_order, state


def _flaw_of(check: Callable[[Path], object], folder: Path) -> str:
    """Why what is in `folder` cannot be used; "" if it can, or is not there yet."""
    try:
        check(folder)
    except CertificateError as error:
        return str(error)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _state(validity: Validity | None, now_s: float) -> str:
    if validity is None:
        return "none yet"
    if now_s < validity.not_before_s:
        return "not valid yet: is the clock right?"
    return "valid" if now_s < validity.not_after_s else "expired"


def _validity_of(pem: str) -> Validity | None:
    try:
        return read_validity(pem)
    except ValueError:
        return None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
