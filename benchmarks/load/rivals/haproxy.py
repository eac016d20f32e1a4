"""haproxy as a reverse proxy: one thread, log lines of `option httplog` on stdout, which goes to a file."""

from benchmarks.load.rivals.base import Rival

CONFIG = """
global
    nbthread 1
    maxconn 8192
    log stdout format raw local0

defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 120s
    timeout server 300s

frontend public
    bind 127.0.0.1:@port@ backlog 2048
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    default_backend worker

backend worker
    http-reuse safe
    server worker 127.0.0.1:@upstream_port@
"""

HAPROXY = Rival(
    name="haproxy",
    program="haproxy",
    debian_package="haproxy",
    arguments=("-db", "-f", "@directory@/haproxy.cfg"),
    files={"haproxy.cfg": CONFIG},
    version_arguments=("-v",),
)
