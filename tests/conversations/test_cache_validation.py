"""Stale responses: confirmed, replaced, or good enough for a client that says so (RFC 9111 §4.3, §5.2)."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.cached_site import Message, Site, answer, on_site

CODINGS = ("br", "gzip")
BODY = b"body { color: green }\n" * 100


def stylesheet(*lines: str, cache_control: str = "max-age=10", body: bytes = BODY) -> bytes:
    return answer(f"Cache-Control: {cache_control}", "Content-Type: text/css", *lines, body=body)


def test_the_worker_confirms_what_is_stale(talk: Converse) -> None:
    stage = talk(
        r"""
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /a HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Cache-Control: max-age=10
        worker >> ETag: "1"
        worker >> Last-Modified: Fri, 15 Jan 2027 07:00:00 GMT
        worker >> X-Version: old
        worker >> X-Kept: yes
        worker >> Content-Length: 5
        worker >>
        worker >> hello\
        client << HTTP/1.1 200 OK
        client << ...
        client <<
        client << hello\
        60 s pass
        worker sees the end
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >> If-None-Match: "mine"
        client >>
        worker-2 << GET /a HTTP/1.1
        worker-2 << host: example.org
        worker-2 << if-none-match: "1"
        worker-2 << if-modified-since: Fri, 15 Jan 2027 07:00:00 GMT
        worker-2 << ... (no if-none-match)
        worker-2 <<
        worker-2 >> HTTP/1.1 304 Not Modified
        worker-2 >> Cache-Control: max-age=20
        worker-2 >> X-Version: new
        worker-2 >>
        client << HTTP/1.1 200 OK
        client << etag: "1"
        client << last-modified: Fri, 15 Jan 2027 07:00:00 GMT
        client << x-kept: yes
        client << ... (no x-version, cache-control)
        client << cache-control: max-age=20
        client << x-version: new
        client << date: Fri, 15 Jan 2027 08:01:00 GMT
        client << age: 0
        client << x-cache: hit
        client << cache-status: thrust; fwd=stale; fwd-status=304
        client << content-length: 5
        client <<
        client << hello\
        19 s pass
        worker-2 sees the end
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >>
        client << HTTP/1.1 200 OK
        client << ...
        client << x-version: new
        client << ...
        client << age: 19
        client << ...
        client <<
        client << hello\
        """,
        cache_size_bytes=1 << 20,
    )
    assert [(e.cache, e.cache_detail) for e in stage.exchanges] == [
        ("miss", "stored"),
        ("hit", "validated"),
        ("hit", ""),
    ]


def test_a_confirmed_response_keeps_its_codings_and_varies_still() -> None:
    """A 304 repeats the Vary of the worker, which knows nothing of what we code (RFC 9110 §15.4.5)."""

    async def story(site: Site) -> None:
        await site.get("/a", "Accept-Encoding: br")
        site.stage.coder.work()
        await site.settle()
        best = await site.get("/a", "Accept-Encoding: br")
        await site.pass_time(11)
        for coding in ("br", "gzip", "identity"):
            reply = await site.get("/a", f"Accept-Encoding: {coding}")
            assert (reply["vary"], reply["x-cache"], reply.plain) == ("origin, accept-encoding", "hit", BODY)
            if coding == "br":
                assert reply.body == best.body
        assert b"br" not in site.stage.coder.codings

    on_site(
        story,
        stylesheet('ETag: "1"', "Vary: origin"),
        answer("Vary: origin", 'ETag: "1"', status=304),
        compression=CODINGS,
    )


def test_a_new_answer_takes_the_place_of_the_old_one() -> None:
    async def story(site: Site) -> None:
        await site.get("/a", "Accept-Encoding: br")
        await site.pass_time(11)
        reply = await site.get("/a", "Accept-Encoding: br")
        assert (reply["cache-status"], reply.plain) == ("thrust; fwd=stale; stored", BODY * 2)
        for coding in CODINGS:
            reply = await site.get("/a", f"Accept-Encoding: {coding}")
            assert (reply.plain, reply["etag"], reply["x-cache"]) == (BODY * 2, f'"2~{coding}"', "hit")

    on_site(story, stylesheet('ETag: "1"'), stylesheet('ETag: "2"', body=BODY * 2), compression=CODINGS)


@pytest.mark.parametrize("news", [["Cache-Control: no-store"], ["Cache-Control: private"], ["Vary: Cookie", "Vary: *"]])
def test_a_confirmation_may_forbid_to_keep_what_it_confirms(news: list[str]) -> None:
    """The client that asked gets the new fields all the same."""

    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        reply = await site.get()
        assert (reply.status, reply.body) == (200, BODY)
        assert f"{news[0].partition(': ')[2]}" in (reply["cache-control"] or "") + (reply["vary"] or "")
        assert (await site.get())["cache-status"] == "thrust; fwd=uri-miss; stored"

    on_site(story, stylesheet('ETag: "1"'), answer(*news, status=304), stylesheet())


def test_a_cookie_in_a_confirmation_is_for_the_one_who_asked() -> None:
    async def story(site: Site) -> None:
        for condition in ([], ['If-None-Match: "1"']):
            await site.get()
            await site.pass_time(11)
            assert (await site.get("/a", *condition))["set-cookie"] == "session=1; HttpOnly"
            assert (await site.get())["set-cookie"] is None

    confirmation = answer("Set-Cookie: session=1; HttpOnly", status=304)
    on_site(story, stylesheet('ETag: "1"'), confirmation, confirmation)


def test_a_confirmation_of_something_else_confirms_nothing() -> None:
    """RFC 9111 §4.3.4: a validator that is not the stored one. The worker is asked once more, for everything."""

    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        reply = await site.get()
        assert (reply.body, reply["x-cache"]) == (b"new", "miss")
        assert [asked["if-none-match"] for asked in site.take_asked()] == [None, '"1"', None]

    on_site(story, stylesheet('ETag: "1"'), answer('ETag: "2"', status=304), stylesheet(body=b"new"))


@pytest.mark.parametrize("last", [answer(), answer("Cache-Control: private"), answer(status=404)])
def test_what_the_worker_no_longer_says_is_forgotten(last: bytes) -> None:
    """Not even an error of the worker brings it back."""

    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        assert (await site.get())["x-cache"] == "miss"
        assert (await site.get()).status == 500

    on_site(story, stylesheet('ETag: "1"', cache_control="max-age=10, stale-if-error=1000"), last, answer(status=500))


@pytest.mark.parametrize("own", ["Set-Cookie: a=b", "Cache-Control: private"])
@pytest.mark.parametrize("is_fresh", [True, False])
def test_what_one_client_got_for_itself_ends_only_what_it_would_have_got(own: str, is_fresh: bool) -> None:
    """And even that stays as long as it is fresh: others may have it without asking."""

    def in_language(asked: Message) -> bytes:
        return answer(
            "Cache-Control: max-age=10", "Vary: Accept-Language", body=(asked["accept-language"] or "").encode()
        )

    async def story(site: Site) -> None:
        await site.get("/a", "Accept-Language: de")
        await site.pass_time(0 if is_fresh else 11)
        await site.get("/a", "Accept-Language: en")
        site.answers.append(answer(own, "Cache-Control: max-age=10", body=b"own"))
        assert (await site.get("/a", "Accept-Language: de", "Cache-Control: no-cache")).body == b"own"
        assert (await site.get("/a", "Accept-Language: en"))["x-cache"] == "hit"
        if not is_fresh:
            site.answers.append(in_language)
        reply = await site.get("/a", "Accept-Language: de", "Cache-Control: max-stale")
        assert (reply["x-cache"], reply.body) == ("hit" if is_fresh else "miss", b"de")

    on_site(story, in_language, in_language)


def test_a_confirmation_that_forbids_to_keep_one_variant_leaves_the_others() -> None:
    async def story(site: Site) -> None:
        for language in ("de", "en"):
            await site.get("/a", f"Accept-Language: {language}")
        site.answers.append(answer("Cache-Control: private", status=304))
        await site.get("/a", "Accept-Language: de", "Cache-Control: no-cache")
        assert (await site.get("/a", "Accept-Language: en"))["x-cache"] == "hit"
        site.answers.append(answer())
        assert (await site.get("/a", "Accept-Language: de"))["x-cache"] == "miss"

    on_site(story, *[answer("Cache-Control: max-age=60", 'ETag: "1"', "Vary: Accept-Language")] * 2)


def test_a_response_without_validator_is_fetched_anew() -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        await site.get("/a", 'If-None-Match: "mine"')
        assert site.take_asked()[-1]["if-none-match"] == '"mine"'

    on_site(story, stylesheet(), answer(status=304))


@pytest.mark.parametrize(
    "directives, why",
    [("no-cache", "stale"), ("max-age=60, no-cache", "request"), ('max-age=60, no-cache="x"', "request")],
)
def test_no_cache_of_the_worker_is_kept_and_validated_each_time(directives: str, why: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        for _ in range(2):
            site.answers.append(answer(status=304))
            assert (await site.get())["cache-status"] == f"thrust; fwd={why}; fwd-status=304"
            assert site.take_asked()[-1]["if-none-match"] == '"1"'

    on_site(story, stylesheet('ETag: "1"', cache_control=directives))


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Pragma: no-cache", "Cache-Control: max-age=0"])
def test_a_client_can_ask_for_validation(line: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        reply = await site.get("/a", line)
        assert (reply["cache-status"], reply.body) == ("thrust; fwd=request; fwd-status=304", BODY)
        (_, asked) = site.take_asked()
        assert (asked["if-none-match"], asked[line.partition(":")[0].lower()]) == ('"1"', line.partition(": ")[2])

    on_site(story, stylesheet('ETag: "1"'), answer(status=304))


@pytest.mark.parametrize(
    "line, after_s, is_hit",
    [
        ("max-age=5", 5, True),
        ("max-age=5", 6, False),
        ("min-fresh=5", 5, True),
        ("min-fresh=5", 6, False),
        ("max-stale", 5000, True),
        ("max-stale=5", 15, True),
        ("max-stale=5", 16, False),
        ("max-age=12, max-stale=5", 12, True),
        ("max-age=11, max-stale=5", 12, False),
        ("only-if-cached", 9, True),
    ],
)
def test_a_client_can_say_how_old_it_may_be(line: str, after_s: int, is_hit: bool) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(after_s)
        if not is_hit:
            site.answers.append(answer(status=304))
        reply = await site.get("/a", f"Cache-Control: {line}")
        assert (reply["age"], reply.body) == (str(after_s) if is_hit else "0", BODY)

    on_site(story, stylesheet('ETag: "1"'))


def test_what_is_stale_does_not_do_for_only_if_cached() -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(10)
        assert (await site.get("/a", "Cache-Control: only-if-cached")).status == 504
        assert (await site.get("/a", "Cache-Control: only-if-cached, max-stale")).status == 200

    on_site(story, stylesheet())


@pytest.mark.parametrize("strict", ["must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache"])
def test_what_must_be_validated_is_never_sent_stale(strict: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        site.answers.append(answer(status=503))
        assert (await site.get("/a", "Cache-Control: max-stale")).status == 503
        site.stage.pool.give_up("it is broken")
        site.stage.pool.close()
        assert (await site.get("/a", "Cache-Control: stale-if-error=60")).status == 503

    on_site(story, stylesheet('ETag: "1"', cache_control=f"max-age=10, stale-if-error=60, {strict}"))
