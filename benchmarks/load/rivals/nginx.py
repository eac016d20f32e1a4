"""nginx as a reverse proxy: one worker process, the reference for all ratios.

`proxy_http_version`, `Connection ""` and `keepalive` are what keep-alive towards an upstream takes in nginx. The limits
on requests are lifted because none of the others closes a connection after 1,000 of them. Buffering bodies on disk is
off: the others stream. The access log has nginx's default format, but buffered: thrust buffers its own, and nginx's
default of one write per request makes a request a fifth dearer, which would flatter all who are compared with it.

`/assets/` is cached on disk, which means in the kernel's memory, and sent by `sendfile` as Debian's configuration has
it. What is cached there is not compressed: nginx compresses anew for each client that accepts gzip, with level 6, which
is zlib's default (nginx's own, 1, costs it a third for 100 KB and sends a fifth more). Files that the upstream names by
X-Accel-Redirect are sent by `sendfile` too, from an internal location.
"""

from dataclasses import replace

from benchmarks.load.rivals.base import Rival

CONFIG = """
worker_processes 1;
worker_rlimit_nofile 16384;
daemon off;
pid @directory@/nginx.pid;
error_log @directory@/error.log;
events { worker_connections 8192; }
http {
    access_log @directory@/access.log combined buffer=64k flush=1s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path @directory@/client_body;
    proxy_temp_path @directory@/proxy;
    fastcgi_temp_path @directory@/fastcgi;
    uwsgi_temp_path @directory@/uwsgi;
    scgi_temp_path @directory@/scgi;
    proxy_cache_path @directory@/cache levels=1:2 keys_zone=assets:10m use_temp_path=off;
    upstream worker {
        server 127.0.0.1:@upstream_port@;
        keepalive 64;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:@port@ backlog=2048;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_request_buffering off;
        proxy_max_temp_file_size 0;
        gzip_comp_level 6;
        gzip_min_length 1024;
        gzip_types text/javascript;
        gzip_vary on;
        location / {
            proxy_pass http://worker;
        }
        location /assets/ {
            proxy_pass http://worker;
            proxy_cache assets;
            proxy_cache_lock on;
            sendfile on;
            tcp_nopush on;
            gzip on;
        }
        location /pages/ {
            proxy_pass http://worker;
            gzip on;
        }
        location /files/ {
            proxy_pass http://worker;
            proxy_hide_header X-Sendfile;
        }
        location /internal/ {
            internal;
            alias @directory@/;
            sendfile on;
            tcp_nopush on;
        }
    }
}
"""

NGINX = Rival(
    name="nginx",
    program="nginx",
    debian_package="nginx",
    arguments=("-e", "@directory@/error.log", "-c", "@directory@/nginx.conf"),
    files={"nginx.conf": CONFIG},
    version_arguments=("-v",),
)

LISTEN = "listen 127.0.0.1:@port@ backlog=2048;"
LISTEN_TLS = """listen 127.0.0.1:@port@ ssl backlog=2048;
        ssl_certificate @directory@/tls.crt;
        ssl_certificate_key @directory@/tls.key;
        ssl_protocols TLSv1.2 TLSv1.3;"""

NGINX_TLS = replace(NGINX, name="nginx+tls", files={"nginx.conf": CONFIG.replace(LISTEN, LISTEN_TLS)}, speaks_tls=True)
