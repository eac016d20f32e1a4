"""MAX_REQUEST_BODY: what is known to be too large goes no further, what turns out to be is stopped."""

import asyncio

import pytest

from tests.support.memory_requests import Following, Pieces, ask, make_request
from thrust.errors import BadMessage
from thrust.handlers.body_limit import BodyLimit
from thrust.http.message import Request


@pytest.mark.parametrize(
    "request_",
    [
        make_request(body=b"x" * 11, content_length=11),
        make_request(body=b"x" * 11, content_length=None),
        make_request(body=Pieces(b"x"), content_length=11),
    ],
    ids=["whole", "whole chunks", "declared"],
)
def test_a_known_length_beyond_the_limit_goes_no_further(request_: Request) -> None:
    following = Following()
    with pytest.raises(BadMessage, match="request body of 11 bytes or more, at most 10 are accepted") as raised:
        ask(BodyLimit(following, max_bytes=10), request_)
    assert raised.value.status == 413
    assert following.requests == []


@pytest.mark.parametrize(
    "request_",
    [
        make_request(),
        make_request(body=b"x" * 10, content_length=10),
        make_request(body=Pieces(b"x" * 10), content_length=10),
    ],
    ids=["none", "whole", "declared"],
)
def test_a_known_length_within_the_limit_passes_untouched(request_: Request) -> None:
    following = Following()
    body = request_.body
    ask(BodyLimit(following, max_bytes=10), request_)
    assert following.requests[0].body is body


def test_an_unknown_length_is_counted() -> None:
    stream = Pieces(b"12345", b"67890", b"x", b"never")
    stream.trailers.append((b"x-sum", b"1"))
    request = make_request(body=stream, content_length=None)
    following = Following()
    ask(BodyLimit(following, max_bytes=10), request)
    body = following.requests[0].body
    assert not isinstance(body, bytes)

    async def story() -> None:
        assert await body.read() == b"12345"
        assert await body.read() == b"67890"
        with pytest.raises(BadMessage, match="11 bytes or more"):
            await body.read()

    asyncio.run(story())
    assert body.trailers == [(b"x-sum", b"1")]
    body.close()
    assert stream.is_closed
