"""All fronts that are compared, in the order of the tables. The first is what the ratios refer to."""

from benchmarks.load.rivals.base import Rival, Site
from benchmarks.load.rivals.caddy import CADDY
from benchmarks.load.rivals.haproxy import HAPROXY
from benchmarks.load.rivals.hypercorn_httpx import HYPERCORN_HTTPX
from benchmarks.load.rivals.nginx import NGINX
from benchmarks.load.rivals.thrust import THRUST

RIVALS = (NGINX, HAPROXY, CADDY, THRUST, HYPERCORN_HTTPX)
BASELINE = NGINX

__all__ = ["BASELINE", "RIVALS", "Rival", "Site"]
