"""Who is believed to be asking: a table of what peers say about themselves, under every rule of trust."""

import re
from ipaddress import ip_network

import pytest

from tests.support.memory_requests import Following, ask, make_request
from thrust.handlers.identify import Identify
from thrust.http.headers import FieldLine
from thrust.http.message import Origin, Request

PEER = "10.0.0.1"
NETWORKS = ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")


def identified(
    *fields: FieldLine,
    trusts_clients: bool = True,
    proxies: tuple[str, ...] = (),
    peer_address: str = PEER,
    authority: bytes = b"example.org",
) -> Request:
    """The request as it leaves Identify."""
    following = Following()
    handler = Identify(following, trusts_clients=trusts_clients, proxies=[ip_network(network) for network in proxies])
    ask(handler, make_request(fields=fields, peer_address=peer_address, authority=authority))
    return following.requests[0]


def origin_of(request: Request) -> Origin:
    assert request.origin is not None
    return request.origin


def test_a_client_that_says_nothing_is_who_the_socket_says() -> None:
    request = identified((b"accept", b"*/*"), peer_address="203.0.113.7")
    origin = origin_of(request)
    assert (origin.address, origin.forwarded_for) == (b"203.0.113.7", b"203.0.113.7")
    assert (origin.scheme, origin.host, origin.port) == (b"http", b"example.org", b"80")
    assert (origin.request_start, origin.forwarded) == (b"", b"")
    assert re.fullmatch(rb"[0-9a-f]{32}", origin.request_id)
    assert request.headers.lines == [(b"accept", b"*/*")]
    assert request.exchange.remote_address == "203.0.113.7"
    assert request.exchange.request_id == origin.request_id.decode()


LYING = [
    (b"x-forwarded-for", b"198.51.100.1"),
    (b"x-forwarded-host", b"evil.example"),
    (b"x-forwarded-port", b"1234"),
    (b"x-forwarded-proto", b"https"),
    (b"x-real-ip", b"198.51.100.2"),
    (b"x-request-start", b"t=1"),
    (b"forwarded", b"for=198.51.100.3"),
    (b"x-sendfile-type", b"X-Accel-Redirect"),
    (b"x-accel-mapping", b"/=/"),
    (b"x-accel-redirect", b"/etc/passwd"),
    (b"x_forwarded_for", b"198.51.100.4"),
    (b"remote_user", b"root"),
]


@pytest.mark.parametrize(
    "trusts_clients, proxies, peer_address",
    [
        (False, (), PEER),
        (False, NETWORKS, PEER),
        (True, NETWORKS, "203.0.113.7"),
        (True, NETWORKS, "192.0.2.8"),
        (True, NETWORKS, "2001:db8::1"),
        (True, NETWORKS, "fe80::1%eth0"),
        (True, NETWORKS, ""),
    ],
)
def test_who_is_not_trusted_is_not_believed(trusts_clients: bool, proxies: tuple[str, ...], peer_address: str) -> None:
    request = identified(
        *LYING, (b"accept", b"*/*"), trusts_clients=trusts_clients, proxies=proxies, peer_address=peer_address
    )
    origin = origin_of(request)
    assert request.headers.lines == [(b"accept", b"*/*")]
    assert origin.address == origin.forwarded_for == peer_address.encode()
    assert (origin.scheme, origin.host, origin.port) == (b"http", b"example.org", b"80")
    assert (origin.request_start, origin.forwarded) == (b"", b"")
    assert request.exchange.remote_address == peer_address


@pytest.mark.parametrize(
    "proxies, peer_address",
    [((), "203.0.113.7"), (NETWORKS, PEER), (NETWORKS, "192.0.2.7"), (NETWORKS, "fd00::7")],
)
def test_who_is_trusted_is_believed(proxies: tuple[str, ...], peer_address: str) -> None:
    request = identified(*LYING, proxies=proxies, peer_address=peer_address)
    origin = origin_of(request)
    assert request.headers.lines == []
    assert origin.address == b"198.51.100.1"
    assert origin.forwarded_for == b"198.51.100.1, " + peer_address.encode()
    assert (origin.scheme, origin.host, origin.port) == (b"https", b"evil.example", b"1234")
    assert (origin.request_start, origin.forwarded) == (b"t=1", b"for=198.51.100.3")
    assert request.exchange.remote_address == "198.51.100.1"
    assert request.exchange.peer_address == peer_address


FORWARDED_FOR = [
    # what came                                         without a list    with 10/8, fd00::/8 and 192.0.2.7
    ([b"198.51.100.1"], "198.51.100.1", "198.51.100.1"),
    ([b"198.51.100.1, 198.51.100.2"], "198.51.100.2", "198.51.100.2"),
    ([b"198.51.100.1,10.1.1.1"], "10.1.1.1", "198.51.100.1"),
    ([b"1.1.1.1, 198.51.100.1, 10.1.1.1, 192.0.2.7"], "192.0.2.7", "198.51.100.1"),
    ([b"198.51.100.1", b"10.1.1.1"], "10.1.1.1", "198.51.100.1"),
    ([b"10.1.1.1, 10.1.1.2"], "10.1.1.2", "10.1.1.1"),
    ([b"2001:db8::1"], "2001:db8::1", "2001:db8::1"),
    ([b"[2001:db8::1]:443, fd00::1"], "fd00::1", "2001:db8::1"),
    ([b"2001:DB8:0:0:0:0:0:1"], "2001:db8::1", "2001:db8::1"),
    ([b"198.51.100.1:4711"], "198.51.100.1", "198.51.100.1"),
    ([b" 198.51.100.1 "], "198.51.100.1", "198.51.100.1"),
    ([b"unknown"], PEER, PEER),
    ([b"198.51.100.1, unknown, 10.1.1.1"], "10.1.1.1", "10.1.1.1"),
    ([b"198.51.100.1,"], PEER, PEER),
    ([b"198.51.100.999"], PEER, PEER),
    ([b"<script>, \xff"], PEER, PEER),
    ([b""], PEER, PEER),
]


