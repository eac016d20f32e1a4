"""Conversations: a client, thrust and a worker, written as the lines that go over the wire.

    client >> GET / HTTP/1.1            the client sends this line, with CRLF
    client >> Host: example.org
    client >>                           … an empty one
    worker << GET / HTTP/1.1            the worker has received exactly this, and nothing before it
    worker << host: example.org
    worker << ... (no connection)       any further field lines, but none of that name
    worker <<
    worker >> HTTP/1.1 200 OK
    worker >> Content-Length: 5
    worker >>
    worker >> hello\\                    a backslash at the end: no CRLF after it
    client << HTTP/1.1 200 OK
    client << date: *                   a star: anything up to the end of the line, \\* is a star
    client << content-length: 5
    client <<
    client <~ hello                     content in chunks, however it was cut
    1.5 s pass                          and other sentences, see EVENTS
    & client resets                     at the same moment as what the line before says

Neighbouring lines of one direction are one message, sent at once; `--` parts them. `\\r \\n \\t \\0 \\xHH \\\\` are
what they are in Python, `$name` is an argument of the conversation, `client-2` is another client, `worker-2` the
second connection that thrust has made to the worker. Between two messages everything happens that can happen without
time passing. At the end nobody may have received more than was written down, no connection may have been made or
ended that is not spoken of, and nothing may be left behind.

Real are the server's connection, the whole chain of handlers, the pool and its connections; transports and clock are
`memory_transport` and `clock`, with which the time of day goes too (`wall_clock`). What the cache has coded in the
background is coded when the conversation says so.
"""

import asyncio
import gc
import re
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.background_coding import CoderOnDemand, coding_on_demand
from tests.support.clock import run_jumping
from tests.support.memory_network import MemoryLoop, Port
from tests.support.memory_transport import READ_BYTES, Peer
from tests.support.wall_clock import wall_clock
from thrust.config import Config
from thrust.handlers import chain
from thrust.handlers.errors import ErrorPages
from thrust.http.exchange import Exchange, Observer
from thrust.http.message import Request
from thrust.server.front import Front, Timeouts
from thrust.server.http1 import Http1Connection
from thrust.server.listener import Listener
from thrust.upstream.pool import Pool

WORKER_PORT = 3001
CLIENT_ADDRESS = "203.0.113.7"
AFTERMATH_S = 1000.0
"""Longer than every deadline: what is still alive then would live for ever."""


class Stage:
    """Thrust without processes and sockets, clients and a worker.

    `settings` are those of Config; the cache, compression and X-Sendfile are off unless asked for, so that a
    conversation shows what was forwarded. `refusals` are what the log is told of files, and whether the machine is at
    fault.
    """

    def __init__(self, loop: MemoryLoop, **settings: Any) -> None:
        config = Config(**{"cache_size_bytes": 0, "compression": (), "send_file_header": None, **settings})
        pages = ErrorPages(config.bad_gateway_page)
        self.loop = loop
        self.coder = CoderOnDemand(loop)
        self.exchanges: list[Exchange] = []
        self.observers: list[Observer] = [self.exchanges.append]
        self.unexpected: list[BaseException] = []
        self.refusals: list[tuple[str, bool]] = []
        self.clients: dict[int, Peer] = {}
        self.connections: list[Http1Connection] = []
        self.pool = Pool(loop, answer_timeout_s=config.worker_timeout_s)
        links = chain.build(config, self.pool, pages, self.unexpected.append, self._note_refusal)
        self.front = Front(
            handler=links.handler,
            at_once=links.at_once,
            observers=self.observers,
            timeouts=Timeouts(config.idle_timeout_s, config.read_timeout_s, config.write_timeout_s),
            error_response=pages.response,
        )
        self.listener = Listener(loop, [], self.front, lambda: Http1Connection(self.front, loop))
        self.open(WORKER_PORT)

    def _note_refusal(self, request: Request, reason: str, /, *, is_fault: bool) -> None:
        self.refusals.append((reason, is_fault))

    def open(self, port: int) -> None:
        """The worker listens on `port`, and is ready."""
        self.loop.ports[port] = Port.ACCEPTS
        self.pool.open(port)

    def client(self, number: int = 1, address: str = CLIENT_ADDRESS) -> Peer:
        """The client of that number, connected if it is new."""
        if number not in self.clients:
            connection = Http1Connection(self.front, self.loop)
            self.connections.append(connection)
            self.clients[number] = self.loop.connect(connection, (address, 40000 + number)).peer
        return self.clients[number]

    def worker(self, number: int = 1) -> Peer:
        """The worker's end of the connection of that number."""
        made = self.loop.accepted
        assert len(made) >= number, f"thrust has made {len(made)} connections to the worker, not {number}"
        return made[number - 1]

    async def settled(self) -> None:
        await self.loop.settled()

    async def pass_time(self, seconds: float) -> None:
        await self.settled()
        await asyncio.sleep(seconds)
        await self.settled()

    async def strike(self) -> None:
        """Everybody leaves; raises AssertionError for what stays behind."""
        await self.settled()
        for client in self.clients.values():
            if not client.is_closed:
                client.reset()
        await self.settled()
        self.pool.abort()
        self.listener.abort()
        await self.pass_time(AFTERMATH_S)
        left = {
            "client connections": self.front.connections,
            "exchanges": set(range(self.front.busy)),
            "worker connections": self.pool._all,
            "idle worker connections": set(self.pool._idle),
            "waiters": set(self.pool._waiters),
            "transports that did not lose their connection exactly once": {
                transport for transport in self.loop.transports if transport.lost_calls != 1
            },
            "tasks": asyncio.all_tasks() - {asyncio.current_task()},
            "internal errors": set(self.unexpected),
        }
        assert not any(left.values()), f"left behind: { {what: some for what, some in left.items() if some} }"
        assert len(self.exchanges) == len(set(map(id, self.exchanges))), "an exchange was finished twice"


