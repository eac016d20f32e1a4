"""Kinds of values: what is taken, what is refused, and that a shown value is read back as the same."""

import ipaddress
import re
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrust.config import values
from thrust.config.values import Http2, Kind, LogFormat, Restart

TAKEN: list[tuple[Kind, str, object]] = [
    *[(values.SWITCH, text, True) for text in ("1", "true", "True", "TRUE", "yes", "on", "oN")],
    *[(values.SWITCH, text, False) for text in ("0", "false", "False", "no", "off", "OFF")],
    (values.PORT, "1", 1),
    (values.PORT, "65535", 65535),
    (values.PORT, "080", 80),
    (values.LISTEN_PORT, "0", 0),
    (values.DURATION, "0", 0.0),
    (values.DURATION, "30", 30.0),
    (values.DURATION, "30s", 30.0),
    (values.DURATION, "30 S", 30.0),
    (values.DURATION, "500ms", 0.5),
    (values.DURATION, "1.5", 1.5),
    (values.DURATION, "0.25s", 0.25),
    (values.DURATION, "2m", 120.0),
    (values.DURATION, "1h", 3600.0),
    (values.DURATION, "8760h", values.MAX_DURATION_S),
    (values.SIZE, "0", 0),
    (values.SIZE, "65536", 65536),
    (values.SIZE, "64KB", 65536),
    (values.SIZE, "64k", 65536),
    (values.SIZE, "64KiB", 65536),
    (values.SIZE, "64 Ki", 65536),
    (values.SIZE, "64MB", 64 * 2**20),
    (values.SIZE, "1MiB", 2**20),
    (values.SIZE, "2g", 2**31),
    (values.SIZE, "1TB", 2**40),
    (values.SIZE, "100b", 100),
    (values.SIZE, "9223372036854775807", 2**63 - 1),
    (values.HOST, "*", None),
    (values.HOST, "0.0.0.0", "0.0.0.0"),
    (values.HOST, "::", "::"),
    (values.HOST, "[::1]", "::1"),
    (values.HOST, "fe80::1%eth0", "fe80::1%eth0"),
    (values.HOST, "LocalHost", "localhost"),
    (values.HOST, "app.internal", "app.internal"),
    (values.ADMIN, "9090", ("127.0.0.1", 9090)),
    (values.ADMIN, "0.0.0.0:9090", ("0.0.0.0", 9090)),
    (values.ADMIN, "[::1]:9090", ("::1", 9090)),
    (values.ADMIN, "metrics.local:9090", ("metrics.local", 9090)),
    (values.ADMIN, "*:9090", (None, 9090)),
    (values.ADMIN, "off", None),
    (values.FILE, "/a/b c", Path("/a/b c")),
    (values.FOLDERS, "/data:/srv, files", (Path("/data"), Path("/srv"), Path("files"))),
    (values.MOUNTS, "/static:/app/staticfiles", (("/static", Path("/app/staticfiles")),)),
    (values.MOUNTS, "/a/: b c , /:/srv:1,", (("/a/", Path("b c")), ("/", Path("/srv:1")))),
    (values.MAPPING, "/protected/=/data/", (("/protected/", Path("/data")),)),
    (values.MAPPING, "/a=/b=c, /d:e = f", (("/a", Path("/b=c")), ("/d:e", Path("f")))),
    (values.DOMAINS, "App.example.com, b.example", ("app.example.com", "b.example")),
    (values.DOMAINS, ",a.example,", ("a.example",)),
    (values.DOMAINS, "b.example,B.example,a.example,b.example", ("b.example", "a.example")),
    (values.DOMAINS, "1.2.3.4.in-addr.example", ("1.2.3.4.in-addr.example",)),
    (values.DOMAINS, "xn--bcher-kva.example", ("xn--bcher-kva.example",)),
    (
        values.NETWORKS,
        "10.0.0.0/8, 192.0.2.1,2001:db8::/32",
        tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32")),
    ),
    (values.URL_PATH, "/up", "/up"),
    (values.URL_PATH, "/", "/"),
    (values.URL_PATH, "off", None),
    (values.URL_PATH, "0", None),
    (values.URL_PATHS, "/up,/healthz", ("/up", "/healthz")),
    (values.FIELD_NAME, "X-Accel-Redirect", "X-Accel-Redirect"),
    (values.FIELD_NAME, "off", None),
    (values.FIELD_NAME, "", None),
    (values.FIELD_NAME, "1", "X-Sendfile"),
    (values.FIELD_NAME_SWITCH, "1", "X-Sendfile"),
    (values.FIELD_NAME_SWITCH, "0", None),
    (values.CODING_LIST, "gzip", ("gzip",)),
    (values.CODING_LIST, "GZIP, br, gzip", ("gzip", "br")),
    (values.CODING_LIST, "on", ("br", "zstd", "gzip")),
    (values.CODING_LIST, "none", ()),
    (values.CODING_LIST, "off", ()),
    (values.CODING_SWITCH, "true", ("br", "zstd", "gzip")),
    (values.CODING_SWITCH, "false", ()),
    *[(values.FINGERPRINT, text, True) for text in ("on", "1", "Built-In")],
    *[(values.FINGERPRINT, text, False) for text in ("off", "0", "NO", "")],
    (values.FINGERPRINT, r"-[0-9a-f]{8}\.", re.compile(rb"-[0-9a-f]{8}\.")),
    (values.RESTART, "never", Restart.NEVER),
    (values.RESTART, "On-Failure", Restart.ON_FAILURE),
    (values.LOG_FORMAT, "JSON", LogFormat.JSON),
    (values.LOG_FORMAT, "text", LogFormat.TEXT),
    (values.LOG_FORMAT, "auto", LogFormat.AUTO),
    (values.HTTP2, "1", Http2.ON),
    (values.HTTP2, "on", Http2.ON),
    (values.HTTP2, "0", Http2.OFF),
    (values.HTTP2, "Auto", Http2.AUTO),
    (values.HSTS, "on", 31536000),
    (values.HSTS, "1", 31536000),
    (values.HSTS, "off", None),
    (values.HSTS, "0", None),
    (values.HSTS, "0s", 0),
    (values.HSTS, "63072000", 63072000),
    (values.HSTS, "12h", 43200),
    (values.HTTPS_URL, "https://localhost:14000/dir", "https://localhost:14000/dir"),
    (values.EMAIL, "ops@example.com", "ops@example.com"),
    (values.TOKEN, "kid-1", "kid-1"),
    *[(values.BASE64, text, b"\xfb\xff\xfe!") for text in ("+//+IQ==", "-__-IQ==", "+//+IQ", "-__-IQ")],
]

