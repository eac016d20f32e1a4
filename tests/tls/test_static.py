"""A certificate in two files: served, and replaced when what is behind the paths changes."""

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import DAY, Pair, make_pair
from tests.support.clock import JumpingLoop, run_jumping
from thrust.errors import Alert, CertificateError, TlsRefusal
from thrust.flow import start_task
from thrust.tls.certificates import PemFiles
from thrust.tls.static import LOOK_EVERY_S, MISMATCHED_LOOKS, StaticCertificate

OLD, NEW = make_pair("old.example"), make_pair("new.example")


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, message: str, /, **fields: object) -> None:
        self.lines.append(("info", message, fields))

    def warning(self, message: str, /, **fields: object) -> None:
        self.lines.append(("warning", message, fields))

    def error(self, message: str, /, **fields: object) -> None:
        self.lines.append(("error", message, fields))

    @property
    def messages(self) -> list[str]:
        return [f"{level}: {message}" for level, message, _ in self.lines]


class Watched:
    """A certificate in `folder` and what the log was told since the last question."""

    def __init__(self, folder: Path, pair: Pair = OLD) -> None:
        self.folder = folder
        self.certificate = StaticCertificate(PemFiles(*pair.write(folder)), ("http/1.1",))
        self.log = Lines()

    @property
    def names(self) -> tuple[str, ...]:
        return self.certificate.certificate.names

    async def look(self) -> list[str]:
        """What is told when the files were looked at once more."""
        before = len(self.log.messages)
        await asyncio.sleep(LOOK_EVERY_S)
        return self.log.messages[before:]


def play(story: Callable[[Watched], Any], watched: Watched) -> None:
    async def stage() -> None:
        watch = start_task(asyncio.get_running_loop(), watched.certificate.watch(watched.log))
        await asyncio.sleep(0.1)
        await story(watched)
        assert not watch.done()
        watch.cancel()

    run_jumping(stage, JumpingLoop)


def test_everybody_gets_it_whatever_the_name(tmp_path: Path) -> None:
    certificate = Watched(tmp_path).certificate
    context = certificate.certificate.context
    assert certificate.choose(b"old.example", (b"h2", b"http/1.1")) is context
    assert certificate.choose(b"other.example", ()) is certificate.choose(None, ()) is context
    assert certificate.covers("old.example") and not certificate.covers("other.example")


def test_who_speaks_nothing_of_ours_does_not(tmp_path: Path) -> None:
    with pytest.raises(TlsRefusal) as refusal:
        Watched(tmp_path).certificate.choose(None, (b"h2",))
    assert refusal.value.alert is Alert.NO_APPLICATION_PROTOCOL


def test_files_that_are_no_good_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="holds no certificate"):
        Watched(tmp_path, Pair(b"", OLD.key))


def test_a_new_pair_replaces_the_old_one(tmp_path: Path) -> None:
    async def story(watched: Watched) -> None:
        assert watched.log.lines[0][2]["names"] == "old.example"
        context = watched.certificate.certificate.context
        assert await watched.look() == []
        assert watched.certificate.certificate.context is context
        NEW.write(tmp_path)
        assert await watched.look() == ["info: certificate replaced"]
        assert watched.names == ("new.example",) and watched.log.lines[-1][2]["names"] == "new.example"
        assert watched.certificate.choose(None, ()) is not context
        assert await watched.look() == []

    play(story, Watched(tmp_path))


def test_rewriting_the_same_changes_nothing(tmp_path: Path) -> None:
    """Neither sessions nor the log."""

    async def story(watched: Watched) -> None:
        context: ssl.SSLContext = watched.certificate.certificate.context
        OLD.write(tmp_path)
        assert await watched.look() == []
        assert watched.certificate.certificate.context is context

    play(story, Watched(tmp_path))


@pytest.mark.parametrize("first", ["certificate", "key"])
def test_a_half_replaced_pair_waits_for_the_other_half_and_says_so_once(first: str, tmp_path: Path) -> None:
    async def story(watched: Watched) -> None:
        half = Pair(NEW.certificate, OLD.key) if first == "certificate" else Pair(OLD.certificate, NEW.key)
        half.write(tmp_path)
        assert await watched.look() == [
            "info: new certificate and key do not belong together yet: the old ones serve on"
        ]
        assert await watched.look() == await watched.look() == []
        assert watched.names == ("old.example",)
        NEW.write(tmp_path)
        assert await watched.look() == ["info: certificate replaced"]

    play(story, Watched(tmp_path))


BROKEN = "error: new certificate cannot be used: the old one serves on"
SWAPPING = "info: new certificate and key do not belong together yet: the old ones serve on"


def test_halves_that_stay_apart_are_an_error_with_a_cure(tmp_path: Path) -> None:
    async def story(watched: Watched) -> None:
        for half in (Pair(NEW.certificate, OLD.key), Pair(OLD.certificate, NEW.key)):
            half.write(tmp_path)
            lines = [await watched.look() for _ in range(MISMATCHED_LOOKS + 3)]
            assert lines == [[SWAPPING], *[[]] * (MISMATCHED_LOOKS - 1), [BROKEN], [], []]
            assert "; give the key with which that was requested" in watched.log.lines[-1][2]["error"]
        assert watched.names == ("old.example",)
        NEW.write(tmp_path)
        assert await watched.look() == ["info: certificate replaced"]

    play(story, Watched(tmp_path))


