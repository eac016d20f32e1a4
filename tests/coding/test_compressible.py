"""Media types as they come from frameworks and servers, and whether they are worth coding."""

import pytest

from thrust.coding import compressible
from thrust.coding.compressible import is_compressible


@pytest.mark.parametrize(
    "content_type",
    [
        b"text/html; charset=utf-8",
        b"text/html",
        b"TEXT/HTML;charset=UTF-8",
        b"text/css",
        b"text/javascript",
        b"text/event-stream",
        b"text/markdown",
        b"text/x-component",
        b"application/json",
        b"application/json;charset=utf-8",
        b"application/json ; charset=utf-8",
        b"Application/JSON",
        b"application/problem+json",
        b"application/vnd.api+json; version=1",
        b"application/geo+json-seq",
        b"application/javascript",
        b"application/xml",
        b"application/xhtml+xml",
        b"application/rss+xml",
        b"application/openapi+yaml",
        b"application/x-ndjson",
        b"application/vnd.apple.mpegurl",
        b"application/wasm",
        b"image/svg+xml",
        b"IMAGE/SVG+XML",
        b"font/ttf",
        b"font/otf",
        b"application/vnd.ms-fontobject",
        b"model/gltf+json",
    ],
)
def test_text_and_what_is_like_it_is_worth_coding(content_type: bytes) -> None:
    assert is_compressible(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b";",
        b"text",
        b"json",
        b"image/png",
        b"image/jpeg",
        b"image/webp",
        b"image/avif",
        b"video/mp4",
        b"audio/mpeg",
        b"font/woff",
        b"font/woff2",
        b"application/font-woff",
        b"application/zip",
        b"application/gzip",
        b"application/zstd",
        b"application/pdf",
        b"application/epub+zip",
        b"application/octet-stream",
        b"application/grpc",
        b"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        b"multipart/byteranges; boundary=text/html",
        b"application/octet-stream; name=a+json",
        b"application/octet-stream; was=text/html",
        b"image/png;text/html",
    ],
)
def test_what_is_compressed_already_or_unknown_is_not(content_type: bytes) -> None:
    assert not is_compressible(content_type)


def test_answers_do_not_change_when_asked_again() -> None:
    assert [is_compressible(b"text/x-once") for _ in range(3)] == [True] * 3
    assert [is_compressible(b"image/x-once") for _ in range(3)] == [False] * 3
    assert {b"text/x-once", b"image/x-once"} <= compressible._remembered.keys()


def test_what_is_remembered_is_bounded() -> None:
    for number in range(3 * compressible.MAX_REMEMBERED):
        assert is_compressible(b"text/x-%d" % number)
    assert len(compressible._remembered) <= compressible.MAX_REMEMBERED
    long = b"text/html; comment=" + b"x" * compressible.MAX_REMEMBERED_BYTES
    assert is_compressible(long)
    assert long not in compressible._remembered
