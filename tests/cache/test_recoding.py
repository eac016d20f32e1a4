"""The background coder: best codings arrive on the event loop, and what nobody wants any more is not coded."""

import asyncio
import threading
from collections.abc import Callable
from weakref import ref

import pytest

from thrust.cache import recoding
from thrust.cache.freshness import stored_validity
from thrust.cache.recoding import BackgroundCoder
from thrust.cache.stored import StoredResponse
from thrust.coding.codings import compress_best, decompress
from thrust.http.headers import Headers

CONTENT = b"body { margin: 0 } " * 100
PATIENCE_S = 10.0


def stored(content: bytes = CONTENT, own_coding: bytes = b"identity") -> StoredResponse:
    validity = stored_validity(200, Headers(), requested_at_s=0, received_at_s=0, is_fingerprinted=False)
    return StoredResponse((b"/",), 200, [], content, validity, own_coding=own_coding)


class Gate:
    """In place of `compress_best`: each job waits until the test lets it through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.contents: list[bytes] = []
        monkeypatch.setattr(recoding, "compress_best", self)

    def __call__(self, coding: bytes, content: bytes) -> bytes:
        self.contents.append(content)
        self.begun.release()
        assert self.may_end.acquire(timeout=PATIENCE_S)
        return b"coded " + content


def results(submit: Callable[[BackgroundCoder, recoding.OnDone], None], count: int) -> list[tuple[bytes, bytes]]:
    """The first `count` codings and results that arrive on an event loop."""

    async def story() -> list[tuple[bytes, bytes]]:
        loop, arrived, enough = asyncio.get_running_loop(), list[tuple[bytes, bytes]](), asyncio.Event()

        def on_done(stored: StoredResponse, coding: bytes, coded: bytes) -> None:
            assert asyncio.get_running_loop() is loop
            arrived.append((coding, coded))
            if len(arrived) == count:
                enough.set()

        submit(BackgroundCoder(loop), on_done)
        async with asyncio.timeout(PATIENCE_S):
            await enough.wait()
        return arrived

    return asyncio.run(story())


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip"])
def test_the_best_coding_arrives_on_the_event_loop(coding: bytes) -> None:
    response = stored()
    [(arrived, coded)] = results(lambda coder, on_done: coder.submit(response, coding, on_done), 1)
    assert (arrived, coded) == (coding, compress_best(coding, CONTENT))
    assert decompress(coding, coded, 10_000) == CONTENT


def test_results_arrive_in_the_order_of_the_jobs() -> None:
    response = stored()

    def submit(coder: BackgroundCoder, on_done: recoding.OnDone) -> None:
        for coding in (b"gzip", b"br", b"zstd"):
            coder.submit(response, coding, on_done)

    assert [coding for coding, _ in results(submit, 3)] == [b"gzip", b"br", b"zstd"]


def test_what_stands_in_line_holds_no_memory_and_is_not_coded_once_it_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(monkeypatch)
    first, dropped, last = stored(b"first"), stored(b"dropped"), stored(b"last")
    watched = ref(dropped)

    def submit(coder: BackgroundCoder, on_done: recoding.OnDone) -> None:
        nonlocal dropped
        coder.submit(first, b"br", on_done)
        assert gate.begun.acquire(timeout=PATIENCE_S)
        coder.submit(dropped, b"br", on_done)
        coder.submit(last, b"br", on_done)
        del dropped
        assert watched() is None
        gate.may_end.release(2)

    assert results(submit, 2) == [(b"br", b"coded first"), (b"br", b"coded last")]
    assert gate.contents == [b"first", b"last"]


def test_a_job_that_is_done_holds_no_memory() -> None:
    responses = [stored(b"x"), stored(b"y")]
    watched = ref(responses[0])

    def submit(coder: BackgroundCoder, on_done: recoding.OnDone) -> None:
        for response in responses:
            coder.submit(response, b"gzip", on_done)

    results(submit, 2)
    del responses[0]
    assert watched() is None


def test_what_is_stored_coded_only_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    coded, plain = stored(own_coding=b"gzip"), stored()

    def submit(coder: BackgroundCoder, on_done: recoding.OnDone) -> None:
        coder.submit(coded, b"br", on_done)
        coder.submit(plain, b"zstd", on_done)

    assert [coding for coding, _ in results(submit, 1)] == [b"zstd"]


def test_a_job_that_fails_is_told_and_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, object]] = []
    response, broken = stored(), stored(b"broken")

    def compress(coding: bytes, content: bytes) -> bytes:
        if content == b"broken":
            raise MemoryError
        return b"coded"

    def submit(coder: BackgroundCoder, on_done: recoding.OnDone) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        coder.submit(broken, b"br", on_done)
        coder.submit(response, b"zstd", on_done)

    monkeypatch.setattr(recoding, "compress_best", compress)
    assert results(submit, 1) == [(b"zstd", b"coded")]
    assert [(context["message"], type(context["exception"])) for context in told] == [
        ("stored content could not be coded in br", MemoryError)
    ]


def test_a_line_that_is_too_long_takes_no_more_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    monkeypatch.setattr(recoding, "MAX_WAITING", 2)
    responses = [stored(b"%d" % number) for number in range(5)]

    def submit(coder: BackgroundCoder, on_done: recoding.OnDone) -> None:
        coder.submit(responses[0], b"br", on_done)
        assert gate.begun.acquire(timeout=PATIENCE_S)  # it is being coded, and stands in line no more
        for response in responses[1:]:
            coder.submit(response, b"br", on_done)
        gate.may_end.release(3)

    assert [coded for _, coded in results(submit, 3)] == [b"coded 0", b"coded 1", b"coded 2"]
    assert gate.contents == [b"0", b"1", b"2"]


def test_a_result_for_an_event_loop_that_is_closed_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, response, loop = Gate(monkeypatch), stored(b"late"), asyncio.new_event_loop()
    coder = BackgroundCoder(loop)
    coder.submit(response, b"br", lambda *result: pytest.fail("nobody listens"))
    assert gate.begun.acquire(timeout=PATIENCE_S)
    loop.close()
    gate.may_end.release()
    coder.submit(response, b"zstd", lambda *result: pytest.fail("nobody listens"))
    assert gate.begun.acquire(timeout=PATIENCE_S)  # the thread is alive
    gate.may_end.release()


def test_no_thread_is_started_before_there_is_a_job() -> None:
    before = threading.active_count()

    async def story() -> None:
        BackgroundCoder(asyncio.get_running_loop())

    asyncio.run(story())
    assert threading.active_count() == before
