"""What a worker may do wrong: the client gets a 502 or an aborted answer, never one that looks complete."""

import pytest

from tests.conversations.conftest import Converse

REQUEST = r"""
        client >> $method / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << $method / HTTP/1.1
        worker << ...
        worker <<
"""
BAD_GATEWAY = r"""
        worker sees the end
        client << HTTP/1.1 502 Bad Gateway
        client << content-type: text/plain; charset=utf-8
        client << cache-control: no-store
        client << date: *
        client << content-length: 34
        client <<
        client << The application failed to answer.\n\
"""

MALFORMED = {
    "not HTTP": b"hello\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/0.9": b"<html></html>\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a long status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 0\r\n\r\n",
    "a space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "a folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a bad length": b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "an interim without its end": b"HTTP/1.1 103 Early Hints\r\nLink: x\nHTTP/1.1 200 OK\r\n\r\n",
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
}


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_head_is_a_502(talk: Converse, answer: bytes, method: bytes) -> None:
    expected = BAD_GATEWAY if method != b"HEAD" else BAD_GATEWAY.replace(BAD_GATEWAY.splitlines()[-1], "")
    stage = talk(
        REQUEST
        + r"""
        worker >> $answer\
        """
        + expected,
        words={"answer": answer, "method": method},
    )
    assert [e.status for e in stage.exchanges] == [502]
    assert stage.exchanges[0].error.startswith("the worker sent a malformed response: ")


def test_a_large_head_is_a_502(talk_whole: Converse) -> None:
    for answer in (
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 66_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 66_000,
        b"HTTP/1.1 200 " + b"y" * 66_000,
    ):
        talk_whole(
            REQUEST
            + r"""
        worker >> $answer\
            """
            + BAD_GATEWAY,
            words={"answer": answer, "method": b"GET"},
        )


