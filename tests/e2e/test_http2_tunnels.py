"""WebSocket over HTTP/2 (RFC 8441), through to a real app: what is said, how it ends, what is refused."""

from collections.abc import Iterator

import pytest

from tests.support.e2e_thrust import uvicorn
from tests.support.http2_client import WebSocket
from tests.support.http2_site import WAYS, Http2Site, http2_site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2Site]:
    with http2_site(uvicorn(), request.param, tmp_path_factory.mktemp("site")) as site:
        yield site
        assert not [event for event in site.thrust.events() if event["level"] == "ERROR"]


def test_a_websocket_talks_between_other_streams(site: Http2Site) -> None:
    with site.connect() as client:
        peer = WebSocket(client, "/ws?talks", ("origin", site.url))
        assert (peer.answer.status, peer.answer.get("sec-websocket-accept")) == (200, None)
        for message in ("hello", b"\0" * 300_000, ""):
            peer.send(message)
            assert client.get("/").status == 200
            assert peer.receive() == message
        peer.close()
    record = site.thrust.wait_for_request(query="talks")
    assert (record["method"], record["proto"], record["status"]) == ("CONNECT", "HTTP/2", 200)
    assert "error" not in record


@pytest.mark.parametrize("code", [1000, 1011, 4999])
def test_the_close_code_of_the_app_reaches_the_client_and_the_stream_ends(site: Http2Site, code: int) -> None:
    """At once (counted in requests, not in time): a browser waits for the end before it tells its page."""
    with site.connect() as client:
        peer = WebSocket(client, "/ws")
        peer.send(f"close {code}")
        client.until(lambda: peer.answer.body)
        peer.protocol.receive_data(bytes(peer.answer.body))
        peer._flush()
        for _ in range(300):
            assert client.get("/").status == 200
            if peer.answer.has_ended:
                break
        assert peer.answer.has_ended
        peer.protocol.receive_eof()
        assert (peer.protocol.close_code, peer.protocol.close_reason) == (code, "as you like")


@pytest.mark.parametrize("code", [1000, 3001])
def test_the_close_code_of_the_client_reaches_the_app(site: Http2Site, code: int) -> None:
    with site.connect() as client, site.aside() as other:
        WebSocket(client, f"/ws?closes{code}").close(code)
        assert other.get(f"/wait?left%20closes{code}").status == 200
        assert other.get(f"/wait?closed%20{code}").status == 200


def test_the_app_is_told_of_a_client_that_resets_its_websocket_or_leaves(site: Http2Site) -> None:
    with site.aside() as other:
        with site.connect() as client:
            peer = WebSocket(client, "/ws?resets")
            client.reset(peer.id)
            assert other.get("/wait?left%20resets").status == 200
            assert client.get("/").status == 200
            WebSocket(client, "/ws?leaves")
        assert other.get("/wait?left%20leaves").status == 200


def test_a_websocket_that_nobody_reads_is_in_nobodys_way(site: Http2Site) -> None:
    """Its app sends back what it gets, and waits when both directions are full."""
    with site.connect() as client:
        stuck, other = WebSocket(client, "/ws?stuck"), WebSocket(client, "/ws?other")
        client.gives_credit = False
        stuck.protocol.send_binary(bytes(50_000))
        (message,) = stuck.protocol.data_to_send()
        data, waited, count = b"", 0, 0
        while waited < 20:
            waited = 0 if client.sendable(stuck.id) else waited + 1
            if not data:
                data, count = message, count + 1
            data = data[client.send(stuck.id, data[: client.sendable(stuck.id)]) :]
            other.send("x")
            assert other.receive() == "x"
        assert count < 1000
        client.reset(stuck.id)
        assert client.get("/").status == 200


def test_what_the_app_says_against_a_handshake_is_passed_on(site: Http2Site) -> None:
    with site.connect() as client:
        fields = [("sec-websocket-version", "12")]
        stream_id = client.begin("CONNECT", "/ws", *fields, ends=False, pseudo=[(":protocol", "websocket")])
        answer = client.answers[stream_id]
        client.until(lambda: answer.is_over)
        assert (answer.status, answer.has_ended) == (400, True)
        assert b"Sec-WebSocket-Version" in answer.body
        assert client.get("/").status == 200


def test_other_protocols_are_not_connected(site: Http2Site) -> None:
    with site.connect() as client:
        stream_id = client.begin("CONNECT", "/ws", ends=False, pseudo=[(":protocol", "connect-udp")])
        answer = client.answers[stream_id]
        client.until(lambda: answer.is_over)
        assert answer.status == 501 or answer.reset_code
        assert client.get("/").status == 200
