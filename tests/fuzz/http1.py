"""Feeds random damage to thrust.wire and checks the claims of tests/support/wire_claims on whatever comes of it.

    python -m tests.fuzz.http1 --seconds 60
    python -m tests.fuzz.http1 --seed 7 --only 1234     # one case again, with its bytes shown

No coverage guidance and no shrinking: a corpus of messages, random splices, and as many cases a second as possible.
`test_http1.py` runs a few of them with every test run. Case n of a seed is always the same.
"""

import argparse
import random
import time
from collections.abc import Iterator

from tests.support import wire_claims
from tests.support.wire_messages import SPLICES

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /x?y=z HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nConnection: keep-alive\r\nX-Empty:\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: [::1]\r\ntransfer-encoding:chunked\r\nTE: trailers\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    b"GET http://b.example/p HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close,x\r\nX: 1\r\n\r\nok",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nhello",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nEtag: x\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 500 \r\nConnection: keep-alive\r\nSet-Cookie: a=1\r\ncontent-length:0\r\n\r\n",
]
CHUNKS = [b"5\r\nhello\r\n0\r\n\r\n", b"1;a=b\r\nx\r\n0a\r\n0123456789\r\n000;c\r\nX-Sum: 1\r\nEtag:\r\n\r\nrest"]


def damage(chance: random.Random, corpus: list[bytes]) -> bytes:
    """One to three messages of `corpus` in a row, with up to four random changes."""
    data = b"".join(chance.choices(corpus, k=chance.randint(1, 3)))
    for _ in range(chance.randint(0, 4)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((0, 1, 1, 2, 4, 16)))
        match chance.randrange(5):
            case 0:
                data = data[:start] + chance.choice(SPLICES) + data[start:]
            case 1:
                data = data[:start] + chance.choice(SPLICES) + data[end:]
            case 2:
                data = data[:start] + data[end:]
            case 3:
                data = data[:end] + data[start:end] + data[end:]
            case 4:
                data = data[:start] + bytes([chance.randrange(256)]) + data[end:]
    return data


def case(seed: int, number: int) -> tuple[str, bytes, random.Random]:
    """What case `number` is about, its bytes, and the chance for whatever else has to be chosen."""
    chance = random.Random(f"{seed}/{number}")
    kind = chance.choice(("requests", "requests", "responses", "chunks"))
    corpus = {"requests": REQUESTS, "responses": RESPONSES, "chunks": CHUNKS}[kind]
    return kind, damage(chance, corpus), chance


def check(seed: int, number: int) -> None:
    """Runs one case; an AssertionError, or any exception but the expected ones, is a finding."""
    kind, data, chance = case(seed, number)
    cuts = [chance.randint(1, len(data) + 1) for _ in range(3)]
    if kind == "requests":
        outcome = wire_claims.requests_do_not_depend_on_cuts(data, cuts)
        if outcome.messages:
            wire_claims.h11_reads_the_same_requests(data)
            wire_claims.workers_read_the_same_requests(outcome.messages, streamed=chance.random() < 0.5)
    elif kind == "responses":
        wire_claims.responses_do_not_depend_on_cuts(data, cuts)
        wire_claims.h11_reads_the_same_response(data, chance.choice((b"GET", b"HEAD")))
    else:
        wire_claims.others_read_the_same_chunks(data)


def numbers(seconds: float) -> Iterator[int]:
    """0, 1, 2, … for so long."""
    end_s = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end_s:
        yield number
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--only", type=int, default=None, metavar="NUMBER", help="run this case alone")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    if arguments.only is not None:
        print(*case(seed, arguments.only)[:2], flush=True)
        check(seed, arguments.only)
        return
    count = findings = 0
    for number in numbers(arguments.seconds):
        count += 1
        try:
            check(seed, number)
        except Exception as error:
            findings += 1
            kind, data, _ = case(seed, number)
            print(f"--seed {seed} --only {number}: {kind} {data!r}\n  {error!r}", flush=True)
    print(f"seed {seed}: {count} cases, {findings} findings")
    raise SystemExit(1 if findings else 0)


if __name__ == "__main__":
    main()
