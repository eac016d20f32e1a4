"""Reading a certificate and its key: what a good pair tells, and the sentence for each that is none."""

import contextlib
import datetime
import os
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.certificates import DAY, Pair, key_pem, make_pair
from thrust.errors import CertificateError, ConfigError
from thrust.tls.certificates import MAX_FILE_BYTES, Certificate, PemFiles, load

H1 = ("http/1.1",)

RSA = rsa.generate_private_key(65537, 2048)
MIXED = r"the key in SSL_KEY_PATH \S+ does not belong to the certificate in SSL_CERT_PATH \S+; give the key"
UNUSABLE = r"SSL_CERT_PATH \S+ and SSL_KEY_PATH \S+ cannot be used: "


def load_pair(pair: Pair, folder: Path, now_s: float | None = None) -> Certificate:
    return load(PemFiles(*pair.write(folder)), H1, now_s)


def test_a_good_pair_tells_its_names_and_its_end(tmp_path: Path) -> None:
    certificate = load_pair(make_pair("App.example.com", "*.example.org", "127.0.0.1", "::1"), tmp_path)
    assert certificate.names == ("app.example.com", "*.example.org", "127.0.0.1", "::1")
    assert certificate.expires_at == pytest.approx(time.time() + 90 * 86400, abs=3600)
    assert isinstance(certificate.context, ssl.SSLContext)


@pytest.mark.parametrize(
    "key", [RSA, ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()], ids=["rsa", "ec", "ed"]
)
def test_other_kinds_of_keys_are_good_too(key: Any, tmp_path: Path) -> None:
    assert load_pair(make_pair("a.example", key=key), tmp_path).names == ("a.example",)


def test_both_may_be_in_one_file(tmp_path: Path) -> None:
    pair = make_pair("a.example")
    (tmp_path / "both.pem").write_bytes(b"a comment\n" + pair.key + pair.certificate)
    path = tmp_path / "both.pem"
    assert load(PemFiles(path, path), H1).names == ("a.example",)


@pytest.mark.parametrize(
    ("names", "host", "expected"),
    [
        (("app.example.com",), "app.example.com", True),
        (("app.example.com",), "app.example.com.", True),
        (("app.example.com",), "example.com", False),
        (("app.example.com",), "127.0.0.1", False),
        (("*.example.com",), "a.example.com", True),
        (("*.example.com",), "a.b.example.com", False),
        (("*.example.com",), "example.com", False),
        (("127.0.0.1", "::1"), "127.0.0.1", True),
        (("127.0.0.1", "::1"), "[::1]", True),
        (("127.0.0.1", "::1"), "[0:0::1]", True),
        (("127.0.0.1", "::1"), "127.0.0.2", False),
        (("*.example.com",), ".example.com", False),
        ((), "whatever", False),
        ((), "", False),
    ],
)
def test_it_knows_which_hosts_it_is_for(names: tuple[str, ...], host: str, expected: bool, tmp_path: Path) -> None:
    assert load_pair(make_pair(*names), tmp_path).covers(host) is expected


@pytest.mark.parametrize(
    ("common_name", "names"),
    [
        ("localhost", ("localhost",)),
        ("App.example.com.", ("app.example.com",)),
        ("*.example.com", ("*.example.com",)),
        ("127.0.0.1", ("127.0.0.1",)),
        ("My company", ()),
        ("a.example/path", ()),
        ("a.example\n", ()),
        ("*", ()),
        ("a.*.example", ()),
        (None, ()),
    ],
)
def test_one_without_alternative_names_is_for_the_host_that_it_calls_itself(
    common_name: str | None, names: tuple[str, ...], tmp_path: Path
) -> None:
    certificate = load_pair(make_pair(common_name=common_name), tmp_path)
    assert certificate.names == names
    assert not certificate.covers("evil.example")


def test_what_one_with_alternative_names_calls_itself_does_not_count(tmp_path: Path) -> None:
    certificate = load_pair(make_pair("127.0.0.1", common_name="a.example"), tmp_path)
    assert certificate.names == ("127.0.0.1",)


