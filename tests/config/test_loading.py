"""From the environment to the Config: names and their order, error sentences, warnings, origins."""

import dataclasses
import ipaddress
import re
from pathlib import Path

import pytest

from thrust.config import SETTINGS, Config, Http2, LogFormat, Origin, Restart, Setting, Tls, load
from thrust.errors import ConfigError

CERTIFICATE = {"SSL_CERT_PATH": "/tls/cert.pem", "SSL_KEY_PATH": "/tls/key.pem"}

# Field → what is written into the variable → what is in Config.
SETTABLE: dict[str, tuple[str, object]] = {
    "port": ("8080", 8080),
    "worker_port": ("9000", 9000),
    "host": ("127.0.0.1", "127.0.0.1"),
    "restart": ("on-failure", Restart.ON_FAILURE),
    "health_path": ("/healthz", "/healthz"),
    "boot_timeout_s": ("2m", 120.0),
    "shutdown_timeout_s": ("25", 25.0),
    "worker_timeout_s": ("0", 0.0),
    "idle_timeout_s": ("60", 60.0),
    "read_timeout_s": ("5s", 5.0),
    "write_timeout_s": ("500ms", 0.5),
    "max_request_body_bytes": ("10MB", 10 * 2**20),
    "forward_headers": ("0", False),
    "trusted_proxies": ("10.0.0.0/8", (ipaddress.ip_network("10.0.0.0/8"),)),
    "bad_gateway_page": ("/pages/502.html", Path("/pages/502.html")),
    "log_requests": ("false", False),
    "log_format": ("json", LogFormat.JSON),
    "log_exclude": ("/up,/ping", ("/up", "/ping")),
    "debug": ("1", True),
    "tls_certificate_path": ("/c.pem", Path("/c.pem")),
    "tls_key_path": ("/k.pem", Path("/k.pem")),
    "https_port": ("8443", 8443),
    "tls": ("Local", Tls.LOCAL),
    "hsts_s": ("1", 31536000),
    "http2": ("auto", Http2.AUTO),
    "h2c": ("1", True),
    "acme_domains": ("a.example,b.example", ("a.example", "b.example")),
    "acme_directory": ("https://ca.example/dir", "https://ca.example/dir"),
    "acme_profile": ("shortlived", "shortlived"),
    "acme_email": ("ops@example.com", "ops@example.com"),
    "eab_kid": ("kid", "kid"),
    "eab_hmac_key": ("c2VjcmV0", b"secret"),
    "storage_path": ("/data", Path("/data")),
    "cache_size_bytes": ("1GB", 2**30),
    "max_cache_item_size_bytes": ("1000", 1000),
    "fingerprint": (r"\.[0-9a-f]{12}\.", re.compile(rb"\.[0-9a-f]{12}\.")),
    "compression": ("1", ("br", "zstd", "gzip")),  # a spelling that both names of this setting take
    "compression_disable_on_auth": ("1", True),
    "compression_jitter_bytes": ("64", 64),
    "send_file_header": ("0", None),
    "send_file_roots": ("/data,/srv", (Path("/data"), Path("/srv"))),
    "send_file_mapping": ("/protected/=/data/", (("/protected/", Path("/data")),)),
    "static": ("/static:/app/static", (("/static", Path("/app/static")),)),
    "admin_port": ("9090", 9090),
}

# Settings that only make sense together with another one.
COMPANIONS = {
    "tls_certificate_path": {"SSL_KEY_PATH": "/k"},
    "tls_key_path": {"SSL_CERT_PATH": "/c"},
    "eab_kid": {"EAB_HMAC_KEY": "c2VjcmV0"},
    "eab_hmac_key": {"EAB_KID": "kid"},
}

