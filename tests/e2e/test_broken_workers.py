"""A worker that dies, hangs or lies: its client gets a 502 or 504, or a broken connection, and never a wrong answer."""

import contextlib
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.e2e_client import Ended
from tests.support.e2e_thrust import Thrust, raw_worker, running_thrust

pytestmark = pytest.mark.slow


def test_a_worker_that_dies_in_the_middle_of_requests_leaves_each_with_a_502(loop_name: str) -> None:
    with running_thrust(raw_worker(), loop=loop_name) as thrust, ExitStack() as stack:
        thrust.wait_until_ready()
        clients = [stack.enter_context(thrust.connect()) for _ in range(10)]
        for number, client in enumerate(clients):
            client.send_head("GET", f"/hang?{number}")  # each of its own, so that none waits for another's answer
            thrust.wait_for_line("hangs", number + 1)
        with thrust.connect() as killer:
            assert killer.get(f"/kill?{signal.SIGKILL:d}").status == 502
        for client in clients:
            assert client.receive().status == 502
            client.expect_end()
        assert thrust.wait() == 128 + signal.SIGKILL
        for record in thrust.requests():
            assert (record["status"], record["error"]) == (502, "the worker closed the connection before answering")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_on_a_connection_that_had_served_before_gets_its_502_too(method: str) -> None:
    with running_thrust(raw_worker()) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.get("/").status == 200
            assert client.exchange(method, "/exit?3", body=b"" if method == "POST" else None).status == 502
        assert thrust.wait() == 3


def test_a_worker_that_hangs_is_given_up_and_its_connection_closed(loop_name: str) -> None:
    with running_thrust(raw_worker(), loop=loop_name, env={"THRUST_WORKER_TIMEOUT": "1"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.get("/hang").status == 504
            thrust.wait_for_line("left alone")
            assert client.get("/").status == 200
        assert thrust.wait_for_request(status=504)["error"] == "the worker did not answer within 1 s"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/silent", "closed the connection"),
        ("/half-head", "closed the connection in the middle of a response head"),
        ("/no-http", "malformed response: invalid status line"),
        ("/two-lengths", "malformed response: "),
        ("/two-framings", "malformed response: "),
        ("/too-long", "malformed response: 10 bytes after the end of the body"),
        ("/bad-field", "malformed response: invalid field line"),
        ("/upgrade", "101 (Switching Protocols) without a request for it"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_that_is_none_becomes_a_502(raw: Thrust, path: str, error: str, method: str) -> None:
    with raw.connect() as client:
        assert client.exchange(method, path, body=b"" if method == "POST" else None).status == 502
        record = raw.wait_for_request(path=path, method=method)
        assert error in record["error"]
        assert client.get("/").status == 200


@pytest.mark.parametrize("path", ["/short", "/short-chunked"])
def test_a_body_that_is_shorter_than_it_said_ends_in_a_reset(raw: Thrust, path: str) -> None:
    with raw.connect() as client:
        client.send_head("GET", path)
        with pytest.raises((ConnectionResetError, Ended)):
            client.receive()
        record = raw.wait_for_request(path=path, status=200)
        assert record["error"].startswith("the worker closed the connection after ")


def test_a_short_body_ends_in_a_reset_for_a_client_of_http_1_0(raw: Thrust) -> None:
    """It would take an orderly end for the end of the body."""
    with raw.connect() as client:
        client.send(b"GET /short-chunked HTTP/1.0\r\n\r\n")
        assert client.is_aborted()


def test_an_answer_that_comes_before_the_worker_has_read_the_upload_is_not_lost(raw: Thrust) -> None:
    """Such a worker closes with unread data, which the kernel turns into a reset behind the answer (gunicorn does)."""
    statuses = []
    for size in (300_000, 3_000_000) * 20:
        with raw.connect() as client:
            client.send_head("POST", "/refuse", ("Content-Length", str(size)))
            with contextlib.suppress(ConnectionError):  # thrust may have closed after its answer
                client.send(bytes(size))
            statuses.append(client.receive().status)
    assert statuses == [413] * 40


def test_a_safe_request_that_meets_a_worker_which_has_just_left_is_repeated(raw: Thrust) -> None:
    """The worker closes after each of these answers without saying so; the next request finds out."""
    with raw.connect() as client:
        for _ in range(20):
            assert client.get("/until-close").status == 200
            assert client.get("/").status == 200


def test_the_pages_of_the_app_are_shown_if_it_has_some(tmp_path: Path) -> None:
    page = tmp_path / "sorry.html"
    with running_thrust(raw_worker(), env={"BAD_GATEWAY_PAGE": str(page)}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert b"failed to answer" in client.get("/silent").body
            page.write_text("<h1>sorry</h1>")  # read when needed: a deploy may bring it
            answer = client.get("/silent")
            assert (answer.status, answer.body) == (502, b"<h1>sorry</h1>")
            assert (answer.get("content-type") or "").startswith("text/html")
