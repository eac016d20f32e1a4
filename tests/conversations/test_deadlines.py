"""Every wait for a peer has an end; whoever keeps moving is never cut, however slow."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.conversation import Stage, perform
from tests.support.memory_network import Port

GET = r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
"""
UPLOAD = r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 6
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
"""
ANSWERED = r"""
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
"""


def test_a_head_that_trickles_in_is_refused_when_its_time_is_up(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET / HTTP/1.1
        10 s pass
        client >> Host: example.org
        10 s pass
        client >> X: 1
        9 s pass
        client sees nothing
        2 s pass
        client << HTTP/1.1 408 Request Timeout
        client << ...
        client << connection: close
        client <<
        client << The request took too long to arrive. (the request's head was not complete *)\n\
        client sees the end
    """)
    assert [e.status for e in stage.exchanges] == [408]


def test_each_head_has_its_own_time(talk: Converse) -> None:
    talk(
        GET
        + ANSWERED
        + r"""
        100 s pass
        client >> GET / HTTP/1.1
        25 s pass
        client >> Host: example.org
        client >>
        worker-2 << GET / HTTP/1.1
        worker-2 << ...
        worker-2 <<
        worker sees the end
        """
        + ANSWERED.replace("worker >>", "worker-2 >>")
        + r"""
        28 s pass
        client >> GET / HTTP/1.1
        25 s pass
        client sees nothing
        6 s pass
        client << HTTP/1.1 408 *
        client << ...
        client <<
        client << The *\n\
        client sees the end
        worker-2 sees the end
    """
    )


