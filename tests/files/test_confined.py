"""What is opened beneath the roots and what is refused, with openat2 and without: the same tables for both."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.files.conftest import OpenRoots
from tests.files.tree import LINKS, FilesTree, content_of, no_leaks
from thrust.errors import ConfigError
from thrust.files.confined import MAX_PATH_BYTES, Roots
from thrust.files.openat2 import load
from thrust.files.refusals import FileRefused, Refusal, refusal_of


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> FilesTree:
    return FilesTree(tmp_path_factory.mktemp("files"))


def fill_in(tree: FilesTree, path: bytes) -> bytes:
    for name in ("root", "second", "outside", "alias"):
        path = path.replace(b"{%b}" % name.encode(), os.fsencode(getattr(tree, name)))
    return path


def refused(roots: Roots, path: bytes) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        roots.open(path)
    return caught.value


# What is sent ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"report.pdf", "report.pdf"),
        (b"folder/inner.txt", "folder/inner.txt"),
        (b".hidden", ".hidden"),
        # Spellings.
        (b"./folder//inner.txt", "folder/inner.txt"),
        (b"folder/../report.pdf", "report.pdf"),
        (b"nothing/../report.pdf", "report.pdf"),
        (b"out-folder/../report.pdf", "report.pdf"),
        # Bytes as they are.
        (b"two\nlines", "two\nlines"),
        (b"%2e%2e", "%2e%2e"),
        (b"a\\b", "a\\b"),
        # Absolute: beneath any root, by its real name or another.
        (b"{root}/report.pdf", "report.pdf"),
        (b"//{root}///folder/./inner.txt", "folder/inner.txt"),
        (b"{outside}/../root/report.pdf", "report.pdf"),
        (b"{root}/../second/other.txt", "other.txt"),
        (b"{second}/other.txt", "other.txt"),
        # Links that stay inside.
        (b"to-file", "report.pdf"),
        (b"to-folder/inner.txt", "folder/inner.txt"),
        (b"to-folder-slash/inner.txt", "folder/inner.txt"),
        (b"folder/up", "report.pdf"),
        (b"folder/far", "folder/deep/leaf"),
        (b"folder/deep/deeper/beside", "folder/deep/leaf"),
        (b"dot-and-slashes", "folder/inner.txt"),
        (b"to-link", "report.pdf"),
        (b"chain-40", "report.pdf"),
        (b"absolute", "report.pdf"),
        (b"absolute-folder/deep/leaf", "folder/deep/leaf"),
        (b"absolute-dots", "report.pdf"),
        (b"to-second-root", "other.txt"),
        (b"{root}/to-folder/far", "folder/deep/leaf"),
    ],
)
def test_a_regular_file_beneath_a_root_is_opened(
    tree: FilesTree, open_roots: OpenRoots, path: bytes, name: str
) -> None:
    roots = open_roots(tree.root, tree.second)
    with no_leaks():
        assert content_of(roots, fill_in(tree, path)) == f"inside {name}".encode()


@pytest.mark.parametrize("path", [b"{alias}/report.pdf", b"{root}/report.pdf", b"absolute-by-alias", b"absolute"])
def test_a_root_is_known_by_the_name_it_was_given_and_by_its_real_one(
    tree: FilesTree, open_roots: OpenRoots, path: bytes
) -> None:
    assert content_of(open_roots(tree.alias), fill_in(tree, path)).startswith(b"inside ")


def test_of_roots_within_each_other_the_inner_one_counts(tree: FilesTree, open_roots: OpenRoots) -> None:
    for roots in (open_roots(tree.root, tree.root / "folder"), open_roots(tree.root / "folder", tree.root)):
        assert content_of(roots, tree.root / "report.pdf") == b"inside report.pdf"
        assert content_of(roots, tree.root / "folder" / "inner.txt") == b"inside folder/inner.txt"
        # The link in it leads up, out of the inner root.
        assert refused(roots, os.fsencode(tree.root / "folder" / "up")).refusal is Refusal.OUTSIDE


def test_everything_is_beneath_the_root_of_the_file_system(tree: FilesTree, open_roots: OpenRoots) -> None:
    roots = open_roots("/")
    assert content_of(roots, tree.root / "absolute") == b"inside report.pdf"
    assert content_of(roots, os.fsencode(tree.root / "report.pdf")[1:]) == b"inside report.pdf"
    assert refused(roots, b"/").refusal is Refusal.FOLDER
    assert refused(roots, b"/..").refusal is Refusal.FOLDER
    assert content_of(open_roots(tree.root / "out-to-top"), tree.root / "absolute") == b"inside report.pdf"


def test_text_and_paths_are_taken_like_bytes(tree: FilesTree, open_roots: OpenRoots) -> None:
    roots = open_roots(str(tree.root), os.fsencode(tree.second))
    assert content_of(roots, "report.pdf") == content_of(roots, Path("report.pdf")) == b"inside report.pdf"
    assert content_of(roots, tree.second / "other.txt") == b"inside other.txt"


def test_names_need_not_be_utf_8(tmp_path: Path, open_roots: OpenRoots) -> None:
    name = b"caf\xe9 \xed\xb2\x80"
    try:
        (tmp_path / os.fsdecode(name)).write_bytes(b"inside")
    except OSError:
        pytest.skip("names have to be UTF-8 on this file system")
    assert content_of(open_roots(tmp_path), name) == b"inside"
    assert content_of(open_roots(tmp_path), os.fsencode(tmp_path) + b"/" + name) == b"inside"


def test_relative_roots_begin_at_the_working_directory(
    tree: FilesTree, open_roots: OpenRoots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree.root.parent)
    roots = open_roots("root", "outside/../second")
    monkeypatch.chdir("/")
    assert content_of(roots, "report.pdf") == content_of(roots, tree.root / "report.pdf") == b"inside report.pdf"
    assert content_of(roots, tree.second / "other.txt") == b"inside other.txt"


def test_an_opened_file_is_described_as_it_was(tree: FilesTree, open_roots: OpenRoots) -> None:
    opened = open_roots(tree.root).open(b"report.pdf")
    try:
        assert opened.stat == (tree.root / "report.pdf").stat()
        assert repr(opened) == f"<OpenedFile {opened.fd}, {len('inside report.pdf')} bytes>"
        assert not os.get_inheritable(opened.fd)
    finally:
        opened.close()


def test_a_file_is_closed_once(tree: FilesTree) -> None:
    with no_leaks():
        opened = Roots([tree.root]).open(b"report.pdf")
        opened.close()
        another = os.open(tree.root, os.O_RDONLY)  # gets the number that became free
        opened.close()
        os.close(another)
    assert repr(opened) == "<OpenedFile, closed>"


def test_a_hard_link_is_the_file_itself(tree: FilesTree, open_roots: OpenRoots) -> None:
    """Nobody can tell which of its names is the first; the head of `confined.py` says what that means."""
    assert content_of(open_roots(tree.root), b"hard-link") == b"outside"


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        # Out, by the path itself.
        (b"..", Refusal.OUTSIDE),
        (b"../outside/secret", Refusal.OUTSIDE),
        (b"folder/../../outside/secret", Refusal.OUTSIDE),
        (b"../root/report.pdf", Refusal.OUTSIDE),
        (b"./.././outside/secret", Refusal.OUTSIDE),
        (b"{outside}/secret", Refusal.OUTSIDE),
        (b"//{outside}/secret", Refusal.OUTSIDE),
        (b"{root}/../outside/secret", Refusal.OUTSIDE),
        (b"{root}/folder/../../outside/secret", Refusal.OUTSIDE),
        (b"{root}-2/secret", Refusal.OUTSIDE),
        (b"{root}/..", Refusal.OUTSIDE),
        (b"/etc/passwd", Refusal.OUTSIDE),
        (b"/", Refusal.OUTSIDE),
        (b"/proc/self/root/{outside}/secret", Refusal.OUTSIDE),
        (b"/proc/self/cwd/secret", Refusal.OUTSIDE),
        (b"/proc/self/environ", Refusal.OUTSIDE),
        (b"/dev/stdin", Refusal.OUTSIDE),
        # Nothing is decoded, and `\` separates nothing.
        (b"%2e%2e/outside/secret", Refusal.MISSING),
        (b"..%2foutside%2fsecret", Refusal.MISSING),
        (b"%2e%2e%2foutside%2fsecret", Refusal.MISSING),
        (b"..%5coutside", Refusal.MISSING),
        (b"..\\outside\\secret", Refusal.MISSING),
        (b"....//outside/secret", Refusal.MISSING),
        (b"..;/outside/secret", Refusal.MISSING),
        (b"\xc0\xae\xc0\xae/outside/secret", Refusal.MISSING),
        (b"~/secret", Refusal.MISSING),
        (b"$HOME/secret", Refusal.MISSING),
        (b"file://{outside}/secret", Refusal.MISSING),
        # Out, by links.
        (b"out", Refusal.OUTSIDE),
        (b"out-folder", Refusal.OUTSIDE),
        (b"out-folder/secret", Refusal.OUTSIDE),
        (b"out-absolute", Refusal.OUTSIDE),
        (b"out-chain", Refusal.OUTSIDE),
        (b"to-folder/out-again", Refusal.OUTSIDE),
        (b"absolute-folder/out-again", Refusal.OUTSIDE),
        (b"out-by-absolute-dots", Refusal.OUTSIDE),
        (b"out-and-back", Refusal.OUTSIDE),
        (b"out-and-back-absolute", Refusal.OUTSIDE),
        (b"out-by-prefix", Refusal.OUTSIDE),
        (b"out-to-top/{outside}/secret", Refusal.OUTSIDE),
        (b"out-by-proc-root", Refusal.OUTSIDE),
        (b"out-by-proc-cwd/secret", Refusal.OUTSIDE),
        (b"out-by-device", Refusal.OUTSIDE),
        # In circles.
        (b"loop", Refusal.LINKS),
        (b"loop/x", Refusal.LINKS),
        (b"loop-a", Refusal.LINKS),
        (b"loop-folder", Refusal.LINKS),
        (b"chain-41", Refusal.LINKS),
        # Missing.
        (b"nothing", Refusal.MISSING),
        (b"nothing/report.pdf", Refusal.MISSING),
        (b"REPORT.PDF.", Refusal.MISSING),
        (b"report.pdf/", Refusal.MISSING),
        (b"report.pdf/.", Refusal.MISSING),
        (b"report.pdf/inner.txt", Refusal.MISSING),
        (b"to-file/", Refusal.MISSING),
        (b"to-file-slash", Refusal.MISSING),
        (b"dangling", Refusal.MISSING),
        (b"dangling-folder", Refusal.MISSING),
        (b"{root}/nothing", Refusal.MISSING),
        # Folders.
        (b"", Refusal.FOLDER),
        (b".", Refusal.FOLDER),
        (b"folder", Refusal.FOLDER),
        (b"folder/", Refusal.FOLDER),
        (b"folder/.", Refusal.FOLDER),
        (b"folder/deep/..", Refusal.FOLDER),
        (b"to-folder", Refusal.FOLDER),
        (b"to-folder-slash", Refusal.FOLDER),
        (b"absolute-folder", Refusal.FOLDER),
        (b"{root}", Refusal.FOLDER),
        (b"{root}/", Refusal.FOLDER),
        # Neither.
        (b"fifo", Refusal.NOT_REGULAR),
        (b"socket", Refusal.NOT_REGULAR),
        # Not a name.
        (b"report.pdf\0", Refusal.NUL),
        (b"\0", Refusal.NUL),
        (b"report.pdf\0/../../outside/secret", Refusal.NUL),
        (b"x" * 256, Refusal.TOO_LONG),
        (b"folder/" + b"x" * 256, Refusal.TOO_LONG),
        (b"./" * (MAX_PATH_BYTES // 2) + b"xx", Refusal.TOO_LONG),
        (b"x/" * 30_000, Refusal.TOO_LONG),
        (b"../" * 1000 + b"etc/passwd", Refusal.OUTSIDE),
        (b"x/" * 2000, Refusal.MISSING),
    ],
)
def test_everything_else_is_refused(tree: FilesTree, open_roots: OpenRoots, path: bytes, refusal: Refusal) -> None:
    roots, path = open_roots(tree.root, tree.second), fill_in(tree, path)
    with no_leaks():
        error = refused(roots, path)
    assert error.refusal is refusal
    assert error.path == path
    assert error.status == 404


@pytest.mark.parametrize("path", [b"folder%binner.txt", b"{root}%bfolder/inner.txt"])
def test_the_longest_path_is_still_looked_at(tree: FilesTree, open_roots: OpenRoots, path: bytes) -> None:
    roots, path = open_roots(tree.root), fill_in(tree, path)
    longest = path % (b"/" * (MAX_PATH_BYTES - len(path % b"")))
    assert len(longest) == MAX_PATH_BYTES
    assert content_of(roots, longest) == b"inside folder/inner.txt"
    assert refused(roots, longest.replace(b"//", b"///", 1)).refusal is Refusal.TOO_LONG


def test_each_link_that_leads_out_is_in_the_table(tree: FilesTree, open_roots: OpenRoots) -> None:
    for name in LINKS:
        if "out" in name:
            assert refused(open_roots(tree.root), name.encode()).refusal is Refusal.OUTSIDE


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="there is no /proc here")
def test_open_descriptors_cannot_be_reached_by_their_numbers(tree: FilesTree, open_roots: OpenRoots) -> None:
    with open(tree.outside / "secret", "rb") as secret, open(tree.root / "report.pdf", "rb") as report:
        for fd in (secret.fileno(), report.fileno()):
            link = tree.root / f"fd-{fd}"
            link.symlink_to(f"/proc/self/fd/{fd}")
            for path in (f"/proc/self/fd/{fd}", f"/dev/fd/{fd}", link.name):
                assert refused(open_roots(tree.root), path.encode()).refusal is Refusal.OUTSIDE
            link.unlink()


@pytest.mark.skipif(not os.path.exists("/proc/self/root"), reason="there is no /proc here")
@pytest.mark.parametrize(
    "path", [b"root/etc/passwd", b"cwd/pyproject.toml", b"exe", b"root", b"../self/root/etc/passwd"]
)
def test_magic_links_lead_nowhere(open_roots: OpenRoots, path: bytes) -> None:
    assert refused(open_roots("/proc/self"), path).refusal is Refusal.OUTSIDE


@pytest.mark.parametrize("minor", [3, 5])  # /dev/null, /dev/zero
def test_a_device_is_refused(tmp_path: Path, open_roots: OpenRoots, minor: int) -> None:
    try:
        os.mknod(tmp_path / "device", 0o020666, os.makedev(1, minor))
    except PermissionError:
        pytest.skip("devices are made by root only")
    assert refused(open_roots(tmp_path), b"device").refusal is Refusal.NOT_REGULAR


def test_a_fifo_with_a_waiting_writer_is_refused(tmp_path: Path, open_roots: OpenRoots) -> None:
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_RDWR | os.O_NONBLOCK)
    try:
        assert refused(open_roots(tmp_path), b"fifo").refusal is Refusal.NOT_REGULAR
    finally:
        os.close(fd)


# As nobody, if this is root; the root folder is opened before, as thrust does.
UNREADABLE = """
import os, sys
from thrust.files.confined import Roots
from thrust.files.refusals import FileRefused
roots = Roots([sys.argv[1]], may_use_openat2=sys.argv[2] == "True")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for path in sys.argv[3:]:
    try:
        roots.open(path)
    except FileRefused as error:
        print(error.refusal.name, error.status, error.is_fault)
