"""The order of all handlers, and the reason for each place: the file to read first.

A request goes down the list, its response comes back up. Each handler is an `async (Request) -> Response` that calls
the next one, answers itself, or raises a ThrustError.

    identify      first, so that every line of the log, also that of a refusal, names the real client and the request
    errors        turns whatever fails below into a response with an honest page
    body_limit    before anything waits: a request that is too large costs nothing, not even a place in the queue
    health        before hold: a probe has to hear at once that the worker is not ready
    hold          keeps requests while no worker is ready
    forward       to the worker
"""

from collections.abc import Callable

from thrust.config import Config
from thrust.handlers.body_limit import BodyLimit
from thrust.handlers.errors import ErrorPages, Errors
from thrust.handlers.forward import Forward
from thrust.handlers.health import Health
from thrust.handlers.hold import Hold
from thrust.handlers.identify import Identify
from thrust.http.message import Handler
from thrust.upstream.pool import Pool

LogUnexpected = Callable[[BaseException], None]


def build(config: Config, pool: Pool, pages: ErrorPages, log_unexpected: LogUnexpected) -> Handler:
    """The whole chain in front of the worker that `pool` leads to."""
    # Bound methods, because CPython calls those faster than instances with `__call__` (benchmark forward-1k).
    handler: Handler = Forward(pool).__call__
    handler = Hold(handler, pool, patience_s=config.boot_timeout_s).__call__
    if config.health_path:
        handler = Health(handler, pool, path=config.health_path).__call__
    if config.max_request_body_bytes:
        handler = BodyLimit(handler, max_bytes=config.max_request_body_bytes).__call__
    handler = Errors(handler, pages, log_unexpected).__call__
    return Identify(handler, trusts_clients=config.forward_headers, proxies=config.trusted_proxies).__call__
