"""STORAGE_PATH: the account key, certificates and what is to be remembered about orders, on disk.

    <STORAGE_PATH>/<authority>/        0700; a folder per ACME directory, so that a test CA's certificates stay apart
        account.json                   0600; the key of the account and its URL
        lock                           held by whoever orders: instances that share the volume never order twice
        challenges/                    answers for the CA while one orders, so that every instance can give them
        domains/<domain>.pem           0600; private key, certificate and chain in one file: they change together
        domains/<domain>.json          0600; the last failure, the challenge that works, the CA's renewal window

Used by `manager` and `acme`, from their thread. Writing is atomic (new file, fsync, rename) and happens only under the
lock. What cannot be read counts as missing, because everything here can be made again; what cannot be written is a
StorageError with a sentence for the operator.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from thrust.errors import StorageError
from thrust.tls.renewal import Trouble, Window

NEW_PREFIX = ".new-"
"""Names of files that are being written; what a crash has left of them is removed by the next who holds the lock."""

MAX_NAME_BYTES = 200
"""Longest name of a file before its ending; file systems take 255."""

ROOM_BYTES = 64 * 1024
"""Room that has to be there before anything is ordered; a key with its chain takes about 6 KB."""

LOOK_AGAIN_S = 0.5
"""Pause between two looks at a lock that somebody else holds. flock(2) could wait, but not be told to stop."""


class Notes(NamedTuple):
    """What is remembered about a domain besides its certificate."""

    trouble: Trouble | None = None
    challenge: str = ""
    window: Window | None = None
    ask_again_at_s: float = 0.0
    ordered_at_s: float = 0.0
    certificate: str = ""
    """Which certificate was there when they were written (`validity.fingerprint`); "" if none was."""

    def about(self, certificate: str) -> "Notes":
        """What of this holds beside `certificate`: a crash may leave a new pair with the notes of the old one."""
        if certificate == self.certificate:
            return self
        return Notes(challenge=self.challenge, certificate=certificate)


class Storage:
    """The folder of one CA. Nothing is touched before `prepare`."""

    def __init__(self, root: Path, directory_url: str) -> None:
        self.root = root
        self.folder = root / _folder_name(directory_url)
        self._domains = self.folder / "domains"
        self._challenges = self.folder / "challenges"

    def prepare(self) -> None:
        """Makes the folder, for our user only, and makes sure that there is room. Raises StorageError."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if self.folder.stat().st_mode & 0o077:
                self.folder.chmod(0o700)
            for folder in (self._domains, self._challenges):
                folder.mkdir(mode=0o700, exist_ok=True)
            _check_room(self.folder)
        except OSError as error:
            raise self._unusable(error) from error

    @contextmanager
    def lock(self, stopped: threading.Event) -> Iterator[None]:
        """Keeps all other instances from ordering. Waits while one of them does; raises StorageError, also if `stopped`
        is set meanwhile. The kernel releases it when its holder dies."""
        try:
            fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            while not _try_lock(fd):
                if stopped.wait(LOOK_AGAIN_S):
                    raise StorageError("stopped while another instance was ordering")
            self._remove_leftovers()
            yield
        finally:
            os.close(fd)

    def pair_path(self, domain: str) -> Path:
        """Where the key and the chain of `domain` are, or will be."""
        return self._domains / f"{_file_stem(domain)}.pem"

    def read_pair(self, domain: str) -> str:
        """Key and chain as PEM; "" if there is none."""
        return _read(self.pair_path(domain))

    def pair_version(self, domain: str) -> tuple[int, int] | None:
        """Something that changes when the pair does; None if there is none."""
        try:
            status = self.pair_path(domain).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def check_readable(self, domain: str) -> None:
        """Raises StorageError if there may be a pair, but not one that this user can read."""
        try:
            os.close(os.open(self.pair_path(domain), os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(error, "read") from error

    def write_pair(self, domain: str, pem: str) -> None:
        """Puts a new key and chain in place of the old ones. Raises StorageError."""
        self._write(self.pair_path(domain), pem)

    def read_account(self) -> dict[str, Any]:
        """The account as it was written; {} if there is none, or nothing that can be read."""
        return _read_object(self.folder / "account.json")

    def write_account(self, account: dict[str, Any]) -> None:
        """Raises StorageError."""
        self._write(self.folder / "account.json", json.dumps(account, indent=1))

    def notes_path(self, domain: str) -> Path:
        """Where the notes about `domain` are, or will be."""
        return self._domains / f"{_file_stem(domain)}.json"

    def has_notes(self, domain: str) -> bool:
        """Whether there are any."""
        return os.path.exists(self.notes_path(domain))  # Path.exists raises where this user may not look

    def read_notes(self, domain: str) -> Notes:
        """What is remembered; nothing if it cannot be read."""
        return notes_from(_read_object(self.notes_path(domain)))

    def write_notes(self, domain: str, notes: Notes) -> None:
        """Raises StorageError."""
        trouble, window = notes.trouble and notes.trouble._asdict(), notes.window and notes.window._asdict()
        written = notes._replace(trouble=None, window=None)._asdict() | {"trouble": trouble, "window": window}
        self._write(self.notes_path(domain), json.dumps(written, indent=1))

    def answer_path(self, name: str) -> Path:
        """Where the answer to a challenge is while its order is under way; `name` is a token or a domain."""
        return self._challenges / _file_stem(name)

    def write_answer(self, name: str, text: str) -> None:
        """Has every instance on this volume know an answer. Raises StorageError."""
        self._write(self.answer_path(name), text)

    def read_answer(self, name: str) -> str:
        """An answer that some instance has to give; "" if there is none."""
        return _read(self.answer_path(name))

    def remove_answer(self, name: str) -> None:
        """The check is over."""
        with suppress(OSError):
            self.answer_path(name).unlink()

    @contextmanager
    def temporary_file(self, text: str) -> Iterator[Path]:
        """A file that only we can read, for libraries that take nothing but paths. Raises StorageError."""
        path = self.folder / _new_name()
        self._write(path, text)
        try:
            yield path
        finally:
            with suppress(OSError):
                path.unlink()

    def _write(self, path: Path, text: str) -> None:
        try:
            write_atomically(path, text)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError, what_for: str = "written") -> StorageError:
        cure = "; mount a volume there that this user can write to"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            cure = "; make room there"
        elif error.errno in (errno.ENOTDIR, errno.EEXIST):
            cure = "; STORAGE_PATH has to be a folder"
        return StorageError(f"STORAGE_PATH {self.root} cannot be {what_for} ({error.strerror}){cure}")

    def _remove_leftovers(self) -> None:
        leftovers = [path for folder in (self.folder, self._domains) for path in folder.glob(f"{NEW_PREFIX}*")]
        for leftover in (*leftovers, *self._challenges.glob("*"), *self._challenges.glob(".*")):
            with suppress(OSError):
                leftover.unlink()


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replaces the content of `path`, which only our user may read unless `mode` says more.

    Readers see the old content or the new one, whole.
    """
    fd, temporary = _new_file(path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def notes_from(found: dict[str, Any]) -> Notes:
    """Notes as they were written; what is not of the right kind is forgotten."""
    try:
        trouble, window = found.get("trouble"), found.get("window")
        return Notes(
            trouble=Trouble(
                failures=int(trouble["failures"]),
                at_s=float(trouble["at_s"]),
                sentence=str(trouble["sentence"]),
                is_refusal=bool(trouble["is_refusal"]),
                retry_after_s=float(trouble["retry_after_s"]),
            )
            if trouble
            else None,
            challenge=str(found.get("challenge", "")),
            window=Window(float(window["start_s"]), float(window["end_s"])) if window else None,
            ask_again_at_s=float(found.get("ask_again_at_s", 0.0)),
            ordered_at_s=float(found.get("ordered_at_s", 0.0)),
            certificate=str(found.get("certificate", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return Notes()


def is_lost_with_container(path: Path) -> bool:
    """Whether `path` lies in a container's own file system, which ends with the container."""
    in_container = any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))
    if not in_container and "KUBERNETES_SERVICE_HOST" not in os.environ:
        return False
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path.stat().st_dev == os.stat("/").st_dev


