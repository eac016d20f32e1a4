"""Many clients, one request to the worker; and nobody waits in vain, or for the slowest."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.cached_site import LATER, Message, Site, answer, on_site
from thrust.coding.codings import compress_quickly

KEPT = answer("Cache-Control: max-age=60")
STREAMED = answer("Cache-Control: max-age=60", chunked=True)
CROWD = 500


async def ask_all(site: Site, clients: range, *lines: str, target: str = "/a") -> None:
    for client in clients:
        site.send(target, *lines, client=client)
    await site.settle()


def bodies(site: Site, clients: range) -> set[bytes]:
    """What the clients have received, one answer each."""
    replies = [site.replies(client) for client in clients]
    assert all(len(reply) == 1 for reply in replies)
    return {reply.plain for (reply,) in replies}


@pytest.mark.parametrize("reply", [KEPT, STREAMED])
def test_a_crowd_costs_the_worker_one_request(reply: bytes) -> None:
    async def story(site: Site) -> None:
        clients = range(1, CROWD + 1)
        await ask_all(site, clients)
        site.stage.worker().send(reply)
        await site.settle()
        assert bodies(site, clients) == {b"content"}
        assert len(site.take_asked()) == 1

    stage = on_site(story, LATER, read_bytes=9999 if reply is KEPT else 20)
    assert [e.cache for e in stage.exchanges].count("hit") == CROWD - 1


def test_a_crowd_that_takes_another_coding_each_costs_one_request() -> None:
    codings = ["br", "gzip", "zstd", "identity"]

    async def story(site: Site) -> None:
        for client in range(1, 41):
            site.send("/assets/app-3f9a2c1b.css", f"Accept-Encoding: {codings[client % 4]}", client=client)
        await site.settle()
        site.stage.worker().send(answer("Content-Type: text/css", body=b"a{}\n" * 1000, chunked=True))
        await site.settle()
        assert bodies(site, range(1, 41)) == {b"a{}\n" * 1000}
        assert len(site.stage.coder.jobs) == 3

    on_site(story, LATER, compression=("br", "zstd", "gzip"), read_bytes=1000)


def test_a_crowd_of_validations_costs_one_request() -> None:
    async def story(site: Site) -> None:
        clients = range(1, 101)
        await site.get()
        await site.pass_time(61)
        await ask_all(site, clients)
        site.stage.worker(2).send(answer(status=304))
        await site.settle()
        assert bodies(site, clients) == {b"content"}
        assert len(site.take_asked()) == 2

    on_site(story, answer("Cache-Control: max-age=60", 'ETag: "1"'), LATER)


def test_a_crowd_that_is_stale_at_once_costs_one_request_more() -> None:
    async def story(site: Site) -> None:
        clients = range(1, 11)
        await ask_all(site, clients)
        site.stage.worker().send(answer("Cache-Control: max-age=0, stale-while-revalidate=60"))
        await site.settle()
        assert bodies(site, clients) == {b"content"}
        assert len(site.take_asked()) == 2

    on_site(story, LATER, KEPT)


def test_each_variant_costs_one_request() -> None:
    """Those who waited for what turns out to be another variant wait for their own."""

    def in_language(asked: Message) -> bytes:
        language = asked["accept-language"] or ""
        return answer("Cache-Control: max-age=60", "Vary: Accept-Language", body=language.encode())

    async def story(site: Site) -> None:
        languages = ["de", "en", "fr"]
        for client in range(1, 91):
            site.send("/a", f"Accept-Language: {languages[client % 3]}", client=client)
        await site.settle()
        for client in range(1, 91):
            assert site.replies(client)[0].body.decode() == languages[client % 3]

    on_site(story, in_language, in_language, in_language)


@pytest.mark.parametrize(
    "reply",
    [
        answer(),
        answer("Cache-Control: max-age=60", "Set-Cookie: a=b"),
        answer("Cache-Control: private, max-age=60", chunked=True),
        answer("Cache-Control: max-age=60", "Vary: *"),
        answer("Cache-Control: no-store"),
        answer("Cache-Control: max-age=60", status=206),
        answer(status=500),
        answer("Cache-Control: max-age=60", body=b"x" * 5001),
    ],
)
def test_an_answer_for_one_releases_all_and_later_ones_do_not_wait(reply: bytes) -> None:
    async def story(site: Site) -> None:
        await ask_all(site, range(1, 11))
        assert len(site.take_asked()) == 1
        site.stage.worker().send(reply)
        await site.settle()
        assert len(site.take_asked()) == 9
        for number in range(1, 10):
            site.stage.worker(number).send(reply)
        await site.settle()
        await ask_all(site, range(11, 21))
        assert len(site.take_asked()) == 10

    on_site(story, *[LATER] * 20, max_cache_item_size_bytes=5000)


@pytest.mark.parametrize("line", ["Authorization: x", "Range: bytes=0-1", "Cache-Control: no-store", "X-Scheme: x"])
def test_who_wants_something_of_its_own_neither_leads_nor_follows(line: str) -> None:
    async def story(site: Site) -> None:
        await ask_all(site, range(1, 6), line)
        assert len(site.take_asked()) == 5
        await ask_all(site, range(6, 11))
        assert len(site.take_asked()) == 1

    on_site(story, *[LATER] * 6)


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache"])
def test_who_wants_validation_leads_but_does_not_follow(line: str) -> None:
    """RFC 9111 §4: requests may share an answer that each of them might have reused."""

    async def story(site: Site) -> None:
        await ask_all(site, range(1, 4), line)
        assert len(site.take_asked()) == 3
        await ask_all(site, range(4, 7))
        assert len(site.take_asked()) == 0
        for number in (1, 2, 3):  # which of them leads depends on how tasks begin
            site.stage.worker(number).send(KEPT)
        await site.settle()
        assert bodies(site, range(4, 7)) == {b"content"}

    on_site(story, *[LATER] * 3)


def test_what_needs_validation_each_time_makes_nobody_wait() -> None:
    async def story(site: Site) -> None:
        await site.get()
        await ask_all(site, range(1, 11))
        assert [asked["if-none-match"] for asked in site.take_asked()] == [None, *['"1"'] * 10]

    on_site(story, answer("Cache-Control: no-cache", 'ETag: "1"'), *[LATER] * 10)


def test_what_turns_out_to_need_validation_is_validated_by_those_who_waited() -> None:
    async def story(site: Site) -> None:
        await ask_all(site, range(1, 4))
        site.answers += [answer(status=304)] * 2
        site.stage.worker().send(answer("Cache-Control: no-cache", 'ETag: "1"'))
        await site.settle()
        assert bodies(site, range(1, 4)) == {b"content"}
        assert [asked["if-none-match"] for asked in site.take_asked()] == [None, '"1"', '"1"']

    on_site(story, LATER)


def test_who_has_a_copy_of_a_page_does_not_lead() -> None:
    """Its answer may be a 304, of no use to the others; nor does that say anything about their answers."""

    async def story(site: Site) -> None:
        site.send("/a", 'If-None-Match: "1"', client=1)
        await site.settle()
        await ask_all(site, range(2, 5))
        assert len(site.take_asked()) == 2
        site.stage.worker(1).send(answer(status=304))
        await site.settle()
        await ask_all(site, range(5, 8))
        site.stage.worker(2).send(KEPT)
        await site.settle()
        assert bodies(site, range(2, 8)) == {b"content"}

    on_site(story, LATER, LATER)


def test_an_answer_that_is_there_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even while its first client waits for a thread that codes it; who finds it too old asks the worker."""

    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(61)
        coded: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(site.stage.loop, "run_in_executor", lambda executor, function: coded)
        await ask_all(site, range(1, 2), "Accept-Encoding: br")
        await ask_all(site, range(2, 3), "Cache-Control: min-fresh=100")
        assert bodies(site, range(2, 3)) == {b"content"}
        coded.set_result(compress_quickly(b"br", large))
        await site.settle()
        assert bodies(site, range(1, 2)) == {large}

    large = b"a { color: red }\n" * 3000
    new = answer("Cache-Control: max-age=60", "Content-Type: text/css", body=large)
    on_site(story, KEPT, new, KEPT, compression=("br",))


