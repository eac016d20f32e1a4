"""One answer of the worker, in every coding: made once, as well as possible later, decoded where it came coded."""

from random import Random
from typing import Any

import pytest

from tests.support.cached_site import LATER, Site, answer, on_site
from thrust.cache import serving
from thrust.coding.codings import compress_best, compress_quickly
from thrust.handlers import compression

CODINGS = ("br", "zstd", "gzip")
WORDS = b"function return const let document window length index value if else for of in new this".split()
BODY = b"".join(WORDS[number * number % 97 % len(WORDS)] + b" x%d;\n" % (number * 7919 % 1013) for number in range(900))
STREAMED: dict[str, Any] = {"read_bytes": 100}
"""So that an answer comes piece by piece."""

SCRIPT = answer("Cache-Control: max-age=60", "Content-Type: text/javascript", 'ETag: "1"', body=BODY)


async def lengths(site: Site) -> dict[str, int]:
    """What a hit sends now."""
    return {coding: len((await site.get("/a", f"Accept-Encoding: {coding}")).body) for coding in CODINGS}


def test_one_request_to_the_worker_serves_every_coding() -> None:
    async def story(site: Site) -> None:
        for coding in (*CODINGS, "identity", "br", "x-gzip", "deflate"):
            reply = await site.get("/a", f"Accept-Encoding: {coding}")
            assert reply.plain == BODY
            assert reply["vary"] == "accept-encoding"
            ours = coding.removeprefix("x-") if coding.removeprefix("x-") in CODINGS else None
            assert reply["content-encoding"] == ours
            assert reply["etag"] == (f'"1~{ours}"' if ours else '"1"')
            assert reply["content-length"] == str(len(reply.body))

    on_site(story, SCRIPT, compression=CODINGS)


@pytest.mark.parametrize(
    "accepted, coding",
    [
        ("gzip, br, zstd", "br"),
        ("gzip, zstd;q=0.9, br;q=0.8", "gzip"),
        ("*", "br"),
        ("br;q=0, *", "zstd"),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0", None),
        ("", None),
    ],
)
def test_the_client_has_the_first_word_and_we_the_second(accepted: str, coding: str | None) -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            assert (await site.get("/a", f"Accept-Encoding: {accepted}"))["content-encoding"] == coding

    on_site(story, SCRIPT, compression=CODINGS)


def test_a_list_of_codings_may_come_on_several_lines() -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get("/a", "Accept-Encoding: zstd, br", "Accept-Encoding: br;q=0")
            assert reply["content-encoding"] == "zstd"

    on_site(story, SCRIPT, compression=CODINGS)


def test_a_quick_coding_is_replaced_by_the_best() -> None:
    async def story(site: Site) -> None:
        assert await lengths(site) == {c: len(compress_quickly(c.encode(), BODY)) for c in CODINGS}
        site.stage.coder.work()
        await site.settle()
        assert await lengths(site) == {c: len(compress_best(c.encode(), BODY)) for c in CODINGS}
        assert site.stage.coder.jobs == []
        for coding in CODINGS:
            assert (await site.get("/a", f"Accept-Encoding: {coding}")).plain == BODY

    on_site(story, SCRIPT, compression=CODINGS)


def test_what_streamed_is_coded_for_the_next_client_before_it_asks() -> None:
    """The first one was served while it came; its coding is prepared, the best one too, and no other."""
    streamed = answer("Cache-Control: max-age=60", "Content-Type: text/css", body=BODY, chunked=True)

    async def story(site: Site) -> None:
        first = await site.get("/a", "Accept-Encoding: zstd")
        assert (first["content-encoding"], first.plain) == ("zstd", BODY)
        assert site.stage.coder.codings == [b"zstd"]
        site.stage.coder.work()
        await site.settle()
        reply = await site.get("/a", "Accept-Encoding: zstd")
        assert reply.body == compress_best(b"zstd", BODY)
        assert site.stage.coder.jobs == []

    on_site(story, streamed, compression=CODINGS, **STREAMED)


def test_the_best_coding_of_what_is_gone_is_dropped() -> None:
    async def story(site: Site) -> None:
        await site.get("/a", "Accept-Encoding: br")
        await site.get("/a", method="DELETE")
        site.stage.coder.work()
        await site.settle()
        assert (await site.get("/a", "Accept-Encoding: br")).plain == b"new" * 500

    new = answer("Cache-Control: max-age=60", "Content-Type: text/css", body=b"new" * 500)
    on_site(story, SCRIPT, answer(status=204), new, compression=CODINGS)


