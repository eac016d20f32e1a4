"""The table of workloads that wrk drives. A new one is one more entry.

Each has a path, the piece of nginx configuration with which the upstream answers it, the content of a right answer, and
what the client sends. Fronts tell them apart by their folders: what is below `/assets/` may be cached, below `/pages/`
compressed on the way. `/assets/vendor-…` is kept compressed by those that can, `/assets/app-…` is asked for by clients
that accept no coding. Below `/files/` the upstream names a file for the front to send.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.load.contents import noise, page, script


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request and the answer that a front has to bring back."""

    name: str
    path: str
    location: str
    """nginx `location` block of the upstream; `@directory@/<name>` is a file that holds `content`."""
    content: bytes
    """A right answer's content, after decoding."""
    request_headers: Mapping[str, str] = field(default_factory=dict)
    lua: str | None = None
    """A wrk script, for what one URL and fixed headers cannot express."""
    baselines: tuple[str, ...] = ("nginx",)
    """Names of the fronts to which the table gives ratios."""
    by_volume: bool = False
    """Whether what a byte costs is of interest, besides what a request costs."""
    connections: int = 64
    """How many clients ask side by side, each as soon as it has its answer."""


def _asset(name: str, path: str) -> str:
    """The `location` of a script that may be kept for ever."""
    return f"""location = {path} {{
            default_type text/javascript;
            add_header Cache-Control "public, max-age=31536000, immutable";
            alias @directory@/{name};
        }}"""


def _named_file(name: str, path: str) -> str:
    """The `location` of a file that the front shall send: each looks for the field that it knows, and keeps both."""
    return f"""location = {path} {{
            default_type application/pdf;
            add_header X-Sendfile @directory@/{name};
            add_header X-Accel-Redirect /internal/{name};
            return 200;
        }}"""


FORWARD_1K = Workload(
    name="forward-1k",
    path="/1k",
    location=f"location = /1k {{ default_type text/html; return 200 '{'x' * 1024}'; }}",
    content=b"x" * 1024,
)

FORWARD_30K_GZIP = Workload(
    name="forward-30k-gzip",
    path="/pages/conversations",
    location="""location = /pages/conversations {
            default_type "text/html; charset=utf-8";
            add_header Cache-Control "private";
            alias @directory@/forward-30k-gzip;
        }""",
    content=page(30 * 1024, seed=30),
    request_headers={"Accept-Encoding": "gzip"},
    baselines=("nginx", "caddy"),
)

CACHED_10K = Workload(
    name="cached-10k",
    path="/assets/app-3f9a2c1b7d.js",
    location=_asset("cached-10k", "/assets/app-3f9a2c1b7d.js"),
    content=script(10 * 1024, seed=10),
)

CACHED_100K_GZIP = Workload(
    name="cached-100k-gzip",
    path="/assets/vendor-9c1e7a40d2.js",
    location=_asset("cached-100k-gzip", "/assets/vendor-9c1e7a40d2.js"),
    content=script(100 * 1024, seed=100),
    request_headers={"Accept-Encoding": "gzip"},
    baselines=("nginx", "varnish"),
)

# The others have no brotli. Such a client is as glad of their gzip, so that theirs is what brotli is compared with.
CACHED_100K_BR = Workload(
    name="cached-100k-br",
    path="/assets/vendor-b4d07f31c8.js",
    location=_asset("cached-100k-br", "/assets/vendor-b4d07f31c8.js"),
    content=CACHED_100K_GZIP.content,
    request_headers={"Accept-Encoding": "gzip, br"},
    baselines=("nginx", "varnish"),
)

FILE_10M = Workload(
    name="file-10m",
    path="/files/report.pdf",
    location=_named_file("file-10m", "/files/report.pdf"),
    content=noise(10_000_000, seed=10),
    by_volume=True,
)

# With 64 clients the front waits for wrk, and each of its steps is as long as the sockets' buffers let it be. One
# client shows what a download costs that is alone, as most are.
FILE_10M_SINGLE = Workload(
    name="file-10m-single",
    path="/files/single.pdf",
    location=_named_file("file-10m-single", "/files/single.pdf"),
    content=FILE_10M.content,
    by_volume=True,
    connections=1,
)

# So small that finding and opening the file is most of the work, besides forwarding the request.
FILE_10K = Workload(
    name="file-10k",
    path="/files/invoice.pdf",
    location=_named_file("file-10k", "/files/invoice.pdf"),
    content=noise(10_240, seed=11),
)

FILES = (FILE_10K, FILE_10M, FILE_10M_SINGLE)

TLS_CACHED_10K = replace(CACHED_10K, name="tls-cached-10k", baselines=("nginx+tls", "thrust"))
"""The same script over TLS; not among the WORKLOADS, which the upstream knows by their locations."""

WORKLOADS = (FORWARD_1K, FORWARD_30K_GZIP, CACHED_10K, CACHED_100K_GZIP, CACHED_100K_BR, *FILES)
