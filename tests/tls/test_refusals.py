"""Sentences about what an authority says: each problem that an operator can mend names the cure."""

import pytest

from thrust.tls.refusals import MAX_DETAIL, Circumstances, Problem, sentence, shortened

HTTP = Circumstances("a.example", "http-01", authorities=("ca.example", "ca.example.net"))


@pytest.mark.parametrize(
    ("code", "challenge", "expected"),
    [
        ("dns", "http-01", "does not find a.example in the DNS"),
        ("dns", "http-01", "give it an A or AAAA record"),
        ("connection", "http-01", "port 80 has to be open"),
        ("connection", "tls-alpn-01", "port 443 has to be open"),
        ("unauthorized", "http-01", "nothing else may answer on port 80"),
        ("unauthorized", "", "check ACME_DIRECTORY, EAB_KID and EAB_HMAC_KEY"),
        ("caa", "http-01", 'add CAA 0 issue "ca.example", CAA 0 issue "ca.example.net"'),
        ("rateLimited", "", "waits as long as the CA asks for"),
        ("externalAccountRequired", "", "EAB_KID"),
        ("invalidContact", "", "ACME_EMAIL; give another address"),
        ("rejectedIdentifier", "", "check THRUST_ACME_DOMAIN"),
        ("serverInternal", "", "thrust will try again"),
        ("neverHeardOf", "", "calls it neverHeardOf"),
        ("", "", "calls it nothing"),
    ],
)
def test_each_problem_has_its_cure(code: str, challenge: str, expected: str) -> None:
    asked = Circumstances("a.example", challenge, authorities=HTTP.authorities)
    assert expected in sentence(Problem(code, ""), asked)


def test_what_the_ca_said_is_repeated() -> None:
    assert "(no route to host)" in sentence(Problem("connection", "no route to host"), HTTP)


@pytest.mark.parametrize("code", ["serverInternal", "badNonce"])
def test_some_problems_are_the_cas_own(code: str) -> None:
    assert not Problem(code, "").is_refusal


def test_details_are_one_short_line_that_no_terminal_acts_on() -> None:
    assert shortened("a\n\x1b[31mb\t c") == "a [31mb c"
    assert len(shortened("x" * 10_000)) == MAX_DETAIL
