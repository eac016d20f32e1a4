"""The order of all handlers, and the reason for each place: the file to read first.

A request goes down the list, its response comes back up. Each handler is an `async (Request) -> Response` that calls
the next one, answers itself, or raises a ThrustError.

    identify      first, so that every line of the log, also that of a refusal, names the real client and the request
    strict        above errors: their pages tell browsers to insist on HTTPS too
    errors        turns whatever fails below into a response with an honest page
    acme          above https: a certificate authority asks over plain HTTP, before there is a certificate
    https         before anything is done for a request that has to come again over HTTPS
    body_limit    before anything waits: a request that is too large costs nothing, not even a place in the queue
    health        before cache and hold: a probe asks the worker itself, and hears at once that it is not ready
    compression   above the cache, whose answers are coded already: each client gets what it accepts of one answer
    cache         before hold: what is stored is served while no worker is ready; above files, to keep small ones too
    static        before hold: files need no worker
    send_file     above hold: it is the worker's response that names a file
    hold          keeps requests while no worker is ready
    forward       to the worker

A hit in the cache has a shorter way, `Chain.at_once`, which is synchronous: identify, cache, strict on the way back.
What else lies between has nothing to say about a request without content that nobody has to work for; nor has https,
because nothing is stored that it has not let through.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from thrust.cache.fingerprint import recogniser
from thrust.cache.serving import Serving
from thrust.cache.store import Store
from thrust.cache.visit import Rules
from thrust.config import Config
from thrust.config.table import DEFAULTS
from thrust.errors import ConfigError
from thrust.files.confined import Roots
from thrust.handlers.acme_challenge import AcmeChallenge, Answer
from thrust.handlers.body_limit import BodyLimit
from thrust.handlers.cache import Cache
from thrust.handlers.compression import Compression
from thrust.handlers.errors import ErrorPages, Errors
from thrust.handlers.files import LogRefusal, Mount
from thrust.handlers.forward import Forward
from thrust.handlers.health import Health
from thrust.handlers.hold import Hold
from thrust.handlers.https_redirect import HttpsRedirect, StrictTransport
from thrust.handlers.identify import Identify
from thrust.handlers.send_file import ACCEL_REDIRECT, HideSendFile, Mappings, Paths, SendFile, offer_of
from thrust.handlers.static import Static
from thrust.http.message import AtOnce, Handler, Request, Response
from thrust.upstream.pool import Pool

LogUnexpected = Callable[[BaseException], None]


@dataclass(frozen=True, slots=True)
class Chain:
    """The way of every request, and the shorter one of those that are answered from memory."""

    handler: Handler
    at_once: AtOnce | None


@dataclass(frozen=True, slots=True)
class Hosts:
    """Who knows which hosts are ours, which of them have a certificate by now, and what a challenge is answered."""

    serves: Callable[[str], bool]
    has_certificate: Callable[[str], bool]
    challenge_answer: Answer | None = None


def build(
    config: Config,
    pool: Pool,
    pages: ErrorPages,
    log_unexpected: LogUnexpected,
    log_refusal: LogRefusal,
    hosts: Hosts | None = None,
) -> Chain:
    """The whole chain in front of the worker that `pool` leads to.

    With `hosts` plain HTTP is redirected to them.
    """
    # Bound methods, because CPython calls those faster than instances with `__call__` (benchmark forward-1k).
    handler: Handler = Hold(Forward(pool).__call__, pool, patience_s=config.boot_timeout_s).__call__
    handler = to_worker = _sending_files(handler, pool, config, log_refusal)
    recognise = recogniser(config.fingerprint)
    if config.static:
        with _named("THRUST_STATIC"):
            mounts = [Mount(path.encode(), os.fsencode(folder)) for path, folder in config.static]
        handler = Static(handler, mounts, recognise, log_refusal).__call__
    codings = tuple(coding.encode() for coding in config.compression)
    cache: Cache | None = None
    if config.cache_size_bytes:
        store = Store(config.cache_size_bytes)
        rules = Rules(recognise, config.max_cache_item_size_bytes, codings)
        cache = Cache(handler, store, Serving(store, codings), rules, lambda: pool.is_open)
        handler = cache.__call__
    if codings:
        handler = Compression(
            handler,
            codings,
            jitter_bytes=config.compression_jitter_bytes,
            spares_credentials=config.compression_disable_on_auth,
            max_file_bytes=config.max_cache_item_size_bytes,
        ).__call__
    if config.health_path:
        handler = Health(handler, to_worker, pool, path=config.health_path).__call__
    if config.max_request_body_bytes:
        handler = BodyLimit(handler, max_bytes=config.max_request_body_bytes).__call__
    if hosts is not None:
        port = None if config.https_port == config.port else config.https_port
        handler = HttpsRedirect(
            handler,
            port=port,
            serves_host=hosts.serves,
            health_path=config.health_path,
            has_certificate=hosts.has_certificate,
        ).__call__
        if hosts.challenge_answer is not None:
            handler = AcmeChallenge(handler, hosts.challenge_answer).__call__
    handler = Errors(handler, pages, log_unexpected).__call__
    strict = None if config.hsts_s is None else StrictTransport(handler, max_age_s=config.hsts_s)
    if strict is not None:
        handler = strict.__call__
    identify = Identify(handler, trusts_clients=config.forward_headers, proxies=config.trusted_proxies)
    return Chain(identify.__call__, None if cache is None else _from_memory(identify, cache, strict))


def _sending_files(following: Handler, pool: Pool, config: Config, log_refusal: LogRefusal) -> Handler:
    """X-Sendfile, of which the worker is told, or what takes its fields away while it is off."""
    if config.send_file_header is None:
        return HideSendFile(following).__call__
    header = config.send_file_header.lower().encode()
    folders = [os.fsencode(path) for path in config.send_file_roots]
    if config.send_file_roots == DEFAULTS.send_file_roots:
        folders = _working_directory()
    if header == ACCEL_REDIRECT:
        with _named("THRUST_SEND_FILE_MAPPING or _ROOT"):
            mounts = [Mount(uri.encode(), os.fsencode(path), folders) for uri, path in config.send_file_mapping]
        pool.tell(offer_of(header, mounts) if mounts else ())
        return SendFile(following, header, Mappings(mounts), log_refusal).__call__
    with _named("THRUST_SEND_FILE_ROOT"):
        roots = Roots(folders) if folders else None
    pool.tell(offer_of(header) if folders else ())
    return SendFile(following, header, Paths(roots), log_refusal).__call__


def _working_directory() -> list[bytes]:
    """The working directory, and the link by which the shell got there: the app may name its files by either.

    Empty in an image without WORKDIR, because nobody means the whole disk by default; and where the folder is gone or
    out of our reach, because nobody asked for it.
    """
    try:
        here, link = os.getcwdb(), os.environb.get(b"PWD", b"")
    except OSError:
        return []
    if here == b"/" or not os.path.isdir(here):
        return []
    return [here, link] if link != here and os.path.isabs(link) and os.path.realpath(link) == here else [here]


@contextmanager
def _named(setting: str) -> Iterator[None]:
    """Has a ConfigError say whose value is wrong."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{setting}: {error}") from error


def _from_memory(identify: Identify, cache: Cache, strict: StrictTransport | None) -> AtOnce:
    def at_once(request: Request) -> Response | None:
        identify.identify(request)
        return cache.at_once(request)

    return at_once if strict is None else strict.at_once(at_once)
