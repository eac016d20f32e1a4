"""That a conversation can fail: each of these is told wrongly in one place, and has to be found out."""

import asyncio

import pytest

from tests.support.conversation import Stage, converse, perform
from thrust.errors import ThrustError

GET = r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << host: example.org
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 2
        worker >>
        worker >> ok\
"""
ANSWER = r"""
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client <<
        client << ok\
"""

WRONG = {
    "another line": (GET.replace("worker << host: example.org", "worker << host: example.com") + ANSWER, "expected"),
    "an unwanted field": (GET.replace("worker << ...", "worker << ... (no x-real-ip)") + ANSWER, "expected"),
    "a line too few": (GET + ANSWER.replace("client << date: *", ""), "expected"),
    "a line too many": (GET + ANSWER.replace("date: *", "date: *\nclient << connection: close"), "expected"),
    "bytes not spoken of": (GET + ANSWER.partition("client << ok")[0], "client-1 received more: b'ok'"),
    "an answer not spoken of": (GET, "client-1 received more"),
    "silence": (GET + "client sees nothing", "unexpected"),
    "an end that does not come": (GET + ANSWER + "client sees the end", "client sees the end\\?"),
    "a reset that does not come": (GET + ANSWER + "worker sees a reset", "worker sees a reset\\?"),
    "an end not spoken of": (GET + ANSWER + "2 s pass", "worker-1 saw an end"),
    "a reset that is no end": (
        GET.replace("Length: 2", "Length: 5") + ANSWER.replace(": 2", ": 5") + "worker resets\nclient sees the end",
        "client sees the end\\?",
    ),
    "a worker not spoken of": (GET + ANSWER + "client-2 >> GET / HTTP/1.0\nclient-2 >>", "b'GET / HTTP/1.1"),
    "a worker too many": (GET + ANSWER + "worker-2 << hello", "thrust has made 1 connections to the worker, not 2"),
    "content that is not in chunks": (GET + ANSWER.replace("client << ok\\", "client <~ ok"), "expected"),
    "other content": (GET + ANSWER.replace("client << ok\\", "client << OK\\"), "expected"),
}


@pytest.mark.parametrize("text, complaint", WRONG.values(), ids=WRONG)
def test_what_is_told_wrongly_fails(text: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        converse(text)


def test_what_is_told_rightly_does_not() -> None:
    stage = converse(GET + ANSWER)
    assert [exchange.status for exchange in stage.exchanges] == [200]


def test_a_sentence_that_means_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="line 1: unknown sentence 'client dances'"):
        converse("client dances")


def test_a_task_that_is_left_behind_fails() -> None:
    async def story(stage: Stage) -> None:
        stage.tasks = [stage.loop.create_task(asyncio.sleep(10**6))]  # type: ignore[attr-defined]  # kept for the test

    with pytest.raises(AssertionError, match="left behind: {'tasks'"):
        perform(story)


def test_a_connection_that_is_left_behind_fails() -> None:
    async def story(stage: Stage) -> None:
        await stage.pool.dial()
        stage.pool._all.clear()

    with pytest.raises(AssertionError, match="left behind: {'transports that did not lose"):
        perform(story)


def test_an_exception_that_nobody_retrieves_fails() -> None:
    async def story(stage: Stage) -> None:
        stage.loop.create_future().set_exception(ThrustError("lost"))

    with pytest.raises(AssertionError, match="Future exception was never retrieved"):
        perform(story)


def test_a_wait_without_end_fails() -> None:
    async def story(stage: Stage) -> None:
        await stage.loop.create_future()

    with pytest.raises(RuntimeError, match="nothing will ever happen again"):
        perform(story)
