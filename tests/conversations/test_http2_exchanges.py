"""Requests and answers over HTTP/2, with the whole chain and a worker behind."""

import pytest
from hyperframe.frame import DataFrame, Frame, RstStreamFrame, WindowUpdateFrame

from tests.support.http2_peer import pseudo
from tests.support.http2_stage import Http2Stage, perform_http2, response
from tests.support.memory_transport import READ_BYTES
from thrust.wire.http2.frames import ErrorCode


@pytest.fixture(params=[READ_BYTES, 1], ids=["whole", "bytewise"])
def read_bytes(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_request_reaches_the_worker_as_http1(read_bytes: int) -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1, "/path?q=1", [("accept", "*/*"), ("x_a", "dropped"), ("te", "trailers")])
        head = await scene.worker_got()
        assert head.startswith(b"GET /path?q=1 HTTP/1.1\r\nhost: example.org\r\naccept: */*\r\nte: trailers\r\n")
        assert b"x_a" not in head and b"x-forwarded-proto: http\r\n" in head
        await scene.worker_says(response(b"hello", b"content-type: text/plain", b"connection: keep-alive"))
        answer = scene.client.answer(1)
        assert answer.status == "200" and bytes(answer.content) == b"hello" and answer.has_ended
        assert answer.fields["content-length"] == "5" and "connection" not in answer.fields
        assert "date" in answer.fields

    (exchange,) = perform_http2(story, read_bytes=read_bytes).exchanges
    assert (exchange.protocol, exchange.method, exchange.path, exchange.query) == ("HTTP/2", "GET", "/path", "q=1")
    assert (exchange.status, exchange.body_bytes, exchange.error, exchange.host) == (200, 5, "", "example.org")


def test_streams_do_not_wait_for_each_other() -> None:
    async def story(scene: Http2Stage) -> None:
        for stream_id in (1, 3, 5):
            scene.client.request(stream_id, f"/{stream_id}")
        await scene.settled()
        for number, stream_id in ((3, 5), (1, 1), (2, 3)):
            assert f"GET /{stream_id} ".encode() in scene.stage.worker(number).take()
            await scene.worker_says(response(b"%d" % stream_id), number)
            assert bytes(scene.client.answer(stream_id).content) == b"%d" % stream_id

    perform_http2(story)


def test_content_and_trailers_pass_both_ways(read_bytes: int) -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, pseudo("/", "POST"), end=False))
        await scene.settled()
        client.content(1, b"abc")
        await scene.settled()
        client.send(client.headers(1, [("x-checksum", "1")]))
        got = await scene.worker_got()
        assert b"transfer-encoding: chunked\r\n" in got
        assert got.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nx-checksum: 1\r\n\r\n")
        await scene.worker_says(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\nX-Sum: 2\r\n\r\n"
        )
        answer = client.answer(1)
        assert bytes(answer.content) == b"xyz" and answer.trailers == [("x-sum", "2")] and answer.has_ended

    (exchange,) = perform_http2(story, read_bytes=read_bytes).exchanges
    assert exchange.request_content_length == 3 and exchange.body_bytes == 3


def test_content_that_comes_with_its_head_is_no_stream() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, pseudo("/", "POST"), end=False), DataFrame(1, b"abc", flags=["END_STREAM"]))
        got = await scene.worker_got()
        assert got.endswith(b"content-length: 3\r\n\r\nabc")
        await scene.worker_says(response(b""))

    (exchange,) = perform_http2(story).exchanges
    assert exchange.request_content_length == 3


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_what_has_no_content_ends_with_its_head(status: bytes) -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 " + status + b"\r\n\r\n")
        answer = scene.client.answer(1)
        assert answer.has_ended and answer.frame_sizes == [] and "content-length" not in answer.fields

    perform_http2(story)


def test_head_gets_the_length_and_no_content() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1, method="HEAD")
        await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
        answer = scene.client.answer(1)
        assert answer.has_ended and answer.frame_sizes == [] and answer.fields["content-length"] == "500"

    perform_http2(story)