Story = Callable[[Stage], Coroutine[Any, Any, None]]


def perform(story: Story, *, read_bytes: int = READ_BYTES, **settings: Any) -> Stage:
    """Runs `story` on a Stage, and checks that nothing is left behind."""
    __tracebackhide__ = True
    loop = MemoryLoop(read_bytes)

    async def performance() -> Stage:
        __tracebackhide__ = True
        stage = Stage(loop, **settings)
        with coding_on_demand(stage.coder):
            await story(stage)
        await stage.strike()
        return stage

    _told.append(loop.errors)
    with wall_clock(loop):
        stage = run_jumping(performance, lambda: loop)
    assert_nothing_was_told(generation=0)
    return stage


def assert_nothing_was_told(*, generation: int = 2) -> None:
    """Raises AssertionError if a loop's exception handler was called.

    For an exception that nobody retrieved this happens when its future is collected, in most cases at once. `conftest`
    collects everything at the end of each module; that takes too long to be done for each test.
    """
    gc.collect(generation)
    told = [context for errors in _told for context in errors]
    if told or generation == 2:
        _told.clear()
    assert not told, f"told to the loop's exception handler: {told}"


_told: list[list[dict[str, Any]]] = []


def converse(
    text: str, *, read_bytes: int = READ_BYTES, words: dict[str, bytes] | None = None, **settings: Any
) -> Stage:
    """Plays the conversation `text`; returns the stage, for what cannot be seen on the wire."""
    __tracebackhide__ = True
    steps = list(_parse(text, words or {}))

    async def story(stage: Stage) -> None:
        __tracebackhide__ = True
        script = _Script(stage)
        for step in steps:
            if not step.is_simultaneous:
                await stage.settled()
            await script.play(step)
        await stage.settled()
        script.check_end()

    return perform(story, read_bytes=read_bytes, **settings)


# The words of the language


@dataclass
class _Step:
    """Some neighbouring lines: a message to send, one to expect, or an event."""

    kind: str  # >> << <~ event
    who: str = ""
    number: int = 1
    line_number: int = 0
    lines: list[str] = field(default_factory=list)
    is_simultaneous: bool = False
    data: bytes = b""


_MESSAGE = re.compile(r"(client|worker)(?:-(\d+))? (>>|<<|<~)(?: (.*))?")
_TOKEN = re.compile(r"\\x(?P<hex>[0-9a-f]{2})|\\(?P<escape>.)|\$(?P<word>\w+)|(?P<star>\*)|(?P<plain>.)", re.DOTALL)
_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", "*": b"*", "$": b"$"}
_ANY_LINES = re.compile(r"\.\.\.(?: \(no (.*)\))?")


