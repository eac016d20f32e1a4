"""Answers from memory what the worker has said once and allowed to be said again (RFC 9111).

There are two doors. `at_once` is synchronous: a plain request for something fresh, in a coding that is there, gets its
prepared response without a task. Everything else goes through `__call__`: it looks, asks the worker if it must, lets
others wait for the same answer, stores, validates, invalidates. What is allowed is decided in `thrust/cache/`; this is
the order in which it is asked for.

X-Cache says `hit`, `miss` or `bypass` as Thruster does; Cache-Status (RFC 9211) and the log also say why.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from thrust.cache.flights import Collector, Flight, Outcome
from thrust.cache.freshness import Use, judge
from thrust.cache.policy import FRESHNESS_FIELDS, invalidated_targets
from thrust.cache.serving import Serving, not_modified
from thrust.cache.store import Store
from thrust.cache.stored import Key, StoredResponse
from thrust.cache.visit import Rules, Visit, key_of
from thrust.coding.codec import CodingError
from thrust.errors import ThrustError, UpstreamError
from thrust.flow import start_task
from thrust.http.conditions import ORIGIN_PRECONDITIONS, PRECONDITIONS
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Handler, Request, Response, Tunnel

FOLLOW_S = 5.0
"""How long a request waits for another's answer before it goes to the worker itself, as in nginx (proxy_cache_lock)."""

UNSHARED_S = 60.0
MAX_UNSHARED = 8192
"""A target whose answer could not be shared is remembered for so long: nobody waits for it in vain meanwhile."""

_METHODS = frozenset({b"GET", b"HEAD"})

# With one of these a request is more than a plain one, and `__call__` has to look at it.
_DECISIVE = PRECONDITIONS | {b"cache-control", b"if-range", b"pragma", b"range"}

_ERRORS_FOR_STALE = frozenset({500, 502, 503, 504})  # RFC 5861 §4


def told(x_cache: bytes, how: bytes) -> Sequence[FieldLine]:
    """The lines that tell what the cache did."""
    return (b"x-cache", x_cache), (b"cache-status", b"thrust; " + how)


_NO_FRESHNESS = told(b"miss", b"fwd=uri-miss; detail=no-freshness")


