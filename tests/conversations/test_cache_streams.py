"""Answers that stream while they are collected: who waits for whom, and how much memory that may take."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.cached_site import LATER, Site, answer, on_site, request
from tests.support.memory_transport import READ_BYTES
from thrust.flow import STREAM_HIGH_WATER_BYTES

HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n"
PIECE = bytes(range(256)) * 256  # 64 KB
BRIEFLY_BYTES = STREAM_HIGH_WATER_BYTES + READ_BYTES
"""What may have been received of one body and not yet been consumed."""


async def lead(site: Site, size: int, *, client: int = 1, worker: int = 1, target: str = "/a") -> None:
    """A client asks, and the worker begins an answer of `size` bytes."""
    site.send(target, client=client)
    await site.settle()
    site.stage.worker(worker).send(HEAD % size)
    await site.settle()


def test_the_first_client_reads_as_it_comes_and_the_others_when_it_is_complete(talk: Converse) -> None:
    talk(
        r"""
        client >> GET /a HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /a HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Cache-Control: max-age=60
        worker >> Trailer: X-Sum
        worker >> Transfer-Encoding: chunked
        worker >>
        client << HTTP/1.1 200 OK
        client << ...
        client <<
        client-2 >> GET /a HTTP/1.1
        client-2 >> Host: example.org
        client-2 >>
        worker >> 3
        worker >> one
        client <~ one
        1 s pass
        client-2 sees nothing
        worker >> 3
        worker >> two
        worker >> 0
        worker >> X-Sum: 6
        worker >>
        client <~ two
        client << 0
        client << x-sum: 6
        client <<
        client-2 << HTTP/1.1 200 OK
        client-2 << ...
        client-2 << age: 1
        client-2 << x-cache: hit
        client-2 << ...
        client-2 << content-length: 6
        client-2 <<
        client-2 << onetwo\
        """,
        cache_size_bytes=1 << 20,
    )


def test_nobody_waits_for_a_leader_that_does_not_read() -> None:
    size = 8 * len(PIECE)

    async def story(site: Site) -> None:
        site.stage.client().stop_reading()
        await lead(site, size)
        site.send(client=2)
        await site.settle()
        site.stage.worker().send(PIECE * 8)
        await site.settle()
        assert site.replies(2)[0].body == PIECE * 8
        assert (await site.get(client=3))["x-cache"] == "hit"
        site.stage.client().read_on()
        await site.settle()
        assert site.replies(1)[0].body == PIECE * 8

    on_site(story, LATER)


def test_a_leader_that_leaves_in_the_middle_leaves_it_to_those_who_wait() -> None:
    async def story(site: Site) -> None:
        await lead(site, 10)
        site.send(client=2)
        site.stage.worker().send(b"12345")
        await site.settle()
        site.stage.client().reset()
        await site.settle()
        site.stage.worker().send(b"67890")
        await site.settle()
        assert site.replies(2)[0].body == b"1234567890"
        assert (await site.get(client=3))["x-cache"] == "hit"

    on_site(story, LATER)


def test_a_leader_that_leaves_alone_takes_the_request_with_it() -> None:
    """So that a worker whose answer nobody wants hears of it."""

    async def story(site: Site) -> None:
        await lead(site, 10)
        site.stage.worker().send(b"12345")
        await site.settle()
        site.stage.client().reset()
        await site.settle()
        assert site.stage.worker().saw_end or site.stage.worker().saw_reset
        assert (await site.get(client=2))["x-cache"] == "miss"

    on_site(story, LATER, answer("Cache-Control: max-age=60"))


def test_when_all_who_waited_have_left_too_the_worker_hears_of_it() -> None:
    async def story(site: Site) -> None:
        await lead(site, 10)
        for client in (2, 3):
            site.send(client=client)
        await site.settle()
        for client in (1, 2, 3):
            assert not site.stage.worker().saw_end
            site.stage.client(client).reset()
            await site.settle()
        assert site.stage.worker().saw_end or site.stage.worker().saw_reset

    on_site(story, LATER)


def test_a_worker_that_breaks_in_the_middle_is_asked_again_for_those_who_waited() -> None:
    async def story(site: Site) -> None:
        await lead(site, 10)
        for client in (2, 3):
            site.send(client=client)
        site.stage.worker().send(b"12345")
        await site.settle()
        site.stage.worker().close()
        await site.settle()
        assert site.stage.client().saw_reset
        assert site.stage.client().take().endswith(b"\r\n\r\n12345")
        for client in (2, 3):
            assert site.replies(client)[0].body == b"content"
        assert len(site.take_asked()) == 2

    stage = on_site(story, LATER, answer("Cache-Control: max-age=60"))
    assert [(e.cache_detail, bool(e.error)) for e in stage.exchanges][0] == ("incomplete", True)


LIMIT = 100_000


def test_what_turns_out_too_large_streams_on_to_the_leader_at_its_own_pace() -> None:
    pieces = 40
    data = answer("Cache-Control: max-age=60", body=PIECE * pieces, chunked=True)

    async def story(site: Site) -> None:
        client = site.stage.client()
        client.stop_reading()
        site.send()
        site.send(client=2)
        await site.settle()
        worker = site.stage.worker()
        for start in range(0, len(data), len(PIECE)):
            worker.send(data[start : start + len(PIECE)])
            await site.stage.settled()
        assert len(data) - len(worker.transport.incoming) <= LIMIT + 3 * BRIEFLY_BYTES
        assert not worker.transport.is_reading()
        await site.settle()
        assert [asked.target for asked in site.take_asked()] == ["/a", "/a"]
        assert site.replies(2)[0].body == b"content"
        for _ in range(2 * pieces):
            client.read(len(PIECE))
            await site.stage.pass_time(20)
        client.read_on()
        await site.settle()
        assert site.replies()[0].body == PIECE * pieces
        assert client.transport.max_buffered_bytes <= LIMIT + 3 * BRIEFLY_BYTES

    stage = on_site(story, LATER, answer(body=b"content"), max_cache_item_size_bytes=LIMIT)
    assert [e.cache_detail for e in stage.exchanges] == ["no-freshness", "too-large"]


def test_what_says_that_it_is_too_large_is_not_collected_at_all() -> None:
    async def story(site: Site) -> None:
        site.stage.client().stop_reading()
        await lead(site, 5_000_000)
        site.send(client=2)
        await site.settle()
        assert len(site.take_asked()) == 2
        worker = site.stage.worker()
        for _ in range(20):
            worker.send(PIECE)
            await site.stage.settled()
        assert 20 * len(PIECE) - len(worker.transport.incoming) <= 3 * BRIEFLY_BYTES

    on_site(story, LATER, LATER)


def test_bodies_that_are_collected_have_room_within_a_share_of_the_budget() -> None:
    """A fourth of it, here that of four bodies. Who finds none streams on, and is not stored."""
    budget = 4 * 4 * LIMIT

    async def story(site: Site) -> None:
        for client in range(1, 11):
            await lead(site, LIMIT, client=client, worker=client, target=f"/{client}")
        for client in range(1, 11):
            site.stage.worker(client).send(b"x" * (LIMIT - 1))
            await site.settle()
        for client in range(1, 11):
            site.stage.worker(client).send(b"x")
            await site.settle()
            assert site.replies(client)[0].body == b"x" * LIMIT
        assert [(await site.get(f"/{client}"))["x-cache"] for client in range(1, 5)] == ["hit"] * 4
        site.answers.append(answer("Cache-Control: max-age=60", body=b"x" * LIMIT, chunked=True))
        for client in (1, 2):
            site.send("/5", client=client)
        await site.settle()
        assert [site.replies(client)[0]["x-cache"] for client in (1, 2)] == ["miss", "hit"]

    stage = on_site(story, *[LATER] * 10, cache_size_bytes=budget, max_cache_item_size_bytes=LIMIT)
    assert [e.cache_detail for e in stage.exchanges[:10]] == ["stored"] * 4 + ["no-room"] * 6


@pytest.mark.parametrize("leaves", [True, False])
def test_what_a_slow_client_has_not_taken_has_room_within_that_share_too(leaves: bool) -> None:
    """Here that of one body: others are not collected until it has been read, or nobody wants it any more."""
    streamed = answer("Cache-Control: max-age=60", body=b"x" * LIMIT)

    async def story(site: Site) -> None:
        site.stage.client().stop_reading()
        await lead(site, LIMIT)
        site.stage.worker().send(b"x" * LIMIT)
        await site.settle()
        site.answers += [streamed] * 2
        for line in ("thrust; fwd=uri-miss; detail=no-room", "thrust; fwd=uri-miss; stored"):
            assert (await site.get("/b", client=2))["cache-status"] == line
            if leaves:
                site.stage.client().reset()
            else:
                site.stage.client().read_on()
            await site.settle()
        assert [(await site.get(target, client=2))["x-cache"] for target in ("/a", "/b")] == ["hit"] * 2
        assert leaves or site.replies()[0].body == b"x" * LIMIT

    on_site(story, LATER, cache_size_bytes=4 * LIMIT, max_cache_item_size_bytes=LIMIT, read_bytes=4096)


def test_one_body_finds_room_in_the_smallest_cache() -> None:
    async def story(site: Site) -> None:
        await site.get()
        assert (await site.get())["x-cache"] == "hit"

    body = b"x" * LIMIT
    on_site(
        story,
        answer("Cache-Control: max-age=60", body=body, chunked=True),
        cache_size_bytes=LIMIT + 20_000,
        max_cache_item_size_bytes=LIMIT,
        read_bytes=1000,
    )


def test_events_pass_at_once_and_are_not_kept(talk: Converse) -> None:
    stage = talk(
        r"""
        client >> GET /events HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /events HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Type: text/event-stream
        worker >> Cache-Control: no-cache
        worker >> Transfer-Encoding: chunked
        worker >>
        client << HTTP/1.1 200 OK
        client << ...
        client <<
        worker >> 9
        worker >> data: a\n\n
        client <~ data: a\n\n
        250 s pass
        client-2 >> GET /events HTTP/1.1
        client-2 >> Host: example.org
        client-2 >>
        worker-2 << GET /events HTTP/1.1
        worker-2 << ...
        worker-2 <<
        worker >> 9
        worker >> data: b\n\n
        client <~ data: b\n\n
        client resets
        worker sees the end
        client-2 resets
        worker-2 sees the end
        """,
        cache_size_bytes=1 << 20,
    )
    assert [e.cache_detail for e in stage.exchanges] == ["no-cache", ""]


def test_an_old_client_gets_a_stream_that_is_stored_to_the_end_of_the_connection() -> None:
    async def story(site: Site) -> None:
        site.stage.client().send(b"GET /a HTTP/1.0\r\nHost: example.org\r\n\r\n")
        await site.settle()
        assert site.stage.client().take().endswith(b"connection: close\r\n\r\ncontent")
        assert site.stage.client().saw_end
        assert (await site.get(client=2))["x-cache"] == "hit"

    on_site(story, answer("Cache-Control: max-age=60", chunked=True))


def test_the_worker_is_free_before_a_slow_leader_has_read_it_all() -> None:
    async def story(site: Site) -> None:
        site.stage.client().stop_reading()
        await lead(site, 8 * len(PIECE))
        site.stage.worker().send(PIECE * 8)
        await site.settle()
        site.stage.client(2).send(request("/b"))
        await site.settle()
        assert site.replies(2)[0].body == b"b"
        assert len(site.stage.loop.accepted) == 1

    on_site(story, LATER, answer(body=b"b"))
