"""Which of a file and its compressed siblings a client gets."""

import os
from pathlib import Path

import pytest

from tests.files.tree import no_leaks
from thrust.files.confined import OpenedFile, Roots
from thrust.files.refusals import FileRefused, Refusal
from thrust.files.siblings import may_be_replaced, may_have_siblings, open_best
from thrust.http.headers import FieldLine, Headers
from thrust.http.negotiation import IDENTITY, accepted_codings

OFFERED = (b"br", b"zstd", b"gzip")
BUILT_S = 1_700_000_000


def build(folder: Path, *names: str, at_s: float = BUILT_S) -> None:
    for name in names:
        (folder / name).write_text(f"content of {name}")
        os.utime(folder / name, (at_s, at_s))


def opened_as(folder: Path, name: bytes, accept_encoding: bytes | None) -> tuple[bytes, bytes | None]:
    """Content and coding for a client with this Accept-Encoding."""
    accepted = accepted_codings([] if accept_encoding is None else [accept_encoding], OFFERED)
    with no_leaks():
        file, coding = open_best(Roots([folder]).open, name, accepted)
        content = os.pread(file.fd, 100, 0)
        file.close()
    return content.removeprefix(b"content of "), coding


@pytest.mark.parametrize(
    ("accept_encoding", "name", "coding"),
    [
        (b"gzip, deflate, br, zstd", b"app.js.br", b"br"),
        (b"gzip, deflate, zstd", b"app.js.zst", b"zstd"),
        (b"gzip, deflate", b"app.js.gz", b"gzip"),
        (b"x-gzip", b"app.js.gz", b"gzip"),
        (b"*", b"app.js.br", b"br"),
        (b"br;q=0.5, gzip", b"app.js.gz", b"gzip"),
        (b"br;q=0, *", b"app.js.zst", b"zstd"),
        (b"br;q=0.5, identity", b"app.js", IDENTITY),
        (b"deflate", b"app.js", IDENTITY),
        (b"", b"app.js", IDENTITY),
        (None, b"app.js", IDENTITY),
        (b"identity;q=0, deflate", b"app.js", IDENTITY),
    ],
)
def test_the_client_gets_what_it_likes_best(
    tmp_path: Path, accept_encoding: bytes | None, name: bytes, coding: bytes
) -> None:
    build(tmp_path, "app.js", "app.js.br", "app.js.zst", "app.js.gz")
    assert opened_as(tmp_path, b"app.js", accept_encoding) == (name, coding)


@pytest.mark.parametrize(
    ("siblings", "expected"),
    [
        (["app.js.gz", "app.js.zst"], (b"app.js.zst", b"zstd")),
        (["app.js.gz"], (b"app.js.gz", b"gzip")),
        ([], (b"app.js", IDENTITY)),
        (["app.br", "other.js.br", "app.js.brotli", "app.js.gzip"], (b"app.js", IDENTITY)),
    ],
)
def test_the_client_gets_what_there_is(tmp_path: Path, siblings: list[str], expected: tuple[bytes, bytes]) -> None:
    build(tmp_path, "app.js", *siblings)
    assert opened_as(tmp_path, b"app.js", b"br, zstd, gzip") == expected


@pytest.mark.parametrize(
    ("original_s", "sibling_s", "counts"),
    [(10.0, 10.0, True), (10.0, 11.0, True), (10.9, 10.0, True), (11.0, 10.9, False), (12.0, 10.0, False)],
)
def test_a_sibling_is_no_older_than_the_original(
    tmp_path: Path, original_s: float, sibling_s: float, counts: bool
) -> None:
    build(tmp_path, "app.js", at_s=BUILT_S + original_s)
    build(tmp_path, "app.js.br", at_s=BUILT_S + sibling_s)
    assert opened_as(tmp_path, b"app.js", b"br")[1] == (b"br" if counts else IDENTITY)


def test_after_one_that_does_not_count_the_next_is_tried(tmp_path: Path) -> None:
    build(tmp_path, "app.js", "app.js.gz")
    build(tmp_path, "app.js.br", at_s=BUILT_S - 10)
    (tmp_path / "app.js.zst").mkdir()
    assert opened_as(tmp_path, b"app.js", b"br, zstd, gzip") == (b"app.js.gz", b"gzip")


def test_an_empty_sibling_is_a_broken_one(tmp_path: Path) -> None:
    build(tmp_path, "app.js")
    (tmp_path / "app.js.br").touch()
    assert opened_as(tmp_path, b"app.js", b"br") == (b"app.js", IDENTITY)


def test_a_sibling_is_confined_like_every_file(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    build(root, "app.js")
    build(outside, "secret")
    (root / "app.js.br").symlink_to("../outside/secret")
    os.mkfifo(root / "app.js.zst")
    (root / "app.js.gz").symlink_to("/dev/zero")
    assert opened_as(root, b"app.js", b"br, zstd, gzip") == (b"app.js", IDENTITY)


@pytest.mark.parametrize(
    "name", [b"app.js.br", b"app.js.gz", b"APP.JS.GZ", b"data.zst", b"photo.jpg", b"film.mp4", b"a.pdf"]
)
def test_what_is_compressed_already_has_no_siblings(tmp_path: Path, name: bytes) -> None:
    build(tmp_path, name.decode(), *(name.decode() + ending for ending in (".br", ".zst", ".gz")))
    assert opened_as(tmp_path, name, b"br, zstd, gzip") == (name, None)


@pytest.mark.parametrize("name", [b"app.js", b"logo.svg", b"app.wasm", b"game.data", b"LICENSE", b"data.json"])
def test_text_and_what_nobody_knows_may_have_siblings(name: bytes) -> None:
    assert may_have_siblings(name)


def test_without_the_original_there_is_nothing(tmp_path: Path) -> None:
    build(tmp_path, "app.js.br")
    roots = Roots([tmp_path])
    with no_leaks(), pytest.raises(FileRefused) as caught:
        open_best(roots.open, b"app.js", (b"br", IDENTITY))
    assert caught.value.refusal is Refusal.MISSING


def test_paths_may_be_absolute(tmp_path: Path) -> None:
    build(tmp_path, "app.js", "app.js.br")
    file, coding = open_best(Roots([tmp_path]).open, tmp_path / "app.js", (b"br", IDENTITY))
    file.close()
    assert coding == b"br"


def test_no_more_than_four_files_are_opened(tmp_path: Path) -> None:
    class CountingRoots(Roots):
        opened = 0

        def open(self, path: object) -> OpenedFile:
            self.opened += 1
            return super().open(path)  # type: ignore[arg-type]

    build(tmp_path, "app.js")
    roots = CountingRoots([tmp_path])
    file, _ = open_best(roots.open, b"app.js", (b"gzip", b"br", b"zstd", b"deflate", IDENTITY))
    file.close()
    assert roots.opened == 4


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], True),
        ([(b"cache-control", b"max-age=60")], True),
        ([(b"content-encoding", b"gzip")], False),
        ([(b"cache-control", b"max-age=60, no-transform")], False),
    ],
)
def test_the_app_may_forbid_siblings(lines: list[FieldLine], expected: bool) -> None:
    assert may_be_replaced(Headers(lines)) == expected
