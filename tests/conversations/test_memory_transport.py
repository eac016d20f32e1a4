"""That transports in memory behave as real ones do: the same scenes on sockets of asyncio and of uvloop.

Everything in this folder stands on it. Each scene tells what the protocol saw and what the peer received, in order.
"""

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from tests.support.memory_network import MemoryLoop
from tests.support.memory_transport import MemoryTransport

BOUND_S = 20.0
LARGE = bytes(range(256)) * 40_000
"""More than the buffers of two sockets take."""


class Recorder(asyncio.Protocol):
    """Writes down what happens to it."""

    def __init__(self, *, stays_open: bool = False) -> None:
        self.seen: list[str] = []
        self.data = b""
        self.changed = asyncio.Event()
        self._stays_open = stays_open

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def eof_received(self) -> bool:
        self._note("end")
        return self._stays_open

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self._note(f"lost {'with an error' if error else 'in peace'}")

    def _note(self, what: str) -> None:
        self.seen.append(what)
        self.changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class MemoryWire:
    """A Recorder and its peer, in memory."""

    async def connect(self, recorder: Recorder) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MemoryLoop)
        self._loop = loop
        self._peer = loop.connect(recorder, ("127.0.0.1", 1)).peer
        await recorder.until(lambda: recorder.seen)

    async def send(self, data: bytes) -> None:
        self._peer.send(data)

    async def end(self) -> None:
        self._peer.end()

    async def close(self) -> None:
        self._peer.close()

    async def reset(self) -> None:
        self._peer.reset()

    def stop_reading(self) -> None:
        self._peer.stop_reading()

    async def read_all(self) -> str:
        """What is received until the end or a reset, and which of them it was."""
        self._peer.read_on()
        await self._loop.settled()
        how = "reset" if self._peer.saw_reset else "end" if self._peer.saw_end else "nothing"
        return f"{len(self._peer.take())} bytes, then {how}"


class SocketWire:
    """A Recorder and its peer, over loopback."""

    async def connect(self, recorder: Recorder) -> None:
        self._loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self._peer = socket.create_connection(listening.getsockname(), timeout=BOUND_S)
            accepted, _ = listening.accept()
        self._peer.setblocking(False)
        await self._loop.connect_accepted_socket(lambda: recorder, accepted)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._peer, data)

    async def end(self) -> None:
        self._peer.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        self._peer.close()

    async def reset(self) -> None:
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._peer.close()

    def stop_reading(self) -> None:
        pass  # it reads only in read_all

    async def read_all(self) -> str:
        count = 0
        async with asyncio.timeout(BOUND_S):
            try:
                while data := await self._loop.sock_recv(self._peer, 1 << 20):
                    count += len(data)
            except ConnectionResetError:
                return f"{count} bytes, then reset"
            finally:
                self._peer.close()
        return f"{count} bytes, then end"


Wire = MemoryWire | SocketWire


async def scene_end_and_close(wire: Wire, recorder: Recorder) -> None:
    await wire.send(b"hello")
    await wire.end()
    await recorder.until(lambda: "lost in peace" in recorder.seen)
    recorder.seen.append(f"{recorder.data!r}")
    recorder.seen.append(await wire.read_all())


async def scene_half_close(wire: Wire, recorder: Recorder) -> None:
    await wire.send(b"hello")
    await wire.end()
    await recorder.until(lambda: "end" in recorder.seen)
    recorder.transport.write(b"answer")
    recorder.transport.close()
    received = await wire.read_all()
    await recorder.until(lambda: "lost in peace" in recorder.seen)
    recorder.seen.append(received)


async def scene_reset(wire: Wire, recorder: Recorder) -> None:
    await wire.reset()
    await recorder.until(lambda: "lost with an error" in recorder.seen)


async def scene_reset_while_paused(wire: Wire, recorder: Recorder) -> None:
    recorder.transport.pause_reading()
    await wire.reset()
    recorder.transport.resume_reading()
    await recorder.until(lambda: "lost with an error" in recorder.seen)


