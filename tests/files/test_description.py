"""Types by name, tags and dates by stat."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.files.stats import LONG_AGO_NS, NOW_S, stat_of
from thrust.files.description import NORMALIZED_BEFORE_S, RECENT_S, content_type, etag, last_modified


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"index.html", b"text/html; charset=utf-8"),
        (b"INDEX.HTM", b"text/html; charset=utf-8"),
        (b"app.css", b"text/css; charset=utf-8"),
        (b"app.js", b"text/javascript; charset=utf-8"),
        (b"app.mjs", b"text/javascript; charset=utf-8"),
        (b"notes.txt", b"text/plain; charset=utf-8"),
        (b"table.csv", b"text/csv; charset=utf-8"),
        (b"data.json", b"application/json"),
        (b"app.js.map", b"application/json"),
        (b"site.webmanifest", b"application/manifest+json"),
        (b"feed.xml", b"application/xml"),
        (b"logo.svg", b"image/svg+xml"),
        (b"photo.JPG", b"image/jpeg"),
        (b"photo.jpeg", b"image/jpeg"),
        (b"photo.avif", b"image/avif"),
        (b"favicon.ico", b"image/x-icon"),
        (b"font.woff2", b"font/woff2"),
        (b"app.wasm", b"application/wasm"),
        (b"film.mp4", b"video/mp4"),
        (b"piece.ts", b"video/mp2t"),
        (b"song.mp3", b"audio/mpeg"),
        (b"report.pdf", b"application/pdf"),
        (b"table.xlsx", b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (b"all.tar.gz", b"application/gzip"),
        (b"app.js.gz", b"application/gzip"),
        (b"/folder.d/app.css", b"text/css; charset=utf-8"),
        (b"caf\xe9.png", b"image/png"),
        (b"two\nlines.png", b"image/png"),
        # Unknown, or nothing to go by.
        (b"app.js.br", b"application/octet-stream"),
        (b"setup.exe", b"application/octet-stream"),
        (b"main.py", b"application/octet-stream"),
        (b"README", b"application/octet-stream"),
        (b"folder.html/README", b"application/octet-stream"),
        (b".html", b"application/octet-stream"),
        (b"folder/.css", b"application/octet-stream"),
        (b"html", b"application/octet-stream"),
        (b"page.html.", b"application/octet-stream"),
        (b"page.html/", b"application/octet-stream"),
        (b"", b"application/octet-stream"),
    ],
)
def test_the_type_is_told_by_the_last_ending(name: bytes, expected: bytes) -> None:
    assert content_type(name) == expected


@given(st.binary(max_size=50))
def test_every_name_has_a_type_that_may_stand_in_a_field(name: bytes) -> None:
    assert content_type(name).replace(b"; charset=utf-8", b"").translate(None, b"/+-.").isalnum()


def test_the_tag_is_made_of_size_and_time() -> None:
    assert etag(stat_of(), NOW_S) == b'"5-%x"' % LONG_AGO_NS
    assert etag(stat_of(size=1 << 40), NOW_S) == b'"10000000000-%x"' % LONG_AGO_NS
    assert etag(stat_of(size=0), NOW_S) == b'"0-%x"' % LONG_AGO_NS


@pytest.mark.parametrize("other", [stat_of(size=6), stat_of(mtime_ns=LONG_AGO_NS + 1)])
def test_another_size_or_time_is_another_tag(other: os.stat_result) -> None:
    assert etag(other, NOW_S) != etag(stat_of(), NOW_S)


def test_the_inode_has_no_part_in_the_tag() -> None:
    assert etag(stat_of(ctime_ns=LONG_AGO_NS + 7), NOW_S) == etag(stat_of(), NOW_S)


@pytest.mark.parametrize(
    ("age_s", "is_weak"), [(-3600, True), (0, True), (RECENT_S - 0.1, True), (RECENT_S + 0.1, False), (3600, False)]
)
def test_the_tag_of_a_new_file_is_weak(age_s: float, is_weak: bool) -> None:
    tag = etag(stat_of(mtime_ns=int((NOW_S - age_s) * 1e9)), NOW_S)
    assert tag.startswith(b'W/"5-') == is_weak
    assert tag.startswith(b'"5-') != is_weak


# Nix, Bazel: 0; Jib: 1; buildpacks: the first second of 1980. And a time before 1970.
@pytest.mark.parametrize("mtime_s", [0, 1, 315_532_801, NORMALIZED_BEFORE_S - 1, -1])
def test_a_made_up_time_says_nothing(mtime_s: int) -> None:
    stat = stat_of(mtime_ns=mtime_s * 10**9)
    assert etag(stat, NOW_S) == b'"5-%x"' % LONG_AGO_NS
    assert last_modified(stat, NOW_S) is None
    fresh = stat_of(mtime_ns=mtime_s * 10**9, ctime_ns=int(NOW_S * 1e9))
    assert etag(fresh, NOW_S).startswith(b"W/")


def test_the_oldest_time_that_counts() -> None:
    stat = stat_of(mtime_ns=NORMALIZED_BEFORE_S * 10**9, ctime_ns=1)
    assert etag(stat, NOW_S) == b'"5-%x"' % (NORMALIZED_BEFORE_S * 10**9)
    assert last_modified(stat, NOW_S) == b"Wed, 02 Jan 1980 00:00:00 GMT"


def test_the_date_is_that_of_the_last_change_in_whole_seconds() -> None:
    assert last_modified(stat_of(), NOW_S) == b"Tue, 14 Nov 2023 22:13:20 GMT"
    assert last_modified(stat_of(mtime_ns=LONG_AGO_NS + 800_000_000), NOW_S) == b"Tue, 14 Nov 2023 22:13:20 GMT"


def test_no_date_is_in_the_future() -> None:
    """RFC 9110 §8.8.2.1: a change to come would otherwise never be seen."""
    assert last_modified(stat_of(mtime_ns=int((NOW_S + 3600) * 1e9)), NOW_S) == b"Fri, 15 Jan 2027 08:00:00 GMT"


def test_a_real_file_is_described(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    os.utime(tmp_path / "file", ns=(0, LONG_AGO_NS))
    assert etag((tmp_path / "file").stat(), NOW_S) == b'"5-%x"' % LONG_AGO_NS
