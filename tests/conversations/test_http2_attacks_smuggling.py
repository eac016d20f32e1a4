"""Requests that would become two, or somebody else's, when HTTP/2 is put into HTTP/1.1: the worker never sees them."""

import pytest

from tests.support.http2_cases import AnsweringWorker, Fields, data, get, headers, outcome, post, pseudo
from tests.support.http2_stage import Http2Stage, perform_http2

REFUSED = "1: RST_STREAM PROTOCOL_ERROR"


def having(**values: str) -> list[tuple[str, str]]:
    """The pseudo-fields, some of them changed."""
    return list((dict(pseudo()) | {f":{name}": value for name, value in values.items()}).items())


SMUGGLED = " HTTP/1.1\r\nhost: example.org\r\n\r\nGET /admin"

# What a client has put into its head.
HEADS: list[tuple[str, Fields]] = [
    ("a request in the method", having(method="GET /" + SMUGGLED)),
    ("a blank in the method", having(method="GET /admin")),
    ("LF in the method", having(method="GET\n")),
    ("a request in the path", having(path="/" + SMUGGLED)),
    ("a blank in the path", having(path="/ HTTP/1.1")),
    ("a tab in the path", having(path="/\tHTTP/1.1")),
    ("NUL in the path", having(path="/\0")),
    ("CR in the path", having(path="/\rx: y")),
    ("an absolute path", having(path="http://example.org/")),
    ("another host's absolute path", having(path="http://evil.example/")),
    ("a path that begins with a host", having(path="evil.example/")),
    ("a fragment", having(path="/#x")),
    ("a field in the authority", having(authority="example.org\r\ntransfer-encoding: chunked")),
    ("a path in the authority", having(authority="example.org/admin?")),
    ("a query in the authority", having(authority="example.org?x")),
    ("userinfo in the authority", having(authority="example.org:80@evil.example")),
    ("two authorities", having(authority="example.org, evil.example")),
    ("a blank in the authority", having(authority="example.org evil.example")),
    ("a backslash in the authority", having(authority="example.org\\evil.example")),
    ("no port's number", having(authority="example.org:80a")),
    ("a field in the scheme", having(scheme="http\r\nx: y")),
    ("another scheme", having(scheme="file")),
    ("a path in the scheme", having(scheme="http://evil.example/?")),
    ("another host", [*pseudo(), ("host", "evil.example")]),
    ("two hosts", [*pseudo(), ("host", "example.org"), ("host", "example.org")]),
    ("another port in host", [*pseudo(), ("host", "example.org:81")]),
    ("CRLF in a value", [*pseudo(), ("x", "y\r\ntransfer-encoding: chunked")]),
    ("LF in a value", [*pseudo(), ("x", "y\ntransfer-encoding: chunked")]),
    ("CR in a value", [*pseudo(), ("x", "y\rtransfer-encoding: chunked")]),
    ("NUL in a value", [*pseudo(), ("x", "y\0")]),
    ("a folded value", [*pseudo(), ("x", "y\r\n z")]),
    ("a request in a value", [*pseudo(), ("x", "y\r\n\r\nGET /admin HTTP/1.1\r\nhost: x")]),
    ("a value of blanks", [*pseudo(), ("x", " ")]),
    ("CRLF in a name", [*pseudo(), ("x: y\r\ntransfer-encoding", "chunked")]),
    ("a colon in a name", [*pseudo(), ("transfer-encoding: chunked\r\nx", "y")]),
    ("a colon behind a name", [*pseudo(), ("transfer-encoding:", "chunked")]),
    ("a blank behind a name", [*pseudo(), ("transfer-encoding ", "chunked")]),
    ("a blank before a name", [*pseudo(), (" transfer-encoding", "chunked")]),
    ("a name in upper case", [*pseudo(), ("Transfer-Encoding", "chunked")]),
    ("NUL in a name", [*pseudo(), ("x\0", "y")]),
    ("no name", [*pseudo(), ("", "y")]),
    ("transfer-encoding", [*pseudo(), ("transfer-encoding", "chunked")]),
    ("transfer-encoding: identity", [*pseudo(), ("transfer-encoding", "identity")]),
    ("connection", [*pseudo(), ("connection", "content-length")]),
    ("upgrade", [*pseudo(), ("upgrade", "h2c")]),
    ("CR in a cookie", [*pseudo(), ("cookie", "a=b"), ("cookie", "c=d\r\nx: y")]),
    ("content-length twice", [*pseudo("POST"), ("content-length", "0"), ("content-length", "5")]),
    ("the same content-length twice", [*pseudo("POST"), ("content-length", "5"), ("content-length", "5")]),
    ("a list of content-lengths", [*pseudo("POST"), ("content-length", "5, 5")]),
    ("a content-length in octal", [*pseudo("POST"), ("content-length", "0o5")]),
    ("a content-length in hexadecimal", [*pseudo("POST"), ("content-length", "0x5")]),
    ("a negative content-length", [*pseudo("POST"), ("content-length", "-5")]),
    ("a content-length with a sign", [*pseudo("POST"), ("content-length", "+5")]),
    ("a content-length with an underscore", [*pseudo("POST"), ("content-length", "1_0")]),
    ("an empty content-length", [*pseudo("POST"), ("content-length", "")]),
    ("a content-length of another script", [*pseudo("POST"), ("content-length", "\xb2")]),
    ("a content-length beyond 64 bits", [*pseudo("POST"), ("content-length", "18446744073709551621")]),
]


