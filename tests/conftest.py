"""What holds for all tests."""

import gc

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spares the collector the tests themselves, twelve thousand of them, each time that it looks for garbage."""
    gc.collect()
    gc.freeze()
