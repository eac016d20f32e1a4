"""Persistence and pipelining (RFC 9112 §9.3), HTTP/1.0 clients, and the forms of a target (§3.2)."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.conversation import Stage, perform


def test_one_connection_carries_one_exchange_after_the_other(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET /first?x=1 HTTP/1.1
        client >> Host: example.org
        client >> Accept: text/plain
        client >>
        worker << GET /first?x=1 HTTP/1.1
        worker << host: example.org
        worker << accept: text/plain
        worker << x-forwarded-for: 203.0.113.7
        worker << x-forwarded-host: example.org
        worker << x-forwarded-proto: http
        worker << x-forwarded-port: 80
        worker << x-real-ip: 203.0.113.7
        worker << x-request-start: t=*
        worker << x-request-id: *
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Type: text/plain
        worker >> Content-Length: 5
        worker >> X-Twice: 1
        worker >> X-Twice: 2
        worker >>
        worker >> first\
        client << HTTP/1.1 200 OK
        client << content-type: text/plain
        client << x-twice: 1
        client << x-twice: 2
        client << date: *
        client << content-length: 5
        client <<
        client << first\
        client >> POST /second HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 3
        client >>
        client >> abc\
        worker << POST /second HTTP/1.1
        worker << ...
        worker << content-length: 3
        worker <<
        worker << abc\
        worker >> HTTP/1.1 201 Created
        worker >> Date: Thu, 01 Jan 1970 00:00:00 GMT
        worker >> Content-Length: 0
        worker >>
        client << HTTP/1.1 201 Created
        client << date: Thu, 01 Jan 1970 00:00:00 GMT
        client << content-length: 0
        client <<
    """)
    assert [(e.method, e.path, e.query, e.status, e.body_bytes, e.error) for e in stage.exchanges] == [
        ("GET", "/first", "x=1", 200, 5, ""),
        ("POST", "/second", "", 201, 0, ""),
    ]


def test_an_empty_line_before_a_request_is_ignored(talk: Converse) -> None:
    talk(r"""
        client >>
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)


def test_pipelined_requests_are_answered_in_order_and_one_by_one(talk: Converse) -> None:
    talk(r"""
        client >> GET /slow HTTP/1.1
        client >> Host: example.org
        client >>
        client >> GET /quick HTTP/1.1
        client >> Host: example.org
        client >>
        client >> POST /last HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 2
        client >>
        client >> ab\
        worker << GET /slow HTTP/1.1
        worker << ...
        worker <<
        60 s pass
        client sees nothing
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 4
        worker >>
        worker >> slow\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 4
        client <<
        client << slow\
        worker << GET /quick HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 404 Not Found
        worker >> Content-Length: 5
        worker >>
        worker >> quick\
        client << HTTP/1.1 404 Not Found
        client << ...
        client <<
        client << quick\
        worker << POST /last HTTP/1.1
        worker << ...
        worker <<
        worker << ab\
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)


def test_what_follows_a_body_is_the_next_request(talk: Converse) -> None:
    talk(r"""
        client >> POST /one HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 4
        client >>
        client >> GET \
        client >> POST /two HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        client >> 3
        client >> abc
        client >> 0
        client >>
        client >> GET /three HTTP/1.1
        client >> Host: example.org
        client >>
        worker << POST /one HTTP/1.1
        worker << ...
        worker <<
        worker << GET \
        worker >> HTTP/1.1 204 No Content
        worker >>
        worker << POST /two HTTP/1.1
        worker << ...
        worker << content-length: 3
        worker <<
        worker << abc\
        worker >> HTTP/1.1 204 No Content
        worker >>
        worker << GET /three HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)


@pytest.mark.parametrize(
    "framing, start, end",
    [
        (b"Content-Length: 6", b"abc", b"def"),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"),
    ],
)
def test_what_comes_with_the_end_of_a_body_is_the_next_request(
    talk: Converse, framing: bytes, start: bytes, end: bytes
) -> None:
    is_chunked = framing.startswith(b"T")
    talk(
        r"""
        client >> POST /one HTTP/1.1
        client >> Host: example.org
        client >> $framing
        client >>
        client >> $start\
        worker << POST /one HTTP/1.1
        worker << ...
        worker <<
        client >> $end\
        client >> GET /two HTTP/1.1
        client >> Host: example.org
        client >>
        """
        + ("worker <~ abcdef\nworker << 0\nworker <<\n" if is_chunked else "worker << abcdef\\\n")
        + r"""
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        """
        + ("worker sees the end\n" if is_chunked else "")
        + r"""
        worker << GET /two HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        """.replace("worker ", "worker-2 " if is_chunked else "worker ")
        + r"""
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
        words={"framing": framing, "start": start, "end": end},
    )


