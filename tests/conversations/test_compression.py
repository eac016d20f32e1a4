"""What is compressed on its way, in which coding, and what is said about it."""

import random
from pathlib import Path

import pytest

from tests.coding.reference import text
from tests.support.coded_answers import (
    CODINGS,
    HTML,
    PAGE,
    Answer,
    accepting,
    chunked,
    exchange,
    request,
    response,
    response_head,
)
from tests.support.conversation import Stage, perform

BROWSER = "gzip, deflate, br, zstd"
NOISE = random.Random(1).randbytes(1500)


def page_for(*fields: str, of: bytes = b"", **settings: object) -> Answer:
    """The answer to a GET with these fields, from a worker that sends an HTML page, or what is given."""
    return exchange(request(*fields), of or response(HTML), **settings).answer


# Negotiation


@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        (BROWSER, "br"),
        ("gzip, zstd", "zstd"),
        ("gzip;q=1.0, br;q=0.9", "gzip"),
        ("br;q=0.001", "br"),
        ("*", "br"),
        ("*;q=0.5, gzip", "gzip"),
        ("br;q=0, *", "zstd"),
        ("br;q=0, zstd;q=0, *;q=0.1", "gzip"),
        ("identity;q=0, *", "br"),
        ("identity;q=0.5, gzip;q=0.7", "gzip"),
        ("deflate, lzma, gzip", "gzip"),
        ("gzip;q=2, br", "br"),
        ("gzip;q=0.7, identity;q=0.7", "gzip"),
        # Nothing of ours, or not at that price.
        (None, None),
        ("", None),
        ("deflate", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("identity;q=1, *;q=0", None),
        ("gzip;q=0.5, identity", None),
        # Nothing is acceptable: plain content is what most clients can read after all (RFC 9110 §12.5.3).
        ("identity;q=0", None),
        ("identity;q=0, lzma", None),
    ],
)
def test_the_client_gets_the_coding_that_it_prefers(accept_encoding: str | None, coding: str | None) -> None:
    answer = page_for(*accepting(accept_encoding))
    assert (answer.coding, answer.decoded) == (coding, PAGE)
    assert answer.get("content-length") == str(len(answer.content))
    assert answer.get("vary") == "accept-encoding"
    assert (len(answer.content) < len(PAGE) // 2) == (coding is not None)


def test_codings_may_be_spread_over_several_lines() -> None:
    assert page_for("Accept-Encoding: gzip;q=0.5", "Accept-Encoding: zstd").coding == "zstd"


@pytest.mark.parametrize(
    ("compression", "accept_encoding", "coding"),
    [
        (("gzip",), BROWSER, "gzip"),
        (("gzip",), "br, zstd", None),
        (("gzip", "br"), BROWSER, "gzip"),
        (("zstd", "gzip", "br"), "*", "zstd"),
        (("zstd", "gzip", "br"), "zstd;q=0.9, br", "br"),
    ],
)
def test_the_order_of_the_setting_decides_between_equals(
    compression: tuple[str, ...], accept_encoding: str, coding: str | None
) -> None:
    answer = page_for(f"Accept-Encoding: {accept_encoding}", compression=compression)
    assert (answer.coding, answer.decoded) == (coding, PAGE)


def test_switched_off_it_leaves_no_trace() -> None:
    answer = page_for(f"Accept-Encoding: {BROWSER}", of=response(HTML, 'ETag: "abc"', "Accept-Ranges: bytes"))
    plain = page_for(
        f"Accept-Encoding: {BROWSER}", of=response(HTML, 'ETag: "abc"', "Accept-Ranges: bytes"), compression=()
    )
    assert answer.coding == "br"
    assert plain.content == PAGE
    assert [line for line in plain.lines if not line.startswith("date")] == [
        "content-type: text/html",
        'etag: "abc"',
        "accept-ranges: bytes",
        "content-length: 5000",
    ]


# What is worth it


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "text/css",
        "text/event-stream",
        "application/javascript",
        "application/json",
        "application/problem+json",
        "application/wasm",
        "image/svg+xml",
        "font/ttf",
    ],
)
def test_text_in_every_form_is_compressed(content_type: str) -> None:
    assert page_for("Accept-Encoding: gzip", of=response(f"Content-Type: {content_type}")).coding == "gzip"


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Type: image/png"],
        ["Content-Type: video/mp4"],
        ["Content-Type: font/woff2"],
        ["Content-Type: application/zip"],
        ["Content-Type: application/pdf"],
        ["Content-Type: application/octet-stream"],
        [],
        [HTML, "Content-Encoding: gzip"],
        [HTML, "Content-Encoding: identity"],
        [HTML, "Content-Encoding: aes128gcm"],
        [HTML, "Cache-Control: no-transform"],
        [HTML, "Cache-Control: private, No-Transform"],
        [HTML, "Cache-Control: private", "Cache-Control: max-age=5, no-transform"],
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_to_be_compressed_is_left_as_it_is(fields: list[str], method: str) -> None:
    of = response(*fields, 'ETag: "abc"', "Content-MD5: Q2h1Y2s=")
    asked = request(f"Accept-Encoding: {BROWSER}", method=method)
    answer = exchange(asked, of if method == "GET" else of.removesuffix(PAGE)).answer
    assert answer.content == (PAGE if method == "GET" else b"")
    assert [line for line in answer.lines if not line.startswith("date")] == [
        *[f"{name.lower()}: {value}" for name, value in (line.split(": ") for line in fields)],
        'etag: "abc"',
        "content-md5: Q2h1Y2s=",
        "content-length: 5000",
    ]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(("length", "coding"), [(0, None), (1, None), (1023, None), (1024, "gzip")])
