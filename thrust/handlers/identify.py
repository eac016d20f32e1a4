"""Who is asking: the address, scheme, host and port that the client used, and an identity for the request.

They become the request's Origin, which `forward` writes as X-Forwarded-For, -Host, -Proto, -Port, X-Real-IP,
X-Request-Start and X-Request-ID, and a part of the record. What the peer said about itself in such fields counts only
if it is trusted: FORWARD_HEADERS trusts the direct peer, THRUST_TRUSTED_PROXIES narrows that to networks and extends it
along the whole list in X-Forwarded-For. Fields that only a proxy of ours may send are dropped, and names with `_`,
because WSGI folds `X_Forwarded_For` and `X-Forwarded-For` into one.
"""

import random
import re
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

from thrust.http.headers import FieldLine
from thrust.http.message import Handler, Origin, Request, Response

_OURS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
        b"x-request-id",
        b"x-request-start",
    }
)
"""Fields that are taken out of the request; those of an Origin are written anew."""

_CLAIMS = (b"x-accel-", b"x-forwarded", b"x-lighttpd-send-file", b"x-sendfile")
"""How the names of all others begin that only a proxy of ours may send: app servers believe several of them."""

_UNDERSCORE = ord("_")
_LONGEST_ADDRESS_BYTES = 64  # an IPv6 address with scope, brackets and port; what is longer is not remembered
_LONGEST_NAME_BYTES = 40
_MAX_REMEMBERED_NAMES = 1000
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,200}")
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+;=:\[\]-]{1,255}")
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}

_random_bits = random.Random().getrandbits


class Identify:
    """Gives every request its Origin."""

    def __init__(
        self, following: Handler, *, trusts_clients: bool, proxies: Sequence[IPv4Network | IPv6Network]
    ) -> None:
        self._following = following
        self._trusts_clients = trusts_clients
        self._proxies = proxies
        self._harmless: set[bytes] = set()
        self._is_proxy = lru_cache(maxsize=4096)(self._is_in_networks)

    def __call__(self, request: Request) -> Awaitable[Response]:
        """Passes the request on, identified."""
        if request.origin is None:
            self.identify(request)
        return self._following(request)

    def identify(self, request: Request) -> None:
        """Gives the request an origin, and takes away the fields that claimed one."""
        said: dict[bytes, bytes] = {}
        lines = request.headers.lines
        if not self._harmless.issuperset(dict(lines)) and not all([self._is_harmless(name) for name, _ in lines]):
            kept = [line for line in lines if self._is_harmless(line[0])]
            said = _said_by_peer(lines)
            if self._is_trusted(request.exchange.peer_address):
                kept += [line for line in lines if _is_other_claim(line[0])]
            else:
                said = {name: value for name, value in said.items() if name == b"x-request-id"}
            request.headers.lines = kept
        request.origin = self._origin(request, said)

    def _is_harmless(self, name: bytes) -> bool:
        """Whether a field called `name` claims nothing. Remembered, so that the usual names are checked at once."""
        if name in self._harmless:
            return True
        if name in _OURS or _UNDERSCORE in name or name.startswith(_CLAIMS):
            return False
        if len(name) <= _LONGEST_NAME_BYTES and len(self._harmless) < _MAX_REMEMBERED_NAMES:
            self._harmless.add(name)
        return True

    def _origin(self, request: Request, said: dict[bytes, bytes]) -> Origin:
        """Where the request comes from, believing what was `said`; noted in the record too."""
        exchange = request.exchange
        peer = exchange.peer_address.encode()
        scheme, host = request.scheme, request.authority
        if not said:
            exchange.request_id = request_id = _new_id()
            port = _port_of(host) or _DEFAULT_PORTS[scheme]
            return Origin(peer, peer, scheme, host, port, b"", request_id.encode())
        forwarded_for = peer
        if earlier := said.get(b"x-forwarded-for"):
            exchange.remote_address = self._client_among(earlier, exchange.peer_address)
            forwarded_for = earlier + b", " + peer
        proto = said.get(b"x-forwarded-proto", b"").partition(b",")[0].strip().lower()
        scheme = proto if proto in _DEFAULT_PORTS else scheme
        host = _first_host(said.get(b"x-forwarded-host")) or host
        port = said.get(b"x-forwarded-port", b"")
        if not port.isdigit() or len(port) > 5:
            port = _port_of(host) or _DEFAULT_PORTS[scheme]
        said_id = said.get(b"x-request-id", b"")
        exchange.request_id = said_id.decode() if _REQUEST_ID.fullmatch(said_id) else _new_id()
        address, request_start = exchange.remote_address.encode(), said.get(b"x-request-start", b"")
        identity = exchange.request_id.encode()
        return Origin(address, forwarded_for, scheme, host, port, request_start, identity, said.get(b"forwarded", b""))

    def _is_trusted(self, peer_address: str) -> bool:
        return self._trusts_clients and (not self._proxies or self._is_proxy(peer_address))

    def _client_among(self, forwarded_for: bytes, peer_address: str) -> str:
        """The address of the client in an X-Forwarded-For that a trusted peer sent.

        Everything left of the first entry, from the right, that is not a proxy of ours may be invented. Without a list
        of proxies only the direct peer is one, so that the last entry, which that peer saw itself, is the client.
        """
        client = peer_address
        for entry in reversed(forwarded_for.split(b",")):
            address = _address_in(entry)
            if address is None:
                break
            client = address
            if not self._proxies or not self._is_proxy(address):
                break
        return client

    def _is_in_networks(self, address: str) -> bool:
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def _new_id() -> str:
    return _random_bits(128).to_bytes(16).hex()


def _is_other_claim(name: bytes) -> bool:
    """Whether `name` is an X-Forwarded field that we do not write ourselves (X-Forwarded-Prefix, -Ssl, …)."""
    return name.startswith(b"x-forwarded-") and name not in _OURS and _UNDERSCORE not in name


def _said_by_peer(lines: Sequence[FieldLine]) -> dict[bytes, bytes]:
    """The fields of `_OURS`, those on several lines joined to one list (RFC 9110 §5.3)."""
    said: dict[bytes, bytes] = {}
    for name, value in lines:
        if name in _OURS:
            said[name] = said[name] + b", " + value if name in said else value
    return said


def _address_in(entry: bytes) -> str | None:
    """The IP address of one X-Forwarded-For entry, which may carry brackets and a port; None if there is none."""
    return _parse_address(entry) if len(entry) <= _LONGEST_ADDRESS_BYTES else None


@lru_cache(maxsize=4096)
def _parse_address(entry: bytes) -> str | None:
    text = entry.strip().decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _first_host(value: bytes | None) -> bytes | None:
    if not value:
        return None
    first = value.partition(b",")[0].strip()
    return first if _HOST.fullmatch(first) else None


@lru_cache(maxsize=256)
def _port_of(host: bytes) -> bytes:
    """The port in `host`, b"" if it names none."""
    port = host.rpartition(b":")[2]
    return port if port.isdigit() and len(port) != len(host) else b""
