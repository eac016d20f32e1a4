"""Both ways to open a file beneath a folder, each for every test that asks for `open_roots`."""

from collections.abc import Callable

import pytest

from thrust.files.confined import AnyPath, Roots
from thrust.files.openat2 import load

OpenRoots = Callable[..., Roots]


@pytest.fixture(params=["openat2", "walking"])
def open_roots(request: pytest.FixtureRequest) -> OpenRoots:
    """Makes Roots of folders; by openat2 only where the system has it."""
    if request.param == "openat2" and load() is None:
        pytest.skip("there is no openat2 here")

    def make(*folders: AnyPath) -> Roots:
        return Roots(folders, may_use_openat2=request.param == "openat2")

    return make
