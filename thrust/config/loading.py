"""Environment → Config, with the origin of each value and warnings; the only place that reads variables.

Pure: nothing is opened, resolved or imported on the way, so that `thrust --check` can run anywhere. The order: find
each setting's text, parse all of it (every error is reported, a line each), fill in the defaults that depend on other
settings, refuse what cannot go together, and warn of what is probably not meant as it was written.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from thrust.config.setting import PREFIXES, Setting
from thrust.config.table import SETTINGS, Config
from thrust.config.values import Http2, Tls
from thrust.errors import ConfigError

HTTP_PORT = 80
HTTPS_PORT = 443
MAX_SHOWN_VALUE = 80  # characters of a wrong value that an error sentence repeats

# Written for the worker, never read: a thrust that runs inside another's worker inherits it.
PUBLIC_PORT_VARIABLE = "THRUST_PUBLIC_PORT"

# What Kubernetes puts into every container for a service called `thrust…` (enableServiceLinks).
_SERVICE_LINK_NAME = re.compile(r"_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))(_|$)")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")


class Origin(NamedTuple):
    """A setting's effective value as text, and the variable it came from or `default`."""

    value: str
    variable: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the environment says: the Config, where each setting (by its documented name) comes from, and sentences
    about what is probably not meant as it was written."""

    config: Config
    origins: Mapping[str, Origin]
    warnings: tuple[str, ...]


def load(environ: Mapping[str, str]) -> Loaded:
    """The settings in `environ`.

    Raises ConfigError with one line for each value that cannot be used, or for each pair that does not go together.
    """
    found = {field_name: hit for field_name, setting in SETTINGS.items() if (hit := _find(setting, environ))}
    written = _parse_all(found)
    asked = _build(written)
    config = _completed(asked, found)
    if conflicts := list(_conflicts(config, found)):
        raise ConfigError("\n".join(conflicts))
    warnings = [*_unknown_variables(environ), *_pending(asked, found), *_doubts(asked, config, found)]
    return Loaded(config, _origins(config, found), tuple(warnings))


class _Found(NamedTuple):
    variable: str
    text: str


_FoundByField = Mapping[str, _Found]


def _find(setting: Setting, environ: Mapping[str, str]) -> _Found | None:
    for variable in setting.variables:
        text = environ.get(variable, "").strip()
        if text or (variable in environ and setting.empty_is_off and setting.kind_in(variable) is setting.kind):
            return _Found(variable, text)
    return None


def _parse_all(found: _FoundByField) -> dict[str, Any]:
    values: dict[str, Any] = {}
    errors: list[str] = []
    for field_name, (variable, text) in found.items():
        kind = SETTINGS[field_name].kind_in(variable)
        try:
            values[field_name] = kind.parse(text)
        except ValueError:
            errors.append(_refusal(SETTINGS[field_name], variable, text, kind.accepts))
    if errors:
        raise ConfigError("\n".join(errors))
    return values


def _refusal(setting: Setting, variable: str, text: str, accepts: str) -> str:
    seen = "not" if setting.secret else f"{_shortened(text)!r}, but must be"
    sentence = f"{variable} is {seen} {accepts}"
    if _SERVICE_LINK_VALUE.match(text):
        sentence += "; Kubernetes sets it for a service of that name unless the pod says enableServiceLinks: false"
    return sentence


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_VALUE else text[: MAX_SHOWN_VALUE - 1] + "…"


def _build(values: dict[str, Any]) -> Config:
    if address := values.get("admin_port"):
        values = values | {"admin_host": address[0], "admin_port": address[1]}
    return Config(**values)


def _completed(asked: Config, found: _FoundByField) -> Config:
    """`asked` with the defaults that depend on other settings, and without what another setting overrides."""
    config = replace(asked, acme_domains=()) if asked.has_static_certificate else asked
    if config.has_static_certificate or config.acme_domains:
        config = replace(config, tls=Tls.OFF)
    if config.acme_domains:  # the ports that a certificate authority looks at
        config = replace(config, port=asked.port if "port" in found else HTTP_PORT)
        config = replace(config, https_port=asked.https_port or HTTPS_PORT)
    if "forward_headers" not in found:
        config = replace(config, forward_headers=not config.serves_tls)
    if "http2" not in found and config.acme_domains and found["acme_domains"].variable.endswith("TLS_DOMAIN"):
        config = replace(config, http2=Http2.AUTO)  # Thruster always offers it
    if "http2" not in found and config.tls is Tls.LOCAL:
        config = replace(config, http2=Http2.AUTO)  # browsers use it everywhere else, so a developer should see it
    return config


def _conflicts(config: Config, found: _FoundByField) -> Iterator[str]:
    yield from _port_conflicts(config, found)
    for one, other in (("tls_certificate_path", "tls_key_path"), ("eab_kid", "eab_hmac_key")):
        if (one in found) != (other in found):
            there, missing = (one, other) if one in found else (other, one)
            yield f"{found[there].variable} is set, but {SETTINGS[missing].name} is not; they only work together"


def _port_conflicts(config: Config, found: _FoundByField) -> Iterator[str]:
    """The worker and the metrics page need ports of their own; TLS may share the listen port."""
    for one, other in (
        ("port", "worker_port"),
        ("https_port", "worker_port"),
        ("admin_port", "worker_port"),
        ("admin_port", "port"),
        ("admin_port", "https_port"),
    ):
        if (port := getattr(config, one)) and port == getattr(config, other):
            first, second = (_named(name, found, port) for name in (one, other))
            sentence = f"{first} and {second} are both {port}, but must differ"
            if one == "port" and one not in found:
                sentence += "; give thrust another one by HTTP_PORT, Thruster's default is 80"
            yield sentence


def _named(field_name: str, found: _FoundByField, default: int) -> str:
    if field_name in found:
        return found[field_name].variable
    return f"{SETTINGS[field_name].name} (not set, default {default})"


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Names with our prefix that mean nothing here: most likely misspelt."""
    known = {variable for setting in SETTINGS.values() for variable in setting.variables} | {PUBLIC_PORT_VARIABLE}
    for variable in sorted(environ):
        if variable in known or not variable.startswith(PREFIXES):
            continue
        if _SERVICE_LINK_NAME.search(variable) or _SERVICE_LINK_VALUE.match(environ[variable]):
            continue
        yield f"{variable} is not a setting of this version{_suggestion(variable, known)}"


