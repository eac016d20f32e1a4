"""When a client leaves, the app is told at once, whatever the exchange had come to."""

import shutil
import subprocess

import pytest

from tests.support.e2e_client import Client
from tests.support.e2e_thrust import Thrust

pytestmark = pytest.mark.slow


def observed(app: Thrust, name: str) -> None:
    """Returns when the app has noticed that the client of /observe?name=NAME has left."""
    with app.connect() as other:
        assert other.get(f"/wait?gone%20{name}").status == 200


def arrived(app: Thrust, name: str) -> None:
    with app.connect() as other:
        assert other.get(f"/wait?here%20{name}").status == 200


def test_the_app_is_told_of_a_client_that_leaves_before_the_answer(app: Thrust, client: Client) -> None:
    client.send_head("GET", "/observe?name=before")
    arrived(app, "before")
    client.close()
    observed(app, "before")
    assert "client closed" in app.wait_for_request(query="name=before", status=499)["error"]


def test_the_app_is_told_of_a_client_that_leaves_while_the_answer_is_sent(app: Thrust, client: Client) -> None:
    client.send_head("GET", "/observe?name=during&during")
    answer = client.receive_head()
    assert next(iter(client.chunks(answer))) == b"begun"
    client.close()
    observed(app, "during")
    assert "client closed" in app.wait_for_request(query="name=during&during", status=200)["error"]


def test_the_app_is_told_of_a_client_that_leaves_in_the_middle_of_its_upload(app: Thrust, client: Client) -> None:
    client.send(client.head("POST", "/observe?name=upload", ("Content-Length", "1000000")), b"some")
    arrived(app, "upload")
    client.close()
    observed(app, "upload")
    assert "client closed" in app.wait_for_request(query="name=upload", method="POST")["error"]


def test_the_app_is_told_of_a_client_that_leaves_an_event_stream(app: Thrust, client: Client) -> None:
    client.send_head("GET", "/events?leaving")
    client.receive_head()
    client.close()
    observed(app, "leaving")


def test_the_app_is_told_of_a_client_that_drops_its_websocket(app: Thrust, client: Client) -> None:
    client.send_head(
        "GET",
        "/?dropped",
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "WebSocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    )
    assert client.receive_head().status == 101
    client.close()
    with app.connect() as other:
        assert other.get("/wait?left%20dropped").status == 200


@pytest.mark.parametrize("phase", ["", "&during"])
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_app_is_told_that_curl_was_killed(app: Thrust, phase: str) -> None:
    name = f"curl{phase[1:]}"
    url = f"http://127.0.0.1:{app.port}/observe?name={name}{phase}"
    with subprocess.Popen(["curl", "--silent", "--no-buffer", url], stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        try:
            arrived(app, name)
            if phase:
                assert curl.stdout.read(5) == b"begun"
        finally:
            curl.kill()
    observed(app, name)
