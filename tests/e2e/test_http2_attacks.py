"""Attacks by HTTP/2 on a running thrust: each ends with the RFC's code, within a bound, and nobody else notices.

What is counted: frames until GOAWAY, requests of somebody else that are answered meanwhile, the peak of thrust's
memory, and what the worker is left with. Nothing is timed, so that a slow machine changes nothing.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.e2e_thrust import LOOPS, Thrust, raw_worker, running_thrust
from tests.support.http2_cases import (
    ACK,
    CODES,
    CONTINUATION,
    DATA,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_31,
    PADDED,
    block,
    data,
    frame,
    get,
    headers,
    ping,
    post,
    priority,
    pseudo,
    reset,
    settings,
    string,
    uint32,
    window,
)
from tests.support.http2_peer import PREFACE, Http2Peer, SocketPipe

pytestmark = pytest.mark.slow

ALLOWED_BYTES = 8_000_000
"""By which the peak of thrust's memory may exceed what it was before an attack; one connection's buffers are 1 MB."""


@pytest.fixture(scope="module", params=LOOPS)
def thrust(request: pytest.FixtureRequest) -> Iterator[Thrust]:
    """thrust with HTTP/2 on the plain port."""
    with running_thrust(raw_worker(), loop=request.param, env={"THRUST_H2C": "1"}) as thrust:
        thrust.wait_until_ready()
        warm_up(thrust)
        yield thrust
        assert thrust.process.poll() is None
        assert not [event for event in thrust.events() if event["level"] == "ERROR"]


class Client:
    """A client with a connection of its own."""

    def __init__(
        self, thrust: Thrust, greeting: bytes = PREFACE + settings(), *, receive_buffer_bytes: int | None = None
    ) -> None:
        self.pipe = SocketPipe(thrust.port, receive_buffer_bytes)
        self.peer = Http2Peer(self.pipe)
        self.peer.raw(greeting)
        self._next_stream = 1

    def is_answered(self, path: str = "/") -> bool:
        """Whether one more request is."""
        stream_id, self._next_stream = self._next_stream, self._next_stream + 2
        self.peer.raw(get(stream_id, path))
        self.hear_until(lambda: self.peer.answers.get(stream_id) is not None and self.peer.answers[stream_id].has_ended)
        return self.peer.answers[stream_id].status == "200"

    def hear_until(self, is_true: Callable[[], bool]) -> None:
        """Reads until something is true or the connection is over; fails if neither comes."""
        while True:
            self.peer.hear()
            if is_true() or self.pipe.is_over:
                return
            readable = self.pipe.wait_for_more()
            assert readable, f"nothing has come; so far: {self.peer.frames[-5:]}"

    @property
    def end(self) -> str:
        """The code of the last GOAWAY, `none` if there was none."""
        return CODES[self.peer.goaways[-1].error_code] if self.peer.goaways else "none"


@contextlib.contextmanager
def client_of(
    thrust: Thrust, greeting: bytes = PREFACE + settings(), *, receive_buffer_bytes: int | None = None
) -> Iterator[Client]:
    client = Client(thrust, greeting, receive_buffer_bytes=receive_buffer_bytes)
    try:
        yield client
    finally:
        client.pipe.close()


def warm_up(thrust: Thrust) -> None:
    """Some traffic of each kind, from which on memory should not grow."""
    for _ in range(3):
        with client_of(thrust) as client:
            for _ in range(20):
                assert client.is_answered()
            client.peer.raw(post(1001) + data(1001, b"x" * 16384) * 3 + data(1001, end=True))
            client.peer.raw(ping() * 500 + frame(0, 0, 0))
            client.hear_until(lambda: client.end != "none")


@dataclass(frozen=True)
class Attack:
    """`pieces` are sent one after the other, without end; at most `limit` of them may pass before the GOAWAY."""

    what: str
    pieces: Callable[[], Iterator[bytes]]
    limit: int
    code: str = "ENHANCE_YOUR_CALM"
    before: bytes = b""


def again(piece: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.repeat(piece)


def hang(number: int) -> str:
    """A path of its own: equal ones would wait for each other's answer before the worker hears of them."""
    return f"/hang?{number}"


def on_new_streams(make: Callable[[int], bytes]) -> Callable[[], Iterator[bytes]]:
    """Pieces that each open a stream."""
    return lambda: (make(stream_id) for stream_id in itertools.count(1, 2))


def unknown_settings() -> Iterator[bytes]:
    """All 65,000 of them, 2000 per frame, again and again."""
    for first in itertools.cycle(range(16, 64_000, 2000)):
        yield settings(*((first + number, 1) for number in range(2000)))


