"""Requests that are refused: an honest answer, a closed connection, and a worker that never hears of them."""

import asyncio

import pytest

from tests.conversations.conftest import Converse
from tests.support.conversation import Stage, perform

REFUSED = [
    # What two parsers could read differently.
    ("both lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
    ("a list of lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", 400),
    ("a signed length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
    ("a negative length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400),
    ("a hexadecimal length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", 400),
    ("no length in its field", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    ("an endless length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    ("gzip, chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("chunked twice", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
    ("chunked in quotes", b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "chunked"\r\n\r\n', 400),
    ("two codings", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    ("xchunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
    ("chunked and a form feed", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0c\r\n\r\n", 400),
    ("chunks in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("bare LF", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("one bare LF", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    ("bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 400),
    ("NUL", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
    ("a space before a colon", b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
    ("a folded line", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
    ("a line without a name", b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400),
    ("a line without a colon", b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
    ("space before the first line", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("two spaces in the request line", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a tab in the request line", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("bytes beyond ASCII in the target", b"GET /\xfc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    # Host
    ("no host", b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("two hosts in one", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("a host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("a host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    ("a host with a wild port", b"GET / HTTP/1.1\r\nHost: a:66000\r\n\r\n", 400),
    ("an empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    # Targets, methods, versions
    ("authority form", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a fragment", b"GET /#top HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    ("a method of one's own", b"BREW /tea HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("HTTP/0.9", b"GET /\r\n\r\n", 400),
    ("an h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40, 400),
    ("an expectation of one's own", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417),
]

BEYOND_LIMITS = [
    ("101 fields", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
    ("a long target", b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("a large head", b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"a" * 66_000 + b"\r\n\r\n", 431),
    ("an endless head", b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"a" * 66_000, 431),
    ("an endless target", b"GET /" + b"a" * 66_000, 414),
]


REFUSAL = r"""
        client >> $request\
        client << HTTP/1.1 $status *
        client << content-type: text/plain; charset=utf-8
        client << cache-control: no-store
        client << date: *
        client << content-length: *
        client << connection: close
        client <<
        client << The *\
        client << \n\
        client sees the end
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        client sees nothing
"""


@pytest.mark.parametrize("request_bytes, status", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_request_is_refused_and_never_reaches_the_worker(talk: Converse, request_bytes: bytes, status: int) -> None:
    stage = talk(REFUSAL, words={"request": request_bytes, "status": b"%d" % status})
    (exchange,) = stage.exchanges
    assert exchange.status == status
    assert exchange.error
    assert exchange.peer_address == "203.0.113.7"
    assert exchange.body_bytes > 0


@pytest.mark.parametrize(
    "request_bytes, status", [row[1:] for row in BEYOND_LIMITS], ids=[row[0] for row in BEYOND_LIMITS]
)
def test_limits_are_kept(talk_whole: Converse, request_bytes: bytes, status: int) -> None:
    stage = talk_whole(REFUSAL, words={"request": request_bytes, "status": b"%d" % status})
    assert [e.status for e in stage.exchanges] == [status]


def test_limits_are_inclusive(talk_whole: Converse) -> None:
    fields = b"".join(b"X-%d: y\r\n" % number for number in range(99))
    for target, rest in ((b"/" + b"a" * 16383, b""), (b"/", fields), (b"/", b"Cookie: " + b"a" * 65_000 + b"\r\n")):
        talk_whole(
            r"""
        client >> GET $target HTTP/1.1
        client >> Host: a
        client >> $rest\
        client >>
        worker << GET $target HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
            words={"target": target, "rest": rest},
        )


BROKEN_CHUNKS = {
    "no number": b"xyz\r\n",
    "empty size": b"\r\n",
    "a sign": b"+3\r\nabc\r\n",
    "0x": b"0x3\r\nabc\r\n",
    "an underscore": b"1_0\r\n",
    "a space": b"3 \r\nabc\r\n",
    "too large": b"f" * 17 + b"\r\n",
    "LF after the size": b"3\nabc\r\n",
    "no CRLF after the data": b"3\r\nabcXX",
    "LF after the data": b"3\r\nabc\n0\r\n\r\n",
    "CR in an extension": b"3;a\rb\r\nabc\r\n",
    "an endless extension": b"3;" + b"a" * 600,
    "a broken trailer": b"0\r\nX : y\r\n\r\n",
    "a length in a trailer": b"0\r\nContent-Length: 3\r\n\r\n",
    "endless trailers": b"0\r\nX: " + b"y" * 9000,
}


@pytest.mark.parametrize("chunk", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_a_broken_chunk_ends_request_and_connections(talk: Converse, chunk: bytes) -> None:
    """Also when bytes follow that would complete the body for somebody who had read it differently."""
    stage = talk(
        r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        client >> $chunk\
        & client >> 0
        client >>
        client >> GET /smuggled HTTP/1.1
        client >> Host: example.org
        client >>
        client << HTTP/1.1 400 Bad Request
        client << ...
        client << connection: close
        client <<
        client << The request could not be understood. (*)\n\
        client sees the end
        worker may have received more
        worker sees the end
    """,
        words={"chunk": chunk},
    )
    assert [(e.path, e.status) for e in stage.exchanges] == [("/", 400)]


@pytest.mark.parametrize("turns", range(5))
def test_bytes_after_a_broken_chunk_are_never_understood(turns: int) -> None:
    """However long after it they come; here they would complete the body, and smuggle a request."""

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await stage.settled()
        client.send(b"z\r\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        client.send(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        answer = client.take()
        assert answer.startswith(b"HTTP/1.1 400 ") and b"\r\nconnection: close\r\n" in answer
        assert client.saw_end
        assert len(stage.loop.accepted) == 1

    stage = perform(story)
    assert [(e.path, e.status) for e in stage.exchanges] == [("/", 400)]


def test_a_broken_chunk_that_comes_with_its_head_never_reaches_the_worker(talk_whole: Converse) -> None:
    stage = talk_whole(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        client >> nonsense
        client << HTTP/1.1 400 Bad Request
        client << ...
        client <<
        client << The request could not be understood. (invalid chunk size *)\n\
        client sees the end
    """)
    assert [(e.path, e.status) for e in stage.exchanges] == [("/", 400)]


def test_a_broken_body_ends_an_answer_that_has_begun(talk: Converse) -> None:
    stage = talk(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 100
        worker >>
        worker >> abc\
        client << HTTP/1.1 200 OK
        client << ...
        client << connection: close
        client <<
        client << abc\
        client >> nonsense
        worker sees the end
        client sees a reset
    """)
    assert stage.exchanges[0].status == 200
    assert "invalid chunk size" in stage.exchanges[0].error


def test_a_refused_client_that_goes_on_sending_can_read_its_answer() -> None:
    """A reset would destroy the answer on its way (RFC 9112 §9.6): we read on for a while."""

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"nonsense\r\n\r\n")
        for _ in range(4):
            client.send(b"x" * 100_000)
            await stage.pass_time(1)
        assert client.take().startswith(b"HTTP/1.1 400 ")
        assert client.saw_end and not client.saw_reset
        assert not client.transport.is_closing()
        assert len(client.transport.incoming) == 0
        await stage.pass_time(2)
        assert client.transport.lost_calls == 1

    perform(story)


# MAX_REQUEST_BODY


def test_a_declared_length_beyond_the_limit_is_refused_before_anything_else(talk: Converse) -> None:
    stage = talk(
        r"""
        thrust has no worker
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 11
        client >> Expect: 100-continue
        client >>
        client << HTTP/1.1 413 *
        client << ...
        client << connection: close
        client <<
        client << The request is larger than this site accepts. (*11*10*)\n\
        client sees the end
    """,
        max_request_body_bytes=10,
    )
    assert [e.status for e in stage.exchanges] == [413]


def test_a_body_that_came_whole_and_is_too_large_does_not_cost_the_connection(talk_whole: Converse) -> None:
    talk_whole(
        r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 11
        client >>
        client >> 01234567890\
        client << HTTP/1.1 413 *
        client << ... (no connection)
        client <<
        client << The *\n\
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 10
        client >>
        client >> 0123456789\
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        worker << 0123456789\
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
        max_request_body_bytes=10,
    )


def test_chunks_beyond_the_limit_are_refused_while_they_pass(talk: Converse) -> None:
    stage = talk(
        r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        client >> a
        client >> 0123456789
        worker <~ 0123456789
        client >> 1
        client >> x\
        worker sees the end
        client << HTTP/1.1 413 *
        client << ...
        client << connection: close
        client <<
        client << The request is larger than this site accepts. (*)\n\
        client sees the end
    """,
        max_request_body_bytes=10,
    )
    assert [e.status for e in stage.exchanges] == [413]


def test_chunks_within_the_limit_pass_with_their_trailers(talk: Converse) -> None:
    talk(
        r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        client >> a
        client >> 0123456789
        client >> 0
        client >> X-Sum: 1
        client >>
        worker <~ 0123456789
        worker << 0
        worker << x-sum: 1
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        worker sees the end
    """,
        max_request_body_bytes=10,
    )


def test_a_client_that_sends_a_too_large_body_anyway_can_read_its_answer() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(10):
            client.send(b"x" * 100_000)
            await stage.settled()
        assert client.take().startswith(b"HTTP/1.1 413 ")
        assert client.saw_end and not client.saw_reset
        client.close()
        await stage.settled()
        assert client.transport.lost_calls == 1

    perform(story, max_request_body_bytes=1000)
