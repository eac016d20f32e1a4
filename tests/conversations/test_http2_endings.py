"""Patience, turns and ends over HTTP/2: deadlines, fair sending, priorities, drain, event streams, tunnels."""

import base64
import hashlib

import pytest
from hyperframe.frame import DataFrame, Frame, PingFrame, SettingsFrame

from tests.support.http2_peer import Http2Peer, pseudo
from tests.support.http2_stage import Http2Stage, perform_http2, response
from thrust.wire.http2.frames import ErrorCode

INITIAL_WINDOW = 4
LARGE_WINDOW = {INITIAL_WINDOW: (1 << 31) - 1}


def order(frames: list[Frame]) -> list[int]:
    """The streams of DATA frames, in order."""
    return [frame.stream_id for frame in frames if isinstance(frame, DataFrame)]


async def held_back_answers(scene: Http2Stage, sizes: dict[int, int], priorities: dict[int, str]) -> None:
    """Answers of these sizes wait for the connection's window, which is used up."""
    client = scene.client
    client.request(1)
    await scene.settled()
    scene.stage.worker().take()
    await scene.worker_says(response(b"f" * 65535))
    client.hear()
    for number, (stream_id, size) in enumerate(sizes.items()):
        fields = [("priority", priorities[stream_id])] if stream_id in priorities else []
        client.request(stream_id, "/", fields)
        await scene.settled()
        worker = min(number + 1, len(scene.stage.loop.accepted))
        scene.stage.worker(worker).take()
        await scene.worker_says(response(b"x" * size), worker)
    assert order(client.hear()) == []


# Fairness


def test_answers_take_turns_of_64_kb() -> None:
    async def story(scene: Http2Stage) -> None:
        await held_back_answers(scene, {3: 163840, 5: 163840, 7: 10}, {})
        scene.client.open_window(0, 1 << 20)
        await scene.settled()
        assert order(scene.client.hear()) == [*[3] * 4, *[5] * 4, 7, *[3] * 4, *[5] * 4, *[3] * 2, *[5] * 2]

    perform_http2(story, client_settings=LARGE_WINDOW)


def test_incremental_answers_take_turns_frame_by_frame() -> None:
    async def story(scene: Http2Stage) -> None:
        await held_back_answers(scene, {3: 49152, 5: 49152}, {3: "i", 5: "i"})
        scene.client.open_window(0, 1 << 20)
        await scene.settled()
        assert order(scene.client.hear()) == [3, 5, 3, 5, 3, 5]

    perform_http2(story, client_settings=LARGE_WINDOW)


def test_urgent_answers_come_first() -> None:
    async def story(scene: Http2Stage) -> None:
        await held_back_answers(scene, {3: 20000, 5: 20000, 7: 20000}, {3: "u=5", 7: "u=0"})
        scene.client.open_window(0, 1 << 20)
        await scene.settled()
        assert order(scene.client.hear()) == [7, 7, 5, 5, 3, 3]

    perform_http2(story, client_settings=LARGE_WINDOW)


def test_a_priority_may_change_on_the_way() -> None:
    async def story(scene: Http2Stage) -> None:
        await held_back_answers(scene, {3: 20000, 5: 20000}, {})
        scene.client.raw(bytes((0, 0, 7, 0x10, 0, 0, 0, 0, 0)) + (5).to_bytes(4, "big") + b"u=1")
        scene.client.open_window(0, 1 << 20)
        await scene.settled()
        assert order(scene.client.hear()) == [5, 5, 3, 3]

    perform_http2(story, client_settings=LARGE_WINDOW)


def test_a_small_page_overtakes_a_download_that_the_client_takes_slowly() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.open_window(0, 1 << 30)
        client.request(1, "/download")
        await scene.settled()
        scene.peer.stop_reading()
        scene.stage.worker().take()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"d" * 3_000_000)
        client.request(3, "/page")
        await scene.settled()
        scene.stage.worker(2).take()
        await scene.worker_says(response(b"page"), 2)
        for _ in range(20):
            scene.peer.read(16384)
            await scene.settled()
            if client.answer(3).has_ended:
                break
        assert client.answer(3).has_ended, "after 320 KB it has not come"
        assert len(client.answer(1).content) < 250_000

    perform_http2(story, client_settings=LARGE_WINDOW)