# The contract of design and documentation: every name, the one that wins first.
VARIABLES = {
    "port": [
        "THRUST_PORT",
        "THRUST_HTTP_PORT",
        "THRUSTER_PORT",
        "THRUSTER_HTTP_PORT",
        "HTTP_PORT",
        "PORT",
    ],
    "worker_port": [
        "THRUST_WORKER_PORT",
        "THRUST_TARGET_PORT",
        "THRUSTER_WORKER_PORT",
        "THRUSTER_TARGET_PORT",
        "TARGET_PORT",
    ],
    "host": ["THRUST_HOST", "THRUSTER_HOST"],
    "idle_timeout_s": ["THRUST_HTTP_IDLE_TIMEOUT", "THRUSTER_HTTP_IDLE_TIMEOUT", "HTTP_IDLE_TIMEOUT"],
    "tls_certificate_path": ["THRUST_SSL_CERT_PATH", "THRUSTER_SSL_CERT_PATH", "SSL_CERT_PATH"],
    "h2c": ["THRUST_H2C", "THRUST_H2C_ENABLED", "THRUSTER_H2C", "THRUSTER_H2C_ENABLED", "H2C_ENABLED"],
    "acme_domains": [
        "THRUST_ACME_DOMAIN",
        "THRUST_TLS_DOMAIN",
        "THRUSTER_ACME_DOMAIN",
        "THRUSTER_TLS_DOMAIN",
        "TLS_DOMAIN",
    ],
    "compression": [
        "THRUST_COMPRESSION",
        "THRUST_GZIP_COMPRESSION_ENABLED",
        "THRUSTER_COMPRESSION",
        "THRUSTER_GZIP_COMPRESSION_ENABLED",
        "GZIP_COMPRESSION_ENABLED",
    ],
    "debug": ["THRUST_DEBUG", "THRUSTER_DEBUG", "DEBUG"],
}

# Thruster's own variables, as its README lists them.
THRUSTERS = [
    "TLS_DOMAIN",
    "TARGET_PORT",
    "CACHE_SIZE",
    "MAX_CACHE_ITEM_SIZE",
    "GZIP_COMPRESSION_ENABLED",
    "GZIP_COMPRESSION_DISABLE_ON_AUTH",
    "GZIP_COMPRESSION_JITTER",
    "X_SENDFILE_ENABLED",
    "MAX_REQUEST_BODY",
    "STORAGE_PATH",
    "BAD_GATEWAY_PAGE",
    "HTTP_PORT",
    "HTTPS_PORT",
    "HTTP_IDLE_TIMEOUT",
    "HTTP_READ_TIMEOUT",
    "HTTP_WRITE_TIMEOUT",
    "H2C_ENABLED",
    "ACME_DIRECTORY",
    "EAB_KID",
    "EAB_HMAC_KEY",
    "FORWARD_HEADERS",
    "LOG_REQUESTS",
    "DEBUG",
]


