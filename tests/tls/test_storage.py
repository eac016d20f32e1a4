"""What STORAGE_PATH holds, who may read it, and what happens when it cannot be used."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from thrust.errors import StorageError
from thrust.tls.renewal import Trouble, Window
from thrust.tls.storage import NEW_PREFIX, Notes, Storage, is_lost_with_container, notes_from

CA = "https://ca.example/directory"
NOTES = Notes(
    trouble=Trouble(3, 1e9, "no", is_refusal=True, retry_after_s=60.0),
    challenge="http-01",
    window=Window(1e9, 2e9),
    ask_again_at_s=5.0,
    ordered_at_s=4.0,
    certificate="abc",
)

needs_other_user = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "deep" / "store", CA)
    made.prepare()
    return made


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_read_again(storage: Storage) -> None:
    storage.write_pair("a.example", "pem")
    storage.write_notes("a.example", NOTES)
    storage.write_account({"uri": "https://ca.example/1"})
    again = Storage(storage.root, CA)
    assert again.read_pair("a.example") == "pem"
    assert again.read_notes("a.example") == NOTES
    assert again.read_account() == {"uri": "https://ca.example/1"}


def test_nobody_else_can_read_it(storage: Storage) -> None:
    old_mask = os.umask(0)
    try:
        storage.write_pair("a.example", "pem")
        storage.write_account({})
        with storage.lock(threading.Event()):
            pass
    finally:
        os.umask(old_mask)
    files = [path for path in storage.root.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {mode_of(path) for path in files} == {0o600}
    assert {mode_of(path) for path in (storage.root, *storage.root.rglob("*")) if path.is_dir()} == {0o700}


def test_a_folder_that_others_can_enter_is_closed(storage: Storage) -> None:
    storage.folder.chmod(0o755)
    storage.prepare()
    assert mode_of(storage.folder) == 0o700


def test_another_ca_has_another_folder(storage: Storage) -> None:
    storage.write_pair("a.example", "pem")
    assert Storage(storage.root, "https://ca.example/directory/").read_pair("a.example") == ""
    assert Storage(storage.root, "https://staging.example/directory").read_pair("a.example") == ""


def test_the_folder_tells_which_ca_it_belongs_to(storage: Storage) -> None:
    assert storage.folder.name.startswith("ca.example-directory-")


@pytest.mark.parametrize("domain", ["account", "lock", "_a.example", "a" * 63 + "." + "b.c." * 47 + "d"])
def test_no_domain_gets_in_the_way_of_other_files(storage: Storage, domain: str) -> None:
    storage.write_account({"uri": "here"})
    storage.write_pair(domain, "pem")
    storage.write_notes(domain, NOTES)
    assert storage.read_account() == {"uri": "here"}
    assert storage.read_pair(domain) == "pem"


def test_two_long_domains_have_two_files(storage: Storage) -> None:
    one, other = (f"{'a.' * 110}{last}.example" for last in "xy")
    assert storage.pair_path(one) != storage.pair_path(other)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[]", b"1", b"[" * 100_000])
def test_what_cannot_be_read_counts_as_missing(storage: Storage, content: bytes) -> None:
    for path in (storage.notes_path("a.example"), storage.folder / "account.json"):
        path.write_bytes(content)
    assert storage.read_notes("a.example") == Notes()
    assert storage.read_account() == {}


@pytest.mark.parametrize(
    "found",
    [
        {"trouble": 1},
        {"trouble": {"failures": "x"}},
        {"trouble": {"failures": 1}},
        {"window": {"start_s": None, "end_s": 1}},
        {"ask_again_at_s": "soon"},
        {"ordered_at_s": []},
    ],
)
def test_notes_of_another_kind_are_forgotten(found: dict[str, object]) -> None:
    assert notes_from(found) == Notes()


def test_notes_say_nothing_about_another_certificate_but_which_challenge_works() -> None:
    assert NOTES.about("abc") == NOTES
    assert NOTES.about("def") == Notes(challenge="http-01", certificate="def")


def test_a_version_changes_with_every_write(storage: Storage) -> None:
    versions = [storage.pair_version("a.example")]
    for pem in ("one", "two"):
        storage.write_pair("a.example", pem)
        versions.append(storage.pair_version("a.example"))
    assert versions[0] is None
    assert len(set(versions)) == 3


def test_a_temporary_file_is_ours_alone_and_gone_afterwards(storage: Storage) -> None:
    with storage.temporary_file("secret") as path:
        assert path.read_text() == "secret"
        assert mode_of(path) == 0o600
    assert not path.exists()


def test_a_write_that_fails_leaves_the_old_content(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_pair("a.example", "old")

    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="No space left on device.*make room there"):
        storage.write_pair("a.example", "new")
    assert storage.read_pair("a.example") == "old"
    assert not [*storage.folder.rglob(f"{NEW_PREFIX}*")]


def test_what_a_crash_has_left_is_removed_by_the_next_holder(storage: Storage) -> None:
    leftovers = [storage.folder / f"{NEW_PREFIX}1", storage.pair_path("a.example").with_name(f"{NEW_PREFIX}2")]
    for path in leftovers:
        path.write_text("half")
    with storage.lock(threading.Event()):
        assert not any(path.exists() for path in leftovers)


def test_a_path_that_is_a_file_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StorageError, match="STORAGE_PATH has to be a folder"):
        Storage(tmp_path / "store", CA).prepare()


def test_a_path_that_cannot_be_looked_at_counts_as_empty_until_it_is_used(tmp_path: Path) -> None:
    storage = Storage(tmp_path / ("x" * 300), CA)
    assert not storage.has_notes("a.example")
    assert storage.read_pair("a.example") == ""
    with pytest.raises(StorageError, match="cannot be read"):
        storage.check_readable("a.example")
    with pytest.raises(StorageError, match="cannot be written"):
        storage.prepare()


def test_a_folder_without_certificates_is_readable(storage: Storage) -> None:
    storage.check_readable("a.example")
    storage.write_pair("a.example", "pem")
    storage.check_readable("a.example")


@needs_other_user
def test_a_manager_starts_on_a_folder_that_its_user_may_not_enter(storage: Storage) -> None:
    script = f"""
