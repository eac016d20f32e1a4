"""Names that promise never to change, tool by tool, and the many names that only look so."""

import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.cache.fingerprint import MAX_NAME_BYTES, STATIC_DIRECTORIES, is_fingerprinted, recogniser, suits_asset

SHA1 = "d1f0e3b2c4a5968778695a4b3c2d1e0f1a2b3c4d"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

RECOGNISED = {
    "Django ManifestStaticFilesStorage": [
        "/static/css/base.3f9a2c1b7d8e.css",
        "/static/admin/js/core.7e257fdf56dc.js",
        "/static/img/logo.1a2b3c4d5e6f.png",
        "/static/img/LOGO.1a2b3c4d5e6f.PNG",
        "/static/fonts/icons.674f50d287a8.woff2",
        "/static/fonts/icons.674f50d287a8.woff?v=4.4.0",
        "/static/fonts/icons.674f50d287a8.eot?",
        "/static/css/base.3f9a2c1b7d8e.css.gz",
        "/static/js/vendor.min.3f9a2c1b7d8e.js",
        "/static/docs/manual.3f9a2c1b7d8e.pdf",
        "/myapp/static/css/base.3f9a2c1b7d8e.css",
        "/s/css/base.3f9a2c1b7d8e.css",
        "/static/a%20b/my%20font.3f9a2c1b7d8e.ttf",
    ],
    "Vite 3 and Rollup 3": [
        "/assets/index.4a9e1f2c.js",
        "/assets/index-4a9e1f2c.css",
        "/assets/app-settings.b1c2d3e4.js",
        "/assets/vendor-Grid.b1c2d3e4.js",
        "/assets/news-feed-3f9a2c1b.js",
        "/assets/logo.03d6d6da.svg",
    ],
    "Vite 4 and Rollup 4": [
        "/assets/index-BqF3x_9Z.js",
        "/assets/index-D4kX-8aB.css",
        "/assets/index-_aB3x9Zk.js",
        "/assets/index-CxZ4_-w9.js.map",
        "/assets/DataGrid-Bq7Fx2Zp.js",
        "/assets/photo-DiwRgT4a.svg",
        "/static/dist/main-DkT2a1bQ.js",
        "/_astro/index.Dq3F8xZ1.css",
        "/_nuxt/entry.Dq3F8xZ1.css",
        "/_app/immutable/entry/start.Bz3Kd9aX.js",
        "/base/_app/immutable/chunks/index.Bz3Kd9aX.js",
    ],
    "webpack": [
        "/main.3f9a2c1b7d8e9f0a1b2c.js",
        "/js/main.3f9a2c1b7d8e9f0a.js",
        "/js/vendors~main.0123456789abcdef0123456789abcdef.js",
        "/static/js/2.9d7c3ab1.chunk.js",
        "/static/js/2.9d7c3ab1.chunk.js.map",
        "/static/js/main.9d7c3ab1.js.LICENSE.txt",
        "/static/media/logo.5d5d9eef.svg",
        "/static/3f9a2c1b7d8e9f0a1b2c.js",
        "/dist/3f9a2c1b7d8e9f0a1b2c.woff2",
        "/packs/js/application-1a2b3c4d5e6f7a8b9c0d.js",
        "/js/app.3f9a2c1b.js",
        "/img/logo.82b9c7a5.png",
    ],
    "esbuild": [
        "/assets/app-K3X7QZ2A.js",
        "/main-5QK3LVZX.js",
        "/styles-T4NUR7SO.css",
        "/chunk-TBKQ2ERN.js.map",
        "/assets/logo-K3X7QZ2A.png",
    ],
    "Parcel": [
        "/index.3f9a2c1b.js",
        "/index.3f9a2c1b.css.map",
        "/dist/logo.3f9a2c1b.svg",
    ],
    "Next.js": [
        "/_next/static/chunks/4321-3f9a2c1b7d8e9f0a.js",
        "/_next/static/chunks/app/%5Bslug%5D/page-3f9a2c1b7d8e9f0a.js",
        "/_next/static/chunks/7dd66bdf8a7e5707.js",
        "/_next/static/css/3f9a2c1b7d8e9f0a.css",
        "/_next/static/media/e4af272ccee01ff0-s.p.woff2",
        "/_next/static/V1StGXR8_Z5jdHi6B-myT/_buildManifest.js",
        "/docs/_next/static/V1StGXR8_Z5jdHi6B-myT/pages/index.js",
    ],
    "Propshaft and Sprockets": [
        "/assets/application-3f9a2c1b7d.js",
        "/assets/application-3f9a2c1b.css",
        f"/assets/application-{SHA1}.js",
        f"/assets/application-{SHA256}.css",
        f"/assets/logo-{SHA256}.png",
        f"/assets/application-{SHA256}.js.gz",
        f"/assets/application-{SHA256}{SHA256}.js",
        "/assets/app-2d4b9f6.digested.js",
        "/assets/app-Kq3xZZ1a.digested.css.map",
    ],
    "a hash in the query": [
        "/static/app.js?v=3f9a2c1b7d",
        "/static/img/logo.png?v=5e2f11a0c9d84b7fa3f9a2c1b7d8e9f0",
        "/static/img/logo.png?5e2f11a0c9d84b7fa3f9a2c1b7d8e9f0",
        "/theme/app.css?3f9a2c1b",
        "/theme/app.min.js?v=3f9a2c1b",
    ],
}