def error_of(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as raised:
        load(environ)
    return str(raised.value)


# --- Names ------------------------------------------------------------------------------------------------------


def test_each_field_but_the_admin_host_is_a_setting() -> None:
    assert {field.name for field in dataclasses.fields(Config)} - SETTINGS.keys() == {"admin_host"}
    assert SETTABLE.keys() == SETTINGS.keys()


def test_no_variable_means_two_settings() -> None:
    variables = [variable for setting in SETTINGS.values() for variable in setting.variables]
    assert len(variables) == len(set(variables))


@pytest.mark.parametrize(("field_name", "variables"), VARIABLES.items())
def test_the_names_of_a_setting_in_order(field_name: str, variables: list[str]) -> None:
    assert list(SETTINGS[field_name].variables) == variables


@pytest.mark.parametrize("variable", THRUSTERS)
def test_thrusters_variables_are_known_bare_and_with_both_prefixes(variable: str) -> None:
    known = {variable for setting in SETTINGS.values() for variable in setting.variables}
    assert {variable, f"THRUSTER_{variable}", f"THRUST_{variable}"} <= known


@pytest.mark.parametrize(
    ("field_name", "variable"),
    [(field_name, variable) for field_name, setting in SETTINGS.items() for variable in setting.variables],
)
def test_each_variable_sets_its_field(field_name: str, variable: str) -> None:
    text, value = SETTABLE[field_name]
    loaded = load({variable: text, **COMPANIONS.get(field_name, {})})
    assert getattr(loaded.config, field_name) == value
    assert loaded.origins[SETTINGS[field_name].name].variable == variable


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_the_first_name_that_is_set_wins(setting: Setting) -> None:
    (field_name,) = (name for name, other in SETTINGS.items() if other is setting)
    text, value = SETTABLE[field_name]
    for position, winner in enumerate(setting.variables):
        losers = dict.fromkeys(setting.variables[position + 1 :], "§ never read §")
        loaded = load({**losers, winner: text, **COMPANIONS.get(field_name, {})})
        assert getattr(loaded.config, field_name) == value


def test_an_empty_or_blank_variable_counts_as_unset() -> None:
    loaded = load({"THRUST_PORT": "", "HTTP_PORT": "  ", "PORT": "8080", "MAX_REQUEST_BODY": ""})
    assert loaded.config.port == 8080
    assert loaded.origins["MAX_REQUEST_BODY"] == Origin("0", "default")


def test_blanks_around_a_value_do_not_count() -> None:
    assert load({"PORT": " 8080\n"}).config.port == 8080


# --- Defaults ---------------------------------------------------------------------------------------------------


def test_an_empty_environment_gives_the_defaults_and_no_warning() -> None:
    loaded = load({})
    assert loaded.config == Config()
    assert loaded.warnings == ()
    assert {origin.variable for origin in loaded.origins.values()} == {"default"}


def test_the_defaults_are_those_of_the_contract() -> None:
    config = Config()
    assert (config.port, config.worker_port, config.host) == (3000, 3001, None)
    assert (config.idle_timeout_s, config.read_timeout_s, config.write_timeout_s) == (120, 30, 30)
    assert (config.worker_timeout_s, config.boot_timeout_s, config.shutdown_timeout_s) == (300, 60, 8)
    assert (config.restart, config.health_path) == (Restart.NEVER, "/up")
    assert (config.cache_size_bytes, config.max_cache_item_size_bytes) == (64 * 2**20, 1048576)
    assert (config.compression, config.send_file_header) == (("br", "zstd", "gzip"), "X-Sendfile")
    assert (config.max_request_body_bytes, config.bad_gateway_page) == (0, Path("public/502.html"))
    assert (config.log_requests, config.debug, config.log_format) == (True, False, LogFormat.AUTO)
    assert (config.https_port, config.http2, config.h2c, config.admin_port) == (None, Http2.OFF, False, None)


@pytest.mark.parametrize(
    ("environ", "trusts"),
    [
        ({}, True),
        (CERTIFICATE, False),
        ({"TLS_DOMAIN": "a.example"}, False),
        ({**CERTIFICATE, "FORWARD_HEADERS": "1"}, True),
        ({"FORWARD_HEADERS": "0"}, False),
    ],
)
def test_forwarded_headers_are_trusted_by_default_unless_thrust_ends_tls(environ: dict[str, str], trusts: bool) -> None:
    assert load(environ).config.forward_headers is trusts


@pytest.mark.parametrize(
    ("environ", "https_port"),
    [
        (CERTIFICATE, None),
        ({**CERTIFICATE, "HTTPS_PORT": "8443"}, 8443),
        ({"TLS_DOMAIN": "a.example"}, 443),
        ({"TLS_DOMAIN": "a.example", "HTTPS_PORT": "8443"}, 8443),
        ({**CERTIFICATE, "TLS_DOMAIN": "a.example"}, None),
        ({"THRUST_TLS": "local"}, None),
    ],
)
def test_the_tls_port_is_443_for_acme_only(environ: dict[str, str], https_port: int | None) -> None:
    assert load(environ).config.https_port == https_port


@pytest.mark.parametrize(
    ("environ", "port"),
    [
        ({}, 3000),
        (CERTIFICATE, 3000),
        ({"THRUST_TLS": "local"}, 3000),
        ({"TLS_DOMAIN": "a.example"}, 80),
        ({"THRUST_ACME_DOMAIN": "a.example", "PORT": "8080"}, 8080),
        ({**CERTIFICATE, "TLS_DOMAIN": "a.example"}, 3000),
    ],
)
def test_the_plain_port_is_80_for_acme_only(environ: dict[str, str], port: int) -> None:
    assert load(environ).config.port == port


@pytest.mark.parametrize("environ", [CERTIFICATE, {"TLS_DOMAIN": "a.example"}])
def test_a_real_certificate_beats_a_local_one(environ: dict[str, str]) -> None:
    loaded = load({**environ, "THRUST_TLS": "local"})
    assert loaded.config.tls is Tls.OFF
    assert any(warning.startswith("THRUST_TLS has no effect") for warning in loaded.warnings)


@pytest.mark.parametrize(
    ("environ", "http2"), [({}, Http2.AUTO), ({"THRUST_HTTP2": "0"}, Http2.OFF), ({"THRUST_HTTP2": "1"}, Http2.ON)]
)
def test_local_certificates_offer_http2_unless_told_otherwise(environ: dict[str, str], http2: Http2) -> None:
    config = load({**environ, "THRUST_TLS": "local"}).config
    assert config.http2 is http2
    assert config.serves_tls


@pytest.mark.parametrize(
    ("environ", "offers"),
    [
        ({}, False),
        (CERTIFICATE, False),
        ({**CERTIFICATE, "THRUST_HTTP2": "1"}, True),
        ({**CERTIFICATE, "THRUST_HTTP2": "auto"}, True),
        ({"THRUST_HTTP2": "auto"}, False),
        ({"THRUST_HTTP2": "1"}, False),
        ({"TLS_DOMAIN": "a.example"}, True),
        ({"THRUSTER_TLS_DOMAIN": "a.example"}, True),
        ({"TLS_DOMAIN": "a.example", "THRUST_HTTP2": "0"}, False),
        ({"THRUST_ACME_DOMAIN": "a.example"}, False),
        ({**CERTIFICATE, "TLS_DOMAIN": "a.example"}, False),
    ],
)
def test_http2_is_offered_when_asked_for_or_as_thruster_does(environ: dict[str, str], offers: bool) -> None:
    assert load(environ).config.offers_http2 is offers


@pytest.mark.parametrize(
    ("environ", "header"),
    [
        ({"X_SENDFILE_ENABLED": "0"}, None),
        ({"X_SENDFILE_ENABLED": "1"}, "X-Sendfile"),
        ({"THRUST_SEND_FILE_HEADER": ""}, None),
        ({"THRUST_SEND_FILE_HEADER": "", "X_SENDFILE_ENABLED": "1"}, None),
        ({"THRUST_SEND_FILE_HEADER": "off"}, None),
        ({"THRUST_SEND_FILE_HEADER": "X-Accel-Redirect", "X_SENDFILE_ENABLED": "0"}, "X-Accel-Redirect"),
        ({"X_SENDFILE_ENABLED": ""}, "X-Sendfile"),
    ],
)
def test_the_send_file_header_is_a_name_or_off(environ: dict[str, str], header: str | None) -> None:
    assert load(environ).config.send_file_header == header


@pytest.mark.parametrize(
    ("environ", "rule"),
    [
        ({}, True),
        ({"THRUST_FINGERPRINT": "on"}, True),
        ({"THRUST_FINGERPRINT": "0"}, False),
        ({"THRUST_FINGERPRINT": "off"}, False),
        ({"THRUST_FINGERPRINT": ""}, False),
        ({"THRUST_FINGERPRINT": "^/static/"}, re.compile(rb"^/static/")),
    ],
)
def test_fingerprints_are_recognised_by_the_built_in_rule_by_a_pattern_or_not_at_all(
    environ: dict[str, str], rule: object
) -> None:
    assert load(environ).config.fingerprint == rule


@pytest.mark.parametrize(
    ("environ", "codings"),
    [
        ({"GZIP_COMPRESSION_ENABLED": "0"}, ()),
        ({"GZIP_COMPRESSION_ENABLED": "1"}, ("br", "zstd", "gzip")),
        ({"THRUST_COMPRESSION": "gzip,br", "GZIP_COMPRESSION_ENABLED": "0"}, ("gzip", "br")),
        ({"THRUST_COMPRESSION": "off", "GZIP_COMPRESSION_ENABLED": "1"}, ()),
    ],
)
def test_compression_is_a_list_or_thrusters_switch(environ: dict[str, str], codings: tuple[str, ...]) -> None:
    assert load(environ).config.compression == codings


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("9090", "127.0.0.1", 9090, "127.0.0.1:9090"),
        ("0.0.0.0:9090", "0.0.0.0", 9090, "0.0.0.0:9090"),
        ("[::1]:9090", "::1", 9090, "[::1]:9090"),
        ("*:9090", None, 9090, "*:9090"),
        ("off", "127.0.0.1", None, "off"),
    ],
)
def test_the_admin_port_is_on_loopback_unless_told_otherwise(
    text: str, host: str | None, port: int | None, shown: str
) -> None:
    loaded = load({"THRUST_ADMIN_PORT": text})
    assert (loaded.config.admin_host, loaded.config.admin_port) == (host, port)
    assert loaded.origins["THRUST_ADMIN_PORT"].value == shown


