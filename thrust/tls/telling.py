"""What the log is told about certificates: those that files bring (`static`), and those that are ordered (`upkeep`)."""

import time
from typing import Protocol


class Log(Protocol):
    """Where it is told what becomes of the certificates."""

    def info(self, message: str, /, **fields: object) -> None: ...
    def warning(self, message: str, /, **fields: object) -> None: ...
    def error(self, message: str, /, **fields: object) -> None: ...


def moment(at_s: float) -> str:
    """Unix time as RFC 3339 writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
