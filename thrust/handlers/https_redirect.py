"""HTTPS for everybody: redirects what comes over plain HTTP, and tells browsers not to come that way again.

The redirect is 308, which keeps method and body, and leads to the same host, path and query. Only a host of ours is
redirected (RFC 9110 §15.5.20): an answer that leads wherever the request says must not end up in somebody's cache.
Health checks from a private network are answered over plain HTTP. Those who send them (kamal-proxy, Docker's
HEALTHCHECK, kubelets) know the container by its address, for which there is no certificate.

What counts is the scheme that the client used: over a plain connection from a trusted proxy that may be https.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address

from thrust.errors import BadMessage, UpstreamError
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import AtOnce, Handler, Request, Response

HTTPS_PORT = 443

NOT_READY_RETRY_S = 10
"""How soon to come again while the first certificate is ordered."""

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.-]+)(?::[0-9]*)?")
_STRICT = b"strict-transport-security"


class HttpsRedirect:
    """Lets requests through that were made over HTTPS.

    `port` is where that is spoken, None if it is the port that also gets the plain requests. `serves_host` knows, for a
    name in lower case or an address, whether it is ours; `has_certificate`, whether one is there already.
    """

    def __init__(
        self,
        following: Handler,
        *,
        port: int | None,
        serves_host: Callable[[str], bool],
        health_path: str | None,
        has_certificate: Callable[[str], bool] | None = None,
    ) -> None:
        self._following = following
        self._port = port
        self._serves_host = serves_host
        self._has_certificate = has_certificate or serves_host
        self._health_path = (health_path or "").encode()

    async def __call__(self, request: Request) -> Response:
        """The response from below, or a redirect.

        Raises BadMessage: 400 without a host, 421 for one not ours; UpstreamError, 503, before its first certificate.
        """
        origin = request.origin
        if origin is None or origin.scheme == b"https" or self._is_internal_probe(request):
            return await self._following(request)
        host = _HOST.fullmatch(origin.host)
        if host is None:
            raise BadMessage("a plain request has to name its host to be redirected to HTTPS")
        name = host[1].decode().lower()
        if not self._serves_host(name):
            raise BadMessage(f"no certificate here is for {name}", status=421)
        if not self._has_certificate(name):
            raise UpstreamError(f"no certificate for {name} yet", status=503, retry_after_s=NOT_READY_RETRY_S)
        target = b"/" if request.target == b"*" else request.target
        location = b"https://" + self._authority(host) + target
        # A redirect may be kept for ever otherwise (§15.4.9), also by the browser of who only tries this on localhost.
        return Response(308, Headers([(b"location", location), (b"cache-control", b"no-store")]))

    def _authority(self, host: "re.Match[bytes]") -> bytes:
        if self._port is None:
            return host[0]
        return host[1] if self._port == HTTPS_PORT else b"%b:%d" % (host[1], self._port)

    def _is_internal_probe(self, request: Request) -> bool:
        path = self._health_path
        return bool(path) and request.target.partition(b"?")[0] == path and _is_private(request.exchange.remote_address)


@lru_cache(maxsize=1024)
def _is_private(address: str) -> bool:
    try:
        return ip_address(address).is_private
    except ValueError:
        return False


def strict_line(max_age_s: int) -> FieldLine:
    """What tells browsers for how long to insist on HTTPS (RFC 6797)."""
    return _STRICT, b"max-age=%d" % max_age_s


class StrictTransport:
    """Adds Strict-Transport-Security (RFC 6797) to answers over HTTPS, unless the app has its own."""

    def __init__(self, following: Handler, *, max_age_s: int) -> None:
        self._following = following
        self._line = strict_line(max_age_s)

    async def __call__(self, request: Request) -> Response:
        """The response from below with the field."""
        return self._mark(request, await self._following(request))

    def at_once(self, following: AtOnce) -> AtOnce:
        """The same around the shorter way."""

        def at_once(request: Request) -> Response | None:
            response = following(request)
            return None if response is None else self._mark(request, response)

        return at_once

    def _mark(self, request: Request, response: Response) -> Response:
        # A response that comes out of memory once more has the field already.
        if request.origin is not None and request.origin.scheme == b"https" and _STRICT not in response.headers:
            response.headers.lines.append(self._line)
        return response
