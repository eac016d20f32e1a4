"""Nothing is answered from memory that RFC 9111 forbids, and plain requests get what is promised to be there.

Random stories are played, and judged by tests/support/cache_judge.py and cache_model.py, which know the RFC and not our
code. That these tests can fail is shown in `test_model_finds.py`; `python -m tests.fuzz.cache` goes on for longer.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import cache as fuzz
from tests.support.cache_model import Ask
from tests.support.cache_plays import complaints
from tests.support.cache_stories import Request_, Say, Story, Wait, Words, make_story

ANY_LENGTH = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    return make_story(lambda options: draw(st.sampled_from(options)))


@settings(max_examples=20, deadline=None, suppress_health_check=ANY_LENGTH)
@given(stories())
def test_no_story_gives_reason_to_complain(story: Story) -> None:
    assert complaints(story) == []


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=ANY_LENGTH)
@given(stories())
def test_none_of_many_stories_gives_reason_to_complain(story: Story) -> None:
    assert complaints(story) == []


# The same without hypothesis is ten times as fast, and finds more per second.


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_no_random_story_gives_reason_to_complain(start: int) -> None:
    for number in range(start, start + 50):
        assert complaints(fuzz.story(1, number)) == []


@pytest.mark.slow
def test_none_of_many_random_stories_gives_reason_to_complain() -> None:
    for number in range(3000):
        assert complaints(fuzz.story(2, number)) == []


def test_a_story_is_played_to_its_end() -> None:
    """The worker answers once, memory once, then the worker confirms: what a story is made of does happen."""
    ask = Request_(Ask(b"GET", b"/a", b"a.example", {}, ()))
    says = Say(b"/a", Words(), is_new=False)
    assert complaints(Story([says, ask, Wait(5.0), ask, Wait(5.0), ask], 1_000_000)) == []
