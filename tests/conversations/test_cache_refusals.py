"""What is never stored, and what is not even asked of the cache. The tables of the rules are in tests/cache/."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.cached_site import LATER, Site, answer, on_site, request
from tests.support.conversation import Stage

MB = 1 << 20


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "lines, why",
    [
        ((), "no-freshness"),
        (("Cache-Control: public",), "no-freshness"),
        (("Cache-Control: max-age=60", "Set-Cookie: a=b"), "set-cookie"),
        (("Cache-Control: max-age=60, private",), "private"),
        (("Cache-Control: max-age=60", "Cache-Control: no-store"), "no-store"),
        (("Cache-Control: no-cache",), "no-cache"),
        (("Cache-Control: max-age=60", "Vary: *"), "vary-star"),
        (("Cache-Control: max-age=60", "Vary: X-Forwarded-For"), "vary-star"),
        (("Cache-Control: max-age=0",), "stale"),
        (("Cache-Control: max-age=60", "Content-Range: bytes 0-6/9"), "partial"),
        (("Cache-Control: max-age=60", "Content-Encoding: compress"), "coding"),
        (("Cache-Control: max-age=60", "Content-Encoding: gzip, br"), "coding"),
        (("Cache-Control: max-age=60, no-transform", "Content-Encoding: gzip"), "no-transform"),
        (("Expires: 0",), "stale"),
    ],
)
def test_an_answer_that_may_not_be_kept_is_handed_out_and_forgotten(
    lines: tuple[str, ...], why: str, chunked: bool
) -> None:
    async def story(site: Site) -> None:
        for client in (1, 2, 3):
            reply = await site.get(client=client)
            assert reply["x-cache"] == "miss"
            assert reply["cache-status"] == f"thrust; fwd=uri-miss; detail={why}"
            assert reply.body == b"content"

    stage = on_site(story, *[answer(*lines, chunked=chunked)] * 3, read_bytes=20 if chunked else 9999)
    assert {(e.cache, e.cache_detail) for e in stage.exchanges} == {("miss", why)}


@pytest.mark.parametrize("status", [206, 304, 401, 407, 412, 416, 425, 428, 429, 500, 503])
def test_some_statuses_are_never_kept_or_not_without_a_lifetime(status: int) -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get()
            assert (reply.status, reply["x-cache"]) == (status, "miss")

    lines = ["Cache-Control: max-age=60"] if status not in (401, 500, 503) else []
    on_site(story, *[answer(*lines, status=status)] * 2)


@pytest.mark.parametrize(
    "lines, detail",
    [
        (["Cache-Control: no-store"], "request-no-store"),
        (["Authorization: Basic x"], "authorization"),
        (["Range: bytes=0-1"], "range"),
    ],
)
def test_what_one_client_asked_for_itself_is_for_nobody_else(lines: list[str], detail: str) -> None:
    async def story(site: Site) -> None:
        assert (await site.get("/a", *lines))["cache-status"] == f"thrust; fwd=uri-miss; detail={detail}"
        assert (await site.get())["x-cache"] == "miss"
        assert (await site.get())["x-cache"] == "hit"

    on_site(story, *[answer("Cache-Control: max-age=60")] * 2)


@pytest.mark.parametrize("directive", ["public", "must-revalidate", "s-maxage=60"])
def test_what_was_asked_for_with_credentials_is_kept_if_the_worker_says_so(directive: str) -> None:
    async def story(site: Site) -> None:
        await site.get("/a", "Authorization: Basic x")
        assert (await site.get())["x-cache"] == "hit"

    on_site(story, answer(f"Cache-Control: max-age=60, {directive}"))


def test_a_get_with_content_passes_by(talk: Converse) -> None:
    """What is in the content is not in the key: the answer is for that client, in both directions."""
    stage = talk(
        r"""
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 4
        client >>
        client >> evil\
        worker << GET /a HTTP/1.1
        worker << ...
        worker << content-length: 4
        worker << ...
        worker <<
        worker << evil\
        worker >> HTTP/1.1 200 OK
        worker >> Cache-Control: max-age=60
        worker >> Content-Length: 4
        worker >>
        worker >> evil\
        client << HTTP/1.1 200 OK
        client << ...
        client << x-cache: bypass
        client << cache-status: thrust; fwd=bypass; detail=content
        client << ...
        client <<
        client << evil\
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /a HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Cache-Control: max-age=60
        worker >> Content-Length: 4
        worker >>
        worker >> good\
        client << HTTP/1.1 200 OK
        client << ...
        client << x-cache: miss
        client << ...
        client <<
        client << good\
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        --
        client >> 0
        client >>
        worker << GET /a HTTP/1.1
        worker << ...
        worker <<
        worker << 0
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << ...
        client << x-cache: bypass
        client << ...
        client <<
        worker sees the end
        """,
        cache_size_bytes=MB,
    )
    assert [(e.cache, e.cache_detail) for e in stage.exchanges] == [
        ("bypass", "content"),
        ("miss", "stored"),
        ("bypass", "content"),
    ]


def test_a_handshake_passes_by(talk: Converse) -> None:
    stage = talk(
        r"""
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /a HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Cache-Control: max-age=60
        worker >> Content-Length: 0
        worker >>
        client << HTTP/1.1 200 OK
        client << ...
        client <<
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >> Connection: Upgrade
        client >> Upgrade: websocket
        client >> Sec-WebSocket-Version: 13
        client >> Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
        client >>
        worker << GET /a HTTP/1.1
        worker << ...
        worker << upgrade: websocket
        worker << ...
        worker <<
        worker >> HTTP/1.1 101 Switching Protocols
        worker >> Upgrade: websocket
        worker >> Connection: Upgrade
        worker >> Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
        worker >>
        client << HTTP/1.1 101 Switching Protocols
        client << ... (no x-cache)
        client <<
        worker closes
        client sees the end
        """,
        cache_size_bytes=MB,
    )
    assert (stage.exchanges[-1].cache, stage.exchanges[-1].cache_detail) == ("bypass", "upgrade")


@pytest.mark.parametrize("target", ["/up", "/up?x"])
def test_a_probe_always_reaches_the_worker(target: str) -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            assert (await site.get(target))["x-cache"] is None

    on_site(story, *[answer("Cache-Control: max-age=60")] * 2)


@pytest.mark.parametrize(
    "broken",
    [
        b"Content-Length: 10\r\n\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nnonsense\r\n",
    ],
)
@pytest.mark.parametrize("ending", ["close", "reset"])
def test_an_answer_that_broke_off_is_not_stored(broken: bytes, ending: str) -> None:
    async def story(site: Site) -> None:
        site.send()
        await site.stage.settled()
        worker = site.stage.worker()
        worker.take()
        head, end, content = broken.partition(b"\r\n\r\n")
        for data in (b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" + head + end, content):
            worker.send(data)
            await site.stage.settled()
        getattr(worker, ending)()
        await site.settle()
        assert site.stage.client().saw_reset
        site.stage.client().take()
        assert (await site.get(client=2))["x-cache"] == "miss"
        assert (await site.get(client=2))["x-cache"] == "hit"

    stage = on_site(story, answer("Cache-Control: max-age=60"))
    assert stage.exchanges[0].cache_detail == "incomplete"


@pytest.mark.parametrize("target, lines", [("/app-3f9a2c1b7d5e.js", ""), ("/a", "Cache-Control: max-age=60\r\n")])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_what_ends_with_the_connection_may_have_broken_off_and_is_not_stored(
    target: str, lines: str, version: str
) -> None:
    """So a crowd is not made to wait for it either."""
    half = f"HTTP/{version} 200 OK\r\nContent-Type: text/javascript\r\n{lines}\r\nhalf of it".encode()

    async def story(site: Site) -> None:
        for number in range(1, 3):
            site.send(target)
            await site.settle()
            site.stage.worker(number).send(half)
            await site.settle()
            site.stage.worker(number).close()
            await site.settle()
            (reply,) = site.replies()
            assert (reply.body, reply["cache-status"]) == (b"half of it", "thrust; fwd=uri-miss; detail=no-length")
        for client in (1, 2):
            site.send(target, client=client)
        await site.settle()
        assert len(site.take_asked()) == 4

    stage = on_site(story, *[LATER] * 4)
    assert stage.exchanges[0].cache_detail == "no-length"


def test_what_follows_an_answer_unasked_ends_it_unstored() -> None:
    """More than it announced: which of the bytes are the content is anybody's guess."""

    async def story(site: Site) -> None:
        site.send()
        await site.stage.settled()
        site.stage.worker().take()
        site.stage.worker().send(answer("Cache-Control: max-age=60") + b"HTTP/1.1 200 OK\r\n\r\n")
        await site.settle()
        site.stage.client().take()
        assert (await site.get(client=2))["x-cache"] == "miss"

    on_site(story, answer("Cache-Control: max-age=60"))


