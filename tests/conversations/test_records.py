"""What observers see: one record per exchange, true to what went over the wire, whatever happened."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.conversation import Stage, perform


def test_a_record_of_an_ordinary_exchange(talk: Converse) -> None:
    stage = talk(r"""
        client >> POST /a/b?c=d&e HTTP/1.1
        client >> Host: example.org:3000
        client >> User-Agent: test
        client >> Content-Type: text/plain
        client >> Content-Length: 3
        client >> X-Request-ID: trace-1
        client >>
        client >> abc\
        worker << POST /a/b?c=d&e HTTP/1.1
        worker << ...
        worker <<
        worker << abc\
        worker >> HTTP/1.1 201 Created
        worker >> Content-Type: application/json
        worker >> Content-Length: 2
        worker >>
        worker >> {}\
        client << HTTP/1.1 201 Created
        client << ...
        client <<
        client << {}\
    """)
    (exchange,) = stage.exchanges
    assert (exchange.method, exchange.path, exchange.query) == ("POST", "/a/b", "c=d&e")
    assert (exchange.host, exchange.protocol, exchange.request_id) == ("example.org:3000", "HTTP/1.1", "trace-1")
    assert (exchange.peer_address, exchange.remote_address) == ("203.0.113.7", "203.0.113.7")
    assert (exchange.request_content_length, exchange.status, exchange.body_bytes) == (3, 201, 2)
    assert (exchange.cache, exchange.error) == ("", "")
    assert exchange.request_headers is not None and exchange.response_headers is not None
    assert exchange.request_headers.get(b"user-agent") == b"test"
    assert exchange.response_headers.get(b"content-type") == b"application/json"
    assert exchange.finished_s >= exchange.started_s


def test_a_request_that_never_parsed_has_a_record(talk: Converse) -> None:
    stage = talk(r"""
        client >> nonsense
        client >>
        client << HTTP/1.1 400 Bad Request
        client << ...
        client <<
        client << The request could not be understood. (invalid request line *)\n\
        client sees the end
    """)
    (exchange,) = stage.exchanges
    assert (exchange.status, exchange.error) == (400, "invalid request line 'nonsense'")
    assert (exchange.method, exchange.path, exchange.protocol, exchange.request_id) == ("", "", "", "")
    assert exchange.body_bytes == len("The request could not be understood. (invalid request line 'nonsense')\n")
    assert exchange.peer_address == exchange.remote_address == "203.0.113.7"
    assert exchange.response_headers is not None


def test_a_request_whose_content_never_parsed_says_which_it_was(talk_whole: Converse) -> None:
    stage = talk_whole(r"""
        client >> POST /upload HTTP/1.1
        client >> Host: example.org
        client >> Transfer-Encoding: chunked
        client >>
        client >> nonsense
        client << HTTP/1.1 400 Bad Request
        client << ...
        client <<
        client << The request could not be understood. (*)\n\
        client sees the end
    """)
    (exchange,) = stage.exchanges
    assert (exchange.method, exchange.path, exchange.status) == ("POST", "/upload", 400)
    assert "invalid chunk size" in exchange.error


@pytest.mark.parametrize("target, path, query", [("/?", "/", ""), ("/%C3%BC?a?b", "/%C3%BC", "a?b"), ("//", "//", "")])
def test_paths_are_recorded_as_they_came(talk: Converse, target: str, path: str, query: str) -> None:
    stage = talk(
        rf"""
        client >> GET {target} HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET {target} HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """
    )
    assert [(e.path, e.query) for e in stage.exchanges] == [(path, query)]


def test_body_bytes_count_content_without_framing(talk: Converse) -> None:
    stage = talk(r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Transfer-Encoding: chunked
        worker >>
        --
        worker >> 3;x=y
        worker >> abc
        --
        worker >> 2
        worker >> de
        worker >> 0
        worker >> X-Sum: 1
        worker >>
        client << HTTP/1.1 200 OK
        client << ...
        client <<
        client <~ abcde
        client << 0
        client << x-sum: 1
        client <<
    """)
    assert stage.exchanges[0].body_bytes == 5


def test_an_exchange_is_recorded_when_it_is_over_not_before() -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stage.settled()
        stage.worker().send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await stage.settled()
        assert stage.exchanges == []
        stage.worker().send(b"k")
        await stage.settled()
        assert len(stage.exchanges) == 1

    perform(story)


def test_every_observer_sees_every_exchange() -> None:
    seen: list[str] = []

    async def story(stage: Stage) -> None:
        stage.observers.append(lambda exchange: seen.append(exchange.path))
        client = stage.client()
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
        await stage.settled()
        stage.worker().send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await stage.settled()

    stage = perform(story)
    assert seen == [exchange.path for exchange in stage.exchanges] == ["/1", ""]
