"""How long a stored response is fresh, and whether a request may have it as it is (RFC 9111 §4.2, §5.2; RFC 5861).

Called by `cache/policy.py`, and by the handler for each request that finds something stored. What the response said
is read once, when it is stored or validated, into a Validity; judging a request is then arithmetic on numbers. Times
come in as Unix seconds, all from one clock. There is no heuristic freshness: what names no lifetime has none.

What cannot be read is taken the safe way: a lifetime, or a permission to use what is stale, as 0; a client's demand as
one that nothing stored can meet.
"""

from dataclasses import dataclass
from enum import Enum

from thrust.http.fields import MAX_SECONDS, Directives, cache_control, delta_seconds, parse_date
from thrust.http.headers import Headers, tokens

FINGERPRINT_LIFETIME_S = 365 * 86400
"""How long a response is kept because its name says that it never changes: the year that `immutable` usually gets."""

DEFAULT_CACHEABLE = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses that may be stored without a stated lifetime (RFC 9110 §15.1), without 206, which we never store."""


_PERSONAL = frozenset({b"*", b"authorization", b"cookie"})
"""To vary by one of these is to say that the answer is somebody's own, whatever the name of the resource."""


class Use(Enum):
    """How a stored response may answer a request."""

    REUSE = "reuse"
    REUSE_AND_VALIDATE = "reuse-and-validate"
    """At once, while it is validated for those who come later (stale-while-revalidate)."""
    VALIDATE = "validate"
    """Only after the worker has said that it is still right."""


@dataclass(frozen=True, slots=True)
class RequestDirectives:
    """What a client's Cache-Control asks for (RFC 9111 §5.2.1, RFC 5861 §4).

    `max_age_s` and `max_stale_s` are None when not given. `no_store` forbids to store the answer, not to reuse another.
    """

    no_store: bool
    no_cache: bool
    only_if_cached: bool
    no_transform: bool
    max_age_s: int | None
    min_fresh_s: int
    max_stale_s: int | None
    stale_if_error_s: int


@dataclass(frozen=True, slots=True)
class Validity:
    """What a stored response said about its use, and when it came.

    `must_validate`: each use needs validation (no-cache). `may_be_stale`: false where the response forbids any use once
    it is stale, whoever else allows it (RFC 9111 §4.2.4).
    """

    lifetime_s: int
    initial_age_s: float
    received_at_s: float
    must_validate: bool
    may_be_stale: bool
    stale_while_revalidate_s: int
    stale_if_error_s: int

    def age_s(self, now_s: float) -> int:
        """The value of the Age field: never negative, even if the clock went backwards."""
        return min(int(self._exact_age_s(now_s)), MAX_SECONDS)

    def ttl_s(self, now_s: float) -> int:
        """Seconds that are left of the lifetime, negative once stale (the `ttl` of RFC 9211)."""
        return self.lifetime_s - self.age_s(now_s)

    def is_fresh(self, now_s: float) -> bool:
        """Whether the lifetime exceeds the age (RFC 9111 §4.2); says nothing about `must_validate`."""
        return self.lifetime_s > self._exact_age_s(now_s)

    def stale_for_s(self, now_s: float) -> float:
        """Seconds since the end of the lifetime, negative while fresh."""
        return self._exact_age_s(now_s) - self.lifetime_s

    def is_of_use_without_validator(self, now_s: float) -> bool:
        """Whether a response that cannot be validated may still be used: fresh, or stale within a window of its own.

        Like `is_fresh` it says nothing about `must_validate`.
        """
        stale_for_s = self.stale_for_s(now_s)
        if stale_for_s < 0:
            return True
        return self.may_be_stale and stale_for_s < max(self.stale_while_revalidate_s, self.stale_if_error_s)

    def _exact_age_s(self, now_s: float) -> float:
        resident_s = now_s - self.received_at_s
        return self.initial_age_s + resident_s if resident_s > 0 else self.initial_age_s


