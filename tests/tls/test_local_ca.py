"""Certificates for this machine: who is vouched for, who is not, and what a second start does."""

import asyncio
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from thrust.errors import Alert, CertificateError, ConfigError, TlsRefusal
from thrust.tls.inventory import local_rows
from thrust.tls.local_ca import MAX_NAMES, LocalCertificates, data_folder
from thrust.tls.local_issuing import Issuer, new_authority
from thrust.tls.trusting import trust_commands

H1 = ("http/1.1",)


@pytest.fixture
def local(tmp_path: Path) -> LocalCertificates:
    return LocalCertificates(tmp_path / "thrust", H1)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A handshake in memory; raises what the client thinks of the server."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    one.getpeercert()


def trusting(local: LocalCertificates) -> ssl.SSLContext:
    """A client that trusts the local authority and nobody else, strictly (RFC 5280)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(local.ca_path)
    return context


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "app.localhost", "a.b.localhost", "LOCALHOST"])
def test_names_of_this_machine_are_vouched_for(local: LocalCertificates, name: str) -> None:
    assert local.covers(name)
    shake_hands(local.choose(name.encode(), ()), trusting(local), name)


def test_a_client_without_a_name_gets_the_certificate_for_the_addresses(local: LocalCertificates) -> None:
    shake_hands(local.choose(None, (b"http/1.1",)), trusting(local), "127.0.0.1")


@pytest.mark.parametrize("name", ["example.com", "notlocalhost", "localhost.example.com", "127.0.0.2", ".example"])
def test_other_names_get_an_alert(local: LocalCertificates, name: str) -> None:
    assert not local.covers(name)
    with pytest.raises(TlsRefusal) as refused:
        local.choose(name.encode(), ())
    assert refused.value.alert is Alert.UNRECOGNIZED_NAME


@pytest.mark.parametrize("name", ["\xe4.localhost", "a b.localhost", "*.localhost", "a" * 70 + ".localhost"])
def test_odd_names_do_no_harm(local: LocalCertificates, name: str) -> None:
    try:
        context = local.choose(name.encode("latin-1"), ())
    except TlsRefusal:
        return
    assert isinstance(context, ssl.SSLContext)


@pytest.mark.parametrize(
    ("names", "addresses"), [(["bank.example"], []), ([], ["10.0.0.1"]), (["localhost"], ["8.8.8.8"])]
)
def test_the_authority_cannot_vouch_for_anybody_else(
    local: LocalCertificates, tmp_path: Path, names: list[str], addresses: list[str]
) -> None:
    issuer = Issuer(local.ca_path.read_text(), local.ca_path.with_name("local-ca-key.pem").read_text())
    stolen = tmp_path / "stolen.pem"
    stolen.write_text(issuer.issue(names, addresses))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(stolen)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(server, trusting(local), (names + addresses)[0])


def test_the_constraints_are_critical(local: LocalCertificates) -> None:
    certificate = x509.load_pem_x509_certificate(local.ca_path.read_bytes())
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_a_second_start_makes_nothing(local: LocalCertificates, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "thrust").iterdir()}
    again = LocalCertificates(tmp_path / "thrust", H1)
    assert (local.is_new, again.is_new) == (True, False)
    assert {path: path.read_bytes() for path in (tmp_path / "thrust").iterdir()} == before


def test_a_second_start_does_without_the_library(local: LocalCertificates, tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from thrust.tls.local_ca import LocalCertificates
LocalCertificates(Path({str(tmp_path / "thrust")!r}), ("http/1.1",)).choose(b"localhost", ())
print("cryptography" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout == "False\n"


def test_a_folder_that_is_complete_is_not_written_to(local: LocalCertificates) -> None:
    """A container may have it read-only from the machine whose browsers trust the authority."""
    folder = local.ca_path.parent
    (folder / "lock").unlink()
    (folder / "lock").mkdir()  # cannot be opened for writing, not even by root
    before = {path.name: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]}
    again = LocalCertificates(folder, H1)
    assert not again.is_new
    assert again.choose(b"app.localhost", ()) is not again.choose(b"localhost", ())
    assert {path.name: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]} == before


def test_nobody_else_can_read_the_key(local: LocalCertificates) -> None:
    folder = local.ca_path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes.pop("local-ca.pem") == 0o644
    assert set(modes.values()) == {0o600}


def test_a_lost_certificate_is_made_again_by_the_same_authority(local: LocalCertificates) -> None:
    authority = local.ca_path.read_bytes()
    local.ca_path.with_name("localhost.pem").unlink()
    again = LocalCertificates(local.ca_path.parent, H1)
    assert again.ca_path.read_bytes() == authority
    shake_hands(again.choose(b"localhost", ()), trusting(local), "localhost")


def test_a_lost_key_makes_a_new_authority(local: LocalCertificates) -> None:
    local.ca_path.with_name("local-ca-key.pem").unlink()
    again = LocalCertificates(local.ca_path.parent, H1)
    assert again.is_new
    shake_hands(again.choose(b"localhost", ()), trusting(again), "localhost")


def test_a_damaged_pair_is_told_with_the_cure(local: LocalCertificates) -> None:
    path = local.ca_path.with_name("localhost.pem")
    path.write_text(path.read_text().replace("PRIVATE KEY", "PUBLIC KEY"))
    with pytest.raises(CertificateError, match="delete it"):
        LocalCertificates(local.ca_path.parent, H1)


@pytest.mark.parametrize("is_pair_lost", [False, True])
@pytest.mark.parametrize("damage", ["cut", "empty", "nonsense", "another's", "encrypted"])
def test_a_key_that_is_not_the_authority_s_is_told_with_the_cure(
    local: LocalCertificates, damage: str, is_pair_lost: bool
) -> None:
    folder = local.ca_path.parent
    key_path = folder / "local-ca-key.pem"
    key = key_path.read_text()
    key_path.write_text(
        {
            "cut": key[:100],
            "empty": "",
            "nonsense": "\xe4",
            "another's": new_authority()[1],
            "encrypted": encrypted(key),
        }[damage]
    )
    if is_pair_lost:
        (folder / "localhost.pem").unlink()
    with pytest.raises(CertificateError, match="do not belong together; delete both to have a new CA made"):
        LocalCertificates(folder, H1)
    assert "delete both" in local_rows(folder)[0][-1]


def encrypted(key: str) -> str:
    loaded = serialization.load_pem_private_key(key.encode(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    return loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def test_a_key_that_is_damaged_later_refuses_new_names_only(local: LocalCertificates) -> None:
    local.ca_path.with_name("local-ca-key.pem").write_text("")
    with pytest.raises(TlsRefusal, match="delete both"):
        local.choose(b"new.localhost", ())
    assert local.choose(b"localhost", ())


def test_what_is_whole_is_listed_as_valid_and_what_is_missing_as_such(local: LocalCertificates, tmp_path: Path) -> None:
    assert [row[-1] for row in local_rows(local.ca_path.parent)] == ["valid", "valid"]
    assert [row[-1] for row in local_rows(tmp_path / "elsewhere")] == ["none yet", "none yet"]
    local.ca_path.with_name("localhost.pem").write_text("")
    assert "delete it" in local_rows(local.ca_path.parent)[1][-1]


def test_a_folder_that_cannot_be_used_is_told_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="set XDG_DATA_HOME to another folder"):
        LocalCertificates(tmp_path / "file", H1)


def test_certificates_by_name_are_kept_up_to_a_limit(local: LocalCertificates) -> None:
    first = local.choose(b"0.localhost", ())
    assert local.choose(b"0.localhost", ()) is first
    for number in range(1, MAX_NAMES + 1):
        local.choose(b"%d.localhost" % number, ())
    assert local.choose(b"0.localhost", ()) is not first
    assert not [path for path in local.ca_path.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("environ", "platform", "folder"),
    [
        ({"HOME": "/home/x"}, "linux", "/home/x/.local/share/thrust"),
        ({"HOME": "/home/x", "XDG_DATA_HOME": "/data"}, "linux", "/data/thrust"),
        ({"HOME": "/home/x", "XDG_DATA_HOME": "relative"}, "linux", "/home/x/.local/share/thrust"),
        ({"HOME": "/Users/x"}, "darwin", "/Users/x/Library/Application Support/thrust"),
    ],
)
def test_the_authority_lives_with_its_user(environ: dict[str, str], platform: str, folder: str) -> None:
    assert data_folder(environ, platform) == Path(folder)


def test_a_user_without_a_home_is_told_what_to_set() -> None:
    with pytest.raises(ConfigError, match="set HOME or XDG_DATA_HOME"):
        data_folder({}, "linux")


@pytest.mark.parametrize(
    ("platform", "os_release", "expected"),
    [
        ("darwin", "", "security add-trusted-cert"),
        ("linux", "ID=debian\n", "/usr/local/share/ca-certificates/thrust-local-ca.crt && sudo update-ca-certificates"),
        ("linux", 'ID=rocky\nID_LIKE="rhel centos fedora"\n', "update-ca-trust"),
        ("linux", "ID=manjaro\nID_LIKE=arch\n", "trust anchor --store"),
        ("linux", 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "/etc/pki/trust/anchors"),
        ("linux", "nonsense", "update-ca-certificates"),
    ],
)
def test_each_system_is_told_its_own_command(platform: str, os_release: str, expected: str) -> None:
    path = Path("/home/x y/ca.pem")
    commands = trust_commands(path, platform=platform, os_release=os_release)
    assert expected in commands[0][1]
    assert "'/home/x y/ca.pem'" in commands[0][1]


def test_the_log_says_how_to_trust_a_new_authority_and_where_an_old_one_is(
    local: LocalCertificates,
) -> None:
    lines: list[str] = []

    class Lines:
        def info(self, message: str, /, **fields: object) -> None:
            lines.append(message)

        warning = error = info

    asyncio.run(local.watch(Lines()))
    assert lines[0] == "made a certificate authority for this machine"
    assert any(line.startswith("to have Firefox") for line in lines)
    lines.clear()
    asyncio.run(LocalCertificates(local.ca_path.parent, H1).watch(Lines()))
    assert lines == ["local certificate authority; thrust --certs says how to trust it"]