def test_a_hit_is_never_coded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the cache nor above it, and not in the hope that it becomes smaller this time."""
    noise = answer("Cache-Control: max-age=60", "Content-Type: text/css", body=Random(1).randbytes(3000))

    async def story(site: Site) -> None:
        for target in ("/script", "/noise"):
            await site.get(target, "Accept-Encoding: br")
        monkeypatch.setattr(compression, "compress_quickly", None)
        monkeypatch.setattr(serving, "compress_quickly", None)
        for target in ("/script", "/noise"):
            for lines in ([], ["Cache-Control: max-stale"]):
                reply = await site.get(target, "Accept-Encoding: br", *lines)
                assert (reply.status, reply["x-cache"]) == (200, "hit")

    on_site(story, SCRIPT, noise, compression=CODINGS)


@pytest.mark.parametrize(
    "lines, body",
    [
        (["Content-Type: text/css"], b"x" * 1023),
        (["Content-Type: image/png"], BODY),
        (["Content-Type: text/css", "Cache-Control: no-transform"], BODY),
        ([], BODY),
    ],
)
def test_some_content_stays_as_it_is(lines: list[str], body: bytes) -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get("/a", "Accept-Encoding: br")
            assert (reply.body, reply["content-encoding"], reply["vary"]) == (body, None, None)

    on_site(story, answer("Cache-Control: max-age=60", *lines, body=body), compression=CODINGS)


def test_a_client_may_ask_for_content_as_it_is() -> None:
    """RFC 9111 §5.2.1.6. What the worker has coded is as it is."""

    async def story(site: Site) -> None:
        for target, coding in (("/plain", None), ("/coded", "gzip")):
            for _ in range(2):
                reply = await site.get(target, "Accept-Encoding: br, gzip", "Cache-Control: no-transform")
                assert (reply["content-encoding"], reply.plain) == (coding, BODY)
            if coding is None:
                assert (await site.get(target, "Accept-Encoding: br"))["content-encoding"] == "br"

    fields = ["Cache-Control: max-age=60", "Content-Type: text/javascript"]
    coded = answer(*fields, "Content-Encoding: gzip", body=compress_quickly(b"gzip", BODY))
    on_site(story, SCRIPT, coded, compression=CODINGS)


@pytest.mark.parametrize("name", ["Cookie", "Authorization"])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_varies_by_credentials_is_coded_as_pages_are(name: str, chunked: bool) -> None:
    """Its length varies against BREACH, and may be left alone altogether."""
    page = answer(
        "Cache-Control: public, max-age=60",
        f"Vary: {name}",
        "Content-Type: text/html",
        'ETag: "1"',
        body=BODY,
        chunked=chunked,
    )

    async def story(site: Site) -> None:
        lengths = set()
        for number in range(40):
            reply = await site.get("/a", "Accept-Encoding: br", f"{name}: x")
            assert reply["x-cache"] == ("hit" if number else "miss")
            assert (reply["content-encoding"], reply["etag"], reply.plain) == ("br", '"1~br"', BODY)
            assert reply["vary"] == f"{name}, accept-encoding"
            lengths.add(len(reply.body))
        assert len(lengths) > 1
        assert (await site.get("/a", f"{name}: x")).body == BODY
        assert (await site.get("/a", "Accept-Encoding: br", f"{name}: x", 'If-None-Match: "1~br"')).status == 304
        assert site.stage.coder.jobs == []

    on_site(story, page, compression=CODINGS)


def test_what_varies_by_credentials_may_be_left_uncoded() -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get("/a", "Accept-Encoding: br", "Cookie: x")
            assert (reply["content-encoding"], reply.body) == (None, BODY)

    page = answer("Cache-Control: max-age=60", "Vary: Cookie", "Content-Type: text/html", body=BODY)
    on_site(story, page, compression=CODINGS, compression_disable_on_auth=True)


def test_without_compression_nothing_is_coded() -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get("/a", "Accept-Encoding: br")
            assert (reply.body, reply["vary"]) == (BODY, None)

    on_site(story, SCRIPT)


def test_an_entry_counts_with_all_its_codings() -> None:
    """Two of them fit plain, one of them coded as well."""
    noise = b"".join(b"%x " % (number * number * 2654435761 % 2**32) for number in range(3000))
    reply = answer("Cache-Control: max-age=60", "Content-Type: text/css", body=noise)

    async def story(site: Site) -> None:
        await site.get("/a")
        await site.get("/b")
        assert (await site.get("/a"))["x-cache"] == "hit"
        for coding in ("br", "gzip"):
            await site.get("/b", f"Accept-Encoding: {coding}")
        assert (await site.get("/b"))["x-cache"] == "hit"
        site.answers.append(reply)
        assert (await site.get("/a"))["x-cache"] == "miss"

    on_site(story, reply, reply, compression=("br", "gzip"), cache_size_bytes=2 * len(noise) + 20_000)


# What the worker has coded itself


def coded(coding: str, *lines: str, body: bytes = BODY, chunked: bool = False) -> bytes:
    return answer(
        "Cache-Control: max-age=60",
        "Content-Type: text/css",
        f"Content-Encoding: {coding}",
        *lines,
        body=compress_best(coding.removeprefix("x-").lower().encode(), body),
        chunked=chunked,
    )


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("own", ["br", "gzip", "zstd", "x-gzip", "GZIP"])
def test_what_comes_coded_is_kept_so_and_decoded_for_others(own: str, chunked: bool) -> None:
    plain_name = own.removeprefix("x-").lower()

    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get("/a", "Accept-Encoding: br, zstd, gzip")
            assert (reply["content-encoding"], reply["etag"]) == (own, '"1"')
            assert reply.body == compress_best(plain_name.encode(), BODY)
        for wanted in {"br", "gzip"} - {plain_name}:
            reply = await site.get("/a", f"Accept-Encoding: {wanted}")
            assert (reply["content-encoding"], reply.plain) == (wanted, BODY)
        reply = await site.get("/a", "Accept-Encoding: identity")
        assert (reply["content-encoding"], reply.body, reply["etag"]) == (None, BODY, 'W/"1"')
        reply = await site.get("/a", "Range: bytes=5-9", f"Accept-Encoding: {plain_name}")
        assert (reply.status, reply.body, reply["content-encoding"]) == (206, BODY[5:10], None)

    mode = STREAMED if chunked else {}
    on_site(story, coded(own, 'ETag: "1"', chunked=chunked), compression=("br", "gzip"), **mode)


def test_the_first_client_of_coded_content_may_be_one_that_cannot_decode() -> None:
    async def story(site: Site) -> None:
        reply = await site.get()
        assert (reply.body, reply["content-encoding"], reply["x-cache"]) == (BODY, None, "miss")
        assert (await site.get("/a", "Accept-Encoding: gzip"))["content-encoding"] == "gzip"

    on_site(story, coded("gzip"))


@pytest.mark.parametrize(
    "content", [b"nonsense", compress_best(b"gzip", BODY)[:-9], compress_best(b"gzip", BODY) + b"x"]
)
def test_content_that_cannot_be_decoded_is_dropped_when_that_turns_out(content: bytes) -> None:
    """Who can decode gets it as it came. For who cannot the worker is asked once more, and may send something else."""
    broken = answer("Cache-Control: max-age=60", "Content-Type: text/css", "Content-Encoding: gzip", body=content)

    async def story(site: Site) -> None:
        assert (await site.get("/a", "Accept-Encoding: gzip")).body == content
        reply = await site.get("/a")
        assert (reply.body, reply["x-cache"], reply["cache-status"]) == (b"plain", "bypass", "thrust; fwd=miss")
        assert (await site.get("/a", "Accept-Encoding: gzip"))["x-cache"] == "miss"

    stage = on_site(story, broken, answer(body=b"plain"), answer())
    assert "cannot be used" in stage.exchanges[1].error


def test_content_that_cannot_be_decoded_is_no_trouble_in_the_background() -> None:
    broken = answer(
        "Cache-Control: max-age=60", "Content-Type: text/css", "Content-Encoding: gzip", body=b"nonsense", chunked=True
    )

    async def story(site: Site) -> None:
        assert (await site.get("/a", "Accept-Encoding: br")).body == b"nonsense"

    on_site(story, broken, compression=CODINGS, read_bytes=5)


def test_a_bomb_is_not_unpacked() -> None:
    async def story(site: Site) -> None:
        await site.get("/a", "Accept-Encoding: gzip")
        assert (await site.get("/a")).body == b"plain"

    on_site(story, coded("gzip", body=bytes(20_000_000)), answer(body=b"plain"))


def test_who_waited_gets_coded_content_decoded() -> None:
    async def story(site: Site) -> None:
        site.send("/a", "Accept-Encoding: gzip", client=1)
        await site.settle()
        for client in range(2, 6):
            site.send("/a", client=client)
        await site.settle()
        site.stage.worker().send(coded("gzip"))
        await site.settle()
        assert [site.replies(client)[0].body for client in range(2, 6)] == [BODY] * 4
        assert site.replies(1)[0]["content-encoding"] == "gzip"

    on_site(story, LATER)
