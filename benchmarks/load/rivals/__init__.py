"""All fronts that are compared, in the order of the tables, and which of them have a part in what."""

from benchmarks.load.rivals.base import Rival, Site
from benchmarks.load.rivals.caddy import CADDY
from benchmarks.load.rivals.haproxy import HAPROXY
from benchmarks.load.rivals.hypercorn_httpx import HYPERCORN_HTTPX
from benchmarks.load.rivals.nginx import NGINX, NGINX_TLS
from benchmarks.load.rivals.thrust import THRUST, THRUST_TLS
from benchmarks.load.rivals.varnish import VARNISH, VARNISH_NCSA

RIVALS = (NGINX, HAPROXY, VARNISH, VARNISH_NCSA, CADDY, THRUST, HYPERCORN_HTTPX, NGINX_TLS, THRUST_TLS)
FORWARDERS = (NGINX, HAPROXY, CADDY, THRUST, HYPERCORN_HTTPX)
CACHES = (NGINX, VARNISH, VARNISH_NCSA, CADDY, THRUST)
"""Those from which one expects a cache or compression; Caddy has only the latter."""

SENDERS = (NGINX, CADDY, THRUST)
"""Those that send a file which the upstream only names."""

IN_PYTHON = (THRUST,)
"""Those among the senders into whose process a slow disk can be put."""

SPEAKERS_OF_HTTP2 = (NGINX, THRUST)
"""Those that `http2` knows how to configure."""

TLS = (NGINX_TLS, THRUST_TLS)
TLS_AND_PLAIN = (NGINX, THRUST, *TLS)
"""The plain ones show what TLS adds."""

__all__ = [
    "CACHES",
    "FORWARDERS",
    "IN_PYTHON",
    "RIVALS",
    "SENDERS",
    "SPEAKERS_OF_HTTP2",
    "TLS",
    "TLS_AND_PLAIN",
    "Rival",
    "Site",
]