def request_directives(request_headers: Headers) -> RequestDirectives | None:
    """What the client asks for, None if it says nothing. Pragma counts only without Cache-Control (RFC 9111 §5.4)."""
    said = [line for line in request_headers.lines if line[0] == b"cache-control" or line[0] == b"pragma"]
    if not said:
        return None
    if values := [value for name, value in said if name == b"cache-control"]:
        return _request_directives(cache_control(values))
    return _request_directives({b"no-cache": None}) if b"no-cache" in tokens(value for _, value in said) else None


def _request_directives(said: Directives) -> RequestDirectives:
    max_age_s = min_fresh_s = 0
    if b"max-age" in said:
        max_age_s = delta_seconds(said[b"max-age"]) or 0
    if b"min-fresh" in said:
        seconds = delta_seconds(said[b"min-fresh"])
        min_fresh_s = MAX_SECONDS if seconds is None else seconds
    return RequestDirectives(
        no_store=b"no-store" in said,
        no_cache=b"no-cache" in said,
        only_if_cached=b"only-if-cached" in said,
        no_transform=b"no-transform" in said,
        max_age_s=max_age_s if b"max-age" in said else None,
        min_fresh_s=min_fresh_s,
        max_stale_s=_max_stale_s(said),
        stale_if_error_s=delta_seconds(said.get(b"stale-if-error")) or 0,
    )


def _max_stale_s(said: Directives) -> int | None:
    if b"max-stale" not in said:
        return None
    return MAX_SECONDS if said[b"max-stale"] is None else delta_seconds(said[b"max-stale"])


def freshness_lifetime_s(
    status: int, response_headers: Headers, received_at_s: float, *, is_fingerprinted: bool
) -> int | None:
    """Seconds for which the response is fresh from when it was made; None if it says nothing of the kind.

    s-maxage beats max-age beats Expires (RFC 9111 §4.2.1). What cannot be read is 0, and so is a bare `no-cache` where
    a response may be stored without a lifetime: stored, it is validated each time. A fingerprinted one that says
    nothing lives for FINGERPRINT_LIFETIME_S.
    """
    directives = cache_control(response_headers.get_all(b"cache-control"))
    for name in (b"s-maxage", b"max-age"):
        if name in directives:
            return delta_seconds(directives[name]) or 0
    if expires := response_headers.get_all(b"expires"):
        return _seconds_until(expires, _made_at_s(response_headers, received_at_s))
    if b"no-cache" in directives:
        return 0 if status in DEFAULT_CACHEABLE else None
    if is_fingerprinted and status == 200 and not _objects_to_storing(response_headers, directives):
        return FINGERPRINT_LIFETIME_S
    return None


def _seconds_until(expires: list[bytes], made_at_s: float) -> int:
    """Seconds from `made_at_s` to the earliest of the Expires dates; 0 if one of them is none ("0", "-1")."""
    dates = [parse_date(value) for value in expires]
    known = [seconds for seconds in dates if seconds is not None]
    return max(0, int(min(known) - made_at_s)) if len(known) == len(dates) else 0


def _objects_to_storing(response_headers: Headers, directives: Directives) -> bool:
    """Whether the response, which names no lifetime, is not meant for keeping, or not for everybody.

    Pragma never had a meaning in responses, but whoever writes it there means no-cache.
    """
    return (
        b"no-store" in directives
        or b"private" in directives
        or b"no-cache" in tokens(response_headers.get_all(b"pragma"))
        or not _PERSONAL.isdisjoint(tokens(response_headers.get_all(b"vary")))
    )


def _made_at_s(response_headers: Headers, received_at_s: float) -> float:
    """When the response was made: its Date, the oldest if there are several, or its arrival without a Date."""
    dates = [seconds for value in response_headers.get_all(b"date") if (seconds := parse_date(value)) is not None]
    return min(dates, default=received_at_s)


