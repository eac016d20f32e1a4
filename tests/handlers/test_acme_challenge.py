"""http-01 at the front: who is answered, and who goes on to the app."""

import asyncio
from pathlib import Path

import pytest

from tests.support.memory_requests import Following, make_request
from thrust.handlers.acme_challenge import AcmeChallenge
from thrust.tls.answers import Answers
from thrust.tls.storage import Storage
from thrust.tls.tls_alpn import answer_pem

PATH = b"/.well-known/acme-challenge/token"


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    storage = Storage(tmp_path, "https://ca.example/")
    storage.prepare()
    made = Answers(storage)
    made.offer_http("token", "token.thumbprint")
    return made


@pytest.mark.parametrize("target", [PATH, PATH + b"?x=1"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_challenge_under_way_is_answered(answers: Answers, target: bytes, method: bytes) -> None:
    handler = AcmeChallenge(Following(), answers.for_path)
    response = asyncio.run(handler(make_request(target, method=method)))
    assert (response.status, response.body) == (200, b"token.thumbprint")
    assert (b"cache-control", b"no-store") in response.headers.lines


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"POST", PATH),
        (b"GET", PATH + b"2"),
        (b"GET", PATH + b"/"),
        (b"GET", b"/.well-known/acme-challenge/../account.json"),
        (b"GET", b"/.well-known/acme-challenge/" + b"a" * 10_000),
        (b"GET", b"/.well-known/acme-challenge/"),
        (b"GET", b"/.well-known/acme-challenge/../acme-challenge/token"),
        (b"GET", b"/.WELL-KNOWN/acme-challenge/token"),
        (b"GET", b"/"),
        (b"GET", b"*"),
    ],
)
def test_everything_else_goes_on(answers: Answers, method: bytes, target: bytes) -> None:
    following = Following()
    asyncio.run(AcmeChallenge(following, answers.for_path)(make_request(target, method=method)))
    assert len(following.requests) == 1


def test_an_answer_ends_with_its_order(answers: Answers) -> None:
    answers.withdraw("token", "a.example")
    following = Following()
    asyncio.run(AcmeChallenge(following, answers.for_path)(make_request(PATH)))
    assert len(following.requests) == 1


def test_an_instance_answers_for_another_one_on_its_volume(answers: Answers, tmp_path: Path) -> None:
    other = Answers(Storage(tmp_path, "https://ca.example/"))
    response = asyncio.run(AcmeChallenge(Following(), other.for_path)(make_request(PATH)))
    assert response.body == b"token.thumbprint"


def test_an_instance_shakes_hands_for_another_one_on_its_volume(answers: Answers, tmp_path: Path) -> None:
    other = Answers(Storage(tmp_path, "https://ca.example/"))
    assert other.for_name("a.example") is None
    answers.offer_tls("a.example", answer_pem("a.example", b"token.thumbprint"))
    assert other.for_name("a.example") is not None
    answers.withdraw("token", "a.example")
    assert other.for_name("a.example") is None
