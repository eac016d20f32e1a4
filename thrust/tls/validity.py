"""What a certificate's DER says about its time, read without a library: two dates at a fixed place (RFC 5280 §4.1).

`manager` reads it at every start, and importing `cryptography` for that would cost more than the rest of the start.
Nothing is verified here; who loads the certificate into a context does that.
"""

import hashlib
import ssl
from datetime import UTC, datetime

from thrust.tls.renewal import Validity

BEGIN_CERTIFICATE = "-----BEGIN CERTIFICATE-----"

_END_CERTIFICATE = "-----END CERTIFICATE-----"
_INTEGER, _SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x02, 0x30, 0x17, 0x18, 0xA0


def read_validity(pem: str) -> Validity:
    """The dates of the first certificate in `pem`, whatever else is in there. Raises ValueError if there is none."""
    certificate, _ = _content(_first_der(pem), 0, _SEQUENCE)
    fields, _ = _content(certificate, 0, _SEQUENCE)
    at = 0
    if fields[:1] == bytes((_VERSION,)):
        _, at = _content(fields, at, _VERSION)
    for tag in (_INTEGER, _SEQUENCE, _SEQUENCE):  # serialNumber, signature, issuer
        _, at = _content(fields, at, tag)
    dates, _ = _content(fields, at, _SEQUENCE)
    not_before_s, at = _time_s(dates, 0)
    not_after_s, _ = _time_s(dates, at)
    return Validity(not_before_s, not_after_s)


def fingerprint(pem: str) -> str:
    """The SHA-256 of the first certificate in `pem`, in hex; "" if there is none."""
    try:
        return hashlib.sha256(_first_der(pem)).hexdigest()
    except ValueError:
        return ""


def _first_der(pem: str) -> bytes:
    begin = pem.index(BEGIN_CERTIFICATE)
    end = pem.index(_END_CERTIFICATE, begin) + len(_END_CERTIFICATE)
    return ssl.PEM_cert_to_DER_cert(pem[begin:end])


def _content(der: bytes, at: int, tag: int) -> tuple[bytes, int]:
    """The content of the element at `at`, which has to be a `tag`, and where the next one begins."""
    if len(der) < at + 2 or der[at] != tag:
        raise ValueError("not the DER of a certificate")
    size, at = der[at + 1], at + 2
    if size >= 0x80:  # long form: so many bytes of length
        end = at + (size & 0x7F)
        size, at = int.from_bytes(der[at:end], "big"), end
    if len(der) < at + size:
        raise ValueError("the DER of a certificate ends early")
    return der[at : at + size], at + size


def _time_s(dates: bytes, at: int) -> tuple[float, int]:
    """A date as Unix time, and where the next one begins. Years of UTCTime are 1950 to 2049 (RFC 5280 §4.1.2.5.1)."""
    is_short = dates[at : at + 1] == bytes((_UTC_TIME,))
    text, after = _content(dates, at, _UTC_TIME if is_short else _GENERALIZED_TIME)
    digits = text.decode("ascii").removesuffix("Z")
    if is_short:
        digits = ("19" if digits >= "50" else "20") + digits
    if len(digits) != 14 or not digits.isdecimal():
        raise ValueError(f"{digits} is no date of a certificate")
    year, (month, day, *clock) = int(digits[:4]), [int(digits[place : place + 2]) for place in range(4, 14, 2)]
    return datetime(year, month, day, clock[0], clock[1], clock[2], tzinfo=UTC).timestamp(), after