OPEN_POST = post(1, path="/sink")
BOMB = headers(1, block(pseudo()) + b"\x40" + string("x") + string("y" * 4000) + b"\xbe" * 12000)

# Limits leave room for what is earned per second by a machine that takes ten.
ATTACKS = [
    Attack("rapid reset", on_new_streams(lambda it: get(it, hang(it)) + reset(it)), 500),
    Attack(
        "rapid reset of uploads", on_new_streams(lambda it: post(it, path=hang(it)) + data(it, b"x") + reset(it)), 500
    ),
    Attack("made to reset by WINDOW_UPDATE 0", on_new_streams(lambda it: get(it, hang(it)) + window(it, 0)), 300),
    Attack("made to reset by overflow", on_new_streams(lambda it: get(it, hang(it)) + window(it, MAX_31)), 300),
    Attack("made to reset by DATA after the end", on_new_streams(lambda it: get(it, hang(it)) + data(it, b"x")), 300),
    Attack("made to reset by HEADERS after the end", on_new_streams(lambda it: get(it, hang(it)) * 2), 300),
    Attack("made to reset by PRIORITY", on_new_streams(lambda it: get(it, hang(it)) + priority(it, it)), 300),
    Attack(
        "made to reset by short PRIORITY", on_new_streams(lambda it: get(it, hang(it)) + frame(2, 0, it, b"x")), 300
    ),
    Attack(
        "made to reset by too much content",
        on_new_streams(lambda it: post(it, ("content-length", "1")) + data(it, b"xy")),
        300,
    ),
    Attack(
        "made to reset by bad trailers",
        on_new_streams(lambda it: post(it, path=hang(it)) + headers(it, [(":a", "b")])),
        300,
    ),
    Attack("malformed requests", on_new_streams(lambda it: get(it, "no-slash")), 300),
    Attack("more streams than allowed", on_new_streams(lambda it: get(it, hang(it))), 400),
    Attack(
        "CONTINUATION",
        again(frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 100)),
        33,
        before=frame(HEADERS, 0, 1, block(pseudo())),
    ),
    Attack("empty CONTINUATION", again(frame(CONTINUATION, 0, 1)), 33, before=frame(HEADERS, 0, 1, block(pseudo()))),
    Attack("large CONTINUATION", again(frame(CONTINUATION, 0, 1, bytes(16384))), 5, before=frame(HEADERS, 0, 1)),
    Attack("PING", again(ping()), 2500),
    Attack("acknowledged PING", again(ping(ack=True)), 2500),
    Attack("SETTINGS", again(settings()), 250),
    Attack("SETTINGS of unknown values", unknown_settings, 250),
    Attack(
        "SETTINGS that move all windows",
        lambda: itertools.cycle([settings((INITIAL_WINDOW_SIZE, size)) for size in (0, MAX_31)]),
        250,
    ),
    Attack("acknowledged SETTINGS", again(frame(4, ACK)), 2500),
    Attack("empty DATA", again(data(1)), 300, before=OPEN_POST),
    Attack("DATA of padding", again(frame(DATA, PADDED, 1, b"\x00")), 300, before=OPEN_POST),
    Attack("empty DATA on a closed stream", again(data(1)), 300, before=get(1) + reset(1)),
    Attack("DATA on a closed stream", again(data(1, b"x")), 300, before=get(1) + reset(1)),
    Attack("HEADERS on a stream that was reset", again(headers(1, [("x", "y")])), 2500, before=get(1, "no-slash")),
    Attack("WINDOW_UPDATE by single bytes", again(window(0, 1)), 4000),
    Attack("WINDOW_UPDATE on closed streams", again(window(1, 1)), 4000, before=get(1) + reset(1)),
    Attack(
        "a window opened byte by byte",
        again(window(1, 1)),
        4000,
        before=settings((INITIAL_WINDOW_SIZE, 0)) + get(1, "/stream?1000000"),
    ),
    Attack("PRIORITY of thousands of idle streams", lambda: (priority(it, 1) for it in itertools.count(3, 2)), 2500),
    Attack("PRIORITY_UPDATE", again(frame(0x10, 0, 0, uint32(1) + b"u=1")), 2500),
    Attack("unknown frames", again(frame(0xFA, 0, 1, b"x" * 100)), 2500),
    Attack("GOAWAY", again(frame(7, 0, 0, bytes(8))), 2500, before=get(1, "/hang")),
    Attack("RST_STREAM of closed streams", again(reset(1)), 2500, before=get(1) + reset(1)),
    Attack("a header bomb", again(BOMB), 1),
    Attack("a header bomb of one byte per field", again(headers(1, b"\x82" * 16384)), 1),
    Attack("table sizes", again(headers(1, b"\x20" * 16384)), 1, code="COMPRESSION_ERROR"),
    Attack(
        "an upload beyond every window", again(data(1, b"x" * 16384)), 40, code="FLOW_CONTROL_ERROR", before=OPEN_POST
    ),
]

