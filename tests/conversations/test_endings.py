"""Clients that leave: altogether, or only with their sending side (RFC 9112 §9.6)."""

import asyncio
from collections.abc import Callable
from itertools import permutations, product

import pytest

from tests.conversations.conftest import Converse
from tests.support.conversation import Stage, perform

GET = r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
"""
STREAM = (
    GET
    + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        --
        worker >> 3
        worker >> abc
        client << HTTP/1.1 200 OK
        client << date: *
        client << transfer-encoding: chunked
        client <<
        client <~ abc
"""
)


def test_a_client_that_half_closes_still_gets_its_answer(talk: Converse) -> None:
    """`100 Continue` is how we find out whether anybody is left to be answered."""
    stage = talk(
        GET
        + r"""
        client half-closes
        client << HTTP/1.1 100 Continue
        client <<
        30 s pass
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 2
        worker >>
        worker >> ok\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client << connection: close
        client <<
        client << ok\
        client sees the end
    """
    )
    assert [(e.status, e.error) for e in stage.exchanges] == [(200, "")]


def test_a_client_of_http_1_0_that_half_closes_gets_its_answer_and_nothing_else(talk: Converse) -> None:
    talk(r"""
        client >> GET / HTTP/1.0
        client >>
        & client half-closes
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        30 s pass
        client sees nothing
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client << connection: close
        client <<
        client sees the end
    """)


def test_requests_that_were_sent_before_a_half_close_are_all_answered(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET /1 HTTP/1.1
        client >> Host: example.org
        client >>
        client >> GET /2 HTTP/1.1
        client >> Host: example.org
        client >>
        client >> GET /3 HTTP/1.1
        client >> Host: example.org
        client >>
        & client half-closes
        worker << GET /1 HTTP/1.1
        worker << ...
        worker <<
        client << HTTP/1.1 100 Continue
        client <<
        0.5 s pass
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 1
        worker >>
        worker >> 1\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 1
        client <<
        client << 1\
        worker << GET /2 HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        0.9 s pass
        worker >> 1
        worker >> 2
        0.9 s pass
        worker >> 1
        worker >> 2
        worker >> 0
        worker >>
        client << HTTP/1.1 *
        client << ...
        client <<
        client <~ 22
        client << 0
        client <<
        worker << GET /3 HTTP/1.1
        worker << ...
        worker <<
        5 s pass
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client << connection: close
        client <<
        client sees the end
    """)
    assert [(e.path, e.status, e.error) for e in stage.exchanges] == [("/1", 200, ""), ("/2", 200, ""), ("/3", 204, "")]


def test_nonsense_that_was_sent_before_a_half_close_is_refused(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        client >> nonsense
        client >>
        & client half-closes
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        client << HTTP/1.1 100 Continue
        client <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        client << HTTP/1.1 400 Bad Request
        client << ...
        client << connection: close
        client <<
        client << The request could not be understood. (*)\n\
        client sees the end
    """)
    assert [e.status for e in stage.exchanges] == [204, 400]


