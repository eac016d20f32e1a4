"""thrust with its defaults: JSON log lines on stdout, which goes to a file. It starts the upstream as its worker.

Files that the upstream names by X-Sendfile are below its working directory, which is that of the run.
"""

from dataclasses import replace

from benchmarks.load.rivals.base import Rival

THRUST = Rival(
    name="thrust",
    program="thrust",
    environment={"PORT": "@port@", "THRUST_WORKER_PORT": "@upstream_port@"},
    starts_upstream=True,
)

THRUST_TLS = replace(
    THRUST,
    name="thrust+tls",
    environment={
        **THRUST.environment,
        "SSL_CERT_PATH": "@directory@/tls.crt",
        "SSL_KEY_PATH": "@directory@/tls.key",
    },
    speaks_tls=True,
)
