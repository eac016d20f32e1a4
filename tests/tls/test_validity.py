"""Dates read from a certificate, compared with what the library that makes it says."""

import contextlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from thrust.tls.validity import read_validity

KEY = ec.generate_private_key(ec.SECP256R1())
# UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5).
moments = st.datetimes(datetime(1951, 1, 1), datetime(2999, 1, 1)).map(lambda at: at.replace(microsecond=0))


def certificate(not_before: datetime, not_after: datetime, names: int = 1) -> str:
    attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "u" * 60)] * names
    made = (
        x509.CertificateBuilder(
            issuer_name=x509.Name(attributes), subject_name=x509.Name([]), public_key=KEY.public_key()
        )
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@given(first=moments, second=moments, names=st.integers(0, 10))
def test_the_dates_are_those_of_the_certificate(first: datetime, second: datetime, names: int) -> None:
    not_before, not_after = sorted((first, second))
    validity = read_validity(certificate(not_before, not_after, names))
    assert validity.not_before_s == not_before.replace(tzinfo=UTC).timestamp()
    assert validity.not_after_s == not_after.replace(tzinfo=UTC).timestamp()


def test_the_first_of_a_chain_counts_wherever_the_key_stands() -> None:
    leaf = certificate(datetime(2026, 1, 1), datetime(2026, 4, 1))
    root = certificate(datetime(2020, 1, 1), datetime(2040, 1, 1))
    key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    assert read_validity(key + leaf + root) == read_validity(leaf)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_is_refused(pem: str) -> None:
    with pytest.raises(ValueError):
        read_validity(pem)


GOOD = certificate(datetime(2026, 1, 1), datetime(2026, 4, 1))


@given(position=st.integers(0, 200), letter=st.sampled_from("ABCXYZabc0129+/"))
def test_a_damaged_certificate_is_read_or_refused(position: int, letter: str) -> None:
    begin = GOOD.index("\n") + 1
    damaged = GOOD[: begin + position] + letter + GOOD[begin + position + 1 :]
    with contextlib.suppress(ValueError):
        read_validity(damaged)
