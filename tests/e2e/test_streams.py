"""Pieces of a message are passed on as they come: events, interim answers, trailers, bodies in both directions."""

import pytest

from tests.support.e2e_client import Client, chunk
from tests.support.e2e_thrust import Thrust

pytestmark = pytest.mark.slow


def test_each_event_is_on_the_wire_before_the_next_one_is_made(app: Thrust, client: Client) -> None:
    with app.connect() as publisher:
        client.send_head("GET", "/events?news")
        answer = client.receive_head()
        assert answer.get("content-type") == "text/event-stream"
        arriving = iter(client.chunks(answer))
        for number in range(50):
            publisher.get(f"/publish?news={number}")
            assert next(arriving) == f"data: {number}\n\n".encode()


def test_a_response_begins_before_its_first_content(app: Thrust, client: Client) -> None:
    client.send_head("GET", "/events?silence")
    assert client.receive_head().status == 200


def test_request_and_response_may_flow_at_the_same_time(raw: Thrust) -> None:
    with raw.connect() as client:
        client.send_head("POST", "/echo", ("Content-Length", "26"))
        answer = client.receive_head()
        arriving = iter(client.chunks(answer))
        for letter in b"abcdefghijklmnopqrstuvwxyz":
            client.send(bytes([letter]))
            assert next(arriving) == bytes([letter])
        assert list(arriving) == []


def test_early_hints_come_before_the_answer_exists(raw: Thrust) -> None:
    with raw.connect() as client, raw.connect() as other:
        other.get("/shut")
        client.send_head("GET", "/early-hints")
        hints = client.receive_one()
        assert (hints.status, hints.reason) == (103, "Early Hints")
        assert [value for name, value in hints.fields if name == "link"] == [
            "</a.css>; rel=preload",
            "</b.js>; rel=preload",
        ]
        other.get("/open")
        answer = client.receive()
        assert (answer.status, answer.body, answer.interim) == (200, b"late", [])


def test_a_client_of_http_1_0_gets_no_early_hints(raw: Thrust) -> None:
    with raw.connect() as client, raw.connect() as other:
        other.get("/open")
        client.send(b"GET /early-hints HTTP/1.0\r\n\r\n")
        assert client.receive().interim == []
        client.expect_end()


def test_trailers_pass_in_both_directions(raw: Thrust) -> None:
    with raw.connect() as client:
        client.send(
            client.head("POST", "/trailers", ("Transfer-Encoding", "chunked"), ("TE", "trailers")),
            chunk(b"\x01\x02\x03"),
            b"0\r\nX-Check: abc\r\nX-More: d\r\n\r\n",
        )
        answer = client.receive()
        assert answer.body == b"\x01\x02\x03"
        assert answer.trailers == [("x-check", "abc"), ("x-more", "d"), ("x-sum", "6")]
        assert client.get("/").status == 200


def test_trailers_of_a_response_to_get_arrive(raw: Thrust) -> None:
    with raw.connect() as client:
        assert client.get("/trailers", ("TE", "trailers")).trailers == [("x-sum", "0")]


def test_a_body_that_ends_with_the_workers_connection_arrives_whole_and_ours_goes_on(raw: Thrust) -> None:
    with raw.connect() as client:
        for _ in range(2):
            answer = client.get("/until-close")
            assert (answer.body, answer.is_chunked) == (b"to the end", True)


def test_a_worker_that_asks_for_the_body_gets_it(app: Thrust, client: Client) -> None:
    client.send_head("POST", "/received", ("Content-Length", "5"), ("Expect", "100-continue"))
    assert client.receive_one().status == 100
    client.send(b"hello")
    assert client.receive().body.startswith(b"5 ")


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    heads = [client.head("GET", f"/sight?{number}") for number in range(100)]
    client.send(b"".join(heads))
    assert [client.receive().json()["query"] for _ in heads] == [str(number) for number in range(100)]


def test_a_client_that_has_ended_its_side_still_gets_its_answer(app: Thrust, client: Client) -> None:
    client.send_head("GET", "/wait?patience")
    client.end_sending()
    with app.connect() as other:
        other.get("/wait?waits%20for%20patience")
        other.get("/say?patience")
    answer = client.receive()
    assert (answer.status, answer.body) == (200, b"patience\n")
    client.expect_end()


def test_pipelined_requests_of_a_client_that_has_ended_its_side_are_all_answered(client: Client) -> None:
    client.send(*[client.head("GET", f"/sight?{number}") for number in range(3)])
    client.end_sending()
    assert [client.receive().json()["query"] for _ in range(3)] == ["0", "1", "2"]
    client.expect_end()