# When somebody leaves


@pytest.mark.parametrize("reply", [KEPT, STREAMED])
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_when_the_leader_leaves_its_request_goes_on_for_the_others(leave: str, reply: bytes) -> None:
    """However many of them leave, too, one after the other."""

    async def story(site: Site) -> None:
        clients = range(1, 31)
        await ask_all(site, clients)
        for client in range(1, 11):
            getattr(site.stage.client(client), leave)()
            await site.pass_time(0.4)  # whether it is only half-closed has to be found out first
        site.stage.worker().send(reply)
        await site.settle()
        assert bodies(site, range(11, 31)) == {b"content"}
        assert len(site.take_asked()) == 1

    on_site(story, LATER, read_bytes=9999 if reply is KEPT else 20)


def test_when_all_have_left_the_worker_hears_of_it() -> None:
    async def story(site: Site) -> None:
        await ask_all(site, range(1, 4))
        for client in (1, 3, 2):
            assert not site.stage.worker().saw_end
            site.stage.client(client).reset()
            await site.settle()
        assert site.stage.worker().saw_end
        assert (await site.get(client=4))["x-cache"] == "miss"

    on_site(story, LATER, KEPT)


def test_an_answer_for_one_who_has_left_is_not_given_to_another() -> None:
    private = answer("Cache-Control: private", body=b"private")

    async def story(site: Site) -> None:
        await ask_all(site, range(1, 4))
        site.stage.client(1).reset()
        await site.settle()
        site.stage.worker().send(private)
        await site.settle()
        assert len(site.take_asked()) == 3
        assert bodies(site, range(2, 4)) == {b"own"}

    on_site(story, LATER, *[answer(body=b"own")] * 2)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_error_ends_the_waiting_for_each_other_for_a_moment_only(status: int) -> None:
    async def story(site: Site) -> None:
        site.answers.append(answer(status=status))
        await site.get()
        site.answers += [LATER] * 10
        await site.pass_time(1)
        await ask_all(site, range(1, 11))
        assert len(site.take_asked()) == 2
        site.answers.clear()
        site.stage.worker(1).send(KEPT)
        await site.settle()
        assert bodies(site, range(1, 11)) == {b"content"}

    on_site(story)


