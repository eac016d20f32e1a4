"""Text → value for each sort of setting, with what is accepted in words and the way back to text.

A parser gets stripped, non-empty text and raises ValueError for what it does not take; the sentence for the operator is
built by `loading`, from `Kind.accepts`. Digits are ASCII digits: `int` alone would take `٣` and `1_000` too. `table`
picks a Kind per setting; nobody else needs this file.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from warnings import catch_warnings, simplefilter

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

MAX_PORT = 65535
MAX_DURATION_S = 365 * 24 * 3600.0  # a year: beyond any use here, and far below every timer's overflow
MAX_SIZE_BYTES = 2**63 - 1  # the longest file a kernel can express

MAX_JITTER_BYTES = 65536  # each response pays for it; some hundred bytes hide what a guess changes

CODINGS = ("br", "zstd", "gzip")  # in order of preference
SEND_FILE_HEADER = "X-Sendfile"
LOOPBACK = "127.0.0.1"
BUILT_IN = "built-in"

_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"0", "false", "no", "off"})
_DURATION_UNITS_S = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}
_SIZE_UNITS_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}

T = TypeVar("T")


class Restart(Enum):
    """What becomes of thrust when the worker dies by itself."""

    NEVER = "never"
    ON_FAILURE = "on-failure"


class LogFormat(Enum):
    """How log lines look; AUTO is TEXT on a terminal and JSON elsewhere."""

    JSON = "json"
    TEXT = "text"
    AUTO = "auto"


class Tls(Enum):
    """Where certificates come from that no other setting names; LOCAL is a CA for this machine."""

    OFF = "off"
    LOCAL = "local"


class Http2(Enum):
    """Whether h2 is offered in the TLS handshake; AUTO and ON differ only in that ON asks for TLS."""

    OFF = "0"
    ON = "1"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one sort of value is read, described and shown.

    `parse` gets stripped, non-empty text and raises ValueError for anything that does not fit `accepts`, which
    completes the sentence "… must be". `unit` is that of a bare number. `empty` is shown for None and for ().
    """

    parse: Callable[[str], object]
    accepts: str
    show: Callable[[Any], str] = str
    unit: str = ""
    empty: str = "none"

    def text(self, value: object) -> str:
        """`value` as an operator would write it, on one line."""
        text = self.empty if value is None or value == () else self.show(value)
        return text if text.isprintable() else repr(text)


def parse_switch(text: str) -> bool:
    """True or False for the usual spellings in any case."""
    if (word := text.lower()) not in _ON | _OFF:
        raise ValueError
    return word in _ON


def parse_port(text: str) -> int:
    """A port from 1 to 65535, in ASCII digits."""
    if (port := parse_port_or_any(text)) == 0:
        raise ValueError
    return port


def parse_port_or_any(text: str) -> int:
    """A port from 0 to 65535, in ASCII digits; 0 lets the kernel choose."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > MAX_PORT:
        raise ValueError
    return int(text)


def parse_duration_s(text: str) -> float:
    """Seconds in `30`, `1.5`, `30s`, `500ms`, `2m` or `1h`, at most a year."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(ms|s|m|h)?", text.lower())
    if match is None:
        raise ValueError
    duration_s = float(match[1]) * _DURATION_UNITS_S[match[2] or ""]
    if duration_s > MAX_DURATION_S:
        raise ValueError
    return duration_s


def show_duration(duration_s: float) -> str:
    """The shortest exact spelling in seconds or milliseconds: `30s`, `500ms`."""
    return f"{duration_s:.12g}s" if duration_s >= 1 or duration_s == 0 else f"{duration_s * 1000:.12g}ms"


def parse_size_bytes(text: str) -> int:
    """Bytes in `65536`, `64KB`, `64k`, `1MiB`, at most 2⁶³ - 1. K, M, G and T are powers of 1024, as in nginx."""
    match = re.fullmatch(r"([0-9]{1,19}) ?(?:([kmgt])i?)?b?", text.lower())
    if match is None:
        raise ValueError
    size_bytes = int(match[1]) * _SIZE_UNITS_BYTES[match[2] or ""]
    if size_bytes > MAX_SIZE_BYTES:
        raise ValueError
    return size_bytes