BURST = 25
"""Pieces between two looks at what others notice."""


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.what for attack in ATTACKS])
def test_an_attack_ends_within_a_bound_and_nobody_else_notices(thrust: Thrust, attack: Attack) -> None:
    with client_of(thrust) as somebody, client_of(thrust) as attacker:
        assert somebody.is_answered("/shut")  # nobody reads uploads
        before = thrust.memory_bytes()
        thrust.forget_peak_memory()
        attacker.peer.raw(attack.before)
        sent = 0
        pieces = attack.pieces()
        while attacker.end == "none" and not attacker.pipe.is_over:
            assert sent < attack.limit + BURST, f"no GOAWAY after {sent} pieces"
            attacker.peer.raw(b"".join(itertools.islice(pieces, BURST)))
            sent += BURST
            assert somebody.is_answered()
        assert attacker.end == attack.code
        attacker.hear_until(lambda: attacker.pipe.is_over)
        assert somebody.is_answered()
        assert thrust.peak_memory_bytes() - before < ALLOWED_BYTES
        assert somebody.is_answered("/open")
    nobody_is_left(thrust)


def nobody_is_left(thrust: Thrust) -> None:
    """What an attacker had asked for is stopped: the worker has been left alone with nothing."""
    lines = thrust.stdout.so_far()
    hanging = lines.count("hangs")
    if hanging:
        thrust.wait_for_line("left alone", hanging)


def test_a_client_that_asks_and_never_reads_is_cut(thrust: Thrust) -> None:
    with client_of(thrust) as somebody, client_of(thrust, receive_buffer_bytes=4096) as attacker:
        assert somebody.is_answered("/cached")
        before = thrust.memory_bytes()
        thrust.forget_peak_memory()
        stream_ids = itertools.count(1, 2)
        for _ in range(400):
            attacker.pipe.send(b"".join(get(it, "/cached") for it in itertools.islice(stream_ids, BURST)))
            assert somebody.is_answered()
        assert thrust.peak_memory_bytes() - before < ALLOWED_BYTES
        attacker.hear_until(lambda: attacker.pipe.is_over)
        assert attacker.end == "ENHANCE_YOUR_CALM" or not attacker.peer.goaways
        assert len(attacker.peer.answers) < 400 * BURST


def test_streams_that_wait_cost_little_and_end_with_their_client(thrust: Thrust) -> None:
    begun = thrust.stdout.so_far().count("hangs")
    before = thrust.memory_bytes()
    with client_of(thrust) as somebody, contextlib.ExitStack() as stack:
        for number in range(1, 6):
            attacker = stack.enter_context(client_of(thrust))
            attacker.peer.raw(b"".join(get(2 * stream + 1, hang(100 * number + stream)) for stream in range(100)))
            thrust.wait_for_line("hangs", begun + 100 * number)
            assert somebody.is_answered()
        assert thrust.memory_bytes() - before < ALLOWED_BYTES
    nobody_is_left(thrust)


UNREAD_BYTES_PER_STREAM = 600_000
"""What may wait of an answer that the client does not take: two reads of the event loop from the worker (256 KB each),
one that is being sent and one that is held back. The answers themselves are ten megabytes."""


def test_answers_that_no_window_lets_through_are_not_fetched(thrust: Thrust) -> None:
    greeting = PREFACE + settings((INITIAL_WINDOW_SIZE, 0))
    with client_of(thrust) as somebody, client_of(thrust, greeting) as attacker:
        before = thrust.memory_bytes()
        thrust.forget_peak_memory()
        attacker.peer.raw(b"".join(get(2 * stream + 1, f"/stream?{10_000_000 + stream}") for stream in range(30)))
        attacker.hear_until(lambda: sum(bool(answer.heads) for answer in attacker.peer.answers.values()) == 30)
        for _ in range(100):
            assert somebody.is_answered()
        assert thrust.peak_memory_bytes() - before < 30 * UNREAD_BYTES_PER_STREAM
