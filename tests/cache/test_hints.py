import time

import pytest

from thrust.cache.hints import FAILURE_S, MAX_REMEMBERED, UNSHARED_S, Hints

KEY = (b"/a", b"example.org")
PAGE = (KEY, None)
GERMAN = (KEY, (b"de",))


class Clock:
    now_s = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now_s)
    return clock


def test_nothing_is_known_at_first() -> None:
    hints = Hints()
    assert not hints.is_page(KEY) and not hints.is_unshared(PAGE) and not hints.has_changed(KEY, since=0)
    assert hints.failure(KEY) is None


def test_an_answer_for_one_is_remembered_for_a_while(clock: Clock) -> None:
    hints = Hints()
    hints.note_unshared(PAGE)
    assert hints.is_unshared(PAGE) and not hints.is_page(KEY) and not hints.is_unshared(GERMAN)
    clock.now_s += UNSHARED_S
    assert not hints.is_unshared(PAGE)


def test_an_error_says_little_about_the_next_answer(clock: Clock) -> None:
    hints = Hints()
    hints.note_unshared(PAGE, is_page=True, is_transient=True)
    assert hints.is_unshared(PAGE) and not hints.is_page(KEY)
    clock.now_s += FAILURE_S
    assert not hints.is_unshared(PAGE)


def test_a_page_is_an_answer_for_one_too(clock: Clock) -> None:
    hints = Hints()
    hints.note_unshared(PAGE, is_page=True)
    assert hints.is_page(KEY) and hints.is_unshared(PAGE)
    clock.now_s += UNSHARED_S
    assert not hints.is_page(KEY)


def test_what_is_stored_is_for_all_again() -> None:
    hints = Hints()
    hints.note_unshared(PAGE, is_page=True)
    hints.note_unshared(GERMAN)
    hints.note_unshared((KEY, (b"en",)))
    hints.note_stored(KEY, GERMAN)
    assert not hints.is_page(KEY) and not hints.is_unshared(GERMAN)
    assert hints.is_unshared((KEY, (b"en",)))


def test_a_failure_is_remembered_for_a_moment(clock: Clock) -> None:
    hints = Hints()
    hints.note_failure(KEY, 503)
    assert hints.failure(KEY) == 503
    clock.now_s += FAILURE_S
    assert hints.failure(KEY) is None


def test_a_change_counts_for_whoever_asked_before_it() -> None:
    hints = Hints()
    before = hints.changes
    hints.note_change(KEY)
    assert hints.has_changed(KEY, since=before)
    assert not hints.has_changed(KEY, since=hints.changes)
    assert not hints.has_changed((b"/b",), since=before)


@pytest.mark.parametrize("count", [MAX_REMEMBERED - 1, MAX_REMEMBERED, 2 * MAX_REMEMBERED + 1])
def test_a_change_that_was_forgotten_is_taken_for_one(count: int) -> None:
    hints = Hints()
    before = hints.changes
    hints.note_change(KEY)
    since = hints.changes
    for number in range(count):
        hints.note_change((b"%d" % number,))
    assert hints.has_changed(KEY, since=before)
    assert hints.has_changed(KEY, since=since) == (count >= MAX_REMEMBERED)
    assert not hints.has_changed(KEY, since=hints.changes)


def test_memory_is_bounded() -> None:
    hints = Hints()
    for number in range(3 * MAX_REMEMBERED):
        key = (b"%d" % number,)
        hints.note_change(key)
        hints.note_failure(key, 500)
        hints.note_unshared((key, None))
    assert {len(known) for known in (hints._changed, hints._failures, hints._unshared)} == {MAX_REMEMBERED}
