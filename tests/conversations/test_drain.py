"""Shutting down: idle connections close, exchanges finish, event streams are ended, tunnels stay to the last."""

import asyncio

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


def test_idle_connections_are_closed_at_once(talk: Converse) -> None:
    talk(
        GET
        + r"""
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        client-2 connects
        thrust stops accepting
        client sees the end
        client-2 sees the end
        2 s pass
        worker sees the end
    """
    )


def test_an_exchange_under_way_is_finished_and_says_that_it_was_the_last(talk: Converse) -> None:
    talk(
        GET
        + r"""
        thrust stops accepting
        5 s pass
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


def test_an_answer_that_promised_to_persist_is_finished_too(talk: Converse) -> None:
    talk(
        GET
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 2
        worker >>
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client <<
        thrust stops accepting
        worker >> ok\
        client << ok\
        client sees the end
    """
    )


def test_an_upload_under_way_is_finished(talk: Converse) -> None:
    talk(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 3
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        thrust stops accepting
        client >> abc\
        worker << abc\
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client << connection: close
        client <<
        client sees the end
    """)


def test_what_was_pipelined_behind_the_last_exchange_is_not_begun(talk: Converse) -> None:
    talk(
        r"""
        client >> GET /1 HTTP/1.1
        client >> Host: example.org
        client >>
        client >> GET /2 HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /1 HTTP/1.1
        worker << ...
        worker <<
        thrust stops accepting
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client << connection: close
        client <<
        client sees the end
    """
    )


def test_a_connection_that_comes_too_late_is_closed(talk: Converse) -> None:
    talk(r"""
        thrust stops accepting
        client connects
        client sees the end
    """)


def test_a_half_sent_head_is_not_waited_for(talk: Converse) -> None:
    talk(r"""
        client >> GET / HTTP/1.1
        thrust stops accepting
        client sees the end
    """)


STREAM = (
    GET
    + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Content-Type: text/event-stream; charset=utf-8
        worker >> Transfer-Encoding: chunked
        worker >>
        client << HTTP/1.1 200 OK
        client << ...
        client <<
        worker >> 9
        worker >> data: a\n\n
        client <~ data: a\n\n
"""
)


def test_an_event_stream_goes_on_until_it_is_ended(talk: Converse) -> None:
    stage = talk(
        STREAM
        + r"""
        thrust stops accepting
        5 s pass
        worker >> 9
        worker >> data: b\n\n
        client <~ data: b\n\n
        thrust ends streams
        client sees a reset
        worker sees the end
    """
    )
    assert [(e.status, e.error) for e in stage.exchanges] == [(200, "thrust is stopping")]


def test_an_exchange_after_an_event_stream_is_none(talk: Converse) -> None:
    talk(
        STREAM
        + r"""
        worker >> 0
        worker >>
        client << 0
        client <<
        """
        + GET
        + r"""
        thrust stops accepting
        thrust ends streams
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client << connection: close
        client <<
        client sees the end
    """
    )


def test_an_exchange_that_is_aborted_at_the_end_is_not_blamed_on_the_client(talk: Converse) -> None:
    stage = talk(
        GET
        + r"""
        thrust stops accepting
        5 s pass
        thrust ends streams
        client sees nothing
        thrust aborts
        client sees a reset
        worker sees the end
    """
    )
    assert [(e.status, e.error) for e in stage.exchanges] == [(0, "thrust is stopping")]


def test_a_tunnel_stays_until_everything_is_aborted(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET /ws HTTP/1.1
        client >> Host: example.org
        client >> Connection: Upgrade
        client >> Upgrade: websocket
        client >>
        worker << GET /ws HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 101 Switching Protocols
        worker >> Connection: Upgrade
        worker >> Upgrade: websocket
        worker >>
        client << HTTP/1.1 101 *
        client << ...
        client <<
        thrust stops accepting
        thrust ends streams
        5 s pass
        client >> hello\
        worker << hello\
        thrust aborts
        client sees a reset
        worker sees the end
    """)
    assert [(e.status, e.error) for e in stage.exchanges] == [(101, "thrust is stopping")]


def test_a_tunnel_is_ended_when_its_worker_has_had_time_to_say_so(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET /ws HTTP/1.1
        client >> Host: example.org
        client >> Connection: Upgrade
        client >> Upgrade: websocket
        client >>
        worker << GET /ws HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 101 Switching Protocols
        worker >> Connection: Upgrade
        worker >> Upgrade: websocket
        worker >>
        client << HTTP/1.1 101 *
        client << ...
        client <<
        thrust stops accepting
        thrust ends streams
        5 s pass
        client >> hello\
        worker << hello\
        thrust ends tunnels
        client sees the end
        worker sees the end
    """)
    assert [(e.status, e.error) for e in stage.exchanges] == [(101, "thrust is stopping")]


def test_draining_waits_until_the_last_answer_has_left() -> None:
    body = b"x" * 50_000

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        stage.listener.stop_accepting()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + body)
        assert not await stage.listener.drained(5)
        drained = stage.loop.create_task(stage.listener.drained(5))
        await stage.pass_time(1)
        client.read_on()
        assert await drained
        assert client.take().endswith(b"\r\n\r\n" + body)
        assert client.saw_end and not client.saw_reset

    perform(story)


def test_draining_waits_for_exchanges_but_not_for_streams_and_tunnels() -> None:
    async def story(stage: Stage) -> None:
        for number in (1, 2, 3):
            stage.client(number).send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        await stage.settled()
        stage.worker(1).send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        stage.worker(2).send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        await stage.settled()
        stage.listener.stop_accepting()
        assert not await stage.listener.drained(5)
        assert stage.front.busy == 1
        drained = stage.loop.create_task(stage.listener.drained(5))
        await asyncio.sleep(1)
        stage.worker(3).send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert await drained

    perform(story)
