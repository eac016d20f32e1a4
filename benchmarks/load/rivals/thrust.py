"""thrust with its defaults: JSON log lines on stdout, which goes to a file. It starts the upstream as its worker.

Files that the upstream names by X-Sendfile are below its working directory, which is that of the run.
"""

from benchmarks.load.rivals.base import Rival

THRUST = Rival(
    name="thrust",
    program="thrust",
    environment={"PORT": "@port@", "THRUST_WORKER_PORT": "@upstream_port@"},
    starts_upstream=True,
)