LIMIT = 5000


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("piece", [LIMIT + 1, 100])
@pytest.mark.parametrize("size, is_stored", [(LIMIT, True), (LIMIT + 1, False)])
def test_a_body_of_the_limit_is_kept_and_one_byte_more_is_not(
    size: int, is_stored: bool, piece: int, chunked: bool
) -> None:
    content = bytes(index % 251 for index in range(size))
    reply = answer("Cache-Control: max-age=60", body=content, chunked=chunked)

    async def story(site: Site) -> None:
        for client in (1,) if is_stored else (1, 2):
            site.send(client=client)
            await site.stage.settled()
            worker = site.stage.worker()
            assert worker.take()
            for start in range(0, len(reply), piece):
                worker.send(reply[start : start + piece])
                await site.stage.settled()
            assert site.replies(client)[0].body == content
        if is_stored:
            assert (await site.get())["x-cache"] == "hit"

    stage = on_site(story, max_cache_item_size_bytes=LIMIT)
    assert stage.exchanges[0].cache_detail == ("stored" if is_stored else "too-large")


def test_a_budget_below_one_answer_stores_nothing() -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get()
            assert reply["cache-status"] == "thrust; fwd=uri-miss; detail=too-large"

    on_site(story, *[answer("Cache-Control: max-age=60", body=b"x" * 9000)] * 2, cache_size_bytes=9000)


