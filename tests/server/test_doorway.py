"""What becomes of a connection to a TLS port before anything is served on it."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.support.certificates import client_context, make_pair
from tests.support.clock import JumpingLoop, run_jumping
from tests.support.tls_client import BOUND_S, NAME, Stage, closing_all, run, tls_stage
from thrust.errors import Alert, TlsRefusal
from thrust.flow import start_task
from thrust.server import doorway as room
from thrust.server.doorway import HANDSHAKES_PER_TURN, Doorway, Handshakes, fatal_alert

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

PAIR = make_pair(NAME)

both_loops = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def first_flight(name: str = NAME, *protocols: str) -> bytes:
    """A ClientHello of OpenSSL's."""
    outgoing = ssl.MemoryBIO()
    client = client_context(*protocols).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def receive_all(client: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return bytes(received)


@both_loops
def test_name_and_protocols_decide_about_the_context(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client, served = await stage.served(client_context("h3", "http/1.1"))
            with closing_all(client):
                assert stage.chosen == [(NAME.encode(), (b"h3", b"http/1.1"))]
                assert client.selected_alpn_protocol() == "http/1.1"
                served.transport.abort()

    run(loop, story)


@both_loops
def test_sessions_are_resumed(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            context = client_context("http/1.1")
            client, served = await stage.served(context)
            with closing_all(client):
                served.transport.write(b"x")
                await asyncio.to_thread(client.recv, 1)  # the tickets come before it
                again = context.wrap_socket(
                    await stage.socket(), server_hostname=NAME, session=client.session, do_handshake_on_connect=False
                )
                with closing_all(again):
                    await asyncio.to_thread(again.do_handshake)
                    assert again.session_reused

    run(loop, story)


@both_loops
@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x15", b"\r\n"])
def test_who_does_not_speak_tls_is_left_to_plain_http(loop: LoopFactory, sent: bytes, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client = await stage.socket()
            with closing_all(client):
                await asyncio.to_thread(client.sendall, sent)
                await stage.until(lambda: stage.plain)
                assert stage.plain[0].received == sent
                stage.plain[0].transport.write(b"answer")
                assert await asyncio.to_thread(client.recv, 100) == b"answer"
                assert not stage.chosen

    run(loop, story)


@both_loops
def test_a_hello_may_come_in_pieces(loop: LoopFactory, tmp_path: Path) -> None:
    hello = first_flight()

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client = await stage.socket()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with closing_all(client):
                for start in range(0, len(hello), 50):
                    assert not stage.chosen
                    await asyncio.to_thread(client.sendall, hello[start : start + 50])
                assert (await asyncio.to_thread(client.recv, 65536))[0] == 0x16
                assert stage.chosen == [(NAME.encode(), ())]

    run(loop, story)


@both_loops
def test_a_refusal_is_an_alert(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            stage.refusal = TlsRefusal("nobody of that name", alert=Alert.UNRECOGNIZED_NAME)
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                await stage.client()
            assert stage.failures == ["nobody of that name"]

    run(loop, story)


@both_loops
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x16GET / HTTP/1.1\r\n", "a record of version 71.69"),
        (b"\x16\x03\x01\0\x04\x02\0\0\0", "a handshake that begins with message 2"),
        # What OpenSSL says of one that is none but for its lengths.
        (b"\x16\x03\x01\0\x2a\x01\0\0\x26\x03\x03" + bytes(32) + b"\0\0\0\0", "NO_CIPHERS_SPECIFIED"),
    ],
)
def test_what_only_begins_like_tls_gets_an_alert_and_one_line(
    loop: LoopFactory, sent: bytes, reason: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client = await stage.socket()
            with closing_all(client):
                await asyncio.to_thread(client.sendall, sent)
                received = await asyncio.to_thread(receive_all, client)
                assert received[:1] == b"\x15"
            assert stage.failures == [reason]

    run(loop, story)


@both_loops
def test_a_client_without_common_ground_gets_openssls_alert(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            old = client_context()
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # the key is not RSA
            with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
                await stage.client(old)
            assert stage.failures == ["NO_SHARED_CIPHER"]

    run(loop, story)


@both_loops
def test_a_client_that_does_not_trust_us_is_one_line(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            with pytest.raises(ssl.SSLCertVerificationError):
                await stage.client(ssl.create_default_context())
            await stage.until(lambda: stage.failures)
            assert "UNKNOWN_CA" in stage.failures[0] and len(stage.failures) == 1

    run(loop, story)


@both_loops
@pytest.mark.parametrize("said", [0, 1, 100])
def test_a_client_that_leaves_leaves_nothing(loop: LoopFactory, said: int, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            client = await stage.socket()
            await stage.until(lambda: stage.front.connections)
            await asyncio.to_thread(client.sendall, first_flight()[:said])
            client.close()
            await stage.until(lambda: not stage.front.connections)
            assert stage.failures == (["the client closed the connection"] if said else [])

    run(loop, story)


@both_loops
@pytest.mark.parametrize("said", [0, 100, 100_000])
def test_silence_has_an_end(loop: LoopFactory, said: int, tmp_path: Path) -> None:
    """Nothing, half a ClientHello, or all of it and then nothing."""

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path, read_s=0.05) as stage:
            client = await stage.socket()
            with closing_all(client):
                await asyncio.to_thread(client.sendall, first_flight()[:said])
                await asyncio.to_thread(receive_all, client)
            await stage.until(lambda: not stage.front.connections)
            assert stage.failures == ["no handshake within 0.05 s"]

    run(loop, story)


def test_each_client_has_the_same_time_by_one_timer() -> None:
    class Patient(Doorway):
        def __init__(self) -> None:
            pass

        def turn_away(self, reason: str) -> None:
            gone.append((self, round(loop.time(), 2)))
            handshakes.leave(self)

    gone: list[tuple[Doorway, float]] = []

    async def story() -> None:
        nonlocal loop, handshakes
        loop = asyncio.get_running_loop()
        handshakes = Handshakes(loop, 100, 10)
        start_s = loop.time()
        clients = [Patient() for _ in range(3)]
        for client in clients:
            handshakes.enter(client)
            await asyncio.sleep(4)
        handshakes.leave(clients[1])
        assert repr(handshakes) == "<Handshakes 1 open, 0 to be answered>"
        await asyncio.sleep(100)
        assert [client for client, _ in gone] == [clients[0], clients[2]]
        assert [at - round(start_s, 2) for _, at in gone] == pytest.approx([10, 18])

    loop: asyncio.AbstractEventLoop
    handshakes: Handshakes
    run_jumping(story, JumpingLoop)


@both_loops
def test_when_too_many_shake_hands_the_oldest_goes(loop: LoopFactory, tmp_path: Path) -> None:
    """A flood of half-open connections does not keep out those who finish."""

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path, max_connections=20) as stage:
            silent = []
            for number in range(1, 16):
                silent.append(await stage.socket())
                await stage.until(lambda number=number: len(stage.front.connections) == min(number, 10))
            with closing_all(*silent):
                client, served = await stage.served()
                with closing_all(client):
                    served.transport.write(b"served")
                    assert await asyncio.to_thread(client.recv, 100) == b"served"
                for gone in silent[:5]:
                    assert await asyncio.to_thread(receive_all, gone) == b""
                assert stage.failures[:5] == ["10 clients are shaking hands"] * 5
                for left in silent[6:]:
                    left.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        left.recv(1)

    run(loop, story)


@both_loops
def test_when_too_many_do_not_go_on_after_our_answer_the_oldest_goes(
    loop: LoopFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cost what OpenSSL keeps for a handshake. Who has said nothing yet costs nothing, and stays."""
    monkeypatch.setattr(room, "MAX_ANSWERED", 3)

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            silent = await stage.socket()
            await stage.until(lambda: stage.front.connections)
            half = [await stage.socket() for _ in range(5)]
            with closing_all(silent, *half):
                for number, client in enumerate(half, 1):
                    client.sendall(first_flight())
                    await stage.until(lambda number=number: len(stage.chosen) == number)
                await stage.until(lambda: len(stage.failures) == 2)
                assert stage.failures == ["3 clients have not finished their handshake"] * 2
                assert len(stage.port.handshakes) == 4
                for gone in half[:2]:
                    await asyncio.to_thread(receive_all, gone)
                client, served = await stage.served()
                with closing_all(client):
                    served.transport.write(b"served")
                    assert await asyncio.to_thread(client.recv, 100) == b"served"

    run(loop, story)


@both_loops
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_ends_with_the_certificate_that_it_began_with(
    loop: LoopFactory, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """Else a client would go on with a certificate that was replaced, or with that of another name."""
    trusting = client_context("http/1.1")
    trusting.maximum_version = version

    async def resumed(stage: Stage, session: ssl.SSLSession | None) -> tuple[bool | None, ssl.SSLSession | None]:
        connection, served = await stage.socket(), len(stage.protocols)
        client = await asyncio.to_thread(trusting.wrap_socket, connection, server_hostname=NAME, session=session)
        with closing_all(client):
            await stage.until(lambda: len(stage.protocols) > served)
            stage.protocols[-1].transport.write(b"served")
            assert await asyncio.to_thread(client.recv, 100) == b"served"  # the ticket has come before it
            return client.session_reused, client.session

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            _, session = await resumed(stage, None)
            assert (await resumed(stage, session))[0] is True
            stage.serve(make_pair(NAME), tmp_path)
            assert (await resumed(stage, session))[0] is False

    run(loop, story)


@both_loops
def test_answers_to_many_hellos_are_spread_over_turns_of_the_loop(loop: LoopFactory, tmp_path: Path) -> None:
    count = 3 * HANDSHAKES_PER_TURN

    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            raw = [await stage.socket() for _ in range(count)]
            per_turn: list[int] = []

            async def watch() -> None:
                before = 0
                while len(stage.chosen) < count:
                    await asyncio.sleep(0)
                    per_turn.append(len(stage.chosen) - before)
                    before = len(stage.chosen)

            await stage.until(lambda: len(stage.front.connections) == count)
            with closing_all(*raw):
                hello = first_flight()
                for client in raw:
                    client.sendall(hello)  # all of them before the loop goes round
                async with asyncio.timeout(BOUND_S):
                    await start_task(stage.loop, watch())
                assert 0 < max(per_turn) <= HANDSHAKES_PER_TURN

    run(loop, story)


@both_loops
def test_a_client_that_leaves_while_it_waits_for_its_turn_costs_nothing(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            doorway = Doorway(stage.port)
            ours, theirs = socket.socketpair()
            transport, _ = await stage.loop.create_connection(lambda: doorway, sock=ours)
            with closing_all(theirs):
                doorway.data_received(first_flight())
                doorway.data_received(b"more, before its turn")
                transport.abort()
                await stage.until(lambda: not stage.front.connections)
                doorway.data_received(b"too late")
                doorway.answer()
                assert not stage.chosen

    run(loop, story)


@both_loops
def test_a_full_house_and_one_that_closes_take_nobody(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path, max_connections=0) as stage:
            for _ in range(2):
                client = await stage.socket()
                with closing_all(client):
                    assert await asyncio.to_thread(receive_all, client) == b""
                assert not stage.front.connections
                stage.front.max_connections = 10
                stage.front.is_draining = True

    run(loop, story)


@both_loops
def test_a_shutdown_does_not_wait_for_handshakes(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            silent = [await stage.socket(), await stage.socket()]
            with closing_all(*silent):
                await stage.until(lambda: len(stage.front.connections) == 2)
                await stage.front.quiet()
                first, second = stage.front.connections
                assert repr(first) == "<Doorway 127.0.0.1 waiting for a ClientHello>"
                first.end_stream()
                first.drain()
                second.abort()
                for client in silent:
                    assert await asyncio.to_thread(receive_all, client) == b""

    run(loop, story)


@both_loops
def test_what_both_agree_on_and_nobody_serves_is_closed_after_the_handshake(loop: LoopFactory, tmp_path: Path) -> None:
    async def story() -> None:
        async with tls_stage(PAIR, tmp_path) as stage:
            stage._context.set_alpn_protocols(["acme-tls/1"])
            client = await stage.client(client_context("acme-tls/1"))
            with closing_all(client):
                assert client.selected_alpn_protocol() == "acme-tls/1"
                await asyncio.to_thread(receive_all_or_cut, client)
            assert not stage.protocols and not stage.failures

    run(loop, story)


def receive_all_or_cut(client: ssl.SSLSocket) -> None:
    with contextlib.suppress(ssl.SSLEOFError):
        receive_all(client)


def test_an_alert_is_what_openssl_understands() -> None:
    client = client_context().wrap_bio(incoming := ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(fatal_alert(Alert.NO_APPLICATION_PROTOCOL))
    with pytest.raises(ssl.SSLError, match="alert no application protocol"):
        client.do_handshake()
