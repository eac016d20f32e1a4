"""Ends of HTTP/2 connections when thrust stops or its worker is replaced: nobody who has been heard is forgotten."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.e2e_thrust import uvicorn
from tests.support.http2_client import WebSocket
from tests.support.http2_site import TWO_WAYS, Http2Site, http2_site

pytestmark = pytest.mark.slow

LAST_STREAM_ID = (1 << 31) - 1


@pytest.fixture(params=TWO_WAYS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Http2Site]:
    with http2_site(uvicorn(), request.param, tmp_path) as site:
        yield site


def test_a_shutdown_announces_itself_and_finishes_what_is_under_way(site: Http2Site) -> None:
    with site.connect() as client, site.connect() as idle, site.aside() as other:
        assert idle.get("/").status == 200
        waiting = client.begin("GET", "/wait?patience")
        upload = client.begin("POST", "/received", ends=False)
        client.send(upload, b"first")
        assert other.get("/wait?waits%20for%20patience").status == 200
        site.thrust.send(signal.SIGTERM)
        client.until(lambda: len(client.goaways) == 2)
        first, second = client.goaways
        assert (first.error_code, first.last_stream_id) == (0, LAST_STREAM_ID)
        assert (second.error_code, second.last_stream_id) == (0, upload)
        idle.take_end()
        assert len(idle.goaways) == 2
        client.send(upload, b"after", ends=True)
        other.get("/say?patience")
        assert client.wait(upload).body.startswith(b"10 ")
        assert client.wait(waiting).body == b"patience\n"
        client.take_end()
    site.thrust.wait()
    assert [record["status"] for record in site.thrust.requests()] == [200, 200, 200]
    assert not [record for record in site.thrust.requests() if "error" in record]


def test_a_stream_that_crosses_the_announcement_is_served(site: Http2Site) -> None:
    """Our first GOAWAY names no last stream: what the client has sent before it has read that is heard."""
    with site.connect() as client, site.aside() as other:
        waiting = client.begin("GET", "/wait?crossing")
        assert other.get("/wait?waits%20for%20crossing").status == 200
        site.thrust.send(signal.SIGTERM)
        site.thrust.wait_for_event("stopping")
        crossing = client.begin("GET", "/sight?crossing")
        other.get("/say?crossing")
        assert (client.wait(crossing).status, client.wait(waiting).status) == (200, 200)
        client.take_end()
    site.thrust.wait()


def test_a_shutdown_ends_event_streams_and_does_not_wait_for_websockets(site: Http2Site) -> None:
    with site.connect() as client, site.connect() as talker:
        events = client.answers[client.begin("GET", "/events?endless")]
        client.until(lambda: events.status)
        peer = WebSocket(talker, "/ws")
        site.thrust.send(signal.SIGTERM)
        client.until(lambda: events.is_over)
        client.take_end()
        talker.until(lambda: peer.answer.is_over or peer.take())
    site.thrust.wait()


def test_a_new_worker_takes_over_without_a_request_being_lost(site: Http2Site) -> None:
    """On one connection: what waits is answered by the old worker, what comes later by the new one."""
    with site.connect() as client, site.aside() as other:
        old = bytes(client.get("/").body)
        waiting = client.begin("GET", "/wait?old")
        assert other.get("/wait?waits%20for%20old").status == 200
        site.thrust.send(signal.SIGHUP)
        seen = [old]
        while seen[-1] == old:
            answer = client.get("/")
            assert answer.status == 200
            seen.append(bytes(answer.body))
        assert not client.answers[waiting].is_over
        other.get("/say?old")
        assert client.wait(waiting).body == b"old\n"
        assert bytes(client.get("/").body) == seen[-1]
        assert not client.goaways
    assert {record["status"] for record in site.thrust.requests()} == {200}


def test_a_worker_that_dies_fails_the_requests_under_way_with_502(site: Http2Site) -> None:
    with site.connect() as client, site.aside() as other:
        waiting = [client.begin("GET", f"/wait?{number}") for number in range(3)]
        for number in range(3):
            assert other.get(f"/wait?waits%20for%20{number}").status == 200
        os.kill(site.thrust.worker_pid(), signal.SIGKILL)
        assert [client.wait(stream_id).status for stream_id in waiting] == [502] * 3
    assert site.thrust.wait() == 128 + signal.SIGKILL
