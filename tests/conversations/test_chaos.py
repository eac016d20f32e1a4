"""Clients and workers that do anything at any moment: whatever happens, three things hold.

Every client gets answers to its own requests, in order, each of them complete or visibly broken; nothing is left
behind; and nobody waits for ever. A seed decides who does what and how many turns of the event loop lie between. When
one fails, it fails again alone: `pytest tests/conversations/test_chaos.py -k 'seed-1234'`.
"""

import asyncio
import os
import random
import re
from dataclasses import dataclass, field

import h11
import pytest

from tests.support.conversation import WORKER_PORT, Stage, perform
from tests.support.memory_network import Port
from tests.support.memory_transport import Peer

SEEDS = range(int(os.environ.get("CHAOS_FIRST", "0")), int(os.environ.get("CHAOS_LAST", "150")))
STEPS = 120


def content_for(path: bytes, size: int) -> bytes:
    """The body that belongs to `path` and to no other."""
    return (path + b".") * (size // (len(path) + 1) + 1)


@dataclass
class Client:
    """Sends requests, sometimes several at once, and remembers them."""

    number: int
    peer: Peer
    chance: random.Random
    max_size: int
    methods: list[bytes] = field(default_factory=list)
    paths: list[bytes] = field(default_factory=list)
    unsent: bytes = b""
    has_ended: bool = False

    def act(self) -> None:
        chance = self.chance
        if self.peer.is_closed:
            return
        what = chance.random()
        if what < 0.05:
            self.peer.reset()
        elif self.unsent and not self.has_ended:
            size = chance.choice([50, 5000, 200_000, 200_000])
            self.peer.send(self.unsent[:size])
            self.unsent = self.unsent[size:]
        elif what < 0.6 and not self.has_ended:
            self._ask()
        elif what < 0.65:
            self.peer.stop_reading()
        elif what < 0.8:
            self.peer.read_on() if chance.random() < 0.5 else self.peer.read(chance.randrange(100_000))
        elif what < 0.84 and not self.has_ended:
            self.has_ended = True
            self.peer.end()
        elif what < 0.87:
            self.peer.close() if not self.has_ended else self.peer.reset()
        elif what < 0.9:
            self.peer.reset()

    def _ask(self) -> None:
        chance = self.chance
        path = b"/%d/%d" % (self.number, len(self.paths))
        method = chance.choice([b"GET", b"GET", b"GET", b"POST", b"HEAD"])
        fields = chance.choice([b"", b"", b"Connection: close\r\n", b"Expect: 100-continue\r\n"])
        version = chance.choice([b"1.1", b"1.1", b"1.1", b"1.0"])
        size = min(chance.choice([0, 0, 10, 1000, 300_000]), self.max_size) if method == b"POST" else 0
        content = content_for(path, size)[:size]
        if size and version == b"1.1" and chance.random() < 0.5:
            fields += b"Transfer-Encoding: chunked\r\n"
            half = size // 2
            content = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:half], content[half:]) if part)
            content += b"0\r\n\r\n" if chance.random() < 0.95 else b"oops\r\n"
        elif size:
            fields += b"Content-Length: %d\r\n" % size
        if method == b"GET" and chance.random() < 0.1:
            fields = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
        self.methods.append(method)
        self.paths.append(path)
        self.unsent += b"%b %b HTTP/%b\r\nHost: a\r\n%b\r\n%b" % (method, path, version, fields, content)
        if chance.random() < 0.3:
            self._ask()


class Worker:
    """The worker's end of one connection: understands requests with h11, answers well or badly."""

    def __init__(self, peer: Peer, chance: random.Random, max_size: int) -> None:
        self._peer = peer
        self._chance = chance
        self._max_size = max_size
        self._parser = h11.Connection(h11.SERVER)
        self._unsent = b""
        self._closes_after = False
        self._is_tunnel = False

    @property
    def is_alive(self) -> bool:
        return not (self._peer.is_closed or self._peer.transport.incoming_ended or self._peer.transport.lost_calls)

    def act(self) -> None:
        peer, chance = self._peer, self._chance
        if not self.is_alive:
            return
        if self._unsent:
            size = chance.choice([20, 5000, 1_000_000, 1_000_000])
            peer.send(self._unsent[:size])
            self._unsent = self._unsent[size:]
            if not self._unsent and self._closes_after:
                peer.close()
            return
        what = chance.random()
        if what < 0.02:
            chance.choice([peer.close, peer.reset, peer.end])()
        elif what < 0.05:
            chance.choice([peer.stop_reading, peer.read_on, peer.read_on])()
        else:
            self._listen()

    def _listen(self) -> None:
        if self._is_tunnel:
            self._peer.take()
            self._unsent = b"tunnel" if self._chance.random() < 0.1 else b""
            return
        if data := self._peer.take():
            self._parser.receive_data(data)
        event = self._parser.next_event()
        if isinstance(event, h11.Request):
            self._answer(event)
        if self._parser.our_state is h11.DONE and self._parser.their_state is h11.DONE:
            self._parser.start_next_cycle()

    def _answer(self, request: h11.Request) -> None:
        chance, path = self._chance, request.target
        size = min(chance.choice([0, 5, 100, 100, 70_000, 600_000]), self._max_size)
        content = content_for(path, size)[:size]
        fields = [(b"X-Path", path)]
        kind = chance.random()
        if kind < 0.1:
            self._misbehave(path)
            return
        if any(name == b"upgrade" for name, _ in request.headers) and kind < 0.8:
            fields += [(b"Connection", b"upgrade"), (b"Upgrade", b"websocket")]
            self._is_tunnel = True
            self._unsent = b"HTTP/1.1 101 Switching Protocols\r\n"
            self._unsent += b"".join(b"%b: %b\r\n" % line for line in fields) + b"\r\n"
            return
        answer = b""
        if kind < 0.3:
            answer += b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        if kind > 0.6:
            fields.append((b"Content-Length", b"%d" % size))
        elif kind > 0.25:
            fields.append((b"Transfer-Encoding", b"chunked"))
        else:
            fields.append((b"Connection", b"close"))
            self._closes_after = True
        answer += self._parser.send(h11.Response(status_code=200, headers=fields)) or b""
        if request.method != b"HEAD":
            answer += self._parser.send(h11.Data(data=content)) or b""
        answer += self._parser.send(h11.EndOfMessage()) or b""
        self._unsent = answer

    def _misbehave(self, path: bytes) -> None:
        content = content_for(path, 50)
        self._closes_after = self._chance.random() < 0.7
        self._unsent = self._chance.choice(
            [
                b"HTTP/1.1 200 OK\r\nX-Path: %b\r\nContent-Length: 60\r\n\r\n%b" % (path, content[:50]),
                b"HTTP/1.1 200 OK\r\nX-Path: %b\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n%b" % (path, content[:50]),
                b"HTTP/1.1 200 OK\r\nX-Path: %b\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n%bXX" % (path, content[:50]),
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
                b"garbage\r\n\r\n",
                b"HTTP/1.1 200",
            ]
        )