def test_nothing_below_a_kilobyte_is_compressed(length: int, coding: str | None, is_chunked: bool) -> None:
    body = text(length)
    of = response(HTML, body=body)
    if is_chunked:
        chunks = chunked(body) if body else b""
        of = response_head(HTML, "Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n"
    answer = page_for("Accept-Encoding: gzip", of=of)
    assert (answer.coding, answer.decoded) == (coding, body)
    assert answer.get("vary") == ("accept-encoding" if coding else None)


def test_a_short_page_that_comes_in_two_pieces_is_known_by_its_length() -> None:
    of = response(HTML, body=text(1000))
    answer = exchange(request("Accept-Encoding: br"), of[:-500], of[-500:]).answer
    assert (answer.coding, answer.content, answer.get("content-length")) == (None, text(1000), "1000")


@pytest.mark.parametrize("coding", CODINGS)
def test_what_would_not_get_shorter_stays_as_it_is_and_still_varies(coding: str) -> None:
    answer = page_for(f"Accept-Encoding: {coding}", of=response(HTML, 'ETag: "a"', body=NOISE))
    assert (answer.coding, answer.content, answer.get("content-length")) == (None, NOISE, "1500")
    assert (answer.get("etag"), answer.get("vary")) == ('"a"', "accept-encoding")


@pytest.mark.parametrize(
    ("status", "body"),
    [("404 Not Found", PAGE), ("500 Internal Server Error", PAGE), ("201 Created", PAGE), ("302 Found", PAGE)],
)
def test_pages_of_any_status_are_compressed(status: str, body: bytes) -> None:
    answer = page_for("Accept-Encoding: zstd", of=response(HTML, body=body, status=status))
    assert (answer.status, answer.coding, answer.decoded) == (int(status[:3]), "zstd", body)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_has_no_content_has_no_coding(status: str, method: str) -> None:
    asked = request("Accept-Encoding: br", method=method)
    answer = exchange(asked, response_head(HTML, 'ETag: "abc"', status=status)).answer
    assert (answer.status, answer.coding, answer.content) == (int(status[:3]), None, b"")
    assert (answer.get("etag"), answer.get("vary")) == ('"abc"', None)


def test_answers_to_other_methods_are_compressed_too() -> None:
    asked = request("Accept-Encoding: gzip", "Content-Length: 2", method="POST") + b"{}"
    answer = exchange(asked, response("Content-Type: application/json")).answer
    assert (answer.coding, answer.decoded) == ("gzip", PAGE)


# Ranges


def test_a_client_may_ask_for_content_as_it_is() -> None:
    """RFC 9111 §5.2.1.6."""
    answer = page_for("Accept-Encoding: br", "Cache-Control: no-transform")
    assert (answer.coding, answer.content, answer.get("vary")) == (None, PAGE, "accept-encoding")


def test_a_part_of_plain_content_stays_plain_and_varies_as_the_whole_does() -> None:
    fields = [HTML, 'ETag: "abc"', "Accept-Ranges: bytes", "Content-Range: bytes 100-1999/5000"]
    of = response(*fields, body=PAGE[100:2000], status="206 Partial Content")
    answer = page_for(f"Accept-Encoding: {BROWSER}", "Range: bytes=100-1999", of=of)
    assert (answer.status, answer.coding, answer.content) == (206, None, PAGE[100:2000])
    assert (answer.get("etag"), answer.get("content-range")) == ('"abc"', "bytes 100-1999/5000")
    assert (answer.get("vary"), answer.get("accept-ranges")) == ("accept-encoding", "bytes")


def test_a_small_part_of_a_large_page_varies_too() -> None:
    fields = [HTML, "Content-Range: bytes 0-9/5000"]
    of = response(*fields, body=PAGE[:10], status="206 Partial Content")
    answer = page_for("Accept-Encoding: br", "Range: bytes=0-9", of=of)
    assert (answer.content, answer.get("vary")) == (PAGE[:10], "accept-encoding")


def test_several_parts_stay_as_they_are() -> None:
    of = response("Content-Type: multipart/byteranges; boundary=x", status="206 Partial Content")
    answer = page_for("Accept-Encoding: br", "Range: bytes=0-1,3-4", of=of)
    assert (answer.coding, answer.content) == (None, PAGE)


def test_the_whole_in_answer_to_a_range_is_compressed() -> None:
    answer = page_for("Accept-Encoding: br", "Range: bytes=0-9")
    assert (answer.status, answer.coding, answer.decoded) == (200, "br", PAGE)


# Fields


@pytest.mark.parametrize(
    ("vary", "merged"),
    [
        ([], ["accept-encoding"]),
        (["Cookie"], ["Cookie, accept-encoding"]),
        (["Accept-Encoding"], ["Accept-Encoding"]),
        (["Cookie, ACCEPT-ENCODING"], ["Cookie, ACCEPT-ENCODING"]),
        (["Cookie", "Accept-Language, Origin"], ["Cookie, Accept-Language, Origin, accept-encoding"]),
        (["Cookie", "Accept-Encoding"], ["Cookie", "Accept-Encoding"]),
        (["*"], ["*"]),
    ],
)
@pytest.mark.parametrize("accept_encoding", [None, "br"])
def test_vary_is_merged_with_the_workers_own(vary: list[str], merged: list[str], accept_encoding: str | None) -> None:
    answer = page_for(*accepting(accept_encoding), of=response(HTML, *[f"Vary: {value}" for value in vary]))
    assert answer.values("vary") == merged


def test_fields_about_the_plain_content_go_and_all_others_stay() -> None:
    about_content = ["Content-MD5: x", "Digest: y", "Content-Digest: z", "Repr-Digest: z", "Accept-Ranges: bytes"]
    others = ["Last-Modified: Mon, 23 Nov 2026 08:00:00 GMT", "Set-Cookie: a=1", "Set-Cookie: b=2", "X-Digest: q"]
    answer = page_for("Accept-Encoding: gzip", of=response(HTML, *about_content, *others))
    assert [line for line in answer.lines if not line.startswith(("date", "content-length"))] == [
        "content-type: text/html",
        "last-modified: Mon, 23 Nov 2026 08:00:00 GMT",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "x-digest: q",
        "vary: accept-encoding",
        "content-encoding: gzip",
    ]


@pytest.mark.parametrize("accept_encoding", [None, "identity", "br", "gzip;q=0.5"])
@pytest.mark.parametrize("length", [100, 5000])
def test_head_gets_the_fields_of_get_but_for_the_length_of_what_is_not_made(
    accept_encoding: str | None, length: int
) -> None:
    of = response(HTML, 'ETag: "abc"', "Vary: Cookie", "Content-MD5: x", body=PAGE[:length])
    got = exchange(request(*accepting(accept_encoding)), of).answer
    head = exchange(request(*accepting(accept_encoding), method="HEAD"), of.removesuffix(PAGE[:length])).answer
    without_length = [line for line in got.lines if got.coding is None or not line.startswith("content-length")]
    assert [line for line in head.lines if not line.startswith("date")] == [
        line for line in without_length if not line.startswith("date")
    ]


def test_head_of_unknown_length_gets_the_fields_of_a_stream() -> None:
    answer = exchange(request("Accept-Encoding: br", method="HEAD"), response_head(HTML)).answer
    assert (answer.coding, answer.get("vary")) == ("br", "accept-encoding")
    assert (answer.get("content-length"), answer.get("transfer-encoding")) == (None, None)


@pytest.mark.parametrize("keeps_alive", [False, True])
def test_a_client_of_http_1_0_gets_a_whole_page_with_its_length(keeps_alive: bool) -> None:
    fields = ["Accept-Encoding: gzip", *["Connection: keep-alive"] * keeps_alive]
    answer = exchange(request(*fields, version="1.0"), response(HTML)).answer
    assert (answer.coding, answer.decoded) == ("gzip", PAGE)
    assert answer.get("content-length") == str(len(answer.content))
    assert answer.get("connection") == ("keep-alive" if keeps_alive else "close")


def test_the_log_counts_what_was_sent() -> None:
    seen = exchange(request("Accept-Encoding: br"), response(HTML))
    assert seen.stage.exchanges[0].body_bytes == len(seen.answer.content) < 2500


# BREACH


@pytest.mark.parametrize(
    ("field", "is_spared"),
    [
        ("Cookie: session=1", True),
        ("Authorization: Basic YTpi", True),
        ("X-CSRF-Token: abc", True),
        ("X-Requested-With: XMLHttpRequest", False),
    ],
)
def test_answers_to_requests_with_credentials_may_be_left_out(field: str, is_spared: bool) -> None:
    spared = page_for("Accept-Encoding: br", field, compression_disable_on_auth=True)
    assert (spared.coding, spared.decoded) == (None if is_spared else "br", PAGE)
    assert spared.get("vary") == "accept-encoding"
    assert page_for("Accept-Encoding: br", field).coding == "br"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_jitter_varies_the_length_and_nothing_else(coding: str, is_streamed: bool) -> None:
    of = response(HTML)
    messages = [of[:-3000], of[-3000:]] if is_streamed else [of]

    def lengths(jitter_bytes: int, count: int) -> list[int]:
        answers = [
            exchange(request(f"Accept-Encoding: {coding}"), *messages, compression_jitter_bytes=jitter_bytes).answer
            for _ in range(count)
        ]
        assert {answer.decoded for answer in answers} == {PAGE}
        assert {answer.is_complete for answer in answers} == {True}
        return [len(answer.content) for answer in answers]

    assert len(set(lengths(0, 5))) == 1
    blurred = lengths(200, 10)
    assert len(set(blurred)) > 3
    assert max(blurred) - min(blurred) <= 200 + 10


# What is ours


def test_an_error_page_of_ours_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "502.html").write_bytes(PAGE)

    async def story(stage: Stage) -> None:
        stage.client().send(request(f"Accept-Encoding: {BROWSER}"))
        await stage.settled()
        stage.worker().close()
        await stage.settled()
        answer = stage.client().take()
        assert answer.startswith(b"HTTP/1.1 502") and answer.endswith(PAGE)
        assert b"content-encoding" not in answer

    perform(story, compression=CODINGS, bad_gateway_page=tmp_path / "502.html")


def test_a_504_of_the_cache_is_sent_as_it_is() -> None:
    async def story(stage: Stage) -> None:
        stage.client().send(request(f"Accept-Encoding: {BROWSER}", "Cache-Control: only-if-cached"))
        await stage.settled()
        answer = stage.client().take()
        assert answer.startswith(b"HTTP/1.1 504") and b"content-encoding" not in answer

    perform(story, compression=CODINGS, cache_size_bytes=1 << 20)
