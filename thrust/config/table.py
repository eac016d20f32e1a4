"""The table of settings: Config's fields, each with its variables, kind of value, default, meaning and state.

Everything about settings comes from here: look-up, error sentences and warnings (`loading`), `thrust --help` and
`--print-config` (`cli`), and the table in README.md, which a test compares. To add a setting, add a field.
The names are a contract: ours, and those of Thruster (basecamp/thruster), whose users shall not have to change theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from thrust.config import values
from thrust.config.setting import Setting, setting
from thrust.config.values import CODINGS, LOOPBACK, SEND_FILE_HEADER, Http2, LogFormat, Restart, Tls

if TYPE_CHECKING:
    import re
    from ipaddress import IPv4Network, IPv6Network

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

_LISTEN = "Ports and addresses"
_WORKER = "Worker"
_LIMITS = "Limits and deadlines"
_FORWARD = "Forwarding"
_LOG = "Log"
_TLS = "TLS and HTTP/2"
_ACME = "Certificates by ACME"
_CACHE = "Cache and compression"
_FILES = "Sending files"
_ADMIN = "Metrics"


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting with its effective value; `Config()` is what an empty environment gives.

    Durations are seconds; 0 means no deadline for the idle, read, write and worker timeouts, and no waiting for the
    boot and shutdown timeouts. `host` None is all interfaces.
    """

    port: int = setting(
        "PORT",
        values.LISTEN_PORT,
        3000,
        "port that thrust listens on; if both names are set, HTTP_PORT wins",
        _LISTEN,
        thruster="HTTP_PORT",
        default_text="3000; 80 with ACME",
        thruster_first=True,  # PORT is often set by the platform, HTTP_PORT only on purpose
    )
    worker_port: int = setting(
        "THRUST_WORKER_PORT",
        values.PORT,
        3001,
        "port of the worker on 127.0.0.1",
        _LISTEN,
        thruster="TARGET_PORT",
    )
    host: str | None = setting(
        "THRUST_HOST",
        values.HOST,
        None,
        "address to listen on",
        _LISTEN,
    )

    restart: Restart = setting(
        "THRUST_RESTART",
        values.RESTART,
        Restart.NEVER,
        "never, or on-failure: start a crashed worker again, with back-off",
        _WORKER,
    )
    health_path: str | None = setting(
        "THRUST_HEALTH_PATH",
        values.URL_PATH,
        "/up",
        "path of health checks, answered also while the worker boots",
        _WORKER,
    )
    boot_timeout_s: float = setting(
        "THRUST_BOOT_TIMEOUT",
        values.DURATION,
        60.0,
        "requests wait so long for a booting worker, then 503",
        _WORKER,
    )
    shutdown_timeout_s: float = setting(
        "THRUST_SHUTDOWN_TIMEOUT",
        values.DURATION,
        8.0,
        "time to drain and to stop the worker, together",
        _WORKER,
    )

    worker_timeout_s: float = setting(
        "THRUST_WORKER_TIMEOUT",
        values.DURATION,
        300.0,
        "wait so long for the first byte of the worker's response, then 504; 0: no limit",
        _LIMITS,
    )
    idle_timeout_s: float = setting(
        "HTTP_IDLE_TIMEOUT",
        values.DURATION,
        120.0,
        "a client's connection without a request is kept so long; 0: no limit",
        _LIMITS,
        thruster="HTTP_IDLE_TIMEOUT",
    )
    read_timeout_s: float = setting(
        "HTTP_READ_TIMEOUT",
        values.DURATION,
        30.0,
        "time for a whole request head, and between two reads of a body; 0: no limit",
        _LIMITS,
        thruster="HTTP_READ_TIMEOUT",
    )
    write_timeout_s: float = setting(
        "HTTP_WRITE_TIMEOUT",
        values.DURATION,
        30.0,
        "time between two writes to a client that does not read; 0: no limit",
        _LIMITS,
        thruster="HTTP_WRITE_TIMEOUT",
    )
    max_request_body_bytes: int = setting(
        "MAX_REQUEST_BODY",
        values.SIZE,
        0,
        "a larger request body gets 413; 0: no limit",
        _LIMITS,
        thruster="MAX_REQUEST_BODY",
    )

    forward_headers: bool = setting(
        "FORWARD_HEADERS",
        values.SWITCH,
        True,
        "trust the X-Forwarded-* that a client sends",
        _FORWARD,
        thruster="FORWARD_HEADERS",
        default_text="on without TLS, off with",
    )
    trusted_proxies: "tuple[IPv4Network | IPv6Network, ...]" = setting(
        "THRUST_TRUSTED_PROXIES",
        values.NETWORKS,
        (),
        "believe X-Forwarded-* only from these addresses and networks",
        _FORWARD,
    )
    bad_gateway_page: Path = setting(
        "BAD_GATEWAY_PAGE",
        values.FILE,
        Path("public/502.html"),
        "page for 502, if the file exists; beside it 503.html and 504.html",
        _FORWARD,
        thruster="BAD_GATEWAY_PAGE",
    )

    log_requests: bool = setting(
        "LOG_REQUESTS",
        values.SWITCH,
        True,
        "log each request",
        _LOG,
        thruster="LOG_REQUESTS",
    )
    log_format: LogFormat = setting(
        "THRUST_LOG_FORMAT",
        values.LOG_FORMAT,
        LogFormat.AUTO,
        "json, text, or auto: text on a terminal",
        _LOG,
    )
    log_exclude: tuple[str, ...] = setting(
        "THRUST_LOG_EXCLUDE",
        values.URL_PATHS,
        (),
        "paths whose requests are not logged",
        _LOG,
    )
    debug: bool = setting(
        "DEBUG",
        values.SWITCH,
        False,
        "log what thrust does in detail",
        _LOG,
        thruster="DEBUG",
    )

    tls_certificate_path: Path | None = setting(
        "SSL_CERT_PATH",
        values.FILE,
        None,
        "certificate chain (PEM); turns TLS on",
        _TLS,
    )
    tls_key_path: Path | None = setting(
        "SSL_KEY_PATH",
        values.FILE,
        None,
        "private key of the certificate (PEM)",
        _TLS,
    )
    https_port: int | None = setting(
        "HTTPS_PORT",
        values.PORT,
        None,
        "port for TLS; without it a static certificate is served on PORT",
        _TLS,
        thruster="HTTPS_PORT",
        default_text="443 with ACME",
    )
    tls: Tls = setting(
        "THRUST_TLS",
        values.TLS,
        Tls.OFF,
        "local: HTTPS on localhost, by a certificate authority made for this machine",
        _TLS,
    )
    hsts_s: int | None = setting(
        "THRUST_HSTS",
        values.HSTS,
        None,
        "Strict-Transport-Security on answers over HTTPS: how long browsers shall insist on it",
        _TLS,
    )
    http2: Http2 = setting(
        "THRUST_HTTP2",
        values.HTTP2,
        Http2.OFF,
        "1: offer HTTP/2 over TLS; auto: the same, if there is TLS",
        _TLS,
        default_text="0; auto with TLS_DOMAIN or THRUST_TLS",
    )
    h2c: bool = setting(
        "THRUST_H2C",
        values.SWITCH,
        False,
        "HTTP/2 without TLS, by prior knowledge, on PORT",
        _TLS,
        thruster="H2C_ENABLED",
    )

    acme_domains: tuple[str, ...] = setting(
        "THRUST_ACME_DOMAIN",
        values.DOMAINS,
        (),
        "domains to get certificates for; turns TLS on",
        _ACME,
        thruster="TLS_DOMAIN",
    )
    acme_directory: str = setting(
        "ACME_DIRECTORY",
        values.HTTPS_URL,
        LETS_ENCRYPT,
        "where to get certificates",
        _ACME,
        thruster="ACME_DIRECTORY",
        default_text="Let's Encrypt",
    )
    acme_email: str | None = setting(
        "ACME_EMAIL",
        values.EMAIL,
        None,
        "where the certificate authority may write to",
        _ACME,
        thruster="ACME_EMAIL",
    )
    acme_profile: str | None = setting(
        "THRUST_ACME_PROFILE",
        values.TOKEN,
        None,
        "kind of certificate, one of those that the authority offers, such as shortlived",
        _ACME,
    )
    eab_kid: str | None = setting(
        "EAB_KID",
        values.TOKEN,
        None,
        "external account: key identifier",
        _ACME,
        thruster="EAB_KID",
    )
    eab_hmac_key: bytes | None = setting(
        "EAB_HMAC_KEY",
        values.BASE64,
        None,
        "external account: key, base64 in any spelling",
        _ACME,
        thruster="EAB_HMAC_KEY",
        secret=True,
    )
    storage_path: Path = setting(
        "STORAGE_PATH",
        values.FILE,
        Path("storage/thrust"),
        "folder for certificates and the account key",
        _ACME,
        thruster="STORAGE_PATH",
    )

    cache_size_bytes: int = setting(
        "CACHE_SIZE",
        values.SIZE,
        64 * 2**20,
        "memory for cached responses; 0 turns the cache off",
        _CACHE,
        thruster="CACHE_SIZE",
    )
    max_cache_item_size_bytes: int = setting(
        "THRUST_MAX_CACHE_ITEM_SIZE",
        values.SIZE,
        2**20,
        "a larger body is not cached",
        _CACHE,
        thruster="MAX_CACHE_ITEM_SIZE",
    )
    fingerprint: "re.Pattern[bytes] | bool" = setting(
        "THRUST_FINGERPRINT",
        values.FINGERPRINT,
        True,
        "expression found in paths whose content never changes, instead of the built-in rule; empty or off: none",
        _CACHE,
        empty_is_off=True,
    )
    compression: tuple[str, ...] = setting(
        "THRUST_COMPRESSION",
        values.CODING_LIST,
        CODINGS,
        "content codings in order of preference, on or off",
        _CACHE,
        thruster="GZIP_COMPRESSION_ENABLED",
        thruster_kind=values.CODING_SWITCH,
    )
    compression_disable_on_auth: bool = setting(
        "GZIP_COMPRESSION_DISABLE_ON_AUTH",
        values.SWITCH,
        False,
        "no compression of dynamic responses to requests with Cookie, Authorization or X-CSRF-Token (BREACH)",
        _CACHE,
        thruster="GZIP_COMPRESSION_DISABLE_ON_AUTH",
    )
    compression_jitter_bytes: int = setting(
        "GZIP_COMPRESSION_JITTER",
        values.JITTER,
        32,
        "compressed dynamic responses vary by up to so much (BREACH); 0: off",
        _CACHE,
        thruster="GZIP_COMPRESSION_JITTER",
    )

    send_file_header: str | None = setting(
        "THRUST_SEND_FILE_HEADER",
        values.FIELD_NAME,
        SEND_FILE_HEADER,
        "header by which the app names a file to send; empty or off: none",
        _FILES,
        thruster="X_SENDFILE_ENABLED",
        thruster_kind=values.FIELD_NAME_SWITCH,
        empty_is_off=True,
    )
    send_file_roots: tuple[Path, ...] = setting(
        "THRUST_SEND_FILE_ROOT",
        values.FOLDERS,
        (Path(),),
        "folders that files may be sent from",
        _FILES,
        default_text="the working directory",
    )
    send_file_mapping: tuple[tuple[str, Path], ...] = setting(
        "THRUST_SEND_FILE_MAPPING",
        values.MAPPING,
        (),
        "URIs in X-Accel-Redirect and the folders that they stand for: /protected/=/data/",
        _FILES,
    )
    static: tuple[tuple[str, Path], ...] = setting(
        "THRUST_STATIC",
        values.MOUNTS,
        (),
        "folders to serve without the worker, as path:folder",
        _FILES,
    )

    admin_port: int | None = setting(
        "THRUST_ADMIN_PORT",
        values.ADMIN,
        None,
        "port of metrics and status page, on loopback unless written host:port",
        _ADMIN,
        pending="the metrics page",
    )
    admin_host: str | None = LOOPBACK  # the other half of THRUST_ADMIN_PORT

    @property
    def has_static_certificate(self) -> bool:
        return self.tls_certificate_path is not None

    @property
    def serves_tls(self) -> bool:
        return self.has_static_certificate or bool(self.acme_domains) or self.tls is Tls.LOCAL

    @property
    def offers_http2(self) -> bool:
        """Whether a TLS handshake offers h2."""
        return self.serves_tls and self.http2 is not Http2.OFF


SETTINGS: Mapping[str, Setting] = {
    item.name: item.metadata["setting"] for item in fields(Config) if "setting" in item.metadata
}
"""Field of Config → its setting, in the order of the documentation."""

DEFAULTS = Config()


def default_text(field_name: str) -> str:
    """The default of a Config field as the documentation shows it."""
    described = SETTINGS[field_name]
    return described.default_text or described.text(getattr(DEFAULTS, field_name))