"""


def test_what_may_not_be_read_is_told_to_the_log_only(tmp_path: Path, open_roots: OpenRoots) -> None:
    (tmp_path / "file").write_text("inside")
    (tmp_path / "file").chmod(0)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("inside")
    (tmp_path / "folder").chmod(0)
    tmp_path.chmod(0o755)
    uses_openat2 = open_roots(tmp_path)._openat2 is not None
    command = [sys.executable, "-c", UNREADABLE, str(tmp_path), str(uses_openat2), "file", "folder/file", "folder/none"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    (tmp_path / "folder").chmod(0o700)
    assert output.splitlines() == ["UNREADABLE 404 True"] * 3


def test_too_many_open_files_are_the_servers_fault(tree: FilesTree, open_roots: OpenRoots) -> None:
    roots = open_roots(tree.root)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        error = refused(roots, b"report.pdf")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (error.refusal, error.status, error.is_fault) == (Refusal.OVERLOAD, 503, True)
    assert content_of(roots, b"report.pdf") == b"inside report.pdf"


def test_an_errno_that_nobody_expects_is_a_500() -> None:
    error = refusal_of(b"/data/x", OSError(5, "Input/output error"))
    assert (error.refusal, error.status, error.is_fault) == (Refusal.FAILURE, 500, True)
    assert str(error) == "cannot send the file '/data/x': the system cannot open it (Input/output error)"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"/data/none.pdf", "cannot send the file '/data/none.pdf': there is no such file"),
        (b"two\nlines", r"cannot send the file 'two\nlines': there is no such file"),
        (b"caf\xe9", r"cannot send the file 'caf\udce9': there is no such file"),
        ("café".encode(), "cannot send the file 'café': there is no such file"),
        (b"x" * 60000, f"cannot send the file '{'x' * 300}...': there is no such file"),
    ],
)
def test_the_log_line_names_the_path_on_one_line(path: bytes, text: str) -> None:
    assert str(FileRefused(path, Refusal.MISSING)) == text


# Any path -------------------------------------------------------------------------------------------------------------

NAMES = [
    "",
    ".",
    "..",
    "root",
    "report.pdf",
    "folder",
    "deep",
    "leaf",
    "inner.txt",
    "nothing",
    "fifo",
    "outside",
    "secret",
]
NAMES += [name.rpartition("/")[2] for name in LINKS]


def may_be_sent(tree: FilesTree, path: str) -> bool:
    """What the heads of the modules promise, said with realpath: nothing changes meanwhile, so it is right."""
    spelled = os.path.normpath(path)
    if path.endswith(("/", "/.", "/..")) or (not path.startswith("/") and spelled.startswith("..")):
        return False
    try:
        real = os.path.realpath(tree.root / spelled, strict=True)
    except OSError:
        return False
    is_beneath = Path(real).is_relative_to(tree.root) or Path(real).is_relative_to(tree.second)
    return is_beneath and os.path.isfile(tree.root / spelled)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prefix=st.sampled_from(["", "{root}/", "{alias}/", "{second}/", "{outside}/", "/"]),
    names=st.lists(st.sampled_from(NAMES), max_size=6),
)
@example(prefix="{root}/", names=["folder", "far"])
@example(prefix="", names=["to-link"])
def test_both_ways_open_exactly_what_is_really_beneath(tree: FilesTree, prefix: str, names: list[str]) -> None:
    path = os.fsdecode(fill_in(tree, os.fsencode(prefix + "/".join(names))))
    expected = may_be_sent(tree, path)
    if expected and any(name.startswith("out-and-back") for name in names):
        return  # what leads out is refused, also if it comes back
    for may_use_openat2 in (True, False):
        roots = Roots([tree.alias, tree.second], may_use_openat2=may_use_openat2)
        with no_leaks():
            try:
                content = content_of(roots, path)
            except FileRefused:
                content = b""
        assert content.startswith(b"inside ") == expected, path


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.binary(max_size=300) | st.text(alphabet="./%\0\\ax", max_size=40).map(str.encode))
def test_bytes_of_any_kind_are_opened_or_refused(tree: FilesTree, path: bytes) -> None:
    for may_use_openat2 in (True, False):
        try:
            opened = Roots([tree.root], may_use_openat2=may_use_openat2).open(path)
        except FileRefused as error:
            assert error.status == 404
        else:
            opened.close()


# The roots ------------------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_named_at_the_start(tmp_path: Path) -> None:
    missing = str(tmp_path / "no such folder")
    with pytest.raises(ConfigError, match="no such file") as caught:
        Roots([tmp_path, missing])
    assert missing in str(caught.value)


def test_a_file_is_no_root(tree: FilesTree) -> None:
    with pytest.raises(ConfigError, match="not a directory"):
        Roots([tree.root / "report.pdf"])


def test_the_descriptors_go_with_the_roots(tree: FilesTree, open_roots: OpenRoots) -> None:
    with no_leaks():
        roots = open_roots(tree.root, tree.second)
        del roots


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs unshare and mount")
def test_what_is_mounted_beneath_a_root_is_beneath_it(tmp_path: Path, open_roots: OpenRoots) -> None:
    (tmp_path / "root" / "volume").mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "file").write_text("inside")
    (tmp_path / "disk" / "up").symlink_to("../file")
    (tmp_path / "file").write_text("outside")
    (tmp_path / "root" / "file").write_text("inside, above the volume")
    uses_openat2 = open_roots(tmp_path)._openat2 is not None
    source = (
        "import sys; from tests.files.tree import content_of; from thrust.files.confined import Roots;"
        f"roots = Roots([sys.argv[1]], may_use_openat2={uses_openat2});"
        "print(content_of(roots, 'volume/file').decode(), content_of(roots, 'volume/up').decode(), sep='; ')"
    )
    script = 'mount --bind "$1/disk" "$1/root/volume" || exit 9; exec "$2" -c "$3" "$1/root"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, source]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if result.returncode == 9 or "unshare" in result.stderr:
        pytest.skip("mounting is not allowed")
    assert result.stdout == "inside; inside, above the volume\n", result.stderr


def test_openat2_is_there_where_the_kernel_is_new_enough() -> None:
    if sys.platform != "linux":
        assert load() is None
        return
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    in_sandbox = os.path.exists("/proc/self/status") and "Seccomp:\t2" in Path("/proc/self/status").read_text()
    if (major, minor) >= (5, 6) and not in_sandbox and os.uname().machine in ("x86_64", "aarch64"):
        assert load() is not None