async def scene_closed_peer(wire: Wire, recorder: Recorder) -> None:
    """A closed socket looks half-closed until something is sent; the second write finds out."""
    await wire.close()
    await recorder.until(lambda: "end" in recorder.seen)
    recorder.transport.write(b"anybody there?")
    connection = recorder.transport.get_extra_info("socket")
    await until(lambda: connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    recorder.seen.append("SO_ERROR")
    recorder.transport.write(b"hello?")
    if "lost with an error" not in recorder.seen:
        recorder.transport.abort()
    await recorder.until(lambda: any(what.startswith("lost") for what in recorder.seen))
    recorder.seen[-1] = "lost"


async def scene_slow_peer(wire: Wire, recorder: Recorder) -> None:
    wire.stop_reading()
    recorder.transport.write(LARGE)
    recorder.seen.append(f"buffered {recorder.transport.get_write_buffer_size() > 65_536}")
    recorder.transport.close()
    recorder.seen.append(f"closing {recorder.transport.is_closing()}")
    received = await wire.read_all()
    await recorder.until(lambda: "lost in peace" in recorder.seen)
    recorder.seen.append(received)


async def scene_resume(wire: Wire, recorder: Recorder) -> None:
    wire.stop_reading()
    recorder.transport.write(LARGE)
    recorder.transport.write_eof()
    recorder.seen.append(await wire.read_all())
    await recorder.until(lambda: "resume" in recorder.seen)
    recorder.transport.close()
    await recorder.until(lambda: any(what.startswith("lost") for what in recorder.seen))
    recorder.seen.sort()


async def scene_abort(wire: Wire, recorder: Recorder) -> None:
    wire.stop_reading()
    recorder.transport.write(LARGE)
    recorder.transport.abort()
    recorder.transport.abort()
    await recorder.until(lambda: "lost in peace" in recorder.seen)
    recorder.seen.append((await wire.read_all()).partition("then ")[2])


async def scene_abort_while_closing(wire: Wire, recorder: Recorder) -> None:
    wire.stop_reading()
    recorder.transport.write(LARGE)
    recorder.transport.close()
    recorder.transport.abort()
    await recorder.until(lambda: "lost in peace" in recorder.seen)


async def scene_pause(wire: Wire, recorder: Recorder) -> None:
    recorder.transport.pause_reading()
    recorder.transport.pause_reading()
    recorder.seen.append(f"reading {recorder.transport.is_reading()}")
    await wire.send(b"hello")
    recorder.seen.append(f"{recorder.data!r}")
    recorder.transport.resume_reading()
    recorder.transport.resume_reading()
    await recorder.until(lambda: recorder.data)
    recorder.seen.append(f"{recorder.data!r}")
    recorder.transport.close()
    recorder.transport.close()
    await recorder.until(lambda: "lost in peace" in recorder.seen)


async def scene_unread_input(wire: Wire, recorder: Recorder) -> None:
    """Closing with input that nobody read sends a reset."""
    recorder.transport.pause_reading()
    await wire.send(b"hello")
    connection = recorder.transport.get_extra_info("socket")
    await until(lambda: readable(connection))
    recorder.transport.close()
    await recorder.until(lambda: "lost in peace" in recorder.seen)
    recorder.seen.append(await wire.read_all())


def readable(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def until(is_true: Callable[[], Any]) -> None:
    """Waits for what the kernel does without telling the protocol."""
    async with asyncio.timeout(BOUND_S):
        while not is_true():  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0.001)


async def scene_no_lingering(wire: Wire, recorder: Recorder) -> None:
    recorder.seen.append(f"readable {readable(recorder.transport.get_extra_info('socket'))}")
    connection = recorder.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    recorder.transport.abort()
    await recorder.until(lambda: "lost in peace" in recorder.seen)
    recorder.seen.append(await wire.read_all())


async def scene_resume_after_the_end(wire: Wire, recorder: Recorder) -> None:
    await wire.end()
    await recorder.until(lambda: "end" in recorder.seen)
    recorder.transport.pause_reading()
    recorder.transport.resume_reading()
    recorder.transport.close()
    await recorder.until(lambda: "lost in peace" in recorder.seen)


async def scene_another_protocol(wire: Wire, recorder: Recorder) -> None:
    second = Recorder()
    recorder.transport.set_protocol(second)
    await wire.send(b"hello")
    await wire.end()
    await second.until(lambda: "lost in peace" in second.seen)
    recorder.seen.extend([*second.seen, f"{second.data!r}"])


SCENES: dict[Callable[[Any, Recorder], Awaitable[None]], tuple[bool, list[str]]] = {
    scene_end_and_close: (False, ["made", "end", "lost in peace", "b'hello'", "0 bytes, then end"]),
    scene_half_close: (True, ["made", "end", "lost in peace", "6 bytes, then end"]),
    scene_reset: (True, ["made", "lost with an error"]),
    scene_reset_while_paused: (True, ["made", "lost with an error"]),
    scene_closed_peer: (True, ["made", "end", "SO_ERROR", "lost"]),
    scene_slow_peer: (
        False,
        ["made", "pause", "buffered True", "closing True", "resume", "lost in peace", f"{len(LARGE)} bytes, then end"],
    ),
    scene_resume: (True, [f"{len(LARGE)} bytes, then end", "lost in peace", "made", "pause", "resume"]),
    scene_abort: (False, ["made", "pause", "lost in peace", "end"]),
    scene_abort_while_closing: (False, ["made", "pause", "lost in peace"]),
    scene_pause: (False, ["made", "reading False", "b''", "b'hello'", "lost in peace"]),
    scene_unread_input: (False, ["made", "lost in peace", "0 bytes, then reset"]),
    scene_no_lingering: (False, ["made", "readable False", "lost in peace", "0 bytes, then reset"]),
    scene_resume_after_the_end: (True, ["made", "end", "lost in peace"]),
    scene_another_protocol: (False, ["made", "end", "lost in peace", "b'hello'"]),
}

LOOPS: dict[str, tuple[Callable[[], asyncio.AbstractEventLoop], type[MemoryWire] | type[SocketWire]]] = {
    "memory": (MemoryLoop, MemoryWire),
    "asyncio": (asyncio.new_event_loop, SocketWire),
    "uvloop": (uvloop.new_event_loop, SocketWire),
}


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__.removeprefix("scene_"))
@pytest.mark.parametrize("loop_name", LOOPS)
def test_the_same_is_seen_everywhere(loop_name: str, scene: Callable[[Any, Recorder], Awaitable[None]]) -> None:
    loop_factory, make_wire = LOOPS[loop_name]
    stays_open, expected = SCENES[scene]

    async def story() -> list[str]:
        recorder = Recorder(stays_open=stays_open)
        wire = make_wire()
        await wire.connect(recorder)
        try:
            await scene(wire, recorder)
        finally:
            await wire.close()
        return recorder.seen

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(story()) == expected


def test_a_transport_that_is_lost_takes_no_more() -> None:
    """asyncio ignores what is written then, uvloop raises; nothing of ours may rely on either."""

    async def story() -> None:
        wire, recorder = MemoryWire(), Recorder()
        await wire.connect(recorder)
        transport = recorder.transport
        assert isinstance(transport, MemoryTransport)
        transport.abort()
        transport.write(b"between abort and connection_lost it is ignored")
        await recorder.until(lambda: "lost in peace" in recorder.seen)
        with pytest.raises(RuntimeError):
            transport.write(b"hello")
        with contextlib.suppress(RuntimeError):
            transport.close()
        assert transport.lost_calls == 1

    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        runner.run(story())
