"""What the conversations cannot show of X-Sendfile."""

import asyncio

import pytest

from tests.support.memory_requests import Following, make_request, no_refusal
from thrust.handlers.send_file import HideSendFile, Paths, SendFile, offer_of
from thrust.http.headers import Headers
from thrust.http.message import Handler, Response

LINES = [(b"accept", b"*/*"), (b"x-own", b"1")]


def sending(following: Handler) -> SendFile:
    return SendFile(following, b"x-sendfile", Paths(None), no_refusal)


@pytest.mark.parametrize("is_on", [False, True])
def test_a_response_without_a_file_is_handed_on_untouched(is_on: bool) -> None:
    answer = Response(200, Headers([(b"x-own", b"1")]), b"body")
    lines = answer.headers.lines
    handler = sending(Following(answer)) if is_on else HideSendFile(Following(answer))
    assert asyncio.run(handler(make_request())) is answer
    assert answer.headers.lines is lines and answer.body == b"body"


@pytest.mark.parametrize(
    ("header", "name"), [(b"x-sendfile", b"X-Sendfile"), (b"x-accel-redirect", b"X-Accel-Redirect"), (b"x", b"X")]
)
def test_the_name_is_told_in_the_letter_case_that_rack_compares(header: bytes, name: bytes) -> None:
    assert offer_of(header) == [(b"x-sendfile-type", name)]
