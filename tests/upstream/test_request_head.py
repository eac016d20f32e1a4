"""The head that the worker gets: what was understood, in one spelling."""

import pytest

from tests.support.memory_requests import Pieces, make_request
from thrust.http.headers import FieldLine
from thrust.http.message import Body, Origin
from thrust.upstream.request_head import request_head

ORIGIN = Origin(
    address=b"192.0.2.1",
    forwarded_for=b"192.0.2.1, 10.0.0.1",
    scheme=b"https",
    host=b"public.example",
    port=b"443",
    request_start=b"t=1",
    request_id=b"id",
)


def test_a_request_whose_start_nobody_told_starts_when_it_arrived() -> None:
    request = make_request()
    request.exchange.started_at = 1_800_000_000.25
    request.origin = Origin(b"a", b"a", b"http", b"h", b"80", b"", b"id")
    assert b"\r\nx-request-start: t=1800000000250\r\n" in request_head(request)


@pytest.mark.parametrize(
    "method, body, content_length, framing",
    [
        (b"GET", b"", 0, []),
        (b"HEAD", b"", 0, []),
        (b"DELETE", b"", 0, []),
        (b"POST", b"", 0, [b"content-length: 0"]),
        (b"PUT", b"", 0, [b"content-length: 0"]),
        (b"PATCH", b"", 0, [b"content-length: 0"]),
        (b"POST", b"abc", 3, [b"content-length: 3"]),
        (b"GET", b"abc", 3, [b"content-length: 3"]),
        (b"POST", b"abc", None, [b"content-length: 3"]),
        (b"POST", b"", None, [b"content-length: 0"]),
        (b"GET", b"", None, []),
        (b"POST", Pieces(b"abc"), 3, [b"content-length: 3"]),
        (b"POST", Pieces(b"abc"), None, [b"transfer-encoding: chunked", b"connection: close"]),
        (b"GET", Pieces(b"abc"), None, [b"transfer-encoding: chunked", b"connection: close"]),
    ],
)
def test_content_is_framed_in_exactly_one_way(
    method: bytes, body: Body, content_length: int | None, framing: list[bytes]
) -> None:
    request = make_request(b"/a?b", method=method, body=body, content_length=content_length)
    lines = [method + b" /a?b HTTP/1.1", b"host: example.org", *framing, b"", b""]
    assert request_head(request).split(b"\r\n") == lines


def test_fields_pass_in_order() -> None:
    fields: list[FieldLine] = [(b"b", b"1"), (b"a", b""), (b"b", b"2")]
    request = make_request(fields=fields)
    assert request_head(request) == b"GET / HTTP/1.1\r\nhost: example.org\r\nb: 1\r\na: \r\nb: 2\r\n\r\n"


def test_the_origin_is_written_in_full() -> None:
    request = make_request(authority=b"inner")
    request.origin = ORIGIN
    assert request_head(request) == (
        b"GET / HTTP/1.1\r\nhost: inner\r\n"
        b"x-forwarded-for: 192.0.2.1, 10.0.0.1\r\nx-forwarded-host: public.example\r\n"
        b"x-forwarded-proto: https\r\nx-forwarded-port: 443\r\nx-real-ip: 192.0.2.1\r\n"
        b"x-request-start: t=1\r\nx-request-id: id\r\n\r\n"
    )


def test_a_websocket_and_an_expectation_are_passed_on() -> None:
    request = make_request(method=b"POST", body=Pieces(), content_length=1)
    request.expects_continue = True
    assert request_head(request).endswith(b"content-length: 1\r\nexpect: 100-continue\r\n\r\n")
    request = make_request()
    request.wants_upgrade = True
    assert request_head(request).endswith(b"\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
