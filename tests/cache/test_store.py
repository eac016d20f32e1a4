"""The store's budget, the order in which responses make room, and variants (RFC 9111 §4.1)."""

import pytest

from thrust.cache.freshness import stored_validity
from thrust.cache.store import MAX_VARIANTS, Store
from thrust.cache.stored import StoredResponse
from thrust.http.headers import FieldLine, Headers

VALIDITY = stored_validity(
    200, Headers([(b"cache-control", b"max-age=60")]), requested_at_s=0, received_at_s=0, is_fingerprinted=False
)
PLAIN = Headers()


def response(
    target: bytes = b"/", body: bytes = b"x", vary: dict[bytes, bytes | None] | None = None, status: int = 200
) -> StoredResponse:
    """A response for `target`, for requests whose fields are as in `vary`."""
    vary = vary or {}
    return StoredResponse(
        (target, b"a.example"), status, [], body, VALIDITY, vary_names=[*vary], vary_values=[*vary.values()]
    )


def grow(store: Store, stored: StoredResponse, coding: bytes, body: bytes) -> None:
    before_bytes = stored.size_bytes
    stored.add(coding, body)
    store.resize(stored, before_bytes)


def accepting(language: bytes) -> Headers:
    return Headers([(b"accept-language", language)])


def test_what_was_added_is_found_by_its_key() -> None:
    store, stored = Store(100_000), response(b"/a")
    assert store.add(stored)
    assert store.find((b"/a", b"a.example"), PLAIN) is stored
    assert store.find((b"/b", b"a.example"), PLAIN) is None
    assert store.find((b"/a", b"b.example"), PLAIN) is None


def test_the_budget_counts_keys_fields_and_content() -> None:
    small = response(b"/a").size_bytes
    assert response(b"/a" + 50 * b"k").size_bytes == small + 50
    assert response(b"/a", 101 * b"x").size_bytes == small + 100
    assert response(b"/a", vary={b"accept-language": b"en"}).size_bytes > small + len(b"accept-languageen")


def test_responses_of_exactly_the_budget_all_stay() -> None:
    first, second = response(b"/a"), response(b"/b")
    store = Store(first.size_bytes + second.size_bytes)
    store.add(first)
    store.add(second)
    assert list(store) == [first, second]
    assert store.used_bytes == store.max_bytes


def test_one_byte_more_than_the_budget_makes_the_oldest_go() -> None:
    first, second = response(b"/a"), response(b"/b")
    store = Store(first.size_bytes + second.size_bytes - 1)
    store.add(first)
    store.add(second)
    assert list(store) == [second]
    assert store.used_bytes == second.size_bytes


def test_the_least_recently_found_goes_first() -> None:
    first, second, third = response(b"/a"), response(b"/b"), response(b"/c")
    store = Store(2 * first.size_bytes)
    store.add(first)
    store.add(second)
    store.find(first.key, PLAIN)
    store.add(third)
    assert list(store) == [first, third]


def test_as_many_go_as_have_to() -> None:
    size = response(b"/a").size_bytes
    store = Store(4 * size)
    for name in (b"/a", b"/b", b"/c", b"/d"):
        store.add(response(name))
    store.add(response(b"/e", b"x" * (2 * size + 1)))  # three times as large as the others
    assert [stored.key[0] for stored in store] == [b"/d", b"/e"]


def test_what_exceeds_the_whole_budget_is_not_stored_and_costs_nobody_a_place() -> None:
    other = response(b"/a")
    store = Store(other.size_bytes)
    store.add(other)
    assert not store.add(response(b"/b", b"xx"))
    assert list(store) == [other]


def test_what_exceeds_the_whole_budget_still_ends_what_it_replaces() -> None:
    old = response(b"/a")
    store = Store(old.size_bytes)
    store.add(old)
    assert not store.add(response(b"/a", b"xx"))
    assert list(store) == []
    assert store.used_bytes == 0


def test_a_newer_response_takes_the_place_of_the_older() -> None:
    store, old, new = Store(100_000), response(body=b"old"), response(body=b"newer")
    store.add(old)
    store.add(new)
    assert list(store) == [new]
    assert store.used_bytes == new.size_bytes
    assert not store.holds(old)


def test_removing_a_key_removes_all_its_variants() -> None:
    store, other = Store(100_000), response(b"/b")
    for stored in (response(vary={b"accept-language": b"en"}), response(vary={b"accept-language": b"de"}), other):
        store.add(stored)
    store.remove((b"/", b"a.example"))
    store.remove((b"/", b"a.example"))
    assert list(store) == [other]
    assert store.used_bytes == other.size_bytes


def test_an_empty_budget_holds_nothing() -> None:
    store = Store(0)
    assert not store.add(response())
    assert (len(store), store.used_bytes) == (0, 0)


# Variants


def test_each_request_finds_its_variant() -> None:
    store = Store(100_000)
    english = response(body=b"hello", vary={b"accept-language": b"en"})
    german = response(body=b"hallo", vary={b"accept-language": b"de"})
    neither = response(body=b"?", vary={b"accept-language": None})
    for stored in (english, german, neither):
        store.add(stored)
    assert store.find(english.key, accepting(b"en")) is english
    assert store.find(english.key, accepting(b"de")) is german
    assert store.find(english.key, PLAIN) is neither
    assert store.find(english.key, accepting(b"fr")) is None