def stored_validity(
    status: int,
    response_headers: Headers,
    *,
    requested_at_s: float,
    received_at_s: float,
    is_fingerprinted: bool,
) -> Validity:
    """What the response says about its use, as of its arrival, or of the arrival of the 304 that validated it.

    `no-cache` with field names counts as `no-cache`: the fields cannot be left out without changing the response.
    """
    directives = cache_control(response_headers.get_all(b"cache-control"))
    lifetime_s = freshness_lifetime_s(status, response_headers, received_at_s, is_fingerprinted=is_fingerprinted)
    must_validate = b"no-cache" in directives
    return Validity(
        lifetime_s=lifetime_s or 0,
        initial_age_s=_initial_age_s(response_headers, requested_at_s, received_at_s),
        received_at_s=received_at_s,
        must_validate=must_validate,
        may_be_stale=not must_validate
        and b"must-revalidate" not in directives
        and b"proxy-revalidate" not in directives
        and b"s-maxage" not in directives,
        stale_while_revalidate_s=delta_seconds(directives.get(b"stale-while-revalidate")) or 0,
        stale_if_error_s=delta_seconds(directives.get(b"stale-if-error")) or 0,
    )


def _initial_age_s(response_headers: Headers, requested_at_s: float, received_at_s: float) -> float:
    """The age on arrival (`corrected_initial_age` of RFC 9111 §4.2.3).

    Date has whole seconds only, so the apparent age is counted in these: a response that was made in this second is
    not up to a second old.
    """
    apparent_age_s = int(received_at_s) - int(_made_at_s(response_headers, received_at_s))
    response_delay_s = max(0.0, received_at_s - requested_at_s)
    return max(apparent_age_s, _age_value_s(response_headers) + response_delay_s)


def _age_value_s(response_headers: Headers) -> int:
    """The Age field: the first member of a list, and 0 if that is no number, as RFC 9111 §5.1 has it."""
    first = response_headers.get(b"age", b"").partition(b",")[0]
    return delta_seconds(first.rstrip(b"\t ")) or 0


def judge(validity: Validity, directives: RequestDirectives | None, now_s: float) -> Use:
    """How the stored response may answer a request that asks for `directives` (RFC 9111 §4).

    What the client allows (max-stale) never beats what the response forbids. `only_if_cached` is for the caller, who
    answers 504 instead of validating.
    """
    if validity.must_validate or _asks_for_more(validity, directives, now_s):
        return Use.VALIDATE
    stale_for_s = validity.stale_for_s(now_s)
    if stale_for_s < 0:
        return Use.REUSE
    if not validity.may_be_stale:
        return Use.VALIDATE
    if directives is not None:
        if directives.max_stale_s is not None and stale_for_s <= directives.max_stale_s:
            return Use.REUSE
        if directives.max_age_s is not None:  # without max-stale it means: nothing stale (§5.2.1.1)
            return Use.VALIDATE
    return Use.REUSE_AND_VALIDATE if stale_for_s < validity.stale_while_revalidate_s else Use.VALIDATE


def _asks_for_more(validity: Validity, directives: RequestDirectives | None, now_s: float) -> bool:
    """Whether the client wants something newer than what is stored. `max-age=0` is a browser's reload: always."""
    if directives is None:
        return False
    if directives.no_cache or directives.max_age_s == 0:
        return True
    stale_for_s = validity.stale_for_s(now_s)
    if directives.max_age_s is not None and stale_for_s + validity.lifetime_s > directives.max_age_s:
        return True
    return directives.min_fresh_s > 0 and -stale_for_s < directives.min_fresh_s


def may_serve_on_error(validity: Validity, directives: RequestDirectives | None, now_s: float) -> bool:
    """Whether the stored response may be sent after validation has failed with an error (RFC 5861 §4).

    It may while it is fresh, which it can be where the client asked for something newer, and during the longer
    `stale-if-error` of response and request. Not to a client that said no-cache, unless it also said stale-if-error.
    """
    allowed_by_client_s = 0 if directives is None else directives.stale_if_error_s
    if validity.must_validate or (directives is not None and directives.no_cache and not allowed_by_client_s):
        return False
    stale_for_s = validity.stale_for_s(now_s)
    if stale_for_s < 0:
        return True
    return validity.may_be_stale and stale_for_s < max(validity.stale_if_error_s, allowed_by_client_s)