def test_a_stream_without_window_holds_up_nobody_and_little() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.request(1, "/stuck")
        await scene.settled()
        scene.stage.worker().take()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n" + b"d" * 2_000_000)
        assert len(scene.stage.worker().transport.incoming) > 1_000_000, "the worker is paused"
        client.request(3, "/page")
        await scene.settled()
        scene.stage.worker(2).take()
        client.open_window(3, 100)
        await scene.worker_says(response(b"page"), 2)
        assert bytes(client.answer(3).content) == b"page"
        assert len(client.answer(1).content) == 10

    perform_http2(story, client_settings={INITIAL_WINDOW: 10})


# Deadlines


def test_a_client_that_opens_no_window_is_cut_off_its_stream() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        await scene.worker_says(response(b"x" * 100))
        await scene.stage.pass_time(29)
        assert scene.client.answer(1).reset_code is None
        await scene.stage.pass_time(2)
        assert scene.client.answer(1).reset_code == ErrorCode.CANCEL
        scene.client.request(3, method="HEAD")
        await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\n\r\n", len(scene.stage.loop.accepted))

    first = perform_http2(story, client_settings={INITIAL_WINDOW: 10}).exchanges[0]
    assert (first.status, first.error) == (200, "the client took 10 bytes within 30 s")


@pytest.mark.parametrize(("step_bytes", "is_cut"), [(1, True), (500, False)])
def test_a_client_has_to_take_a_kilobyte_within_the_write_timeout(step_bytes: int, is_cut: bool) -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        await scene.worker_says(response(b"x" * 100_000))
        for _ in range(9):
            scene.client.open_window(1, step_bytes)
            await scene.stage.pass_time(9)
        assert (scene.client.answer(1).reset_code == ErrorCode.CANCEL) is is_cut
        assert set(scene.client.answer(1).frame_sizes) == {step_bytes}

    perform_http2(story, client_settings={INITIAL_WINDOW: 0})


def test_an_idle_connection_ends_with_goaway() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        await scene.worker_says(response(b"ok"))
        await scene.stage.pass_time(119)
        assert scene.client.goaways == []
        await scene.stage.pass_time(2)
        (goaway,) = scene.client.goaways
        assert (goaway.error_code, goaway.last_stream_id) == (0, 1) and scene.peer.saw_end

    perform_http2(story)


def test_a_stream_that_waits_for_its_app_is_not_idle() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        await scene.stage.pass_time(200)
        await scene.worker_says(response(b"ok"))
        assert scene.client.answer(1).status == "200"

    perform_http2(story)


@pytest.mark.parametrize("data", [b"\0", b"\0\0\x05\x01\x00\0\0\0\x01\x82", b"\0\0\x01\x01\x00\0\0\0\x01\x82"])
def test_half_a_frame_or_section_has_the_read_timeout(data: bytes) -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.raw(data)
        await scene.stage.pass_time(31)
        assert [goaway.error_code for goaway in scene.client.goaways] == [ErrorCode.PROTOCOL_ERROR]

    (exchange,) = perform_http2(story).exchanges
    assert exchange.status == 408 and "a frame was not complete for 30 s" in exchange.error


def test_half_a_frame_at_the_end_of_each_read_is_no_dawdling() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, pseudo("/", "POST"), end=False))
        data = DataFrame(1, b"x" * 100).serialize()
        client.raw(data[:50])
        for _ in range(10):
            await scene.stage.pass_time(9)
            client.raw(data[50:] + data[:50])
        assert client.goaways == []
        client.reset(1)

    perform_http2(story)


def test_an_upload_that_stalls_is_told() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, pseudo("/", "POST"), end=False))
        await scene.worker_got()
        for _ in range(3):
            client.content(1, b"x")
            await scene.stage.pass_time(29)
        assert client.answer(1).heads == []
        await scene.stage.pass_time(2)
        assert client.answer(1).status == "408"

    perform_http2(story)