def test_what_was_used_least_recently_makes_room() -> None:
    async def story(site: Site) -> None:
        for name in "abcd":
            site.answers.append(answer("Cache-Control: max-age=60", body=b"x" * 20_000))
            await site.get(f"/{name}")
            await site.get("/a")
        assert [(await site.get(f"/{name}"))["x-cache"] for name in "acd"] == ["hit"] * 3
        site.answers.append(answer())
        assert (await site.get("/b"))["x-cache"] == "miss"

    on_site(story, cache_size_bytes=70_000)


def test_other_methods_neither_ask_nor_fill_the_cache() -> None:
    async def story(site: Site) -> None:
        for method in ("OPTIONS", "PROPFIND", "HEAD"):
            site.answers.append(answer("Cache-Control: max-age=60", body=b""))
            await site.get(method=method)
        await site.get()
        for method in ("OPTIONS", "PROPFIND", "REPORT"):
            site.answers.append(answer("Cache-Control: max-age=60", body=b""))
            assert (await site.get(method=method))["cache-status"] == "thrust; fwd=method"
        assert (await site.get())["x-cache"] == "hit"

    on_site(story, answer("Cache-Control: max-age=60"))


def test_a_worker_that_cannot_be_reached_leaves_no_trace() -> None:
    async def story(site: Site) -> None:
        site.stage.pool.give_up("it is broken")
        site.stage.pool.close()
        reply = await site.get()
        assert (reply.status, reply["x-cache"], reply["cache-control"]) == (503, None, "no-store")
        site.stage.open(3002)
        assert (await site.get())["x-cache"] == "miss"

    on_site(story, answer("Cache-Control: max-age=60"))


def test_interim_responses_reach_the_one_who_asked_and_are_not_stored(talk: Converse) -> None:
    stage: Stage = talk(
        r"""
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /a HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 103 Early Hints
        worker >> Link: </a.css>; rel=preload
        worker >> Cache-Control: max-age=60
        worker >>
        client << HTTP/1.1 103 Early Hints
        client << ...
        client <<
        worker >> HTTP/1.1 200 OK
        worker >> Cache-Control: max-age=60
        worker >> Content-Length: 2
        worker >>
        worker >> hi\
        client << HTTP/1.1 200 OK
        client << ... (no link)
        client <<
        client << hi\
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >>
        client << HTTP/1.1 200 OK
        client << ... (no link)
        client << x-cache: hit
        client << ... (no link)
        client <<
        client << hi\
        """,
        cache_size_bytes=MB,
    )
    assert [e.status for e in stage.exchanges] == [200, 200]


def test_pages_of_ours_are_not_stored() -> None:
    async def story(site: Site) -> None:
        site.stage.client().send(request("/a", "Cache-Control: only-if-cached"))
        await site.settle()
        (reply,) = site.replies()
        assert (reply.status, reply["cache-status"]) == (504, "thrust; detail=only-if-cached")
        assert (await site.get())["x-cache"] == "miss"

    on_site(story, answer("Cache-Control: max-age=60"))
