"""All ways to open a file beneath a folder, each for every test that asks for `open_roots`."""

from collections.abc import Callable

import pytest

from thrust.files.confined import AnyPath, OpenedFile, Roots
from thrust.files.openat2 import load, load_cached

OpenRoots = Callable[..., Roots]


class CachedRoots(Roots):
    """Roots that open files as the handlers do: at once if possible, else by waiting."""

    def open(self, path: AnyPath) -> OpenedFile:
        """As Roots, of which it is the last resort."""
        try:
            return self.open_cached(path)
        except BlockingIOError:
            return super().open(path)


@pytest.fixture(params=["openat2", "walking", "cached"])
def open_roots(request: pytest.FixtureRequest) -> OpenRoots:
    """Makes Roots of folders; by openat2 only where the system has it."""
    if request.param == "openat2" and load() is None:
        pytest.skip("there is no openat2 here")
    if request.param == "cached" and load_cached() is None:
        pytest.skip("openat2 does not know how to open without waiting here")

    def make(*folders: AnyPath) -> Roots:
        if request.param == "cached":
            return CachedRoots(folders)
        return Roots(folders, may_use_openat2=request.param == "openat2")

    return make