REFUSED: list[tuple[Kind, str]] = [
    (kind, text)
    for kind, texts in (
        (values.SWITCH, ["2", "y", "enabled", "on off"]),
        (values.PORT, ["0", "-1", "65536", "99999", "100000", "3e3", "+80", "1_000", "٨٠", "80.0", "tcp"]),
        (values.LISTEN_PORT, ["-0", "65536", "any"]),
        (values.DURATION, ["nan", "inf", "-1", "+1", "1e3", "1d", "s", "1.", ".5", "1m 2s", "٣", "8761h", "9" * 400]),
        (values.SIZE, ["nan", "inf", "-1", "1.5MB", "1e6", "MB", "1PB", "1_000", "٣", "1 k b", "9" * 400]),
        (values.SIZE, ["9223372036854775808", "8388608TB"]),
        (values.HOST, ["1.2.3", "256.0.0.1", "::1::", "a b", "localhost:3000", "-a", "http://x", "ümlaut"]),
        (values.ADMIN, ["0.0.0.0", ":9090", "::1:9090", "a:b", "host:0", "host:65536"]),
        (values.MOUNTS, ["/static", "static:/app", "/static:", ":/app", "/a=/b", "/a?x:/b", "/ü:/b", "/a b:/c"]),
        (values.MOUNTS, ["/a:/b,/c", "https://example.org/static:/app"]),
        (values.MAPPING, ["/protected", "protected/=/data", "/protected/=", "=/data", "/a:/b", "/a?x=/b", "/ü=/b"]),
        (values.DOMAINS, ["*.example.com", "https://a.example", "a..b", "a b", "bücher.example", "x" * 64]),
        (values.DOMAINS, [".".join(["a" * 60] * 5), "192.0.2.1", "[2001:db8::1]", "12345"]),
        (values.NETWORKS, ["10.0.0.1/8", "10.0.0.0/33", "proxy", "10.0.0.0-10.0.0.9"]),
        (values.URL_PATH, ["up", "/up?x=1", "/up#a", "/a b", "/ü", "/a\tb"]),
        (values.URL_PATHS, ["/up,healthz", "/up /b"]),
        (values.FIELD_NAME, ["X Sendfile", "X-Sendfile:", "ü"]),
        (values.FIELD_NAME_SWITCH, ["X-Sendfile", "2"]),
        (values.CODING_LIST, ["deflate", "br;gzip", "identity", "br,on"]),
        (values.CODING_SWITCH, ["gzip", "2"]),
        (values.FINGERPRINT, ["(", "*", "a{99999999999999999999}", "[[a]", "ü", r"\u00fc"]),
        (values.RESTART, ["always", "1"]),
        (values.LOG_FORMAT, ["xml", "1"]),
        (values.HTTP2, ["2", "h2"]),
        (values.HSTS, ["-1", "1 year", "max-age=1", "1234567890", "9000h"]),
        (values.HTTPS_URL, ["http://ca.example/dir", "ca.example", "https://", "https://a b"]),
        (values.EMAIL, ["ops", "@", "a@b,c@d", "a b@c"]),
        (values.TOKEN, ["a b"]),
        (values.BASE64, ["=", "a", "a b", "ü", "abcde", "ab$d"]),
    )
    for text in texts
]


