"""What our contexts agree to: asked by OpenSSL's client, in memory."""

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.certificates import client_context, make_pair
from thrust.errors import Alert, TlsRefusal
from thrust.tls.contexts import check_protocols, server_context

NAME = "app.example.com"
PAIR = make_pair(NAME)


def shake_hands(client_side: ssl.SSLContext, server_side: ssl.SSLContext) -> ssl.SSLObject:
    """The client after a complete handshake; raises what either side does."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname=NAME)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for side in 3 * (client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.version() is not None
    return client


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (["h2", "http/1.1"], ["http/1.1", "h2"], "h2"),
        (["http/1.1"], ["h2", "http/1.1"], "http/1.1"),
        (["h2", "http/1.1"], [], None),
    ],
)
def test_protocols_are_agreed_in_our_order(
    ours: Sequence[str], theirs: Sequence[str], agreed: str | None, tmp_path: Path
) -> None:
    context = server_context(*PAIR.write(tmp_path), ours)
    assert shake_hands(client_context(*theirs), context).selected_alpn_protocol() == agreed


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken_with_forward_secrecy(version: ssl.TLSVersion, tmp_path: Path) -> None:
    client = client_context()
    client.minimum_version = client.maximum_version = version
    cipher = shake_hands(client, server_context(*PAIR.write(tmp_path), ["http/1.1"])).cipher()
    assert cipher is not None
    assert cipher[0].startswith(("ECDHE-", "TLS_"))


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
def test_weak_ciphers_are_not(ciphers: str, tmp_path: Path) -> None:
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(ciphers)
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        shake_hands(client, server_context(*PAIR.write(tmp_path), ["http/1.1"]))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_tls_1_1_is_not(tmp_path: Path) -> None:
    client = client_context()
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake_hands(client, server_context(*PAIR.write(tmp_path), ["http/1.1"]))


def test_the_client_knows_best_which_cipher_is_cheap_for_it(tmp_path: Path) -> None:
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256")
    agreed = shake_hands(client, server_context(*PAIR.write(tmp_path), ["http/1.1"])).cipher()
    assert agreed is not None and agreed[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"


def test_nobody_renegotiates_and_nothing_is_compressed(tmp_path: Path) -> None:
    context = server_context(*PAIR.write(tmp_path), ["http/1.1"])
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


@pytest.mark.parametrize("offered", [[], [b"http/1.1"], [b"h3", b"h2"]])
def test_offers_that_we_share_are_accepted(offered: Sequence[bytes]) -> None:
    check_protocols(offered, (b"h2", b"http/1.1"))


def test_an_offer_of_strangers_only_is_refused() -> None:
    with pytest.raises(TlsRefusal, match="the client speaks h3, \xff") as refusal:
        check_protocols([b"h3", b"\xff"], (b"h2", b"http/1.1"))
    assert refusal.value.alert is Alert.NO_APPLICATION_PROTOCOL
