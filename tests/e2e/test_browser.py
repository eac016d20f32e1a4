"""A browser loads a whole page over HTTP/2 by a certificate of the local authority: assets, a WebSocket, events."""

import hashlib
from pathlib import Path

import pytest

from tests.support import chromium
from tests.support.e2e_thrust import running_thrust, uvicorn

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not chromium.IS_THERE, reason="needs Chromium and certutil")]

ASSETS = 60
UPLOAD = b"x" * 300_000


def test_chromium_gets_everything_of_a_page_over_http_2(tmp_path: Path, loop_name: str) -> None:
    env = {"THRUST_TLS": "local", "XDG_DATA_HOME": str(tmp_path)}
    with running_thrust(uvicorn(app="browser_app:app"), env=env, loop=loop_name) as thrust:
        thrust.wait_until_ready()
        chromium.trust(thrust.wait_for_event("to have Chrome and Chromium")["command"], tmp_path)
        with chromium.chromium(tmp_path) as browser:
            browser.open(f"https://localhost:{thrust.port}/page")
            done = browser.evaluate("new Promise((done) => setTimeout(done, 0)).then(() => window.done)")
            assert done == {
                "loaded": 40,
                "talked": [20, 3000, True],
                "heard": [str(number) for number in range(10)],
                "posted": f"{len(UPLOAD)} {hashlib.sha256(UPLOAD).hexdigest()}",
            }
            responses = [told["response"] for told in browser.told("Network.responseReceived")]
            responses = [response for response in responses if response["url"].startswith("https:")]
            assert {response["protocol"] for response in responses} == {"h2"}
            assert {response["status"] for response in responses} == {200}
            assert len(responses) == 1 + ASSETS + len(["/ticks", "/received"])
            assert len({response["connectionId"] for response in responses}) == 1
            assert len(browser.told("Network.webSocketHandshakeResponseReceived")) == 1
            assert browser.complaints() == []
        thrust.wait_for_request(path="/ticks")
        websocket = thrust.wait_for_request(path="/ws")
        assert (websocket["method"], websocket["proto"], websocket["status"]) == ("CONNECT", "HTTP/2", 200)
        assert "error" not in websocket
        records = [record for record in thrust.requests() if record["path"] != "/up"]
        assert {record["proto"] for record in records} == {"HTTP/2"}
        assert len(records) == 1 + ASSETS + len(["/ticks", "/received", "/ws"])
        thrust.stop()
