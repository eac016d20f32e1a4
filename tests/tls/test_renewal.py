"""When to renew, and when to try again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.tls.renewal import (
    LAST_CALL,
    LEAST_BETWEEN_S,
    MAX_RETRY_AFTER_S,
    REFUSED_STEPS_S,
    UNREACHED_STEPS_S,
    Trouble,
    Validity,
    Window,
    due_at_s,
    next_try_at_s,
    renewal_at_s,
    share_of,
    unanswered_pause_s,
)

DAY_S = 24 * 3600.0
ISSUED_S = 1_000_000_000.0


def valid_for(days: float) -> Validity:
    return Validity(ISSUED_S, ISSUED_S + days * DAY_S)


def refused(count: int = 1, *, at_s: float = ISSUED_S, retry_after_s: float = 0.0) -> Trouble:
    return Trouble(count, at_s, "no", is_refusal=True, retry_after_s=retry_after_s)


@pytest.mark.parametrize(("lifetime_days", "earliest", "latest"), [(90, 60, 63), (45, 30, 31.5), (6, 4, 4.2)])
def test_a_certificate_is_renewed_after_two_thirds_of_its_lifetime(
    lifetime_days: float, earliest: float, latest: float
) -> None:
    validity = valid_for(lifetime_days)
    assert renewal_at_s(validity, None, 0.0) == pytest.approx(ISSUED_S + earliest * DAY_S)
    assert renewal_at_s(validity, None, 1.0) == pytest.approx(ISSUED_S + latest * DAY_S)


@pytest.mark.parametrize(("share", "day"), [(0.0, 20), (0.5, 21), (0.999, 21.998)])
def test_the_window_of_the_ca_comes_before_the_rule(share: float, day: float) -> None:
    window = Window(ISSUED_S + 20 * DAY_S, ISSUED_S + 22 * DAY_S)
    assert renewal_at_s(valid_for(90), window, share) == pytest.approx(ISSUED_S + day * DAY_S)


def test_a_window_in_the_past_means_now() -> None:
    window = Window(ISSUED_S - 2 * DAY_S, ISSUED_S - DAY_S)
    assert due_at_s(valid_for(90), window, 0.5, ordered_at_s=0.0, now_s=ISSUED_S + DAY_S) < ISSUED_S


def test_no_window_is_waited_for_until_the_certificate_expires() -> None:
    window = Window(ISSUED_S + 89 * DAY_S, ISSUED_S + 95 * DAY_S)
    assert renewal_at_s(valid_for(90), window, 0.5) == pytest.approx(ISSUED_S + 90 * LAST_CALL * DAY_S)


def test_a_window_without_extent_is_ignored() -> None:
    window = Window(ISSUED_S + 20 * DAY_S, ISSUED_S + 20 * DAY_S)
    assert renewal_at_s(valid_for(90), window, 0.0) == pytest.approx(ISSUED_S + 60 * DAY_S)


def test_a_share_lasts_as_long_as_its_certificate() -> None:
    assert share_of("a.example", valid_for(90)) == share_of("a.example", valid_for(90))


def test_shares_of_many_domains_spread() -> None:
    shares = sorted(share_of(f"{number}.example", valid_for(90)) for number in range(1000))
    assert 0 <= shares[0] < 0.02
    assert 0.45 < shares[500] < 0.55
    assert 0.98 < shares[-1] < 1


def test_a_clock_far_ahead_does_not_order_over_and_over() -> None:
    now_s = ISSUED_S + 365 * DAY_S
    assert due_at_s(valid_for(90), None, 0.5, ordered_at_s=now_s - 60, now_s=now_s) == now_s - 60 + LEAST_BETWEEN_S


def test_a_short_lifetime_is_not_held_up_by_the_last_order() -> None:
    validity = Validity(ISSUED_S, ISSUED_S + 6)
    assert due_at_s(validity, None, 0.0, ordered_at_s=ISSUED_S, now_s=ISSUED_S + 4) == ISSUED_S + 4


def test_an_order_noted_by_a_clock_that_was_set_back_holds_nothing_up() -> None:
    noted_s = ISSUED_S + 400 * DAY_S
    now_s = ISSUED_S + 80 * DAY_S
    assert due_at_s(valid_for(90), None, 0.0, ordered_at_s=noted_s, now_s=now_s) < now_s


@pytest.mark.parametrize("count", range(1, 10))
def test_pauses_grow_up_to_a_limit(count: int) -> None:
    position = min(count, len(REFUSED_STEPS_S)) - 1
    assert refused(count).pause_s == REFUSED_STEPS_S[position]
    assert Trouble(count, 0, "", is_refusal=False).pause_s == UNREACHED_STEPS_S[position]


@pytest.mark.parametrize(
    ("retry_after_s", "pause_s"),
    [(10, REFUSED_STEPS_S[0]), (7200, 7200), (1e12, MAX_RETRY_AFTER_S)],
)
def test_the_wish_of_the_ca_lengthens_a_pause_within_reason(retry_after_s: float, pause_s: float) -> None:
    assert refused(retry_after_s=retry_after_s).pause_s == pause_s


@pytest.mark.parametrize(
    ("count", "is_refusal", "retry_after_s", "pause_s"),
    [(1, False, 0, 15), (4, False, 0, 300), (99, False, 0, 1800), (1, True, 0, 21600), (1, False, 900, 900)],
)
def test_the_renewal_window_is_asked_for_again_as_the_rfc_says(
    count: int, is_refusal: bool, retry_after_s: float, pause_s: float
) -> None:
    assert unanswered_pause_s(count, is_refusal, retry_after_s) == pause_s


def test_without_a_failure_an_order_may_be_tried_now() -> None:
    assert next_try_at_s(None, ISSUED_S) == ISSUED_S


@pytest.mark.parametrize(
    ("now_s", "expected_s"),
    [
        (ISSUED_S + 1, ISSUED_S + 300),
        (ISSUED_S + 299, ISSUED_S + 300),
        (ISSUED_S + 300, ISSUED_S + 300),
        (ISSUED_S + 1e6, ISSUED_S + 1e6),
        (ISSUED_S - 1, ISSUED_S + 300),
        # Set back by a day: what was noted says nothing.
        (ISSUED_S - DAY_S, ISSUED_S - DAY_S),
    ],
)
def test_a_failure_holds_off_the_next_try(now_s: float, expected_s: float) -> None:
    assert next_try_at_s(refused(), now_s) == expected_s


times = st.floats(0, 4e9)


@given(count=st.integers(-5, 50), failed_s=times, now_s=times, retry_after_s=st.floats(0, 1e15))
def test_no_jump_of_the_clock_keeps_orders_away_for_long(
    count: int, failed_s: float, now_s: float, retry_after_s: float
) -> None:
    try_at_s = next_try_at_s(refused(count, at_s=failed_s, retry_after_s=retry_after_s), now_s)
    assert now_s <= try_at_s + 1e-6
    assert try_at_s - now_s <= 2 * MAX_RETRY_AFTER_S
