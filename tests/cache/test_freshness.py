"""How long a response is fresh, how old it is, and what a request's directives make of that (RFC 9111 §4.2, §5.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.cache.freshness import (
    FINGERPRINT_LIFETIME_S,
    RequestDirectives,
    Use,
    Validity,
    judge,
    may_serve_on_error,
    request_directives,
    stored_validity,
)
from thrust.http.fields import MAX_SECONDS, format_date
from thrust.http.headers import Headers

NOW = 1_795_410_062.0
YEAR = FINGERPRINT_LIFETIME_S


def headers(*lines: str) -> Headers:
    """Header lines; `<60>` stands for the date that is 60 seconds after NOW."""
    pairs = (line.split(": ", 1) for line in lines)
    return Headers([(name.encode(), dated(value)) for name, value in pairs])


def dated(value: str) -> bytes:
    return format_date(NOW + int(value[1:-1])) if value.startswith("<") else value.encode()


def validity_of(*lines: str, status: int = 200, is_fingerprinted: bool = False, delay_s: float = 0.0) -> Validity:
    return stored_validity(
        status, headers(*lines), requested_at_s=NOW - delay_s, received_at_s=NOW, is_fingerprinted=is_fingerprinted
    )


def asked(value: str) -> RequestDirectives | None:
    return request_directives(headers(f"cache-control: {value}")) if value else None


@pytest.mark.parametrize(
    ("lines", "lifetime_s"),
    [
        (["cache-control: max-age=60"], 60),
        (["cache-control: PUBLIC, MAX-AGE=60"], 60),
        (['cache-control: max-age="60"'], 60),
        (["cache-control: max-age=0060"], 60),
        (["cache-control: max-age=31536000000"], MAX_SECONDS),
        (["cache-control: max-age=0"], 0),
        (["cache-control: max-age=-60"], 0),
        (["cache-control: max-age=1.5"], 0),
        (["cache-control: max-age=60s"], 0),
        (["cache-control: max-age='60'"], 0),
        (["cache-control: max-age = 60"], 0),
        (["cache-control: max-age"], 0),
        (['cache-control: max-age=""'], 0),
        (["cache-control: max-age=60, max-age=30"], 30),
        (["cache-control: max-age=30", "cache-control: max-age=60"], 30),
        (['cache-control: ext="max-age=100", max-age=1'], 1),
        (["cache-control: s-maxage=60, max-age=10"], 60),
        (["cache-control: max-age=60, s-maxage=10"], 10),
        (["cache-control: max-age=60", "cache-control: s-maxage=0"], 0),
        (["cache-control: max-age=60, s-maxage=x"], 0),
        (["cache-control: public, s-max-age=60"], 0),
        (["date: <0>", "expires: <60>"], 60),
        (["date: <-10>", "expires: <60>"], 70),
        (["date: <400>", "expires: <300>"], 0),
        (["date: <0>", "expires: <0>"], 0),
        (["expires: <60>"], 60),
        (["date: foo", "expires: <60>"], 60),
        (["date: <0>", "expires: 0"], 0),
        (["date: <0>", "expires: -1"], 0),
        (["date: <0>", "expires: "], 0),
        (["date: <0>", "expires: <60>", "expires: <30>"], 30),
        (["date: <0>", "expires: <60>", "expires: 0"], 0),
        (["date: <0>", "expires: <60>", "cache-control: max-age=5"], 5),
        (["date: <0>", "expires: <60>", "cache-control: max-age=x"], 0),
        (["date: <0>", "expires: <-60>", "cache-control: max-age=5"], 5),
        (["date: <0>", "expires: <60>", "cache-control: s-maxage=7"], 7),
        (["date: <0>", "expires: <60>", "cache-control: public"], 60),
        (["cache-control: public"], 0),
        (["cdn-cache-control: max-age=60", "surrogate-control: max-age=60"], 0),
        ([], 0),
    ],
)
def test_the_lifetime_is_what_the_response_says_and_0_if_that_cannot_be_read(lines: list[str], lifetime_s: int) -> None:
    assert validity_of(*lines).lifetime_s == lifetime_s


@pytest.mark.parametrize(
    ("lines", "lifetime_s"),
    [
        ([], YEAR),
        (["cache-control: public"], YEAR),
        (["cache-control: must-revalidate"], YEAR),
        (["cache-control: immutable", "etag: x", "vary: accept-encoding, origin"], YEAR),
        (["cache-control: max-age=0"], 0),
        (["cache-control: max-age=60"], 60),
        (["cache-control: max-age=x"], 0),
        (["cache-control: s-maxage=60"], 60),
        (["date: <0>", "expires: <60>"], 60),
        (["expires: 0"], 0),
        (["cache-control: no-cache"], 0),
        (['cache-control: no-cache="a"'], 0),
        (["cache-control: no-store"], 0),
        (["cache-control: private"], 0),
        (['cache-control: private="a"'], 0),
        (["pragma: no-cache"], 0),
        (["vary: *"], 0),
        (["vary: Accept-Encoding", "vary: Cookie"], 0),
        (["vary: authorization"], 0),
    ],
)
def test_a_fingerprint_counts_where_the_response_says_nothing(lines: list[str], lifetime_s: int) -> None:
    assert validity_of(*lines, is_fingerprinted=True).lifetime_s == lifetime_s


@pytest.mark.parametrize("status", [203, 204, 301, 302, 404, 410, 500])
def test_a_fingerprint_says_nothing_about_anything_but_a_200(status: int) -> None:
    assert validity_of(status=status, is_fingerprinted=True).lifetime_s == 0


@pytest.mark.parametrize(
    ("lines", "age_s"),
    [
        ([], 0),
        (["date: <0>"], 0),
        (["date: <-30>"], 30),
        (["date: <30>"], 0),
        (["date: foo"], 0),
        (["date: <-30>", "date: <0>"], 30),
        (["date: <0>", "date: foo", "date: <-30>"], 30),
        (["age: 100"], 100),
        (["age: 0100"], 100),
        (["date: <-30>", "age: 100"], 100),
        (["date: <-130>", "age: 100"], 130),
        (["date: <30>", "age: 100"], 100),
        (["age: 99999999999"], MAX_SECONDS),
        (["age: " + "9" * 5000], MAX_SECONDS),
        # RFC 9111 §5.1: the first member counts, and what is no number is ignored.
        (["age: 100, 0"], 100),
        (["age: 0, 100"], 0),
        (["age: 100", "age: 0"], 100),
        (["age: 0", "age: 100"], 0),
        (["age: abc"], 0),
        (["age: -100"], 0),
        (["age: 100.0"], 0),
        (["age: "], 0),
    ],
)
def test_the_age_on_arrival_is_the_larger_of_age_and_date(lines: list[str], age_s: int) -> None:
    assert validity_of(*lines).age_s(NOW) == age_s


def test_the_time_that_the_answer_took_counts_as_age() -> None:
    assert validity_of("age: 100", "date: <-90>", delay_s=20.0).age_s(NOW) == 120
    assert validity_of("age: 5", "date: <-90>", delay_s=20.0).age_s(NOW) == 90
    assert validity_of("age: 100", delay_s=-20.0).age_s(NOW) == 100  # the clock was set back meanwhile


def test_a_response_made_in_this_second_has_no_apparent_age() -> None:
    validity = stored_validity(
        200,
        headers("date: <0>", "cache-control: max-age=1"),
        requested_at_s=NOW + 0.9,
        received_at_s=NOW + 0.9,
        is_fingerprinted=False,
    )
    assert validity.is_fresh(NOW + 1.8)
    assert not validity.is_fresh(NOW + 1.9)


def test_a_stored_response_grows_older_and_stale() -> None:
    validity = validity_of("cache-control: max-age=60", "age: 10")
    assert [validity.age_s(NOW + seconds) for seconds in (0, 0.9, 1, 49.5, 50, 100)] == [10, 10, 11, 59, 60, 110]
    assert [validity.ttl_s(NOW + seconds) for seconds in (0, 49.5, 50, 100)] == [50, 1, 0, -50]
    assert [validity.is_fresh(NOW + seconds) for seconds in (0, 49.5, 50, 100)] == [True, True, False, False]


def test_a_response_may_be_stale_on_arrival() -> None:
    assert not validity_of("cache-control: public, max-age=60", "age: 3600").is_fresh(NOW)
    assert not validity_of("cache-control: max-age=0").is_fresh(NOW)


@pytest.mark.parametrize(
    ("value", "must_validate", "may_be_stale"),
    [
        ("max-age=60", False, True),
        ("max-age=60, must-revalidate", False, False),
        ("max-age=60, proxy-revalidate", False, False),
        ("s-maxage=60", False, False),
        ("s-maxage=x", False, False),
        ("max-age=60, no-cache", True, False),
        ('max-age=60, no-cache="set-cookie"', True, False),
        ("max-age=60, No-Cache", True, False),
        ("max-age=60, must-revalidate; x", False, False),
        ('max-age=60, ext="no-cache, must-revalidate"', False, True),
    ],
)
def test_the_response_may_forbid_its_use(value: str, must_validate: bool, may_be_stale: bool) -> None:
    validity = validity_of(f"cache-control: {value}")
    assert (validity.must_validate, validity.may_be_stale) == (must_validate, may_be_stale)


@pytest.mark.parametrize(("argument", "seconds"), [("=30", 30), ('="30"', 30), ("", 0), ("=x", 0), ("=-1", 0)])
def test_the_windows_for_stale_use_are_read_like_lifetimes(argument: str, seconds: int) -> None:
    assert validity_of(f"cache-control: stale-while-revalidate{argument}").stale_while_revalidate_s == seconds
    assert validity_of(f"cache-control: stale-if-error{argument}").stale_if_error_s == seconds


@pytest.mark.parametrize(
    "lines",
    [[], ["accept: */*"], ["pragma: x"], ["pragma: "]],
)
def test_a_client_that_says_nothing_has_no_directives(lines: list[str]) -> None:
    assert request_directives(headers(*lines)) is None


@pytest.mark.parametrize(
    ("lines", "no_cache"),
    [
        (["pragma: no-cache"], True),
        (["pragma: x, No-Cache"], True),
        (["pragma: no-cache", "cache-control: no-cache"], True),
        (["pragma: no-cache", "cache-control: max-age=60"], False),
        (["cache-control: ", "pragma: no-cache"], False),
        (["cache-control: max-age=60", "cache-control: NO-CACHE"], True),
    ],
)
def test_pragma_counts_only_without_cache_control(lines: list[str], no_cache: bool) -> None:
    directives = request_directives(headers(*lines))
    assert directives is not None
    assert directives.no_cache is no_cache


NOTHING = {
    "no_store": False,
    "no_cache": False,
    "only_if_cached": False,
    "no_transform": False,
    "max_age_s": None,
    "min_fresh_s": 0,
    "max_stale_s": None,
    "stale_if_error_s": 0,
}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no-store", {"no_store": True}),
        ("no-cache, only-if-cached", {"no_cache": True, "only_if_cached": True}),
        ("no-transform", {"no_transform": True}),
        ("max-age=0", {"max_age_s": 0}),
        ("max-age=60", {"max_age_s": 60}),
        ("max-age=x", {"max_age_s": 0}),
        ("max-age", {"max_age_s": 0}),
        ("min-fresh=60", {"min_fresh_s": 60}),
        ("min-fresh=x", {"min_fresh_s": MAX_SECONDS}),
        ("min-fresh", {"min_fresh_s": MAX_SECONDS}),
        ("max-stale", {"max_stale_s": MAX_SECONDS}),
        ("max-stale=60", {"max_stale_s": 60}),
        ("max-stale=x", {"max_stale_s": None}),
        ("stale-if-error=60", {"stale_if_error_s": 60}),
        ("stale-if-error", {"stale_if_error_s": 0}),
        ("unknown=1", {}),
    ],
)
def test_what_a_client_asks_for_is_read_in_its_favour(value: str, said: dict[str, object]) -> None:
    assert asked(value) == RequestDirectives(**{**NOTHING, **said})  # type: ignore[arg-type]  # values differ in type


REUSE, BOTH, VALIDATE = Use.REUSE, Use.REUSE_AND_VALIDATE, Use.VALIDATE


@pytest.mark.parametrize(
    ("response", "request_value", "after_s", "use"),
    [
        # What the response alone says.
        ("max-age=60", "", 0, REUSE),
        ("max-age=60", "", 59.9, REUSE),
        ("max-age=60", "", 60, VALIDATE),
        ("max-age=0", "", 0, VALIDATE),
        ("max-age=60, no-cache", "", 0, VALIDATE),
        ('max-age=60, no-cache="a"', "", 0, VALIDATE),
        ("max-age=60, must-revalidate", "", 59, REUSE),
        ("max-age=60, must-revalidate", "", 60, VALIDATE),
        ("max-age=60, stale-while-revalidate=30", "", 59, REUSE),
        ("max-age=60, stale-while-revalidate=30", "", 60, BOTH),
        ("max-age=60, stale-while-revalidate=30", "", 89.9, BOTH),
        ("max-age=60, stale-while-revalidate=30", "", 90, VALIDATE),
        ("max-age=60, stale-while-revalidate=30, must-revalidate", "", 61, VALIDATE),
        ("max-age=60, stale-while-revalidate=30, proxy-revalidate", "", 61, VALIDATE),
        ("s-maxage=60, stale-while-revalidate=30", "", 61, VALIDATE),
        ("max-age=60, stale-while-revalidate=30, no-cache", "", 61, VALIDATE),
        ("max-age=60, stale-if-error=30", "", 61, VALIDATE),
        # no-cache, no-store and what has no influence.
        ("max-age=60", "no-cache", 0, VALIDATE),
        ("max-age=60", "no-store", 0, REUSE),
        ("max-age=60", "only-if-cached", 0, REUSE),
        ("max-age=60", "only-if-cached", 60, VALIDATE),
        ("max-age=60", "unknown", 0, REUSE),
        ("max-age=60, stale-while-revalidate=30", "no-cache", 61, VALIDATE),
        # max-age
        ("max-age=60", "max-age=0", 0, VALIDATE),
        ("max-age=60", "max-age=10", 10, REUSE),
        ("max-age=60", "max-age=10", 10.1, VALIDATE),
        ("max-age=60", "max-age=x", 0, VALIDATE),
        ("max-age=60", "max-age=100", 61, VALIDATE),
        ("max-age=60, stale-while-revalidate=30", "max-age=100", 61, VALIDATE),
        # min-fresh
        ("max-age=60", "min-fresh=10", 50, REUSE),
        ("max-age=60", "min-fresh=10", 50.1, VALIDATE),
        ("max-age=60", "min-fresh=0", 59, REUSE),
        ("max-age=60", "min-fresh=x", 0, VALIDATE),
        ("max-age=60, stale-while-revalidate=30", "min-fresh=1", 61, VALIDATE),
        # max-stale
        ("max-age=60", "max-stale=10", 70, REUSE),
        ("max-age=60", "max-stale=10", 70.1, VALIDATE),
        ("max-age=60", "max-stale", 10_000, REUSE),
        ("max-age=60", "max-stale=x", 61, VALIDATE),
        ("max-age=60", "max-stale, max-stale=10", 80, VALIDATE),
        ("max-age=60, must-revalidate", "max-stale", 61, VALIDATE),
        ("max-age=60, proxy-revalidate", "max-stale", 61, VALIDATE),
        ("s-maxage=60", "max-stale", 61, VALIDATE),
        ("max-age=60, no-cache", "max-stale", 0, VALIDATE),
        ("max-age=60, stale-while-revalidate=30", "max-stale=10", 75, BOTH),
        # Together: both have to hold.
        ("max-age=60", "max-stale=10, max-age=100", 65, REUSE),
        ("max-age=60", "max-stale=100, max-age=100", 101, VALIDATE),
        ("max-age=60", "max-stale=100, min-fresh=1", 61, VALIDATE),
        ("max-age=60", "max-stale, no-cache", 0, VALIDATE),
    ],
)
def test_a_stored_response_is_used_as_both_sides_allow(
    response: str, request_value: str, after_s: float, use: Use
) -> None:
    validity = validity_of(f"cache-control: {response}")
    assert judge(validity, asked(request_value), NOW + after_s) is use


@pytest.mark.parametrize(
    ("response", "request_value", "after_s", "may"),
    [
        ("max-age=60", "", 61, False),
        ("max-age=60", "", 59, True),
        ("max-age=60", "max-age=0", 59, True),
        ("max-age=60", "no-cache", 59, False),
        ("max-age=60", "no-cache, stale-if-error=10", 59, True),
        ("max-age=60, stale-if-error=30", "", 89, True),
        ("max-age=60, stale-if-error=30", "", 90, False),
        ("max-age=60, stale-if-error=30", "max-age=0", 89, True),
        ("max-age=60, stale-if-error=30", "no-cache", 61, False),
        ("max-age=60, stale-if-error=30", "stale-if-error=5", 89, True),
        ("max-age=60", "stale-if-error=30", 89, True),
        ("max-age=60", "stale-if-error=30", 90, False),
        ("max-age=60, stale-while-revalidate=30", "", 61, False),
        ("max-age=60, stale-if-error=30, must-revalidate", "", 61, False),
        ("max-age=60, stale-if-error=30, must-revalidate", "", 59, True),
        ("max-age=60, stale-if-error=30, proxy-revalidate", "stale-if-error=30", 61, False),
        ("s-maxage=60, stale-if-error=30", "", 61, False),
        ("max-age=60, stale-if-error=30, no-cache", "", 0, False),
        ("max-age=60, no-cache", "stale-if-error=30", 0, False),
    ],
)
def test_an_error_of_the_worker_may_be_covered_by_what_is_stored(
    response: str, request_value: str, after_s: float, may: bool
) -> None:
    validity = validity_of(f"cache-control: {response}")
    assert may_serve_on_error(validity, asked(request_value), NOW + after_s) is may


times = st.floats(min_value=0, max_value=4e9)
seconds_or_junk = st.one_of(st.integers(-5, 300), st.sampled_from([2**31, 10**30, "x", "", "1.5"]))
response_directives = st.lists(
    st.one_of(
        st.sampled_from(["public", "no-cache", "must-revalidate", "proxy-revalidate", "no-store", 'no-cache="a"']),
        st.tuples(
            st.sampled_from(["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"]), seconds_or_junk
        ).map(lambda pair: f"{pair[0]}={pair[1]}"),
    ),
    max_size=5,
).map(", ".join)
client_directives = st.lists(
    st.one_of(
        st.sampled_from(["no-cache", "no-store", "max-stale", "only-if-cached"]),
        st.tuples(st.sampled_from(["max-age", "min-fresh", "max-stale", "stale-if-error"]), seconds_or_junk).map(
            lambda pair: f"{pair[0]}={pair[1]}"
        ),
    ),
    min_size=1,
    max_size=4,
).map(", ".join)


@given(requested=times, received=times, now=times, made=times, age=st.text(max_size=8), value=response_directives)
def test_no_clock_and_no_field_makes_an_age_negative(
    requested: float, received: float, now: float, made: float, age: str, value: str
) -> None:
    response = Headers(
        [(b"cache-control", value.encode()), (b"age", age.encode()), (b"date", format_date(made))],
    )
    validity = stored_validity(200, response, requested_at_s=requested, received_at_s=received, is_fingerprinted=False)
    assert 0 <= validity.age_s(now) <= MAX_SECONDS
    assert validity.lifetime_s >= 0
    assert validity.is_fresh(now) == (validity.stale_for_s(now) < 0)
    assert validity.age_s(received + 1) >= validity.age_s(received)


@given(value=response_directives, client=client_directives, after_s=st.floats(-10, 400))
def test_nothing_is_reused_that_the_response_forbids(value: str, client: str, after_s: float) -> None:
    validity, directives, now = validity_of(f"cache-control: {value}"), asked(client), NOW + after_s
    for use in (judge(validity, None, now), judge(validity, directives, now)):
        if "no-cache" in value:
            assert use is VALIDATE
        if not validity.is_fresh(now) and any(word in value for word in ("must-rev", "proxy-rev", "s-maxage")):
            assert use is VALIDATE
    if not validity.is_fresh(now) and not validity.may_be_stale:
        assert not may_serve_on_error(validity, directives, now)


@given(value=response_directives, client=client_directives, after_s=st.floats(0, 400))
def test_what_a_client_demands_never_makes_reuse_easier(value: str, client: str, after_s: float) -> None:
    validity, now = validity_of(f"cache-control: {value}"), NOW + after_s
    if "max-stale" not in client and judge(validity, None, now) is VALIDATE:
        assert judge(validity, asked(client), now) is VALIDATE
    assert judge(validity, asked(f"{client}, no-cache"), now) is VALIDATE


@given(value=response_directives, client=client_directives, after_s=st.floats(0, 400), later_s=st.floats(0, 400))
def test_time_never_makes_a_response_better(value: str, client: str, after_s: float, later_s: float) -> None:
    validity, directives = validity_of(f"cache-control: {value}"), asked(client)
    order = [REUSE, BOTH, VALIDATE]
    then, later = (judge(validity, directives, NOW + seconds) for seconds in (after_s, after_s + later_s))
    assert order.index(then) <= order.index(later)
