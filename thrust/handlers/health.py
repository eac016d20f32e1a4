"""THRUST_HEALTH_PATH: makes the deploy's probe meet an app that accepts it.

kamal-proxy, load balancers and kubelets ask for `/up` with the container's own name or address as Host, which a
framework with a list of allowed hosts refuses (Django answers 400). Such a probe reaches the worker as `localhost`. A
Host that is a real domain name is left alone. While no worker is ready the probe hears 503 at once: it asks again.
"""

from collections.abc import Awaitable
from ipaddress import ip_address

from thrust.http.message import Handler, Request, Response
from thrust.upstream.pool import Pool, not_ready

PROBE_HOST = b"localhost"


class Health:
    """Answers for the worker while there is none; else passes probes `to_worker` with a Host that it knows."""

    def __init__(self, following: Handler, to_worker: Handler, pool: Pool, *, path: str) -> None:
        self._following = following
        self._to_worker = to_worker
        self._pool = pool
        self._path = path.encode()

    def __call__(self, request: Request) -> Awaitable[Response]:
        """Passes the request on; raises UpstreamError with status 503 for a probe that comes too early."""
        if request.target.startswith(self._path) and request.target.partition(b"?")[0] == self._path:
            if not self._pool.is_open:
                raise not_ready("it is still booting")
            if is_internal_name(request.authority):
                request.authority = PROBE_HOST
                if request.origin is not None:
                    request.origin.host = PROBE_HOST
            return self._to_worker(request)
        return self._following(request)


def is_internal_name(authority: bytes) -> bool:
    """Whether `authority` is an address or a name without a dot, as containers and pods have."""
    host = authority if authority.endswith(b"]") else authority.rpartition(b":")[0] or authority
    if b"." not in host and not host.startswith(b"["):
        return True
    try:
        ip_address(host.strip(b"[]").decode("ascii"))
    except ValueError:
        return False
    return True