def test_a_client_that_asks_and_does_not_read_is_cut() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.open_window(0, 1 << 20)
        client.request(1, "/a.js")
        await scene.worker_got()
        scene.peer.stop_reading()
        await scene.worker_says(response(b"x" * 200_000, b"cache-control: max-age=100"))
        for stream_id in range(3, 12003, 2):
            client.request(stream_id, "/a.js", method="HEAD")
            if not stream_id % 99:
                await scene.settled()
        await scene.settled()
        assert scene.peer.saw_reset
        assert scene.peer.transport.max_buffered_bytes < 600_000

    stage = perform_http2(story, client_settings=LARGE_WINDOW, cache_size_bytes=1 << 20)
    assert stage.exchanges[-1].error == "the client asks and does not read"


def test_a_client_that_reads_nothing_at_all_has_the_write_timeout() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.open_window(0, 1 << 20)
        scene.client.request(1)
        await scene.worker_got()
        scene.peer.stop_reading()
        await scene.worker_says(response(b"x" * 200_000))
        await scene.stage.pass_time(31)
        assert scene.peer.saw_reset

    (exchange,) = perform_http2(story, client_settings=LARGE_WINDOW).exchanges
    assert exchange.error == "the client read nothing for 30 s"


# Ends


def test_a_drain_serves_what_is_on_its_way() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.request(1)
        await scene.settled()
        scene.stage.listener.stop_accepting()
        await scene.settled()
        assert [goaway.last_stream_id for goaway in client.goaways] == [2**31 - 1]
        ping = next(frame for frame in client.frames if isinstance(frame, PingFrame))
        client.request(3)
        await scene.settled()
        client.ping(ping.opaque_data, ack=True)
        await scene.settled()
        assert [goaway.last_stream_id for goaway in client.goaways] == [2**31 - 1, 3]
        client.request(5)
        assert scene.stage.front.busy == 1
        for number in (1, 2):
            scene.stage.worker(number).take()
            await scene.worker_says(response(b"ok"), number)
        assert client.answer(1).status == client.answer(3).status == "200"
        assert scene.stage.front.busy == 0 and scene.peer.saw_end
        assert 5 not in client.answers

    perform_http2(story)


def test_a_drain_waits_a_second_for_a_client_that_says_nothing() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.stage.listener.stop_accepting()
        await scene.settled()
        assert scene.stage.front.busy == 1
        await scene.stage.pass_time(1.1)
        assert scene.stage.front.busy == 0 and scene.peer.saw_end
        assert [goaway.last_stream_id for goaway in scene.client.goaways] == [2**31 - 1, 0]

    perform_http2(story)


def test_a_connection_that_comes_during_a_drain_is_told_so() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.stage.front.is_draining = True
        late = Http2Stage(scene.stage)
        await late.settled()
        frames = late.client.hear()
        assert isinstance(frames[0], SettingsFrame) and late.client.goaways

    perform_http2(story)


def test_a_client_that_says_goaway_is_served_to_the_end() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.request(1)
        await scene.settled()
        client.raw(bytes((0, 0, 8, 7, 0, 0, 0, 0, 0)) + bytes(8))
        client.ping()
        await scene.worker_got()
        assert not scene.peer.saw_end
        await scene.worker_says(response(b"ok"))
        assert client.answer(1).status == "200" and scene.peer.saw_end

    perform_http2(story)


def test_an_event_stream_holds_up_no_end_and_is_ended_by_one() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.request(1)
        await scene.worker_got()
        await scene.worker_says(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\na\n\n\r\n"
        )
        assert bytes(client.answer(1).content) == b"a\n\n"
        assert scene.stage.front.busy == 0
        await scene.stage.pass_time(500)
        scene.stage.listener.end_streams()
        await scene.settled()
        assert client.answer(1).reset_code == ErrorCode.CANCEL and scene.stage.worker().saw_end
        assert not scene.peer.saw_end

    (exchange,) = perform_http2(story).exchanges
    assert exchange.error == "thrust is stopping"


def test_an_abort_ends_everything_now() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.settled()
        scene.stage.listener.abort()
        await scene.settled()
        assert scene.peer.saw_reset and scene.stage.worker().saw_end

    (exchange,) = perform_http2(story).exchanges
    assert exchange.error == "thrust is stopping"