class Cache:
    """Keeps in `store` what the worker, behind `following`, lets be kept."""

    def __init__(self, following: Handler, store: Store, serving: Serving, rules: Rules) -> None:
        self._following = following
        self._store = store
        self._serving = serving
        self._rules = rules
        self._flights: dict[Key, Flight] = {}
        self._unshared: dict[Key, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def at_once(self, request: Request) -> Response | None:
        """The response to a plain request for something fresh, None if more has to be looked at or waited for."""
        if request.method not in _METHODS or request.content_length != 0 or request.wants_upgrade:
            return None
        stored = self._store.find(key_of(request), request.headers)
        if stored is None:
            return None
        lines = request.headers.lines
        fields = dict(lines)
        if len(fields) != len(lines) or not _DECISIVE.isdisjoint(fields):
            return None
        exchange = request.exchange
        response = self._serving.at_once(stored, fields.get(b"accept-encoding"), exchange.started_at)
        if response is not None:
            exchange.cache = "hit"
        return response

    async def __call__(self, request: Request) -> Response:
        """A stored response if one may be used, else the worker's."""
        if request.method not in _METHODS:
            return await self._pass_by(request, b"method")
        if request.content_length != 0 or request.wants_upgrade:
            return await self._pass_by(request, b"bypass")
        key = key_of(request)
        fields = dict(request.headers.lines)
        if key in self._unshared and _DECISIVE.isdisjoint(fields) and self._is_unshared(key):
            return await self._ask_again(request)
        if not ORIGIN_PRECONDITIONS.isdisjoint(fields):
            return await self._pass_by(request, b"request")  # RFC 9111 §4.3.2: for the worker to evaluate
        visit = Visit(request, key, self._rules)
        for _ in range(2):
            visit.stored = self._store.find(visit.key, request.headers)
            response = await self._reuse(visit)
            if response is not None:
                return response
            if visit.directives is not None and visit.directives.only_if_cached:
                return _nothing_stored(request)
            if not visit.may_share or self._is_unshared(visit.key):
                break
            flight = self._flights.get(visit.key)
            if flight is None:
                return await self._lead(visit, Flight())
            outcome = await flight.landed(FOLLOW_S)
            if outcome is Outcome.FAILED and flight.error is not None:
                return await self._after_error(visit, flight.error)
            if outcome is Outcome.NOT_SHARED:
                break
        return await self._ask(visit, Flight())

    # From memory

    async def _reuse(self, visit: Visit) -> Response | None:
        """The answer from what is stored, None if the worker has to be asked."""
        stored, now_s = visit.stored, time.time()
        if stored is None:
            return None
        use = judge(stored.validity, visit.directives, now_s)
        if use is Use.VALIDATE:
            return None
        if use is Use.REUSE_AND_VALIDATE:
            self._validate_later(visit)
        return await self._respond(visit, stored, b"hit; ttl=%d" % stored.validity.ttl_s(now_s))

    async def _respond(self, visit: Visit, stored: StoredResponse, how: bytes, *, x_cache: bytes = b"hit") -> Response:
        """The answer out of `stored`; the worker's own if what it once coded cannot be decoded for this client."""
        visit.request.exchange.cache = x_cache.decode()
        try:
            return await self._serving.respond(stored, visit.request, told(x_cache, how))
        except CodingError as error:
            self._store.remove(stored.key)
            visit.request.exchange.error = f"the worker's stored content cannot be used: {error}"
            return await self._pass_by(visit.request, b"miss")

    async def _serve_stale(self, visit: Visit, stored: StoredResponse, status: int) -> Response:
        visit.request.exchange.cache_detail = "stale-if-error"
        return await self._respond(visit, stored, b"fwd=stale; fwd-status=%d; detail=stale-if-error" % status)

    # Past the cache

    async def _pass_by(self, request: Request, why: bytes) -> Response:
        """The worker's answer to what no cache may answer; ends what is stored if it changed something (§4.4)."""
        response = await self._following(request)
        request.exchange.cache = "bypass"
        self._invalidate(request, response)
        if not isinstance(response.body, Tunnel):
            response.headers.lines += told(b"bypass", b"fwd=" + why)
        return response

    def _invalidate(self, request: Request, response: Response) -> None:
        for target in invalidated_targets(
            request.method,
            response.status,
            response.headers,
            scheme=request.scheme if request.origin is None else request.origin.scheme,
            authority=request.authority,
            target=request.target,
        ):
            key = key_of(request, target)
            self._store.remove(key)
            if key in self._flights:
                self._flights[key].is_void = True

    # Asking the worker

    async def _lead(self, visit: Visit, flight: Flight) -> Response:
        """Asks the worker on behalf of all who want the same meanwhile."""
        self._flights[visit.key] = flight
        try:
            return await self._ask(visit, flight)
        except UpstreamError as error:
            flight.land(Outcome.FAILED, error)
            raise
        finally:
            if flight.collecting is None:
                self._end(visit.key, flight)

    def _end(self, key: Key, flight: Flight) -> None:
        """Nobody joins this flight any more; those who wait hear how it ended, or that they have to ask themselves."""
        flight.land(Outcome.LOST)
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _ask(self, visit: Visit, flight: Flight) -> Response:
        """The worker's answer, or the stored one if the worker confirms it or fails."""
        request, lines, stored = visit.request, visit.request.headers.lines, visit.stored
        visit.requested_at_s = time.time()
        request.headers.lines = visit.lines_to_ask()
        try:
            response = await self._following(request)
        except UpstreamError as error:
            return await self._after_error(visit, error)
        finally:
            request.headers.lines = lines
        visit.received_at_s = time.time()
        if stored is not None:
            if response.status == 304 and visit.is_validating:
                return await self._confirm(visit, stored, response, flight)
            if response.status in _ERRORS_FOR_STALE and visit.may_serve_on_error():
                response.close()
                return await self._serve_stale(visit, stored, response.status)
        return await self._keep_or_not(visit, response, flight)

    async def _keep_or_not(self, visit: Visit, response: Response, flight: Flight) -> Response:
        reason = visit.why_not_kept(response)
        if not reason:
            return await self._keep(visit, response, flight)
        flight.land(Outcome.NOT_SHARED)
        return self._hand_out(visit, response, reason)

    async def _ask_again(self, request: Request) -> Response:
        """The worker's answer where the last one could not be kept: nearly every page (benchmark forward-1k)."""
        requested_at_s = time.time()
        response = await self._following(request)
        if FRESHNESS_FIELDS.isdisjoint(dict(response.headers.lines)):
            exchange = request.exchange
            exchange.cache, exchange.cache_detail = "miss", "no-freshness"
            response.headers.lines += _NO_FRESHNESS
            return response
        visit = Visit(request, key_of(request), self._rules)
        visit.requested_at_s, visit.received_at_s = requested_at_s, time.time()
        return await self._keep_or_not(visit, response, Flight())

    async def _after_error(self, visit: Visit, error: ThrustError) -> Response:
        """The stored response in place of an error of the worker; raises `error` if there is none that may be used."""
        if visit.stored is None or not visit.may_serve_on_error():
            raise error
        visit.request.exchange.error = str(error)
        return await self._serve_stale(visit, visit.stored, getattr(error, "status", 502))

    async def _confirm(self, visit: Visit, stored: StoredResponse, response: Response, flight: Flight) -> Response:
        """What was stored is still right, and its fields are renewed (§4.3.4)."""
        response.close()
        before_bytes = stored.size_bytes
        if visit.confirm(stored, response):
            self._store.resize(stored, before_bytes)
            flight.land(Outcome.STORED if visit.is_for_others(stored) else Outcome.NOT_SHARED)
        else:
            self._store.remove(stored.key)
        visit.request.exchange.cache_detail = "validated"
        return await self._respond(visit, stored, b"fwd=%b; fwd-status=304" % visit.forward_reason)

    def _hand_out(self, visit: Visit, response: Response, reason: str) -> Response:
        """The worker's response, of which nothing is kept because of `reason`."""
        exchange = visit.request.exchange
        exchange.cache, exchange.cache_detail = "miss", reason
        if visit.may_share and visit.stored is None and (reason == "too-large" or not visit.is_fingerprinted):
            self._remember_unshared(visit.key)
        response.headers.lines += told(b"miss", b"fwd=%b; detail=%b" % (visit.forward_reason, reason.encode()))
        if not visit.is_known_already(response):
            return response
        response.close()
        return not_modified(response.headers.lines)

    # Storing

    async def _keep(self, visit: Visit, response: Response, flight: Flight) -> Response:
        """Stores the response, now or when all of it has come, and answers with it."""
        visit.request.exchange.cache_detail = "stored"
        how = b"fwd=%b; stored" % visit.forward_reason
        body = response.body
        if isinstance(body, bytes):
            stored = visit.stored_response(response, body)
            self._put(visit, stored, flight)
            return await self._respond(visit, stored, how, x_cache=b"miss")
        assert not isinstance(body, Tunnel)
        visit.request.exchange.cache = "miss"
        collector = Collector(body, self._rules.max_item_bytes, on_close=lambda: self._leave(flight))
        kept = Response(response.status, Headers(list(response.headers.lines)))
        flight.collecting = self._in_background(self._collect(visit, kept, collector, flight))
        response.body = collector
        response.headers.lines += told(b"miss", how)
        if not visit.is_known_already(response):
            return response
        flight.is_wanted = True
        return not_modified(response.headers.lines)

    async def _collect(self, visit: Visit, response: Response, collector: Collector, flight: Flight) -> None:
        """Stores what streams when all of it has come."""
        try:
            content = await collector.collect()
            if content is None:
                self._remember_unshared(visit.key)
                flight.land(Outcome.NOT_SHARED)
            else:
                self._put(visit, visit.stored_response(response, content), flight)
        except ThrustError:
            pass  # the client hears of it by reading; those who wait ask the worker themselves
        finally:
            self._end(visit.key, flight)

    def _leave(self, flight: Flight) -> None:
        """The client that led has left: what nobody waits for is not fetched to its end, so that the worker notices."""
        if flight.collecting is not None and not flight.followers and not flight.is_wanted:
            flight.collecting.cancel()

    def _put(self, visit: Visit, stored: StoredResponse, flight: Flight) -> None:
        self._unshared.pop(visit.key, None)
        is_kept = not flight.is_void and self._store.add(stored)
        flight.land(Outcome.STORED if is_kept and visit.is_for_others(stored) else Outcome.NOT_SHARED)

    def _is_unshared(self, key: Key) -> bool:
        return self._unshared.get(key, 0.0) > time.monotonic()

    def _remember_unshared(self, key: Key) -> None:
        if len(self._unshared) >= MAX_UNSHARED:
            self._unshared.clear()
        self._unshared[key] = time.monotonic() + UNSHARED_S

    # In the background

    def _validate_later(self, visit: Visit) -> None:
        """Asks the worker whether what is being reused is still right (stale-while-revalidate, RFC 5861 §3)."""
        if visit.key not in self._flights and visit.may_share:
            flight = Flight()
            flight.is_wanted = True
            self._in_background(self._validate(visit.in_background(), flight))

    async def _validate(self, visit: Visit, flight: Flight) -> None:
        try:
            response = await self._lead(visit, flight)
            response.close()
        except ThrustError:
            pass  # it stays stale, and the next request tries again

    def _in_background(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = start_task(asyncio.get_running_loop(), work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def __repr__(self) -> str:
        return f"<Cache {self._store!r}, {len(self._flights)} under way>"


def _nothing_stored(request: Request) -> Response:
    """The answer to `only-if-cached` (RFC 9111 §5.2.1.7)."""
    request.exchange.cache, request.exchange.cache_detail = "miss", "only-if-cached"
    lines = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    body = b"Nothing that is stored may answer this request.\n"
    return Response(504, Headers([*lines, *told(b"miss", b"detail=only-if-cached")]), body)
