"""What is stored, under which variant, what a 304 changes, and what an unsafe request ends (RFC 9111 §3, §4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrust.cache.freshness import DEFAULT_CACHEABLE, Use, judge, request_directives, stored_validity
from thrust.cache.policy import (
    UNKEYED_FIELDS,
    invalidated_targets,
    invalidates,
    shapes_response,
    updated_headers,
    vary_names,
    vary_values,
    why_not_stored,
    why_request_not_stored,
)
from thrust.http.fields import MAX_SECONDS, format_date
from thrust.http.headers import FieldLine, Headers

NOW = 1_795_410_062.0


def headers(*lines: str) -> Headers:
    """Header lines; `<60>` stands for the date that is 60 seconds after NOW."""
    pairs = (line.split(": ", 1) for line in lines)
    return Headers([(name.encode(), dated(value)) for name, value in pairs])


def dated(value: str) -> bytes:
    return format_date(NOW + int(value[1:-1])) if value.startswith("<") else value.encode()


def reason(
    *lines: str,
    method: bytes = b"GET",
    request: Headers | None = None,
    status: int = 200,
    is_fingerprinted: bool = False,
) -> str:
    return why_not_stored(
        method,
        request or Headers(),
        status,
        headers(*lines),
        requested_at_s=NOW,
        received_at_s=NOW,
        is_fingerprinted=is_fingerprinted,
    )


# Each row: what the worker says, and for how many seconds a second request may have it as it is (RFC 9111). None: the
# response is not even stored.
@pytest.mark.parametrize(
    ("lines", "fresh_s"),
    [
        (["cache-control: public, s-maxage=60"], 60),
        (["cache-control: public, s-max-age=60"], None),
        (["cache-control: public, s-maxage=0, max-age=60"], None),
        (["cache-control: public, s-maxage=0, max-age=60", "etag: x"], 0),
        (["cache-control: public, no-store, max-age=60"], None),
        (["cache-control: public, private, max-age=60"], None),
        (["cache-control: public,max-age=60", "cache-control: no-store"], None),
        (["cache-control: not-public, max-age=60"], 60),
        (["cache-control: PUBLIC, MAX-AGE=60"], 60),
        (['cache-control: public, max-age="60"'], 60),
        (["cache-control: public, max-age=0060"], 60),
        (["cache-control: public", "date: <0>", "expires: <60>"], 60),
        (["cache-control: public, max-age=60", "age: 3600"], None),
        (["cache-control: public, max-age=60", "age: 3600", "etag: x"], 0),
        (["cache-control: public, max-age=31536000000"], MAX_SECONDS),
        (["cache-control: max-age=60"], 60),
        (["cache-control: public, max-age=60", "set-cookie: a=1"], None),
    ],
)
def test_the_ways_of_saying_cacheable_that_have_been_misread_elsewhere(lines: list[str], fresh_s: int | None) -> None:
    assert (reason(*lines) == "") == (fresh_s is not None)
    if fresh_s is None:
        return
    validity = stored_validity(200, headers(*lines), requested_at_s=NOW, received_at_s=NOW, is_fingerprinted=False)
    assert max(0, validity.ttl_s(NOW)) == fresh_s
    assert (judge(validity, None, NOW) is Use.REUSE) == (fresh_s > 0)
    assert judge(validity, None, NOW + fresh_s) is Use.VALIDATE


@pytest.mark.parametrize("status", [404, 410, 500])
def test_errors_that_say_how_long_are_stored(status: int) -> None:
    assert reason("cache-control: public, max-age=60", status=status) == ""


def test_a_second_vary_line_counts() -> None:
    assert reason("cache-control: public, max-age=60", "vary: accept-encoding", "vary: *") == "vary-star"
    assert vary_names(headers("vary: Accept-Encoding", "vary: X-Locale, Accept")) == (b"accept", b"x-locale")


def test_a_request_may_forbid_storing_or_ask_for_validation() -> None:
    answer = ["cache-control: public, max-age=60"]
    assert reason(*answer, request=headers("cache-control: no-store")) == "request-no-store"
    assert reason(*answer, request=headers("cache-control: no-cache")) == ""
    validity = stored_validity(200, headers(*answer), requested_at_s=NOW, received_at_s=NOW, is_fingerprinted=False)
    assert judge(validity, request_directives(headers("cache-control: no-cache")), NOW) is Use.VALIDATE


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "no-freshness"),
        (["etag: x", "last-modified: <-9999>", "date: <0>"], "no-freshness"),
        (["cache-control: public", "etag: x"], "no-freshness"),
        (["cache-control: must-revalidate", "etag: x"], "no-freshness"),
        (["cdn-cache-control: max-age=60", "surrogate-control: max-age=60"], "no-freshness"),
        (["pragma: max-age=60"], "no-freshness"),
        (["cache-control: no-store"], "no-store"),
        (["cache-control: No-Store; max-age=60"], "no-store"),
        (["cache-control: no-store=x, max-age=60", "etag: x"], "no-store"),
        (["cache-control: private, max-age=60", "etag: x"], "private"),
        (['cache-control: private="set-cookie", max-age=60'], "private"),
        (["cache-control: s-maxage=60", "cache-control: PRIVATE"], "private"),
        (["cache-control: no-cache"], "no-cache"),
        (["cache-control: no-cache, max-age=60"], "no-cache"),
        (['cache-control: no-cache="x-a", max-age=60'], "no-cache"),
        (["cache-control: no-cache", "etag: x"], ""),
        (["cache-control: no-cache, max-age=60", "last-modified: <-60>"], ""),
        (['cache-control: no-cache="x-a", max-age=60', "etag: x"], ""),
        (["cache-control: max-age=0"], "stale"),
        (["cache-control: max-age=x"], "stale"),
        (["cache-control: max-age=0", "etag: x"], ""),
        (["cache-control: max-age=0, must-revalidate", "last-modified: <-60>"], ""),
        (["cache-control: max-age=0, stale-while-revalidate=30"], ""),
        (["cache-control: max-age=0, stale-if-error=30"], ""),
        (["cache-control: max-age=0, stale-if-error=30, must-revalidate"], "stale"),
        (["cache-control: s-maxage=0, stale-while-revalidate=30"], "stale"),
        (["cache-control: max-age=10, stale-if-error=30", "age: 40"], "stale"),
        (["cache-control: max-age=10, stale-if-error=30", "age: 39"], ""),
        (["date: <0>", "expires: <60>"], ""),
        (["date: <0>", "expires: 0"], "stale"),
        (["date: <0>", "expires: <-60>", "etag: x"], ""),
        (["date: <-120>", "expires: <-60>"], "stale"),
        (["cache-control: max-age=60", "set-cookie: a=1"], "set-cookie"),
        (["set-cookie: a=1"], "set-cookie"),
        (["cache-control: max-age=60", "vary: *"], "vary-star"),
        (["cache-control: max-age=60", "vary: accept, *"], "vary-star"),
        (["cache-control: max-age=60", "vary: X-Forwarded-For"], "vary-star"),
        (["cache-control: max-age=60", "vary: x-request-id"], "vary-star"),
        (["cache-control: max-age=60", "vary: cookie, authorization"], ""),
        (["cache-control: max-age=60", "content-range: bytes 0-1/2"], "partial"),
        (["cache-control: max-age=60, must-understand, no-store"], ""),
        (["cache-control: must-understand, no-store"], "no-freshness"),
        (["cache-control: max-age=60, must-understand, private"], "private"),
    ],
)
def test_a_response_is_stored_if_it_may_be_and_would_be_of_use(lines: list[str], why: str) -> None:
    assert reason(*lines) == why


@pytest.mark.parametrize("status", [200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 404, 499, 500, 503, 599])
def test_any_final_status_with_a_lifetime_is_stored(status: int) -> None:
    assert reason("cache-control: max-age=60", status=status) == ""
    assert reason("date: <0>", "expires: <60>", status=status) == ""
    assert reason("etag: x", status=status) == "no-freshness"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (100, "status-100"),
        (101, "status-101"),
        (103, "status-103"),
        (206, "partial"),
        (304, "status-304"),
        (412, "status-412"),
        (416, "status-416"),
        (428, "status-428"),
        (429, "status-429"),
        (431, "status-431"),
        (511, "status-511"),
    ],
)
def test_what_answers_one_request_only_is_never_stored(status: int, why: str) -> None:
    assert reason("cache-control: public, max-age=60", "etag: x", status=status) == why
    assert reason(status=status, is_fingerprinted=True) == why


@pytest.mark.parametrize("status", sorted(DEFAULT_CACHEABLE))
def test_no_cache_is_enough_where_the_status_is_cacheable_by_default(status: int) -> None:
    assert reason("cache-control: no-cache", "etag: x", status=status) == ""


@pytest.mark.parametrize("status", [201, 302, 403, 500])
def test_no_cache_is_not_enough_for_other_statuses(status: int) -> None:
    assert reason("cache-control: no-cache", "etag: x", status=status) == "no-freshness"
    assert reason("cache-control: no-cache, max-age=60", "etag: x", status=status) == ""


def test_must_understand_stores_known_statuses_only() -> None:
    assert reason("cache-control: max-age=60, must-understand", status=404) == ""
    assert reason("cache-control: max-age=60, must-understand", status=299) == "status-299"
    assert reason("cache-control: max-age=60, must-understand, no-store", status=599) == "status-599"


@pytest.mark.parametrize("method", [b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PROPFIND", b"get"])
def test_only_answers_to_get_are_stored(method: bytes) -> None:
    assert reason("cache-control: max-age=60", method=method) == "method"
    assert reason(method=method, is_fingerprinted=True) == "method"
    assert why_request_not_stored(method, Headers()) == "method"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("max-age=60", "authorization"),
        ("max-age=60, proxy-revalidate", "authorization"),
        ("no-cache", "authorization"),
        ("max-age=60; public", "authorization"),
        ("public; x, max-age=60", "authorization"),
        ("s-maxage=x, max-age=60", "authorization"),
        ("public, max-age=60", ""),
        ("s-maxage=60", ""),
        ("max-age=60, must-revalidate", ""),
    ],
)
def test_an_answer_to_credentials_is_shared_only_if_it_says_so(value: str, why: str) -> None:
    request = headers("authorization: Basic eDp5")
    assert reason(f"cache-control: {value}", "etag: x", request=request) == why


def test_a_fingerprint_does_not_share_answers_to_credentials() -> None:
    request = headers("authorization: Basic eDp5")
    assert reason(request=request, is_fingerprinted=True) == "authorization"
    assert reason("cache-control: public", request=request, is_fingerprinted=True) == ""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("range: bytes=0-1", "range"),
        ("cache-control: no-store", "request-no-store"),
        ("cache-control: No-Store, max-age=60", "request-no-store"),
        ("x-original-url: /admin", "unkeyed-field"),
        ("cache-control: no-cache", ""),
        ("pragma: no-cache", ""),
        ("cookie: a=1", ""),
        ("authorization: x", ""),
    ],
)
def test_a_request_may_stand_against_storing(line: str, why: str) -> None:
    assert why_request_not_stored(b"GET", headers(line)) == why
    assert reason("cache-control: public, max-age=60", request=headers("accept: */*", line)) == why


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], ""),
        (["cache-control: public, immutable"], ""),
        (["cache-control: must-revalidate"], ""),
        (["etag: x", "vary: accept-encoding, origin"], ""),
        (["cache-control: private"], "private"),
        (['cache-control: private="a"'], "private"),
        (["cache-control: no-store"], "no-store"),
        (["cache-control: must-understand, no-store"], "no-freshness"),
        (["cache-control: no-cache"], "no-cache"),
        (['cache-control: no-cache="a"'], "no-cache"),
        (["cache-control: max-age=0"], "stale"),
        (["expires: 0"], "stale"),
        (["pragma: no-cache"], "no-freshness"),
        (["set-cookie: a=1"], "set-cookie"),
        (["vary: *"], "vary-star"),
        (["vary: Accept-Encoding", "vary: Cookie"], "vary-cookie"),
        (["vary: authorization"], "no-freshness"),
        (["vary: cookie", "cache-control: max-age=60"], ""),
        (["content-range: bytes 0-1/2"], "partial"),
    ],
)
def test_a_fingerprint_overrides_nothing_that_the_response_says(lines: list[str], why: str) -> None:
    assert reason(*lines, is_fingerprinted=True) == why


@pytest.mark.parametrize("status", [203, 204, 301, 302, 404, 410, 500])
def test_a_fingerprint_keeps_nothing_but_a_200(status: int) -> None:
    assert reason(status=status, is_fingerprinted=True) == "no-freshness"


@pytest.mark.parametrize("name", [*sorted(UNKEYED_FIELDS), b"x-forwarded-prefix", b"x-forwarded-ssl", b"x-forwarded-x"])
def test_a_field_outside_the_key_may_shape_the_response(name: bytes) -> None:
    assert shapes_response(Headers([(b"host", b"a"), (name, b"")]))


@pytest.mark.parametrize(
    "name",
    [
        b"accept-encoding",
        b"cookie",
        b"host",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-forwarded-server",
        b"x-requested-with",
    ],
)
def test_ordinary_fields_do_not_stand_against_storing(name: bytes) -> None:
    assert not shapes_response(Headers([(name, b"x")]))


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], ()),
        (["vary: "], ()),
        (["vary: Accept-Encoding"], ()),
        (["vary: Origin,ACCEPT-encoding , accept"], (b"accept", b"origin")),
        (["vary: b, a", "vary: A"], (b"a", b"b")),
        (["vary: *"], None),
        (["vary: , *"], None),
        (["vary: ", "vary: a, *"], None),
        (["vary: forwarded"], None),
        (["vary: X-Real-IP"], None),
    ],
)
def test_the_names_that_choose_the_variant(lines: list[str], names: tuple[bytes, ...] | None) -> None:
    assert vary_names(headers(*lines)) == names


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("foo", ["foo: 1,2"], ["foo: 1 ,\t2"]),
        ("foo", ["foo: 1, 2"], ["foo: 1", "foo: 2"]),
        ("accept-language", ["accept-language: en-GB, de"], ["accept-language: EN-gb,DE"]),
        ("accept", ["accept: text/html;q=0.9"], ["accept: TEXT/html;Q=0.9"]),
        ("foo", ["bar: 1"], ["bar: 2"]),
    ],
)
def test_what_means_the_same_is_the_same_variant(name: str, one: list[str], other: list[str]) -> None:
    names = (name.encode(),)
    assert vary_values(names, headers(*one)) == vary_values(names, headers(*other))


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("foo", ["foo: 1"], ["foo: 2"]),
        ("foo", ["foo: a"], ["foo: A"]),
        ("foo", ["foo: "], []),
        ("foo", ["foo: 1,2"], ["foo: 2,1"]),
        ("foo", ["foo: 1 2"], ["foo: 12"]),
        ("foo", ['foo: "a, b"'], ['foo: "a,b"']),
        ("foo", ["foo: 1"], ["foo: 1", "foo: 1"]),
        ("cookie", ["cookie: a=1, b"], ["cookie: a=1,b"]),
        ("authorization", ["authorization: Digest a, b"], ["authorization: Digest a,b"]),
    ],
)
def test_what_may_mean_something_else_is_another_variant(name: str, one: list[str], other: list[str]) -> None:
    names = (name.encode(),)
    assert vary_values(names, headers(*one)) != vary_values(names, headers(*other))


def test_the_values_of_a_variant_stand_in_the_order_of_the_names() -> None:
    request = headers("b: 2", "a: 1", "host: x")
    assert vary_values((b"a", b"b", b"c"), request) == (b"1", b"2", None)
    assert vary_values((), request) == ()


STORED = [
    (b"content-type", b"text/css"),
    (b"etag", b'"1"'),
    (b"age", b"100"),
    (b"date", b"long ago"),
    (b"cache-control", b"max-age=1"),
    (b"link", b"</a>"),
    (b"link", b"</b>"),
]


def test_a_304_replaces_all_lines_of_a_name() -> None:
    new = [(b"cache-control", b"max-age=60"), (b"link", b"</c>"), (b"x-new", b"1"), (b"date", b"now")]
    assert updated_headers(STORED, new) == [(b"content-type", b"text/css"), (b"etag", b'"1"'), *new]


@pytest.mark.parametrize(
    "name", [b"content-type", b"content-length", b"content-encoding", b"content-range", b"set-cookie"]
)
def test_a_304_changes_nothing_that_describes_the_content_or_one_client(name: bytes) -> None:
    stored = [(b"content-type", b"text/css")]
    assert updated_headers(stored, [(name, b"new")]) == stored


def test_age_and_date_of_the_stored_response_end_with_its_validation() -> None:
    assert updated_headers([(b"age", b"9"), (b"date", b"x"), (b"etag", b"1")], []) == [(b"etag", b"1")]


names = st.sampled_from([b"etag", b"age", b"date", b"vary", b"content-type", b"set-cookie", b"x-a", b"cache-control"])
field_lines = st.lists(st.tuples(names, st.sampled_from([b"1", b"2", b""])), max_size=6)


@given(stored=field_lines, new=field_lines)
def test_updating_twice_is_updating_once(stored: list[FieldLine], new: list[FieldLine]) -> None:
    once = updated_headers(stored, new)
    assert updated_headers(once, new) == once


@pytest.mark.parametrize(
    ("method", "status", "ends"),
    [
        (b"POST", 200, True),
        (b"PUT", 204, True),
        (b"DELETE", 301, True),
        (b"PATCH", 399, True),
        (b"M-SEARCH", 200, True),
        (b"post", 200, True),
        (b"get", 200, True),  # methods are case-sensitive, so this one is unknown
        (b"POST", 400, False),
        (b"POST", 500, False),
        (b"POST", 101, False),
        (b"GET", 200, False),
        (b"HEAD", 200, False),
        (b"OPTIONS", 200, False),
        (b"TRACE", 200, False),
        (b"PROPFIND", 207, False),
    ],
)
def test_success_of_an_unsafe_method_ends_what_is_stored(method: bytes, status: int, ends: bool) -> None:
    assert invalidates(method, status) is ends
    targets = invalidated_targets(
        method, status, headers("location: /x"), scheme=b"http", authority=b"a", target=b"/t?q"
    )
    assert targets == ([b"/t?q", b"/x"] if ends else [])


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("/other", b"/other"),
        ("/other?a=1&b=%2F#part", b"/other?a=1&b=%2F"),
        ("other", b"/dir/other"),
        ("../up", b"/up"),
        ("?page=2", b"/dir/form?page=2"),
        ("http://example.com/a%2fb", b"/a%2fb"),
        ("HTTP://EXAMPLE.com:80/a", b"/a"),
        ("//example.com/a", b"/a"),
        ("http://example.com", b"/"),
        ("http://example.com?q", b"/?q"),
        ("/\xe4", "/\xe4".encode()),
    ],
)
def test_a_location_of_the_same_origin_ends_too(reference: str, target: bytes) -> None:
    for name in ("location", "content-location"):
        assert ended(f"{name}: {reference}") == [b"/dir/form?x=1", target]


@pytest.mark.parametrize(
    "reference",
    [
        "http://example.org/other",
        "https://example.com/other",
        "http://example.com:8080/other",
        "http://user@example.com/other",
        "//example.org/other",
        "mailto:a@example.com",
        "http://[broken/other",
        "#part",
        "",
    ],
)
def test_a_location_elsewhere_ends_nothing(reference: str) -> None:
    assert b"/other" not in ended(f"location: {reference}")
    assert ended(f"location: {reference}")[0] == b"/dir/form?x=1"


def test_location_and_content_location_may_both_be_there_and_name_the_same() -> None:
    assert ended("location: /a", "content-location: /b") == [b"/dir/form?x=1", b"/a", b"/b"]
    assert ended("location: /a", "content-location: /a") == [b"/dir/form?x=1", b"/a"]
    assert ended("location: /dir/form?x=1") == [b"/dir/form?x=1"]


@pytest.mark.parametrize(
    ("scheme", "authority", "reference"),
    [
        (b"https", b"example.com", "https://example.com:443/a"),
        (b"https", b"example.com:443", "https://example.com/a"),
        (b"http", b"Example.com:8080", "http://example.COM:8080/a"),
        (b"http", b"[::1]:80", "http://[::1]/a"),
        (b"http", b"", "/a"),
    ],
)
def test_an_origin_has_more_than_one_spelling(scheme: bytes, authority: bytes, reference: str) -> None:
    response = headers(f"location: {reference}")
    targets = invalidated_targets(b"POST", 201, response, scheme=scheme, authority=authority, target=b"/")
    assert targets == [b"/", b"/a"]


def test_a_request_for_no_resource_ends_none_but_its_own() -> None:
    response = headers("location: /a")
    assert invalidated_targets(b"X", 200, response, scheme=b"http", authority=b"a", target=b"*") == [b"*"]


def ended(*lines: str) -> list[bytes]:
    return invalidated_targets(
        b"POST", 201, headers(*lines), scheme=b"http", authority=b"example.com", target=b"/dir/form?x=1"
    )


@given(reference=st.binary(max_size=30), target=st.binary(max_size=10).map(lambda path: b"/" + path))
def test_no_location_breaks_invalidation(reference: bytes, target: bytes) -> None:
    response = Headers([(b"location", reference)])
    targets = invalidated_targets(b"POST", 200, response, scheme=b"http", authority=b"a", target=target)
    assert targets[0] == target
    assert all(other.startswith(b"/") for other in targets)


few = settings(max_examples=60)  # so that each test stays well under a quarter of a second

# What may stand in a response; the model below knows nothing of how it is parsed.
parts = st.lists(
    st.sampled_from(
        [
            "cache-control: max-age=60",
            "cache-control: MAX-AGE=0",
            "cache-control: s-maxage=60",
            "cache-control: public",
            "cache-control: must-revalidate",
            "cache-control: stale-if-error=9",
            "cache-control: no-cache",
            "cache-control: must-understand",
            "expires: <60>",
            "expires: 0",
            "age: 90",
            "etag: x",
            "last-modified: <-60>",
            "vary: cookie",
            "vary: accept",
        ]
    ),
    max_size=6,
)
statuses = st.sampled_from([200, 204, 206, 302, 304, 404, 429, 500, 599])
requests = st.lists(
    st.sampled_from(["authorization: x", "cookie: a", "cache-control: max-age=0", "accept: */*"]), max_size=3
).map(lambda lines: headers(*lines))


@few
@given(parts, statuses, requests, st.booleans())
def test_what_is_stored_names_a_lifetime_or_has_a_fingerprint(
    lines: list[str], status: int, request_headers: Headers, is_fingerprinted: bool
) -> None:
    if reason(*lines, status=status, request=request_headers, is_fingerprinted=is_fingerprinted):
        return
    text = " ".join(lines).lower()
    assert status not in {206, 304, 429}
    assert (is_fingerprinted and status == 200) or any(
        word in text for word in ("max-age", "s-maxage", "expires", "no-cache")
    )
    if b"authorization" in request_headers:
        assert any(word in text for word in ("public", "s-maxage", "must-revalidate"))


prohibitions = st.sampled_from(
    [
        "cache-control: no-store",
        "cache-control: private",
        'cache-control: private="x"',
        "set-cookie: a=1",
        "vary: *",
        "content-range: bytes 0-1/2",
    ]
)


@few
@given(parts, statuses, requests, st.booleans(), prohibitions, st.integers(0, 6))
def test_a_prohibition_is_never_outvoted(
    lines: list[str], status: int, request_headers: Headers, is_fingerprinted: bool, line: str, at: int
) -> None:
    others = [other for other in lines if "must-understand" not in other]  # it overrules no-store (§5.2.2.3)
    with_it = [*others[:at], line, *others[at:]]
    assert reason(*with_it, status=status, request=request_headers, is_fingerprinted=is_fingerprinted)


@few
@given(
    parts,
    statuses,
    requests,
    st.booleans(),
    st.sampled_from(["range: bytes=0-", "cache-control: no-store", "x-host: a"]),
)
def test_a_request_that_may_not_be_stored_never_is(
    lines: list[str], status: int, request_headers: Headers, is_fingerprinted: bool, line: str
) -> None:
    request = Headers([*headers(line), *request_headers])
    assert reason(*lines, status=status, request=request, is_fingerprinted=is_fingerprinted)