def parse_jitter_bytes(text: str) -> int:
    """Bytes as in `parse_size_bytes`, at most MAX_JITTER_BYTES."""
    jitter_bytes = parse_size_bytes(text)
    if jitter_bytes > MAX_JITTER_BYTES:
        raise ValueError
    return jitter_bytes


def show_size(size_bytes: int) -> str:
    """The size in the largest unit that leaves no fraction: `64MB`, `1000`."""
    for letters, unit_bytes in (("TB", 2**40), ("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if size_bytes and size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes}{letters}"
    return str(size_bytes)


def parse_host(text: str) -> str | None:
    """An address (brackets taken off) or host name to bind to; None, all interfaces, for `*`."""
    from ipaddress import ip_address  # costs milliseconds, and most starts set no host

    if text == "*":
        return None
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        ip_address(host)
        return host
    return parse_domain(host)


def parse_host_and_port(text: str) -> tuple[str | None, int] | None:
    """Where to listen in `9090` (loopback), `0.0.0.0:9090`, `[::1]:9090` or `*:9090`; None for `off`."""
    if text.lower() in _OFF:
        return None
    host, colon, port = text.rpartition(":")
    if ":" in host and not host.startswith("["):
        raise ValueError  # ::1:9090 has two readings
    return (parse_host(host) if colon else LOOPBACK), parse_port(port)


def parse_domain(text: str) -> str:
    """A host name in lower case: labels of letters, digits, `-` and `_`; names beyond ASCII as `xn--…`.

    No top-level name consists of digits, so what ends in them is an IPv4 address.
    """
    domain = text.lower()
    label = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
    if len(domain) > 253 or not re.fullmatch(rf"{label}(\.{label})*", domain) or domain.rpartition(".")[2].isdigit():
        raise ValueError
    return domain


def parse_domains(text: str) -> tuple[str, ...]:
    """Host names with commas between them, each of them once."""
    return tuple(dict.fromkeys(parse_list(parse_domain)(text)))


def parse_path(text: str) -> str:
    """The path of a URL: ASCII, from its slash on, without query."""
    if not (text.isascii() and text.isprintable() and re.fullmatch(r"/[^ ?#]*", text)):
        raise ValueError
    return text


def parse_path_or_off(text: str) -> str | None:
    """The path of a URL, or None for `off`."""
    return None if text.lower() in _OFF else parse_path(text)


def parse_mount(text: str) -> tuple[str, Path]:
    """`/static:/app/staticfiles` as the path of a URL and the folder that is served there."""
    path, colon, folder = text.partition(":")
    if not colon or not folder.strip():
        raise ValueError
    return parse_path(path.strip()), Path(folder.strip())


def parse_mapping(text: str) -> tuple[str, Path]:
    """`/protected/=/data/` as the beginning of a URI and the folder that it stands for."""
    path, equals, folder = text.partition("=")
    if not equals or not folder.strip():
        raise ValueError
    return parse_path(path.strip()), Path(folder.strip())


def parse_network(text: str) -> "IPv4Network | IPv6Network":
    """An address or a network; host bits are refused, since a list of whom to trust is no place for guesses."""
    from ipaddress import ip_network

    return ip_network(text)


_TAKEN_FIELD_NAMES = frozenset(
    (
        *("connection", "content-disposition", "content-encoding", "content-length", "content-range", "content-type"),
        *("cache-control", "date", "etag", "host", "last-modified", "location", "set-cookie", "transfer-encoding"),
        *("upgrade", "vary"),
    )
)
"""Every response may hold one of these, and means something else by it."""


def parse_field_name(text: str) -> str | None:
    """A field name (RFC 9110 §5.6.2 token); None for `off`, and the usual name for `on`."""
    if text.lower() in _ON | _OFF or not text:
        return SEND_FILE_HEADER if text.lower() in _ON else None
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text) or text.lower() in _TAKEN_FIELD_NAMES:
        raise ValueError
    return text


def parse_field_name_switch(text: str) -> str | None:
    """Thruster's way to say it: a switch, no name."""
    return SEND_FILE_HEADER if parse_switch(text) else None


def parse_codings(text: str) -> tuple[str, ...]:
    """Content codings in order of preference; all of them for `on`, () for `off`."""
    if text.lower() in _ON | _OFF | {"none"}:
        return CODINGS if text.lower() in _ON else ()
    codings = parse_list(str)(text.lower())
    if not set(codings) <= set(CODINGS):
        raise ValueError
    return tuple(dict.fromkeys(codings))


def parse_codings_switch(text: str) -> tuple[str, ...]:
    """Thruster's way to say it: all codings or none."""
    return CODINGS if parse_switch(text) else ()


def parse_fingerprint(text: str) -> re.Pattern[bytes] | bool:
    """A regular expression for raw paths; True, the built-in rule, for `on`, and False for `off`."""
    word = text.lower()
    if word in _OFF or not text:
        return False
    if word in _ON or word == BUILT_IN:
        return True
    return _compiled(text.encode("ascii"))  # as paths are on the wire: percent-encoded


def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    with catch_warnings():
        simplefilter("error")  # for expressions that a later Python will read in another way
        try:
            return re.compile(pattern)
        except (re.error, OverflowError, RecursionError, Warning) as error:
            raise ValueError from error


def show_fingerprint(rule: re.Pattern[bytes] | bool) -> str:
    """The expression, `built-in` or `off`."""
    if isinstance(rule, bool):
        return BUILT_IN if rule else "off"
    return rule.pattern.decode("ascii")


def parse_base64(text: str) -> bytes:
    """The bytes behind any spelling of base64: either alphabet (RFC 4648 §4, §5), with or without padding."""
    from base64 import b64decode

    digits = text.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    if not digits:
        raise ValueError
    return b64decode(digits + "=" * (-len(digits) % 4), validate=True)


def parse_matching(pattern: str) -> Callable[[str], str]:
    """A parser for text that matches `pattern` in full."""
    expression = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        if not expression.fullmatch(text):
            raise ValueError
        return text

    return parse


def parse_choice(choices: type[Enum]) -> Callable[[str], Enum]:
    """A parser for the values of an enum, in any case."""
    return lambda text: choices(text.lower())


def parse_http2(text: str) -> Http2:
    """A switch, or `auto`."""
    if text.lower() == Http2.AUTO.value:
        return Http2.AUTO
    return Http2.ON if parse_switch(text) else Http2.OFF


def parse_tls(text: str) -> Tls:
    """`local`, or a switch that says off."""
    return Tls.OFF if text.lower() in _OFF else Tls(text.lower())


def parse_hsts(text: str) -> int | None:
    """Seconds for `on` (a year), for a number of them, or for a duration; None for `off`."""
    if text.lower() in _ON | _OFF:
        return int(MAX_DURATION_S) if parse_switch(text) else None
    if re.fullmatch(r"[0-9]{1,9}", text):  # two years are usual, more than a duration may be
        return int(text)
    return int(parse_duration_s(text))


def parse_list(parse: Callable[[str], T], separators: str = ",") -> Callable[[str], tuple[T, ...]]:
    """A parser for what stands between `separators`; blanks around it and empty members do not count."""
    between = re.compile(f"[{re.escape(separators)}]")
    return lambda text: tuple(parse(item) for part in between.split(text) if (item := part.strip()))


def _show_choice(choice: Enum) -> str:
    return str(choice.value)


def _show_switch(value: bool) -> str:
    return "on" if value else "off"


def _show_mounts(mounts: tuple[tuple[str, Path], ...]) -> str:
    return ",".join(f"{path}:{folder}" for path, folder in mounts)


def _show_mapping(mapping: tuple[tuple[str, Path], ...]) -> str:
    return ",".join(f"{path}={folder}" for path, folder in mapping)


def _show_list(values: tuple[object, ...]) -> str:
    return ",".join(map(str, values))


SWITCH = Kind(parse_switch, "1, true, yes or on, or 0, false, no or off", _show_switch)
PORT = Kind(parse_port, f"a port from 1 to {MAX_PORT}")
LISTEN_PORT = Kind(parse_port_or_any, f"a port from 1 to {MAX_PORT}, or 0 for any free one")
HOST = Kind(parse_host, "an address such as 0.0.0.0 or ::1, a host name, or *", empty="all interfaces")
ADMIN = Kind(parse_host_and_port, "a port, host:port with a port from 1 to 65535, or off", empty="off")
DURATION = Kind(
    parse_duration_s, "a duration such as 30, 30s, 500ms, 2m or 1h, at most a year", show_duration, "seconds"
)
SIZE = Kind(parse_size_bytes, "a size such as 65536, 64KB, 64MB or 1MiB", show_size, "bytes")
JITTER = Kind(parse_jitter_bytes, "a size such as 32 or 1KB, at most 64KB", show_size, "bytes")
FILE = Kind(Path, "a path")
FOLDERS = Kind(parse_list(Path, ",:"), "folders with commas or colons between them", _show_list, empty="none")
MOUNTS = Kind(
    parse_list(parse_mount),
    "path:folder such as /static:/app/staticfiles, with commas between them",
    _show_mounts,
    empty="none",
)
MAPPING = Kind(
    parse_list(parse_mapping),
    "uri=folder such as /protected/=/data/, with commas between them",
    _show_mapping,
    empty="none",
)
DOMAINS = Kind(
    parse_domains,
    "host names with commas between them (no wildcards, no addresses; names beyond ASCII as xn--…)",
    _show_list,
)
NETWORKS = Kind(
    parse_list(parse_network),
    "addresses and networks such as 10.0.0.0/8 (no bits set beyond the mask) with commas between them",
    _show_list,
    empty="any",
)
URL_PATH = Kind(parse_path_or_off, "a path such as /up without query, or off", empty="off")
URL_PATHS = Kind(parse_list(parse_path), "paths such as /up,/healthz with commas between them", _show_list)
FIELD_NAME = Kind(parse_field_name, "the name of a header with no other meaning, or off", empty="off")
CODING_LIST = Kind(
    parse_codings, f"some of {', '.join(CODINGS)} with commas between them, on or off", _show_list, empty="off"
)
FINGERPRINT = Kind(
    parse_fingerprint, r"a regular expression in ASCII such as \.[0-9a-f]{12}\., on or off", show_fingerprint
)
CODING_SWITCH = Kind(parse_codings_switch, SWITCH.accepts)
FIELD_NAME_SWITCH = Kind(parse_field_name_switch, SWITCH.accepts)
RESTART = Kind(parse_choice(Restart), "never or on-failure", _show_choice)
LOG_FORMAT = Kind(parse_choice(LogFormat), "json, text or auto", _show_choice)
HTTP2 = Kind(parse_http2, "1, 0 or auto", _show_choice)
TLS = Kind(parse_tls, "local, for certificates on localhost, or off", _show_choice)
HSTS = Kind(parse_hsts, "on (a year), off, a number of seconds, or a duration such as 12h", empty="off", unit="seconds")
HTTPS_URL = Kind(parse_matching(r"https://[!-~]+"), "a URL that begins with https:// (RFC 8555 §6.1)")
EMAIL = Kind(parse_matching(r"[^@\s,]+@[^@\s,]+"), "an e-mail address")
TOKEN = Kind(parse_matching(r"[!-~]+"), "text without blanks")
BASE64 = Kind(parse_base64, "base64, padded or not, in the standard or the URL alphabet")
