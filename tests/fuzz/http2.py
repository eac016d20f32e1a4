"""Random frames, sound and unsound, for the HTTP/2 engine: `python -m tests.fuzz.http2 [SECONDS]` runs for as long.

Whatever comes, the engine answers with events and frames, or with one GOAWAY; it never raises anything, never sends a
frame that a client could not read, and forgets the streams that are over.
"""

import random
import sys
import time

from hpack import Encoder

from tests.support.http2_peer import PREFACE, Http2Peer, pseudo
from thrust.wire.http1.requests import RequestParser
from thrust.wire.http2.engine import Engine
from thrust.wire.http2.events import ConnectionFailed, RequestReceived, RequestRefused, StreamEnded
from thrust.wire.http2.field_blocks import response_block
from thrust.wire.http2.frames import ErrorCode
from thrust.wire.http2.outgoing import MAX_CONCURRENT_STREAMS


class Pipe:
    """An engine as the far end of a Peer."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def take(self) -> bytes:
        return self.engine.take_output()


def connection(rng: random.Random) -> bytes:
    """What one client says."""
    encoder = Encoder()
    last_stream_id = -1
    frames = [PREFACE, bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))]
    for _ in range(rng.randrange(60)):
        if rng.random() < 0.4:
            last_stream_id += 2
            frames.append(frame(rng, encoder, 1, last_stream_id))
        else:
            kind = rng.choice([0, 0, 0, 1, 2, 3, 4, 6, 7, 8, 8, 8, 16, 200, *([9] if rng.random() < 0.1 else [])])
            frames.append(frame(rng, encoder, kind, rng.randrange(1, max(2, last_stream_id + 1), 2)))
    return b"".join(frames)


def frame(rng: random.Random, encoder: Encoder, kind: int, stream_id: int) -> bytes:
    """One frame, most of them well-formed."""
    flags = rng.choice([0, 1, 1, 8, rng.randrange(256)]) if kind != 1 else rng.choice([4, 5, 5, 5, 5, 13, 0x25, 0x2D])
    if rng.random() < 0.03:
        flags, stream_id = rng.randrange(256), rng.randrange(400)
    payload = rng.randbytes({2: 5, 3: 4, 6: 8, 7: 8, 8: 4}.get(kind, rng.choice([0, 1, 4, 20])))
    if rng.random() < 0.01:
        payload = rng.randbytes(rng.randrange(30))
    if kind in (4, 6, 7, 16) and rng.random() < 0.98:
        stream_id = 0
    if kind == 0 and flags & 8 and rng.random() < 0.95:
        payload = b"\x02ab\0\0"
    if kind == 1:
        fields = [*pseudo(rng.choice(["/", "/a", "x", "*"]), rng.choice(["GET", "POST", "HEAD", "FROB"]))]
        fields += rng.choice([[], [("content-length", "3")], [("connection", "x")], [("cookie", "a=b")], [("A", "b")]])
        payload = encoder.encode(rng.choice([fields, fields, fields, fields[::-1], [("x-sum", "1")]]))
        payload = payload if rng.random() < 0.95 else rng.randbytes(12)
        if flags & 0x20 and rng.random() < 0.9:
            payload = bytes(5) + payload
        if flags & 8 and rng.random() < 0.9:
            payload = b"\x02" + payload + b"\0\0"
    if kind == 8 and rng.random() < 0.95:
        payload = rng.choice([1, 100, 70000]).to_bytes(4, "big")
    if kind == 4 and rng.random() < 0.9:
        payload = b"" if flags & 1 else b"\0\x04" + rng.choice([0, 10, 100000]).to_bytes(4, "big")
    if kind == 16 and rng.random() < 0.9:
        payload = rng.randrange(1, 99, 2).to_bytes(4, "big") + rng.choice([b"u=1", b"i", b"", b"u=9"])
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def play(rng: random.Random) -> None:
    """One connection."""
    engine = Engine(RequestParser(), time.monotonic)
    client = Http2Peer(Pipe(engine))
    engine.begin()
    data = connection(rng)
    opened: set[int] = set()
    has_failed = False
    while data:
        size = rng.choice([1, 5, 9, 50, 1000])
        piece, data = data[:size], data[size:]
        for event in engine.receive(piece):
            assert not has_failed, "an event after the last one"
            if isinstance(event, RequestReceived | RequestRefused):
                assert event.stream_id not in opened
                opened.add(event.stream_id)
            if isinstance(event, ConnectionFailed):
                has_failed = True
            if isinstance(event, StreamEnded):
                assert not engine.is_open(event.stream_id)
        for stream_id in rng.sample(sorted(opened), min(len(opened), 2)):
            act(rng, engine, stream_id)
        client.hear()
        assert engine.open_streams <= MAX_CONCURRENT_STREAMS
    assert has_failed == engine.has_failed == any(goaway.error_code for goaway in client.goaways)


def act(rng: random.Random, engine: Engine, stream_id: int) -> None:
    """Something that a server does with a stream, whether it is still there or not."""
    choice = rng.randrange(5)
    if choice == 0:
        engine.reset(stream_id, ErrorCode.CANCEL)
    elif choice == 1:
        engine.give_credit(stream_id, 10)
    elif choice == 2 and engine.is_open(stream_id):
        engine.send_head(stream_id, response_block(200, [(b"x", b"y")]))
        engine.send_content(stream_id, b"z" * min(3, engine.sendable_bytes(stream_id)), ends_stream=True)
        engine.reset(stream_id, ErrorCode.NO_ERROR)


def run(*, seed: int, connections: int) -> None:
    """So many connections, the same for the same seed."""
    for number in range(connections):
        play(random.Random(f"{seed}/{number}"))


if __name__ == "__main__":
    ends_at_s = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 60)
    count = 0
    while time.monotonic() < ends_at_s:
        run(seed=random.randrange(1 << 60), connections=100)
        count += 100
    print(f"{count} connections")