def test_interim_responses_come_before_the_answer() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, [*pseudo("/", "PUT"), ("expect", "100-continue")], end=False))
        assert b"expect: 100-continue\r\n" in await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        assert client.answer(1).heads == [[(":status", "103"), ("link", "</x>")], [(":status", "100")]]
        client.content(1, b"abc", end=True)
        await scene.worker_got()
        await scene.worker_says(response(b"ok"))
        assert client.answer(1).status == "200"

    perform_http2(story)


def test_an_answer_before_the_upload_has_ended_stops_it_a_moment_later() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, pseudo("/", "POST"), end=False))
        client.content(1, b"abc")
        await scene.worker_got()
        await scene.worker_says(response(b"too much", status=b"413 Content Too Large"))
        answer = client.answer(1)
        assert answer.status == "413" and answer.has_ended and answer.reset_code is None
        client.content(1, b"more")
        await scene.stage.pass_time(0.3)
        assert client.answer(1).reset_code == ErrorCode.NO_ERROR
        client.content(1, b"late")
        client.request(3)
        await scene.settled()
        assert [type(frame) for frame in client.hear()] == []

    perform_http2(story)


def test_an_answer_that_waits_for_its_window_survives_the_early_end_of_its_upload() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, [*pseudo("/", "POST"), ("content-length", "1000")], end=False))
        client.content(1, b"abc")
        await scene.worker_got()
        await scene.worker_says(response(b"too much", status=b"413 Content Too Large"))
        client.content(1, b"", end=True)
        await scene.settled()
        client.open_window(1, 100)
        await scene.stage.pass_time(1)
        answer = client.answer(1)
        assert (bytes(answer.content), answer.has_ended, answer.reset_code) == (b"too much", True, None)

    (exchange,) = perform_http2(story, client_settings={4: 2}).exchanges
    assert (exchange.status, exchange.error) == (413, "")


def test_an_upload_that_ends_early_after_an_interim_answer_is_malformed() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        fields = [*pseudo("/", "PUT"), ("expect", "100-continue"), ("content-length", "9")]
        client.send(client.headers(1, fields, end=False))
        await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.content(1, b"abc", end=True)
        await scene.settled()
        assert client.answer(1).reset_code == ErrorCode.PROTOCOL_ERROR
        assert scene.stage.worker().saw_end

    perform_http2(story)


def test_a_worker_that_answers_while_its_upload_ends_early_is_not_left_waiting_for_the_rest() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, [*pseudo("/", "POST"), ("content-length", "1000")], end=False))
        client.content(1, b"abc")
        await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome ")
        client.content(1, b"", end=True)
        await scene.settled()
        assert scene.stage.worker().saw_end
        assert client.answer(1).reset_code == ErrorCode.INTERNAL_ERROR

    (exchange,) = perform_http2(story).exchanges
    assert (exchange.status, exchange.error) == (200, "997 bytes less than its content-length")


def test_an_upload_that_ends_by_itself_is_not_reset() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, pseudo("/", "POST"), end=False))
        await scene.worker_got()
        await scene.worker_says(response(b"ok"))
        client.content(1, b"more", end=True)
        await scene.stage.pass_time(1)
        assert client.answer(1).reset_code is None
        assert scene.connection.engine.open_streams == 0

    perform_http2(story)


def test_a_client_that_resets_a_stream_stops_the_workers_request() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        scene.client.request(3)
        await scene.settled()
        scene.client.reset(1)
        await scene.settled()
        assert scene.stage.worker(1).saw_end and not scene.stage.worker(2).saw_end
        await scene.worker_says(response(b"ok"), 2)
        assert scene.client.answer(3).status == "200"

    stage = perform_http2(story)
    assert sorted((exchange.status, exchange.error) for exchange in stage.exchanges) == [
        (200, ""),
        (499, "the client reset the stream before the response was complete"),
    ]


def test_a_request_that_is_reset_in_the_same_breath_is_noted_once() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.send(scene.client.headers(1, pseudo()), RstStreamFrame(1, error_code=8))
        await scene.settled()
        assert scene.stage.front.busy == 0
        assert all(worker.saw_end for worker in scene.stage.loop.accepted)

    assert [exchange.status for exchange in perform_http2(story).exchanges] == [499]