def test_each_change_for_the_worse_is_told_once(tmp_path: Path) -> None:
    """Whoever puts one more file there wants to know whether it was the right one."""

    async def story(watched: Watched) -> None:
        path = tmp_path / "tls.crt"
        for content in (b"", b"other", b""):
            path.write_bytes(content)
            assert await watched.look() == [BROKEN]
            assert await watched.look() == []
        path.unlink()
        assert await watched.look() == [BROKEN]
        assert await watched.look() == []
        for content in (b"", OLD.certificate, b""):
            path.write_bytes(content)
            assert await watched.look() == ([] if content else [BROKEN])
        assert watched.names == ("old.example",)

    play(story, Watched(tmp_path))


def test_one_for_nobody_is_told_of(tmp_path: Path) -> None:
    warning = "warning: the certificate names no host: plain requests are not redirected, but answered 421"

    async def story(watched: Watched) -> None:
        assert watched.log.messages == ["info: certificate", warning]
        assert await watched.look() == []
        make_pair().write(tmp_path)
        assert await watched.look() == ["info: certificate replaced", warning]

    play(story, Watched(tmp_path, make_pair(common_name="My company")))


@pytest.mark.parametrize(
    "broken",
    [Pair(b"", b""), Pair(NEW.certificate[:100], NEW.key), make_pair("new.example", ends=-DAY / 24)],
    ids=["empty", "cut", "expired"],
)
def test_a_pair_that_is_no_good_keeps_the_old_one_and_is_told_once(broken: Pair, tmp_path: Path) -> None:
    async def story(watched: Watched) -> None:
        broken.write(tmp_path)
        assert await watched.look() == ["error: new certificate cannot be used: the old one serves on"]
        assert await watched.look() == []
        assert watched.names == ("old.example",)
        OLD.write(tmp_path)
        assert await watched.look() == []
        NEW.write(tmp_path)
        assert await watched.look() == ["info: certificate replaced"]

    play(story, Watched(tmp_path))


def test_an_end_that_is_near_and_a_pair_that_is_no_good_are_told_once_each(tmp_path: Path) -> None:
    """They come together, when a renewal fails; neither may bring the other one up again every few seconds."""

    async def story(watched: Watched) -> None:
        Pair(b"", b"").write(tmp_path)
        assert await watched.look() == ["error: new certificate cannot be used: the old one serves on"]
        assert await watched.look() == await watched.look() == []

    play(story, Watched(tmp_path, make_pair("old.example", begins=-80 * DAY, ends=3 * DAY)))


def test_files_that_vanish_and_come_back_are_no_reason_to_stop(tmp_path: Path) -> None:
    async def story(watched: Watched) -> None:
        (tmp_path / "tls.key").unlink()
        assert await watched.look() == ["error: new certificate cannot be used: the old one serves on"]
        NEW.write(tmp_path)
        assert await watched.look() == ["info: certificate replaced"]

    play(story, Watched(tmp_path))


def test_a_link_that_is_swapped_as_kubernetes_does_counts(tmp_path: Path) -> None:
    """The paths lead over `..data`, which is replaced by rename; neither path itself is touched."""
    for name, pair in (("..1", OLD), ("..2", NEW)):
        (tmp_path / name).mkdir()
        pair.write(tmp_path / name)
    (tmp_path / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    watched = Watched.__new__(Watched)
    watched.log = Lines()
    watched.certificate = StaticCertificate(PemFiles(tmp_path / "tls.crt", tmp_path / "tls.key"), ("http/1.1",))

    async def story(watched: Watched) -> None:
        (tmp_path / "..tmp").symlink_to("..2")
        os.replace(tmp_path / "..tmp", tmp_path / "..data")
        assert await watched.look() == ["info: certificate replaced"]
        assert watched.names == ("new.example",)

    play(story, watched)


def test_an_end_that_is_near_is_told_once(tmp_path: Path) -> None:
    async def story(watched: Watched) -> None:
        assert watched.log.messages == ["info: certificate", "warning: certificate expires soon"]
        assert await watched.look() == []

    play(story, Watched(tmp_path, make_pair("old.example", begins=-80 * DAY, ends=3 * DAY)))


def test_a_certificate_of_six_days_is_not_near_its_end_from_the_beginning(tmp_path: Path) -> None:
    async def story(watched: Watched) -> None:
        assert watched.log.messages == ["info: certificate"]

    play(story, Watched(tmp_path, make_pair("old.example", ends=5 * DAY)))


def test_an_end_that_has_come_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(watched: Watched) -> None:
        monkeypatch.setattr("thrust.tls.static.time.time", lambda: watched.certificate.certificate.expires_at + 1)
        assert await watched.look() == ["warning: certificate has expired"]
        assert await watched.look() == []

    play(story, Watched(tmp_path))
