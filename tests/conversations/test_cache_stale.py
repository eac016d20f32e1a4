"""Stale responses that are sent all the same: the worker fails, or validates them in the background (RFC 5861)."""

import pytest

from tests.support.cached_site import LATER, Site, answer, on_site
from tests.support.wall_clock import http_date

BODY = b"body { color: green }\n" * 100


def stylesheet(cache_control: str, etag: str = '"1"', body: bytes = BODY) -> bytes:
    return answer(f"Cache-Control: {cache_control}", "Content-Type: text/css", f"ETag: {etag}", body=body)


# stale-if-error

FORGIVING = stylesheet("max-age=10, stale-if-error=60")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_of_the_worker_is_covered_up(status: int) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(69)
        reply = await site.get()
        assert (reply.status, reply["age"], reply.body) == (200, "69", BODY)
        assert reply["cache-status"] == f"thrust; fwd=stale; fwd-status={status}; detail=stale-if-error"
        assert (await site.get())["cache-status"] == "thrust; hit; ttl=-59; detail=stale-if-error"
        await site.pass_time(1)
        assert (await site.get()).status == status

    stage = on_site(story, FORGIVING, *[answer(status=status)] * 2)
    assert [e.cache_detail for e in stage.exchanges[1:3]] == ["stale-if-error"] * 2


@pytest.mark.parametrize("status", [404, 410, 429, 501])
def test_what_is_no_failure_of_the_worker_is_told(status: int) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        assert (await site.get()).status == status

    on_site(story, FORGIVING, answer(status=status))


@pytest.mark.parametrize("how", ["gives nothing", "is gone", "sends garbage", "says nothing"])
def test_a_worker_that_fails_is_covered_up(how: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        if how == "is gone":
            site.stage.pool.give_up("it is broken")
            site.stage.pool.close()
        site.send()
        await site.stage.settled()
        if how != "is gone":
            site.stage.worker(2).take()
        if how == "gives nothing":
            site.stage.worker(2).close()
        if how == "sends garbage":
            site.stage.worker(2).send(b"nonsense\r\n\r\n")
        if how == "says nothing":
            await site.stage.pass_time(5)
        await site.stage.settled()
        (reply,) = site.replies()
        assert (reply.status, reply["x-cache"], reply.body) == (200, "hit", BODY)
        assert (await site.get())[
            "cache-status"
        ] == f"thrust; hit; ttl={10 - int(reply['age'] or 0)}; detail=stale-if-error"

    stage = on_site(story, FORGIVING, worker_timeout_s=5)
    assert stage.exchanges[1].cache_detail == "stale-if-error"
    assert bool(stage.exchanges[1].error) is (how != "is gone")


def test_while_no_worker_is_ready_nobody_waits_for_one() -> None:
    """A worker that is being restarted would be asked in a minute (RFC 5861 §4)."""

    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        site.stage.pool.close()
        reply = await site.get()
        assert (reply.body, reply["cache-status"]) == (BODY, "thrust; hit; ttl=-1; detail=stale-if-error")
        site.send("/a", "Cache-Control: no-cache", client=2)
        await site.pass_time(59)
        assert site.replies(2) == []
        site.send(client=3)
        await site.settle()
        assert site.replies(3) == []
        site.answers += [answer(status=304)] * 2
        site.stage.open(3001)
        await site.settle()
        assert [site.replies(client)[0].body for client in (2, 3)] == [BODY] * 2

    stage = on_site(story, FORGIVING, boot_timeout_s=100)
    assert stage.exchanges[1].cache_detail == "stale-if-error"


def test_a_client_can_forgive_an_error_or_not() -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(69)
        site.answers.append(answer(status=500))
        assert (await site.get("/a", "Cache-Control: no-cache")).status == 500
        await site.pass_time(2)
        site.answers += [answer(status=500)] * 2
        assert (await site.get()).status == 500
        assert (await site.get("/a", "Cache-Control: stale-if-error=100")).status == 200

    on_site(story, FORGIVING)


def test_a_failing_worker_is_left_in_peace_for_a_second() -> None:
    """Nobody waits for the next failure meanwhile, and then one asks for all."""

    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        for _ in range(3):
            site.answers.append(answer(status=503))
            for client in range(1, 11):
                site.send(client=client)
            await site.settle()
            assert [site.replies(client)[0].body for client in range(1, 11)] == [BODY] * 10
            await site.pass_time(1)
        site.answers.append(answer(status=304))
        assert (await site.get())["cache-status"] == "thrust; fwd=stale; fwd-status=304"

    on_site(story, FORGIVING)


# stale-while-revalidate

LENIENT = stylesheet("max-age=10, stale-while-revalidate=60")


@pytest.mark.parametrize("line", ["Accept: x", "Range: bytes=0-1", 'If-None-Match: "1"', "Cache-Control: max-stale=0"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_validated_in_the_background_is_sent_at_once(line: str, method: str) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        for client in range(1, 11):
            site.send("/a", line, method=method, client=client)
        await site.settle()
        for client in range(1, 11):
            (reply,) = site.replies(client, is_head=method == "HEAD")
            assert (reply["age"], reply["cache-status"]) == ("11", "thrust; hit; ttl=-1")
        (_, asked) = site.take_asked()
        assert (asked.start, asked["if-none-match"]) == ("GET /a HTTP/1.1", '"1"')
        assert (asked["range"], asked["cache-control"]) == (None, None)
        site.stage.worker(2).send(answer(f"Date: {http_date(11)}", status=304))
        await site.settle()
        assert (await site.get())["age"] == "0"

    stage = on_site(story, LENIENT, LATER)
    assert stage.exchanges[1].cache_detail == "stale-while-revalidate"


def test_a_new_answer_comes_in_the_background_too_streamed_or_not() -> None:
    async def story(site: Site) -> None:
        await site.get()
        for body in (b"first", b"second"):
            await site.pass_time(11)
            site.answers.append(
                stylesheet("max-age=10, stale-while-revalidate=60", etag='"2"', body=body)
                if body == b"first"
                else answer("Cache-Control: max-age=10", body=body, chunked=True)
            )
            assert (await site.get())["age"] == "11"
            assert (await site.get()).body == body

    on_site(story, LENIENT, read_bytes=5)


def test_a_background_validation_that_fails_is_tried_again() -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        for reply in (answer(status=500), answer(status=304)):
            site.answers.append(reply)
            assert (await site.get())["age"] == "11"
            await site.settle()
        assert (await site.get())["age"] == "0"

    on_site(story, LENIENT)


def test_the_window_ends() -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(70)
        assert (await site.get())["age"] == "0"

    on_site(story, LENIENT, answer(status=304))