GOOD, OTHER = make_pair("a.example"), make_pair("a.example")
PASSWORD = make_pair("a.example", password=b"secret")


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (Pair(b"", GOOD.key), r"SSL_CERT_PATH \S+/tls\.crt holds no certificate in PEM$"),
        (Pair(b"\x30\x82\x01\x0a", GOOD.key), r"SSL_CERT_PATH \S+ holds no certificate in PEM$"),
        (Pair(GOOD.key, GOOD.certificate), r"SSL_CERT_PATH \S+ holds no certificate in PEM; are the two paths swapped"),
        (Pair(GOOD.certificate, b""), r"SSL_KEY_PATH \S+/tls\.key holds no private key in PEM$"),
        (Pair(GOOD.certificate, GOOD.certificate), r"SSL_KEY_PATH \S+ holds no private key in PEM$"),
        (PASSWORD, r"SSL_KEY_PATH \S+ is encrypted; take its password off, by openssl pkey"),
        (Pair(GOOD.certificate, OTHER.key), MIXED),
        (Pair(GOOD.certificate, key_pem(RSA)), MIXED),
        (Pair(GOOD.certificate[:200] + GOOD.certificate[300:], GOOD.key), UNUSABLE),
        (Pair(GOOD.certificate, GOOD.key[:80] + GOOD.key[90:]), UNUSABLE),
        (make_pair("a.example", ends=-DAY / 24), r"the certificate in SSL_CERT_PATH \S+ has expired on "),
        (make_pair("a.example", begins=DAY), r"the certificate in SSL_CERT_PATH \S+ is not valid before .*clock"),
        (make_pair("a.example", usages=[ExtendedKeyUsageOID.CLIENT_AUTH]), r"SSL_CERT_PATH \S+ is no use: .*purpose"),
        (make_pair("a.example", key=rsa.generate_private_key(65537, 1024)), r"cannot be used: ee key too small"),
    ],
)
def test_what_is_wrong_is_a_sentence(pair: Pair, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=sentence) as complaint:
        load_pair(pair, tmp_path)
    assert isinstance(complaint.value, ConfigError)
    assert complaint.value.is_mismatch is (sentence == MIXED)
    assert "\n" not in str(complaint.value)


def test_what_is_missing_is_a_sentence(tmp_path: Path) -> None:
    certificate, key = GOOD.write(tmp_path)
    key.unlink()
    with pytest.raises(CertificateError, match=r"SSL_KEY_PATH \S+ cannot be read: No such file or directory"):
        load(PemFiles(certificate, key), H1)


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    """A FIFO would keep the start waiting for ever, and /dev/zero fill the memory."""
    _, key = GOOD.write(tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero"), tmp_path):
        with pytest.raises(CertificateError, match=r"SSL_CERT_PATH \S+ cannot be read: it is no regular file"):
            load(PemFiles(path, key), H1)


def test_a_file_that_is_too_large_is_a_sentence(tmp_path: Path) -> None:
    certificate, key = GOOD.write(tmp_path)
    os.truncate(certificate, MAX_FILE_BYTES)
    assert load(PemFiles(certificate, key), H1).names == ("a.example",)
    os.truncate(certificate, MAX_FILE_BYTES + 1)
    with pytest.raises(CertificateError, match=r"SSL_CERT_PATH \S+ is larger than"):
        load(PemFiles(certificate, key), H1)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_looking_again_and_again_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in (tmp_path, tmp_path / "missing", GOOD.write(tmp_path)[0]) * 3:
        with contextlib.suppress(CertificateError):
            PemFiles(path, path).read()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_we_may_not_read_is_a_sentence(tmp_path: Path) -> None:
    certificate, key = GOOD.write(tmp_path)
    key.chmod(0)
    with pytest.raises(CertificateError, match=r"SSL_KEY_PATH \S+ cannot be read: Permission denied"):
        load(PemFiles(certificate, key), H1)


def test_dates_are_those_of_the_given_time(tmp_path: Path) -> None:
    pair = make_pair("a.example", begins=10 * DAY, ends=20 * DAY)
    later = (datetime.datetime.now(datetime.UTC) + 15 * DAY).timestamp()
    assert load_pair(pair, tmp_path, later).names == ("a.example",)
    with pytest.raises(CertificateError, match="has expired"):
        load_pair(pair, tmp_path, later + 10 * 86400)
