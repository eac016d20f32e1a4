"""What thrust writes to stdout: one JSON line per event and per request, all of them, whatever happens."""

import json
import re
import signal
from collections.abc import Iterator

import pytest

from tests.support.e2e_client import Client
from tests.support.e2e_thrust import LOOPS, Thrust, raw_worker, running_thrust

pytestmark = pytest.mark.slow

FIELDS = [
    "time",
    "level",
    "msg",
    "path",
    "status",
    "dur",
    "method",
    "req_content_length",
    "req_content_type",
    "resp_content_length",
    "resp_content_type",
    "remote_addr",
    "user_agent",
    "cache",
    "query",
    "proto",
    "host",
    "request_id",
    "cache_detail",
]
"""Thruster's, in its order, then ours."""

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture(params=LOOPS)
def thrust(request: pytest.FixtureRequest) -> Iterator[Thrust]:
    with running_thrust(raw_worker(), loop=request.param) as thrust:
        thrust.wait_until_ready()
        yield thrust


def test_a_request_is_one_line_with_the_documented_fields(thrust: Thrust) -> None:
    with thrust.connect() as client:
        client.exchange(
            "POST",
            "/a%2Fb?x=1&y",
            ("Content-Type", "text/x"),
            ("User-Agent", 'agent "1" \\ \xe9'),
            ("Authorization", "Bearer secret-of-the-client"),
            ("Cookie", "secret-of-the-client"),
            body=b"12345",
        )
    record = thrust.wait_for_request()
    assert list(record) == FIELDS
    assert RFC_3339.fullmatch(record["time"])
    assert (record["level"], record["path"], record["query"]) == ("INFO", "/a%2Fb", "x=1&y")
    assert (record["method"], record["proto"], record["status"]) == ("POST", "HTTP/1.1", 200)
    assert (record["req_content_length"], record["req_content_type"]) == (5, "text/x")
    assert record["resp_content_length"] == len(str(thrust.worker_pid()))
    assert record["remote_addr"] == "127.0.0.1"
    assert record["user_agent"] == 'agent "1" \\ \xe9'
    assert record["host"] == f"127.0.0.1:{thrust.port}"
    assert record["dur"] > 0
    assert not any("secret-of-the-client" in line for line in thrust.stdout.so_far())


def test_nothing_is_lost_at_the_end_however_suddenly_it_comes(thrust: Thrust) -> None:
    with thrust.connect() as client:
        for number in range(1000):
            assert client.get(f"/{number}").status == 200
        thrust.send(signal.SIGTERM)
        client.expect_end()
    assert thrust.wait() == 0
    assert [record["path"] for record in thrust.requests()] == [f"/{number}" for number in range(1000)]
    assert [event["msg"] for event in thrust.events()][-2:] == ["worker exited with code 0", "stopped"]


def test_every_line_that_is_not_the_workers_is_json(thrust: Thrust) -> None:
    with thrust.connect() as client:
        client.get("/silent")
        client.send(b"nonsense\r\n\r\n")
        client.receive()
    thrust.send(signal.SIGUSR1)
    thrust.wait_for_line("got SIGUSR1")
    thrust.stop()
    others = []
    for line in thrust.stdout.wait_for_end():
        try:
            assert {"time", "level", "msg"} <= json.loads(line).keys()
        except json.JSONDecodeError:
            others.append(line)
    assert others == ["got SIGUSR1", "got SIGTERM"]


def test_requests_that_never_parsed_are_logged_with_what_was_wrong(thrust: Thrust) -> None:
    with thrust.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost : evil\r\n\r\n")
        assert client.receive().status == 400
    record = thrust.wait_for_request(status=400)
    assert record["remote_addr"] == "127.0.0.1"
    assert "Host : evil" in record["error"]


def test_a_request_id_of_the_client_is_kept_in_log_and_worker(thrust: Thrust) -> None:
    with thrust.connect() as client:
        client.get("/", ("X-Request-ID", "abc-123"))
    thrust.wait_for_request(request_id="abc-123")


def test_the_address_in_the_log_is_the_one_that_a_trusted_proxy_names() -> None:
    settings = {"THRUST_TRUSTED_PROXIES": "127.0.0.0/8, 10.0.0.0/8"}
    with running_thrust(raw_worker(), env=settings) as thrust, thrust.connect() as client:
        client.get("/trusted", ("X-Forwarded-For", "198.51.100.9, 203.0.113.5, 10.1.2.3"))
        assert thrust.wait_for_request(path="/trusted")["remote_addr"] == "203.0.113.5"


def test_the_address_in_the_log_is_our_peers_if_nobody_is_trusted() -> None:
    with running_thrust(raw_worker(), env={"FORWARD_HEADERS": "0"}) as thrust, thrust.connect() as client:
        client.get("/", ("X-Forwarded-For", "198.51.100.9"))
        assert thrust.wait_for_request()["remote_addr"] == "127.0.0.1"


def test_requests_are_not_logged_if_nobody_wants_that() -> None:
    with running_thrust(raw_worker(), env={"LOG_REQUESTS": "0"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            assert client.get("/").status == 200
        assert thrust.stop() == 0
        assert thrust.requests() == []
        assert thrust.events()[-1]["msg"] == "stopped"


def test_excluded_paths_are_not_logged() -> None:
    with running_thrust(raw_worker(), env={"THRUST_LOG_EXCLUDE": "/up, /assets/*"}) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            for path in ("/up", "/up?x", "/assets/a.css", "/upper", "/assets"):
                assert client.get(path).status == 200
        assert thrust.stop() == 0
        assert [record["path"] for record in thrust.requests()] == ["/upper", "/assets"]


def test_text_is_for_people() -> None:
    with running_thrust(raw_worker(), env={"THRUST_LOG_FORMAT": "text"}) as thrust:
        thrust.wait_for_line("worker is ready")
        with Client(thrust.port) as client:
            client.get("/hello?x=1")
        line = thrust.wait_for_line("/hello?x=1")
        assert re.match(r"\d\d:\d\d:\d\d GET +/hello\?x=1 +200 ", line)
        assert "\x1b" not in line


def test_a_log_that_nobody_reads_does_not_stop_the_service() -> None:
    with running_thrust(raw_worker()) as thrust:
        thrust.wait_until_ready()
        thrust.stdout.stop_reading()
        with thrust.connect() as client:
            for _ in range(2000):
                assert client.get("/" + "x" * 1000).status == 200
        thrust.stdout.go_on_reading()
        thrust.wait_for_request(2000)
        assert thrust.stop() == 0