NOT_RECOGNISED = {
    "plain names": [
        *("/", "*", "", "/index.html", "/favicon.ico", "/robots.txt", "/static/", "/assets/app.js", "/static/logo.png"),
        *("/static/css/style.min.css", "/static/app.js.map", "/static/.hidden.js", "/static/..", "/assets/.js"),
    ],
    "words": [
        "/assets/app-settings.js",
        "/assets/user-Settings.js",
        "/assets/user-SETTINGS.js",
        "/assets/my-DataGrid.js",
        "/assets/my-dataGrid.js",
        "/assets/my-dataGRID.js",
        "/assets/my-HTMLView.js",
        "/assets/my-Html5Doc.js",
        "/assets/my-Es2020Fn.js",
        "/assets/my-UseMyApi.js",
        "/assets/my-MyPage12.js",
        "/assets/my-leaflet1.js",
        "/assets/react-bootstrap5.js",
        "/assets/my-VERSION2.js",
        "/assets/my-2FACTORS.js",
        "/assets/x-To-Do-A1.js",
        "/assets/x-my_Page1.js",
        "/assets/runtime-deadbeef.js",
        "/assets/runtime-facade12.js",
        "/assets/x-12decade.js",
        "/assets/chunk-component.js",
        "/static/admin/js/vendor/select2/i18n/pt-BR.js",
        "/_next/static/chunks/webpack.js",
        "/_next/static/development/_buildManifest.js",
        "/_next/static/my-fancy-build-number/_buildManifest.js",
        "/_next/static/MY-FANCY-BUILD-NUMBER/_buildManifest.js",
        "/_next/static/my-fancy-Build-name/_buildManifest.js",
        "/_nuxt/entry.mjs",
    ],
    "versions and dimensions": [
        "/static/jquery-3.7.1.min.js",
        "/static/bootstrap-5.3.2.bundle.min.js",
        "/static/lib-v20240131.js",
        "/static/app.10.11.12.13.js",
        "/static/app-1.2.3-abcdef1.js",
        "/static/photo-1024x768.jpg",
        "/static/icon-512x512.png",
        "/static/app.js?v=1.2.3",
        "/static/app.js?v=4.7.0",
    ],
    "dates and numbers": [
        "/static/report-20240131.pdf",
        "/static/report-20240131a.css",
        "/static/report-2024dec1.css",
        "/static/report-31dec2024.css",
        "/static/bundle.20240131120000.js",
        "/static/bundle-1706702400.js",
        "/static/bundle-1706702400123.js",
        "/static/tel-0049301234567.js",
        "/static/x-12345678.js",
        "/static/x-12345678a.js",
        "/static/x-a12345678.js",
        "/static/app.js?v=1706702400",
        "/static/app.js?1706702400",
        "/static/app.js?_=1706702400123",
        "/static/app.js?t=3f9a2c1b7d",
        "/static/app.js?v=3f9a2c1b7d&lang=en",
        "/static/app.js?v=",
        "/static/app.js?v=3f9a2c1",
        "/static/app.js?v=3F9A2C1B7D",
        "/static/app.js?v=3f9a2c1b7dxyz",
    ],
    "ids of things": [
        "/api/users/deadbeef01",
        "/api/users/3f9a2c1b7d8e",
        "/api/users/123e4567-e89b-12d3-a456-426614174a0b",
        "/api/users/123e4567-e89b-12d3-a456-426614174a0b.json",
        "/static/123e4567-e89b-12d3-a456-426614174a0b.png",
        "/assets/x.123e4567-e89b-12d3-a456-426614174a0b.js",
        "/static/uploads/123e4567e89b12d3a456426614174a0b.jpg",
        "/static/uploads/507f1f77bcf86cd799439011.jpg",
        "/assets/3f9a2c1b.js",
        "/watch?v=3f9a2c1b7d",
        "/api/search.json?v=3f9a2c1b7d",
        "/search?3f9a2c1b7d",
        "/deploys/3f9a2c1b7d8e.js",
    ],
    "what users upload, outside of static directories": [
        "/media/photo-3f9a2c1b7d8e.jpg",
        "/uploads/avatar.3f9a2c1b.png",
        "/documents/contract-9f8e7d6c5b4a.pdf",
        "/api/export-9f8e7d6c5b4a.json",
        "/media/photo_Ab3dE9x.jpg",
        "/profile/me-BqF3x_9Z.js",
        "/statics/photo-3f9a2c1b7d8e.jpg",
        "/my-static/photo-3f9a2c1b7d8e.jpg",
        "/static-photo-3f9a2c1b7d8e.jpg",
        "/photo-3f9a2c1b7d8e.jpg?next=/static/",
    ],
    "pages": [
        "/static/index.3f9a2c1b7d8e.html",
        "/assets/index-3f9a2c1b.htm",
        "/static/index.3f9a2c1b7d8e.html.gz",
        "/static/page.php?v=3f9a2c1b7d",
        "/index.HTML?3f9a2c1b7d",
    ],
    "no hash of the length or alphabet that tools use": [
        "/assets/app-3f9a2c1.js",
        f"/assets/app-{SHA256}{SHA256}0a.js",
        "/assets/app-3F9A2C1B.js",
        "/assets/app_3f9a2c1b.js",
        "/assets/app3f9a2c1b.js",
        "/assets/app-3f9a2c1b",
        "/assets/app-3f9a2c1b.",
        "/assets/app-3f9a2c1b.7z",
        "/assets/app-3f9a2c1b.js.",
        "/assets/app-3f9a2c1b.a.b.c.d.js",
        "/assets/app-3f9a2c1g.js",
        "/assets/app-3f9a2c1b/",
        "/assets/app-3f9a2c1b.js/me",
        "/assets/app-BqF3x_9.js",
        "/assets/app-BqF3x_9Zq.js",
        "/assets/app-short.digested.js",
        "/assets/app.digested.js",
        "/assets/" + "a" * (MAX_NAME_BYTES - 11) + "-3f9a2c1b.js",
    ],
    "paths with two readings": [
        "/account;x-3f9a2c1b.js",
        "/account;/x-3f9a2c1b.js",
        "/account%2fx-3f9a2c1b.js",
        "/account%2Fx-3f9a2c1b.js",
        "/account%3Bx-3f9a2c1b.js",
        "/account%3fx-3f9a2c1b.js",
        "/account%23x-3f9a2c1b.js",
        "/account%00x-3f9a2c1b.js",
        "/account%0ax-3f9a2c1b.js",
        "/account%252fx-3f9a2c1b.js",
        "/account%5cx-3f9a2c1b.js",
        "/account\\x-3f9a2c1b.js",
        "/static/../account/x-3f9a2c1b.js",
        "/static/%2e%2e/account/x-3f9a2c1b.js",
        "/static/%2E%2e/account/x-3f9a2c1b.js",
        "/static/./x-3f9a2c1b.js",
        "//static/x-3f9a2c1b.js",
        "/static//x-3f9a2c1b.js",
    ],
}