def test_a_pipelined_head_that_never_ends_is_refused(talk: Converse) -> None:
    talk(r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        client >> GET / HT\
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        100 s pass
        client sees nothing
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        29 s pass
        client sees nothing
        2 s pass
        client << HTTP/1.1 408 *
        client << ...
        client <<
        client << The *\n\
        client sees the end
        worker sees the end
    """)


def test_a_new_connection_without_a_request_is_closed(talk: Converse) -> None:
    stage = talk(r"""
        client connects
        29 s pass
        client sees nothing
        2 s pass
        client sees the end
    """)
    assert stage.exchanges == []


def test_an_idle_connection_is_closed(talk: Converse) -> None:
    talk(
        GET
        + ANSWERED
        + r"""
        119 s pass
        client sees nothing
        worker sees the end
        2 s pass
        client sees the end
    """
    )


def test_deadlines_of_zero_never_come(talk: Converse) -> None:
    talk(
        UPLOAD
        + r"""
        100000 s pass
        client >> abcdef\
        worker << abcdef\
        100000 s pass
        """
        + ANSWERED
        + r"""
        100000 s pass
        client sees nothing
        worker sees the end
    """,
        idle_timeout_s=0.0,
        read_timeout_s=0.0,
        write_timeout_s=0.0,
        worker_timeout_s=0.0,
    )


def test_a_body_that_stalls_is_refused(talk: Converse) -> None:
    stage = talk(
        UPLOAD
        + r"""
        client >> abc\
        worker << abc\
        29 s pass
        client sees nothing
        2 s pass
        client << HTTP/1.1 408 *
        client << ...
        client << connection: close
        client <<
        client << The request took too long to arrive. (the request's body stalled for 30 s)\n\
        client sees the end
        worker sees the end
    """
    )
    assert [e.status for e in stage.exchanges] == [408]


def test_a_body_that_never_begins_is_refused(talk: Converse) -> None:
    talk(
        UPLOAD
        + r"""
        29 s pass
        client sees nothing
        2 s pass
        client << HTTP/1.1 408 *
        client << ...
        client <<
        client << The *\n\
        client sees the end
        worker sees the end
    """
    )


def test_the_client_has_no_deadline_when_its_body_is_complete(talk: Converse) -> None:
    talk(
        UPLOAD
        + r"""
        client >> abc\
        --
        client >> def\
        worker << abcdef\
        200 s pass
        client sees nothing
        """
        + ANSWERED
    )


def test_an_upload_that_keeps_moving_is_never_cut(talk: Converse) -> None:
    talk(
        UPLOAD
        + "".join(
            f"""
        29 s pass
        client >> {letter}\\
        worker << {letter}\\
        """
            for letter in "abcdef"
        )
        + ANSWERED
    )


def test_a_slow_upload_is_not_the_workers_fault(talk: Converse) -> None:
    """The worker's time runs from the end of the request on, not while it has to wait for the client."""
    talk(
        UPLOAD
        + r"""
        25 s pass
        client >> abc\
        worker << abc\
        25 s pass
        client >> def\
        worker << def\
        4 s pass
        """
        + ANSWERED,
        worker_timeout_s=5.0,
    )


def test_a_worker_that_takes_no_body_is_silent(talk_whole: Converse) -> None:
    stage = talk_whole(
        r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 2000000
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        worker stops reading
        client >> $part\
        4 s pass
        client sees nothing
        2 s pass
        client << HTTP/1.1 504 *
        client << ...
        client << connection: close
        client <<
        client << The application took too long to answer.\n\
        client sees the end
        worker sees the end
    """,
        worker_timeout_s=5.0,
        words={"part": b"x" * 1_000_000},
    )
    assert stage.exchanges[0].error == "the worker did not answer within 5 s"


@pytest.mark.parametrize("size", [200_000, 1_000_000])
def test_a_worker_that_takes_a_body_slowly_is_not_silent(size: int) -> None:
    """Whether the body came whole with its head or is streamed."""
    body = b"x" * size

    async def story(stage: Stage) -> None:
        client = stage.client()
        stage.loop.ports[3001] = Port.DAWDLES
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
        await stage.settled()
        worker = stage.worker()
        for _ in range(size // 10_000 + 1):
            await stage.pass_time(4)
            worker.read(10_000)
            await stage.settled()
        worker.read_on()
        await stage.pass_time(4)
        assert worker.take().endswith(b"\r\n\r\n" + body)
        worker.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await stage.settled()
        assert client.take().startswith(b"HTTP/1.1 204 ")

    perform(story, worker_timeout_s=5.0)


def test_the_patience_with_one_request_is_not_that_with_the_next() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 50_000)
        await stage.settled()
        worker = stage.worker()
        worker.stop_reading()
        client.send(b"x" * 150_000)
        await stage.pass_time(1)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(25):
            worker.read(10_000)
            await stage.pass_time(0.1)
        worker.read_on()
        worker.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await stage.settled()
        assert worker.take().endswith(b"\r\n\r\n") and len(stage.loop.accepted) == 1
        await stage.pass_time(5.1)
        assert client.take().count(b"HTTP/1.1 504 ") == 1

    perform(story, worker_timeout_s=5.0)


def test_a_silent_worker_is_a_504(talk: Converse) -> None:
    stage = talk(
        GET
        + r"""
        299 s pass
        client sees nothing
        2 s pass
        client << HTTP/1.1 504 Gateway Timeout
        client << ... (no connection)
        client <<
        client << The application took too long to answer.\n\
        worker sees the end
    """
    )
    assert [(e.status, e.error) for e in stage.exchanges] == [(504, "the worker did not answer within 300 s")]


def test_a_worker_that_falls_silent_in_the_middle_is_cut_off_and_so_is_its_answer(talk: Converse) -> None:
    stage = talk(
        GET
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 6
        worker >>
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 6
        client <<
        200 s pass
        worker >> abc\
        client << abc\
        200 s pass
        worker >> d\
        client << d\
        301 s pass
        worker sees the end
        client sees a reset
    """
    )
    assert stage.exchanges[0].error == "the worker was silent for 300 s after 4 of 6 bytes of the body"


def test_a_client_that_reads_slowly_is_not_the_workers_silence() -> None:
    """The worker is being held back: it cannot send."""
    body = b"x" * 1_000_000

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        client.stop_reading()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + body)
        for _ in range(60):
            await stage.pass_time(25)
            client.read(10_000)
        client.read_on()
        await stage.settled()
        assert client.take().endswith(b"\r\n\r\n" + body)

    stage = perform(story, worker_timeout_s=5.0)
    assert stage.exchanges[0].error == ""


def test_a_client_that_reads_slowly_and_uploads_is_not_the_workers_silence_either() -> None:
    body = b"x" * 1_000_000

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n")
        await stage.settled()
        client.stop_reading()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + body)
        for _ in range(100):
            await stage.pass_time(25)
            client.read(9_000)
            client.send(b"ab")
        client.read_on()
        await stage.settled()
        assert client.take().endswith(b"\r\n\r\n" + body)

    stage = perform(story, worker_timeout_s=5.0)
    assert stage.exchanges[0].error == ""


