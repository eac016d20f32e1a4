"""A bounded run of the fuzzer, the same cases every time; `python -m tests.fuzz.http1` runs others, for longer."""

import pytest

from tests.fuzz import http1


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_random_damage_breaks_no_claim(start: int) -> None:
    for number in range(start, start + 50):
        http1.check(1, number)


@pytest.mark.slow
def test_a_lot_of_random_damage_breaks_no_claim() -> None:
    for number in range(3000):
        http1.check(2, number)


def test_a_case_is_the_same_whenever_it_is_run() -> None:
    assert [http1.case(1, number)[:2] for number in range(20)] == [http1.case(1, number)[:2] for number in range(20)]
    assert http1.case(1, 5)[1] != http1.case(2, 5)[1]
