"""Roots whose path leads to another folder later, as after a deploy that swaps a link."""

import os
import shutil
from pathlib import Path

import pytest

from tests.files.conftest import OpenRoots
from tests.files.tree import content_of, no_leaks
from thrust.files.refusals import FileRefused, Refusal


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two releases with an app.js each, and `current`, which leads to the first."""
    for release in ("1", "2"):
        (tmp_path / "releases" / release / "static").mkdir(parents=True)
        (tmp_path / "releases" / release / "static" / "app.js").write_text(release)
    (tmp_path / "current").symlink_to("releases/1")
    return tmp_path


def deploy(site: Path, release: str) -> None:
    (site / "following").symlink_to(f"releases/{release}")
    (site / "following").replace(site / "current")


def test_a_swapped_link_is_followed(site: Path, open_roots: OpenRoots) -> None:
    roots = open_roots(site / "current" / "static")
    assert content_of(roots, b"app.js") == content_of(roots, site / "current" / "static" / "app.js") == b"1"
    deploy(site, "2")
    assert content_of(roots, b"app.js") == content_of(roots, site / "current" / "static" / "app.js") == b"2"
    deploy(site, "1")
    assert content_of(roots, b"app.js") == b"1"


def test_the_release_before_is_no_longer_a_root(site: Path, open_roots: OpenRoots) -> None:
    roots = open_roots(site / "current" / "static")
    first, second = (site / "releases" / release / "static" / "app.js" for release in ("1", "2"))
    assert content_of(roots, first) == b"1"
    deploy(site, "2")
    assert content_of(roots, second) == b"2"
    with pytest.raises(FileRefused) as caught:
        roots.open(first)
    assert caught.value.refusal is Refusal.OUTSIDE


def test_a_folder_that_is_made_anew_is_found(site: Path, open_roots: OpenRoots) -> None:
    static = site / "releases" / "1" / "static"
    roots = open_roots(static)
    shutil.rmtree(static)
    with pytest.raises(FileRefused) as caught:
        roots.open(b"app.js")
    assert caught.value.refusal is Refusal.MISSING
    static.mkdir()
    (static / "app.js").write_text("anew")
    assert content_of(roots, b"app.js") == content_of(roots, static / "app.js") == b"anew"


def test_while_the_path_leads_nowhere_the_last_folder_serves(site: Path, open_roots: OpenRoots) -> None:
    """`ln -sfn` removes the old link before it makes the new one."""
    roots = open_roots(site / "current" / "static")
    (site / "current").unlink()
    assert content_of(roots, b"app.js") == b"1"
    (site / "current").write_text("not even a folder")
    assert content_of(roots, b"app.js") == b"1"
    (site / "current").unlink()
    (site / "current").symlink_to("releases/2")
    assert content_of(roots, b"app.js") == b"2"
    (site / "current").unlink()
    assert content_of(roots, b"app.js") == b"2"


def test_old_folders_are_closed(site: Path, open_roots: OpenRoots) -> None:
    roots = open_roots(site / "current" / "static")
    with no_leaks():
        for release in "21" * 20:
            deploy(site, release)
            assert content_of(roots, b"app.js") == release.encode()


def test_an_opened_file_outlives_its_release(site: Path, open_roots: OpenRoots) -> None:
    roots = open_roots(site / "current" / "static")
    opened = roots.open(b"app.js")
    try:
        deploy(site, "2")
        shutil.rmtree(site / "releases" / "1")
        assert content_of(roots, b"app.js") == b"2"
        assert os.pread(opened.fd, 10, 0) == b"1"
    finally:
        opened.close()