# --- Errors -----------------------------------------------------------------------------------------------------

SWITCH = "1, true, yes or on, or 0, false, no or off"
DURATION = "a duration such as 30, 30s, 500ms, 2m or 1h, at most a year"
SIZE = "a size such as 65536, 64KB, 64MB or 1MiB"
JITTER = "a size such as 32 or 1KB, at most 64KB"
PORT = "a port from 1 to 65535"
HEADER_NAME = "the name of a header with no other meaning, or off"
FINGERPRINT = r"a regular expression in ASCII such as \.[0-9a-f]{12}\., on or off"
NETWORKS = "addresses and networks such as 10.0.0.0/8 (no bits set beyond the mask) with commas between them"
DOMAINS = "host names with commas between them (no wildcards, no addresses; names beyond ASCII as xn--…)"


@pytest.mark.parametrize(
    ("variable", "text", "accepted"),
    [
        ("PORT", "65536", f"{PORT}, or 0 for any free one"),
        ("HTTP_PORT", "http", f"{PORT}, or 0 for any free one"),
        ("TARGET_PORT", "0", PORT),
        ("THRUST_HOST", "a b", "an address such as 0.0.0.0 or ::1, a host name, or *"),
        ("THRUST_RESTART", "always", "never or on-failure"),
        ("THRUST_HEALTH_PATH", "up", "a path such as /up without query, or off"),
        ("THRUST_BOOT_TIMEOUT", "-1", DURATION),
        ("THRUST_SHUTDOWN_TIMEOUT", "inf", DURATION),
        ("THRUST_WORKER_TIMEOUT", "nan", DURATION),
        ("THRUSTER_HTTP_IDLE_TIMEOUT", "1d", DURATION),
        ("HTTP_READ_TIMEOUT", "٣", DURATION),
        ("HTTP_WRITE_TIMEOUT", "1e9", DURATION),
        ("MAX_REQUEST_BODY", "12XB", SIZE),
        ("FORWARD_HEADERS", "maybe", SWITCH),
        ("THRUST_TRUSTED_PROXIES", "10.0.0.1/8", NETWORKS),
        ("LOG_REQUESTS", "2", SWITCH),
        ("THRUST_LOG_FORMAT", "xml", "json, text or auto"),
        ("THRUST_LOG_EXCLUDE", "up", "paths such as /up,/healthz with commas between them"),
        ("DEBUG", "app:*", SWITCH),
        ("HTTPS_PORT", "0", PORT),
        ("THRUST_HTTP2", "2", "1, 0 or auto"),
        ("H2C_ENABLED", "h2c", SWITCH),
        ("TLS_DOMAIN", "*.example.com", DOMAINS),
        ("ACME_DIRECTORY", "http://ca.example", "a URL that begins with https:// (RFC 8555 §6.1)"),
        ("ACME_EMAIL", "ops", "an e-mail address"),
        ("EAB_KID", "a b", "text without blanks"),
        ("CACHE_SIZE", "64 apples", SIZE),
        ("MAX_CACHE_ITEM_SIZE", "-1", SIZE),
        ("THRUST_COMPRESSION", "lzma", "some of br, zstd, gzip with commas between them, on or off"),
        ("THRUST_FINGERPRINT", "(", FINGERPRINT),
        ("THRUST_FINGERPRINT", "/static/[[a-f]", FINGERPRINT),
        ("GZIP_COMPRESSION_ENABLED", "gzip", SWITCH),
        ("GZIP_COMPRESSION_DISABLE_ON_AUTH", "?", SWITCH),
        ("GZIP_COMPRESSION_JITTER", "few", JITTER),
        ("GZIP_COMPRESSION_JITTER", "65537", JITTER),
        ("GZIP_COMPRESSION_JITTER", "64MB", JITTER),
        ("THRUST_SEND_FILE_HEADER", "X Sendfile", HEADER_NAME),
        ("THRUST_SEND_FILE_HEADER", "Content-Length", HEADER_NAME),
        ("X_SENDFILE_ENABLED", "X-Sendfile", SWITCH),
        ("THRUST_ADMIN_PORT", "localhost", "a port, host:port with a port from 1 to 65535, or off"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(variable: str, text: str, accepted: str) -> None:
    assert error_of({variable: text}) == f"{variable} is {text!r}, but must be {accepted}"


def test_a_wrong_secret_is_not_repeated() -> None:
    accepted = "base64, padded or not, in the standard or the URL alphabet"
    assert error_of({"EAB_HMAC_KEY": "hunter2!", "EAB_KID": "k"}) == f"EAB_HMAC_KEY is not {accepted}"


def test_a_long_wrong_value_is_shortened() -> None:
    assert error_of({"PORT": "x" * 5000}).startswith(f"PORT is '{'x' * 79}…', but must be")


def test_all_wrong_values_are_reported_a_line_each() -> None:
    lines = error_of({"PORT": "a", "DEBUG": "b", "CACHE_SIZE": "c\nd"}).splitlines()
    assert [line.split(",")[0] for line in lines] == ["PORT is 'a'", "DEBUG is 'b'", r"CACHE_SIZE is 'c\nd'"]


def test_a_kubernetes_service_link_is_recognised_as_the_cause() -> None:
    assert error_of({"THRUST_PORT": "tcp://10.3.2.1:80"}).endswith(
        "; Kubernetes sets it for a service of that name unless the pod says enableServiceLinks: false"
    )


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"PORT": "3000", "TARGET_PORT": "3000"},
            "PORT and TARGET_PORT are both 3000, but must differ",
        ),
        (
            {"TARGET_PORT": "3000"},
            "PORT (not set, default 3000) and TARGET_PORT are both 3000, but must differ; give thrust another one by"
            " HTTP_PORT, Thruster's default is 80",
        ),
        (
            {"PORT": "3001"},
            "PORT and THRUST_WORKER_PORT (not set, default 3001) are both 3001, but must differ",
        ),
        (
            {"HTTPS_PORT": "3001"},
            "HTTPS_PORT and THRUST_WORKER_PORT (not set, default 3001) are both 3001, but must differ",
        ),
        (
            {"THRUST_ADMIN_PORT": "3001"},
            "THRUST_ADMIN_PORT and THRUST_WORKER_PORT (not set, default 3001) are both 3001, but must differ",
        ),
        (
            {"THRUST_ADMIN_PORT": "3000"},
            "THRUST_ADMIN_PORT and PORT (not set, default 3000) are both 3000, but must differ",
        ),
        (
            {"THRUST_ADMIN_PORT": "443", "TLS_DOMAIN": "a.example"},
            "THRUST_ADMIN_PORT and HTTPS_PORT (not set, default 443) are both 443, but must differ",
        ),
        (
            {"SSL_CERT_PATH": "/c.pem"},
            "SSL_CERT_PATH is set, but SSL_KEY_PATH is not; they only work together",
        ),
        (
            {"THRUST_SSL_KEY_PATH": "/k.pem"},
            "THRUST_SSL_KEY_PATH is set, but SSL_CERT_PATH is not; they only work together",
        ),
        ({"EAB_KID": "k"}, "EAB_KID is set, but EAB_HMAC_KEY is not; they only work together"),
        ({"EAB_HMAC_KEY": "c2VjcmV0"}, "EAB_HMAC_KEY is set, but EAB_KID is not; they only work together"),
    ],
)
def test_settings_that_cannot_go_together_are_an_error(environ: dict[str, str], sentence: str) -> None:
    assert error_of(environ) == sentence


