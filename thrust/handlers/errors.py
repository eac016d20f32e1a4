"""The one place that turns errors into responses.

A person gets a small page, a program a line of text; both say what happened without telling what the inside looks
like. The worker's failures (502, 503, 504) may have a page of the app's own: BAD_GATEWAY_PAGE, and `503.html` and
`504.html` beside it, read when needed so that a deploy may bring new ones.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from thrust.errors import BadMessage, ClientGone, ThrustError, UpstreamError
from thrust.http.headers import Headers
from thrust.http.message import Handler, Request, Response

MAX_PAGE_BYTES = 1 << 20
"""A page of one's own beyond this is a mistake."""

_WORDS = {
    400: "The request could not be understood.",
    404: "There is nothing here.",
    408: "The request took too long to arrive.",
    413: "The request is larger than this site accepts.",
    414: "The address is longer than this site accepts.",
    417: "The request expects something that this site does not offer.",
    421: "This site is not the one that the request is for.",
    431: "The request's header is larger than this site accepts.",
    500: "Something went wrong.",
    501: "The request asks for something that this site does not offer.",
    502: "The application failed to answer.",
    503: "The application is starting. Please try again in a moment.",
    504: "The application took too long to answer.",
    505: "The request uses a version of HTTP that this site does not speak.",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<title>{status} {phrase}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 1rem;
color: #333; background: #fafafa; }}
h1 {{ font-size: 1.25rem; margin: 0; }} p {{ margin: .25rem 0; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #161616; }} }}
</style>
</head>
<body><main><h1>{status} {phrase}</h1><p>{words}</p></main></body>
</html>
"""


class ErrorPages:
    """Makes the responses to errors. `bad_gateway_page` is where the app's own page for 502 may be."""

    def __init__(self, bad_gateway_page: Path) -> None:
        self._own_pages = {
            502: bad_gateway_page,
            503: bad_gateway_page.with_name("503.html"),
            504: bad_gateway_page.with_name("504.html"),
        }

    def response(self, error: ThrustError, *, wants_html: bool = False) -> Response:
        """The built-in answer to `error`: text, or a page for a client that prefers one."""
        status = getattr(error, "status", 500)
        retry_after_s = error.retry_after_s if isinstance(error, UpstreamError) else None
        phrase = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
        words = _WORDS.get(status, "")
        if wants_html:
            refresh = f'\n<meta http-equiv="refresh" content="{retry_after_s}">' if retry_after_s else ""
            page = _PAGE.format(status=status, phrase=phrase, words=words, refresh=refresh)
            return _response(status, b"text/html; charset=utf-8", page.encode(), retry_after_s)
        # A client that wrote the request itself is helped by what was wrong with it; it has sent it, so it knows it.
        detail = f" ({error})" if isinstance(error, BadMessage) else ""
        return _response(status, b"text/plain; charset=utf-8", f"{words}{detail}\n".encode(), retry_after_s)

    async def find(self, error: ThrustError, *, wants_html: bool) -> Response:
        """The app's own page for `error` if it has one, else the built-in answer."""
        status = getattr(error, "status", 500)
        own = self._own_pages.get(status)
        if own is not None:
            page = await asyncio.to_thread(_read_page, own)
            if page is not None:
                retry_after_s = error.retry_after_s if isinstance(error, UpstreamError) else None
                return _response(status, b"text/html; charset=utf-8", page, retry_after_s)
        return self.response(error, wants_html=wants_html)


def _read_page(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            page = file.read(MAX_PAGE_BYTES + 1)
    except OSError:
        return None
    return page if len(page) <= MAX_PAGE_BYTES else None


def _response(status: int, content_type: bytes, body: bytes, retry_after_s: int | None) -> Response:
    headers = Headers([(b"content-type", content_type), (b"cache-control", b"no-store")])
    if retry_after_s is not None:
        headers.add(b"retry-after", b"%d" % retry_after_s)
    return Response(status, headers, body)


class Errors:
    """Answers what fails below it in the chain; only a client that has gone gets no answer."""

    def __init__(self, following: Handler, pages: ErrorPages, log_unexpected: Callable[[BaseException], None]) -> None:
        self._following = following
        self._pages = pages
        self._log_unexpected = log_unexpected

    async def __call__(self, request: Request) -> Response:
        """The response from below, or one that says what went wrong. Raises ClientGone."""
        try:
            return await self._following(request)
        except ClientGone:
            raise
        except ThrustError as error:
            failure = error
        except Exception as error:
            self._log_unexpected(error)
            failure = ThrustError(f"internal error: {error!r}")
        request.exchange.error = str(failure)
        return await self._pages.find(failure, wants_html=_wants_html(request))


def _wants_html(request: Request) -> bool:
    return any(b"text/html" in accepted for accepted in request.headers.get_all(b"accept"))
