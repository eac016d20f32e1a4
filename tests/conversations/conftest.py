"""Every conversation is played twice: with whole messages, and with every byte arriving alone, from both sides."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.conversation import Stage, assert_nothing_was_told, converse
from tests.support.memory_transport import READ_BYTES

Converse = Callable[..., Stage]


@pytest.fixture(autouse=True, scope="module")
def nothing_was_told_late() -> Iterator[None]:
    """No exception was left for the garbage collector to find."""
    yield
    assert_nothing_was_told()


@pytest.fixture(params=[READ_BYTES, 1], ids=["whole", "bytewise"])
def talk(request: pytest.FixtureRequest) -> Converse:
    """`converse`, in both ways."""
    return lambda text, **rest: converse(text, read_bytes=request.param, **rest)


@pytest.fixture
def talk_whole() -> Converse:
    """`converse` with whole messages only: for what depends on which bytes arrive together, or on many of them."""
    return converse