# Tunnels


def connect(client: Http2Peer, stream_id: int) -> None:
    fields = [
        *[(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat")],
        *[(":authority", "example.org"), ("sec-websocket-version", "13"), ("origin", "http://example.org")],
    ]
    client.send(client.headers(stream_id, fields, end=False))


def reply_to(handshake: bytes) -> bytes:
    key = next(line.partition(b": ")[2] for line in handshake.split(b"\r\n") if line.startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )


def test_a_websocket_goes_through_one_stream() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        connect(client, 1)
        client.content(1, b"early")
        handshake = await scene.worker_got()
        assert handshake.startswith(b"GET /chat HTTP/1.1\r\nhost: example.org\r\n")
        assert b"connection: Upgrade\r\nupgrade: websocket\r\n" in handshake
        assert b"content-length" not in handshake and handshake.endswith(b"\r\n\r\n")
        await scene.worker_says(reply_to(handshake) + b"welcome")
        answer = client.answer(1)
        assert answer.status == "200" and answer.fields["sec-websocket-protocol"] == "chat"
        assert not {"sec-websocket-accept", "upgrade", "connection", "content-length"} & answer.fields.keys()
        assert bytes(answer.content) == b"welcome"
        assert await scene.worker_got() == b"early"
        client.content(1, b"hello")
        assert await scene.worker_got() == b"hello"
        await scene.stage.pass_time(500)
        await scene.worker_says(b"bye")
        assert bytes(client.answer(1).content) == b"welcomebye"
        assert scene.stage.front.busy == 0
        client.content(1, b"", end=True)
        await scene.settled()
        assert scene.stage.worker().saw_end
        scene.stage.worker().close()
        await scene.settled()
        assert client.answer(1).has_ended and client.answer(1).reset_code is None

    (exchange,) = perform_http2(story).exchanges
    assert (exchange.status, exchange.method, exchange.body_bytes, exchange.error) == (200, "CONNECT", 10, "")


def test_a_worker_that_ends_a_tunnel_ends_its_stream() -> None:
    async def story(scene: Http2Stage) -> None:
        connect(scene.client, 1)
        await scene.worker_says(reply_to(await scene.worker_got()))
        scene.stage.worker().close()
        await scene.stage.pass_time(6)
        assert scene.client.answer(1).has_ended and scene.client.answer(1).reset_code == ErrorCode.NO_ERROR

    perform_http2(story)


def test_a_client_that_resets_a_tunnel_ends_the_workers() -> None:
    async def story(scene: Http2Stage) -> None:
        connect(scene.client, 1)
        await scene.worker_says(reply_to(await scene.worker_got()))
        scene.client.reset(1)
        await scene.settled()
        assert scene.stage.worker().saw_end

    perform_http2(story)


def test_a_worker_that_wants_no_websocket_answers_as_usual() -> None:
    async def story(scene: Http2Stage) -> None:
        connect(scene.client, 1)
        await scene.worker_got()
        await scene.worker_says(response(b"no", status=b"403 Forbidden"))
        assert scene.client.answer(1).status == "403" and scene.client.answer(1).has_ended

    perform_http2(story)


def test_a_worker_that_has_not_read_the_key_gets_no_tunnel() -> None:
    async def story(scene: Http2Stage) -> None:
        connect(scene.client, 1)
        reply = reply_to(await scene.worker_got()).replace(b"Accept: ", b"Accept: x")
        await scene.worker_says(reply)
        assert scene.client.answer(1).reset_code == ErrorCode.INTERNAL_ERROR
        assert scene.stage.worker().saw_end

    perform_http2(story)


def test_a_slow_client_of_a_tunnel_holds_the_worker_back() -> None:
    async def story(scene: Http2Stage) -> None:
        connect(scene.client, 1)
        await scene.worker_says(reply_to(await scene.worker_got()))
        await scene.worker_says(b"x" * 2_000_000)
        assert len(scene.stage.worker().transport.incoming) > 1_000_000
        assert len(scene.client.answer(1).content) == 10

    perform_http2(story, client_settings={INITIAL_WINDOW: 10})