def test_a_client_that_stops_reading_is_cut_off() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        client.stop_reading()
        worker = stage.worker()
        worker.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000)
        await stage.pass_time(20)
        client.read(1)
        await stage.pass_time(29)
        assert not client.saw_reset
        await stage.pass_time(35)
        assert client.saw_reset
        assert worker.saw_end or worker.saw_reset

    stage = perform(story)
    assert [(e.status, e.error) for e in stage.exchanges] == [(200, "the client read nothing for 30 s")]


@pytest.mark.parametrize("unread_bytes", [1, 10_000, 70_000, 200_000])
@pytest.mark.parametrize("connection, within_s", [(b"close", 65), (b"keep-alive", 155)])
def test_a_client_that_never_takes_the_end_is_cut_off(unread_bytes: int, connection: bytes, within_s: int) -> None:
    """After the answer was written, and whether or not the connection was to persist; then it may idle before."""
    size = 300_000

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: %b\r\n\r\n" % connection)
        await stage.settled()
        client.stop_reading()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await stage.settled()
        client.read(size - unread_bytes)
        await stage.pass_time(within_s)
        assert client.saw_reset
        assert client.transport.lost_calls == 1

    perform(story)


def test_a_client_that_stalled_once_is_forgiven() -> None:
    """No deadline is left behind by backpressure, in either direction."""
    body = b"x" * 500_000

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        await stage.settled()
        worker = stage.worker()
        worker.stop_reading()
        client.send(body)
        await stage.pass_time(20)
        worker.read_on()
        await stage.settled()
        client.stop_reading()
        worker.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + body)
        await stage.pass_time(20)
        client.read_on()
        await stage.pass_time(100)
        assert client.take().endswith(b"\r\n\r\n" + body)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.pass_time(100)
        stage.worker(2).send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await stage.settled()
        assert client.take().startswith(b"HTTP/1.1 204 ")

    perform(story)


def test_a_connection_whose_answer_was_taken_late_is_closed_when_it_idles() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        await stage.pass_time(20)
        client.read_on()
        await stage.pass_time(119)
        assert not client.saw_end
        await stage.pass_time(2)
        assert client.saw_end and not client.saw_reset

    perform(story)


def test_a_body_that_stalls_after_it_was_held_back_is_refused() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        await stage.settled()
        worker = stage.worker()
        worker.stop_reading()
        client.send(b"x" * 400_000)
        await stage.pass_time(100)
        assert not client.transport.is_reading()
        worker.read_on()
        await stage.pass_time(29)
        assert client.take() == b""
        await stage.pass_time(2)
        assert client.take().startswith(b"HTTP/1.1 408 ")

    perform(story)


@pytest.mark.parametrize("size", [50_000, 200_000])
def test_a_client_that_reads_an_answer_slowly_is_never_cut_off(size: int) -> None:
    """Also after the last byte was written, and although the connection is to be closed."""

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await stage.settled()
        client.stop_reading()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        for _ in range(size // 1000 + 1):
            await stage.pass_time(29)
            client.read(1000)
        await stage.settled()
        assert client.received_bytes > size
        assert client.saw_end and not client.saw_reset

    perform(story)


def test_a_half_closed_client_that_takes_nothing_is_cut_off() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.stop_reading()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        stage.worker().send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await stage.settled()
        client.end()
        await stage.pass_time(29)
        assert not client.saw_reset
        await stage.pass_time(2)
        assert client.saw_reset

    perform(story)


def test_a_request_that_is_held_too_long_is_refused(talk: Converse) -> None:
    stage = talk(
        r"""
        thrust has no worker
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        59 s pass
        client sees nothing
        2 s pass
        client << HTTP/1.1 503 Service Unavailable
        client << content-type: text/plain; charset=utf-8
        client << cache-control: no-store
        client << retry-after: 2
        client << date: *
        client << content-length: *
        client <<
        client << The application is starting. Please try again in a moment.\n\
    """
    )
    assert [(e.status, e.error) for e in stage.exchanges] == [
        (503, "the worker is not ready: the request waited 60 s for it")
    ]