@pytest.mark.parametrize("ends", [True, False], ids=["alone", "with content"])
@pytest.mark.parametrize(("what", "fields"), HEADS, ids=[what for what, _ in HEADS])
def test_a_worker_sees_nothing_of(what: str, fields: Fields, ends: bool) -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.raw(headers(1, fields, end=ends))
        if not ends:
            scene.client.raw(data(1, b"GET /admin HTTP/1.1\r\n\r\n", end=True))
        await scene.settled()
        scene.client.hear()
        assert outcome(scene.client, None) == REFUSED
        assert all(not worker.received for worker in scene.stage.loop.accepted)

    (exchange,) = perform_http2(story).exchanges
    assert exchange.error


def test_names_with_underscores_do_not_reach_the_worker() -> None:
    async def story(scene: Http2Stage) -> None:
        worker = AnsweringWorker(scene)
        scene.client.raw(
            get(1, "/", ("content_length", "5"), ("transfer_encoding", "chunked"), ("x-forwarded_for", "x"))
        )
        await worker.serve()
        assert b"_" not in b"".join(worker.got)
        assert scene.client.answer(1).status == "200"

    perform_http2(story)


# What comes behind a good head, and where the worker has got it already.
CONTENTS: list[tuple[str, tuple[tuple[str, str], ...], list[bytes]]] = [
    (
        "more than announced",
        (("content-length", "3"),),
        [data(1, b"ab"), data(1, b"cGET /admin HTTP/1.1\r\n\r\n", end=True)],
    ),
    (
        "more than announced, at once",
        (("content-length", "3"),),
        [data(1, b"abcGET /admin HTTP/1.1\r\n\r\n", end=True)],
    ),
    ("less than announced", (("content-length", "9"),), [data(1, b"abc"), data(1, end=True)]),
    ("less than announced, with trailers", (("content-length", "9"),), [data(1, b"abc"), headers(1, [("x", "y")])]),
    ("CRLF in trailers", (), [data(1, b"abc"), headers(1, [("x", "y\r\n\r\nGET /admin HTTP/1.1")])]),
    ("a length in trailers", (), [data(1, b"abc"), headers(1, [("content-length", "3")])]),
    ("transfer-encoding in trailers", (), [data(1, b"abc"), headers(1, [("transfer-encoding", "chunked")])]),
    ("a pseudo-field in trailers", (), [data(1, b"abc"), headers(1, [(":path", "/admin")])]),
    ("trailers that go on", (), [data(1, b"abc"), headers(1, [("x", "y")], end=False)]),
]


@pytest.mark.parametrize(("what", "fields", "pieces"), CONTENTS, ids=[row[0] for row in CONTENTS])
def test_a_worker_gets_no_whole_request_and_its_connection_is_closed(
    what: str, fields: tuple[tuple[str, str], ...], pieces: list[bytes]
) -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.raw(post(1, *fields, path="/upload"))
        await scene.settled()
        for piece in pieces:
            scene.client.raw(piece)
            await scene.settled()
        scene.client.hear()
        assert outcome(scene.client, None) == REFUSED
        (worker,) = scene.stage.loop.accepted
        assert worker.saw_end or worker.saw_reset
        content = bytes(worker.received).partition(b"\r\n\r\n")[2]
        assert content in (b"", b"ab", b"abc", b"3\r\nabc\r\n"), "and no end"

    (exchange,) = perform_http2(story).exchanges
    assert exchange.error


@pytest.mark.parametrize(
    "content", [b"0\r\n\r\nGET /admin HTTP/1.1\r\nhost: x\r\n\r\n", b"5\r\n", b"\r\n"], ids=["request", "size", "line"]
)
def test_content_that_looks_like_chunks_stays_content(content: bytes) -> None:
    async def story(scene: Http2Stage) -> None:
        worker = AnsweringWorker(scene)
        scene.client.raw(post(1))
        await worker.serve()
        scene.client.raw(data(1, content))
        await worker.serve()
        scene.client.raw(data(1, end=True))
        await worker.serve()
        assert b"".join(worker.got).endswith(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))
        assert scene.client.answer(1).status == "200"
        assert len(scene.stage.loop.accepted) == 1

    perform_http2(story)


def test_a_request_that_is_cut_off_ends_the_workers_connection() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.raw(post(1, ("content-length", "100")) + data(1, b"abc"))
        await scene.settled()
        scene.client.reset(1)
        scene.client.raw(get(3))
        await scene.settled()
        first, second = scene.stage.loop.accepted
        assert first.saw_end or first.saw_reset
        assert bytes(first.received).endswith(b"abc") and bytes(second.received).startswith(b"GET / ")

    perform_http2(story)
