"""Entity-tags of what is compressed on its way: one per coding for clients, the worker's own towards the worker."""

import pytest

from tests.conversations.conftest import Converse
from tests.support.coded_answers import CODINGS, HTML, PAGE, answer_in, exchange, request, response, response_head
from tests.support.conversation import Stage, perform
from thrust.coding.codings import compress_quickly


@pytest.mark.parametrize("coding", CODINGS)
def test_a_tag_makes_its_round_trip(talk_whole: Converse, coding: str) -> None:
    coded = compress_quickly(coding.encode(), PAGE)
    talk_whole(
        rf"""
        client >> GET /page HTTP/1.1
        client >> Host: example.org
        client >> Accept-Encoding: {coding}
        client >>
        worker << GET /page HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> Content-Type: text/html
        worker >> ETag: "abc"
        worker >> Content-Length: 5000
        worker >>
        worker >> $page\
        client << HTTP/1.1 200 OK
        client << content-type: text/html
        client << etag: "abc~{coding}"
        client << vary: accept-encoding
        client << content-encoding: {coding}
        client << date: *
        client << content-length: {len(coded)}
        client <<
        client << $coded\
        client >> GET /page HTTP/1.1
        client >> Host: example.org
        client >> Accept-Encoding: {coding}
        client >> If-None-Match: "abc~{coding}"
        client >>
        worker << GET /page HTTP/1.1
        worker << ...
        worker << accept-encoding: {coding}
        worker << if-none-match: "abc"
        worker << ...
        worker <<
        worker >> HTTP/1.1 304 Not Modified
        worker >> ETag: "abc"
        worker >>
        client << HTTP/1.1 304 Not Modified
        client << etag: "abc~{coding}"
        client << vary: accept-encoding
        client << date: *
        client <<
        """,
        words={"page": PAGE, "coded": coded},
        compression=CODINGS,
        compression_jitter_bytes=0,
    )


def test_a_page_that_has_changed_is_compressed_with_its_new_tag() -> None:
    seen = exchange(request("Accept-Encoding: br", 'If-None-Match: "abc~br"'), response(HTML, 'ETag: "def"'))
    assert (seen.answer.get("etag"), seen.answer.decoded) == ('"def~br"', PAGE)


@pytest.mark.parametrize(
    ("tag", "coded_tag"),
    [('"abc"', '"abc~gzip"'), ('""', '"~gzip"'), ('"a~b"', '"a~b~gzip"'), ('W/"abc"', 'W/"abc"')],
)
def test_only_a_strong_tag_stands_for_one_coding(tag: str, coded_tag: str) -> None:
    answer = exchange(request("Accept-Encoding: gzip"), response(HTML, f"ETag: {tag}")).answer
    assert (answer.coding, answer.get("etag")) == ("gzip", coded_tag)


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ('if-none-match: "abc~br"', 'if-none-match: "abc"'),
        ('if-none-match: "a~br", W/"b~br", "c~zstd","d"', 'if-none-match: "a", W/"b", "c~zstd","d"'),
        ('if-none-match: "a, b~br"', 'if-none-match: "a, b"'),
        ("if-none-match: *", "if-none-match: *"),
        ('if-none-match: "a~deflate"', 'if-none-match: "a~deflate"'),
        ('if-match: "abc~gzip"', 'if-match: "abc"'),
        # A part of the plain content does not fit what the client has: it has to be given the whole.
        ('if-range: "abc~br"', 'if-range: "abc~br"'),
    ],
)
def test_the_worker_is_asked_about_its_own_tags(field: str, asked: str) -> None:
    seen = exchange(request("Accept-Encoding: br", field), response(HTML))
    assert asked in seen.asked
    assert seen.answer.coding == "br"


def test_a_part_is_not_asked_for_under_a_tag_that_the_worker_would_take_for_the_plain_content() -> None:
    seen = exchange(request("Accept-Encoding: br", "Range: bytes=5-", 'If-Match: "abc~br"'), response(HTML))
    assert 'if-match: "abc~br"' in seen.asked and "range: bytes=5-" in seen.asked


def test_what_was_changed_conditionally_was_the_version_that_the_client_has_seen() -> None:
    asked = request('If-Match: "abc~br"', "Content-Length: 3", method="PUT") + b"new"
    seen = exchange(asked, response_head('ETag: "def"', status="204 No Content"))
    assert 'if-match: "abc"' in seen.asked
    assert (seen.answer.status, seen.answer.get("etag")) == (204, '"def"')


