"""Answers out of a stored response: codings are made once, conditions and ranges are answered by what is stored."""

import asyncio
import gzip
import random
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest

from tests.support.background_coding import CoderOnDemand, coding_on_demand
from tests.support.memory_requests import make_request
from thrust.cache import serving
from thrust.cache.freshness import stored_validity
from thrust.cache.serving import Serving
from thrust.cache.store import Store
from thrust.cache.stored import StoredResponse
from thrust.coding.codec import CodingError
from thrust.coding.codings import compress_best, compress_quickly, decompress
from thrust.flow import INLINE_BYTES
from thrust.http.fields import format_date
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Response

T = TypeVar("T")

NOW = 1_800_000_000.0
MODIFIED = format_date(NOW - 1000)
SMALL = b"body { margin: 0 } /* and so on */\n" * 60
LARGE = b"".join(b".c%d { order: %d }\n" % (number, number * 7919 % 1000) for number in range(2200))
NOISE = random.Random(1).randbytes(2000)
HIT: Sequence[FieldLine] = ((b"x-cache", b"hit"),)
PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 5)


class Shelf:
    """A store with one response, and what serves it."""

    def __init__(
        self,
        content: bytes = SMALL,
        *,
        own_coding: bytes = b"identity",
        status: int = 200,
        etag: bytes = b'"v1"',
        is_modified: bool = True,
        codings: Sequence[bytes] = (b"br", b"zstd", b"gzip"),
        cache_control: bytes = b"max-age=60",
    ) -> None:
        assert len(SMALL) < INLINE_BYTES < len(LARGE)
        lines = [(b"content-type", b"text/css"), (b"date", format_date(NOW)), (b"cache-control", cache_control)]
        lines += [(b"etag", etag)] * bool(etag) + [(b"last-modified", MODIFIED)] * is_modified
        lines += [(b"content-encoding", own_coding)] * (own_coding != b"identity")
        validity = stored_validity(200, Headers(lines), requested_at_s=NOW, received_at_s=NOW, is_fingerprinted=False)
        self.stored = StoredResponse(
            (b"/a.css",), status, lines, content, validity, own_coding=own_coding, makeable=codings
        )
        self.store = Store(10_000_000)
        self.store.add(self.stored)
        self.serving = Serving(self.store, codings)

    async def ask(self, method: bytes = b"GET", **fields: bytes) -> Response:
        """The answer to a request with these fields (`_` for `-`)."""
        lines = [(name.replace("_", "-").encode(), value) for name, value in fields.items()]
        return await self.serving.respond(self.stored, make_request(b"/a.css", lines, method=method), HIT)

    @property
    def is_counted_right(self) -> bool:
        return self.store.used_bytes == sum(stored.size_bytes for stored in self.store)


def run(story: Coroutine[Any, Any, T]) -> T:
    """What `story` returns; the background does nothing."""

    async def whole() -> T:
        with coding_on_demand(CoderOnDemand(asyncio.get_running_loop())):
            return await story

    return asyncio.run(whole())


def get(response: Response, name: bytes) -> bytes | None:
    return response.headers.get(name)


def content_of(response: Response) -> bytes:
    """The decoded content."""
    assert isinstance(response.body, bytes)
    coding = get(response, b"content-encoding")
    return response.body if coding is None else decompress(coding, response.body, 1 << 20)