def test_nothing_is_read_of_a_connection_that_the_client_wants_closed(talk: Converse) -> None:
    talk(r"""
        client >> GET /last HTTP/1.1
        client >> Host: example.org
        client >> Connection: close
        client >>
        client >> GET /ignored HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET /last HTTP/1.1
        worker << ... (no connection)
        worker <<
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
    """)


def test_a_worker_that_closes_does_not_close_the_client(talk: Converse) -> None:
    talk(r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 2
        worker >> Connection: close
        worker >>
        worker >> ok\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client <<
        client << ok\
        worker sees the end
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker-2 << GET / HTTP/1.1
        worker-2 << ...
        worker-2 <<
        worker-2 >> HTTP/1.1 204 No Content
        worker-2 >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)


def test_hop_by_hop_fields_stay_on_their_hop(talk: Converse) -> None:
    talk(r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >> Connection: X-Mine, keep-alive, Content-Length
        client >> Keep-Alive: timeout=5
        client >> Proxy-Authorization: Basic x
        client >> Proxy-Connection: keep-alive
        client >> TE: gzip, trailers
        client >> X-Mine: mine
        client >> X-Other: other
        client >>
        worker << GET / HTTP/1.1
        worker << host: example.org
        worker << x-other: other
        worker << te: trailers
        worker << ... (no x-mine, connection, keep-alive, proxy-authorization, proxy-connection)
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Connection: X-Worker
        worker >> X-Worker: mine
        worker >> Keep-Alive: timeout=5
        worker >> Proxy-Authenticate: Basic
        worker >> Content-Length: 0
        worker >> X-Answer: ours
        worker >>
        client << HTTP/1.1 200 OK
        client << x-answer: ours
        client << date: *
        client << content-length: 0
        client <<
    """)


HTTP_1_0 = r"""
        client >> GET / HTTP/1.0
        client >> $connection
        client >>
        worker << GET / HTTP/1.1
        worker << host:*
        worker << ... (no connection)
        worker <<
"""


def test_a_client_of_http_1_0_gets_one_answer(talk: Converse) -> None:
    talk(
        HTTP_1_0
        + r"""
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
    """,
        words={"connection": b"Accept: */*"},
    )


def test_a_client_of_http_1_0_may_ask_to_stay(talk: Converse) -> None:
    talk(
        HTTP_1_0
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 2
        worker >>
        worker >> ok\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client << connection: keep-alive
        client <<
        client << ok\
        client >> GET / HTTP/1.0
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client << connection: close
        client <<
        client sees the end
    """,
        words={"connection": b"Connection: Keep-Alive"},
    )