@pytest.mark.parametrize(
    ("accept_encoding", "known", "confirmed", "told"),
    [
        ("br", '"abc~br"', '"abc"', '"abc~br"'),
        ("br", '"abc~br"', 'W/"abc"', '"abc~br"'),  # the worker weakens its tags in a 304
        ("br", 'W/"abc~br"', '"abc"', 'W/"abc~br"'),  # a cache in between has weakened ours
        ("br", '"x, y~br"', '"x, y"', '"x, y~br"'),
        ("br", '"old~br", "abc~br"', '"abc"', '"abc~br"'),
        ("br, gzip", '"abc~gzip"', '"abc"', '"abc~gzip"'),
        ("br", '"abc"', '"abc"', '"abc"'),
        ("br", "*", '"abc"', '"abc"'),
        ("br", '"old~br"', '"abc"', '"abc"'),
        # A cache asks about all that it has, and will use what the 304 names for this very client.
        ("br", '"abc", "abc~gzip", "abc~br"', '"abc"', '"abc~br"'),
        ("gzip", '"abc", "abc~gzip", "abc~br"', '"abc"', '"abc~gzip"'),
        ("gzip;q=0.5, br", '"abc~gzip", "abc~br"', '"abc"', '"abc~br"'),
        ("identity", '"abc~gzip", "abc"', '"abc"', '"abc"'),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_304_names_what_the_client_has(
    accept_encoding: str, known: str, confirmed: str, told: str, method: str
) -> None:
    asked = request(f"Accept-Encoding: {accept_encoding}", f"If-None-Match: {known}", method=method)
    answer = exchange(asked, response_head(f"ETag: {confirmed}", status="304 Not Modified")).answer
    assert (answer.status, answer.get("etag")) == (304, told)
    assert answer.get("vary") == (None if told == confirmed else "accept-encoding")


def test_a_copy_in_a_coding_that_is_made_no_more_is_confirmed_all_the_same() -> None:
    asked = request("Accept-Encoding: br, gzip", 'If-None-Match: "abc~br"')
    seen = exchange(asked, response_head('ETag: "abc"', status="304 Not Modified"), compression=("gzip",))
    assert 'if-none-match: "abc"' in seen.asked
    assert (seen.answer.status, seen.answer.get("etag")) == (304, '"abc~br"')


def test_a_304_without_a_tag_stays_without_one() -> None:
    asked = request("Accept-Encoding: br", 'If-None-Match: "abc~br"')
    answer = exchange(asked, response_head("Vary: Cookie", status="304 Not Modified")).answer
    assert (answer.get("etag"), answer.get("vary")) == (None, "Cookie")


def test_without_compression_tags_are_the_clients_and_the_workers_business() -> None:
    asked = request("Accept-Encoding: br", 'If-None-Match: "abc~br"')
    seen = exchange(asked, response_head('ETag: "abc~br"', status="304 Not Modified"), compression=())
    assert 'if-none-match: "abc~br"' in seen.asked
    assert seen.answer.get("etag") == '"abc~br"'


@pytest.mark.parametrize(
    ("accept_encoding", "known", "told"),
    [("br", '"abc~br"', '"abc~br"'), ("br, gzip", '"abc~gzip"', '"abc~gzip"'), ("identity", '"abc"', '"abc"')],
)
def test_a_304_of_the_cache_names_what_the_client_has(accept_encoding: str, known: str, told: str) -> None:
    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(request(f"Accept-Encoding: {accept_encoding}"))
        await stage.settled()
        stage.worker().send(response(HTML, 'ETag: "abc"', "Cache-Control: max-age=60"))
        await stage.settled()
        assert answer_in(client.take()).decoded == PAGE
        client.send(request(f"Accept-Encoding: {accept_encoding}", f"If-None-Match: {known}"))
        await stage.settled()
        answer = answer_in(client.take())
        assert (answer.status, answer.get("etag"), answer.get("x-cache")) == (304, told, "hit")
        assert answer.get("vary") == "accept-encoding"

    perform(story, compression=CODINGS, cache_size_bytes=1 << 20)
