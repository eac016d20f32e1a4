"""The cache in front of real servers: what is asked for once, who is served from memory, and how much that takes."""

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import brotli
import pytest

from tests.coding.reference import curl_knows, decoded
from tests.e2e.apps.contents import SCRIPT, numbered_asset
from tests.support.e2e_client import BOUND_S, Answer
from tests.support.e2e_thrust import Thrust, python, raw_worker, running_thrust, until, uvicorn
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

GUNICORN = python("-m", "gunicorn", "--bind", "127.0.0.1:$THRUST_WORKER_PORT", "--log-level", "warning")
ASSETS = uvicorn(app="asset_app:app")
ASSET = "/assets/app-3f9a2c1b7d.js"
BROWSER = ("Accept-Encoding", "gzip, deflate, br, zstd")

COLD_CLIENTS = 500

MANY_ASSETS = 5000
BUDGET_BYTES = 16 << 20


@dataclass(frozen=True)
class Site:
    """A server with an asset; `/url` says where, and `/count?path=` how often it was asked for."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)


@pytest.fixture(params=["uvicorn", "gunicorn django manifest", "gunicorn flask query"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    if "django" not in request.param:
        return Site([*GUNICORN, "flask_assets:app"] if "flask" in request.param else ASSETS)
    source, root = tmp_path / "source", tmp_path / "root"
    source.mkdir()
    (source / "app.js").write_bytes(SCRIPT)
    env = {"STATIC_SOURCE": str(source), "STATIC_ROOT": str(root)}
    return Site([*GUNICORN, "django_static:application"], env)


@pytest.fixture
def thrust() -> Iterator[Thrust]:
    """thrust in front of the app with assets, with nothing stored yet."""
    with running_thrust(ASSETS) as thrust:
        thrust.wait_until_ready()
        yield thrust
        assert not [event for event in thrust.events() if event["level"] == "ERROR"]


def accepting(coding: str | None) -> list[tuple[str, str]]:
    return [] if coding is None else [("Accept-Encoding", coding)]


def content_of(answer: Answer) -> bytes:
    """The content without its coding."""
    coding = answer.get("content-encoding")
    return answer.body if coding is None else decoded(coding.encode(), answer.body)


def times_asked(thrust: Thrust, path: str) -> int:
    """How often the worker was asked for `path`, by its own count."""
    with thrust.connect_to_worker() as aside:
        return int(aside.get(f"/count?path={path}").body)


def curl(thrust: Thrust, target: str, *options: str) -> bytes:
    url = f"http://127.0.0.1:{thrust.port}{target}"
    command = ["curl", "-sS", "--noproxy", "*", "--fail", *options, url]
    return subprocess.run(command, capture_output=True, check=True, timeout=BOUND_S).stdout


def test_an_asset_is_fetched_once_and_served_in_every_coding(site: Site) -> None:
    with running_thrust(site.command, env=site.env) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        target = client.get("/url").body.decode()
        path = target.partition("?")[0]
        for coding, x_cache in [("br", "miss"), ("zstd", "hit"), ("gzip", "hit"), (None, "hit"), ("br", "hit")]:
            answer = client.get(target, *accepting(coding))
            assert (answer.status, answer.get("content-encoding"), answer.get("x-cache")) == (200, coding, x_cache)
            assert content_of(answer) == SCRIPT
            assert "accept-encoding" in (answer.get("vary") or "").lower()
        if curl_knows(b"gzip"):
            assert curl(thrust, target, "--compressed") == curl(thrust, target) == SCRIPT
        assert times_asked(thrust, path) == 1
        best = brotli.compress(SCRIPT, quality=11)
        until(lambda: len(client.get(target, BROWSER).body) <= 1.03 * len(best), "the best coding is served")
        assert content_of(client.get(target, BROWSER)) == SCRIPT
        assert times_asked(thrust, path) == 1


def test_a_client_that_has_the_asset_gets_a_304_in_every_coding(thrust: Thrust) -> None:
    with thrust.connect() as client:
        for coding in ("br", "zstd", "gzip", None):
            tag = client.get(ASSET, *accepting(coding)).get("etag")
            assert tag == ('"app"' if coding is None else f'"app~{coding}"')
            answer = client.get(ASSET, *accepting(coding), ("If-None-Match", tag))
            assert (answer.status, answer.get("etag"), answer.get("x-cache")) == (304, tag, "hit")
        assert times_asked(thrust, ASSET) == 1


def test_the_log_says_what_the_cache_did_and_why(thrust: Thrust) -> None:
    with thrust.connect() as client:
        for target in (ASSET, ASSET, "/page", "/page"):
            assert client.get(target, BROWSER).status == 200
        client.exchange("POST", "/received", body=b"abc")
    records = [thrust.wait_for_request(count) for count in range(1, 6)]
    told = [(record["path"], record["cache"], record.get("cache_detail")) for record in records]
    assert told == [
        (ASSET, "miss", "stored"),
        (ASSET, "hit", None),
        ("/page", "miss", "no-freshness"),
        ("/page", "miss", "no-freshness"),
        ("/received", "bypass", "method"),
    ]


def test_a_crowd_that_asks_for_a_cold_asset_costs_the_worker_one_request(thrust: Thrust) -> None:
    path = "/assets/late-3f9a2c1b7d.js"
    with ExitStack() as stack, thrust.connect_to_worker() as aside:
        clients = [stack.enter_context(thrust.connect()) for _ in range(COLD_CLIENTS)]
        for number, client in enumerate(clients):
            client.send_head("GET", path, *accepting(("br", "gzip", "zstd", None)[number % 4]))
        aside.get("/wait?asked%20for%20late")
        aside.get("/say?late")
        for client in clients:
            answer = client.receive()
            assert (answer.status, content_of(answer)) == (200, SCRIPT)
        assert times_asked(thrust, path) == 1


def test_what_is_stored_is_served_while_the_worker_is_replaced() -> None:
    """The command insists on its port, so for a while there is no worker at all."""
    port = free_port()
    with running_thrust(raw_worker("--port", str(port)), worker_port=port) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        first = client.get("/cached")
        assert first.body == b"%d" % thrust.worker_pid()
        thrust.send(signal.SIGHUP)
        hits = 0
        while not [event for event in thrust.events() if event["msg"].startswith("worker is ready")][1:]:
            answer = client.get("/cached")
            assert (answer.status, answer.body, answer.get("x-cache")) == (200, first.body, "hit")
            hits += 1
        assert hits
        assert client.get("/").body == b"%d" % thrust.worker_pid(2) != first.body
        assert client.get("/cached").body == first.body


def test_what_is_stored_is_served_while_a_worker_that_died_comes_back(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    worker = raw_worker("--gate", str(gate))
    with running_thrust(worker, env={"THRUST_RESTART": "on-failure"}) as thrust, thrust.connect() as client:
        thrust.wait_for_line("waits at the gate")
        gate.open("wb").close()
        thrust.wait_until_ready()
        first = client.get("/cached")
        os.kill(thrust.worker_pid(), signal.SIGKILL)
        thrust.wait_for_line("waits at the gate", 2)
        with thrust.connect() as held:
            held.send_head("GET", "/")
            answer = client.get("/cached")
            assert (answer.status, answer.body, answer.get("x-cache")) == (200, first.body, "hit")
            gate.open("wb").close()
            assert held.receive().body == b"%d" % thrust.worker_pid(2)


def test_without_a_size_there_is_no_cache() -> None:
    with running_thrust(ASSETS, env={"CACHE_SIZE": "0"}) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        for count in (1, 2):
            answer = client.get(ASSET, BROWSER)
            assert (answer.get("content-encoding"), content_of(answer)) == ("br", SCRIPT)
            assert (answer.get("x-cache"), answer.get("cache-status"), answer.get("age")) == (None, None, None)
            assert times_asked(thrust, ASSET) == count
            assert thrust.wait_for_request(count, path=ASSET)["cache"] == ""


@pytest.mark.parametrize("env", [{"THRUST_COMPRESSION": "off"}, {"GZIP_COMPRESSION_ENABLED": "0"}], ids=str)
def test_without_compression_what_is_stored_stays_plain(env: dict[str, str]) -> None:
    with running_thrust(ASSETS, env=env) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        for x_cache in ("miss", "hit"):
            answer = client.get(ASSET, BROWSER)
            assert (answer.body, answer.get("x-cache"), answer.get("vary")) == (SCRIPT, x_cache, None)
            assert (answer.get("content-encoding"), answer.get("etag")) == (None, '"app"')
        assert client.get("/page", BROWSER).get("content-encoding") is None


def test_what_is_stored_is_coded_in_the_codings_of_the_setting_only() -> None:
    with running_thrust(ASSETS, env={"THRUST_COMPRESSION": "gzip"}) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        for accepted, coding in [("br, zstd, gzip", "gzip"), ("br", None), ("br, gzip;q=0.5", "gzip")]:
            answer = client.get(ASSET, ("Accept-Encoding", accepted))
            assert (answer.get("content-encoding"), content_of(answer)) == (coding, SCRIPT)


def test_an_asset_beyond_the_limit_is_served_and_not_stored() -> None:
    env = {"MAX_CACHE_ITEM_SIZE": str(len(SCRIPT) - 1)}
    with running_thrust(ASSETS, env=env) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        for count in (1, 2):
            answer = client.get(ASSET, BROWSER)
            assert (content_of(answer), answer.get("x-cache")) == (SCRIPT, "miss")
            assert times_asked(thrust, ASSET) == count
        assert thrust.wait_for_request(path=ASSET)["cache_detail"] == "too-large"


def test_ever_new_assets_do_not_take_more_memory_than_the_budget() -> None:
    """Each in two codings, with the best of each to be made some time: what waits for that must not add up either."""
    with running_thrust(ASSETS, env={"CACHE_SIZE": str(BUDGET_BYTES)}) as thrust:
        thrust.wait_until_ready()
        fetch(thrust, range(100))
        before_bytes = thrust.memory_bytes()
        thrust.forget_peak_memory()
        with ThreadPoolExecutor(2) as threads:
            halves = [range(100, MANY_ASSETS // 2), range(MANY_ASSETS // 2, MANY_ASSETS)]
            list(threads.map(lambda numbers: fetch(thrust, numbers), halves))
        assert thrust.peak_memory_bytes() - before_bytes < 1.5 * BUDGET_BYTES
        with thrust.connect() as client:
            last, _ = numbered_asset(MANY_ASSETS - 1)
            assert client.get(last).get("x-cache") == "hit"


def fetch(thrust: Thrust, numbers: range) -> None:
    with thrust.connect() as client:
        for number in numbers:
            target, content = numbered_asset(number)
            assert content_of(client.get(target, *accepting("gzip"))) == content
            assert client.get(target, *accepting("br")).get("x-cache") == "hit"