@pytest.mark.parametrize("rest", [b"\r\n", b"GET / HT"])
def test_half_a_head_before_a_half_close_is_nothing(talk: Converse, rest: bytes) -> None:
    stage = talk(
        r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        client >> $rest\
        & client half-closes
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        client << HTTP/1.1 100 Continue
        client <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        client sees the end
    """,
        words={"rest": rest},
    )
    assert [e.status for e in stage.exchanges] == [204]


def test_a_slow_reader_that_has_half_closed_gets_all_its_answers() -> None:
    """Also those that come while it takes nothing."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        await stage.settled()
        for number in range(3):
            stage.worker().send(answer)
            await stage.settled()
            client.end() if number == 0 else None
            await stage.settled()
            client.read(110_000)
            await stage.settled()
        client.read_on()
        await stage.settled()
        received = client.take()
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 3 and received.count(b"x") == 300_000
        assert client.saw_end and not client.saw_reset

    perform(story)


def test_a_client_that_closes_takes_the_worker_with_it_within_moments(talk: Converse) -> None:
    stage = talk(
        GET
        + r"""
        client closes
        0.1 s pass
        worker sees the end
    """
    )
    assert [(e.status, e.body_bytes, e.error) for e in stage.exchanges] == [
        (499, 0, "the client closed the connection before the response was complete")
    ]


def test_a_client_that_had_closed_is_noticed_during_what_it_had_pipelined(talk: Converse) -> None:
    """One of HTTP/1.0 gets no `100 Continue`; here the first answer finds out."""
    stage = talk(r"""
        client >> GET /1 HTTP/1.0
        client >> Connection: keep-alive
        client >>
        client >> GET /2 HTTP/1.0
        client >> Connection: keep-alive
        client >>
        & client closes
        worker << GET /1 HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        worker << GET /2 HTTP/1.1
        worker << ...
        worker <<
        worker sees the end
    """)
    assert [(e.path, e.status) for e in stage.exchanges] == [("/1", 204), ("/2", 499)]


def test_a_client_that_resets_takes_the_worker_with_it_at_once(talk: Converse) -> None:
    stage = talk(
        GET
        + r"""
        client resets
        worker sees the end
    """
    )
    assert [e.status for e in stage.exchanges] == [499]


@pytest.mark.parametrize("how", [b"closes", b"resets"])
def test_a_client_that_leaves_in_the_middle_of_an_answer_takes_the_worker_with_it(talk: Converse, how: bytes) -> None:
    stage = talk(
        STREAM
        + f"""
        client {how.decode()}
        """
        + r"""
        worker >> 3
        worker >> def
        --
        worker >> 3
        worker >> ghi
        0.1 s pass
        worker sees the end
    """
    )
    assert [e.status for e in stage.exchanges] == [200]
    assert "client closed" in stage.exchanges[0].error


def test_a_client_that_leaves_a_silent_stream_is_noticed(talk: Converse) -> None:
    stage = talk(
        STREAM
        + r"""
        client closes
        3 s pass
        worker sees the end
    """
    )
    assert "client" in stage.exchanges[0].error


@pytest.mark.parametrize(
    "framing, part", [(b"Content-Length: 10", b"abc"), (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n")]
)
@pytest.mark.parametrize("how", [b"half-closes", b"closes", b"resets"])
def test_a_body_that_breaks_off_never_looks_complete(talk: Converse, framing: bytes, part: bytes, how: bytes) -> None:
    stage = talk(
        r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> $framing
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        client >> $part\
        """
        + ("worker <~ abc" if framing.startswith(b"T") else "worker << abc\\")
        + f"""
        client {how.decode()}
        worker sees the end
        """
        + ("client sees a reset" if how == b"half-closes" else ""),
        words={"framing": framing, "part": part},
    )
    assert [e.status for e in stage.exchanges] == [499]
    assert "client closed the connection" in stage.exchanges[0].error


def test_a_client_that_closes_without_a_request_was_never_there(talk: Converse) -> None:
    stage = talk(r"""
        client connects
        client closes
    """)
    assert stage.exchanges == []


def test_a_client_that_closes_in_the_middle_of_a_head_was_never_there(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET / HTTP/1.1
        client >> Host: exa\
        client half-closes
        client sees the end
    """)
    assert stage.exchanges == []


def test_a_client_that_leaves_while_its_request_is_held_frees_its_place() -> None:
    async def story(stage: Stage) -> None:
        stage.pool.close()
        client = stage.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        assert len(stage.pool._waiters) == 1
        client.close()
        await stage.pass_time(0.1)
        assert len(stage.pool._waiters) == 0
        stage.pool.open(3001)
        await stage.settled()
        assert stage.loop.accepted == []

    stage = perform(story)
    assert [e.status for e in stage.exchanges] == [499]


def test_a_client_that_leaves_while_we_dial_leaves_no_connection(talk: Converse) -> None:
    talk(r"""
        the worker ignores connects
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        1 s pass
        client resets
    """)


@pytest.mark.parametrize("order", list(permutations(["answer", "request", "departure"])), ids="-".join)
@pytest.mark.parametrize("gaps", list(product(range(3), repeat=2)), ids=str)
def test_a_client_that_leaves_as_its_answer_comes_does_not_take_others_with_it(
    order: tuple[str, ...], gaps: tuple[int, int]
) -> None:
    """The connection is free for others in the moment in which the answer has come, and is not ours to abort.

    `gaps` are turns of the event loop between the three events.
    """
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async def story(stage: Stage) -> None:
        leaving, staying = stage.client(1), stage.client(2)
        leaving.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        events: dict[str, Callable[[], None]] = {
            "answer": lambda: stage.worker().send(answer),
            "request": lambda: staying.send(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
            "departure": leaving.reset,
        }
        for name, gap in zip(order, (*gaps, 0), strict=True):
            events[name]()
            for _ in range(gap):
                await asyncio.sleep(0)
        await stage.settled()
        last = stage.loop.accepted[-1]
        assert b"GET /2 " in last.take()
        last.send(answer)
        await stage.settled()
        assert staying.take().endswith(b"\r\n\r\nok")

    perform(story)


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi",
        b"HTTP/1.1 502 What\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"garbage\r\n\r\n",
    ],
    ids=["whole", "stream", "tunnel", "malformed", "garbage"],
)
@pytest.mark.parametrize("is_answer_first", [True, False])
def test_nothing_leaks_when_answer_and_departure_meet(turns: int, answer: bytes, is_answer_first: bool) -> None:
    """Every distance between the two, in turns of the event loop; `perform` looks for what was left behind."""

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await stage.settled()
        worker = stage.worker()
        steps = [lambda: worker.send(answer), client.reset]
        for step in steps if is_answer_first else reversed(steps):
            step()
            for _ in range(turns):
                await asyncio.sleep(0)
        await stage.pass_time(10)
        assert stage.front.connections == set()
        if b"5\r\n" in answer or b"101" in answer:
            assert worker.saw_end or worker.saw_reset
        assert len(stage.exchanges) == 1

    perform(story)


def test_a_half_closed_client_of_a_stream_is_served_while_something_comes() -> None:
    """As long as it does not answer that with a reset it is there; in the silence afterwards nobody can tell."""

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        worker = stage.worker()
        worker.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await stage.settled()
        client.take()
        client.end()
        for _ in range(20):
            await stage.pass_time(0.9)
            worker.send(b"data: x\n\n")
            await stage.settled()
            assert client.take() == b"9\r\ndata: x\n\n\r\n"
        await stage.pass_time(3)
        assert client.saw_reset
        assert worker.saw_end or worker.saw_reset

    perform(story)
