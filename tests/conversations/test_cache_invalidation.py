"""Unsafe requests end what is stored, and what is being asked for at that moment (RFC 9111 §4.4)."""

import pytest

from tests.support.cached_site import LATER, Site, answer, on_site

KEPT = answer("Cache-Control: max-age=60")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PURGE"])
@pytest.mark.parametrize("status", [200, 204, 303])
def test_an_unsafe_request_ends_what_is_stored(method: str, status: int) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.get("/b")
        reply = await site.get(method=method)
        assert (reply.status, reply["x-cache"], reply["cache-status"]) == (status, "bypass", "thrust; fwd=method")
        assert (await site.get())["x-cache"] == "miss"
        assert (await site.get("/b"))["x-cache"] == "hit"

    on_site(story, KEPT, KEPT, answer(status=status), KEPT)


@pytest.mark.parametrize("method, status", [("POST", 400), ("DELETE", 404), ("PUT", 500), ("OPTIONS", 200)])
def test_what_changed_nothing_ends_nothing(method: str, status: int) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.get(method=method)
        assert (await site.get())["x-cache"] == "hit"

    on_site(story, KEPT, answer(status=status))


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    "reference, is_ended",
    [
        ("/b?c=d", True),
        ("b?c=d", True),
        ("//example.org/b?c=d", True),
        ("http://example.org/b?c=d", True),
        ("http://EXAMPLE.org:80/b?c=d", True),
        ("/b", False),
        ("https://example.org/b?c=d", False),
        ("http://other.example/b?c=d", False),
        ("http://example.org:81/b?c=d", False),
        ("http://[/b", False),
    ],
)
def test_so_does_what_its_answer_points_to_at_the_same_origin(name: str, reference: str, is_ended: bool) -> None:
    async def story(site: Site) -> None:
        await site.get("/b?c=d")
        await site.get("/x", method="POST")
        if is_ended:
            site.answers.append(KEPT)
        assert (await site.get("/b?c=d"))["x-cache"] == ("miss" if is_ended else "hit")

    on_site(story, KEPT, answer(f"{name}: {reference}", status=201))


@pytest.mark.parametrize("host", ["public.example", "internal:3000"])
def test_a_link_is_of_the_same_origin_by_either_name(host: str) -> None:
    """A proxy may ask for `internal:3000` on behalf of those who know us as `public.example`."""
    forwarded = "X-Forwarded-Host: public.example"

    async def story(site: Site) -> None:
        await site.get("/b", forwarded, host="internal:3000")
        await site.get("/x", forwarded, method="POST", host="internal:3000")
        assert (await site.get("/b", forwarded, host="internal:3000"))["x-cache"] == "miss"

    on_site(story, KEPT, answer(f"Location: http://{host}/b", status=303), KEPT)


def test_every_variant_is_ended_for_every_way_to_write_the_host() -> None:
    async def story(site: Site) -> None:
        for language in ("de", "en"):
            site.answers.append(answer("Cache-Control: max-age=60", "Vary: Accept-Language"))
            await site.get("/a", f"Accept-Language: {language}")
        site.answers.append(answer(status=204))
        await site.get(method="POST", host="EXAMPLE.org")
        for language in ("de", "en"):
            site.answers.append(answer("Cache-Control: max-age=60", "Vary: Accept-Language"))
            assert (await site.get("/a", f"Accept-Language: {language}"))["x-cache"] == "miss"

    on_site(story)


def test_the_resource_of_another_host_stays() -> None:
    async def story(site: Site) -> None:
        await site.get(host="other.example")
        await site.get(method="POST")
        assert (await site.get(host="other.example"))["x-cache"] == "hit"

    on_site(story, KEPT, answer(status=204))


NEW = answer("Cache-Control: max-age=60", body=b"new")


@pytest.mark.parametrize("change_at", ["head", "body"])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_was_asked_for_before_the_change_is_not_stored(change_at: str, chunked: bool) -> None:
    """The worker may have made it before or after; who asked gets it, nobody else."""
    old = answer("Cache-Control: max-age=60", body=b"old", chunked=chunked)

    async def story(site: Site) -> None:
        site.send()
        await site.settle()
        half = len(old) - 4 if change_at == "body" else 0
        site.stage.worker().send(old[:half])
        site.send(client=2)
        await site.settle()
        await site.get(method="POST", client=3)
        site.stage.worker().send(old[half:])
        await site.settle()
        assert site.replies()[0].body == b"old"
        assert site.replies(2)[0].body == b"new"
        assert (await site.get()).body == b"new"
        assert len(site.take_asked()) == 3

    on_site(story, LATER, answer(status=204), NEW)


def test_nor_what_was_asked_for_alone_or_is_known_to_be_for_one() -> None:
    """Not only requests that others wait for, see `Hints.is_page`."""

    async def story(site: Site) -> None:
        await site.get()
        site.send()
        await site.settle()
        site.send("/a", "Authorization: x", client=2)
        await site.settle()
        await site.get(method="POST", client=3)
        for number in (1, 2):
            site.stage.worker(number).send(answer("Cache-Control: public, max-age=60", body=b"old"))
        await site.settle()
        assert [site.replies(client)[0].body for client in (1, 2)] == [b"old", b"old"]
        assert (await site.get()).body == b"new"

    on_site(story, answer(), LATER, LATER, answer(status=204), NEW)


def test_what_is_asked_for_after_the_change_is_stored() -> None:
    async def story(site: Site) -> None:
        await site.get(method="POST")
        await site.get()
        assert (await site.get()).body == b"new"

    on_site(story, answer(status=204), NEW)


def test_a_change_ends_a_validation_under_way() -> None:
    """What the worker confirmed may be what was there before."""

    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(61)
        site.send()
        await site.settle()
        await site.get(method="POST", client=3)
        site.stage.worker(2).send(answer(status=304))
        await site.settle()
        assert site.replies()[0].body == b"old"
        assert (await site.get()).body == b"new"

    stale = answer("Cache-Control: max-age=60, stale-if-error=99", 'ETag: "1"', body=b"old")
    on_site(story, stale, LATER, answer(status=204), NEW)


def test_what_was_ended_does_not_come_back_when_the_worker_fails() -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(61)
        site.send()
        await site.settle()
        await site.get(method="POST", client=3)
        site.stage.worker(2).send(answer(status=500))
        await site.settle()
        assert site.replies()[0].status == 500

    on_site(story, answer("Cache-Control: max-age=60, stale-if-error=99", 'ETag: "1"'), LATER, answer(status=204))