import os
from pathlib import Path
from thrust.tls.inventory import acme_rows
from thrust.tls.manager import Manager
from thrust.tls.settings import AcmeSettings
from thrust.tls.storage import Storage, is_lost_with_container
os.environ["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
os.setuid(65534)
root = Path({str(storage.root)!r})
is_lost_with_container(root)
manager = Manager(["a.example"], AcmeSettings({CA!r}), root, ("http/1.1",))
print(manager.has_certificate("a.example"), acme_rows(["a.example"], Storage(root, {CA!r}))[0][-1])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    assert done.stdout.startswith(f"False STORAGE_PATH {storage.root} cannot be read (Permission denied)")


@needs_other_user
def test_a_folder_of_somebody_else_is_refused_with_the_cure(tmp_path: Path) -> None:
    script = f"""
import os
from pathlib import Path
from thrust.errors import StorageError
from thrust.tls.storage import Storage
os.setuid(65534)
try:
    Storage(Path("/proc/thrust"), "{CA}").prepare()
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("STORAGE_PATH /proc/thrust cannot be written (")
    assert done.stdout.endswith("; mount a volume there that this user can write to\n")


def test_only_one_holds_the_lock(storage: Storage) -> None:
    order: list[str] = []
    other_began = threading.Event()

    def second() -> None:
        other_began.set()
        with Storage(storage.root, CA).lock(threading.Event()):
            order.append("second")

    with storage.lock(threading.Event()):
        thread = threading.Thread(target=second)
        thread.start()
        assert other_began.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_waiting_for_the_lock_can_be_called_off(storage: Storage) -> None:
    stopped = threading.Event()
    stopped.set()
    with (
        storage.lock(threading.Event()),
        pytest.raises(StorageError, match="stopped while another instance"),
        Storage(storage.root, CA).lock(stopped),
    ):
        raise AssertionError("two hold the lock")


def test_the_lock_of_a_process_that_died_is_free(storage: Storage) -> None:
    script = f"""
import os, threading
from pathlib import Path
from thrust.tls.storage import Storage
with Storage(Path({str(storage.root)!r}), {CA!r}).lock(threading.Event()):
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], timeout=30)
    with storage.lock(threading.Event()):
        pass


def test_a_machine_without_container_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(Path, "exists", lambda path: False if str(path) in MARKS else os.path.exists(path))
    assert not is_lost_with_container(tmp_path / "missing")


def test_a_container_loses_what_is_not_on_a_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert is_lost_with_container(Path("/no-such-folder/store"))
    assert not is_lost_with_container(Path("/dev/shm"))


MARKS = ("/.dockerenv", "/run/.containerenv")
