"""The example apps answer behind thrust, each started with the command of its own image."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.e2e_client import BOUND_S
from tests.support.e2e_thrust import running_thrust

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.slow


@contextmanager
def behind_thrust(folder: Path, dockerfile: Path) -> Iterator[httpx.Client]:
    """A client of the example in `folder`, run as `dockerfile` says; afterwards it has stopped in good order."""
    with running_thrust(command_of(dockerfile), cwd=folder) as thrust:
        thrust.wait_until_ready()
        with httpx.Client(base_url=f"http://localhost:{thrust.port}", timeout=BOUND_S) as client:
            yield client
        assert thrust.stop() in (0, 143)  # some servers end with 0 on TERM, others by the signal


def command_of(dockerfile: Path) -> list[str]:
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    (command,) = (line.removeprefix("CMD ") for line in lines if line.startswith("CMD "))
    words: list[str] = json.loads(command)
    return words


@pytest.fixture(scope="module", params=["django", "flask", "fastapi"])
def framework(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with behind_thrust(EXAMPLES / request.param, EXAMPLES / request.param / "Dockerfile") as client:
        yield client


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_framework_knows_the_address_that_its_client_used(framework: httpx.Client, scheme: str) -> None:
    page = framework.get("/", headers={"Host": "localhost", "X-Forwarded-Proto": scheme}).text
    assert f"behind thrust: {scheme}://localhost/, asked for by" in page


def test_a_probe_that_asks_by_container_name_is_answered(framework: httpx.Client) -> None:
    response = framework.get("/up", headers={"Host": "web-7c9f:3000"})
    assert (response.status_code, response.text) == (200, "up\n")


@pytest.fixture(scope="module")
def demo() -> Iterator[httpx.Client]:
    with behind_thrust(EXAMPLES / "demo", ROOT / "Dockerfile") as client:
        yield client


def test_the_demo_shows_what_thrust_adds(demo: httpx.Client) -> None:
    page = demo.get("/").text
    for name in ("x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-request-start"):
        assert f"<tr class=ours><th>{name}<td>" in page
    assert "{{" not in page


def test_the_demo_shows_what_a_client_sends_as_text(demo: httpx.Client) -> None:
    page = demo.get("/", headers={"X-Evil": "<script>alert(1)</script>"}).text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_the_demo_streams_events(demo: httpx.Client) -> None:
    with demo.stream("GET", "/clock") as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert next(response.iter_lines()).startswith("data: ")


def test_the_demo_echoes_over_a_websocket(demo: httpx.Client) -> None:
    with connect(f"ws://localhost:{demo.base_url.port}/echo", open_timeout=BOUND_S) as tunnel:
        for message in ("hello", b"\x00\xff", "x" * 100_000):
            tunnel.send(message)
            assert tunnel.recv(timeout=BOUND_S) == message


def test_the_demo_measures_an_upload_of_unknown_length(demo: httpx.Client) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(50)]
    report = demo.post("/upload", content=iter(pieces)).json()
    assert report["bytes"] == 5_000_000
    assert report["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_the_demo_has_a_page_for_what_it_has_not(demo: httpx.Client) -> None:
    assert demo.get("/nothing").status_code == 404
