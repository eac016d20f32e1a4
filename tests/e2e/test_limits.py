"""Limits on what clients send, and deadlines for those who stop in the middle."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.e2e_client import BOUND_S, Client, chunk
from tests.support.e2e_thrust import Thrust, raw_worker, running_thrust, uvicorn

pytestmark = pytest.mark.slow

BOTH_FRAMINGS = b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"


def test_a_declared_body_that_is_too_large_is_refused_before_the_worker_hears_of_it(loop_name: str) -> None:
    with running_thrust(raw_worker(), loop=loop_name, env={"MAX_REQUEST_BODY": "1KB"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.exchange("POST", "/", body=b"x" * 1024).status == 200
            client.send_head("POST", "/", ("Content-Length", "1025"), ("Expect", "100-continue"))
            answer = client.receive()
            assert (answer.status, answer.interim, answer.get("connection")) == (413, [], "close")
            client.expect_end()
        with thrust.connect() as client:
            assert client.get("/count").body == b"2"
        assert "1025 bytes" in thrust.wait_for_request(status=413)["error"]


def test_a_body_of_unknown_length_is_refused_when_it_has_become_too_large(loop_name: str) -> None:
    with running_thrust(raw_worker(), loop=loop_name, env={"MAX_REQUEST_BODY": "100KB"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            client.send(client.head("POST", "/", ("Transfer-Encoding", "chunked")), chunk(b"x" * 90_000))
            client.send(chunk(b"x" * 90_000), chunk(b"x"), b"0\r\n\r\n")
            answer = client.receive()
            assert (answer.status, answer.get("connection")) == (413, "close")
        with thrust.connect() as client:
            assert client.exchange("POST", "/", chunks=[b"x" * 50_000, b"x" * 52_400]).status == 200


def test_a_client_that_sends_on_after_a_refusal_can_still_read_it(raw: Thrust) -> None:
    with raw.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n")
        for _ in range(20):
            client.send(b"x" * 10_000)
        answer = client.receive()
        assert (answer.status, answer.get("connection")) == (400, "close")


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431, "head of more than 65536 bytes"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 120 + b"\r\n", 431, "at most 100 are accepted"),
        (b"GET /" + b"y" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target of "),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host field is missing"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "byte 0x0a"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2.0 is not spoken"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, "CONNECT"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            400,
            "Transfer-Encoding",
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "byte 0x16"),
    ],
)
def test_what_is_refused_is_answered_closed_logged_and_unknown_to_the_worker(
    raw: Thrust, sent: bytes, status: int, error: str
) -> None:
    with raw.connect() as other, raw.connect() as client:
        before = int(other.get("/count").body)
        client.send(sent)
        answer = client.receive()
        assert (answer.status, answer.get("connection")) == (status, "close")
        client.expect_end()
        assert int(other.get("/count").body) == before + 1
    raw.stdout.wait_for(lambda line: f'"status":{status}' in line and error in line, f"line about {error}")


@pytest.fixture(scope="module")
def hasty() -> Iterator[Thrust]:
    """thrust with deadlines of a second."""
    deadlines = {"HTTP_READ_TIMEOUT": "1", "HTTP_IDLE_TIMEOUT": "1", "HTTP_WRITE_TIMEOUT": "1"}
    with running_thrust(uvicorn(), env=deadlines) as thrust:
        thrust.wait_until_ready()
        yield thrust


def test_a_head_that_does_not_end_is_408(hasty: Thrust) -> None:
    with hasty.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        answer = client.receive()
        assert (answer.status, answer.get("connection")) == (408, "close")
        client.expect_end()
    assert "head" in hasty.wait_for_request(status=408)["error"]


def test_a_head_that_dribbles_in_is_408_too(hasty: Thrust) -> None:
    """The deadline is for the whole head; a byte now and then does not move it."""
    with hasty.connect() as client:
        is_over = threading.Event()
        client.send(b"GET / HTTP/1.1\r\n")
        dribble = threading.Thread(target=send_until, args=[client, b"X: y\r\n", is_over])
        dribble.start()
        try:
            assert client.receive().status == 408
        finally:
            is_over.set()
            dribble.join()


def send_until(client: Client, data: bytes, is_over: threading.Event) -> None:
    """Send `data` again and again, with pauses."""
    try:
        while not is_over.wait(0.1):
            client.send(data)
    except OSError:
        return


def test_a_body_that_stalls_is_408(hasty: Thrust) -> None:
    with hasty.connect() as client:
        client.send(client.head("POST", "/received", ("Content-Length", "10")), b"12345")
        assert client.receive().status == 408
    assert "body stalled" in hasty.wait_for_request(path="/received", status=408)["error"]


def test_a_connection_without_requests_is_closed_in_silence(hasty: Thrust) -> None:
    with hasty.connect() as fresh, hasty.connect() as used:
        assert used.get("/").status == 200
        used.expect_end()
        fresh.expect_end()


def test_an_answer_may_take_longer_than_all_deadlines_for_clients(hasty: Thrust) -> None:
    with hasty.connect() as patient, hasty.connect() as idle:
        patient.send_head("GET", "/wait?long")
        assert idle.get("/").status == 200
        idle.expect_end()  # a second without a request has gone by
        with hasty.connect() as other:
            other.get("/say?long")
        assert patient.receive().body == b"long\n"


def test_a_stream_without_events_is_not_cut(hasty: Thrust) -> None:
    with hasty.connect() as listener, hasty.connect() as idle:
        listener.send_head("GET", "/events?rare")
        answer = listener.receive_head()
        idle.expect_end()
        with hasty.connect() as other:
            other.get("/publish?rare=event")
        assert next(iter(listener.chunks(answer))) == b"data: event\n\n"


def test_a_silent_websocket_is_not_cut(hasty: Thrust) -> None:
    with hasty.connect() as socket_client, hasty.connect() as idle:
        socket_client.send_head(
            "GET",
            "/",
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        )
        assert socket_client.receive_head().status == 101
        idle.expect_end()
        socket_client.send(b"\x81\x82\0\0\0\0hi")
        assert socket_client.take(4) == b"\x81\x02hi"


def test_a_slow_upload_that_keeps_moving_is_not_cut() -> None:
    """Each pause is far below the deadline, all together are above it."""
    with running_thrust(uvicorn(), env={"HTTP_READ_TIMEOUT": "2"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            client.send_head("POST", "/received", ("Content-Length", "30"))
            pause = threading.Event()
            for _ in range(30):
                client.send(b"x")
                pause.wait(0.1)
            assert client.receive().body.startswith(b"30 ")


def test_a_client_that_reads_nothing_is_cut_off(hasty: Thrust) -> None:
    with hasty.connect(receive_buffer_bytes=4096) as client:
        client.send(client.head("GET", "/large") * 20)
        record = hasty.wait_for_request(path="/large", error="the client read nothing for 1 s")
        assert record["status"] == 200
        client.socket.settimeout(BOUND_S)
        assert client.is_aborted()


def test_a_client_that_reads_little_but_steadily_is_not_cut_off(hasty: Thrust) -> None:
    with hasty.connect(receive_buffer_bytes=4096) as client:
        client.send_head("GET", "/large")
        pause = threading.Event()
        for _ in range(25):
            assert client.socket.recv(20_000, socket.MSG_WAITALL)
            pause.wait(0.08)
        client.rest.clear()
        seen = 25 * 20_000
        while seen < 1 << 21:
            piece = client.socket.recv(1 << 20)
            assert piece
            seen += len(piece)
