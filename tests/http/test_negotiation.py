"""Accept-Encoding: RFC 9110 §12.5.3 as a table, order of preference, and that memory stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.http import negotiation
from thrust.http.negotiation import MAX_REMEMBERED, MAX_REMEMBERED_BYTES, accepted_codings

OFFERED = (b"br", b"zstd", b"gzip")
OURS = "br zstd gzip identity"


@pytest.fixture(autouse=True)
def _empty_memory() -> None:
    negotiation._remembered.clear()


@pytest.mark.parametrize(
    ("values", "codings"),
    [
        # Says nothing, or nothing that we offer.
        ([], "identity"),
        ([b""], "identity"),
        ([b" "], "identity"),
        ([b", ,"], "identity"),
        ([b"identity"], "identity"),
        ([b"deflate, compress"], "identity"),
        # What browsers and libraries send.
        ([b"gzip, deflate, br, zstd"], OURS),
        ([b"gzip, deflate, br"], "br gzip identity"),
        ([b"gzip,deflate"], "gzip identity"),
        ([b"gzip"], "gzip identity"),
        ([b"br;q=1.0, gzip;q=0.8, *;q=0.1"], "br gzip zstd identity"),
        # Weights before our order, our order between equal weights, identity last.
        ([b"gzip;q=1, br;q=0.5"], "gzip br identity"),
        ([b"gzip, zstd;q=0.999, br;q=0.5"], "gzip zstd br identity"),
        ([b"gzip;q=0.5, br;q=0.5"], "br gzip identity"),
        ([b"identity, gzip"], "gzip identity"),
        ([b"identity, gzip;q=0.5"], "identity gzip"),
        ([b"identity;q=0.5, gzip;q=0.5, br;q=0.4"], "gzip identity br"),
        ([b"gzip;q=0.001"], "gzip identity"),
        # `*` stands for what is not named, identity included.
        ([b"*"], OURS),
        ([b"*;q=0.5"], OURS),
        ([b"gzip, *;q=0.5"], "gzip br zstd identity"),
        ([b"gzip;q=0.5, *"], "br zstd identity gzip"),
        ([b"br;q=0, *"], "zstd gzip identity"),
        # Refusals.
        ([b"gzip;q=0"], "identity"),
        ([b"gzip;q=0.000, br"], "br identity"),
        ([b"identity;q=0"], ""),
        ([b"identity;q=0, gzip"], "gzip"),
        ([b"*;q=0"], ""),
        ([b"gzip, *;q=0"], "gzip"),
        ([b"*;q=0, identity"], "identity"),
        ([b"*;q=0, identity;q=0.1, br;q=0.1"], "br identity"),
        ([b"identity;q=0, *"], "br zstd gzip"),
        # Letter case, white space, aliases, several lines.
        ([b"GZip; Q=0.5 ,\tBR"], "br gzip identity"),
        ([b"gzip \t;\t q=0.5,br"], "br gzip identity"),
        ([b"x-gzip"], "gzip identity"),
        ([b"x-gzip;q=0"], "identity"),
        ([b"gzip", b"br"], "br gzip identity"),
        ([b"gzip;q=0.5", b"", b"br;q=0.4"], "gzip br identity"),
        ([b"gzip", b"identity;q=0"], "gzip"),
        # The same coding twice: a refusal stands.
        ([b"gzip, gzip;q=0"], "identity"),
        ([b"gzip;q=0, x-gzip"], "identity"),
        ([b"identity;q=0, identity"], ""),
        # Malformed members do not count, the others do.
        ([b"gzip;q=2, br"], "br identity"),
        ([b"gzip;q=-1, br"], "br identity"),
        ([b"gzip;q=0.1234, br"], "br identity"),
        ([b"gzip;q=1.001, br"], "br identity"),
        ([b"gzip;q=, br"], "br identity"),
        ([b"gzip;q, br"], "br identity"),
        ([b"gzip;q= 0.5, br"], "br identity"),
        ([b"gzip;level=9, br"], "br identity"),
        ([b"gzip;q=0.5;q=0, br"], "br identity"),
        ([b"gzip br, zstd"], "zstd identity"),
        ([b'"gzip", br'], "br identity"),
        ([b"gzip\xff, br"], "br identity"),
        ([b"gzip;q=0., br;q=1."], "br identity"),
        ([b"identity;q=0x, *;q=nan"], "identity"),
    ],
)
def test_codings_are_ranked_by_the_client_and_then_by_us(values: list[bytes], codings: str) -> None:
    assert accepted_codings(values, OFFERED) == tuple(codings.encode().split())
    assert accepted_codings(values, OFFERED) == tuple(codings.encode().split())  # from memory


def test_only_what_is_offered_is_answered_and_in_its_order() -> None:
    assert accepted_codings([b"gzip, br, zstd"], (b"gzip", b"br")) == (b"gzip", b"br", b"identity")
    assert accepted_codings([b"gzip, br, zstd"], (b"br", b"gzip")) == (b"br", b"gzip", b"identity")
    assert accepted_codings([b"*"], ()) == (b"identity",)
    assert accepted_codings([b"gzip, *;q=0"], ()) == ()


def test_a_value_is_parsed_once() -> None:
    assert accepted_codings([b"gzip, x"], OFFERED) is accepted_codings([b"gzip, x"], OFFERED)


@given(st.lists(st.text("gzipbr*;q=01.5, identity\t", max_size=40).map(str.encode), max_size=3))
def test_whatever_a_client_sends_each_coding_is_answered_once_at_most(values: list[bytes]) -> None:
    codings = accepted_codings(values, OFFERED)
    assert len(set(codings)) == len(codings)
    assert set(codings) <= {*OFFERED, b"identity"}


def test_only_so_many_values_are_remembered() -> None:
    for number in range(3 * MAX_REMEMBERED):
        assert accepted_codings([b"gzip, x%d" % number], OFFERED) == (b"gzip", b"identity")
        assert 1 <= len(negotiation._remembered) <= MAX_REMEMBERED


@pytest.mark.parametrize(("length", "remembered"), [(MAX_REMEMBERED_BYTES, 1), (MAX_REMEMBERED_BYTES + 1, 0)])
def test_a_long_value_is_answered_but_not_remembered(length: int, remembered: int) -> None:
    assert accepted_codings([b"gzip," + b"x" * (length - 5)], OFFERED) == (b"gzip", b"identity")
    assert len(negotiation._remembered) == remembered