def _parse(text: str, words: dict[str, bytes]) -> Iterator[_Step]:
    step: _Step | None = None
    for line_number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped == "--":
            if step is not None and stripped:
                yield _translated(step, words)
                step = None
            continue
        is_simultaneous = stripped.startswith("& ")
        stripped = stripped.removeprefix("& ")
        message = _MESSAGE.fullmatch(stripped)
        kind = message[3] if message else "event"
        who, number = (message[1], int(message[2] or 1)) if message else (stripped, 1)
        if step is None or is_simultaneous or (step.kind, step.who, step.number) != (kind, who, number) or not message:
            if step is not None:
                yield _translated(step, words)
            step = _Step(kind, who, number, line_number, is_simultaneous=is_simultaneous)
        step.lines.append((message[4] or "") if message else stripped)
    if step is not None:
        yield _translated(step, words)


def _translated(step: _Step, words: dict[str, bytes]) -> _Step:
    if step.kind == "<<":
        step.data = b"".join(_line_pattern(line, words) for line in step.lines)
    elif step.kind == "<~":
        step.data = b"".join(_bytes_of(line, words) for line in step.lines)
    elif step.kind == ">>":
        step.data = b"".join(
            _bytes_of(line[:-1], words) if _is_unended(line) else _bytes_of(line, words) + b"\r\n"
            for line in step.lines
        )
    return step


