"""The composition root: builds everything, starts it in order, stops it in order. The only file that sees both sides.

Start: bind (whatever is wrong with the port is said before a worker exists), spawn, serve; requests that come before
the worker is ready are held. Stop (SIGTERM, SIGINT): accept no more, announce it, finish what is under way, end the
worker, exit with its code. Everything together has THRUST_SHUTDOWN_TIMEOUT; a second signal skips the waiting.
"""

import asyncio
import gc
import math
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Protocol

from thrust.config import Config, Restart, Tls
from thrust.errors import ListenError
from thrust.flow import start_task
from thrust.handlers import chain
from thrust.handlers.errors import ErrorPages
from thrust.handlers.https_redirect import strict_line
from thrust.http.message import Request
from thrust.observe.access_log import AccessLog
from thrust.observe.logs import Log
from thrust.server.front import Front, Timeouts
from thrust.server.http1 import Http1Connection
from thrust.server.listener import Listener, bind
from thrust.upstream.pool import Pool
from thrust.worker.supervisor import Supervisor

if TYPE_CHECKING:
    import ssl

    from thrust.tls.manager import Manager

DRAIN_SHARE = 0.75
"""Of the shutdown budget, at most, for exchanges under way: the worker keeps the rest to stop in."""

FLUSH_S = 1.0
"""For the last responses and the last lines of the log to leave."""

FAREWELL_S = 1.0
"""For a worker that was told to stop to end its WebSockets in its own words, as uvicorn does. Hypercorn waits for their
clients instead; we end them then, so that it can stop."""

MAX_OPEN_FILES = 65536
"""What the soft limit on descriptors is raised to where the hard one allows; each client takes up to two."""

SETTLE_S = 0.05
"""Between a signal to stop and the closing of the listening sockets: clients that wait in the backlog are accepted, and
what they have sent is read, instead of being reset."""

COLLECT_AFTER = 20_000
"""New objects between two collections, where Python has 700 to 2,000. Some 30 live per idle connection."""

RESERVED_FILES = 32
"""Descriptors for everything but clients and their connections to the worker."""

WARN_EVERY_S = 10.0

RELAYED_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH)
"""They mean something to some app servers (gunicorn: more workers, reopen logs) and nothing to us."""


def run(config: Config, warnings: Sequence[str], command: Sequence[str]) -> int:
    """Serves `command` until it ends or we are told to stop; returns the exit code.

    Raises CertificateError or ListenError before anything was started, WorkerError if the worker cannot be.
    """
    certificates = _certificates(config)
    ports = _bind(config)
    log = Log(log_format=config.log_format.value, is_debug=config.debug)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(config, warnings, command, ports, certificates, log))
    finally:
        for listening in (*ports.plain, *ports.tls):
            listening.close()
        log.close(FLUSH_S)


@dataclass(frozen=True, slots=True)
class Ports:
    """The listening sockets. Where both kinds share a port, they are all in `tls`, which takes plain HTTP too."""

    plain: Sequence[socket.socket]
    tls: Sequence[socket.socket]

    @property
    def public(self) -> int:
        """The port that clients use in the end."""
        port: int = (self.tls or self.plain)[0].getsockname()[1]
        return port


def _bind(config: Config) -> Ports:
    if not config.serves_tls:
        return Ports(bind(config.host, config.port), [])
    if config.https_port in (None, config.port):
        return Ports([], bind(config.host, config.port))
    plain = bind(config.host, config.port)
    try:
        return Ports(plain, bind(config.host, config.https_port or 0, "HTTPS_PORT"))
    except ListenError:
        for listening in plain:
            listening.close()
        raise


class Certificates(Protocol):
    """Who answers handshakes, wherever certificates come from."""

    def choose(self, server_name: bytes | None, protocols: tuple[bytes, ...], /) -> "ssl.SSLContext": ...
    def covers(self, host: str) -> bool: ...
    async def watch(self, log: Log) -> None: ...


def _certificates(config: Config) -> Certificates | None:
    """What the settings name, None without TLS; its modules are not worth loading then. Raises ConfigError."""
    protocols = ("h2", "http/1.1") if config.offers_http2 else ("http/1.1",)
    if config.tls_certificate_path is not None and config.tls_key_path is not None:
        from thrust.tls.certificates import PemFiles
        from thrust.tls.static import StaticCertificate

        return StaticCertificate(PemFiles(config.tls_certificate_path, config.tls_key_path), protocols)
    if config.acme_domains:
        return _acme_manager(config, protocols)
    if config.tls is Tls.LOCAL:
        from thrust.tls.local_ca import LocalCertificates, data_folder

        return LocalCertificates(data_folder(), protocols)
    return None


