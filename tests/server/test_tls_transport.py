"""TLS as a transport, against OpenSSL's client on real sockets and both event loops."""

import asyncio
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.support.certificates import client_context, make_pair
from tests.support.tls_client import NAME, Notes, closing_all, run, tls_stage
from thrust.server.tls_transport import (
    DECRYPTED_BYTES,
    ENCRYPTED_BYTES,
    MAX_OWED_BYTES,
    RECORD_BYTES,
    TlsTransport,
)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

PAIR = make_pair(NAME)

both_loops = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def tls12() -> ssl.SSLContext:
    context = client_context("http/1.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


class Outgoing:
    """A MemoryBIO that notes how much was in it; OpenSSL itself has the real one."""

    def __init__(self, bio: ssl.MemoryBIO, sizes: list[int]) -> None:
        self._bio = bio
        self._sizes = sizes

    @property
    def pending(self) -> int:
        return self._bio.pending

    def read(self) -> bytes:
        self._sizes.append(self._bio.pending)
        return self._bio.read()


def receive_all(client: socket.socket) -> bytes:
    """Until the other side ends; an end without close_notify is an SSLEOFError."""
    received = bytearray()
    while data := client.recv(65536):
        received += data
    return bytes(received)


@both_loops
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_bytes_go_both_ways(loop: LoopFactory, version: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served(tls12() if version == "TLSv1.2" else None)
            with closing_all(client):
                assert client.version() == version
                await asyncio.to_thread(client.sendall, b"hello")
                await served.until(lambda: served.received == b"hello")
                served.transport.write(b"")
                served.transport.write(bytearray(b"good"))
                served.transport.write(memoryview(b" day"))
                served.transport.close()
                assert await asyncio.to_thread(receive_all, client) == b"good day"
                await served.until(lambda: served.events == ["made", "lost"])

    run(loop, story)


@both_loops
def test_what_it_says_about_itself(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            with closing_all(client):
                transport = served.transport
                assert isinstance(transport, TlsTransport)
                assert transport.get_extra_info("peername") == client.getsockname()
                assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
                assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
                assert transport.get_extra_info("nothing", 1) == 1
                assert transport.get_protocol() is served
                assert repr(transport).startswith("<TlsTransport open, ")
                assert transport.is_reading() and not transport.is_closing()
                transport.set_write_buffer_limits(high=5000, low=1000)
                assert transport.get_write_buffer_limits() == (1000, 5000)
                transport.abort()
                await served.until(lambda: "lost" in served.events)
                assert transport.get_extra_info("ssl_object") is transport.get_extra_info("sslcontext") is None

    run(loop, story)


@both_loops
@pytest.mark.parametrize("size", [1, RECORD_BYTES, ENCRYPTED_BYTES, ENCRYPTED_BYTES + 1, RECORD_BYTES * 4, 1_000_000])
def test_openssl_never_has_more_than_a_record_and_a_head_to_keep(size: int, loop: LoopFactory, tmp_path: Path) -> None:
    """Its buffer never becomes smaller again, and there is one for each connection."""
    content, sizes = os.urandom(size), list[int]()

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            with closing_all(client):
                transport = served.transport
                assert isinstance(transport, TlsTransport)
                transport._outgoing = Outgoing(transport._outgoing, sizes)  # type: ignore[assignment]
                transport.write(content)
                served.transport.close()
                assert await asyncio.to_thread(receive_all, client) == content

    run(loop, story)
    assert sum(sizes) >= size
    assert max(sizes) <= ENCRYPTED_BYTES + 100


@both_loops
def test_megabytes_arrive_whole_both_ways_with_pauses(loop: LoopFactory, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            late: list[bytes] = []

            def pause_a_while(data: bytes) -> None:
                if not served.transport.is_reading():
                    late.append(data)
                served.transport.pause_reading()
                stage.loop.call_soon(stage.loop.call_soon, served.transport.resume_reading)

            served.on_data = pause_a_while
            with closing_all(client):
                await asyncio.to_thread(client.sendall, content)
                await served.until(lambda: len(served.received) == len(content))
                assert served.received == content and not late
                served.transport.write(content)
                served.transport.close()
                received = await asyncio.to_thread(receive_all, client)
        assert hashlib.sha256(received).digest() == hashlib.sha256(content).digest()

    run(loop, story)


@both_loops
def test_nothing_is_delivered_while_reading_is_paused_however_much_was_read_at_once(
    loop: LoopFactory, tmp_path: Path
) -> None:
    content = os.urandom(4 * DECRYPTED_BYTES)

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            served.on_data = lambda data: served.transport.pause_reading()
            with closing_all(client):
                await asyncio.to_thread(client.sendall, content)
                await served.until(lambda: served.received)
                first = len(served.received)
                assert first <= DECRYPTED_BYTES
                served.on_data = lambda data: None
                served.transport.resume_reading()
                served.transport.resume_reading()
                assert len(served.received) == first
                await served.until(lambda: len(served.received) == len(content))
                assert served.received == content

    run(loop, story)


@both_loops
def test_our_side_can_end_while_the_client_goes_on(loop: LoopFactory, tmp_path: Path) -> None:
    """An early answer: the client reads it to its end although we do not read its request."""

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            with closing_all(client):
                assert served.transport.can_write_eof()
                served.transport.write(b"answer")
                served.transport.write_eof()
                served.transport.write_eof()
                served.transport.write(b"ignored")
                assert await asyncio.to_thread(receive_all, client) == b"answer"
                await asyncio.to_thread(client.sendall, b"the rest")
                await served.until(lambda: served.received == b"the rest")
                assert served.events == ["made"]

    run(loop, story)


@both_loops
@pytest.mark.parametrize("stays_open", [True, False])
def test_the_clients_side_can_end_while_we_go_on_if_we_want(
    loop: LoopFactory, stays_open: bool, tmp_path: Path
) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            raw = await stage.socket()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = client_context("http/1.1").wrap_bio(incoming, outgoing, server_hostname=NAME)
            with closing_all(raw):
                await asyncio.to_thread(shake_hands, client, raw, incoming, outgoing)
                client.write(b"question")
                with pytest.raises(ssl.SSLWantReadError):
                    client.unwrap()
                await asyncio.to_thread(raw.sendall, outgoing.read())
                await stage.until(lambda: stage.protocols)
                served = stage.protocols[0]
                served.stays_open = stays_open
                await served.until(lambda: "eof" in served.events)
                assert served.received == b"question"
                served.transport.write(b"answer")
                served.transport.close()
                records = await asyncio.to_thread(receive_all, raw)
                incoming.write(records)
                if stays_open:
                    assert client.read(100) == b"answer"
                await served.until(lambda: "lost" in served.events)
        assert served.events == ["made", "eof", "lost"]

    run(loop, story)


def shake_hands(client: ssl.SSLObject, raw: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    while True:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            raw.sendall(outgoing.read())
            incoming.write(raw.recv(65536))
        else:
            raw.sendall(outgoing.read())
            return


@both_loops
def test_an_end_of_the_stream_without_close_notify_is_an_end_too(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            with closing_all(client):
                await asyncio.to_thread(client.sendall, b"question")
                await served.until(lambda: served.received)
                socket.socket.shutdown(client, socket.SHUT_WR)
                await served.until(lambda: "eof" in served.events)
                served.transport.write(b"answer")
                served.transport.close()
                assert await asyncio.to_thread(receive_all, client) == b"answer"

    run(loop, story)


@both_loops
def test_broken_records_end_the_connection(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            raw = socket.socket(fileno=client.detach())
            with closing_all(raw):
                await asyncio.to_thread(raw.sendall, b"\x17\x03\x03\0\x20" + bytes(32))
                await served.until(lambda: "lost" in served.events)
                served.transport.write(b"ignored")
                served.transport.close()
                served.transport.abort()
                served.transport.pause_reading()
                served.transport.resume_reading()
        assert served.received == b"" and served.events == ["made", "lost"]

    run(loop, story)


@both_loops
def test_a_client_that_takes_nothing_is_paused_for(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            with closing_all(client):
                while "pause" not in served.events:
                    served.transport.write(bytes(1_000_000))
                assert served.transport.get_write_buffer_size() > 0
                reading = asyncio.to_thread(client.recv, 65536)
                await reading
                while "resume" not in served.events:
                    await asyncio.to_thread(client.recv, 65536)

    run(loop, story)


@both_loops
def test_a_closed_connection_leaves_nothing_for_the_collector(loop: LoopFactory, tmp_path: Path) -> None:
    """OpenSSL's memory would wait with it."""

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            with closing_all(client):
                ssl_object = weakref.ref(served.transport.get_extra_info("ssl_object"))
                served.transport.close()
                await served.until(lambda: "lost" in served.events)
                await asyncio.sleep(0)
                assert ssl_object() is None

    run(loop, story)


@both_loops
def test_somebody_else_can_take_over(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            with closing_all(client):
                other = Notes()
                served.transport.set_protocol(other)
                await asyncio.to_thread(client.sendall, b"to the other")
                await other.until(lambda: other.received == b"to the other")
                served.transport.abort()
                await other.until(lambda: other.events)
                assert other.events == ["lost"] and served.events == ["made"]

    run(loop, story)


@both_loops
def test_a_client_that_asks_for_new_keys_and_does_not_read_is_cut(loop: LoopFactory, tmp_path: Path) -> None:
    """Each question makes OpenSSL owe an answer, which waits while the client takes nothing."""

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served()
            transport = served.transport
            assert isinstance(transport, TlsTransport)
            with closing_all(client):
                while "pause" not in served.events:
                    transport.write(bytes(1_000_000))
                waiting = transport.get_write_buffer_size()
                transport._outgoing.write(bytes(MAX_OWED_BYTES))
                transport._send_owed()
                assert transport.get_write_buffer_size() == waiting and not transport.is_closing()
                transport._outgoing.write(b"x")
                transport._send_owed()
                assert transport.is_closing()
                await served.until(lambda: "lost" in served.events)

    run(loop, story)


@pytest.mark.slow
@both_loops
def test_new_keys_are_used_when_the_client_wants_them(loop: LoopFactory, tmp_path: Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs openssl")

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client = await asyncio.create_subprocess_exec(
                *(program, "s_client", "-connect", "{}:{}".format(*stage.address), "-tls1_3"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert client.stdin is not None and client.stdout is not None
            await stage.until(lambda: stage.protocols)
            served = stage.protocols[0]
            for number in range(3):
                client.stdin.write(b"K\n")  # s_client's word for: new keys, and yours too
                await asyncio.sleep(0.1)  # it takes what comes together for one word
                client.stdin.write(b"%d\n" % number)
                await served.until(lambda number=number: served.received.endswith(b"%d\n" % number))
                served.transport.write(b"answer %d\n" % number)
                await client.stdout.readuntil(b"answer %d\n" % number)
            served.transport.close()
            await client.communicate()

    run(loop, story)
