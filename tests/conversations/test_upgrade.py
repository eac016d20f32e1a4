"""Upgrade (RFC 9110 §7.8): WebSocket becomes a tunnel, nothing else does."""

import socket

import pytest

from tests.conversations.conftest import Converse
from tests.support.conversation import Stage, perform

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
OPEN = r"""
        client >> GET /ws HTTP/1.1
        client >> Host: example.org
        client >> Connection: $connection
        client >> Upgrade: $upgrade
        client >> Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
        client >> Sec-WebSocket-Version: 13
        client >> Sec-WebSocket-Protocol: chat, superchat
        client >>
        worker << GET /ws HTTP/1.1
        worker << host: example.org
        worker << sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==
        worker << sec-websocket-version: 13
        worker << sec-websocket-protocol: chat, superchat
        worker << ... (no connection, upgrade)
        worker << connection: Upgrade
        worker << upgrade: websocket
        worker <<
        worker >> HTTP/1.1 101 Switching Protocols
        worker >> Connection: upgrade
        worker >> Upgrade: WebSocket
        worker >> Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
        worker >> Sec-WebSocket-Protocol: chat
        worker >>
        client << HTTP/1.1 101 Switching Protocols
        client << connection: Upgrade
        client << upgrade: websocket
        client << sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
        client << sec-websocket-protocol: chat
        client <<
"""
WORDS = {"connection": b"Upgrade", "upgrade": b"websocket"}
SPELLINGS = [
    (b"Upgrade", b"websocket"),
    (b"upgrade", b"WebSocket"),
    (b"keep-alive, Upgrade", b"WEBSOCKET"),
    (b"UPGRADE,Keep-Alive", b"h2c, websocket"),
    (b"\tfoo ,, upgrade", b"WebSocket,h2c"),
]


@pytest.mark.parametrize("connection, upgrade", SPELLINGS)
def test_a_websocket_in_any_spelling_becomes_a_tunnel(talk: Converse, connection: bytes, upgrade: bytes) -> None:
    stage = talk(
        OPEN
        + r"""
        client >> \x81\x85\0\0\0\0hello\
        worker << \x81\x85\0\0\0\0hello\
        worker >> \x81\x05HELLO\
        client << \x81\x05HELLO\
        100000 s pass
        client >> GET / HTTP/1.1
        client >>
        worker << GET / HTTP/1.1
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >>
        client << HTTP/1.1 200 OK
        client <<
        client closes
        worker sees the end
        worker closes
    """,
        words={"connection": connection, "upgrade": upgrade},
    )
    assert [(e.status, e.body_bytes, e.error) for e in stage.exchanges] == [(101, 7 + 19, "")]


def test_what_was_sent_ahead_arrives_first(talk: Converse) -> None:
    talk(r"""
        client >> GET /ws HTTP/1.1
        client >> Host: example.org
        client >> Connection: Upgrade
        client >> Upgrade: websocket
        client >>
        client >> ahead\
        worker << GET /ws HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 101 Switching Protocols
        worker >> Connection: Upgrade
        worker >> Upgrade: websocket
        worker >>
        worker >> early\
        client << HTTP/1.1 101 Switching Protocols
        client << ...
        client <<
        client << early\
        worker << ahead\
        client >> more\
        worker << more\
        worker closes
        client sees the end
    """)


