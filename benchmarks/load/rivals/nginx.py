"""nginx as a reverse proxy: one worker process, the reference for all ratios.

`proxy_http_version`, `Connection ""` and `keepalive` are what keep-alive towards an upstream takes in nginx. The limits
on requests are lifted because none of the others closes a connection after 1,000 of them. Buffering bodies on disk is
off: the others stream. The access log has nginx's default format, but buffered: thrust buffers its own, and nginx's
default of one write per request makes a request a fifth dearer, which would flatter all who are compared with it.
"""

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
    upstream worker {
        server 127.0.0.1:@upstream_port@;
        keepalive 64;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:@port@ backlog=2048;
        location / {
            proxy_pass http://worker;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
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
