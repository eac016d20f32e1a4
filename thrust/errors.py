"""The tree of everything that thrust itself raises.

Those with a meaning for the client carry `status`, the HTTP status that the front answers with. Fields live on the
exception, the sentence in `__str__`: lower-case, saying what was seen and what is accepted. Foreign exceptions
(httptools, OSError, …) are translated at the module that called the library.
"""

from enum import IntEnum


class ThrustError(Exception):
    """Base of all errors raised on purpose by thrust."""


class ConfigError(ThrustError):
    """A setting or an argument that cannot be used; the program ends with exit code 1."""


class CertificateError(ConfigError):
    """A certificate or its key that cannot be used; ends the program at its start, and changes nothing later.

    `is_mismatch` says that each of the two is sound, but they do not belong together: one may be about to follow.
    """

    def __init__(self, reason: str, *, is_mismatch: bool = False) -> None:
        super().__init__(reason)
        self.is_mismatch = is_mismatch


class ListenError(ThrustError):
    """The listening socket could not be opened; the program ends with exit code 1, before a worker exists."""


class WorkerError(ThrustError):
    """The worker process could not be started, or is not what it should be."""


class WorkerNotStarted(WorkerError):
    """The command could not be executed; `exit_code` is 127 (not found) or 126 (not executable), as in a shell."""

    def __init__(self, reason: str, *, exit_code: int) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class BadMessage(ThrustError):
    """A request that the client has to change; `status` is 4xx, 501 or 505.

    After a BadMessage from the parser the connection's bytes cannot be trusted any more, so it is closed.
    """

    def __init__(self, reason: str, *, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Alert(IntEnum):
    """Why a TLS handshake ends, as its peer is told (RFC 8446 §6.2)."""

    UNEXPECTED_MESSAGE = 10
    ILLEGAL_PARAMETER = 47
    DECODE_ERROR = 50
    PROTOCOL_VERSION = 70
    UNRECOGNIZED_NAME = 112
    NO_APPLICATION_PROTOCOL = 120


class TlsRefusal(ThrustError):
    """A TLS handshake that we do not go on with; `alert` tells the client why."""

    def __init__(self, reason: str, *, alert: Alert) -> None:
        super().__init__(reason)
        self.alert = alert


class ClientGone(ThrustError):
    """The client closed or reset its connection before its exchange was complete; nobody is left to answer.

    `status` is 499, nginx's code for it; it appears in the access log only.
    """

    status = 499


class UpstreamError(ThrustError):
    """The worker failed us; `status` is 502, 503 or 504.

    `retry_after_s` asks the client to come again after so many seconds (RFC 9110 §10.2.3).
    """

    def __init__(self, reason: str, *, status: int = 502, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s


class StaleConnection(UpstreamError):
    """A pooled connection turned out to be closed by the worker before it answered anything."""


class StorageError(ThrustError):
    """STORAGE_PATH cannot be used; no certificate is ordered, since it could not be kept."""


class OrderError(ThrustError):
    """No certificate came of an order. `is_refusal` tells a CA that said no from one that could not be asked.

    `retry_after_s` is the pause that the CA wishes, or 0.
    """

    def __init__(self, reason: str, *, is_refusal: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.is_refusal = is_refusal
        self.retry_after_s = retry_after_s