def rows(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(family, target) for family, targets in table.items() for target in targets]


@pytest.mark.parametrize(("tool", "target"), rows(RECOGNISED))
def test_what_tools_make_is_recognised(tool: str, target: str) -> None:
    assert is_fingerprinted(target.encode()), f"a name as made by {tool}"


@pytest.mark.parametrize(("family", "target"), rows(NOT_RECOGNISED))
def test_what_only_looks_like_it_is_not_recognised(family: str, target: str) -> None:
    assert not is_fingerprinted(target.encode()), family


@pytest.mark.parametrize("directory", STATIC_DIRECTORIES)
def test_in_each_static_directory_pictures_are_recognised(directory: bytes) -> None:
    assert is_fingerprinted(b"/" + directory + b"/logo-3f9a2c1b.png")
    assert is_fingerprinted(b"/under/" + directory + b"/deep/logo-3f9a2c1b.png")
    assert not is_fingerprinted(b"/" + directory + b"-3f9a2c1b.png")


def test_a_name_may_be_as_long_as_a_file_system_allows() -> None:
    name = b"a" * (MAX_NAME_BYTES - len("-3f9a2c1b.js")) + b"-3f9a2c1b.js"
    assert is_fingerprinted(b"/" + name)
    assert not is_fingerprinted(b"/a" + name)


HEX, BASE32 = "0123456789abcdef", string.ascii_uppercase + "234567"
BASE64 = string.ascii_letters + string.digits + "_-"