@pytest.mark.parametrize("how", ["closes", "resets", "half-closes"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_worker_that_closes_before_its_answer_is_a_502(talk: Converse, method: bytes, how: str) -> None:
    """No retry: the connection was new, so that the worker has got the request."""
    stage = talk(
        REQUEST
        + f"""
        worker {how}
        """
        + (BAD_GATEWAY if how == "half-closes" else BAD_GATEWAY.replace("worker sees the end", "")),
        words={"method": method},
    )
    assert [e.status for e in stage.exchanges] == [502]
    assert stage.exchanges[0].error.startswith("the worker closed the connection")
    assert stage.exchanges[0].error.endswith("before answering")


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_worker_that_closes_in_its_head_is_a_502(talk: Converse, how: str) -> None:
    stage = talk(
        REQUEST
        + f"""
        worker >> HTTP/1.1 200 OK
        worker >> Content-Le\\
        worker {how}
        """
        + BAD_GATEWAY.replace("worker sees the end", ""),
        words={"method": b"GET"},
    )
    assert stage.exchanges[0].error.endswith("in the middle of a response head")


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_worker_that_closes_after_an_interim_response_is_a_502(talk: Converse, how: str) -> None:
    talk(
        REQUEST
        + f"""
        worker >> HTTP/1.1 103 Early Hints
        worker >>
        client << HTTP/1.1 103 Early Hints
        client <<
        worker {how}
        """
        + BAD_GATEWAY.replace("worker sees the end", ""),
        words={"method": b"GET"},
    )


@pytest.mark.parametrize("how", ["closes", "resets"])
@pytest.mark.parametrize(
    "framing, part",
    [
        (b"Content-Length: 6", b"abc"),
        (b"Content-Length: 6", b""),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n"),
        (b"Transfer-Encoding: chunked", b"6\r\nabc"),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n"),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\nX: y\r\n"),
        (b"Transfer-Encoding: chunked", b""),
    ],
)
def test_a_body_that_breaks_off_does_so_for_the_client(talk: Converse, framing: bytes, part: bytes, how: str) -> None:
    seen = r"client <~ abc" if framing.startswith(b"T") else "client << abc\\"
    stage = talk(
        REQUEST
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> $framing
        worker >>
        worker >> $part\
        client << HTTP/1.1 200 OK
        client << date: *
        client << *: *
        client <<
        """
        + (seen if b"abc" in part else "")
        + f"""
        worker {how}
        client sees a reset
    """,
        words={"method": b"GET", "framing": framing, "part": part},
    )
    assert [e.status for e in stage.exchanges] == [200]
    assert "the worker closed the connection" in stage.exchanges[0].error
    assert "of the body" in stage.exchanges[0].error or "in chunks" in stage.exchanges[0].error


def test_a_body_until_close_that_is_reset_breaks_off(talk: Converse) -> None:
    talk(
        REQUEST
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >>
        worker >> abc\
        client << HTTP/1.1 200 OK
        client << date: *
        client << transfer-encoding: chunked
        client <<
        client <~ abc
        worker resets
        client sees a reset
    """,
        words={"method": b"GET"},
    )


def test_a_worker_that_never_comes_to_its_answer_is_a_502(talk_whole: Converse) -> None:
    early_hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    stage = talk_whole(
        REQUEST
        + r"""
        worker >> $hundred\
        client << $hundred\
        worker >> $one\
        """
        + BAD_GATEWAY,
        words={"method": b"GET", "hundred": early_hints * 100, "one": early_hints},
    )
    assert stage.exchanges[0].error.endswith("more than 100 interim responses")


BAD_CHUNKS = {
    "no number": b"xyz\r\n",
    "a sign": b"-3\r\nabc\r\n",
    "LF after the size": b"3\nabc\r\n",
    "no CRLF after the data": b"3\r\nabcXX",
    "a broken trailer": b"0\r\nX : y\r\n\r\n",
    "a length in a trailer": b"0\r\nContent-Length: 3\r\n\r\n",
}


@pytest.mark.parametrize("chunk", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_a_bad_chunk_breaks_the_answer_off(talk: Converse, chunk: bytes) -> None:
    stage = talk(
        REQUEST
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        --
        worker >> 3
        worker >> def
        client << HTTP/1.1 200 OK
        client << date: *
        client << transfer-encoding: chunked
        client <<
        client <~ def
        worker >> $chunk\
        & worker >> 0
        worker >>
        worker sees the end
        client may have received more
        client sees a reset
    """,
        words={"method": b"GET", "chunk": chunk},
    )
    assert "malformed" in stage.exchanges[0].error


def test_a_bad_chunk_that_comes_with_the_head_is_a_502(talk_whole: Converse) -> None:
    for chunk in BAD_CHUNKS.values():
        talk_whole(
            REQUEST
            + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        worker >> $chunk\
            """
            + BAD_GATEWAY,
            words={"method": b"GET", "chunk": chunk},
        )


@pytest.mark.parametrize(
    "framing, body",
    [
        (b"Content-Length: 3", b"abcd"),
        (b"Content-Length: 0", b"d"),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\nd"),
        (b"Transfer-Encoding: chunked", b"0\r\nX: y\r\n\r\nd"),
    ],
)
def test_bytes_after_the_end_make_the_answer_untrustworthy(talk_whole: Converse, framing: bytes, body: bytes) -> None:
    stage = talk_whole(
        REQUEST
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> $framing
        worker >>
        worker >> $body\
        """
        + BAD_GATEWAY,
        words={"method": b"GET", "framing": framing, "body": body},
    )
    assert "after the end" in stage.exchanges[0].error


@pytest.mark.parametrize(
    "framing, start, end",
    [
        (b"Content-Length: 6", b"abc", b"defg"),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\ng"),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\nX: y\r\n\r\ng"),
    ],
)
def test_bytes_after_the_end_break_off_an_answer_that_has_begun(
    talk_whole: Converse, framing: bytes, start: bytes, end: bytes
) -> None:
    stage = talk_whole(
        REQUEST
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> $framing
        worker >>
        worker >> $start\
        client << HTTP/1.1 200 OK
        client << date: *
        client << *: *
        client <<
        """
        + ("client <~ abc" if framing.startswith(b"T") else "client << abc\\")
        + r"""
        worker >> $end\
        worker sees the end
        client sees a reset
    """,
        words={"method": b"GET", "framing": framing, "start": start, "end": end},
    )
    assert "after the end" in stage.exchanges[0].error


@pytest.mark.parametrize("method, head", [(b"HEAD", b"200 OK"), (b"GET", b"204 No"), (b"GET", b"304 No")])
def test_content_where_none_may_be_is_dropped_with_its_connection(talk: Converse, method: bytes, head: bytes) -> None:
    talk(
        REQUEST
        + r"""
        worker >> HTTP/1.1 $head
        worker >>
        worker >> abc\
        client << HTTP/1.1 * *
        client << date: *
        client <<
        worker sees the end
    """,
        words={"method": method, "head": head},
    )


def test_bytes_on_an_idle_connection_end_it(talk: Converse) -> None:
    """They could be the answer to the next request, made by somebody else (response splitting)."""
    talk(
        (
            REQUEST
            + r"""
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 6
        worker >>
        worker >> forged\
        worker sees the end
        """
        )
        + REQUEST.replace("worker <<", "worker-2 <<")
        + r"""
        worker-2 >> HTTP/1.1 204 No Content
        worker-2 >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
        words={"method": b"GET"},
    )


def test_an_answer_before_the_end_of_the_upload_is_passed_on_and_ends_both(talk: Converse) -> None:
    stage = talk(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 1000
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        client >> abc\
        worker << abc\
        worker >> HTTP/1.1 403 Forbidden
        worker >> Content-Length: 2
        worker >>
        worker >> no\
        client << HTTP/1.1 403 Forbidden
        client << date: *
        client << content-length: 2
        client << connection: close
        client <<
        client << no\
        client sees the end
        worker sees the end
        client >> def\
        client sees nothing
    """)
    assert [(e.status, e.error) for e in stage.exchanges] == [(403, "")]


@pytest.mark.parametrize("how", ["closes", "resets", "half-closes"])
def test_an_answer_before_the_end_of_the_upload_and_then_the_end(talk: Converse, how: str) -> None:
    """gunicorn does so. What had been answered before the end counts."""
    talk(
        r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 1000
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 403 Forbidden
        worker >> Content-Length: 2
        worker >> Connection: close
        worker >>
        worker >> no\
        """
        + f"""
        & worker {how}
        """
        + r"""
        client << HTTP/1.1 403 Forbidden
        client << date: *
        client << content-length: 2
        client << connection: close
        client <<
        client << no\
        client sees the end
    """
        + ("worker sees the end" if how == "half-closes" else "")
    )


def test_an_upload_to_a_worker_that_dies_is_a_502_and_the_rest_is_ignored(talk: Converse) -> None:
    talk(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 1000
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        client >> abc\
        worker << abc\
        worker resets
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client << connection: close
        client <<
        client << The application failed to answer.\n\
        client sees the end
        client >> def\
        client sees nothing
        6 s pass
    """)


def test_both_directions_at_once_may_take_as_long_as_they_want(talk: Converse) -> None:
    """An app that answers while it reads (an echo) is no misbehaviour."""
    talk(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 4
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 4
        worker >>
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 4
        client << connection: close
        client <<
        client >> a\
        worker << a\
        worker >> A\
        client << A\
        25 s pass
        client >> bcd\
        worker << bcd\
        worker >> BCD\
        client << BCD\
        client sees the end
        1 s pass
        2 s pass
        worker sees the end
    """)
