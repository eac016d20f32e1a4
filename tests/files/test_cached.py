"""Opening without waiting: what is told at once, what is left to those who may wait, and never another answer."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files.tree import FilesTree, no_leaks
from thrust.files import folders
from thrust.files.confined import OpenedFile, Roots
from thrust.files.file_systems import _mount_of, _type_of, is_local
from thrust.files.openat2 import load_cached
from thrust.files.refusals import FileRefused, Refusal
from thrust.files.siblings import open_best
from thrust.http.negotiation import IDENTITY


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> FilesTree:
    return FilesTree(tmp_path_factory.mktemp("files"))


@pytest.fixture(autouse=True)
def only_where_it_can_be(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        if load_cached() is None or not is_local(folder):
            pytest.skip("nothing can be opened without waiting here")
    finally:
        os.close(folder)


def outcome(open_file: Callable[[bytes], OpenedFile], path: bytes) -> bytes | Refusal:
    try:
        opened = open_file(path)
    except FileRefused as error:
        return error.refusal
    try:
        return os.pread(opened.fd, 100, 0)
    finally:
        opened.close()


@pytest.mark.parametrize(
    "path",
    [
        *(
            b"report.pdf",
            b"folder/inner.txt",
            b"folder/../report.pdf",
            b"to-file",
            b"to-folder/inner.txt",
            b"folder/far",
        ),
        *(b"nothing", b"nothing/report.pdf", b"dangling", b"folder", b"fifo", b"report.pdf\0"),
        b"x" * 5000,
    ],
)
def test_what_is_known_is_told_at_once(tree: FilesTree, path: bytes) -> None:
    roots = Roots([tree.root, tree.second])
    expected = outcome(roots.open, path)  # from now on the kernel knows the names
    with no_leaks():
        assert outcome(roots.open_cached, path) == expected
        assert outcome(roots.open_cached, os.fsencode(tree.root) + b"/" + path) == outcome(
            roots.open, os.fsencode(tree.root) + b"/" + path
        )


@pytest.mark.parametrize(
    "path",
    [
        *(b"out", b"out-folder/secret", b"out-absolute", b"out-by-proc-root", b"out-by-device", b"../outside/secret"),
        *(b"/etc/passwd", b"/proc/self/root/etc/passwd", b"loop", b"absolute", b"to-second-root"),
    ],
)
def test_what_may_lead_out_is_never_decided_in_haste(tree: FilesTree, path: bytes) -> None:
    roots = Roots([tree.root, tree.second])
    outcome(roots.open, path)
    with no_leaks(), pytest.raises(BlockingIOError):
        roots.open_cached(path)


def test_names_that_nobody_has_asked_for_are_left_to_who_may_wait(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    roots = Roots([tmp_path])
    with no_leaks(), pytest.raises(BlockingIOError):
        roots.open_cached(b"folder/never-asked-for")


def test_another_volume_is_left_to_who_may_wait(tmp_path: Path) -> None:
    """Nobody knows what it takes to open a file there."""
    roots = Roots(["/"])
    with open("/proc/self/mounts", "rb") as mounts:
        assert mounts.read()
    with no_leaks(), pytest.raises(BlockingIOError):
        roots.open_cached(b"/proc/self/mounts")


def test_a_file_system_that_asks_others_is_left_to_who_may_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("inside")
    monkeypatch.setattr(folders, "is_local", lambda fd: False)
    roots = Roots([tmp_path])
    assert outcome(roots.open, b"file") == b"inside"
    with no_leaks(), pytest.raises(BlockingIOError):
        roots.open_cached(b"file")


def test_without_openat2_everything_is_left_to_who_may_wait(tmp_path: Path) -> None:
    roots = Roots([tmp_path], may_use_openat2=False)
    with pytest.raises(BlockingIOError):
        roots.open_cached(b"file")


def test_a_release_that_was_replaced_is_not_opened_at_once(tmp_path: Path) -> None:
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "app.js").write_text(release)
    (tmp_path / "current").symlink_to("1")
    roots = Roots([tmp_path / "current"])
    assert outcome(roots.open, b"app.js") == outcome(roots.open_cached, b"app.js") == b"1"
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").replace(tmp_path / "current")
    assert (tmp_path / "current" / "app.js").read_text() == "2"  # so that the kernel knows all names
    with no_leaks(), pytest.raises(BlockingIOError):
        roots.open_cached(b"app.js")
    assert outcome(roots.open, b"app.js") == outcome(roots.open_cached, b"app.js") == b"2"


def test_a_sibling_that_may_have_to_be_waited_for_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("original")
    roots = Roots([tmp_path])

    def open_file(path: object) -> OpenedFile:
        if path == b"app.js":
            return roots.open(b"app.js")
        raise BlockingIOError(errno.EAGAIN, "later")

    with no_leaks(), pytest.raises(BlockingIOError):
        open_best(open_file, b"app.js", (b"br", IDENTITY))


MOUNTS = b"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /mnt/a\\040b rw,nosuid shared:5 master:1 - fuse.sshfs host:/ rw
122 22 0:40 / /data rw - nfs4 server:/ rw,vers=4.2
"""


@pytest.mark.parametrize(
    ("mount", "kind"), [(b"22", b"ext4"), (b"23", b"fuse.sshfs"), (b"122", b"nfs4"), (b"2", b""), (b"", b"")]
)
def test_the_type_of_a_mount_is_found(mount: bytes, kind: bytes) -> None:
    assert _type_of(mount, MOUNTS) == kind


def test_a_descriptor_tells_its_mount() -> None:
    assert _mount_of(b"pos:\t0\nflags:\t012000000\nmnt_id:\t29\nino:\t2\n") == b"29"
    assert _mount_of(b"pos:\t0\n") == b""


def test_proc_is_not_a_disk() -> None:
    folder = os.open("/proc", os.O_RDONLY)
    try:
        assert not is_local(folder)
    finally:
        os.close(folder)
    assert not is_local(folder), "nor is what is not open"


def test_a_kernel_that_does_not_know_how_is_believed() -> None:
    """Linux before 5.12 says EINVAL; here a system without the call stands for it."""
    program = """
import os
from thrust.files import openat2
openat2._RESOLVE_CACHED = 1 << 40
print(openat2.load_cached(), openat2.load() is not None)
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert printed.stdout == "None True\n"