def test_one_clients_own_answer_does_not_end_the_waiting_for_what_is_for_all() -> None:
    async def story(site: Site) -> None:
        await site.get()
        site.answers.append(answer("Cache-Control: private"))
        await site.get("/a", "Cache-Control: no-cache")
        await site.pass_time(10)
        site.take_asked()
        site.answers.append(LATER)
        await ask_all(site, range(1, 11))
        assert len(site.take_asked()) == 1
        site.stage.worker(2).send(KEPT)
        await site.settle()
        assert bodies(site, range(1, 11)) == {b"content"}

    on_site(story, answer("Cache-Control: max-age=10"))


def test_followers_may_leave() -> None:
    async def story(site: Site) -> None:
        await ask_all(site, range(1, 21))
        for client in range(2, 21):
            site.stage.client(client).reset()
        await site.settle()
        site.stage.worker().send(KEPT)
        await site.settle()
        assert bodies(site, range(1, 2)) == {b"content"}
        assert (await site.get(client=21))["x-cache"] == "hit"

    stage = on_site(story, LATER)
    assert [e.status for e in stage.exchanges].count(499) == 19


def test_nobody_waits_for_ever() -> None:
    """nginx, too, waits 5 s (proxy_cache_lock_timeout)."""

    async def story(site: Site) -> None:
        await ask_all(site, range(1, 4))
        await site.pass_time(4.9)
        assert len(site.take_asked()) == 1
        site.answers += [answer("Cache-Control: max-age=60", body=b"late")] * 2
        await site.pass_time(0.2)
        assert bodies(site, range(2, 4)) == {b"late"}
        site.stage.worker().send(KEPT)
        await site.settle()
        assert bodies(site, range(1, 2)) == {b"content"}

    on_site(story, LATER)


# When the worker fails


def break_off(site: Site, number: int) -> None:
    site.stage.worker(number).close()


def talk_nonsense(site: Site, number: int) -> None:
    site.stage.worker(number).send(b"nonsense\r\n\r\n")


@pytest.mark.parametrize("fail", [break_off, talk_nonsense])
def test_a_worker_that_breaks_off_is_asked_once_more_for_all(fail: Callable[[Site, int], None]) -> None:
    """It may have been the leader's request that broke it."""

    async def story(site: Site) -> None:
        await ask_all(site, range(1, 11))
        fail(site, 1)
        await site.settle()
        assert len(site.take_asked()) == 2
        site.stage.worker(2).send(KEPT)
        await site.settle()
        assert site.replies(1)[0].status == 502
        assert bodies(site, range(2, 11)) == {b"content"}

    on_site(story, LATER, LATER)


def test_a_worker_that_breaks_off_twice_is_given_up_for_all() -> None:
    async def story(site: Site) -> None:
        await ask_all(site, range(1, 11))
        for number in (1, 2):
            break_off(site, number)
            await site.settle()
        assert [site.replies(client)[0].status for client in range(1, 11)] == [502] * 10
        assert len(site.take_asked()) == 2
        assert (await site.get())["x-cache"] == "miss"

    on_site(story, LATER, LATER, KEPT)


def test_a_worker_that_is_not_there_fails_all_at_once() -> None:
    async def story(site: Site) -> None:
        site.stage.pool.close()
        await ask_all(site, range(1, 11))
        site.stage.pool.give_up("it is broken")
        await site.settle()
        assert [site.replies(client)[0].status for client in range(1, 11)] == [503] * 10

    on_site(story)


def test_a_worker_that_was_silent_is_not_waited_for_twice() -> None:
    async def story(site: Site) -> None:
        await ask_all(site, range(1, 11))
        await site.pass_time(3)
        assert [site.replies(client)[0].status for client in range(1, 11)] == [504] * 10
        assert len(site.take_asked()) == 1

    on_site(story, LATER, worker_timeout_s=3)


def test_a_stale_response_covers_up_for_all_who_waited() -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(11)
        await ask_all(site, range(1, 11))
        site.stage.worker(2).send(answer(status=500))
        await site.settle()
        assert bodies(site, range(1, 11)) == {b"content"}
        assert len(site.take_asked()) == 2

    on_site(story, answer("Cache-Control: max-age=10, stale-if-error=60", 'ETag: "1"'), LATER)
