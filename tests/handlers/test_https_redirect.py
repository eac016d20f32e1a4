"""Plain HTTP becomes HTTPS, and browsers are told to insist on it."""

import asyncio

import pytest

from thrust.errors import BadMessage
from thrust.handlers.https_redirect import HttpsRedirect, StrictTransport
from thrust.http.exchange import Exchange
from thrust.http.headers import Headers
from thrust.http.message import Origin, Request, Response

PUBLIC = "9.9.9.9"


def request_for(
    host: bytes, target: bytes = b"/", *, scheme: bytes = b"http", method: bytes = b"GET", address: str = PUBLIC
) -> Request:
    request = Request(method, target, Headers(), host, Exchange(address, 0.0, 0.0), scheme=scheme)
    request.origin = Origin(address.encode(), address.encode(), scheme, host, b"80", b"", b"id")
    return request


async def app(request: Request) -> Response:
    return Response(200, Headers(), b"app")


def answer(request: Request, port: int | None = 443, health_path: str | None = "/up") -> Response:
    """What a site for app.example.com, ::1 and 127.0.0.1 answers."""
    ours = {"app.example.com", "[::1]", "127.0.0.1"}
    redirect = HttpsRedirect(app, port=port, serves_host=ours.__contains__, health_path=health_path)
    return asyncio.run(redirect(request))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("port", "host", "target", "location"),
    [
        (443, b"app.example.com", b"/", b"https://app.example.com/"),
        (443, b"App.Example.com:80", b"/a/b?c=%20&d", b"https://App.Example.com/a/b?c=%20&d"),
        (8443, b"app.example.com", b"/a", b"https://app.example.com:8443/a"),
        (8443, b"app.example.com:8080", b"/a", b"https://app.example.com:8443/a"),
        (8443, b"[::1]:8080", b"/a", b"https://[::1]:8443/a"),
        (443, b"127.0.0.1:8080", b"//evil.example/", b"https://127.0.0.1//evil.example/"),
        (443, b"app.example.com", b"*", b"https://app.example.com/"),
        # Both are spoken on one port, and the client has found that.
        (None, b"app.example.com:3000", b"/a", b"https://app.example.com:3000/a"),
        (None, b"app.example.com", b"/a", b"https://app.example.com/a"),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_plain_request_is_redirected_to_the_same_place(
    port: int | None, host: bytes, target: bytes, location: bytes, method: bytes
) -> None:
    response = answer(request_for(host, target, method=method), port)
    assert (response.status, response.headers.get(b"location")) == (308, location)
    assert response.headers.get(b"cache-control") == b"no-store"


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example:443", b"app.example.com.evil.example", b"127.0.0.2"])
def test_a_host_that_is_not_ours_is_misdirected(host: bytes) -> None:
    with pytest.raises(BadMessage, match="no certificate here is for") as refusal:
        answer(request_for(host))
    assert refusal.value.status == 421


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b":80",
        b"app.example.com:80:80",
        b"a@app.example.com",
        b"app.example.com@evil.example",
        b"app.example.com/x",
        b"evil.example\\.app.example.com",
        b"evil.example#.app.example.com",
        b"app.example.com\n",
        b"app.example.com\r\nx: y",
        b"[::1].evil.example",
        b"app.example.com,evil.example",
    ],
)
def test_a_request_without_a_usable_host_is_bad(host: bytes) -> None:
    with pytest.raises(BadMessage) as refusal:
        answer(request_for(host))
    assert refusal.value.status == 400


def test_what_came_over_https_passes() -> None:
    assert answer(request_for(b"anything", scheme=b"https")).status == 200


def test_what_a_trusted_proxy_got_over_https_passes() -> None:
    request = request_for(b"anything")
    assert request.origin is not None
    request.origin.scheme = b"https"
    assert answer(request).status == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "172.18.0.5", "10.1.2.3", "fd00::1"])
@pytest.mark.parametrize("target", [b"/up", b"/up?verbose"])
def test_a_health_check_from_a_private_network_is_answered(address: str, target: bytes) -> None:
    assert answer(request_for(b"172.18.0.3:3000", target, address=address)).status == 200


@pytest.mark.parametrize(
    ("address", "target", "health_path"),
    [
        (PUBLIC, b"/up", "/up"),
        ("2001:4860::1", b"/up", "/up"),
        ("", b"/up", "/up"),
        ("127.0.0.1", b"/upper", "/up"),
        ("127.0.0.1", b"/", "/up"),
        ("127.0.0.1", b"/up", None),
        ("127.0.0.1", b"", None),
    ],
)
def test_nothing_else_is_a_health_check(address: str, target: bytes, health_path: str | None) -> None:
    assert answer(request_for(b"app.example.com", target, address=address), health_path=health_path).status == 308


def strict(response: Response) -> StrictTransport:
    async def below(request: Request) -> Response:
        return response

    return StrictTransport(below, max_age_s=600)


@pytest.mark.parametrize(
    ("scheme", "own", "expected"),
    [
        (b"https", [], [b"max-age=600"]),
        (b"https", [b"max-age=1; preload"], [b"max-age=1; preload"]),
        (b"http", [], []),
    ],
)
def test_answers_over_https_say_how_long_to_insist(scheme: bytes, own: list[bytes], expected: list[bytes]) -> None:
    lines = [(b"strict-transport-security", value) for value in own]
    response = asyncio.run(strict(Response(200, Headers(lines)))(request_for(b"a", scheme=scheme)))  # type: ignore[arg-type]
    assert response.headers.get_all(b"strict-transport-security") == expected


def test_what_comes_out_of_memory_again_says_it_once() -> None:
    stored = Response(200, Headers())
    at_once = strict(stored).at_once(lambda request: stored)
    for _ in range(3):
        response = at_once(request_for(b"a", scheme=b"https"))
        assert response is stored
    assert stored.headers.get_all(b"strict-transport-security") == [b"max-age=600"]


def test_what_is_not_in_memory_is_asked_for_otherwise() -> None:
    assert strict(Response(200, Headers())).at_once(lambda request: None)(request_for(b"a")) is None
