"""Compression of what real servers send, as real clients take it: pages, streams, and who must not get any."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.coding.reference import curl_knows, decoded, incremental_decoder
from tests.e2e.apps.contents import PAGE
from tests.support.e2e_client import Client
from tests.support.e2e_thrust import LOOPS, Thrust, python, running_thrust, uvicorn

pytestmark = pytest.mark.slow

CODINGS = ("br", "zstd", "gzip")
GUNICORN = python("-m", "gunicorn", "--bind", "127.0.0.1:$THRUST_WORKER_PORT", "--log-level", "warning")
BROWSER = ("Accept-Encoding", "gzip, deflate, br, zstd")


@pytest.fixture(scope="module", params=LOOPS)
def thrust(request: pytest.FixtureRequest) -> Iterator[Thrust]:
    """thrust in front of uvicorn with large pages and event streams, shared by the tests of this module."""
    with running_thrust(uvicorn(app="asset_app:app"), loop=request.param) as thrust:
        thrust.wait_until_ready()
        yield thrust
        assert not [event for event in thrust.events() if event["level"] == "ERROR"]


# Streams


@pytest.mark.parametrize("coding", CODINGS)
def test_curl_shows_each_event_before_the_next_one_is_made(thrust: Thrust, coding: str) -> None:
    if not curl_knows(coding.encode()):
        pytest.skip(f"curl is not installed, or does not know {coding}")
    url = f"http://127.0.0.1:{thrust.port}/events?curl-{coding}"
    command = ["curl", "-sSN", "--noproxy", "*", "--max-time", "30", "--compressed"]
    command += ["-H", f"Accept-Encoding: {coding}", url]
    with thrust.connect() as publisher, subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        for number in range(30):
            publisher.get(f"/publish?curl-{coding}=number{number}")
            assert curl.stdout.readline() == f"data: number{number}\n".encode()
            assert curl.stdout.readline() == b"\n"
        curl.terminate()
    assert thrust.wait_for_request(path="/events", query=f"curl-{coding}")["status"] == 200


@pytest.mark.parametrize("coding", CODINGS)
def test_each_chunk_decodes_to_one_event(thrust: Thrust, coding: str) -> None:
    decode = incremental_decoder(coding.encode())
    with thrust.connect() as publisher, thrust.connect() as client:
        client.send_head("GET", f"/events?news-{coding}", ("Accept-Encoding", coding))
        answer = client.receive_head()
        assert (answer.get("content-encoding"), answer.get("vary")) == (coding, "accept-encoding")
        arriving = iter(client.chunks(answer))
        for number in range(50):
            publisher.get(f"/publish?news-{coding}={number}")
            assert decode(next(arriving)) == f"data: {number}\n\n".encode()


def test_the_app_hears_of_a_client_that_leaves_a_coded_stream(thrust: Thrust) -> None:
    with thrust.connect() as client, thrust.connect() as aside:
        client.send_head("GET", "/events?leaving", BROWSER)
        assert client.receive_head().get("content-encoding") == "br"
        client.close()
        assert aside.get("/wait?gone%20leaving").status == 200


@pytest.mark.parametrize("coding", CODINGS)
def test_a_page_that_breaks_off_is_reset_and_has_no_end_in_its_coding_either(thrust: Thrust, coding: str) -> None:
    decode, plain = incremental_decoder(coding.encode()), b""
    with thrust.connect() as client:
        client.send_head("GET", "/breaks", ("Accept-Encoding", coding))
        answer = client.receive_head()
        with pytest.raises(ConnectionResetError):
            for chunk in client.chunks(answer):
                plain += decode(chunk)
    assert PAGE.startswith(plain)


# Pages


def test_large_pages_and_small_ones_for_many_clients_at_once_arrive_whole(thrust: Thrust) -> None:
    def read_large(coding: str) -> None:
        with thrust.connect() as client:
            for _ in range(5):
                answer = client.get("/page", ("Accept-Encoding", coding))
                assert answer.get("content-encoding") == coding
                assert decoded(coding.encode(), answer.body) == PAGE

    with ThreadPoolExecutor(6) as threads, thrust.connect() as client:
        under_way = [threads.submit(read_large, coding) for coding in CODINGS * 2]
        while not all(future.done() for future in under_way):
            assert client.get("/", BROWSER).body.startswith(b"hello from ")
        for future in under_way:
            future.result()


@pytest.mark.parametrize("app", ["flask_app:app", "django_site:application"])
def test_pages_in_pieces_from_wsgi_arrive_whole(app: str) -> None:
    with running_thrust([*GUNICORN, app]) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        for coding in CODINGS:
            for target in ("/pieces", "/large"):
                answer = client.get(target, ("Accept-Encoding", coding), ("Host", "localhost"))
                assert (answer.get("content-encoding"), answer.is_chunked) == (coding, True)
                assert decoded(coding.encode(), answer.body) == b"x" * 3_000_000


def test_head_says_what_get_says_but_the_length(thrust: Thrust) -> None:
    with thrust.connect() as client:
        for coding in (*CODINGS, "identity"):
            got = client.get("/page", ("Accept-Encoding", coding))
            head = client.exchange("HEAD", "/page", ("Accept-Encoding", coding))
            volatile = {"date", "transfer-encoding", "content-length"}
            assert [line for line in head.fields if line[0] not in volatile] == [
                line for line in got.fields if line[0] not in volatile
            ]
            assert head.get("content-length") == (str(len(PAGE)) if coding == "identity" else None)


def test_a_client_of_http_1_0_gets_a_coded_page_up_to_the_end_of_its_connection(thrust: Thrust) -> None:
    with Client(thrust.port) as client:
        client.send(b"GET /page HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
        answer = client.receive()
        assert (answer.get("content-encoding"), answer.is_chunked) == ("gzip", False)
        assert decoded(b"gzip", answer.body) == PAGE


# Settings


def lengths(env: dict[str, str]) -> set[int]:
    """The lengths of some answers with the same content."""
    with running_thrust(uvicorn(app="asset_app:app"), env=env) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        answers = [client.get("/page", ("Accept-Encoding", "gzip")) for _ in range(8)]
        assert {decoded(b"gzip", answer.body) for answer in answers} == {PAGE}
        return {len(answer.body) for answer in answers}


def test_the_jitter_is_that_of_the_setting() -> None:
    assert len(lengths({"GZIP_COMPRESSION_JITTER": "5000"})) > 1


def test_requests_with_credentials_may_be_left_out() -> None:
    env = {"GZIP_COMPRESSION_DISABLE_ON_AUTH": "1"}
    with running_thrust(uvicorn(app="asset_app:app"), env=env) as thrust, thrust.connect() as client:
        thrust.wait_until_ready()
        for field, coding in [(("Cookie", "a=1"), None), (("Authorization", "Basic YTpi"), None), (("X-A", "1"), "br")]:
            answer = client.get("/page", BROWSER, field)
            assert (answer.get("content-encoding"), answer.get("vary")) == (coding, "accept-encoding")