@pytest.mark.parametrize("connection", [b"Connection: keep-alive", b"Connection: close"])
def test_a_client_of_http_1_0_gets_no_chunks(talk: Converse, connection: bytes) -> None:
    talk(
        HTTP_1_0
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        --
        worker >> 3
        worker >> abc
        client << HTTP/1.1 200 OK
        client << date: *
        client << connection: close
        client <<
        client << abc\
        worker >> 2
        worker >> de
        worker >> 0
        worker >> X-Checksum: 7
        worker >>
        client << de\
        client sees the end
    """,
        words={"connection": connection},
    )


def test_a_client_of_http_1_0_is_not_made_to_wait_for_continue(talk: Converse) -> None:
    talk(r"""
        client >> POST / HTTP/1.0
        client >> Content-Length: 3
        client >> Expect: 100-continue
        client >>
        --
        client >> abc\
        worker << POST / HTTP/1.1
        worker << ... (no expect)
        worker << content-length: 3
        worker <<
        worker << abc\
        worker >> HTTP/1.1 100 Continue
        worker >>
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client << connection: close
        client <<
        client sees the end
    """)


def test_the_authority_of_an_absolute_target_replaces_host(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET http://real.example:8080/path?query HTTP/1.1
        client >> Host: other.example
        client >>
        worker << GET /path?query HTTP/1.1
        worker << host: real.example:8080
        worker << ...
        worker << x-forwarded-host: real.example:8080
        worker << x-forwarded-proto: http
        worker << x-forwarded-port: 8080
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        client >> GET http://[2001:db8::1] HTTP/1.1
        client >> Host: other.example
        client >>
        worker << GET / HTTP/1.1
        worker << host: [2001:db8::1]
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)
    assert [(e.path, e.query, e.host) for e in stage.exchanges] == [
        ("/path", "query", "real.example:8080"),
        ("/", "", "[2001:db8::1]"),
    ]


def test_options_may_ask_about_the_whole_server(talk: Converse) -> None:
    talk(r"""
        client >> OPTIONS * HTTP/1.1
        client >> Host: [::1]:3000
        client >>
        worker << OPTIONS \* HTTP/1.1
        worker << host: [::1]:3000
        worker << ...
        worker << x-forwarded-port: 3000
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)


def test_target_and_values_pass_byte_for_byte(talk: Converse) -> None:
    talk(r"""
        client >> GET //a/../b/%2e%2E/c;x=1?p=a;b&q=%zz&& HTTP/1.1
        client >> Host: example.org
        client >> Cookie: a=1; \xe4\xff=2,,
        client >>
        worker << GET //a/../b/%2e%2E/c;x=1?p=a;b&q=%zz&& HTTP/1.1
        worker << host: example.org
        worker << cookie: a=1; \xe4\xff=2,,
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 Fine \xfc and dandy
        worker >> Content-Length: 0
        worker >> X-Latin: \xe9
        worker >>
        client << HTTP/1.1 200 OK
        client << x-latin: \xe9
        client << date: *
        client << content-length: 0
        client <<
    """)


def test_one_client_more_than_there_is_room_for_is_closed_at_once() -> None:
    async def story(stage: Stage) -> None:
        stage.front.max_connections = 2
        for number in (1, 2, 3):
            stage.client(number).send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        assert len(stage.loop.accepted) == 2
        assert stage.client(3).saw_end or stage.client(3).saw_reset
        stage.client(1).reset()
        await stage.settled()
        stage.client(4).send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        assert len(stage.loop.accepted) == 3
        for worker in stage.loop.accepted[1:]:
            worker.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await stage.settled()
        for number in (2, 4):
            assert stage.client(number).take().startswith(b"HTTP/1.1 204 ")

    stage = perform(story)
    assert [e.status for e in stage.exchanges] == [499, 204, 204]


@pytest.mark.slow
def test_ten_thousand_pipelined_requests_are_answered_in_order() -> None:
    """The client is paused while its requests wait; nothing is lost, nothing recurses."""
    count = 10_000

    async def story(stage: Stage) -> None:
        client = stage.client()
        for number in range(count):
            client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        await stage.settled()
        assert len(stage.connections[0]._held) < 512 * 1024
        for number in range(count):
            received = stage.worker().take()
            assert received.startswith(b"GET /%d HTTP/1.1\r\n" % number) and received.count(b"HTTP/1.1") == 1
            stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n%05d" % number)
            await stage.settled()
        answers = client.take().split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert [int(answer[-5:]) for answer in answers] == list(range(count))

    perform(story)
