"""Messages: what they start with, and that a body which nobody will read is given up."""

import asyncio

import pytest

from tests.support.wire_streams import GivenBody
from thrust.http.exchange import Exchange
from thrust.http.headers import Headers
from thrust.http.message import Request, Response, Tunnel


class Connection(asyncio.Transport):
    is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


class Body(GivenBody):
    closings = 0

    def close(self) -> None:
        self.closings += 1


def test_a_request_without_content_is_the_default() -> None:
    exchange = Exchange("127.0.0.1", 0.0, 0.0)
    request = Request(b"GET", b"/x", Headers(), authority=b"a", exchange=exchange)
    assert (request.body, request.content_length, request.scheme) == (b"", 0, b"http")
    assert (request.origin, request.send_interim) == (None, None)
    assert not request.expects_continue
    assert not request.wants_upgrade
    assert repr(request) == "<Request GET b'/x'>"


def test_closing_a_response_gives_up_its_stream() -> None:
    body = Body([b"a"])
    Response(200, Headers(), body).close()
    assert body.closings == 1


def test_closing_a_response_closes_its_tunnel() -> None:
    connection = Connection()
    Response(101, Headers(), Tunnel(connection, b"left")).close()
    assert connection.is_aborted


def test_closing_a_response_of_bytes_does_nothing() -> None:
    response = Response(200, Headers(), b"content")
    response.close()
    assert response.body == b"content"
    assert repr(response) == "<Response 200 bytes>"


@pytest.mark.parametrize(
    ("content_type", "is_one"),
    [
        (b"text/event-stream", True),
        (b"text/event-stream; charset=utf-8", True),
        (b"text/html", False),
        (b"", False),
    ],
)
def test_an_event_stream_is_recognised(content_type: bytes, is_one: bool) -> None:
    assert Response(200, Headers([(b"content-type", content_type)])).is_event_stream is is_one


def test_an_exchange_begins_with_what_is_known_of_the_connection() -> None:
    exchange = Exchange("192.0.2.1", 1700000000.5, 42.0)
    assert (exchange.peer_address, exchange.remote_address) == ("192.0.2.1", "192.0.2.1")
    assert (exchange.started_at, exchange.started_s, exchange.finished_s) == (1700000000.5, 42.0, 42.0)
    assert (exchange.status, exchange.body_bytes, exchange.error) == (0, 0, "")
    exchange.method, exchange.path, exchange.status, exchange.error = "GET", "/x", 502, "the worker died"
    assert repr(exchange) == "<Exchange GET /x 502 the worker died>"