def _new_name() -> str:
    """A name that nobody else has: instances on one volume may have the same process number."""
    return f"{NEW_PREFIX}{os.urandom(8).hex()}"


def _new_file(folder: Path) -> tuple[int, Path]:
    """A new file that only our user may read, open for writing. (`tempfile` takes 5 ms to import, at every start.)"""
    path = folder / _new_name()
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path


def _check_room(folder: Path) -> None:
    """Raises OSError if nothing can be written."""
    fd, path = _new_file(folder)
    try:
        path.unlink()
        if os.write(fd, bytes(ROOM_BYTES)) < ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)
    finally:
        os.close(fd)


def _folder_name(directory_url: str) -> str:
    """A readable name for the folder of a CA, and a hash, because two URLs may read alike."""
    readable = re.sub(r"[^a-z0-9.-]+", "-", directory_url.removeprefix("https://").lower()).strip("-.")
    return f"{readable[:80]}-{hashlib.sha256(directory_url.encode()).hexdigest()[:8]}"


def _file_stem(domain: str) -> str:
    if len(domain) <= MAX_NAME_BYTES:
        return domain
    return f"{domain[: MAX_NAME_BYTES - 17]}~{hashlib.sha256(domain.encode()).hexdigest()[:16]}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(path))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Makes a rename outlive a power cut. Some network file systems cannot, and then it is as good as it gets."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