@pytest.mark.parametrize("values, direct, along", FORWARDED_FOR)
def test_the_client_in_a_list_of_addresses(values: list[bytes], direct: str, along: str) -> None:
    fields = [(b"x-forwarded-for", value) for value in values]
    for proxies, expected in (((), direct), (NETWORKS, along)):
        request = identified(*fields, proxies=proxies)
        assert origin_of(request).address == expected.encode()
        assert request.exchange.remote_address == expected
        said = b", ".join(values)
        assert origin_of(request).forwarded_for == (said + b", " if said else b"") + PEER.encode()


@pytest.mark.parametrize(
    "authority, fields, port",
    [
        (b"example.org", [], b"80"),
        (b"example.org:3000", [], b"3000"),
        (b"example.org:", [], b"80"),
        (b"[2001:db8::80]", [], b"80"),
        (b"[2001:db8::80]:3000", [], b"3000"),
        (b"8080", [], b"80"),
        (b"", [], b"80"),
        (b"example.org", [(b"x-forwarded-proto", b"https")], b"443"),
        (b"example.org", [(b"x-forwarded-proto", b"HTTPS")], b"443"),
        (b"example.org:3000", [(b"x-forwarded-host", b"public.example"), (b"x-forwarded-proto", b"https")], b"443"),
        (b"example.org:3000", [(b"x-forwarded-host", b"public.example:8443")], b"8443"),
        (b"example.org:3000", [(b"x-forwarded-port", b"8080")], b"8080"),
        (b"example.org:3000", [(b"x-forwarded-port", b"80a")], b"3000"),
        (b"example.org:3000", [(b"x-forwarded-port", b"")], b"3000"),
        (b"example.org:3000", [(b"x-forwarded-port", b"123456")], b"3000"),
        (b"example.org:3000", [(b"x-forwarded-port", b"80"), (b"x-forwarded-port", b"81")], b"3000"),
    ],
)
def test_the_port_that_the_client_used(authority: bytes, fields: list[FieldLine], port: bytes) -> None:
    assert origin_of(identified(*fields, authority=authority)).port == port


@pytest.mark.parametrize(
    "said, scheme",
    [(b"https", b"https"), (b"Http", b"http"), (b"ftp", b"http"), (b"", b"http"), (b"https, http", b"https")],
)
def test_the_scheme_that_the_client_used(said: bytes, scheme: bytes) -> None:
    assert origin_of(identified((b"x-forwarded-proto", said))).scheme == scheme


@pytest.mark.parametrize(
    "said, host",
    [
        (b"public.example", b"public.example"),
        (b"public.example:8080, inner.example", b"public.example:8080"),
        (b"[2001:db8::1]:80", b"[2001:db8::1]:80"),
        (b"evil.example/path", b"example.org"),
        (b"evil example", b"example.org"),
        (b"user@evil.example", b"example.org"),
        (b"<script>", b"example.org"),
        (b"a" * 256, b"example.org"),
        (b"", b"example.org"),
        (b", b.example", b"example.org"),
    ],
)
def test_the_host_that_the_client_used(said: bytes, host: bytes) -> None:
    assert origin_of(identified((b"x-forwarded-host", said))).host == host


@pytest.mark.parametrize("trusts_clients", [True, False])
@pytest.mark.parametrize("request_id", [b"a", b"f" * 200, b"3d7e-\x21~", b'"quoted"'])
def test_a_request_keeps_the_id_that_it_came_with(request_id: bytes, trusts_clients: bool) -> None:
    """It lends no rights, and traces break where ids change."""
    request = identified((b"x-request-id", request_id), trusts_clients=trusts_clients)
    assert origin_of(request).request_id == request_id
    assert request.exchange.request_id == request_id.decode()


@pytest.mark.parametrize("values", [[b""], [b"f" * 201], [b"a b"], [b"a\tb"], [b"\xe9"], [b"a", b"b"]])
def test_an_unusable_id_is_replaced(values: list[bytes]) -> None:
    request = identified(*[(b"x-request-id", value) for value in values])
    assert re.fullmatch(rb"[0-9a-f]{32}", origin_of(request).request_id)
    assert b"x-request-id" not in request.headers


def test_no_two_requests_get_the_same_id() -> None:
    assert len({origin_of(identified()).request_id for _ in range(100)}) == 100


def test_names_with_an_underscore_are_dropped_and_values_are_not() -> None:
    kept = [(b"x-real", b"a_b"), (b"cookie", b"a_b=1")]
    assert identified((b"x_real", b"1"), *kept, (b"_", b"2")).headers.lines == kept
