"""Framing of content in both directions (RFC 9112 §6–7), and messages without any."""

import pytest

from tests.conversations.conftest import Converse

GET = r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ... (no content-length, transfer-encoding)
        worker <<
"""


def test_a_body_of_known_length_streams_as_it_comes(talk: Converse) -> None:
    stage = talk(r"""
        client >> PUT /file HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 10
        client >>
        worker << PUT /file HTTP/1.1
        worker << ... (no transfer-encoding)
        worker << content-length: 10
        worker <<
        client >> 01234\
        worker << 01234\
        client >> 56789\
        worker << 56789\
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 6
        worker >>
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 6
        client <<
        worker >> abc\
        client << abc\
        worker >> def\
        client << def\
    """)
    assert (stage.exchanges[0].request_content_length, stage.exchanges[0].body_bytes) == (10, 6)


def test_chunks_stream_both_ways_and_each_is_passed_on_at_once(talk: Converse) -> None:
    stage = talk(r"""
        client >> POST /file HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: Chunked
        client >>
        worker << POST /file HTTP/1.1
        worker << ... (no content-length)
        worker << transfer-encoding: chunked
        worker << connection: close
        worker <<
        client >> 5
        client >> hello
        worker <~ hello
        client >> 006;name="a;b"
        client >>  world
        client >> A;x
        client >> 0123456789
        worker <~  world0123456789
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        --
        worker >> 1
        worker >> a
        client << HTTP/1.1 200 OK
        client << date: *
        client << transfer-encoding: chunked
        client << connection: close
        client <<
        client <~ a
        client >> 0
        client >>
        worker << 0
        worker <<
        worker >> 00
        worker >>
        client << 0
        client <<
        client sees the end
        worker sees the end
    """)
    assert (stage.exchanges[0].request_content_length, stage.exchanges[0].body_bytes) == (21, 1)


def test_trailers_pass_both_ways_but_not_those_that_would_change_the_message(talk: Converse) -> None:
    talk(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >> Trailer: X-Checksum
        client >>
        --
        client >> 3
        client >> abc
        client >> 0
        client >> X-Checksum:  900150983cd24fb0
        client >> Authorization: Basic late
        client >> Host: evil.example
        client >> X-Forwarded-For: 192.0.2.1
        client >> X-Last: 1
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker << transfer-encoding: chunked
        worker << connection: close
        worker <<
        worker <~ abc
        worker << 0
        worker << x-checksum: 900150983cd24fb0
        worker << x-last: 1
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        worker >> 2
        worker >> ok
        worker >> 0
        worker >> Set-Cookie: late=1
        worker >> Server-Timing: total;dur=1
        worker >>
        client << HTTP/1.1 200 OK
        client << date: *
        client << transfer-encoding: chunked
        client <<
        client <~ ok
        client << 0
        client << server-timing: total;dur=1
        client <<
        worker sees the end
    """)


def test_a_connection_on_which_chunks_were_sent_is_not_used_again(talk_whole: Converse) -> None:
    """A worker that does not read them (Django's runserver, uWSGI) would take them for another client's request."""
    talk_whole(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        --
        client >> 3
        client >> abc
        client >> 0
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker << transfer-encoding: chunked
        worker << connection: close
        worker <<
        worker <~ abc
        worker << 0
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 2
        worker >>
        worker >> ok\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client <<
        client << ok\
        worker sees the end
    """)


def test_a_chunked_request_that_came_in_one_piece_gets_a_length(talk_whole: Converse) -> None:
    """Some WSGI servers know nothing of chunks; where the length is known they are spared them."""
    stage = talk_whole(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        client >> 3
        client >> abc
        client >> 0
        client >>
        worker << POST / HTTP/1.1
        worker << ... (no transfer-encoding)
        worker << content-length: 3
        worker <<
        worker << abc\
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        worker >> 2
        worker >> ok
        worker >> 0
        worker >>
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client <<
        client << ok\
    """)
    assert stage.exchanges[0].request_content_length == 3


@pytest.mark.parametrize("framing", [b"Content-Length: 0", b"X-Nothing: 1"])
def test_a_post_without_content_says_so(talk: Converse, framing: bytes) -> None:
    talk(
        r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> $framing
        client >>
        worker << POST / HTTP/1.1
        worker << ... (no transfer-encoding)
        worker << content-length: 0
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
        words={"framing": framing},
    )


def test_an_empty_chunked_request_is_an_empty_request(talk: Converse) -> None:
    talk(r"""
        client >> POST / HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        --
        client >> 0
        client >>
        worker << POST / HTTP/1.1
        worker << ...
        worker << transfer-encoding: chunked
        worker << connection: close
        worker <<
        worker << 0
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        worker sees the end
    """)


