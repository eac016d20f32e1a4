"""Stored responses: the fields of each rendition, which one a client gets, what is prepared for a hit."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from thrust.cache.freshness import Validity, stored_validity
from thrust.cache.stored import MAX_CHOICES, Rendition, StoredResponse
from thrust.http.headers import FieldLine, Headers

NOW = 1_800_000_000.0
LINES: list[FieldLine] = [
    (b"content-type", b"text/css"),
    (b"etag", b'"v1"'),
    (b"vary", b"accept-encoding"),
    (b"accept-ranges", b"bytes"),
    (b"last-modified", b"Thu, 14 Jan 2027 08:00:00 GMT"),
]


def validity(lifetime_s: int = 60, *, received_at_s: float = NOW, age_s: float = 0.0) -> Validity:
    lines = [(b"cache-control", b"max-age=%d" % lifetime_s)]
    return stored_validity(
        200, Headers(lines), requested_at_s=received_at_s - age_s, received_at_s=received_at_s, is_fingerprinted=False
    )


def stored(
    own_coding: bytes = b"identity", *, makeable: Sequence[bytes] = (b"br", b"gzip"), etag: bytes = b'"v1"'
) -> StoredResponse:
    lines = [line if line[0] != b"etag" else (b"etag", etag) for line in LINES]
    if own_coding != b"identity":
        lines.append((b"content-encoding", own_coding))
    return StoredResponse(
        (b"/a.css", b"a.example"),
        200,
        lines,
        b"content",
        validity(),
        own_coding=own_coding,
        makeable=makeable,
    )


def field(rendition: Rendition, name: bytes) -> bytes | None:
    return Headers(rendition.lines).get(name)


# Renditions


def test_the_workers_own_rendition_has_its_fields_as_they_are() -> None:
    assert stored().renditions[b"identity"].lines == LINES


def test_a_coded_rendition_has_a_tag_and_a_coding_of_its_own() -> None:
    rendition = stored().add(b"br", b"coded")
    assert (field(rendition, b"etag"), field(rendition, b"content-encoding")) == (b'"v1~br"', b"br")
    assert field(rendition, b"accept-ranges") is None


@pytest.mark.parametrize(("etag", "decoded"), [(b'"v1"', b'W/"v1"'), (b'W/"v1"', b'W/"v1"')])
def test_what_the_worker_coded_has_a_weak_tag_when_it_is_decoded(etag: bytes, decoded: bytes) -> None:
    rendition = stored(b"gzip", etag=etag).add(b"identity", b"plain")
    assert field(rendition, b"etag") == decoded
    assert field(rendition, b"content-encoding") is None


def test_what_the_worker_coded_and_we_code_anew_names_the_new_coding_only() -> None:
    rendition = stored(b"gzip").add(b"br", b"coded")
    assert Headers(rendition.lines).get_all(b"content-encoding") == [b"br"]
    assert field(rendition, b"etag") == b'"v1~br"'


@pytest.mark.parametrize(
    ("own_coding", "makeable", "accepted", "coding"),
    [
        (b"identity", (b"br", b"gzip"), (b"br", b"gzip", b"identity"), b"br"),
        (b"identity", (b"br", b"gzip"), (b"gzip", b"identity"), b"gzip"),
        (b"identity", (b"br", b"gzip"), (b"zstd", b"gzip", b"identity"), b"gzip"),
        (b"identity", (b"br", b"gzip"), (b"identity",), b"identity"),
        (b"identity", (b"br", b"gzip"), (b"identity", b"br"), b"identity"),
        (b"identity", (b"br", b"gzip"), (), b"identity"),
        (b"identity", (), (b"br", b"identity"), b"identity"),
        (b"gzip", (b"br", b"gzip"), (b"br", b"gzip", b"identity"), b"gzip"),
        (b"gzip", (b"br", b"gzip"), (b"br", b"identity"), b"br"),
        (b"gzip", (b"br", b"gzip"), (b"identity",), b"identity"),
        (b"gzip", (b"br",), (b"gzip", b"br"), b"gzip"),
        (b"gzip", (), (b"br", b"gzip"), b"gzip"),
        (b"gzip", (), (b"br",), b"identity"),
    ],
)
def test_a_client_gets_the_best_coding_that_it_accepts(
    own_coding: bytes, makeable: Sequence[bytes], accepted: tuple[bytes, ...], coding: bytes
) -> None:
    assert stored(own_coding, makeable=makeable).coding_for(accepted) == coding


def test_a_coding_that_does_not_pay_is_passed_over() -> None:
    response = stored()
    response.unprofitable |= {b"br"}
    assert response.coding_for((b"br", b"gzip", b"identity")) == b"gzip"
    response.unprofitable |= {b"gzip"}
    assert response.coding_for((b"br", b"gzip", b"identity")) == b"identity"


def test_a_coding_that_is_not_there_yet_has_to_be_made() -> None:
    response = stored()
    assert response.rendition_for((b"br",)) is None
    rendition = response.add(b"br", b"coded")
    assert response.rendition_for((b"br",)) is rendition


def test_a_coding_that_was_chosen_before_gives_way_to_its_successor() -> None:
    response = stored()
    quick = response.add(b"br", b"quick")
    assert response.rendition_for((b"br", b"identity")) is quick
    best = response.add(b"br", b"best")
    assert response.rendition_for((b"br", b"identity")) is best
    response.update(LINES, validity())
    assert response.rendition_for((b"br", b"identity")) is response.renditions[b"br"] is not best


def test_no_client_can_make_it_remember_more_and_more() -> None:
    response = stored()
    for order in permutations((b"br", b"gzip", b"zstd", b"identity")):
        response.rendition_for((b"identity", *order))
    assert len(response._choices) <= MAX_CHOICES


def test_a_better_coding_takes_the_place_of_the_first() -> None:
    response = stored()
    response.add(b"br", b"a quick one")
    response.add(b"br", b"best")
    assert response.renditions[b"br"].body == b"best"
    assert response.size_bytes == stored().size_bytes + response.renditions[b"br"].size_bytes


def test_new_fields_reach_every_rendition_and_leave_content_alone() -> None:
    response = stored()
    response.add(b"br", b"coded")
    lines = [(b"etag", b'"v2"'), (b"x-new", b"1")]
    response.update(lines, validity(10))
    assert response.renditions[b"identity"].lines == lines
    assert response.renditions[b"br"].lines == [(b"etag", b'"v2~br"'), (b"x-new", b"1"), (b"content-encoding", b"br")]
    assert [rendition.body for rendition in response.renditions.values()] == [b"content", b"coded"]
    assert (response.etag, response.last_modified, response.validity.lifetime_s) == (b'"v2"', None, 10)


# What is prepared for a hit


def hit(rendition: Rendition, validity_: Validity, now_s: float) -> dict[bytes, bytes]:
    response = rendition.prepared_hit(now_s) or rendition.hit(200, validity_, now_s)
    return dict(response.headers.lines)


def test_a_hit_says_how_old_it_is_and_how_long_it_lasts() -> None:
    response = stored().renditions[b"identity"].hit(200, validity(), NOW + 12)
    assert response.headers.lines == [
        *LINES,
        (b"age", b"12"),
        (b"x-cache", b"hit"),
        (b"cache-status", b"thrust; hit; ttl=48"),
    ]
    assert (response.status, response.body, response.head_memo) == (200, b"content", b"")


@pytest.mark.parametrize("received_at_s", [NOW, NOW + 0.25, NOW + 0.999])
@pytest.mark.parametrize("age_s", [0.0, 0.4, 3.75])
def test_whatever_is_prepared_tells_the_age_of_its_moment(received_at_s: float, age_s: float) -> None:
    """Asked every eighth of a second, in order and again backwards, as a clock that is put back does."""
    rendition, valid = stored().renditions[b"identity"], validity(received_at_s=received_at_s, age_s=age_s)
    moments = [received_at_s + eighth / 8 for eighth in range(40)]
    for now_s in [*moments, *reversed(moments)]:
        assert hit(rendition, valid, now_s)[b"age"] == b"%d" % valid.age_s(now_s)


def test_one_response_serves_a_whole_second() -> None:
    rendition, valid = stored().renditions[b"identity"], validity(received_at_s=NOW + 0.5)
    first = rendition.hit(200, valid, NOW + 1.5)
    assert rendition.prepared_hit(NOW + 1.5) is rendition.prepared_hit(NOW + 2.4) is first
    assert rendition.prepared_hit(NOW + 2.5) is None
    assert rendition.prepared_hit(NOW + 1.4) is None


def test_nothing_prepared_outlives_freshness() -> None:
    rendition, valid = stored().renditions[b"identity"], validity(10, received_at_s=NOW + 0.25)
    for eighth in range(200):
        now_s = NOW + 0.25 + eighth / 8
        if valid.is_fresh(now_s):
            hit(rendition, valid, now_s)
        assert valid.is_fresh(now_s) or rendition.prepared_hit(now_s) is None


def test_new_fields_end_what_was_prepared() -> None:
    response = stored()
    response.renditions[b"identity"].hit(200, response.validity, NOW)
    response.update([(b"x-new", b"1")], validity())
    assert response.renditions[b"identity"].prepared_hit(NOW) is None


def test_its_repr_names_target_and_codings() -> None:
    response = stored()
    response.add(b"br", b"coded")
    assert repr(response) == f"<StoredResponse 200 b'/a.css' identity, br {response.size_bytes} bytes>"
