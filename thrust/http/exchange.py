"""The record of what happened to one request, from its first byte to the last byte of the answer.

The server creates one per request (also for a request that never parsed), handlers add what they know, and the
observers get it when it is over. Nobody reads it to decide anything: it is memory, not state.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from thrust.http.headers import Headers
    from thrust.http.message import Request

Texts = tuple[str, str, str]
"""Method, path and query of a request."""


class Exchange:
    """One request and its answer, as far as they came.

    Times: `started_at` is Unix time in seconds, `started_s` and `finished_s` are readings of one monotonic clock.
    `status` is what the client was sent, 0 if nothing, 499 if it left before an answer. `body_bytes` counts content
    sent, without framing. `cache` is `hit`, `miss` or `bypass`, and `cache_detail` why. `error` says who failed and
    how, empty if nobody did.
    """

    # Defaults on the class, because setting them one by one costs every request (benchmark forward-1k).
    remote_address: str
    finished_s: float
    method = ""
    path = ""
    query = ""
    host = ""
    protocol = ""
    request_id = ""
    request_headers: "Headers | None" = None
    request_content_length = 0
    response_headers: "Headers | None" = None
    status = 0
    body_bytes = 0
    cache = ""
    cache_detail = ""
    error = ""

    def __init__(self, peer_address: str, started_at: float, started_s: float) -> None:
        self.peer_address = self.remote_address = peer_address
        self.started_at = started_at
        self.started_s = self.finished_s = started_s

    def describe(self, request: "Request", protocol: str) -> None:
        """Notes what the request says about itself; `protocol` is what it came by, such as HTTP/1.1."""
        self.method, self.path, self.query = request.texts or texts_of(request.method, request.target)
        self.host = request.authority.decode()
        self.protocol = protocol
        self.request_headers = request.headers
        if request.content_length:
            self.request_content_length = request.content_length

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.path} {self.status} {self.error}>"


def texts_of(method: bytes, target: bytes) -> Texts:
    """Method, path and query as text."""
    path, _, query = target.decode().partition("?")
    return method.decode(), path, query


class Observer(Protocol):
    """Sees each finished Exchange once. Called on the event loop: it must not wait for anything."""

    def __call__(self, exchange: Exchange, /) -> None: ...