def _is_unended(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _bytes_of(line: str, words: dict[str, bytes]) -> bytes:
    return b"".join(_bytes_of_token(token, words) for token in _TOKEN.finditer(line))


def _bytes_of_token(token: re.Match[str], words: dict[str, bytes]) -> bytes:
    if token["hex"]:
        return bytes.fromhex(token["hex"])
    if token["escape"]:
        return _ESCAPES[token["escape"]]
    if token["word"]:
        return words[token["word"]]
    return token[0].encode()


def _line_pattern(line: str, words: dict[str, bytes]) -> bytes:
    if any_lines := _ANY_LINES.fullmatch(line):
        names = [name.strip().encode() for name in (any_lines[1] or "").split(",") if name.strip()]
        unwanted = b"".join(b"(?!%b:)" % re.escape(name) for name in names)
        return b"(?:%b[^\r\n]+\r\n)*?" % unwanted
    content, ending = (line[:-1], b"") if _is_unended(line) else (line, b"\r\n")
    pattern = b"".join(
        b"[^\r\n]*" if token["star"] else re.escape(_bytes_of_token(token, words)) for token in _TOKEN.finditer(content)
    )
    return pattern + ending


# Playing them


class _Script:
    """What has been said so far on `stage`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._mentioned_workers = 0
        self._seen_ends: set[Peer] = set()

    async def play(self, step: _Step) -> None:
        __tracebackhide__ = True
        if step.kind == "event":
            await self._happen(step)
            return
        peer = self._peer(step.who, step.number)
        if step.kind == ">>":
            peer.send(step.data)
        elif step.kind == "<<":
            self._expect(peer, step)
        else:
            self._expect_chunks(peer, step)

    def _peer(self, who: str, number: int) -> Peer:
        if who == "client":
            return self._stage.client(number)
        self._mentioned_workers = max(self._mentioned_workers, number)
        return self._stage.worker(number)

    def _expect(self, peer: Peer, step: _Step) -> None:
        __tracebackhide__ = True
        match = re.match(step.data, peer.received)
        assert match, _difference(step, peer)
        del peer.received[: match.end()]

    def _expect_chunks(self, peer: Peer, step: _Step) -> None:
        content = b""
        while len(content) < len(step.data):
            head = re.match(rb"([0-9a-f]+)\r\n", peer.received)
            size = int(head[1], 16) if head else 0
            assert head and size, _difference(step, peer)
            chunk = bytes(peer.received[head.end() : head.end() + size + 2])
            assert chunk.endswith(b"\r\n") and len(chunk) == size + 2, _difference(step, peer)
            content += chunk[:-2]
            del peer.received[: head.end() + size + 2]
        assert content == step.data, f"line {step.line_number}: {content!r} is not {step.data!r}"

    async def _happen(self, step: _Step) -> None:
        __tracebackhide__ = True
        for sentence, happen in EVENTS.items():
            if match := re.fullmatch(sentence, step.lines[0]):
                result = happen(self, match)
                if asyncio.iscoroutine(result):
                    await result
                return
        raise ValueError(f"line {step.line_number}: unknown sentence {step.lines[0]!r}")

    def peer_of(self, match: re.Match[str]) -> Peer:
        return self._peer(match["who"], int(match["number"] or 1))

    def expect_end(self, match: re.Match[str]) -> None:
        """The worker does not care how a connection ends, a client has to."""
        peer = self.peer_of(match)
        assert not peer.received, f"unexpected: {bytes(peer.received)!r}"
        assert peer.saw_end or (match["who"] == "worker" and peer.saw_reset), f"{match[0]}? {peer}"
        assert match["who"] == "worker" or not peer.saw_reset, "a reset, not an end"
        self._seen_ends.add(peer)

    def expect_reset(self, match: re.Match[str]) -> None:
        peer = self.peer_of(match)
        assert not peer.received, f"unexpected: {bytes(peer.received)!r}"
        assert peer.saw_reset, f"{match[0]}? {peer}"
        self._seen_ends.add(peer)

    def expect_nothing(self, match: re.Match[str]) -> None:
        peer = self.peer_of(match)
        assert not peer.received, f"unexpected: {bytes(peer.received)!r}"
        assert peer in self._seen_ends or not (peer.saw_end or peer.saw_reset), f"{match[0]}? {peer}"

    def expect_something(self, match: re.Match[str]) -> None:
        assert self.peer_of(match).take(), "nothing was received"

    @property
    def stage(self) -> Stage:
        return self._stage

    def check_end(self) -> None:
        made = len(self._stage.loop.accepted)
        assert made == self._mentioned_workers, f"{made} connections to the worker, {self._mentioned_workers} mentioned"
        clients = [(f"client-{number}", peer) for number, peer in self._stage.clients.items()]
        workers = [(f"worker-{number}", peer) for number, peer in enumerate(self._stage.loop.accepted, 1)]
        for name, peer in clients + workers:
            assert not peer.received, f"{name} received more: {bytes(peer.received[:2000])!r}"
            is_said = peer in self._seen_ends or peer.is_closed
            assert is_said or not (peer.saw_end or peer.saw_reset), f"{name} saw an end: {peer}"


def _difference(step: _Step, peer: Peer) -> str:
    name = f"{step.who}-{step.number}" if step.number > 1 else step.who
    wanted = "\n".join(f"    {name} {step.kind} {line[:300]}" for line in step.lines)
    got = "\n".join(f"    {line!r}"[:300] for line in bytes(peer.received).splitlines(keepends=True)[:60])
    return f"line {step.line_number}, expected\n{wanted}\nreceived, and not expected before\n{got or '    nothing'}"


_WHO = r"(?P<who>client|worker)(?:-(?P<number>\d+))? "

EVENTS: dict[str, Callable[[_Script, re.Match[str]], Any]] = {
    r"(?P<seconds>[\d.]+) s pass": lambda script, match: script.stage.pass_time(float(match["seconds"])),
    _WHO + r"connects": lambda script, match: script.peer_of(match),
    _WHO + r"half-closes": lambda script, match: script.peer_of(match).end(),
    _WHO + r"closes": lambda script, match: script.peer_of(match).close(),
    _WHO + r"resets": lambda script, match: script.peer_of(match).reset(),
    _WHO + r"stops reading": lambda script, match: script.peer_of(match).stop_reading(),
    _WHO + r"reads on": lambda script, match: script.peer_of(match).read_on(),
    _WHO + r"reads (?P<count>\d+) bytes": lambda script, match: script.peer_of(match).read(int(match["count"])),
    _WHO + r"received something": _Script.expect_something,
    _WHO + r"may have received more": lambda script, match: script.peer_of(match).take(),
    _WHO + r"sees the end": _Script.expect_end,
    _WHO + r"sees a reset": _Script.expect_reset,
    _WHO + r"sees nothing": _Script.expect_nothing,
    r"the worker (is )?(?P<how>accepts|refuses|ignores|slams|unreachable).*": lambda script, match: (
        script.stage.loop.ports.update({WORKER_PORT: Port(match["how"])})
    ),
    r"thrust has no worker": lambda script, match: script.stage.pool.close(),
    r"thrust has a worker on port (?P<port>\d+)": lambda script, match: script.stage.open(int(match["port"])),
    r"thrust gives the worker up: (?P<reason>.*)": lambda script, match: script.stage.pool.give_up(match["reason"]),
    r"the best codings are made": lambda script, match: script.stage.coder.work(),
    r"thrust stops accepting": lambda script, match: script.stage.listener.stop_accepting(),
    r"thrust ends streams": lambda script, match: script.stage.listener.end_streams(),
    r"thrust ends tunnels": lambda script, match: script.stage.listener.end_streams(also_tunnels=True),
    r"thrust aborts the worker's connections": lambda script, match: script.stage.pool.abort(),
    r"thrust aborts": lambda script, match: script.stage.listener.abort(),
}
"""Sentences that may stand on a line of their own."""
