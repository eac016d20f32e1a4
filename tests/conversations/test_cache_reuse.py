"""What is stored answers later requests, byte for byte and by both doors; rules are in tests/cache/test_policy.py."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.cached_site import LATER, Site, answer, on_site, request
from tests.support.conversation import Stage
from tests.support.wall_clock import http_date

MB = 1 << 20


def test_the_second_client_is_answered_from_memory(talk: Converse) -> None:
    stage = talk(
        r"""
        client >> GET /a?b=c HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /a?b=c HTTP/1.1
        worker << host: example.org
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Type: text/plain
        worker >> Cache-Control: max-age=60
        worker >> ETag: "1"
        worker >> Content-Length: 5
        worker >>
        worker >> hello\
        client << HTTP/1.1 200 OK
        client << content-type: text/plain
        client << cache-control: max-age=60
        client << etag: "1"
        client << ... (no age)
        client << x-cache: miss
        client << cache-status: thrust; fwd=uri-miss; stored
        client << ... (no age)
        client << content-length: 5
        client <<
        client << hello\
        10 s pass
        worker sees the end
        client-2 >> GET /a?b=c HTTP/1.1
        client-2 >> Host: example.org
        client-2 >>
        client-2 << HTTP/1.1 200 OK
        client-2 << content-type: text/plain
        client-2 << cache-control: max-age=60
        client-2 << etag: "1"
        client-2 << date: Fri, 15 Jan 2027 08:00:00 GMT
        client-2 << accept-ranges: bytes
        client-2 << age: 10
        client-2 << x-cache: hit
        client-2 << cache-status: thrust; hit; ttl=50
        client-2 << content-length: 5
        client-2 <<
        client-2 << hello\
        """,
        cache_size_bytes=MB,
    )
    assert [(e.cache, e.cache_detail, e.status, e.body_bytes) for e in stage.exchanges] == [
        ("miss", "stored", 200, 5),
        ("hit", "", 200, 5),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: max-stale"],
        ["Cache-Control: max-age=60"],
        ["Cache-Control: only-if-cached"],
        ["Cache-Control: no-store"],
        ["Pragma: x"],
        ['If-None-Match: "other"'],
        ['If-Range: "other"', "Range: bytes=0-1"],
        ["Range: lines=0-1"],
        ["Accept: a", "Accept: b"],
    ],
)
@pytest.mark.parametrize("coding", ["", "br", "gzip"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_both_doors_give_the_same_bytes(lines: list[str], coding: str, method: str) -> None:
    """A plain request is answered at once, any other is looked at first."""
    wanted = [f"Accept-Encoding: {coding}"] if coding else []

    async def story(site: Site) -> None:
        await site.get("/a", *wanted)
        await site.pass_time(1.5)
        assert site.stage.front.at_once is not None
        for lines_now, client in (([], 2), (lines, 3)):
            site.send("/a", *wanted, *lines_now, method=method, client=client)
        await site.settle()
        plain, other = site.stage.client(2).take(), site.stage.client(3).take()
        assert b"\r\nage: 1\r\nx-cache: hit\r\n" in plain
        assert plain == other

    reply = answer("Cache-Control: max-age=9", "Content-Type: text/css", 'ETag: "1"', body=b"a { color: red }\n" * 200)
    on_site(story, reply, compression=("br", "gzip"))


@pytest.mark.parametrize("size", [0, 1, 5, 100_000])
@pytest.mark.parametrize("methods", [("GET", "HEAD"), ("HEAD", "GET")])
@pytest.mark.parametrize("lines", [(), ("Cache-Control: max-stale",)])
def test_head_and_get_agree_and_get_is_framed(size: int, methods: tuple[str, str], lines: tuple[str, ...]) -> None:
    async def story(site: Site) -> None:
        await site.get()
        for method in methods:
            reply = await site.get(method=method)
            assert reply["content-length"] == str(size)
            assert reply["x-cache"] == "hit"
            assert len(reply.body) == (size if method == "GET" else 0)

    on_site(story, answer("Cache-Control: max-age=9", body=b"x" * size))


def test_age_counts_what_came_before() -> None:
    """Age of the worker, or of a cache behind it, or a Date in the past: the largest counts (RFC 9111 §4.2.3)."""

    async def story(site: Site) -> None:
        site.answers.append(answer("Cache-Control: max-age=60", "Age: 20"))
        reply = await site.get("/age")
        assert (reply["age"], reply["x-cache"]) == ("20", "miss")
        site.answers.append(answer("Cache-Control: max-age=60", f"Date: {http_date(-30)}"))
        await site.get("/date")
        await site.pass_time(5)
        assert (await site.get("/age"))["age"] == "25"
        reply = await site.get("/date")
        assert (reply["age"], reply["date"], reply["cache-status"]) == ("35", http_date(-30), "thrust; hit; ttl=25")
        site.answers.append(answer("Cache-Control: max-age=60", "Age: 70"))
        await site.get("/old")
        site.answers.append(answer("Cache-Control: max-age=60", "Age: 70"))
        assert (await site.get("/old"))["x-cache"] == "miss"

    on_site(story)


def test_what_passes_anew_says_nothing_of_an_age() -> None:
    async def story(site: Site) -> None:
        assert (await site.get())["age"] is None
        assert (await site.get("/stream"))["age"] is None

    on_site(
        story, answer("Cache-Control: max-age=60"), answer("Cache-Control: max-age=60", chunked=True), read_bytes=20
    )


@pytest.mark.parametrize("after_s, x_cache", [(9.9, "hit"), (10, "miss")])
def test_freshness_ends_to_the_second(after_s: float, x_cache: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(9.5)
        assert (await site.get())["age"] == "9"
        await site.pass_time(after_s - 9.5)
        if x_cache == "miss":
            site.answers.append(answer())
        assert (await site.get())["x-cache"] == x_cache

    on_site(story, answer("Cache-Control: max-age=10"))


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 302, 307, 308, 403, 404, 405, 410, 414, 500, 501, 503])
def test_every_status_with_a_lifetime_is_kept(status: int) -> None:
    async def story(site: Site) -> None:
        first = await site.get()
        second = await site.get()
        assert (first.status, second.status, second["x-cache"]) == (status, status, "hit")
        assert (second["location"], second.body) == ("/b", first.body)
        assert (await site.get(method="HEAD"))["content-length"] == first["content-length"]

    on_site(story, answer("Cache-Control: max-age=60", "Location: /b", status=status))


def test_a_fingerprinted_asset_is_kept_without_a_word_from_the_worker() -> None:
    async def story(site: Site) -> None:
        for target in ("/assets/app-3f9a2c1b.js", "/static/app.d41d8cd98f00.css?x", "/app.js?v=3f9a2c1b"):
            site.answers.append(answer("Content-Type: text/javascript"))
            await site.get(target)
            await site.pass_time(86_400 * 30)
            assert (await site.get(target))["x-cache"] == "hit"
        site.answers += [answer("Content-Type: text/javascript")] * 2
        await site.get("/assets/app-settings.js")
        reply = await site.get("/assets/app-settings.js")
        assert reply["cache-status"] == "thrust; fwd=uri-miss; detail=no-freshness"

    on_site(story)


def test_requests_that_are_pipelined_are_answered_in_order() -> None:
    async def story(site: Site) -> None:
        for name in "ab":
            site.answers.append(answer("Cache-Control: max-age=60", body=name.encode()))
            await site.get(f"/{name}")
        site.answers.append(answer(body=b"c"))
        site.stage.client().send(b"".join(request(f"/{name}") for name in "abbaacab"))
        await site.settle()
        assert b"".join(reply.body for reply in site.replies()) == b"abbaacab"

    stage = on_site(story)
    assert [e.cache for e in stage.exchanges[2:]] == ["hit"] * 5 + ["miss"] + ["hit"] * 2


def test_a_hit_closes_the_connection_for_whoever_wants_it(talk: Converse) -> None:
    talk(
        r"""
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /a HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Expires: Fri, 15 Jan 2027 08:01:00 GMT
        worker >> Content-Length: 2
        worker >>
        worker >> hi\
        client << HTTP/1.1 200 OK
        client << ...
        client <<
        client << hi\
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >> Connection: close
        client >>
        client << HTTP/1.1 200 OK
        client << ...
        client << x-cache: hit
        client << ...
        client << content-length: 2
        client << connection: close
        client <<
        client << hi\
        client sees the end
        client-2 >> GET /a HTTP/1.0
        client-2 >> Host: example.org
        client-2 >> Connection: keep-alive
        client-2 >>
        client-2 << HTTP/1.1 200 OK
        client-2 << ...
        client-2 << connection: keep-alive
        client-2 <<
        client-2 << hi\
        client-2 >> GET /a HTTP/1.0
        client-2 >> Host: example.org
        client-2 >>
        client-2 << HTTP/1.1 200 OK
        client-2 << ... (no connection)
        client-2 << connection: close
        client-2 <<
        client-2 << hi\
        client-2 sees the end
        """,
        cache_size_bytes=MB,
    )


def test_a_shutdown_waits_until_a_hit_has_been_taken() -> None:
    async def story(site: Site) -> None:
        await site.get()
        client, pipelining = site.stage.client(2), site.stage.client(3)
        client.stop_reading()
        client.send(request("/a"))
        pipelining.send(request("/b") + request("/a"))
        await site.settle()
        site.stage.listener.stop_accepting()
        await site.settle()
        assert site.stage.client().saw_end
        assert site.stage.front.busy == 2
        client.read_on()
        site.stage.worker().send(answer())
        await site.settle()
        assert [(reply.body, reply["connection"]) for reply in site.replies(2)] == [(body, None)]
        assert [reply["connection"] for reply in site.replies(3)] == ["close"]
        assert client.saw_end and pipelining.saw_end and not site.stage.front.busy

    body = b"x" * 100_000
    on_site(story, answer("Cache-Control: max-age=60", body=body), LATER)


def test_what_is_stored_is_served_while_no_worker_is_there() -> None:
    async def story(site: Site) -> None:
        await site.get()
        site.stage.pool.close()
        for client in (1, 2):
            assert (await site.get(client=client))["x-cache"] == "hit"
        assert (await site.get("/a", "Cache-Control: max-age=60"))["x-cache"] == "hit"
        site.send("/b")
        await site.pass_time(1)
        assert site.replies() == []
        site.stage.open(3002)
        await site.settle()
        assert site.replies()[0].body == b"b"
        assert (await site.get())["x-cache"] == "hit"

    on_site(story, answer("Cache-Control: max-age=60"), answer(body=b"b"))


def test_a_client_that_does_not_read_its_hits_gets_no_more_of_them() -> None:
    async def story(site: Site) -> None:
        await site.get()
        client = site.stage.client(2)
        client.stop_reading()
        client.send(request("/a") * 50)
        await site.settle()
        assert client.transport.max_buffered_bytes < 3 * len(body)
        client.read_on()
        await site.settle()
        assert [reply.body for reply in site.replies(2)] == [body] * 50

    body = b"x" * 100_000
    on_site(story, answer("Cache-Control: max-age=60", body=body))


def test_the_log_says_what_the_cache_did_and_why() -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            await site.get()
        site.answers += [answer("Cache-Control: private"), answer(), answer(), answer(status=304)]
        await site.get("/private")
        await site.get("/a", method="POST")
        await site.get("/a", "If-Match: *")
        await site.get("/a", "Cache-Control: only-if-cached")
        await site.get("/b", "If-None-Match: x")

    stage = on_site(story, answer("Cache-Control: max-age=60"))
    assert [(e.cache, e.cache_detail) for e in stage.exchanges] == [
        ("miss", "stored"),
        ("hit", ""),
        ("miss", "private"),
        ("bypass", "method"),
        ("bypass", "request"),
        ("miss", "only-if-cached"),
        ("miss", "status-304"),
    ]


def test_a_cache_of_nothing_is_no_cache() -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get()
            assert (reply["x-cache"], reply["cache-status"]) == (None, None)

    stage: Stage = on_site(story, *[answer("Cache-Control: max-age=60")] * 2, cache_size_bytes=0)
    assert [e.cache for e in stage.exchanges] == ["", ""]
