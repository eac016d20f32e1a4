"""Names that change while a file is being opened: never a byte from outside, whatever the moment."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.files.conftest import OpenRoots
from tests.files.tree import content_of, no_leaks
from thrust.files.confined import Roots
from thrust.files.refusals import FileRefused

OPENINGS = 20_000

pytestmark = pytest.mark.slow


@contextmanager
def over_and_over(change: Callable[[], None]) -> Iterator[None]:
    """Calls `change` in a thread for as long as the block runs."""
    is_over = threading.Event()
    failures: list[Exception] = []

    def run() -> None:
        try:
            while not is_over.is_set():
                change()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    assert not failures


def outcomes(roots: Roots, path: bytes) -> Counter[bytes]:
    """What OPENINGS attempts to open `path` have come to: contents, and names of refusals."""
    found: Counter[bytes] = Counter()
    for _ in range(OPENINGS):
        try:
            found[content_of(roots, path)] += 1
        except FileRefused as error:
            found[error.refusal.name.encode()] += 1
    return found


def swap(here: Path, there: Path) -> Callable[[], None]:
    """Lets `there` stand at the place of `here` for a moment."""
    aside = here.with_name("aside")

    def change() -> None:
        here.rename(aside)
        there.rename(here)
        here.rename(there)
        aside.rename(here)

    return change


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "root" / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    for name in ("file", "deep/file"):
        (tmp_path / "root" / "folder" / name).write_text("inside")
        (tmp_path / "outside" / name).write_text("outside")
    return tmp_path


@pytest.mark.parametrize("target", ["../outside", "{top}/outside"])
@pytest.mark.parametrize("path", [b"folder/file", b"folder/deep/file"])
def test_a_folder_that_becomes_a_link_does_not_lead_out(
    top: Path, open_roots: OpenRoots, target: str, path: bytes
) -> None:
    roots = open_roots(top / "root")
    (top / "root" / "link").symlink_to(target.format(top=top))
    with no_leaks(), over_and_over(swap(top / "root" / "folder", top / "root" / "link")):
        found = outcomes(roots, path)
    assert found.keys() == {b"inside", b"MISSING", b"OUTSIDE"}


@pytest.mark.parametrize("target", ["../../outside/file", "{top}/outside/file"])
def test_a_file_that_becomes_a_link_does_not_lead_out(top: Path, open_roots: OpenRoots, target: str) -> None:
    roots = open_roots(top / "root")
    (top / "root" / "folder" / "link").symlink_to(target.format(top=top))
    with no_leaks(), over_and_over(swap(top / "root" / "folder" / "file", top / "root" / "folder" / "link")):
        found = outcomes(roots, b"folder/file")
    assert found.keys() == {b"inside", b"MISSING", b"OUTSIDE"}


def test_a_link_that_changes_its_mind_does_not_lead_out(top: Path, open_roots: OpenRoots) -> None:
    roots = open_roots(top / "root")
    (top / "root" / "here").symlink_to("folder/file")
    (top / "root" / "there").symlink_to("../outside/file")
    with no_leaks(), over_and_over(swap(top / "root" / "here", top / "root" / "there")):
        found = outcomes(roots, b"here")
    assert found.keys() == {b"inside", b"MISSING", b"OUTSIDE"}


def test_the_parent_of_a_folder_that_moves_out_is_not_entered(top: Path, open_roots: OpenRoots) -> None:
    """From where the folder was, `../..` is the root; from where it is now, it is the folder around the root."""
    roots = open_roots(top / "root")
    (top / "file").write_text("outside")
    (top / "root" / "file").write_text("inside")
    (top / "root" / "folder" / "deep" / "up").symlink_to("../../file")
    inside, outside = top / "root" / "folder" / "deep", top / "outside" / "moved"

    def move() -> None:
        inside.rename(outside)
        outside.rename(inside)

    with no_leaks(), over_and_over(move):
        found = outcomes(roots, b"folder/deep/up")
    assert found[b"inside"] > 0
    assert found.keys() <= {b"inside", b"MISSING"}


def test_each_file_comes_from_one_release_or_the_other(tmp_path: Path, open_roots: OpenRoots) -> None:
    current, following = tmp_path / "current", tmp_path / "following"
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "app.js").write_text(release)
    current.symlink_to("1")
    roots = open_roots(current)

    def deploy() -> None:
        release = "2" if os.readlink(current) == "1" else "1"
        following.symlink_to(release)
        following.replace(current)

    with no_leaks(), over_and_over(deploy):
        found = outcomes(roots, b"app.js")
    assert found.keys() == {b"1", b"2"}
