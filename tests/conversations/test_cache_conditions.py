"""Conditional requests, HEAD and ranges, answered from a stored GET in every coding (RFC 9110 §13, §14)."""

import re
from random import Random

import pytest

from tests.support.cached_site import Site, answer, on_site
from tests.support.wall_clock import http_date

CODINGS = ("br", "zstd", "gzip")
BODY = b"".join(b"line %d of the script\n" % number for number in range(300))
SCRIPT = answer(
    "Cache-Control: max-age=60",
    "Content-Type: text/javascript",
    'ETag: "v1"',
    f"Last-Modified: {http_date(-3600)}",
    body=BODY,
)
EVERY_CODING = pytest.mark.parametrize("coding", ["", *CODINGS])


def accepting(coding: str) -> list[str]:
    return [f"Accept-Encoding: {coding}"] if coding else []


def tag_in(coding: str) -> str:
    return f'"v1~{coding}"' if coding else '"v1"'


@EVERY_CODING
@pytest.mark.parametrize(
    "condition",
    [
        'If-None-Match: "v1"',
        'If-None-Match: W/"v1"',
        'If-None-Match: "a", "v1", "b"',
        "If-None-Match: *",
        f"If-Modified-Since: {http_date(-3600)}",
        f"If-Modified-Since: {http_date(-1)}",
        f'If-None-Match: "v1"\r\nIf-Modified-Since: {http_date(-9999)}',
    ],
)
def test_who_has_it_already_gets_304(condition: str, coding: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(7)
        for method in ("GET", "HEAD"):
            reply = await site.get("/a", condition, *accepting(coding), method=method)
            assert (reply.status, reply.body, reply["content-length"]) == (304, b"", None)
            assert reply["etag"] == tag_in(coding) or reply["etag"] in condition.replace(",", " ").split()
            assert (reply["age"], reply["x-cache"]) == ("7", "hit")
            assert (reply["cache-control"], reply["date"]) == ("max-age=60", http_date(0))
            assert reply["vary"] == "accept-encoding"
            assert (reply["content-type"], reply["content-encoding"], reply["last-modified"]) == (None, None, None)

    on_site(story, SCRIPT, compression=CODINGS)


@pytest.mark.parametrize("known", ['"v1~br"', 'W/"v1~br"', '"a,b", "v1~br"'])
@pytest.mark.parametrize(
    "accepted, status",
    [
        (["Accept-Encoding: br"], 304),
        (["Accept-Encoding: br, identity;q=0"], 304),
        (["Accept-Encoding: gzip, br;q=0.5"], 304),
        (["Accept-Encoding: gzip"], 200),
        (["Accept-Encoding: *, br;q=0"], 200),
        (["Accept-Encoding: br", "Cache-Control: no-transform"], 200),
        ([], 200),
    ],
)
def test_a_coded_copy_is_confirmed_only_to_whoever_can_still_read_it(
    known: str, accepted: list[str], status: int
) -> None:
    """RFC 9110 §13.1.2: the tag has to be that of a representation that the client might get. Stored or forwarded."""

    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", f"If-None-Match: {known}", *accepted)
        assert (reply.status, reply["x-cache"]) == (status, "hit")
        assert status == 200 or reply["etag"] in known.split(", ")
        await site.get("/b", f"If-None-Match: {known}", *accepted)
        asked = site.take_asked()[-1]["if-none-match"] or ""
        assert asked == (known if status == 200 else known.replace("~br", ""))

    on_site(story, SCRIPT, answer(), compression=CODINGS)


@EVERY_CODING
@pytest.mark.parametrize(
    "condition",
    [
        'If-None-Match: "v2"',
        'If-None-Match: "v1~x"',
        'If-None-Match: "v"',
        'If-None-Match: "v1',
        'If-None-Match: "*"',
        "If-None-Match:",
        f"If-Modified-Since: {http_date(-3601)}",
        "If-Modified-Since: yesterday",
        f'If-None-Match: "v2"\r\nIf-Modified-Since: {http_date(0)}',
    ],
)
def test_who_has_something_else_gets_all_of_it(condition: str, coding: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", condition, *accepting(coding))
        assert (reply.status, reply.plain, reply["x-cache"]) == (200, BODY, "hit")
        assert (reply["content-encoding"] or "") == coding

    on_site(story, SCRIPT, compression=CODINGS)


def test_without_last_modified_the_date_counts() -> None:
    async def story(site: Site) -> None:
        await site.get()
        for seconds, status in ((-1, 200), (0, 304), (1, 304)):
            assert (await site.get("/a", f"If-Modified-Since: {http_date(seconds)}")).status == status

    on_site(story, answer("Cache-Control: max-age=60"))


@pytest.mark.parametrize("status", [404, 301, 410])
def test_what_is_no_success_has_no_conditions(status: int) -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", "If-None-Match: *", "Range: bytes=0-1")
        assert (reply.status, reply.body, reply["x-cache"]) == (status, b"content", "hit")

    on_site(story, answer("Cache-Control: max-age=60", 'ETag: "v1"', status=status))


@pytest.mark.parametrize("condition", ['If-Match: "v1"', f"If-Unmodified-Since: {http_date(-3600)}"])
def test_preconditions_for_the_origin_are_left_to_the_worker(condition: str) -> None:
    """RFC 9111 §4.3.2: a cache must not evaluate them."""

    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", condition)
        assert (reply.status, reply["cache-status"]) == (412, "thrust; fwd=request")
        name, _, value = condition.partition(": ")
        assert site.take_asked()[-1][name.lower()] == value
        assert (await site.get())["x-cache"] == "hit"

    on_site(story, SCRIPT, answer(status=412))


def test_the_worker_hears_its_own_tags() -> None:
    async def story(site: Site) -> None:
        await site.get("/a", 'If-None-Match: "v0~br", "v1~gzip"', "Accept-Encoding: gzip, br")
        assert site.take_asked()[0]["if-none-match"] == '"v0", "v1"'

    on_site(story, answer(status=304), compression=CODINGS)


def test_an_asset_nobody_has_yet_is_fetched_whole_for_whoever_has_it() -> None:
    """One browser's copy does not keep the others waiting: it gets its 304, and the content is stored."""
    target = "/assets/app-3f9a2c1b.js"

    async def story(site: Site) -> None:
        for number, chunked in enumerate((False, True)):
            site.answers.append(answer("Content-Type: text/javascript", 'ETag: "v1"', body=BODY, chunked=chunked))
            reply = await site.get(f"{target}?{number}", 'If-None-Match: "v1~br"', "Accept-Encoding: br")
            assert (reply.status, reply["x-cache"]) == (304, "miss")
            assert site.take_asked()[0]["if-none-match"] is None
            reply = await site.get(f"{target}?{number}")
            assert (reply.status, reply.body, reply["x-cache"]) == (200, BODY, "hit")

    on_site(story, compression=CODINGS, read_bytes=1000)


def test_an_asset_that_is_too_large_is_given_up_for_whoever_has_it() -> None:
    """Nobody reads the rest, so the worker is told."""

    async def story(site: Site) -> None:
        site.send("/assets/app-3f9a2c1b.js", 'If-None-Match: "v1"')
        await site.stage.settled()
        worker = site.stage.worker()
        worker.take()
        reply = answer("Content-Type: text/javascript", 'ETag: "v1"', body=b"x" * 5000, chunked=True)
        worker.send(reply[:1000])
        await site.stage.settled()
        assert site.replies()[0].status == 304
        worker.send(reply[1000:4000])
        await site.stage.settled()
        assert worker.saw_end or worker.saw_reset

    on_site(story, max_cache_item_size_bytes=3000)


# HEAD


@EVERY_CODING
def test_head_has_the_fields_of_get(coding: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", *accepting(coding))
        head = await site.get("/a", *accepting(coding), method="HEAD")
        assert (head.start, head.lines, head.body) == (reply.start, reply.lines, b"")

    on_site(story, SCRIPT, compression=CODINGS)


def test_what_cannot_be_made_smaller_is_the_same_for_head_and_get() -> None:
    noise = Random(1).randbytes(3000)

    async def story(site: Site) -> None:
        for lines in (["Accept-Encoding: gzip"], ["Accept-Encoding: gzip", "Cache-Control: max-stale"]):
            reply = await site.get("/a", *lines)
            head = await site.get("/a", *lines, method="HEAD")
            assert reply["content-encoding"] is head["content-encoding"] is None
            assert head["content-length"] == reply["content-length"] == str(len(noise))

    on_site(story, answer("Cache-Control: max-age=60", "Content-Type: text/css", body=noise), compression=("gzip",))


def test_head_of_something_unknown_is_forwarded_and_not_kept() -> None:
    async def story(site: Site) -> None:
        reply = await site.get(method="HEAD")
        assert reply["cache-status"] == "thrust; fwd=uri-miss; detail=method"
        assert (await site.get())["x-cache"] == "miss"

    headless = answer("Cache-Control: max-age=60").removesuffix(b"content")
    on_site(story, headless, SCRIPT)


# Ranges


@EVERY_CODING
@pytest.mark.parametrize(
    "wanted, start, stop",
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=-5", len(BODY) - 5, len(BODY)),
        ("bytes=-99999999", 0, len(BODY)),
        (f"bytes={len(BODY) - 1}-", len(BODY) - 1, len(BODY)),
        ("BYTES=5-99999999999999999999", 5, len(BODY)),
    ],
)
def test_a_part_is_cut_from_the_plain_content(wanted: str, start: int, stop: int, coding: str) -> None:
    async def story(site: Site) -> None:
        await site.get("/a", *accepting(coding))
        reply = await site.get("/a", f"Range: {wanted}", *accepting(coding))
        assert (reply.status, reply.body) == (206, BODY[start:stop])
        assert reply["content-range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"
        assert (reply["etag"], reply["content-encoding"], reply["x-cache"]) == ('"v1"', None, "hit")
        assert reply["content-type"] == "text/javascript"

    on_site(story, SCRIPT, compression=CODINGS)


def test_several_parts_come_in_one_body() -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", "Range: bytes=0-1, -2, 100-109", "Accept-Encoding: br")
        assert (reply.status, reply["content-range"], reply["content-encoding"]) == (206, None, None)
        match = re.fullmatch("multipart/byteranges; boundary=([0-9a-f]{32})", reply["content-type"] or "")
        assert match
        parts = reply.body.split(b"--" + match[1].encode())
        assert [parts[0], parts[-1]] == [b"", b"--\r\n"]
        assert [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts[1:-1]] == [
            BODY[:2],
            BODY[-2:],
            BODY[100:110],
        ]
        assert b"Content-Type: text/javascript\r\nContent-Range: bytes 100-109/" in parts[3]

    on_site(story, SCRIPT, compression=CODINGS)


@pytest.mark.parametrize("wanted", [f"bytes={len(BODY)}-", "bytes=999999-9999999", "bytes=-0"])
def test_what_lies_behind_the_end_cannot_be_satisfied(wanted: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", f"Range: {wanted}")
        assert (reply.status, reply["content-range"], reply.body) == (416, f"bytes */{len(BODY)}", b"")

    on_site(story, SCRIPT)


@EVERY_CODING
@pytest.mark.parametrize("wanted", ["bytes=5-1", "lines=1-2", "bytes=", "bytes=a-b", "bytes=0-,0-,0-,0-"])
def test_a_range_that_says_nothing_is_ignored(wanted: str, coding: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", f"Range: {wanted}", *accepting(coding))
        assert (reply.status, reply.plain) == (200, BODY)

    on_site(story, SCRIPT, compression=CODINGS)


@EVERY_CODING
@pytest.mark.parametrize(
    "if_range, status",
    [
        ('"v1"', 206),
        ('W/"v1"', 200),
        ('"v1~br"', 200),
        ('"v2"', 200),
        (http_date(-3599), 200),
        ("*", 200),
    ],
)
def test_if_range_has_to_name_what_the_part_is_cut_from(if_range: str, status: int, coding: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", "Range: bytes=0-9", f"If-Range: {if_range}", *accepting(coding))
        assert (reply.status, reply.plain) == (status, BODY[:10] if status == 206 else BODY)

    on_site(story, SCRIPT, compression=CODINGS)


PART = "Content-Range: bytes 0-9/5000"


@pytest.mark.parametrize("coding, status", [("", 206), ("deflate", 206), *[(coding, 200) for coding in CODINGS]])
@pytest.mark.parametrize("is_stored", [True, False])
def test_a_date_stands_for_all_codings_and_therefore_for_no_part_of_one(
    is_stored: bool, coding: str, status: int
) -> None:
    """RFC 9110 §8.8.2.2: what the client has may be the beginning of a coded one."""
    fields = ["Content-Type: text/javascript", f"Last-Modified: {http_date(-3600)}"]
    whole, part = answer(*fields, body=BODY), answer(*fields, PART, status=206, body=BODY[:10])

    async def story(site: Site) -> None:
        if is_stored:
            await site.get()
        else:
            site.answers += [part, whole] if status == 200 else [part]
        reply = await site.get("/a", "Range: bytes=0-9", f"If-Range: {http_date(-3600)}", *accepting(coding))
        assert (reply.status, reply.plain) == (status, BODY if status == 200 else BODY[:10])
        assert reply["content-encoding"] == (coding if status == 200 else None)
        if not is_stored:
            asked = [(message["range"], message["if-range"]) for message in site.take_asked()]
            assert asked == [("bytes=0-9", http_date(-3600)), (None, None)][: 2 if status == 200 else 1]

    on_site(story, *[SCRIPT] * is_stored, compression=CODINGS)


def test_what_is_never_coded_is_continued_by_date() -> None:
    fields = ["Content-Type: video/mp4", f"Last-Modified: {http_date(-3600)}"]

    async def story(site: Site) -> None:
        await site.get("/stored")
        for target in ("/stored", "/forwarded"):
            reply = await site.get(
                target, "Range: bytes=0-9", f"If-Range: {http_date(-3600)}", "Accept-Encoding: br, gzip"
            )
            assert (reply.status, reply.body) == (206, BODY[:10])

    stored = answer("Cache-Control: max-age=60", *fields, body=BODY)
    on_site(story, stored, answer(*fields, PART, status=206, body=BODY[:10]), compression=CODINGS)


def test_head_has_no_parts() -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", "Range: bytes=0-9", method="HEAD")
        assert (reply.status, reply["content-length"]) == (200, str(len(BODY)))

    on_site(story, SCRIPT)


def test_conditions_come_before_ranges() -> None:
    async def story(site: Site) -> None:
        await site.get()
        assert (await site.get("/a", "Range: bytes=0-9", 'If-None-Match: "v1"')).status == 304

    on_site(story, SCRIPT)


@pytest.mark.parametrize("lines, ranges", [((), "bytes"), (("Accept-Ranges: none",), "none")])
def test_parts_are_offered_of_plain_content_only(lines: tuple[str, ...], ranges: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        assert (await site.get())["accept-ranges"] == ranges
        assert (await site.get("/a", "Accept-Encoding: br"))["accept-ranges"] is None

    reply = answer("Cache-Control: max-age=60", "Content-Type: text/css", *lines, body=BODY)
    on_site(story, reply, compression=CODINGS)


def test_a_part_of_what_is_not_stored_is_left_to_the_worker() -> None:
    async def story(site: Site) -> None:
        reply = await site.get("/a", "Range: bytes=0-1", 'If-Range: "v1"')
        assert (reply.status, reply.body, reply["content-range"]) == (206, b"li", "bytes 0-1/99")
        (asked,) = site.take_asked()
        assert (asked["range"], asked["if-range"]) == ("bytes=0-1", '"v1"')
        assert (await site.get())["x-cache"] == "miss"

    part = answer("Cache-Control: max-age=60", "Content-Range: bytes 0-1/99", status=206, body=b"li")
    on_site(story, part, SCRIPT)