def _acme_manager(config: Config, protocols: tuple[str, ...]) -> "Manager":
    from thrust.tls.manager import Manager
    from thrust.tls.settings import AcmeSettings

    settings = AcmeSettings(
        config.acme_directory, config.acme_email, config.eab_kid, config.eab_hmac_key, config.acme_profile
    )
    return Manager(config.acme_domains, settings, config.storage_path, protocols)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # no wheel for this platform: the loop of the standard library does the same, a little slower
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(
    config: Config,
    warnings: Sequence[str],
    command: Sequence[str],
    ports: Ports,
    certificates: Certificates | None,
    log: Log,
) -> int:
    service = Service(config, command, ports, certificates, log)
    log.start()
    for warning in warnings:
        log.warning(warning)
    return await service.run()


class Service:
    """Everything that runs, and the order in which it begins and ends. Implements the supervisor's WorkerEvents."""

    def __init__(
        self,
        config: Config,
        command: Sequence[str],
        ports: Ports,
        certificates: Certificates | None,
        log: Log,
    ) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._log_loop_error)
        self._loop = loop
        self._config = config
        self._log = log
        self._ports = ports
        self._certificates = certificates
        inherited_limit = _raise_open_files_limit()
        self._pool = Pool(loop, answer_timeout_s=config.worker_timeout_s)
        pages = ErrorPages(config.bad_gateway_page)
        self._access_log = AccessLog(log, config.log_exclude) if config.log_requests else None
        hosts = _hosts(config, certificates)
        links = chain.build(config, self._pool, pages, self._log_unexpected, self._log_refusal, hosts)
        front = Front(
            handler=links.handler,
            at_once=links.at_once,
            observers=[self._access_log] if self._access_log is not None else [],
            timeouts=Timeouts(config.idle_timeout_s, config.read_timeout_s, config.write_timeout_s),
            error_response=pages.response,
            strict_lines=[] if config.hsts_s is None else [strict_line(config.hsts_s)],
            max_connections=max(1, (_open_files_limit() - RESERVED_FILES) // 2),
            on_full=self._warn_of_full_house,
        )
        self._front = front
        self._warned_at_s = -math.inf
        self._listener = Listener(loop, ports.plain, front, self._plain_connection())
        if certificates is not None:
            self._listener.add(ports.tls, self._tls_port(certificates))
        self._supervisor = Supervisor(
            command,
            worker_port=config.worker_port,
            public_port=ports.public,
            boot_timeout_s=config.boot_timeout_s,
            restart_on_failure=config.restart is Restart.ON_FAILURE,
            environ=dict(os.environ),
            events=self,
            log=log,
            nofile_soft_limit=inherited_limit,
        )
        self._stopping: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        """The exit code, when the worker has ended, by itself or because we were told to stop."""
        self._take_signals()
        await self._listener.start()
        _relax_collector()
        self._tell_ports()
        watch = None
        if self._certificates is not None:
            watch = start_task(self._loop, self._certificates.watch(self._log))
        try:
            code = await self._supervisor.run()
        finally:
            if watch is not None:
                watch.cancel()
            await self._end_connections()
        if self._stopping is not None:
            await self._stopping
        self._log.info("stopped", exit_code=code)
        return code

    def _tell_ports(self) -> None:
        fields: dict[str, object] = {"host": self._config.host or "*"}
        for name, sockets in (("port", self._ports.plain), ("https_port", self._ports.tls)):
            if sockets:
                fields[name] = sockets[0].getsockname()[1]
        if self._config.tls is Tls.LOCAL:
            fields["url"] = f"https://localhost:{self._ports.public}"
        self._log.info("listening", **fields)

    def _plain_connection(self) -> Callable[[], asyncio.Protocol]:
        """Makes the protocol of a connection without TLS."""
        h1 = partial(Http1Connection, self._front, self._loop)
        if not self._config.h2c:
            return h1
        from thrust.server.http2 import Http2Connection
        from thrust.server.prior_knowledge import PriorKnowledge

        h2 = partial(Http2Connection, self._front, self._loop, b"http")
        return partial(PriorKnowledge, self._front, self._loop, h1, h2)

    def _tls_port(self, certificates: Certificates) -> Callable[[], asyncio.Protocol]:
        """Who takes the connections of the TLS port."""
        from thrust.server.doorway import TlsPort  # for those who have a certificate

        front, loop, log = self._front, self._loop, self._log
        h1 = partial(Http1Connection, front, loop, b"https")
        by_alpn: dict[str | None, Callable[[], asyncio.Protocol]] = {None: h1, "http/1.1": h1}
        if self._config.offers_http2:
            from thrust.server.http2 import Http2Connection

            by_alpn["h2"] = partial(Http2Connection, front, loop, b"https")
        port = TlsPort(
            front,
            loop,
            choose=certificates.choose,
            by_alpn=by_alpn,
            plain=self._plain_connection(),
            log_failure=lambda client, reason: log.debug("handshake failed", client=client, reason=reason),
        )
        return port.connect

    async def _end_connections(self) -> None:
        """The worker is gone: exchanges under way get their 502, and everybody is shown out."""
        self._pool.give_up("it has ended")
        self._pool.abort()
        self._listener.stop_accepting()
        await self._listener.drained(FLUSH_S)
        self._listener.abort()

    # Signals

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop, number)
        self._loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        for number in RELAYED_SIGNALS:
            self._loop.add_signal_handler(number, self._supervisor.relay, number)

    def _stop(self, number: int) -> None:
        """First signal: drain, then end the worker. Second: end the worker. Third: kill it."""
        if self._stopping is None:
            self._log.info("stopping", signal=signal.Signals(number).name)
            self._stopping = start_task(self._loop, self._drain_and_stop())
        elif not self._hurry.is_set():
            self._log.info("stopping at once", signal=signal.Signals(number).name)
            self._hurry.set()
        else:
            self._supervisor.stop_now()

    async def _drain_and_stop(self) -> None:
        ends_at_s = self._loop.time() + self._config.shutdown_timeout_s
        await asyncio.sleep(SETTLE_S)
        self._listener.stop_accepting()
        if not self._pool.is_open:
            self._pool.give_up("thrust is stopping")
        drained = start_task(self._loop, self._listener.drained(self._config.shutdown_timeout_s * DRAIN_SHARE))
        hurried = start_task(self._loop, self._hurry.wait())
        await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurried):
            task.cancel()
        self._listener.end_streams()
        left_s = ends_at_s - self._loop.time()
        stopped = start_task(
            self._loop, self._supervisor.stop(min(left_s, FLUSH_S) if self._hurry.is_set() else left_s)
        )
        await asyncio.wait((stopped,), timeout=FAREWELL_S)
        self._listener.end_streams(also_tunnels=True)
        await stopped

    def _hang_up(self) -> None:
        """SIGHUP: a new worker takes over; but if it was our terminal that has gone, nobody wants one."""
        if self._supervisor.has_lost_terminal:
            self._stop(signal.SIGHUP)
            return
        self._log.info("replacing the worker", signal="SIGHUP")
        self._supervisor.replace()

    # What the supervisor tells (WorkerEvents)

    def worker_ready(self, port: int) -> None:
        """Requests go to `port`."""
        self._pool.open(port)

    def worker_away(self) -> None:
        """Requests are held."""
        self._pool.close()

    def boot_timed_out(self) -> None:
        """Requests are refused until the worker is ready after all."""
        self._pool.give_up(f"it has not opened its port within {self._config.boot_timeout_s:g} s")

    async def drain_old(self, port: int) -> None:
        """Returns when the worker on `port` serves no exchange any more."""
        await self._pool.drained(port)

    # What nobody expected

    def _warn_of_full_house(self) -> None:
        now_s = self._loop.time()
        if now_s - self._warned_at_s >= WARN_EVERY_S:
            self._warned_at_s = now_s
            limit = self._front.max_connections
            self._log.warning("too many connections: more are refused; raise ulimit -n", connections=limit)

    def _log_unexpected(self, error: BaseException) -> None:
        self._log.error("internal error", error=repr(error), traceback="".join(format_exception(error)))

    def _log_refusal(self, request: Request, reason: str, /, *, is_fault: bool) -> None:
        """Logs that a file is not sent, unless the request's own line says so.

        There is none while requests are not logged, nor where the cache asks on its own account (without a path).
        """
        path = request.exchange.path
        if path and self._access_log is not None and self._access_log.covers(path):
            return
        log = self._log.error if is_fault else self._log.warning
        request_id = request.origin.request_id if request.origin is not None else b""
        log("file refused", error=reason, path=request.target.partition(b"?")[0], request_id=request_id)

    def _log_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        trace = "".join(format_exception(error)) if error is not None else ""
        self._log.error("internal error", error=context.get("message", ""), traceback=trace)


def _hosts(config: Config, certificates: Certificates | None) -> chain.Hosts | None:
    """What the chain has to know about our hosts, None without TLS."""
    if certificates is None:
        return None
    if config.acme_domains:
        from thrust.tls.manager import Manager

        assert isinstance(certificates, Manager)
        return chain.Hosts(certificates.covers, certificates.has_certificate, certificates.answers.for_path)
    return chain.Hosts(certificates.covers, certificates.covers)


def _relax_collector() -> None:
    """Lets Python look for cycles of garbage less often: requests leave none, errors few (benchmark forward-1k)."""
    gc.freeze()  # what exists now lives as long as the program
    gc.set_threshold(COLLECT_AFTER)


def _open_files_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def _raise_open_files_limit() -> int:
    """Raises the soft limit on descriptors; returns what it was, which is what the worker gets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft
