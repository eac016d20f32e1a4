"""Answers from memory what the worker has said once and allowed to be said again (RFC 9111).

There are two doors. `at_once` is synchronous: a plain request for something fresh, in a coding that is there, gets its
prepared response without a task. Everything else goes through `__call__`: it looks, asks the worker if it must, lets
others wait for the same answer, stores, validates, invalidates. What is allowed is decided in `thrust/cache/`; this is
the order in which it is asked for.

X-Cache says `hit`, `miss` or `bypass` as Thruster does; Cache-Status (RFC 9211) and the log also say why.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from thrust.cache.flights import Collector, Flight, Outcome, Place, Room
from thrust.cache.freshness import Use, judge
from thrust.cache.hints import Hints
from thrust.cache.policy import FRESHNESS_FIELDS
from thrust.cache.serving import Serving, not_modified, nothing_stored, told
from thrust.cache.store import Store
from thrust.cache.stored import Key, StoredResponse
from thrust.cache.visit import Rules, Visit, changed_keys, is_transient, key_of
from thrust.coding.codec import CodingError
from thrust.errors import ThrustError, UpstreamError
from thrust.flow import start_task
from thrust.handlers.files import whole_content
from thrust.http.conditions import ORIGIN_PRECONDITIONS, PRECONDITIONS
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import FileContent, Handler, Request, Response, Tunnel

FOLLOW_S = 5.0
"""How long a request waits for another's answer before it goes to the worker itself, as in nginx (proxy_cache_lock)."""

COLLECTED_SHARE = 4
"""A fourth of the budget, beside it, is for bodies that are still being collected, or not taken by their clients."""

_METHODS = frozenset({b"GET", b"HEAD"})

# With one of these a request is more than a plain one, and `__call__` has to look at it.
_DECISIVE = PRECONDITIONS | {b"cache-control", b"if-range", b"pragma", b"range"}

_ERRORS_FOR_STALE = frozenset({500, 502, 503, 504})  # RFC 5861 §4
_NO_FRESHNESS = told(b"miss", b"fwd=uri-miss; detail=no-freshness")

T = TypeVar("T")


class Cache:
    """Keeps in `store` what the worker, behind `following`, lets be kept.

    `is_ready` tells whether there is a worker to ask; without one, what is stale may help out (stale-if-error).
    """

    def __init__(
        self,
        following: Handler,
        store: Store,
        serving: Serving,
        rules: Rules,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._following = following
        self._store = store
        self._serving = serving
        self._rules = rules
        self._is_ready = is_ready
        self._room = Room(max(store.max_bytes // COLLECTED_SHARE, rules.max_item_bytes))
        self._flights: dict[Place, Flight] = {}
        self._hints = Hints()
        self._tasks: set[asyncio.Task[Any]] = set()

    def at_once(self, request: Request) -> Response | None:
        """The response to a plain request for something fresh, None if more has to be looked at or waited for."""
        if request.method not in _METHODS or request.content_length != 0 or request.wants_upgrade:
            return None
        request.cache_key = key = key_of(request)
        stored = self._store.find(key, request.headers)
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

    def __call__(self, request: Request) -> Awaitable[Response]:
        """A stored response if one may be used, else the worker's."""
        key = request.cache_key
        if key is None:  # else `at_once` has seen that it is a plain one
            if request.method not in _METHODS:
                return self._pass_by(request, b"method")
            if request.content_length != 0 or request.wants_upgrade:
                return self._pass_by(request, b"bypass", b"upgrade" if request.wants_upgrade else b"content")
            key = key_of(request)
        fields = dict(request.headers.lines)
        if self._hints.is_page(key) and _DECISIVE.isdisjoint(fields):
            return self._ask_again(request, key)
        if not ORIGIN_PRECONDITIONS.isdisjoint(fields):
            return self._pass_by(request, b"request")  # RFC 9111 §4.3.2: for the worker to evaluate
        return self._visit(Visit(request, key, self._rules))

    async def _visit(self, visit: Visit) -> Response:
        while (response := await self._reuse(visit)) is None:
            if visit.directives is not None and visit.directives.only_if_cached:
                visit.request.exchange.cache, visit.request.exchange.cache_detail = "miss", "only-if-cached"
                return nothing_stored()
            place = self._place_of(visit)
            visit.is_one_of_many = place[1] is not None
            if not visit.may_share or self._hints.is_unshared(place):
                return await self._ask(visit, Flight())
            flight = self._flights.get(place)
            if flight is None or flight.outcome is not None:
                return await (self._lead(visit, Flight(place)) if visit.may_lead else self._ask(visit, Flight()))
            try:
                looks_again = visit.may_follow and await self._follow(visit, flight)
            except UpstreamError as error:
                return await self._after_error(visit, error)
            if not looks_again:
                return await self._ask(visit, Flight())
        return response

    # From memory

    async def _reuse(self, visit: Visit) -> Response | None:
        """The answer from what is stored, None if the worker has to be asked."""
        visit.stored = stored = self._store.find(visit.key, visit.request.headers)
        if stored is None:
            return None
        now_s = time.time()
        use = judge(stored.validity, visit.directives, now_s)
        if use is Use.VALIDATE:
            return await self._serve_after_failure(visit, stored)
        if use is Use.REUSE_AND_VALIDATE:
            visit.request.exchange.cache_detail = "stale-while-revalidate"
            self._validate_later(visit)
        return await self._respond(visit, stored, b"hit; ttl=%d" % stored.validity.ttl_s(now_s))

    async def _respond(
        self,
        visit: Visit,
        stored: StoredResponse,
        how: bytes,
        *,
        x_cache: bytes = b"hit",
        others: Sequence[FieldLine] = (),
    ) -> Response:
        """The answer out of `stored`; the worker's own if what it once coded cannot be decoded for this client."""
        visit.request.exchange.cache = x_cache.decode()
        try:
            return await self._serving.respond(stored, visit.request, (*others, *told(x_cache, how)))
        except CodingError as error:
            self._store.discard(stored)
            visit.request.exchange.error = f"the worker's stored content cannot be used: {error}"
            return await self._pass_by(visit.request, b"miss")

    def _may_serve_stale(self, visit: Visit) -> bool:
        return visit.stored is not None and self._store.holds(visit.stored) and visit.may_serve_on_error()

    async def _serve_stale(self, visit: Visit, stored: StoredResponse, status: int) -> Response:
        visit.request.exchange.cache_detail = "stale-if-error"
        return await self._respond(visit, stored, b"fwd=stale; fwd-status=%d; detail=stale-if-error" % status)

    async def _serve_after_failure(self, visit: Visit, stored: StoredResponse) -> Response | None:
        """What is stale, without asking a worker that has just failed or is not ready; None if that is forbidden."""
        has_failed = self._hints.failure(visit.key) is not None or not self._is_ready()
        if not has_failed or not self._may_serve_stale(visit):
            return None
        visit.request.exchange.cache_detail = "stale-if-error"
        how = b"hit; ttl=%d; detail=stale-if-error" % stored.validity.ttl_s(time.time())
        return await self._respond(visit, stored, how)

    # Past the cache

    async def _pass_by(self, request: Request, why: bytes, detail: bytes = b"") -> Response:
        """The worker's answer to what no cache may answer; ends what is stored if it changed something (§4.4)."""
        response = await self._following(request)
        request.exchange.cache, request.exchange.cache_detail = "bypass", (detail or why).decode()
        if request.method not in _METHODS:
            self._invalidate(request, response)
        if not isinstance(response.body, Tunnel):
            response.headers.lines += told(b"bypass", b"fwd=%b; detail=%b" % (why, detail) if detail else b"fwd=" + why)
        return response

    def _invalidate(self, request: Request, response: Response) -> None:
        for key in changed_keys(request, response):
            self._store.remove(key)
            self._hints.note_change(key)

    # Waiting for others

    def _place_of(self, visit: Visit) -> Place:
        return visit.key, self._store.variant(visit.key, visit.request.headers)

    async def _lead(self, visit: Visit, flight: Flight) -> Response:
        """Asks the worker on behalf of all who want the same meanwhile, also when the own client has left."""
        assert flight.place is not None
        self._flights[flight.place] = flight
        flight.is_second = visit.has_met_failure
        flight.asking = asking = self._in_background(self._ask(visit, flight))
        asking.add_done_callback(partial(self._has_asked, flight))
        try:
            await asyncio.wait((asking,))
        except asyncio.CancelledError:
            visit.request.send_interim = None  # there is nobody to be told
            asking.add_done_callback(_close_answer)
            flight.lose_client()
            raise
        return asking.result()

    def _has_asked(self, flight: Flight, asking: "asyncio.Task[Response]") -> None:
        """The worker has answered, or will not: unless a body is still being collected the flight is over."""
        flight.asking = None  # its answer's body leads back here: a cycle that would stay until Python looks for such
        error = None if asking.cancelled() else asking.exception()
        if isinstance(error, UpstreamError):
            flight.land(Outcome.FAILED, error)
        elif isinstance(error, ThrustError):
            flight.land(Outcome.NOT_SHARED)  # a file that is not there: who waits hears so, not one after the other
        if flight.collecting is None:
            self._end(flight)

    def _end(self, flight: Flight) -> None:
        """Nobody joins this flight any more; those who wait hear how it ended, or that they have to ask themselves."""
        flight.land(Outcome.LOST)
        if flight.place is not None and self._flights.get(flight.place) is flight:
            del self._flights[flight.place]

    async def _follow(self, visit: Visit, flight: Flight) -> bool:
        """Waits for what comes of another's request; returns whether that may be of use. Raises its UpstreamError.

        A worker that broke off may have done so because of what that one request said, therefore one of those who
        waited tries once more for all.
        """
        now_s = asyncio.get_running_loop().time()
        if visit.follows_until_s is None:
            visit.follows_until_s = now_s + FOLLOW_S
        outcome = await flight.landed(visit.follows_until_s - now_s)
        if outcome is Outcome.FAILED and flight.error is not None:
            if flight.is_second or flight.error.status != 502 or self._may_serve_stale(visit):
                raise flight.error.with_traceback(None)
            visit.has_met_failure = True
        if outcome is Outcome.NOT_SHARED:
            visit.stored = self._store.find(visit.key, visit.request.headers)
        return outcome is not Outcome.NOT_SHARED

    # Asking the worker

    async def _ask(self, visit: Visit, flight: Flight) -> Response:
        """The worker's answer, or the stored one if the worker confirms it or fails."""
        stored = visit.stored
        try:
            response = await self._forward(visit)
        except UpstreamError as error:
            return await self._after_error(visit, error)
        if stored is not None:
            if response.status == 304 and visit.is_validating:
                return await self._confirm(visit, stored, response, flight)
            if response.status in _ERRORS_FOR_STALE and self._may_serve_stale(visit):
                response.close()
                self._hints.note_failure(visit.key, response.status)
                return await self._serve_stale(visit, stored, response.status)
        return await self._keep_or_not(visit, response, flight)

    async def _forward(self, visit: Visit) -> Response:
        """The worker's answer to what the visit wants to know; the request is the client's own again afterwards."""
        headers = visit.request.headers
        lines, headers.lines = headers.lines, visit.lines_to_ask()
        visit.requested_at_s, visit.asked_at_change = time.time(), self._hints.changes
        try:
            return await self._following(visit.request)
        finally:
            headers.lines = lines
            visit.received_at_s = time.time()

    async def _ask_again(self, request: Request, key: Key) -> Response:
        """The worker's answer where the last one could not be kept: nearly every page (benchmark forward-1k)."""
        asked_at_change = self._hints.changes
        response = await self._following(request)
        if FRESHNESS_FIELDS.isdisjoint(dict(response.headers.lines)):
            exchange = request.exchange
            exchange.cache, exchange.cache_detail = "miss", "no-freshness"
            response.headers.lines += _NO_FRESHNESS
            return response
        visit = Visit(request, key, self._rules)
        visit.requested_at_s, visit.asked_at_change = request.exchange.started_at, asked_at_change
        visit.received_at_s = time.time()
        return await self._keep_or_not(visit, response, Flight())

    async def _after_error(self, visit: Visit, error: UpstreamError) -> Response:
        """The stored response in place of an error of the worker; raises `error` if there is none that may be used."""
        if visit.stored is None or not self._may_serve_stale(visit):
            raise error
        visit.request.exchange.error = str(error)
        self._hints.note_failure(visit.key, error.status)
        return await self._serve_stale(visit, visit.stored, error.status)

    async def _confirm(self, visit: Visit, stored: StoredResponse, response: Response, flight: Flight) -> Response:
        """What was stored is still right, and its fields are renewed (§4.3.4)."""
        response.close()
        if not visit.is_about(stored, response):
            self._store.discard(stored)
            visit.stored = None
            return await self._ask(visit, flight)
        how = b"fwd=%b; fwd-status=304" % visit.forward_reason
        before_bytes = stored.size_bytes
        may_be_kept = visit.confirm(stored, response)
        self._store.resize(stored, before_bytes)
        if may_be_kept:
            flight.land(Outcome.STORED if visit.is_for_others(stored) else Outcome.NOT_SHARED)
        else:
            self._store.discard(stored)
        visit.request.exchange.cache_detail = "validated"
        cookies = [line for line in response.headers.lines if line[0] == b"set-cookie"]  # for this client alone
        return await self._respond(visit, stored, how, others=cookies)

    # What becomes of the answer

    async def _keep_or_not(self, visit: Visit, response: Response, flight: Flight) -> Response:
        reason = visit.why_not_kept(response)
        if not reason:
            return await self._keep(visit, response, flight)
        stored = visit.stored
        if stored is not None and visit.may_share and response.status < 500 and not visit.is_reusable(stored):
            self._store.discard(stored)  # the worker has something else to say now
        flight.land(Outcome.NOT_SHARED)
        self._note_unshared(visit, response, reason)
        return self._hand_out(visit, response, reason)

    def _note_unshared(self, visit: Visit, response: Response, reason: str) -> None:
        """Has later requests not wait for what is likely to be for one client again."""
        if not visit.speaks_for_others(reason):
            return
        if visit.is_reusable(self._store.find(visit.key, visit.request.headers)):
            return  # it was this client that got something of its own
        self._hints.note_unshared(
            self._place_of(visit), is_page=reason == "no-freshness", is_transient=is_transient(response.status)
        )

    def _hand_out(self, visit: Visit, response: Response, reason: str) -> Response:
        """The worker's response, of which nothing is kept because of `reason`."""
        exchange = visit.request.exchange
        exchange.cache, exchange.cache_detail = "miss", reason
        response.headers.lines += told(b"miss", b"fwd=%b; detail=%b" % (visit.forward_reason, reason.encode()))
        if not visit.is_known_already(response):
            return response
        response.close()
        return not_modified(response.headers.lines)

    async def _keep(self, visit: Visit, response: Response, flight: Flight) -> Response:
        """Stores the response, now or when all of it has come, and answers with it."""
        exchange = visit.request.exchange
        if isinstance(response.body, FileContent):
            response.body = await whole_content(response.body)
        body = response.body
        if isinstance(body, bytes):
            stored = visit.stored_response(response, body)
            exchange.cache_detail = self._put(visit, stored, flight)
            how = b"fwd=%b; " % visit.forward_reason
            how += b"stored" if exchange.cache_detail == "stored" else b"detail=" + exchange.cache_detail.encode()
            return await self._respond(visit, stored, how, x_cache=b"miss")
        assert not isinstance(body, Tunnel)
        if self._room.free_bytes < (response.content_length or 1):
            flight.land(Outcome.NOT_SHARED)
            return self._hand_out(visit, response, "no-room")
        exchange.cache, exchange.cache_detail = "miss", "stored"
        collector = Collector(body, self._rules.max_item_bytes, self._room, on_close=flight.lose_client)
        kept = Response(response.status, Headers(list(response.headers.lines)))
        flight.collecting = self._in_background(self._collect(visit, kept, collector, flight))
        response.body = collector
        response.headers.lines += told(b"miss", b"fwd=%b; stored" % visit.forward_reason)
        if not visit.is_known_already(response):
            return response
        flight.is_wanted = True
        response.close()
        return not_modified(response.headers.lines)

    async def _collect(self, visit: Visit, response: Response, collector: Collector, flight: Flight) -> None:
        """Stores what streams when all of it has come."""
        exchange = visit.request.exchange
        exchange.cache_detail = "incomplete"  # for a log line that is written before all of it has come
        try:
            content = await collector.collect()
            if content is None:
                exchange.cache_detail = "too-large" if collector.is_too_large else "no-room"
                if collector.is_too_large:
                    self._hints.note_unshared(self._place_of(visit))
                flight.land(Outcome.NOT_SHARED)
                return
            stored = visit.stored_response(response, content)
            exchange.cache_detail = self._put(visit, stored, flight)
        except (ThrustError, OSError):
            return  # the client hears of it by reading; those who wait ask the worker themselves
        finally:
            self._end(flight)
        await self._serving.prepare(stored, visit.request.headers)

    def _put(self, visit: Visit, stored: StoredResponse, flight: Flight) -> str:
        """Stores it unless that has become impossible; "stored", or why not."""
        if self._hints.has_changed(visit.key, visit.asked_at_change):
            flight.land(Outcome.LOST)
            return "changed"
        if not self._store.add(stored):
            flight.land(Outcome.NOT_SHARED)
            return "too-large"
        self._hints.note_stored(visit.key, self._place_of(visit))
        flight.land(Outcome.STORED if visit.is_for_others(stored) else Outcome.NOT_SHARED)
        return "stored"

    # In the background

    def _validate_later(self, visit: Visit) -> None:
        """Asks the worker whether what is being reused is still right (stale-while-revalidate, RFC 5861 §3)."""
        place = self._place_of(visit)
        if place in self._flights:
            return
        background = visit.in_background()
        if background.may_share:
            self._flights[place] = flight = Flight(place, is_wanted=True)  # now: the task may begin after the next hit
            self._in_background(self._validate(background, flight))

    async def _validate(self, visit: Visit, flight: Flight) -> None:
        try:
            response = await self._lead(visit, flight)
            response.close()
        except ThrustError:
            pass  # it stays stale, and the next request tries again

    def _in_background(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = start_task(asyncio.get_running_loop(), work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def __repr__(self) -> str:
        return f"<Cache {self._store!r}, {len(self._flights)} under way>"


def _close_answer(asking: "asyncio.Task[Response]") -> None:
    """Gives up an answer whose client has left; its content may still be collected for others."""
    if asking.cancelled():
        return
    error = asking.exception()
    if error is None:
        asking.result().close()
    elif not isinstance(error, ThrustError):
        asking.get_loop().call_exception_handler({"message": "a request failed for nobody", "exception": error})
