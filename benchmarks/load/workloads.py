"""The table of workloads that wrk drives. A new one is one more entry.

Each has a path, the piece of nginx configuration with which the upstream answers it, and what the client sends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request and the answer that a front has to bring back."""

    name: str
    path: str
    location: str
    """nginx `location` block of the upstream; texts up to 4 KB fit into a `return`."""
    body_bytes: int
    """Length of a right answer's body as the client receives it."""
    request_headers: Mapping[str, str] = field(default_factory=dict)
    lua: str | None = None
    """A wrk script, for what one URL and fixed headers cannot express."""


FORWARD_1K = Workload(
    name="forward-1k",
    path="/1k",
    location=f"location = /1k {{ default_type text/html; return 200 '{'x' * 1024}'; }}",
    body_bytes=1024,
)

WORKLOADS = (FORWARD_1K,)