@pytest.mark.parametrize(("kind", "text", "value"), TAKEN)
def test_a_value_is_read(kind: Kind, text: str, value: object) -> None:
    assert kind.parse(text) == value
    assert type(kind.parse(text)) is type(value)


@pytest.mark.parametrize(("kind", "text"), REFUSED)
def test_a_value_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError):
        kind.parse(text)


def test_an_expression_that_a_later_python_reads_in_another_way_is_refused_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError):
            values.FINGERPRINT.parse("/[[a-f]/")


def test_jitter_has_an_end() -> None:
    assert values.parse_jitter_bytes("64KB") == values.MAX_JITTER_BYTES
    with pytest.raises(ValueError):
        values.parse_jitter_bytes("65537")


@pytest.mark.parametrize("kind", {id(kind): kind for kind, *_ in TAKEN}.values(), ids=lambda kind: kind.accepts)
@settings(max_examples=30)
@given(text=st.text(max_size=30))
def test_any_text_is_either_read_or_refused(kind: Kind, text: str) -> None:
    try:
        value = kind.parse(text)
    except ValueError:
        return
    assert kind.text(value).isprintable()


@given(st.integers(0, values.MAX_SIZE_BYTES))
def test_a_shown_size_is_read_as_the_same(size_bytes: int) -> None:
    assert values.parse_size_bytes(values.show_size(size_bytes)) == size_bytes


@given(st.integers(0, 10**9))
def test_a_shown_duration_is_read_as_the_same(milliseconds: int) -> None:
    duration_s = milliseconds / 1000
    assert values.parse_duration_s(values.show_duration(duration_s)) == pytest.approx(duration_s)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (values.SWITCH, True, "on"),
        (values.SWITCH, False, "off"),
        (values.DURATION, 120.0, "120s"),
        (values.DURATION, 1.5, "1.5s"),
        (values.DURATION, 0.5, "500ms"),
        (values.DURATION, 0.0, "0s"),
        (values.SIZE, 0, "0"),
        (values.SIZE, 64 * 2**20, "64MB"),
        (values.SIZE, 2**20 + 1, "1048577"),
        (values.HOST, None, "all interfaces"),
        (values.URL_PATH, None, "off"),
        (values.DOMAINS, (), "none"),
        (values.MOUNTS, (), "none"),
        (values.MOUNTS, (("/a", Path("/b/")), ("/", Path("c"))), "/a:/b,/:c"),
        (values.MAPPING, (), "none"),
        (values.MAPPING, (("/a/", Path("/b")), ("/c", Path("d"))), "/a/=/b,/c=d"),
        (values.NETWORKS, (), "any"),
        (values.NETWORKS, (ipaddress.ip_network("10.0.0.0/8"),), "10.0.0.0/8"),
        (values.CODING_LIST, (), "off"),
        (values.CODING_LIST, ("br", "gzip"), "br,gzip"),
        (values.FINGERPRINT, True, "built-in"),
        (values.FINGERPRINT, False, "off"),
        (values.FINGERPRINT, re.compile(rb"\.[0-9a-f]{12}\."), r"\.[0-9a-f]{12}\."),
        (values.RESTART, Restart.ON_FAILURE, "on-failure"),
        (values.FILE, Path("a\nb\udcff"), r"'a\nb\udcff'"),
    ],
)
def test_a_value_is_shown_on_one_line(kind: Kind, value: object, text: str) -> None:
    assert kind.text(value) == text