def _suggestion(variable: str, known: set[str]) -> str:
    from difflib import get_close_matches  # only a misspelt name pays for it

    closest = get_close_matches(variable, sorted(known), n=1, cutoff=0.8)
    return f"; did you mean {closest[0]}?" if closest else ""


def _pending(asked: Config, found: _FoundByField) -> Iterator[str]:
    """A sentence for each setting whose feature is not built, unless it only says that the feature shall be off."""
    for field_name, (variable, _) in found.items():
        pending = SETTINGS[field_name].pending
        if pending and getattr(asked, field_name) not in (None, (), 0, False, Http2.OFF):
            yield f"{variable} has no effect yet: {pending} is not part of this version"


def _doubts(asked: Config, config: Config, found: _FoundByField) -> Iterator[str]:
    """Sentences about settings that contradict each other without harm."""
    if asked.has_static_certificate and asked.acme_domains:
        static, acme = found["tls_certificate_path"].variable, found["acme_domains"].variable
        yield f"{static} and {acme} are both set: the static certificate is used, and no other is ordered"
    if asked.tls is Tls.LOCAL and config.tls is not Tls.LOCAL:
        yield f"{found['tls'].variable} has no effect, because another setting says where certificates come from"
    if config.http2 is Http2.ON and not config.serves_tls:
        yield f"{found['http2'].variable} needs TLS; for HTTP/2 without TLS set H2C_ENABLED=1"
    if config.https_port and not config.serves_tls:
        yield f"{found['https_port'].variable} has no effect without a certificate; SSL_CERT_PATH names one"
    if config.hsts_s is not None and not config.serves_tls and not config.forward_headers:
        yield f"{found['hsts_s'].variable} has no effect without TLS"
    is_by_uri = (config.send_file_header or "").lower() == "x-accel-redirect"
    if is_by_uri and not config.send_file_mapping:
        yield f"{found['send_file_header'].variable} sends nothing without THRUST_SEND_FILE_MAPPING"
    if config.send_file_mapping and not is_by_uri:
        yield f"{found['send_file_mapping'].variable} has no effect without THRUST_SEND_FILE_HEADER=X-Accel-Redirect"
    if "send_file_roots" in found and config.send_file_header is None:
        yield f"{found['send_file_roots'].variable} has no effect, because THRUST_SEND_FILE_HEADER is off"
    if config.trusted_proxies and not config.forward_headers:
        yield f"{found['trusted_proxies'].variable} has no effect, because FORWARD_HEADERS is off"
    if "port" not in found and found.get("worker_port", _Found("", "")).variable.endswith("TARGET_PORT"):
        yield (
            f"{found['worker_port'].variable} is set, but no port to listen on: thrust takes {config.port}"
            " (Thruster would take 80; HTTP_PORT sets it)"
        )


def _origins(config: Config, found: _FoundByField) -> dict[str, Origin]:
    origins = {}
    for field_name, setting in SETTINGS.items():
        text = setting.text(getattr(config, field_name))
        if field_name == "admin_port" and config.admin_port is not None:
            host = config.admin_host or "*"
            text = f"[{host}]:{config.admin_port}" if ":" in host else f"{host}:{config.admin_port}"
        variable = found[field_name].variable if field_name in found else "default"
        origins[setting.name] = Origin(text, variable)
    return origins