@pytest.mark.parametrize(
    ("alphabet", "length", "target", "least"),
    [
        (HEX, 8, "/assets/app.{}.js", 0.88),
        (HEX, 12, "/static/app.{}.css", 0.96),
        (HEX, 20, "/js/app.{}.js", 0.98),
        (HEX, 64, "/assets/app-{}.js", 0.98),
        (BASE64, 8, "/assets/app-{}.js", 0.74),
        (BASE32, 8, "/app-{}.js", 0.67),
        (BASE64, 21, "/_next/static/{}/_buildManifest.js", 0.99),
    ],
)
def test_most_random_hashes_are_recognised(alphabet: str, length: int, target: str, least: float) -> None:
    chosen = random.Random(9110)
    hashes = ["".join(chosen.choices(alphabet, k=length)) for _ in range(2000)]
    assert sum(is_fingerprinted(target.format(hash_).encode()) for hash_ in hashes) >= least * len(hashes)


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(target: bytes) -> None:
    assert is_fingerprinted(target) in (True, False)


@given(st.text("aF1Z-_/%", max_size=60).map(str.encode))
def test_a_path_without_an_extension_is_never_recognised(text: bytes) -> None:
    assert not is_fingerprinted(b"/static/" + text)


@given(st.text("aFZ.-_/%", max_size=60).map(str.encode))
def test_without_a_digit_nothing_is_recognised_outside_of_static_directories(text: bytes) -> None:
    assert not is_fingerprinted(b"/" + text + b".js")


# A pattern that goes back and forth would not come back from these within a test run.
@pytest.mark.parametrize(
    "target",
    [
        b"/" + b"a-" * 8000 + b".js",
        b"/a" * 8000 + b"/x-3f9a2c1b.js",
        b"/static" * 2300 + b"/x.js",
        b"/_next/static" * 1200 + b"/x.js",
        b"/static/" + b"-" * 247,
        b"/static/" + b"-a" * 118 + b".digested.",
        b"/static/" + b".a" * 123,
        b"/static/" + b"a1b" * 81 + b"!.js",
        b"/static/" + b"_-" * 120 + b".js",
        b"/static/" + b"-aB1_" * 48 + b".js",
        b"/static/x.js?v=" + b"a1" * 8000 + b"!",
        b"/static/x.js?" + b"?" * 16000,
    ],
)
def test_a_long_target_that_leads_patterns_astray_is_judged(target: bytes) -> None:
    assert len(target) <= 16384
    for _ in range(20):
        is_fingerprinted(target)


# --- The setting ------------------------------------------------------------------------------------------------


def test_the_built_in_rule_can_be_asked_for_or_turned_off() -> None:
    assert recogniser(True)(b"/assets/app-3f9a2c1b.js")
    assert not recogniser(True)(b"/assets/app.js")
    assert not recogniser(False)(b"/assets/app-3f9a2c1b.js")


def test_a_pattern_replaces_the_built_in_rule() -> None:
    recognise = recogniser(re.compile(rb"\.v[0-9]+\."))
    assert recognise(b"/any/where.v12.html")
    assert recognise(b"/any/where.v12.html?x=1")
    assert not recognise(b"/assets/app-3f9a2c1b.js")


def test_a_pattern_does_not_see_the_query() -> None:
    recognise = recogniser(re.compile(rb"v=|^/static/.*js$"))
    assert not recognise(b"/page?v=1")
    assert recognise(b"/static/app.js?x=1")


# --- The type that belongs to the name --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "content_type", "suits"),
    [
        (b"/assets/app-3f9a2c1b.js", b"text/javascript; charset=utf-8", True),
        (b"/assets/app-3f9a2c1b.css", b"text/css", True),
        (b"/assets/app-3f9a2c1b.woff2", b"application/octet-stream", True),
        (b"/assets/app-3f9a2c1b.svg", b"image/svg+xml", True),
        (b"/assets/app-3f9a2c1b.txt", b"text/plain", True),
        (b"/assets/app-3f9a2c1b.js.map", b"application/json", True),
        (b"/assets/app-3f9a2c1b.js.map.gz?x", b"application/json", True),
        (b"/assets/de-3f9a2c1b.json", b"application/json", True),
        (b"/assets/app-3f9a2c1b.webmanifest?v=1", b"application/manifest+json", True),
        (b"/account/x-3f9a2c1b.js", b"text/html", False),
        (b"/account/x-3f9a2c1b.js", b"Text/HTML ;charset=utf-8", False),
        (b"/account/x-3f9a2c1b.css", b"application/xhtml+xml", False),
        (b"/api/me/x-3f9a2c1b.js", b"application/json", False),
        (b"/api/me/x-3f9a2c1b.css?.json", b"application/problem+json", False),
        (b"/assets/app-3f9a2c1b.js", b"", False),
        (b"/assets/app-3f9a2c1b.js", b" ; charset=utf-8", False),
    ],
)
def test_a_page_under_the_name_of_an_asset_is_seen_through(target: bytes, content_type: bytes, suits: bool) -> None:
    assert suits_asset(target, content_type) is suits
