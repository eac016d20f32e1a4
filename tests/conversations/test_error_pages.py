"""Error pages as they go over the wire; which page it is, is in handlers/test_errors.py."""

from pathlib import Path

import pytest

from tests.conversations.conftest import Converse


def failing(method: str, accept: str) -> str:
    return rf"""
        client >> {method} / HTTP/1.1
        client >> Host: example.org
        client >> Accept: {accept}
        client >>
        worker << {method} / HTTP/1.1
        worker << ...
        worker <<
        worker closes
    """


def test_a_browser_gets_a_page(talk: Converse) -> None:
    talk(
        failing("GET", "text/html")
        + r"""
        client << HTTP/1.1 502 Bad Gateway
        client << content-type: text/html; charset=utf-8
        client << cache-control: no-store
        client << date: *
        client << content-length: *
        client <<
        client << <!doctype html>\n\
        client received something
    """
    )


def test_the_answer_to_head_has_the_length_of_the_page(talk: Converse) -> None:
    talk(
        failing("HEAD", "*/\\*")
        + r"""
        client << HTTP/1.1 502 Bad Gateway
        client << content-type: text/plain; charset=utf-8
        client << cache-control: no-store
        client << date: *
        client << content-length: 34
        client <<
    """
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_apps_own_page(talk: Converse, tmp_path: Path, method: str) -> None:
    (tmp_path / "502.html").write_text("<h1>Back soon</h1>\n")
    talk(
        failing(method, "application/json")
        + r"""
        client << HTTP/1.1 502 Bad Gateway
        client << content-type: text/html; charset=utf-8
        client << cache-control: no-store
        client << date: *
        client << content-length: 19
        client <<
        """
        + (r"client << <h1>Back soon</h1>\n\ " if method == "GET" else "").strip(),
        bad_gateway_page=tmp_path / "502.html",
    )


def test_a_connection_persists_after_an_error_of_the_worker(talk: Converse) -> None:
    talk(
        failing("GET", "text/plain")
        + r"""
        client << HTTP/1.1 502 Bad Gateway
        client << ... (no connection)
        client <<
        client << The application failed to answer.\n\
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker-2 << GET / HTTP/1.1
        worker-2 << ...
        worker-2 <<
        worker-2 >> HTTP/1.1 204 No Content
        worker-2 >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """
    )