def test_a_variant_is_replaced_by_one_for_the_same_requests_only() -> None:
    store = Store(100_000)
    english, german = response(vary={b"accept-language": b"en"}), response(vary={b"accept-language": b"de"})
    newer = response(body=b"newer", vary={b"accept-language": b"en"})
    for stored in (english, german, newer):
        store.add(stored)
    assert set(store) == {german, newer}
    assert store.used_bytes == german.size_bytes + newer.size_bytes


@pytest.mark.parametrize(
    ("old", "new"), [({}, {b"accept": b"x"}), ({b"accept": b"x"}, {}), ({b"dnt": b"1"}, {b"a": b"b"})]
)
def test_a_resource_that_varies_in_another_way_now_has_none_of_its_old_variants(
    old: dict[bytes, bytes | None], new: dict[bytes, bytes | None]
) -> None:
    store = Store(100_000)
    store.add(response(vary=old))
    stored = response(vary=new)
    store.add(stored)
    assert list(store) == [stored]


def test_variants_make_room_one_by_one_the_least_recently_found_first() -> None:
    variants = [response(vary={b"accept-language": language}) for language in (b"aa", b"bb", b"cc")]
    store = Store(3 * variants[0].size_bytes)
    for stored in variants:
        store.add(stored)
    store.find(variants[0].key, accepting(b"aa"))
    fourth = response(vary={b"accept-language": b"dd"})
    store.add(fourth)
    assert list(store) == [variants[2], variants[0], fourth]


def test_a_resource_with_a_new_variant_is_the_most_recently_used() -> None:
    english, other = response(vary={b"accept-language": b"en"}), response(b"/other")
    store = Store(3 * english.size_bytes)
    store.add(english)
    store.add(other)
    store.add(response(vary={b"accept-language": b"de"}))
    assert next(iter(store)) is other


def test_a_resource_with_one_variant_too_many_loses_the_least_recently_found() -> None:
    store = Store(10_000_000)
    languages = [b"%03d" % number for number in range(MAX_VARIANTS)]
    for language in languages:
        store.add(response(vary={b"accept-language": language}))
    store.find((b"/", b"a.example"), accepting(languages[0]))
    store.add(response(vary={b"accept-language": b"more"}))
    assert len(store) == MAX_VARIANTS
    assert store.find((b"/", b"a.example"), accepting(languages[0])) is not None
    assert store.find((b"/", b"a.example"), accepting(languages[1])) is None
    assert store.used_bytes == sum(stored.size_bytes for stored in store)


def test_what_tells_variants_apart_is_known_once_one_is_stored() -> None:
    store, key = Store(100_000), (b"/", b"a.example")
    assert store.variant(key, accepting(b"en")) is None
    store.add(response(vary={b"accept-language": b"de"}))
    assert store.variant(key, accepting(b"en")) == (b"en",)
    store.add(response())
    assert store.variant(key, accepting(b"en")) == ()


# Growing and shrinking


def test_what_grows_makes_room_for_itself() -> None:
    first, second = response(b"/a"), response(b"/b")
    store = Store(2 * first.size_bytes)
    store.add(first)
    store.add(second)
    grow(store, second, b"gzip", b"coded")
    assert list(store) == [second]
    assert store.used_bytes == second.size_bytes


def test_what_grows_while_it_is_the_least_recently_used_goes_itself() -> None:
    first, second = response(b"/a"), response(b"/b")
    store = Store(2 * first.size_bytes)
    store.add(first)
    store.add(second)
    grow(store, first, b"gzip", b"coded")
    assert list(store) == [second]
    assert store.used_bytes == second.size_bytes


def test_what_outgrows_the_whole_budget_goes_alone() -> None:
    first, second = response(b"/a"), response(b"/b", b"y" * 500)
    store = Store(first.size_bytes + second.size_bytes)
    store.add(first)
    store.add(second)
    grow(store, second, b"gzip", b"z" * store.max_bytes)
    assert list(store) == [first]
    assert store.used_bytes == first.size_bytes


def test_what_shrinks_gives_room_back() -> None:
    store, stored = Store(100_000), response(body=b"x" * 1000)
    store.add(stored)
    grow(store, stored, b"br", b"y" * 500)
    grow(store, stored, b"br", b"y" * 100)
    assert (
        store.used_bytes
        == stored.size_bytes
        == response(body=b"x" * 1000).size_bytes + stored.renditions[b"br"].size_bytes
    )


def test_what_has_been_dropped_no_longer_counts_when_it_grows() -> None:
    store, old, new = Store(100_000), response(body=b"old"), response(body=b"new")
    store.add(old)
    store.add(new)
    grow(store, old, b"gzip", b"coded")
    store.remove(new.key)
    grow(store, new, b"gzip", b"coded")
    assert store.used_bytes == 0


def test_new_fields_are_counted() -> None:
    store, stored = Store(100_000), response()
    store.add(stored)
    before_bytes = stored.size_bytes
    lines: list[FieldLine] = [(b"x-new", b"v" * 100)]
    stored.update(lines, VALIDITY)
    store.resize(stored, before_bytes)
    assert store.used_bytes == stored.size_bytes > before_bytes + 200  # in the fields, and in the prepared head


def test_its_repr_shows_how_full_it_is() -> None:
    store, stored = Store(100_000), response()
    store.add(stored)
    assert repr(store) == f"<Store 1 responses, {stored.size_bytes} of 100000 bytes>"