def test_a_client_that_leaves_stops_everything() -> None:
    async def story(scene: Http2Stage) -> None:
        for stream_id in (1, 3):
            scene.client.request(stream_id)
        await scene.settled()
        scene.peer.close()
        await scene.settled()
        assert scene.stage.worker(1).saw_end and scene.stage.worker(2).saw_end

    assert [exchange.status for exchange in perform_http2(story).exchanges] == [499, 499]


def test_a_response_that_breaks_never_looks_complete() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        await scene.worker_says(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
        scene.stage.worker().close()
        await scene.settled()
        answer = scene.client.answer(1)
        assert bytes(answer.content) == b"abc" and not answer.has_ended
        assert answer.reset_code == ErrorCode.INTERNAL_ERROR

    (exchange,) = perform_http2(story).exchanges
    assert "closed the connection" in exchange.error


def test_a_worker_that_is_away_is_a_page() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        scene.stage.worker().close()
        await scene.settled()
        assert scene.client.answer(1).status == "502"

    perform_http2(story)


def test_a_hit_is_answered_at_once_and_prepared_for_both_versions() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.request(1, "/a.js")
        await scene.worker_got()
        await scene.worker_says(response(b"y" * 10240, b"cache-control: max-age=100"))
        for stream_id in (3, 5, 7):
            client.request(stream_id, "/a.js")
        await scene.settled()
        for stream_id in (3, 5, 7):
            answer = client.answer(stream_id)
            assert answer.fields["x-cache"] == "hit" and answer.frame_sizes == [10240] and answer.has_ended
        other = scene.stage.client(9)
        other.send(b"GET /a.js HTTP/1.1\r\nHost: example.org\r\n\r\n")
        await scene.settled()
        assert other.take().startswith(b"HTTP/1.1 200 OK\r\n")
        client.request(9, "/a.js", method="HEAD")
        await scene.settled()
        assert client.answer(9).fields["content-length"] == "10240" and not client.answer(9).content
        assert scene.connection.engine.open_streams == 0

    stage = perform_http2(story, cache_size_bytes=1 << 20)
    assert [exchange.cache for exchange in stage.exchanges] == ["miss", "hit", "hit", "hit", "hit", "hit"]
    assert [exchange.body_bytes for exchange in stage.exchanges] == [10240, 10240, 10240, 10240, 10240, 0]


def test_a_large_hit_waits_for_its_windows_without_a_task() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.open_window(0, 1 << 20)
        client.request(1, "/a.js")
        await scene.worker_got()
        client.open_window(1, 1 << 20)
        await scene.worker_says(response(b"y" * 200000, b"cache-control: max-age=100"))
        client.request(3, "/a.js")
        await scene.settled()
        assert len(client.answer(3).content) == 65535 and not client.answer(3).has_ended
        assert len(scene.stage.exchanges) == 1
        client.open_window(3, 1 << 20)
        await scene.settled()
        assert len(client.answer(3).content) == 200000 and client.answer(3).has_ended
        assert max(client.answer(3).frame_sizes) == 16384

    stage = perform_http2(story, cache_size_bytes=1 << 20, max_cache_item_size_bytes=1 << 20)
    assert [exchange.body_bytes for exchange in stage.exchanges] == [200000, 200000]


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [("/" + "x" * 20000, [], "414"), ("/", [(f"x-{n}", "1") for n in range(200)], "431")],
)
def test_what_is_too_large_is_answered(path: str, fields: list[tuple[str, str]], status: str) -> None:
    async def story(scene: Http2Stage) -> None:
        block = scene.client.block([*pseudo(path), *fields])
        scene.client._encoder = type(scene.client._encoder)()
        frames = [block[at : at + 16000] for at in range(0, len(block), 16000)]
        data = b"".join(
            len(piece).to_bytes(3, "big")
            + bytes((9 if index else 1, (4 if index == len(frames) - 1 else 0) | (0 if index else 1)))
            + (1).to_bytes(4, "big")
            + piece
            for index, piece in enumerate(frames)
        )
        scene.client.raw(data)
        await scene.settled()
        answer = scene.client.answer(1)
        assert answer.status == status and answer.has_ended and answer.reset_code is None

    (exchange,) = perform_http2(story).exchanges
    assert exchange.status == int(status) and exchange.error and exchange.protocol == "HTTP/2"