@pytest.mark.parametrize(
    "framing, seen",
    [
        (b"Content-Length: 1234", b"content-length: 1234"),
        (b"Content-Length: 0", b"content-length: 0"),
        (b"Transfer-Encoding: chunked", b""),
        (b"X-Nothing: 1", b""),
    ],
)
def test_the_answer_to_head_has_the_length_of_get_and_no_content(talk: Converse, framing: bytes, seen: bytes) -> None:
    """The client's connection carries the next exchange; the worker's does not, as a body may follow all the same."""
    fields = b"x-nothing: 1\r\n" if framing.startswith(b"X") else b""
    stage = talk(
        r"""
        client >> HEAD / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << HEAD / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> $framing
        worker >>
        client << HTTP/1.1 200 OK
        client << $fields\
        client << date: *
        client << $seen\
        client <<
        worker sees the end
        """
        + GET.replace("worker ", "worker-2 ")
        + r"""
        worker-2 >> HTTP/1.1 204 No Content
        worker-2 >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
        words={"framing": framing, "fields": fields, "seen": seen and seen + b"\r\n"},
    )
    assert [e.body_bytes for e in stage.exchanges] == [0, 0]


@pytest.mark.parametrize(
    "status, framing, seen",
    [
        (b"204", b"Content-Length: 0", b""),
        (b"204", b"X-Nothing: 1", b"x-nothing: 1"),
        (b"304", b"Content-Length: 0", b"content-length: 0"),
        (b"304", b"X-Nothing: 1", b"x-nothing: 1"),
    ],
)
def test_204_and_304_never_have_content(talk: Converse, status: bytes, framing: bytes, seen: bytes) -> None:
    before, after = (seen + b"\r\n", b"") if seen.startswith(b"x") else (b"", seen and seen + b"\r\n")
    talk(
        GET
        + r"""
        worker >> HTTP/1.1 $status What
        worker >> $framing
        worker >>
        client << HTTP/1.1 $status *
        client << $before\
        client << date: *
        client << $after\
        client <<
        """
        + GET
        + r"""
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
        words={"status": status, "framing": framing, "before": before, "after": after},
    )


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_204_that_announces_content_ends_its_connection(talk: Converse, framing: bytes) -> None:
    """What was announced may still come, and would be taken for the next response."""
    talk(
        GET
        + r"""
        worker >> HTTP/1.1 204 No Content
        worker >> $framing
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        worker sees the end
    """,
        words={"framing": framing},
    )


def test_an_answer_in_chunks_may_be_empty(talk: Converse) -> None:
    talk(
        GET
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        --
        worker >> 0
        worker >>
        client << HTTP/1.1 200 OK
        client << date: *
        client << transfer-encoding: chunked
        client <<
        client << 0
        client <<
    """
    )


def test_an_unknown_status_passes_without_a_reason(talk: Converse) -> None:
    talk(
        GET
        + r"""
        worker >> HTTP/1.1 299 Nearly
        worker >> Content-Length: 0
        worker >>
        client << HTTP/1.1 299 \
        client <<
        client << date: *
        client << content-length: 0
        client <<
    """
    )


def test_a_body_until_close_is_chunked_for_the_client(talk: Converse) -> None:
    talk(
        GET
        + r"""
        worker >> HTTP/1.1 200 OK
        worker >>
        --
        worker >> abc\
        client << HTTP/1.1 200 OK
        client << date: *
        client << transfer-encoding: chunked
        client <<
        client <~ abc
        worker >> de\
        client <~ de
        worker closes
        client << 0
        client <<
    """
        + GET.replace("worker <<", "worker-2 <<")
        + r"""
        worker-2 >> HTTP/1.1 204 No Content
        worker-2 >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """
    )


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nConnection: close"])
def test_a_worker_of_http_1_0_ends_its_answer_by_closing(talk: Converse, head: bytes) -> None:
    talk(
        GET
        + r"""
        worker >> $head
        worker >> Content-Type: text/plain
        worker >>
        worker >> abc\
        worker closes
        client << HTTP/1.1 200 OK
        client << content-type: text/plain
        client << date: *
        client << transfer-encoding: chunked
        client <<
        client <~ abc
        client << 0
        client <<
    """,
        words={"head": head},
    )


def test_a_worker_of_http_1_0_may_stay(talk: Converse) -> None:
    talk(
        (
            GET
            + r"""
        worker >> HTTP/1.0 200 OK
        worker >> Connection: Keep-Alive
        worker >> Content-Length: 2
        worker >>
        worker >> ok\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client <<
        client << ok\
    """
        )
        * 2
    )


@pytest.mark.slow
def test_large_bodies_arrive_as_they_were_sent(talk_whole: Converse) -> None:
    body = bytes(range(256)) * 2048
    for framing in (b"Content-Length: %d" % len(body), b"Connection: close"):
        is_fixed = framing.startswith(b"Content")
        talk_whole(
            r"""
        client >> PUT / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: $length
        client >>
        client >> $body\
        worker << PUT / HTTP/1.1
        worker << ...
        worker << content-length: $length
        worker <<
        worker << $body\
        worker >> HTTP/1.1 200 OK
        worker >> $framing
        worker >>
        worker >> $body\
        """
            + (
                r"""
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: $length
        client <<
        client << $body\
            """
                if is_fixed
                else r"""
        worker closes
        client << HTTP/1.1 200 OK
        client << date: *
        client << transfer-encoding: chunked
        client <<
        client <~ $body
        client << 0
        client <<
            """
            ),
            words={"length": b"%d" % len(body), "body": body, "framing": framing},
        )


def test_a_body_that_comes_with_its_head_is_joined_or_not(talk_whole: Converse) -> None:
    """Whole answers below and above the size up to which head and body are copied together."""
    for size in (1, 65_536, 65_537, 200_000):
        talk_whole(
            GET
            + r"""
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: $length
        worker >>
        worker >> $body\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: $length
        client <<
        client << $body\
        """,
            words={"length": b"%d" % size, "body": b"x" * size},
        )