def test_tls_may_share_the_listen_port() -> None:
    assert load({**CERTIFICATE, "PORT": "443", "HTTPS_PORT": "443"}).config.https_port == 443


# --- Warnings ---------------------------------------------------------------------------------------------------

BUILT = {
    *("port", "worker_port", "host", "restart", "health_path", "max_request_body_bytes", "bad_gateway_page"),
    *("idle_timeout_s", "read_timeout_s", "write_timeout_s"),
    *("worker_timeout_s", "boot_timeout_s", "shutdown_timeout_s"),
    *("forward_headers", "trusted_proxies", "log_requests", "debug", "log_format", "log_exclude"),
    *("cache_size_bytes", "max_cache_item_size_bytes", "fingerprint"),
    *("compression", "compression_disable_on_auth", "compression_jitter_bytes"),
    *("send_file_header", "send_file_roots", "send_file_mapping", "static"),
    *("acme_domains", "acme_directory", "acme_email", "acme_profile", "eab_kid", "eab_hmac_key", "storage_path", "tls"),
    *("tls_certificate_path", "tls_key_path", "https_port", "hsts_s", "http2", "h2c"),
}


@pytest.mark.parametrize("field_name", SETTINGS)
def test_a_setting_whose_feature_is_missing_says_so(field_name: str) -> None:
    setting = SETTINGS[field_name]
    text = {"send_file_header": "X-Accel-Redirect"}.get(field_name, SETTABLE[field_name][0])
    environ = {setting.name: text, **COMPANIONS.get(field_name, {})}
    expected = f"{setting.name} has no effect yet: {setting.pending} is not part of this version"
    assert (expected in load(environ).warnings) is (field_name not in BUILT)


