"""Which connection to the worker a request gets, and what becomes of a request whose connection has ended."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.conversation import WORKER_PORT, Stage, perform
from thrust.handlers.hold import MAX_HELD
from thrust.upstream import connection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def request(method: bytes = b"GET", path: bytes = b"/") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: a\r\n\r\n" % (method, path)


def exchange(worker: str = "worker", client: str = "client", method: str = "GET") -> str:
    return rf"""
        {client} >> {method} / HTTP/1.1
        {client} >> Host: example.org
        {client} >>
        {worker} << {method} / HTTP/1.1
        {worker} << ...
        {worker} <<
        {worker} >> HTTP/1.1 204 No Content
        {worker} >>
        {client} << HTTP/1.1 204 No Content
        {client} << date: *
        {client} <<
    """


def test_one_connection_is_enough_for_one_after_the_other(talk: Converse) -> None:
    talk(exchange() * 5 + exchange(client="client-2") * 2 + exchange(method="POST"))


def test_requests_at_the_same_time_get_a_connection_each_and_the_last_idle_one_goes_first(talk: Converse) -> None:
    talk(
        r"""
        client >> GET /1 HTTP/1.1
        client >> Host: example.org
        client >>
        client-2 >> GET /2 HTTP/1.1
        client-2 >> Host: example.org
        client-2 >>
        worker << GET /1 HTTP/1.1
        worker << ...
        worker <<
        worker-2 << GET /2 HTTP/1.1
        worker-2 << ...
        worker-2 <<
        worker-2 >> HTTP/1.1 204 No Content
        worker-2 >>
        client-2 << HTTP/1.1 204 No Content
        client-2 << date: *
        client-2 <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        """
        + exchange(client="client-3")
        + exchange(client="client-2")
        + r"""
        1.0 s pass
        """
        + exchange()
        + r"""
        0.6 s pass
        worker-2 sees the end
        worker sees nothing
        """
        + exchange()
        + r"""
        1.4 s pass
        worker sees nothing
        """
        + exchange()
        + r"""
        1.6 s pass
        worker sees the end
        """
        + exchange(worker="worker-3")
    )


@pytest.mark.parametrize("how", ["closes", "half-closes", "resets"])
def test_a_connection_that_ends_while_idle_is_noticed_at_once(talk: Converse, how: str) -> None:
    talk(
        exchange()
        + f"worker {how}\n"
        + ("worker sees the end\n" if how == "half-closes" else "")
        + exchange("worker-2", method="POST")
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_safe_request_that_meets_a_stale_connection_is_repeated_once(talk: Converse, method: str, how: str) -> None:
    stage = talk(
        exchange()
        + rf"""
        client >> {method} / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << {method} / HTTP/1.1
        worker << ...
        worker <<
        worker {how}
        worker-2 << {method} / HTTP/1.1
        worker-2 << ...
        worker-2 <<
        worker-2 {how}
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
    """
        + ("" if method == "HEAD" else "client << The application failed to answer.\\n\\")
    )
    assert [e.status for e in stage.exchanges] == [204, 502]


def test_the_repeated_request_is_answered(talk: Converse) -> None:
    stage = talk(
        exchange()
        + r"""
        client >> GET /again HTTP/1.1
        client >> Host: example.org
        client >> X-Request-ID: only-one
        client >>
        worker << GET /again HTTP/1.1
        worker << ...
        worker << x-request-id: only-one
        worker <<
        worker closes
        worker-2 << GET /again HTTP/1.1
        worker-2 << ...
        worker-2 << x-request-id: only-one
        worker-2 <<
        worker-2 >> HTTP/1.1 204 No Content
        worker-2 >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """
    )
    assert [(e.status, e.error) for e in stage.exchanges] == [(204, ""), (204, "")]


def test_a_request_that_the_worker_had_for_a_while_is_not_repeated(
    talk: Converse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection was not stale: it broke under the request, which may be to blame."""
    monkeypatch.setattr(connection, "STALE_WITHIN_S", 0.0)
    stage = talk(
        exchange()
        + r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker closes
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
    """
    )
    assert stage.exchanges[1].error == "the worker closed the connection before answering"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_an_unsafe_request_is_never_repeated(talk: Converse, method: str) -> None:
    """It was sent, so the worker may have acted on it."""
    stage = talk(
        exchange()
        + rf"""
        client >> {method} / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << {method} / HTTP/1.1
        worker << ...
        worker <<
        worker closes
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
    """
    )
    assert stage.exchanges[1].error == "the worker closed the connection, which had been idle, before answering"


def test_a_safe_request_whose_body_was_read_away_is_not_repeated(talk: Converse) -> None:
    talk(
        exchange()
        + r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 3
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        client >> abc\
        worker << abc\
        worker closes
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
    """
    )


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"H"])
def test_a_request_that_the_worker_has_begun_to_answer_is_not_repeated(talk: Converse, answer: bytes) -> None:
    talk(
        exchange()
        + r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> $answer\
        worker closes
        """
        + ("client << HTTP/1.1 103 Early Hints\nclient <<\n" if b"103" in answer else "")
        + r"""
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
    """,
        words={"answer": answer},
    )


@pytest.mark.parametrize("end", ["close", "reset", "send"])
def test_an_unsafe_request_does_not_take_a_connection_that_has_ended_unnoticed(end: str) -> None:
    """The kernel knows it before the event loop does."""

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(request())
        await stage.settled()
        first = stage.worker()
        first.send(OK)
        await stage.settled()
        first.take()
        client.send(request(b"POST"))  # is read first, then the loop will hear of the end
        first.send(b"junk") if end == "send" else getattr(first, end)()
        await stage.settled()
        assert first.take() == b""
        second = stage.worker(2)
        assert second.take().startswith(b"POST ")
        second.send(OK)
        await stage.settled()
        assert client.take().count(b"200 OK") == 2

    perform(story)


def test_a_worker_that_refuses_for_a_moment_is_waited_for(talk: Converse) -> None:
    """A development server that reloads itself."""
    talk(
        r"""
        the worker refuses connections
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >>
        1.2 s pass
        client sees nothing
        the worker accepts connections
        1 s pass
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """
    )


def test_a_worker_that_goes_on_refusing_is_a_502(talk: Converse) -> None:
    stage = talk(
        r"""
        the worker refuses connections
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        2 s pass
        client sees nothing
        1.5 s pass
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
    """
    )
    assert stage.exchanges[0].error == "the worker refuses connections on 127.0.0.1:3001"
    assert stage.loop.connects == 7


def test_a_request_outlives_a_worker_that_leaves_while_it_refuses(talk: Converse) -> None:
    """Nothing of it was sent, so it waits for the next worker."""
    talk(
        r"""
        the worker refuses connections
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        0.2 s pass
        thrust has no worker
        60 s pass
        client sees nothing
        the worker accepts connections
        thrust has a worker on port 3001
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """
    )


def test_a_worker_whose_backlog_is_full_is_a_504(talk: Converse) -> None:
    stage = talk(
        r"""
        the worker ignores connects
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        4.9 s pass
        client sees nothing
        0.2 s pass
        client << HTTP/1.1 504 Gateway Timeout
        client << ...
        client <<
        client << The application took too long to answer.\n\
    """
    )
    assert stage.exchanges[0].error == "the worker accepted no connection on 127.0.0.1:3001 within 5 s"


def test_a_worker_that_cannot_be_reached_is_a_502(talk: Converse) -> None:
    stage = talk(
        r"""
        the worker is unreachable
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
    """
    )
    assert "Network is unreachable" in stage.exchanges[0].error


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_worker_that_slams_the_door_is_a_502_at_once(talk: Converse, method: str) -> None:
    stage = talk(
        rf"""
        the worker slams the door
        client >> {method} / HTTP/1.1
        client >> Host: example.org
        client >>
        worker connects
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
    """
    )
    assert stage.exchanges[0].error == "the worker closed the connection before the request was sent"


def test_a_new_worker_gets_new_requests_and_the_old_one_finishes_its_own(talk: Converse) -> None:
    talk(
        exchange()
        + r"""
        client >> GET /old HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /old HTTP/1.1
        worker << ...
        worker <<
        thrust has a worker on port 3002
        """
        + exchange("worker-2", "client-2")
        + r"""
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        worker sees the end
        """
        + exchange("worker-2")
    )


def test_idle_connections_to_an_old_worker_are_closed_at_once(talk: Converse) -> None:
    talk(
        exchange()
        + r"""
        thrust has a worker on port 3002
        worker sees the end
        """
        + exchange("worker-2")
    )


def test_requests_wait_while_there_is_no_worker(talk: Converse) -> None:
    talk(
        r"""
        thrust has no worker
        client >> GET /1 HTTP/1.1
        client >> Host: example.org
        client >>
        client-2 >> POST /2 HTTP/1.1
        client-2 >> Host: example.org
        client-2 >> Content-Length: 3
        client-2 >>
        client-2 >> abc\
        20 s pass
        client sees nothing
        thrust has a worker on port 3002
        worker << GET /1 HTTP/1.1
        worker << ...
        worker <<
        worker-2 << POST /2 HTTP/1.1
        worker-2 << ...
        worker-2 <<
        worker-2 << abc\
        worker >> HTTP/1.1 204 No Content
        worker >>
        worker-2 >> HTTP/1.1 204 No Content
        worker-2 >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        client-2 << HTTP/1.1 204 No Content
        client-2 << date: *
        client-2 <<
    """
    )


UNAVAILABLE = r"""
        client << HTTP/1.1 503 Service Unavailable
        client << ... (no connection)
        client << retry-after: 2
        client << ... (no connection)
        client <<
        client << The application is starting. Please try again in a moment.\n\
"""


def test_a_worker_that_is_given_up_frees_who_waits_and_refuses_who_comes(talk: Converse) -> None:
    stage = talk(
        r"""
        thrust has no worker
        client >> GET /1 HTTP/1.1
        client >> Host: example.org
        client >>
        5 s pass
        thrust gives the worker up: it has ended
        """
        + UNAVAILABLE
        + r"""
        client >> GET /2 HTTP/1.1
        client >> Host: example.org
        client >>
        """
        + UNAVAILABLE
        + "thrust has a worker on port 3001"
        + exchange()
    )
    assert [e.error for e in stage.exchanges] == ["the worker is not ready: it has ended"] * 2 + [""]


def test_a_probe_hears_at_once_that_there_is_no_worker(talk: Converse) -> None:
    stage = talk(
        r"""
        thrust has no worker
        client >> GET /up?x HTTP/1.1
        client >> Host: example.org
        client >>
        """
        + UNAVAILABLE
        + "thrust has a worker on port 3001"
        + exchange()
    )
    assert stage.exchanges[0].error == "the worker is not ready: it is still booting"


def test_exchanges_fail_when_the_workers_connections_are_aborted(talk: Converse) -> None:
    stage = talk(
        exchange()
        + r"""
        client >> GET /1 HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /1 HTTP/1.1
        worker << ...
        worker <<
        client-2 >> GET /2 HTTP/1.1
        client-2 >> Host: example.org
        client-2 >>
        worker-2 << GET /2 HTTP/1.1
        worker-2 << ...
        worker-2 <<
        worker-2 >> HTTP/1.1 200 OK
        worker-2 >> Content-Length: 5
        worker-2 >>
        client-2 << HTTP/1.1 200 OK
        client-2 << ...
        client-2 <<
        thrust aborts the worker's connections
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
        client-2 sees a reset
        worker sees the end
        worker-2 sees the end
    """
    )
    assert [e.error for e in stage.exchanges[1:]] == ["the worker is being stopped"] * 2


def test_the_old_worker_is_drained_when_its_last_exchange_is_over() -> None:
    async def story(stage: Stage) -> None:
        clients = [stage.client(number) for number in (1, 2)]
        for client in clients:
            client.send(request())
        await stage.settled()
        stage.loop.ports[3002] = stage.loop.ports[WORKER_PORT]
        stage.pool.open(3002)
        drained = stage.loop.create_task(stage.pool.drained(WORKER_PORT))
        await stage.pass_time(5)
        assert stage.pool.busy_count(WORKER_PORT) == 2
        stage.worker(1).send(OK)
        clients[1].reset()
        await stage.settled()
        assert drained.done()
        await stage.pool.drained(WORKER_PORT)

    perform(story)


@pytest.mark.slow
def test_more_requests_are_held_than_one_would_think_and_no_more() -> None:
    async def story(stage: Stage) -> None:
        stage.pool.close()
        for number in range(1, MAX_HELD + 2):
            stage.client(number).send(request())
            await stage.settled()
        assert stage.client(MAX_HELD + 1).take().startswith(b"HTTP/1.1 503 ")
        assert stage.exchanges[0].error == f"the worker is not ready: {MAX_HELD} requests wait already"
        stage.pool.open(WORKER_PORT)
        await stage.settled()
        assert len(stage.loop.accepted) == MAX_HELD
        for worker in stage.loop.accepted:
            worker.send(OK)
        await stage.settled()
        assert all(stage.client(number).take().startswith(b"HTTP/1.1 200 ") for number in range(1, MAX_HELD + 1))
        assert repr(stage.pool) == f"<Pool :3001, 0 busy, {MAX_HELD} idle>"
        await stage.pass_time(2)
        assert repr(stage.pool) == "<Pool :3001, 0 busy, 0 idle>"

    perform(story)