class CountedQuickly:
    """`compress_quickly`, counted, and held until the test lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_held: bool = False) -> None:
        self.calls = 0
        self.begun = threading.Event()
        self.may_end = threading.Event()
        if not is_held:
            self.may_end.set()
        monkeypatch.setattr(serving, "compress_quickly", self)

    def __call__(self, coding: bytes, content: bytes) -> bytes:
        self.calls += 1
        self.begun.set()
        assert self.may_end.wait(PATIENCE_S)
        return compress_quickly(coding, content)


# Codings


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["on the loop", "in a thread"])
@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip"])
def test_each_client_gets_the_content_in_its_coding(content: bytes, coding: bytes) -> None:
    shelf = Shelf(content)
    response = run(shelf.ask(accept_encoding=coding))
    assert get(response, b"content-encoding") == coding
    assert get(response, b"etag") == b'"v1~%b"' % coding
    assert content_of(response) == content
    assert isinstance(response.body, bytes)
    assert len(response.body) < len(content)
    assert shelf.is_counted_right


def test_a_client_that_accepts_nothing_gets_plain_content() -> None:
    shelf = Shelf()
    for fields in ({}, {"accept_encoding": b"identity"}, {"accept_encoding": b"identity;q=0, deflate"}):
        response = run(shelf.ask(**fields))
        assert (get(response, b"content-encoding"), response.body) == (None, SMALL)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["on the loop", "in a thread"])
def test_a_coding_is_made_once_for_all_who_wait(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, quickly = Shelf(content), CountedQuickly(monkeypatch)

    async def story() -> None:
        answers = await asyncio.gather(*(shelf.ask(accept_encoding=b"br") for _ in range(100)))
        assert {content_of(response) for response in answers} == {content}
        await shelf.ask(accept_encoding=b"br")

    run(story())
    assert quickly.calls == 1
    assert shelf.is_counted_right


def test_whoever_leaves_does_not_take_a_coding_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, quickly = Shelf(LARGE), CountedQuickly(monkeypatch, is_held=True)

    async def story() -> Response:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(shelf.ask(accept_encoding=b"br"))
            second = tasks.create_task(shelf.ask(accept_encoding=b"br"))
            assert await asyncio.to_thread(quickly.begun.wait, PATIENCE_S)
            first.cancel()
            await asyncio.sleep(0)
            quickly.may_end.set()
        assert first.cancelled()
        return second.result()

    assert content_of(run(story())) == LARGE
    assert quickly.calls == 1


def test_a_coding_that_everybody_left_is_there_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, quickly = Shelf(LARGE), CountedQuickly(monkeypatch, is_held=True)

    async def story() -> Response:
        only = asyncio.create_task(shelf.ask(accept_encoding=b"gzip"))  # noqa: TID251 - cancelled and awaited below
        assert await asyncio.to_thread(quickly.begun.wait, PATIENCE_S)
        only.cancel()
        await asyncio.wait([only])
        quickly.may_end.set()
        return await shelf.ask(accept_encoding=b"gzip")

    assert content_of(run(story())) == LARGE
    assert quickly.calls == 1


def test_a_coding_that_makes_content_longer_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, quickly = Shelf(NOISE), CountedQuickly(monkeypatch)

    async def story() -> None:
        for _ in range(3):
            response = await shelf.ask(accept_encoding=b"br")
            assert (get(response, b"content-encoding"), get(response, b"etag")) == (None, b'"v1"')
            assert response.body == NOISE

    run(story())
    assert quickly.calls == 1
    assert shelf.stored.unprofitable == {b"br"}


def test_a_response_that_is_dropped_while_it_is_being_coded_is_served_and_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf, quickly = Shelf(LARGE), CountedQuickly(monkeypatch, is_held=True)

    async def story() -> Response:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(shelf.ask(accept_encoding=b"br"))
            assert await asyncio.to_thread(quickly.begun.wait, PATIENCE_S)
            shelf.store.remove(shelf.stored.key)
            quickly.may_end.set()
        return asking.result()

    assert content_of(run(story())) == LARGE
    assert shelf.store.used_bytes == 0


def test_fields_that_change_while_a_coding_is_made_are_those_of_the_coding(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, quickly = Shelf(LARGE), CountedQuickly(monkeypatch, is_held=True)

    async def story() -> Response:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(shelf.ask(accept_encoding=b"br"))
            assert await asyncio.to_thread(quickly.begun.wait, PATIENCE_S)
            before_bytes = shelf.stored.size_bytes
            shelf.stored.update([(b"etag", b'"v1"'), (b"x-new", b"1")], shelf.stored.validity)
            shelf.store.resize(shelf.stored, before_bytes)
            quickly.may_end.set()
        return asking.result()

    assert get(run(story()), b"x-new") == b"1"
    assert shelf.is_counted_right


def test_fields_that_change_just_after_a_coding_was_made_go_with_the_age_that_is_sent() -> None:
    shelf = Shelf(LARGE)
    newer = stored_validity(
        200,
        Headers([(b"cache-control", b"max-age=60")]),
        requested_at_s=NOW,
        received_at_s=NOW + 5,
        is_fingerprinted=False,
    )

    async def story() -> Response:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(shelf.ask(accept_encoding=b"br"))
            async with asyncio.timeout(PATIENCE_S):
                while b"br" not in shelf.stored.renditions:  # noqa: ASYNC110 - in the very turn in which it is there
                    await asyncio.sleep(0)
            assert not asking.done()
            shelf.stored.update([(b"x-new", b"1")], newer)
        return asking.result()

    response = run(story())
    assert (get(response, b"x-new"), get(response, b"age")) == (b"1", b"%d" % newer.age_s(NOW + 5))


def test_the_coding_for_the_next_client_can_be_made_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, quickly = Shelf(), CountedQuickly(monkeypatch)
    assert shelf.serving.at_once(shelf.stored, b"zstd", NOW) is None
    run(shelf.serving.prepare(shelf.stored, Headers([(b"accept-encoding", b"zstd")])))
    assert shelf.serving.at_once(shelf.stored, b"zstd", NOW) is not None
    assert quickly.calls == 1


# The best coding


def test_the_best_coding_takes_the_place_of_the_quick_one() -> None:
    shelf = Shelf(LARGE)

    async def story() -> tuple[Response, Response]:
        coder = CoderOnDemand(asyncio.get_running_loop())
        with coding_on_demand(coder):
            first = await shelf.ask(accept_encoding=b"br")
            coder.work()
            await asyncio.sleep(0)
            return first, await shelf.ask(accept_encoding=b"br")

    first, second = asyncio.run(story())
    assert first.body == compress_quickly(b"br", LARGE)
    assert second.body == compress_best(b"br", LARGE)
    assert first.headers.get(b"etag") == second.headers.get(b"etag")
    assert shelf.is_counted_right


@pytest.mark.parametrize("is_dropped", [True, False])
def test_a_best_coding_that_is_no_better_or_comes_too_late_changes_nothing(
    is_dropped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    best = b"x" if is_dropped else b"x" * len(SMALL)
    monkeypatch.setattr("thrust.cache.recoding.compress_best", lambda coding, content: best)

    async def story() -> None:
        coder = CoderOnDemand(asyncio.get_running_loop())
        with coding_on_demand(coder):
            await shelf.ask(accept_encoding=b"br")
            if is_dropped:
                shelf.store.remove(shelf.stored.key)
            coder.work()
            await asyncio.sleep(0)

    asyncio.run(story())
    assert shelf.stored.renditions[b"br"].body == compress_quickly(b"br", SMALL)
    assert shelf.is_counted_right


# What the worker has coded


def test_the_workers_coding_is_sent_as_it_came_to_whoever_takes_it() -> None:
    coded = gzip.compress(SMALL)
    for codings in ((b"br", b"gzip"), (b"br",), ()):
        shelf = Shelf(coded, own_coding=b"gzip", codings=codings)
        response = run(shelf.ask(accept_encoding=b"br, gzip;q=0.5"))
        assert (response.body, get(response, b"etag")) == (coded, b'"v1"')


def test_the_workers_coding_is_undone_for_whoever_does_not_take_it() -> None:
    shelf = Shelf(gzip.compress(SMALL), own_coding=b"gzip")
    response = run(shelf.ask())
    assert (response.body, get(response, b"content-encoding"), get(response, b"etag")) == (SMALL, None, b'W/"v1"')
    assert get(run(shelf.ask(accept_encoding=b"br")), b"content-encoding") == b"br"
    assert shelf.is_counted_right


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(SMALL)[:-3], gzip.compress(SMALL) + b"x"])
def test_content_that_cannot_be_decoded_is_an_error_for_all_who_wait(content: bytes) -> None:
    shelf = Shelf(content, own_coding=b"gzip")

    async def story() -> list[Response | BaseException]:
        return await asyncio.gather(*(shelf.ask() for _ in range(3)), return_exceptions=True)

    assert [type(answer) for answer in run(story())] == [CodingError] * 3
    assert run(shelf.ask(accept_encoding=b"gzip")).body == content


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_DECODED_BYTES", 10_000)
    shelf = Shelf(gzip.compress(bytes(10_001)), own_coding=b"gzip")
    with pytest.raises(CodingError, match="exceeds 10000 bytes"):
        run(shelf.ask())
    assert run(Shelf(gzip.compress(bytes(10_000)), own_coding=b"gzip").ask()).body == bytes(10_000)


# Conditions (RFC 9110 §13)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"if_none_match": b'"v1"'}, 304),
        ({"if_none_match": b'W/"v1"'}, 304),
        ({"if_none_match": b'"v0", "v1"'}, 304),
        ({"if_none_match": b"*"}, 304),
        ({"if_none_match": b'"v0"'}, 200),
        ({"if_none_match": b'"v0"', "if_modified_since": format_date(NOW)}, 200),
        ({"if_modified_since": MODIFIED}, 304),
        ({"if_modified_since": format_date(NOW - 1001)}, 200),
        ({"if_modified_since": b"yesterday"}, 200),
    ],
)
@pytest.mark.parametrize("accept_encoding", [b"br", b"identity"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_conditions_are_answered_in_every_coding(
    fields: dict[str, bytes], status: int, accept_encoding: bytes, method: bytes
) -> None:
    response = run(Shelf().ask(method, accept_encoding=accept_encoding, **fields))
    assert response.status == status


@pytest.mark.parametrize(
    ("accept_encoding", "status"), [(b"br", 304), (b"gzip, br", 304), (b"gzip", 200), (b"identity", 200)]
)
def test_a_coded_copy_is_confirmed_to_whoever_can_read_it(accept_encoding: bytes, status: int) -> None:
    assert run(Shelf().ask(if_none_match=b'"v1~br"', accept_encoding=accept_encoding)).status == status


def test_a_304_has_the_fields_that_keep_a_client_up_to_date() -> None:
    response = run(Shelf().ask(if_none_match=b'"v1"', accept_encoding=b"br"))
    assert response.body == b""
    assert sorted(response.headers.lines) == [
        (b"age", b"5"),
        (b"cache-control", b"max-age=60"),
        (b"date", format_date(NOW)),
        (b"etag", b'"v1~br"'),
        (b"x-cache", b"hit"),
    ]


def test_without_last_modified_the_date_counts() -> None:
    shelf = Shelf(is_modified=False)
    assert run(shelf.ask(if_modified_since=format_date(NOW))).status == 304
    assert run(shelf.ask(if_modified_since=format_date(NOW - 1))).status == 200


@pytest.mark.parametrize("status", [203, 301, 404, 410, 500])
def test_conditions_and_ranges_are_for_a_200_only(status: int) -> None:
    response = run(Shelf(status=status).ask(if_none_match=b"*", range=b"bytes=0-1"))
    assert (response.status, response.body) == (status, SMALL)


# Ranges (RFC 9110 §14)


@pytest.mark.parametrize(
    ("wanted", "content_range", "content"),
    [
        (b"bytes=0-9", b"bytes 0-9/%d" % len(SMALL), SMALL[:10]),
        (b"bytes=10-", b"bytes 10-%d/%d" % (len(SMALL) - 1, len(SMALL)), SMALL[10:]),
        (b"bytes=-5", b"bytes %d-%d/%d" % (len(SMALL) - 5, len(SMALL) - 1, len(SMALL)), SMALL[-5:]),
        (b"bytes=0-999999", b"bytes 0-%d/%d" % (len(SMALL) - 1, len(SMALL)), SMALL),
    ],
)
@pytest.mark.parametrize("own_coding", [b"identity", b"gzip"])
def test_a_range_is_of_the_plain_content(
    wanted: bytes, content_range: bytes, content: bytes, own_coding: bytes
) -> None:
    shelf = Shelf(SMALL if own_coding == b"identity" else gzip.compress(SMALL), own_coding=own_coding)
    response = run(shelf.ask(range=wanted, accept_encoding=b"br, gzip"))
    assert (response.status, response.body) == (206, content)
    assert get(response, b"content-range") == content_range
    assert get(response, b"content-encoding") is None
    assert get(response, b"age") == b"5"


def test_several_ranges_come_in_parts() -> None:
    response = run(Shelf().ask(range=b"bytes=0-1,5-6"))
    kind, _, boundary = (get(response, b"content-type") or b"").partition(b"; boundary=")
    parts = [
        b"--%b\r\nContent-Type: text/css\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%b\r\n"
        % (boundary, start, stop - 1, len(SMALL), SMALL[start:stop])
        for start, stop in ((0, 2), (5, 7))
    ]
    assert (response.status, kind) == (206, b"multipart/byteranges")
    assert response.body == b"".join(parts) + b"--%b--\r\n" % boundary
    assert get(response, b"content-range") is None


def test_a_range_beyond_the_end_is_refused() -> None:
    response = run(Shelf().ask(range=b"bytes=%d-" % len(SMALL)))
    assert (response.status, response.body, get(response, b"content-range")) == (416, b"", b"bytes */%d" % len(SMALL))


@pytest.mark.parametrize("wanted", [b"bytes=x", b"lines=0-1", b"bytes=0-9999,0-9999"])
def test_a_range_that_does_not_count_brings_everything(wanted: bytes) -> None:
    response = run(Shelf().ask(range=wanted, accept_encoding=b"br"))
    assert (response.status, get(response, b"content-encoding")) == (200, b"br")
    assert content_of(response) == SMALL


def test_a_range_of_head_does_not_count() -> None:
    assert run(Shelf().ask(b"HEAD", range=b"bytes=0-1")).status == 200


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (b'"v1"', 206),
        (b'"v1~br"', 200),
        (b'W/"v1"', 200),
        (b'"v0"', 200),
        (format_date(NOW), 200),
        (b"garbage", 200),
    ],
)
def test_if_range_wants_the_very_same_content(if_range: bytes, status: int) -> None:
    assert run(Shelf().ask(range=b"bytes=0-1", if_range=if_range, accept_encoding=b"br")).status == status


@pytest.mark.parametrize(
    ("accept_encoding", "status"), [(b"br", 200), (b"identity;q=0, gzip", 200), (b"identity", 206)]
)
def test_a_date_is_the_same_for_all_codings(accept_encoding: bytes, status: int) -> None:
    response = run(Shelf().ask(range=b"bytes=0-1", if_range=MODIFIED, accept_encoding=accept_encoding))
    assert response.status == status


def test_a_condition_is_looked_at_before_the_range() -> None:
    assert run(Shelf().ask(range=b"bytes=0-1", if_none_match=b'"v1"')).status == 304


# At once


def test_what_is_prepared_is_the_same_answer() -> None:
    shelf = Shelf()
    at_once = shelf.serving.at_once(shelf.stored, b"identity", NOW + 5)
    asked = run(shelf.ask(accept_encoding=b"identity"))
    assert at_once is not None
    assert at_once is shelf.serving.at_once(shelf.stored, b"identity", NOW + 5.9)
    assert (at_once.status, at_once.body) == (asked.status, asked.body)
    assert [line for line in at_once.headers.lines if line[0] != b"cache-status"] == asked.headers.lines


def test_a_coding_that_is_not_there_is_not_made_at_once() -> None:
    shelf = Shelf()
    assert shelf.serving.at_once(shelf.stored, b"br", NOW) is None
    run(shelf.ask(accept_encoding=b"br"))
    response = shelf.serving.at_once(shelf.stored, b"br", NOW)
    assert response is not None
    assert content_of(response) == SMALL


@pytest.mark.parametrize(
    ("cache_control", "now_s"), [(b"max-age=60", NOW + 60), (b"max-age=60, no-cache", NOW), (b"max-age=0", NOW)]
)
def test_what_is_not_fresh_or_has_to_be_validated_is_not_sent_at_once(cache_control: bytes, now_s: float) -> None:
    shelf = Shelf(cache_control=cache_control)
    assert shelf.serving.at_once(shelf.stored, None, now_s) is None


def test_a_second_that_began_fresh_does_not_last_beyond_freshness() -> None:
    shelf = Shelf()
    assert shelf.serving.at_once(shelf.stored, None, NOW + 59.9) is not None
    assert shelf.serving.at_once(shelf.stored, None, NOW + 60) is None