ANSWER_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


def check_answers(client: Client, data: bytes) -> None:
    """Raises AssertionError unless `data` is answers to the client's requests, in order, the last perhaps broken."""
    answered = 0
    while data:
        head = ANSWER_HEAD.match(data)
        if head is None:
            assert client.peer.saw_reset or client.peer.is_closed or not client.peer.saw_end, data[:100]
            return
        status, fields, data = int(head[1]), head[2].lower(), data[head.end() :]
        if status == 101:
            return
        if status < 200:
            continue
        if status in (400, 408):  # perhaps to bytes that no request was made of
            assert answered <= len(client.paths)
            return
        assert answered < len(client.paths), "an answer that nobody asked for"
        path, method = client.paths[answered], client.methods[answered]
        if b"x-path: " in fields:
            assert b"x-path: %b\r\n" % path in fields, "an answer to somebody else's request"
        answered += 1
        content, data, is_complete = content_of(method, fields, data)
        if status == 200 and method != b"HEAD":
            assert content == content_for(path, len(content))[: len(content)], "content of another answer"
        if not is_complete:
            is_visible = client.peer.saw_reset or client.peer.is_closed or not client.peer.saw_end
            assert is_visible, "an answer that was cut off and looks complete"
            return


def content_of(method: bytes, fields: bytes, data: bytes) -> tuple[bytes, bytes, bool]:
    """Content, what follows it, and whether it is all there."""
    if method == b"HEAD":
        return b"", data, True
    if length := re.search(rb"content-length: (\d+)\r\n", fields):
        size = int(length[1])
        return data[:size], data[size:], len(data) >= size
    if b"transfer-encoding: chunked" not in fields:
        return data, b"", True
    content = b""
    while size_line := re.match(rb"([0-9a-f]+)\r\n", data):
        size = int(size_line[1], 16)
        chunk, data = data[size_line.end() : size_line.end() + size], data[size_line.end() + size + 2 :]
        if not size:
            return content, data, True
        content += chunk
    return content, b"", False


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}")
def test_whatever_happens(seed: int) -> None:
    chance = random.Random(seed)
    clients: list[Client] = []
    read_bytes = chance.choice([1, 50, 10_000, 1 << 18])
    max_size = 500 * read_bytes

    async def story(stage: Stage) -> None:
        workers: list[Worker] = []
        received: dict[int, bytes] = {}
        for _ in range(STEPS):
            what = chance.random()
            alive = [client for client in clients if not client.peer.is_closed]
            if what < 0.1 and len(alive) < 4:
                number = len(clients) + 1
                clients.append(Client(number, stage.client(number), chance, max_size))
            elif what < 0.5 and alive:
                chance.choice(alive).act()
            elif what < 0.95 and workers:
                chance.choice([worker for worker in workers if worker.is_alive] or workers).act()
            elif what < 0.96:
                stage.loop.ports[WORKER_PORT] = chance.choice([Port.ACCEPTS, Port.REFUSES, Port.SLAMS, Port.ACCEPTS])
            elif what < 0.965:
                stage.pool.close() if chance.random() < 0.5 else stage.pool.open(WORKER_PORT)
            elif what < 0.968:
                stage.listener.stop_accepting()
            workers.extend(Worker(peer, chance, max_size) for peer in stage.loop.accepted[len(workers) :])
            await pass_some_time(stage, chance)
        for client in clients:
            client.peer.read_on()
        if not stage.pool.is_open:
            stage.pool.give_up("the boot timeout is over")  # as the supervisor says in the end
        # Whether or not the worker ever moves again, pipelined requests meet their deadlines one after the other.
        await stage.pass_time(20_000)
        for client in clients:
            received[client.number] = client.peer.take()
            if not client.peer.is_closed:
                check_answers(client, received[client.number])
        assert stage.front.busy == 0, "somebody waits for ever"

    perform(story, read_bytes=read_bytes)


async def pass_some_time(stage: Stage, chance: random.Random) -> None:
    """Mostly none, or a few turns of the loop: what goes wrong, goes wrong when things happen at the same moment."""
    what = chance.random()
    if what < 0.5:
        for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 3])):
            await asyncio.sleep(0)
    elif what < 0.9:
        await stage.settled()
    elif what < 0.99:
        await stage.pass_time(chance.random() * 3)
    else:
        await stage.pass_time(chance.choice([10, 31, 130]))
