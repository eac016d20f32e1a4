"""What goes through thrust over HTTP/2 arrives unchanged: 10,000 requests, 10 WebSockets with 1,000 messages each.

As in test_integrity, with many streams at once on each connection: pieces of their bodies are sent in turns, and
answers come in whatever order. The seeds are fixed: a failure comes again.
"""

import hashlib
import random
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.e2e_thrust import uvicorn
from tests.support.http2_client import Http2Client, WebSocket
from tests.support.http2_site import Http2Site, http2_site

pytestmark = pytest.mark.slow

POOL = random.Random(1).randbytes(1 << 21)
"""The same as in apps/asgi_app.py."""

CONNECTIONS = 4
STREAMS = 20
"""How many are under way on a connection."""

SIZES = (0, 1, 100, 1_000, 4_000, 16_000, 65_536, 1_000_000)
SIZE_WEIGHTS = (5, 2, 30, 30, 20, 10, 2, 1)
"""Upper bounds of sizes, and how often each is chosen: mostly small, now and then up to 1 MB."""

MESSAGE_SIZES = (0, 125, 126, 2_000, 65_535, 200_000)
MESSAGE_WEIGHTS = (5, 50, 10, 30, 4, 1)


class Exchange:
    """One random request whose body is sent piece by piece."""

    def __init__(self, client: Http2Client, chance: random.Random) -> None:
        self.client = client
        self._chance = chance
        self._left = some_bytes(chance)
        self.wanted = some_bytes(chance)
        query = f"at={POOL.index(self.wanted)}&size={len(self.wanted)}&pieces={chance.randint(1, 5)}"
        fields = [("x-digest", hashlib.sha256(self._left).hexdigest())]
        if chance.random() < 0.5:
            fields.append(("content-length", str(len(self._left))))
        target = f"/digest?{query}" + chance.choice(["", "&fixed"])
        self.id = client.begin("POST", target, *fields, ends=not self._left)
        self.answer = client.answers[self.id]

    def send_some(self) -> bool:
        """Sends a piece, if the window has room for one; whether it did."""
        size = min(len(self._left), self.client.sendable(self.id), self._chance.randint(1, 16_384))
        if not size:
            return False
        piece, self._left = self._left[:size], self._left[size:]
        self.client.send(self.id, piece, ends=not self._left)
        return True

    def check(self) -> None:
        assert (self.answer.status, self.answer.reset_code) == (200, None), bytes(self.answer.body)
        assert hashlib.sha256(self.answer.body).hexdigest() == self.answer.get("x-digest")
        assert self.answer.body == self.wanted
        del self.client.answers[self.id]


def some_bytes(chance: random.Random) -> bytes:
    size = chance.randint(0, chance.choices(SIZES, SIZE_WEIGHTS)[0])
    at = chance.randrange(len(POOL) - size)
    return POOL[at : at + size]


def converse(site: Http2Site, seed: int, count: int) -> None:
    """`count` exchanges on one connection, STREAMS of them at a time."""
    chance = random.Random(seed)
    with site.connect() as client:
        exchanges: list[Exchange] = []
        while count or exchanges:
            while count and len(exchanges) < STREAMS:
                exchanges.append(Exchange(client, chance))
                count -= 1
            if any([exchange.send_some() for exchange in exchanges]):
                client.take_in_waiting()
            elif not any(exchange.answer.is_over for exchange in exchanges):
                client.take_in()
            for exchange in exchanges:
                if exchange.answer.is_over:
                    exchange.check()
            exchanges = [exchange for exchange in exchanges if not exchange.answer.is_over]


@pytest.mark.parametrize(("way", "requests"), [("uvloop tls", 10_000), ("asyncio h2c", 2_000)])
def test_thousands_of_requests_on_many_streams_arrive_unchanged_both_ways(
    way: str, requests: int, tmp_path: Path
) -> None:
    with http2_site(uvicorn(), way, tmp_path) as site, ThreadPoolExecutor(CONNECTIONS) as threads:
        share = requests // CONNECTIONS
        for result in [threads.submit(converse, site, seed, share) for seed in range(CONNECTIONS)]:
            result.result()
        site.thrust.wait_for_request(requests, path="/digest", status=200, proto="HTTP/2")
        assert [record for record in site.thrust.requests() if "error" in record] == []


def talk(site: Http2Site, seed: int, messages: int, sockets: int) -> None:
    """Messages to an app that sends each back, on several WebSockets of one connection; many are under way."""
    chance = random.Random(seed)
    with site.connect() as client:
        peers = [WebSocket(client, f"/ws?{seed}-{number}") for number in range(sockets)]
        assert [peer.answer.status for peer in peers] == [200] * sockets
        sent: list[deque[str | bytes]] = [deque() for _ in peers]
        for number in range(messages * sockets):
            peer, under_way = peers[number % sockets], sent[number % sockets]
            size = chance.randint(0, chance.choices(MESSAGE_SIZES, MESSAGE_WEIGHTS)[0])
            at = chance.randrange(len(POOL) - size)
            body = POOL[at : at + size]
            message = body.decode("latin-1") if chance.random() < 0.3 else body
            under_way.append(message)
            peer.send(message)
            while len(under_way) > chance.choice([0, 5, 30]):
                assert peer.receive() == under_way.popleft()
        for peer, under_way in zip(peers, sent, strict=True):
            for message in under_way:
                assert peer.receive() == message
            peer.close(3001)


@pytest.mark.parametrize(("way", "messages"), [("uvloop tls", 1_000), ("asyncio h2c", 200)])
def test_ten_websockets_echo_hundreds_of_messages_each(way: str, messages: int, tmp_path: Path) -> None:
    with http2_site(uvicorn(), way, tmp_path) as site, ThreadPoolExecutor(CONNECTIONS) as threads:
        shares = (1, 2, 3, 4)
        results = [threads.submit(talk, site, seed, messages, share) for seed, share in enumerate(shares)]
        for result in results:
            result.result()
        site.thrust.wait_for_request(10, path="/ws", method="CONNECT", status=200, proto="HTTP/2")
        with site.aside() as other:
            assert other.get("/wait?left%203-3").status == 200
            assert other.get("/wait?closed%203001").status == 200
        assert [record for record in site.thrust.requests() if "error" in record] == []
