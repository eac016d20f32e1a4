"""What every front is described by: its program, its configuration word for word, and how it is started.

A rival is one file in this folder that holds one `Rival`. In configuration texts, arguments and environment values
`@port@`, `@upstream_port@` and `@directory@` stand for what a run is given; nothing else is replaced, so that each text
reads as its own manual shows it. All rivals forward everything, write an access log, set X-Forwarded-For and
X-Forwarded-Proto, keep connections to the upstream open, stream bodies, and use one core.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CERTIFICATE = "tls.crt"
KEY = "tls.key"


@dataclass(frozen=True, slots=True)
class Site:
    """What one run of a front is given."""

    port: int
    upstream_port: int
    directory: Path
    """Scratch folder of this run: configuration and logs."""
    upstream_command: list[str]
    """Starts the upstream; only for a front that starts its worker itself."""

    def fill(self, text: str) -> str:
        """`text` with the placeholders replaced."""
        for name in ("port", "upstream_port", "directory"):
            text = text.replace(f"@{name}@", str(getattr(self, name)))
        return text


@dataclass(frozen=True, slots=True)
class Rival:
    """One front that can be measured."""

    name: str
    program: str
    arguments: tuple[str, ...] = ()
    debian_package: str | None = None
    """Where `program` comes from; None if the benchmark's virtual environment holds it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Configuration: file name → text, written to the run's directory."""
    environment: Mapping[str, str] = field(default_factory=dict)
    log_writer: tuple[str, ...] = ()
    """Program and arguments of a process that writes the access log for the front and is counted as part of it."""
    starts_upstream: bool = False
    """The upstream's command line is appended to `arguments` and the upstream is left to the front."""
    version_arguments: tuple[str, ...] = ("--version",)
    """With these the program prints its version."""
    distributions: tuple[str, ...] = ()
    """Python packages to take the version from instead."""
    speaks_tls: bool = False
    """Its port speaks TLS only, with the certificate and the key that a run puts into its directory."""