def test_a_malformed_request_is_reset_and_told() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1, "/", [("connection", "close")])
        await scene.settled()
        assert scene.client.answer(1).reset_code == ErrorCode.PROTOCOL_ERROR

    (exchange,) = perform_http2(story).exchanges
    assert exchange.status == 400 and "does not belong into HTTP/2" in exchange.error


def test_a_request_that_turns_out_malformed_has_the_status_of_one() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, [*pseudo("/", "POST"), ("content-length", "3")], end=False))
        await scene.worker_got()
        client.content(1, b"four")
        await scene.settled()
        assert client.answer(1).reset_code == ErrorCode.PROTOCOL_ERROR

    (exchange,) = perform_http2(story).exchanges
    assert (exchange.status, exchange.error) == (400, "more content than its content-length")


def test_a_broken_rule_ends_the_connection_and_what_it_has_asked_for() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.request(1)
        await scene.worker_got()
        scene.client.raw(bytes((0, 0, 4, 8, 0, 0, 0, 0, 0)) + bytes(4))
        await scene.settled()
        (goaway,) = scene.client.goaways
        assert (goaway.error_code, goaway.last_stream_id) == (ErrorCode.PROTOCOL_ERROR, 1)
        assert goaway.additional_data == b"WINDOW_UPDATE by 0"
        assert scene.stage.worker().saw_end and scene.peer.saw_end
        scene.client.request(3)
        await scene.settled()
        assert scene.client.hear() == []
        await scene.stage.pass_time(6)
        assert scene.peer.transport.lost_calls == 1

    (exchange,) = perform_http2(story).exchanges
    assert (exchange.status, exchange.error) == (400, "WINDOW_UPDATE by 0 (PROTOCOL_ERROR)")


def test_a_broken_rule_without_a_request_is_told_too() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.raw(bytes((0, 0, 4, 8, 0, 0, 0, 0, 0)) + bytes(4))
        await scene.settled()

    (exchange,) = perform_http2(story).exchanges
    assert (exchange.status, exchange.error) == (400, "WINDOW_UPDATE by 0 (PROTOCOL_ERROR)")


def credit(frames: list[Frame]) -> int:
    """How far these frames open the window of stream 1."""
    return sum(frame.window_increment for frame in frames if isinstance(frame, WindowUpdateFrame) and frame.stream_id)


def test_an_app_that_does_not_read_holds_back_its_own_stream_only() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.send(client.headers(1, pseudo("/slow", "POST"), end=False))
        await scene.settled()
        scene.stage.worker().stop_reading()
        sent_bytes, window_bytes = 0, 131072
        while window_bytes > 0:
            client.content(1, b"x" * 16384)
            sent_bytes, window_bytes = sent_bytes + 16384, window_bytes - 16384
            await scene.settled()
            window_bytes += credit(client.hear())
        assert sent_bytes < 500_000
        client.request(3, "/quick")
        await scene.settled()
        scene.stage.worker(2).take()
        await scene.worker_says(response(b"ok"), 2)
        assert client.answer(3).status == "200"
        scene.stage.worker().read_on()
        await scene.settled()
        assert credit(client.hear()) >= 65536

    perform_http2(story)


def test_nothing_is_sent_twice_for_a_stream_that_was_reset_while_it_waited() -> None:
    async def story(scene: Http2Stage) -> None:
        client = scene.client
        client.request(1)
        await scene.worker_got()
        await scene.worker_says(response(b"x" * 100000))
        client.hear()
        client.reset(1)
        client.open_window(1, 100000)
        client.open_window(0, 100000)
        await scene.settled()
        assert not [frame for frame in client.hear() if isinstance(frame, DataFrame | RstStreamFrame)]

    (exchange,) = perform_http2(story).exchanges
    assert exchange.status == 200 and exchange.body_bytes == 65535 and exchange.error