@pytest.mark.parametrize(
    "environ",
    [
        {"THRUST_HTTP2": "0"},
        {"H2C_ENABLED": "0"},
        {"CACHE_SIZE": "0"},
        {"GZIP_COMPRESSION_ENABLED": "0"},
        {"THRUST_SEND_FILE_HEADER": ""},
        {"THRUST_ADMIN_PORT": "off"},
    ],
)
def test_turning_off_what_is_not_there_is_no_reason_to_warn(environ: dict[str, str]) -> None:
    assert load(environ).warnings == ()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {**CERTIFICATE, "TLS_DOMAIN": "a.example"},
            "SSL_CERT_PATH and TLS_DOMAIN are both set: the static certificate is used, and no other is ordered",
        ),
        ({"THRUST_HTTP2": "1"}, "THRUST_HTTP2 needs TLS; for HTTP/2 without TLS set H2C_ENABLED=1"),
        (
            {"THRUST_TRUSTED_PROXIES": "10.0.0.0/8", "FORWARD_HEADERS": "0"},
            "THRUST_TRUSTED_PROXIES has no effect, because FORWARD_HEADERS is off",
        ),
        (
            {"TARGET_PORT": "4000"},
            "TARGET_PORT is set, but no port to listen on: thrust takes 3000"
            " (Thruster would take 80; HTTP_PORT sets it)",
        ),
        (
            {"HTTPS_PORT": "8443"},
            "HTTPS_PORT has no effect without a certificate; SSL_CERT_PATH names one",
        ),
        ({"THRUST_HSTS": "on", "FORWARD_HEADERS": "0"}, "THRUST_HSTS has no effect without TLS"),
        (
            {"THRUST_SEND_FILE_HEADER": "x-accel-redirect"},
            "THRUST_SEND_FILE_HEADER sends nothing without THRUST_SEND_FILE_MAPPING",
        ),
        (
            {"THRUST_SEND_FILE_MAPPING": "/protected/=/srv/files"},
            "THRUST_SEND_FILE_MAPPING has no effect without THRUST_SEND_FILE_HEADER=X-Accel-Redirect",
        ),
        (
            {"THRUST_SEND_FILE_HEADER": "off", "THRUST_SEND_FILE_ROOT": "/srv/files"},
            "THRUST_SEND_FILE_ROOT has no effect, because THRUST_SEND_FILE_HEADER is off",
        ),
        ({"THRUST_PROT": "1"}, "THRUST_PROT is not a setting of this version; did you mean THRUST_PORT?"),
        (
            {"THRUSTER_MAX_REQUEST_BDY": "1"},
            "THRUSTER_MAX_REQUEST_BDY is not a setting of this version; did you mean THRUSTER_MAX_REQUEST_BODY?",
        ),
        ({"THRUST_XYZZY": "1"}, "THRUST_XYZZY is not a setting of this version"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(environ: dict[str, str], sentence: str) -> None:
    assert sentence in load(environ).warnings


@pytest.mark.parametrize(
    "environ",
    [
        {"THRUST_HTTP2": "auto"},
        {**CERTIFICATE, "HTTPS_PORT": "8443", "THRUST_HSTS": "on"},
        {"THRUST_HSTS": "on"},
        {"THRUST_SEND_FILE_HEADER": "X-Accel-Redirect", "THRUST_SEND_FILE_MAPPING": "/protected/=/srv/files"},
        {"THRUST_SEND_FILE_ROOT": "/srv/files"},
        {"TARGET_PORT": "4000", "HTTP_PORT": "80"},
        {"THRUST_WORKER_PORT": "4000"},
        {"THRUST_PUBLIC_PORT": "3000"},
        {"THRUST_SERVICE_HOST": "10.3.2.1", "THRUST_SERVICE_PORT": "80", "THRUST_PORT_80_TCP_ADDR": "10.3.2.1"},
        {"THRUST_WEB_PORT": "tcp://10.3.2.1:80", "THRUST_WEB_SERVICE_PORT_HTTP": "80"},
        {"THRUSTING": "1", "HTTPS_PROXY": "x", "ACME": "1"},
    ],
)
def test_what_is_meant_is_no_warning(environ: dict[str, str]) -> None:
    assert [warning for warning in load(environ).warnings if "no effect yet" not in warning] == []


def test_a_static_certificate_leaves_no_domain_to_order_for() -> None:
    assert load({**CERTIFICATE, "TLS_DOMAIN": "a.example"}).config.acme_domains == ()


# --- Secrets ----------------------------------------------------------------------------------------------------


def test_a_secret_shows_neither_in_its_origin_nor_in_the_config() -> None:
    loaded = load({"EAB_KID": "kid", "EAB_HMAC_KEY": "c2VjcmV0"})
    assert loaded.config.eab_hmac_key == b"secret"
    assert loaded.origins["EAB_HMAC_KEY"] == Origin("(hidden)", "EAB_HMAC_KEY")
    assert "secret" not in repr(loaded) and "c2VjcmV0" not in repr(loaded)