@pytest.mark.parametrize(
    "connection, upgrade",
    [
        (b"Upgrade, HTTP2-Settings", b"h2c"),
        (b"Upgrade", b"TLS/1.0"),
        (b"Upgrade", b"websockets"),
        (b"Upgrade", b"websocket/13"),
        (b"keep-alive", b"websocket"),
        (b"Upgrade2", b"websocket"),
    ],
)
def test_any_other_offer_is_ignored_and_not_passed_on(talk: Converse, connection: bytes, upgrade: bytes) -> None:
    talk(
        r"""
        client >> GET /ws HTTP/1.1
        client >> Host: example.org
        client >> Connection: $connection
        client >> Upgrade: $upgrade
        client >> HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA
        client >>
        worker << GET /ws HTTP/1.1
        worker << ... (no connection, upgrade)
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
        words={"connection": connection, "upgrade": upgrade},
    )


@pytest.mark.parametrize("method, version", [(b"POST", b"1.1"), (b"HEAD", b"1.1"), (b"GET", b"1.0")])
def test_only_a_get_of_http_1_1_can_become_a_websocket(talk: Converse, method: bytes, version: bytes) -> None:
    stage = talk(
        r"""
        client >> $method /ws HTTP/$version
        client >> Host: example.org
        client >> Connection: Upgrade, keep-alive
        client >> Upgrade: websocket
        client >>
        worker << $method /ws HTTP/1.1
        worker << ... (no connection, upgrade)
        worker <<
        worker >> HTTP/1.1 101 Switching Protocols
        worker >> Connection: Upgrade
        worker >> Upgrade: websocket
        worker >>
        worker sees the end
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client received something
    """
        if method != b"HEAD"
        else r"""
        client >> $method /ws HTTP/$version
        client >> Host: example.org
        client >> Connection: Upgrade, keep-alive
        client >> Upgrade: websocket
        client >>
        worker << $method /ws HTTP/1.1
        worker << ... (no connection, upgrade)
        worker <<
        worker >> HTTP/1.1 101 Switching Protocols
        worker >> Connection: Upgrade
        worker >> Upgrade: websocket
        worker >>
        worker sees the end
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
    """,
        words={"method": method, "version": version},
    )
    assert stage.exchanges[0].error.endswith("101 (Switching Protocols) without a request for it")


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket, h2c", b""])
def test_a_worker_that_switches_to_something_else_is_a_502(talk: Converse, upgrade: bytes) -> None:
    talk(
        OPEN.partition("worker >>")[0]
        + r"""
        worker >> HTTP/1.1 101 Switching Protocols
        worker >> Connection: Upgrade
        worker >> Upgrade: $other
        worker >>
        worker sees the end
        client << HTTP/1.1 502 Bad Gateway
        client << ...
        client <<
        client << The application failed to answer.\n\
    """,
        words=WORDS | {"other": upgrade},
    )


@pytest.mark.parametrize("answer", [b"200 OK", b"400 Bad Request", b"426 Upgrade Required"])
def test_a_worker_may_refuse_and_http_goes_on(talk: Converse, answer: bytes) -> None:
    stage = talk(
        OPEN.partition("worker >>")[0]
        + r"""
        worker >> HTTP/1.1 $answer
        worker >> Content-Length: 2
        worker >> Upgrade: websocket
        worker >> Connection: Upgrade
        worker >>
        worker >> no\
        client << HTTP/1.1 $answer
        client << date: *
        client << content-length: 2
        client <<
        client << no\
        client >> GET / HTTP/1.1
        client >> Host: example.org
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
    """,
        words=WORDS | {"answer": answer},
    )
    assert len(stage.exchanges) == 2


@pytest.mark.parametrize("first, second", [("client", "worker"), ("worker", "client")])
def test_one_side_may_end_before_the_other(talk: Converse, first: str, second: str) -> None:
    stage = talk(
        OPEN
        + rf"""
        {first} >> last words\
        & {first} half-closes
        {second} << last words\
        {second} sees the end
        1000 s pass
        {second} >> answer\
        {first} << answer\
        {second} half-closes
        {first} sees the end
    """,
        words=WORDS,
    )
    assert stage.exchanges[0].error == ""


@pytest.mark.parametrize("first, second", [("client", "worker"), ("worker", "client")])
def test_a_reset_of_one_side_resets_the_other(talk: Converse, first: str, second: str) -> None:
    talk(
        OPEN
        + f"""
        {first} resets
        {second} sees a reset
    """,
        words=WORDS,
    )


def test_a_client_that_half_closed_before_the_switch_has_half_closed(talk: Converse) -> None:
    talk(
        OPEN.partition("worker >>")[0]
        + r"""
        client >> bye\
        & client half-closes
        client << HTTP/1.1 100 Continue
        client <<
        """
        + OPEN[OPEN.index("worker >>") :]
        + r"""
        worker << bye\
        worker sees the end
        100 s pass
        worker >> bye\
        client << bye\
        worker closes
        client sees the end
    """,
        words=WORDS,
    )


async def opened(stage: Stage) -> None:
    client = stage.client()
    client.send(HANDSHAKE)
    await stage.settled()
    stage.worker().take()
    stage.worker().send(SWITCHING)
    await stage.settled()
    assert client.take().startswith(b"HTTP/1.1 101 ")


def test_a_client_that_sent_much_ahead_is_read_again() -> None:
    ahead = b"x" * 200_000

    async def story(stage: Stage) -> None:
        client = stage.client()
        client.send(HANDSHAKE + ahead)
        await stage.settled()
        client.send(b"more")
        await stage.settled()
        assert len(client.transport.incoming) == len(b"more")
        worker = stage.worker()
        worker.take()
        worker.send(SWITCHING)
        await stage.settled()
        assert worker.take() == ahead + b"more"

    perform(story)


@pytest.mark.parametrize("is_client_slow", [True, False])
def test_a_side_that_reads_slowly_holds_the_other_back(is_client_slow: bool) -> None:
    piece, pieces = b"x" * 65_536, 100

    async def story(stage: Stage) -> None:
        await opened(stage)
        slow, fast = stage.client(), stage.worker()
        if not is_client_slow:
            slow, fast = fast, slow
        slow.stop_reading()
        for _ in range(pieces):
            fast.send(piece)
            await stage.settled()
        assert len(fast.transport.incoming) > (pieces - 10) * len(piece)
        assert slow.transport.max_buffered_bytes < 10 * len(piece)
        await stage.pass_time(10_000)
        fast.end()
        slow.read_on()
        await stage.settled()
        assert slow.take() == piece * pieces
        assert slow.saw_end
        slow.send(b"bye")
        await stage.settled()
        assert fast.take() == b"bye"

    perform(story)


@pytest.mark.parametrize("leaver_is_client", [True, False])
def test_what_a_side_said_before_it_left_arrives_however_late(leaver_is_client: bool) -> None:
    async def story(stage: Stage) -> None:
        await opened(stage)
        staying, leaving = stage.worker(), stage.client()
        if not leaver_is_client:
            staying, leaving = leaving, staying
        staying.stop_reading()
        leaving.send(b"x" * 50_000)
        leaving.close()
        await stage.pass_time(100)
        assert not staying.saw_end
        staying.read_on()
        await stage.settled()
        assert staying.take() == b"x" * 50_000
        assert staying.saw_end and not staying.saw_reset
        staying.close()

    stage = perform(story)
    assert [(e.status, e.error) for e in stage.exchanges] == [(101, "")]


def test_a_tunnel_whose_reader_stalls_after_the_end_is_ended() -> None:
    async def story(stage: Stage) -> None:
        await opened(stage)
        client, worker = stage.client(), stage.worker()
        client.stop_reading()
        worker.send(b"x" * 50_000)
        client.end()
        await stage.settled()
        worker.close()
        await stage.pass_time(4)
        assert client.transport.lost_calls == 0
        await stage.pass_time(2)
        assert client.transport.lost_calls == 1

    perform(story)


def test_a_tunnel_is_watched_by_tcp() -> None:
    async def story(stage: Stage) -> None:
        await opened(stage)
        for side in (stage.client(), stage.worker()):
            assert side.transport.socket.options[socket.SOL_SOCKET, socket.SO_KEEPALIVE] == 1

    perform(story)
