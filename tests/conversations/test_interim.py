"""Interim responses (RFC 9110 §15.2) and Expect: 100-continue (§10.1.1)."""

from tests.conversations.conftest import Converse

EXPECTING = r"""
        client >> PUT / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 3
        client >> Expect: 100-continue
        client >>
        worker << PUT / HTTP/1.1
        worker << ...
        worker << content-length: 3
        worker << expect: 100-continue
        worker <<
"""
CONTINUED = r"""
        client << HTTP/1.1 100 Continue
        client <<
        client >> abc\
        worker << abc\
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 2
        worker >>
        worker >> ok\
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client <<
        client << ok\
"""


def test_the_worker_tells_the_client_to_go_on(talk: Converse) -> None:
    talk(
        EXPECTING
        + r"""
        0.5 s pass
        client sees nothing
        worker >> HTTP/1.1 100 Continue
        worker >>
        """
        + CONTINUED
    )


def test_we_tell_the_client_to_go_on_when_the_worker_does_not_after_a_second(talk: Converse) -> None:
    talk(
        EXPECTING
        + r"""
        0.9 s pass
        client sees nothing
        0.2 s pass
        """
        + CONTINUED
    )


def test_the_client_is_told_only_once_to_go_on(talk: Converse) -> None:
    talk(
        EXPECTING
        + r"""
        worker >> HTTP/1.1 100 Continue
        worker >>
        worker >> HTTP/1.1 100 Continue
        worker >>
        2 s pass
        """
        + CONTINUED
    )


def test_a_worker_that_says_continue_late_says_it_to_nobody(talk: Converse) -> None:
    talk(
        EXPECTING
        + r"""
        1.5 s pass
        worker >> HTTP/1.1 100 Continue
        worker >>
        """
        + CONTINUED
    )


def test_a_client_that_did_not_ask_is_not_told_to_continue(talk: Converse) -> None:
    talk(r"""
        client >> PUT / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 3
        client >>
        worker << PUT / HTTP/1.1
        worker << ... (no expect)
        worker <<
        worker >> HTTP/1.1 100 Continue
        worker >>
        2 s pass
        client sees nothing
        client >> abc\
        worker << abc\
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)


def test_a_final_answer_at_once_spares_the_client_its_body(talk: Converse) -> None:
    """Nobody knows whether the body will still come, so that neither connection can be used again."""
    stage = talk(
        EXPECTING
        + r"""
        worker >> HTTP/1.1 401 Unauthorized
        worker >> Content-Length: 2
        worker >>
        worker >> no\
        client << HTTP/1.1 401 Unauthorized
        client << date: *
        client << content-length: 2
        client << connection: close
        client <<
        client << no\
        client sees the end
        worker sees the end
        10 s pass
        client sees nothing
    """
    )
    assert [(e.status, e.error) for e in stage.exchanges] == [(401, "")]


def test_a_client_that_sends_its_body_unasked_is_answered(talk: Converse) -> None:
    talk(
        EXPECTING
        + r"""
        client >> abc\
        worker << abc\
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """
    )


def test_a_body_that_came_with_its_head_needs_no_permission(talk_whole: Converse) -> None:
    talk_whole(r"""
        client >> PUT / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 3
        client >> Expect: 100-continue
        client >>
        client >> abc\
        worker << PUT / HTTP/1.1
        worker << ... (no expect)
        worker << content-length: 3
        worker <<
        worker << abc\
        2 s pass
        client sees nothing
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)


def test_an_expectation_without_content_is_ignored(talk: Converse) -> None:
    talk(r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >> Expect: 100-continue
        client >>
        worker << GET / HTTP/1.1
        worker << ... (no expect)
        worker <<
        2 s pass
        client sees nothing
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """)


def test_a_client_that_waits_for_continue_is_not_late(talk: Converse) -> None:
    """A request that is held while the worker boots: the deadline for its body begins when we ask for it."""
    talk(
        r"""
        thrust has no worker
        client >> PUT / HTTP/1.1
        client >> Host: example.org
        client >> Content-Length: 3
        client >> Expect: 100-continue
        client >>
        45 s pass
        client sees nothing
        thrust has a worker on port 3001
        worker << PUT / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 100 Continue
        worker >>
        """
        + CONTINUED
    )


def test_a_client_that_was_told_to_continue_has_a_deadline(talk: Converse) -> None:
    talk(
        EXPECTING
        + r"""
        worker >> HTTP/1.1 100 Continue
        worker >>
        client << HTTP/1.1 100 Continue
        client <<
        29 s pass
        client sees nothing
        2 s pass
        client << HTTP/1.1 408 Request Timeout
        client << ...
        client << connection: close
        client <<
        client << The request took too long to arrive. (the request's body stalled for 30 s)\n\
        client sees the end
        worker sees the end
    """
    )


def test_early_hints_pass_at_once(talk: Converse) -> None:
    talk(r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 103 Early Hints
        worker >> Link: </style.css>; rel=preload
        worker >> Connection: X-Hop
        worker >> X-Hop: 1
        worker >>
        client << HTTP/1.1 103 Early Hints
        client << link: </style.css>; rel=preload
        client <<
        worker >> HTTP/1.1 102 Processing
        worker >>
        worker >> HTTP/1.1 103 Early Hints
        worker >> Link: </script.js>; rel=preload
        worker >>
        worker >> HTTP/1.1 200 OK
        worker >> Content-Length: 2
        worker >>
        worker >> ok\
        client << HTTP/1.1 102 Processing
        client <<
        client << HTTP/1.1 103 Early Hints
        client << link: </script.js>; rel=preload
        client <<
        client << HTTP/1.1 200 OK
        client << date: *
        client << content-length: 2
        client <<
        client << ok\
    """)


def test_http_1_0_knows_no_interim_responses(talk: Converse) -> None:
    talk(r"""
        client >> GET / HTTP/1.0
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 103 Early Hints
        worker >> Link: </style.css>; rel=preload
        worker >>
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client << connection: close
        client <<
        client sees the end
    """)
