"""All fronts that are compared, in the order of the tables, and which of them have a part in what."""

from benchmarks.load.rivals.base import Rival, Site
from benchmarks.load.rivals.caddy import CADDY
from benchmarks.load.rivals.haproxy import HAPROXY
from benchmarks.load.rivals.hypercorn_httpx import HYPERCORN_HTTPX
from benchmarks.load.rivals.nginx import NGINX
from benchmarks.load.rivals.thrust import THRUST
from benchmarks.load.rivals.varnish import VARNISH, VARNISH_NCSA

RIVALS = (NGINX, HAPROXY, VARNISH, VARNISH_NCSA, CADDY, THRUST, HYPERCORN_HTTPX)
FORWARDERS = (NGINX, HAPROXY, CADDY, THRUST, HYPERCORN_HTTPX)
CACHES = (NGINX, VARNISH, VARNISH_NCSA, CADDY, THRUST)
"""Those from which one expects a cache or compression; Caddy has only the latter."""

SENDERS = (NGINX, CADDY, THRUST)
"""Those that send a file which the upstream only names."""

__all__ = ["CACHES", "FORWARDERS", "RIVALS", "SENDERS", "Rival", "Site"]
