"""That `test_model.py` can fail: each of these caches breaks one rule, and is found out by random stories."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.fuzz import cache as fuzz
from tests.support.cache_plays import complaints
from thrust.cache import freshness, policy, serving, stored, visit
from thrust.cache.flights import Collector
from thrust.cache.freshness import Use, Validity
from thrust.cache.hints import Hints
from thrust.cache.store import Store
from thrust.cache.stored import Rendition, StoredResponse
from thrust.errors import UpstreamError
from thrust.handlers import cache
from thrust.http.headers import Headers

STORIES = 6000
"""The most that a mutant is given; most need some dozens."""

Break = Callable[[pytest.MonkeyPatch], None]


def wrapping(owner: Any, name: str, change: Callable[..., Any]) -> Break:
    """Puts `change(result, *arguments)` in place of what `owner.name(*arguments)` returns."""

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)

        def changed(*args: Any, **kwargs: Any) -> Any:
            return change(original(*args, **kwargs), *args)

        monkeypatch.setattr(owner, name, changed)

    return apply


def constantly(owner: Any, name: str, value: Any) -> Break:
    return wrapping(owner, name, lambda result, *args: value)


def allowing(reason: str) -> Break:
    """Stores what is otherwise refused because of `reason`."""

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name in (
            (visit, "why_not_stored"),
            (visit, "why_request_not_stored"),
            (visit.Visit, "why_not_kept"),
            (policy, "_why_forbidden"),
            (policy, "why_request_not_stored"),
        ):
            wrapping(owner, name, lambda result, *args: "" if result == reason else result)(monkeypatch)

    return apply


def with_validity(**changes: Any) -> Break:
    return wrapping(visit, "stored_validity", lambda validity, *args: replace(validity, **changes))


def with_wishes(**changes: Any) -> Break:
    return wrapping(visit, "request_directives", lambda said, *args: said and replace(said, **changes))


def first_line_of_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    def vary_names(headers: Headers) -> tuple[bytes, ...] | None:
        return policy.vary_names(Headers([(b"vary", value) for value in headers.get_all(b"vary")[:1]]))

    monkeypatch.setattr(visit, "vary_names", vary_names)


def without_freshness(monkeypatch: pytest.MonkeyPatch) -> None:
    allowing("no-freshness")(monkeypatch)
    wrapping(freshness, "freshness_lifetime_s", lambda seconds, *args: 60 if seconds is None else seconds)(monkeypatch)


def any_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "find", lambda store, key, headers: next((e for e in store if e.key == key), None))


def error_is_end(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Collector.__init__

    class Forgiving:
        def __init__(self, source: Any) -> None:
            self._source, self.trailers, self.close = source, source.trailers, source.close

        async def read(self) -> bytes:
            try:
                return bytes(await self._source.read())
            except UpstreamError:
                return b""

    monkeypatch.setattr(
        Collector, "__init__", lambda self, source, *args, **rest: original(self, Forgiving(source), *args, **rest)
    )


def never_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.Cache, "at_once", lambda self, request: None)
    monkeypatch.setattr(cache, "judge", lambda *args: Use.VALIDATE)


MUTANTS: dict[str, Break] = {
    # storing
    "stores no-store": allowing("no-store"),
    "stores private": allowing("private"),
    "stores what sets cookies": allowing("set-cookie"),
    "stores what credentials got": allowing("authorization"),
    "stores Vary: *": allowing("vary-star"),
    "stores what says nothing of freshness": without_freshness,
    "stores although the client said no-store": allowing("request-no-store"),
    "stores what an unkeyed field may have shaped": allowing("unkeyed-field"),
    "stores what is too large": allowing("too-large"),
    "stores HEAD": allowing("method"),
    "stores what was asked for with another letter case": allowing("host-case"),
    "stores what it need not understand": allowing("status-299"),
    "stores what breaks off": error_is_end,
    "keeps fingerprinted names also if they vary by Cookie": constantly(freshness, "_objects_to_storing", False),
    # finding
    "forgets the host": wrapping(cache, "key_of", lambda key, *args: (key[0], *key[2:])),
    "forgets the query": wrapping(cache, "key_of", lambda key, *args: (key[0].partition(b"?")[0], *key[1:])),
    "ignores Vary": constantly(visit, "vary_names", ()),
    "reads one line of Vary": first_line_of_vary,
    "takes any variant": any_variant,
    # freshness
    "ignores Age": constantly(freshness, "_age_value_s", 0),
    "ignores Date": wrapping(freshness, "_made_at_s", lambda made_s, headers, received_s: received_s),
    "is fresh forever": constantly(Validity, "stale_for_s", -1.0),
    "is fresh for a quarter of a second too long": wrapping(Validity, "stale_for_s", lambda s, *a: s - 0.25),
    "is fresh at its very end": wrapping(Validity, "is_fresh", lambda is_fresh, v, now_s: v.stale_for_s(now_s) <= 0),
    "ignores s-maxage": wrapping(
        freshness, "cache_control", lambda said, *args: {n: v for n, v in said.items() if n != b"s-maxage"}
    ),
    "prefers Expires": wrapping(
        freshness,
        "cache_control",
        lambda said, *args: {n: v for n, v in said.items() if n not in (b"s-maxage", b"max-age")},
    ),
    "ignores no-cache": with_validity(must_validate=False),
    "ignores must-revalidate": with_validity(may_be_stale=True, stale_if_error_s=30),
    "stale-while-revalidate without end": with_validity(stale_while_revalidate_s=2**31),
    "stale-if-error without end": with_validity(stale_if_error_s=2**31),
    "sends an old Age": wrapping(Rendition, "prepared_hit", lambda hit, rendition, now_s: rendition._hit),
    # what clients ask for
    "ignores the client's no-cache": with_wishes(no_cache=False),
    "ignores the client's max-age": with_wishes(max_age_s=None),
    "ignores the client's min-fresh": with_wishes(min_fresh_s=0),
    "takes max-stale for granted": with_wishes(max_stale_s=2**31),
    "ignores only-if-cached": with_wishes(only_if_cached=False),
    "ignores all conditions": constantly(serving, "is_not_modified", False),
    "says 304 to everybody": constantly(serving, "is_not_modified", True),
    "ignores If-Range": constantly(serving, "may_use_range", True),
    "continues coded content by its date": constantly(StoredResponse, "is_coded_for", False),
    "codes for those who forbid it": constantly(serving, "forbids_transformation", False),
    "codes what varies by Cookie": lambda monkeypatch: monkeypatch.setattr(visit, "_CREDENTIALS", frozenset()),
    "confirms what the client cannot read": wrapping(
        serving, "accepted_codings", lambda accepted, *args: (*accepted, b"br", b"zstd", b"gzip")
    ),
    "sends one byte less": wrapping(serving, "parse_ranges", lambda r, *a: r and [(s, max(s, e - 1)) for s, e in r]),
    "codes for those who cannot decode": constantly(serving, "accepted_codings", (b"br",)),
    "has one tag for all codings": wrapping(
        stored, "coded_lines", lambda lines, old, coding: [*old, (b"content-encoding", coding)]
    ),
    "does not say that codings vary": wrapping(visit, "varying_by_coding", lambda result, lines: lines),
    # validation and invalidation
    "ignores the fields of a 304": wrapping(visit, "updated_headers", lambda result, old, new: list(old)),
    "never invalidates": constantly(visit, "invalidated_targets", []),
    "stores what has changed on its way": constantly(Hints, "has_changed", False),
    "does not look at Location": wrapping(visit, "invalidated_targets", lambda targets, *args: targets[:1]),
    # promises
    "never answers from memory": never_from_memory,
    "waits for nobody": lambda monkeypatch: monkeypatch.setattr(cache, "FOLLOW_S", 0.0),
}


def stories(seed: int) -> Iterator[list[str]]:
    """The complaints about one random story after the other."""
    for number in range(STORIES):
        yield complaints(fuzz.story(seed, number))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # a broken cache may leave things behind
@pytest.mark.parametrize("name", MUTANTS)
def test_a_cache_that_breaks_a_rule_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not complaints(fuzz.story(1, 0))
    MUTANTS[name](monkeypatch)
    found = next(filter(None, stories(1)), ["nothing"])
    assert "Error(" not in found[0], "this mutant does not even run"
    assert found != ["nothing"]
