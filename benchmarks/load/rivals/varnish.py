"""varnish as a reverse proxy with a cache: a store in memory and one thread pool.

varnish logs each request into shared memory, whether anybody reads it there or not. That is what `varnish` is measured
with: the cheaper one, and so the harder one to be compared with. An access log in a file is written by a second
process, varnishncsa; `varnish+ncsa` runs it, and what it uses counts.

What is kept compressed is compressed once, by varnish's own gzip at its default level of 6. `/assets/app-…` is not:
varnish would have to unpack it again for each client that accepts no coding.
"""

from dataclasses import replace

from benchmarks.load.rivals.base import Rival

CONFIG = """
vcl 4.1;

backend worker {
    .host = "127.0.0.1";
    .port = "@upstream_port@";
}

sub vcl_recv {
    set req.http.X-Forwarded-Proto = "http";
}

sub vcl_backend_response {
    if (bereq.url ~ "^/(assets/vendor-|pages/)") {
        set beresp.do_gzip = true;
    }
}
"""

VARNISH = Rival(
    name="varnish",
    program="varnishd",
    debian_package="varnish",
    arguments=(
        *("-F", "-n", "@directory@/varnish", "-f", "@directory@/varnish.vcl", "-a", "127.0.0.1:@port@"),
        *("-s", "malloc,64m", "-p", "thread_pools=1"),
    ),
    files={"varnish.vcl": CONFIG},
    version_arguments=("-V",),
)

VARNISH_NCSA = replace(
    VARNISH,
    name="varnish+ncsa",
    log_writer=("varnishncsa", "-n", "@directory@/varnish", "-t", "30", "-w", "@directory@/access.log"),
)
