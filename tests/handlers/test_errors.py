"""Pages for what goes wrong: honest, small, of the app's own if it has one, and never in the way."""

from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support.memory_requests import Following, ask, make_request
from thrust.errors import BadMessage, ClientGone, StaleConnection, ThrustError, UpstreamError
from thrust.handlers.errors import MAX_PAGE_BYTES, ErrorPages, Errors
from thrust.http.headers import FieldLine
from thrust.http.message import Response

BROWSER = (b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8")
UNAVAILABLE = UpstreamError("the worker is not ready: it boots", status=503, retry_after_s=2)

FAILURES = [
    (BadMessage("both Transfer-Encoding and Content-Length"), 400),
    (BadMessage("stalled", status=408), 408),
    (BadMessage("too large", status=413), 413),
    (BadMessage("too long", status=414), 414),
    (BadMessage("miracles", status=417), 417),
    (BadMessage("many", status=431), 431),
    (BadMessage("CONNECT", status=501), 501),
    (BadMessage("HTTP/3.0", status=505), 505),
    (UpstreamError("the worker closed the connection"), 502),
    (StaleConnection("the worker closed the connection"), 502),
    (UpstreamError("the worker did not answer", status=504), 504),
    (UNAVAILABLE, 503),
    (ThrustError("something"), 500),
    (ValueError("a defect"), 500),
]


def answer_to(
    failure: Exception, *fields: FieldLine, page: Path = Path("/nonexistent/502.html")
) -> tuple[Response, str, list[BaseException]]:
    """The response to `failure`, what the record says, and what was reported as unexpected."""
    unexpected: list[BaseException] = []
    request = make_request(fields=fields)
    handler = Errors(Following(failure), ErrorPages(page), unexpected.append)
    return ask(handler, request), request.exchange.error, unexpected


@pytest.mark.parametrize("failure, status", FAILURES)
@pytest.mark.parametrize("fields", [[], [BROWSER]], ids=["text", "html"])
def test_every_failure_has_a_page(failure: Exception, status: int, fields: list[FieldLine]) -> None:
    response, error, _ = answer_to(failure, *fields)
    assert response.status == status
    assert isinstance(response.body, bytes)
    kind = b"text/html; charset=utf-8" if fields else b"text/plain; charset=utf-8"
    assert response.headers.get_all(b"content-type") == [kind]
    assert response.headers.get_all(b"cache-control") == [b"no-store"]
    body = response.body.decode()
    assert body.endswith("\n") and len(body) < 1200
    if fields:
        assert f"<h1>{status} {HTTPStatus(status).phrase}</h1>" in body
    assert str(failure) in error


@pytest.mark.parametrize("failure, status", FAILURES)
def test_who_wrote_the_request_is_told_what_is_wrong_with_it_and_nobody_else_anything(
    failure: Exception, status: int
) -> None:
    response, _, _ = answer_to(failure)
    assert isinstance(response.body, bytes)
    assert (str(failure).encode() in response.body) is isinstance(failure, BadMessage)


def test_only_what_will_pass_says_when_to_come_again() -> None:
    for failure, status in FAILURES:
        response, _, _ = answer_to(failure, BROWSER)
        assert isinstance(response.body, bytes)
        assert response.headers.get_all(b"retry-after") == ([b"2"] if status == 503 else [])
        assert (b'http-equiv="refresh" content="2"' in response.body) is (status == 503)


def test_a_defect_of_ours_is_reported_and_not_shown() -> None:
    response, error, unexpected = answer_to(ValueError("secret"), BROWSER)
    assert isinstance(response.body, bytes) and b"secret" not in response.body
    assert error == "internal error: ValueError('secret')"
    assert [repr(one) for one in unexpected] == ["ValueError('secret')"]


def test_expected_failures_are_not_reported() -> None:
    for failure, _ in FAILURES[:-1]:
        assert answer_to(failure)[2] == []


def test_a_client_that_has_gone_gets_nothing() -> None:
    with pytest.raises(ClientGone):
        answer_to(ClientGone("gone"))


@pytest.mark.parametrize(
    "accepts, is_html",
    [
        (b"text/html", True),
        (b"application/json, text/html;q=0.1", True),
        (b"*/*", False),
        (b"application/json", False),
        (b"", False),
    ],
)
def test_html_is_for_those_who_ask_for_it(accepts: bytes, is_html: bool) -> None:
    response, _, _ = answer_to(UpstreamError("x"), (b"accept", accepts))
    assert response.headers.get(b"content-type", b"").startswith(b"text/html") is is_html


# Pages of one's own


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for name in ("502.html", "503.html", "504.html", "500.html", "400.html"):
        (tmp_path / name).write_text(f"<h1>ours, {name}</h1>")
    return tmp_path / "502.html"


@pytest.mark.parametrize("failure, status", FAILURES)
def test_the_workers_failures_have_pages_of_ones_own(failure: Exception, status: int, pages: Path) -> None:
    response, _, _ = answer_to(failure, page=pages)
    is_own = response.body == f"<h1>ours, {status}.html</h1>".encode()
    assert is_own is (status in (502, 503, 504))
    if is_own:
        assert response.headers.get_all(b"content-type") == [b"text/html; charset=utf-8"]
        assert response.headers.get_all(b"retry-after") == ([b"2"] if status == 503 else [])


def test_the_page_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "gateway.htm").write_text("ours")
    assert answer_to(UpstreamError("x"), page=tmp_path / "gateway.htm")[0].body == b"ours"
    response, _, _ = answer_to(UNAVAILABLE, page=tmp_path / "gateway.htm")
    assert response.status == 503 and response.body != b"ours"


def test_a_page_is_read_whenever_it_is_needed(tmp_path: Path) -> None:
    page = tmp_path / "502.html"
    handler = Errors(Following(UpstreamError("x")), ErrorPages(page), lambda _: None)
    bodies = []
    for text in (None, "one", "two", None):
        if text is None:
            page.unlink(missing_ok=True)
        else:
            page.write_text(text)
        bodies.append(ask(handler, make_request()).body)
    assert bodies[1:3] == [b"one", b"two"]
    assert bodies[0] == bodies[3] == b"The application failed to answer.\n"


def test_a_page_that_cannot_be_used_is_as_good_as_none(tmp_path: Path) -> None:
    too_large, folder = tmp_path / "large.html", tmp_path / "folder"
    too_large.write_bytes(b"x" * (MAX_PAGE_BYTES + 1))
    folder.mkdir()
    for page in (too_large, folder, too_large / "below-a-file"):
        assert answer_to(UpstreamError("x"), page=page)[0].body == b"The application failed to answer.\n"
    too_large.write_bytes(b"x" * MAX_PAGE_BYTES)
    assert answer_to(UpstreamError("x"), page=too_large)[0].body == b"x" * MAX_PAGE_BYTES


def test_a_page_that_nobody_may_read_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission bits do not stop root, so that the refusal has to be made."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    page = tmp_path / "502.html"
    page.write_text("ours")
    monkeypatch.setattr(Path, "open", refuse)
    assert answer_to(UpstreamError("x"), page=page)[0].body == b"The application failed to answer.\n"
