"""Hypercorn running a small ASGI reverse proxy over httpx: the obvious way to write this in Python.

`-k uvloop` and one worker give it its best. The keep-alive time is raised from 5 s so that `idle-memory` finds its
connections still open.
"""

from pathlib import Path

from benchmarks.load.rivals.base import Rival

APP = Path(__file__).with_name("hypercorn_httpx_app.py")
CONFIG = """
bind = "127.0.0.1:@port@"
backlog = 2048
workers = 1
worker_class = "uvloop"
accesslog = "@directory@/access.log"
keep_alive_timeout = 120
"""

HYPERCORN_HTTPX = Rival(
    name="hypercorn+httpx",
    program="hypercorn",
    arguments=("--config", "@directory@/hypercorn.toml", f"{APP}:app"),
    files={"hypercorn.toml": CONFIG},
    distributions=("hypercorn", "httpx"),
    environment={"UPSTREAM": "http://127.0.0.1:@upstream_port@"},
)
