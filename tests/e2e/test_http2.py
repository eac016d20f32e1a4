"""HTTP/2 with real processes: what HTTP/1.1 can do works over TLS and by prior knowledge, on both loops.

The client is the h2 library on a socket. Other clients are in test_http2_clients, ends in test_http2_endings.
"""

import gzip
import hashlib
import json
import os
import random
import signal
from collections.abc import Iterator

import brotli
import pytest

from tests.e2e.apps.contents import PAGE, SCRIPT
from tests.support.e2e_thrust import raw_worker, uvicorn
from tests.support.http2_client import WINDOW_BYTES, Http2Client
from tests.support.http2_site import WAYS, Http2Site, http2_site

pytestmark = pytest.mark.slow

ASSET = "/assets/app-3f9a2c1b7d.js"
CONTENT = random.Random(5).randbytes(3_000_000)
UPLOAD_BYTES = 30_000_000
A_WHILE_AGO_S = 1_700_000_000


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2Site]:
    """thrust in front of uvicorn with assets; shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "large.bin").write_bytes(CONTENT)
    os.utime(folder / "large.bin", (A_WHILE_AGO_S, A_WHILE_AGO_S))
    env = {"THRUST_STATIC": f"/static:{folder}", "MAX_REQUEST_BODY": "4MB"}
    with http2_site(uvicorn(app="asset_app:app"), request.param, folder, **env) as site:
        yield site
        assert site.thrust.process.poll() is None
        assert not [event for event in site.thrust.events() if event["level"] == "ERROR"]


@pytest.fixture
def client(site: Http2Site) -> Iterator[Http2Client]:
    with site.connect() as client:
        yield client
        assert not client.goaways


@pytest.fixture(scope="module", params=WAYS)
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2Site]:
    """thrust in front of the worker that speaks HTTP by hand."""
    with http2_site(raw_worker(), request.param, tmp_path_factory.mktemp("raw")) as site:
        yield site


def received(body: bytes) -> bytes:
    """What /received says of `body`."""
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


# One request


def test_the_app_sees_the_request_as_the_client_sent_it(site: Http2Site, client: Http2Client) -> None:
    crumbs = [("cookie", "a=1"), ("cookie", "b=2")]
    told = [("x-forwarded-proto", "gopher"), ("x-forwarded-host", "x.example")] if site.context else []
    answer = client.get("/sight?a=%2F&b", *crumbs, *told, ("x-own", "é"))
    assert (answer.status, answer.get("content-type")) == (200, "application/json")
    seen = json.loads(answer.body)
    fields = dict(seen["headers"])
    assert (seen["method"], seen["path"], seen["query"]) == ("GET", "/sight", "a=%2F&b")
    assert (seen["scheme"], fields["x-forwarded-proto"]) == (client.scheme, client.scheme)
    assert (seen["host"], fields["x-forwarded-host"]) == (client.authority, client.authority)
    assert fields["x-forwarded-port"] == str(site.thrust.port)
    assert (fields["cookie"], fields["x-own"]) == ("a=1; b=2", "é".encode().decode("latin-1"))
    assert not [name for name in fields if name.startswith(":")]


def test_the_log_says_http_2(site: Http2Site, client: Http2Client) -> None:
    assert client.get("/sight?logged", ("user-agent", "me")).status == 200
    record = site.thrust.wait_for_request(query="logged")
    assert (record["proto"], record["method"], record["path"]) == ("HTTP/2", "GET", "/sight")
    assert (record["host"], record["user_agent"], record["status"]) == (client.authority, "me", 200)


def test_an_asset_is_asked_for_once_and_served_from_memory(site: Http2Site, client: Http2Client) -> None:
    for _ in range(3):
        answer = client.get(ASSET)
        assert (answer.status, bytes(answer.body)) == (200, SCRIPT)
    assert answer.get("x-cache") == "hit"
    assert answer.get("content-length") == str(len(SCRIPT))
    assert client.get(f"/count?path={ASSET}").body == b"1"


def test_what_is_in_memory_is_answered_conditionally_and_in_parts(client: Http2Client) -> None:
    first = client.get(ASSET)
    unchanged = client.get(ASSET, ("if-none-match", first.get("etag") or ""))
    assert (unchanged.status, unchanged.body_bytes) == (304, 0)
    assert unchanged.get("etag") == first.get("etag")
    part = client.get(ASSET, ("range", "bytes=1000-60999"))
    assert (part.status, bytes(part.body)) == (206, SCRIPT[1000:61000])
    assert part.get("content-range") == f"bytes 1000-60999/{len(SCRIPT)}"
    assert client.get(ASSET, ("range", "bytes=900000-")).status == 416


@pytest.mark.parametrize("path", [ASSET, "/page", "/static/large.bin", "/large"])
def test_the_answer_to_head_is_a_head(client: Http2Client, path: str) -> None:
    whole, head = client.get(path), client.exchange("HEAD", path)
    assert (head.status, head.body_bytes) == (200, 0)
    if path != "/large":  # whose app says otherwise
        assert head.get("content-length") == str(whole.body_bytes)


@pytest.mark.parametrize("path", [ASSET, "/page"])
def test_content_is_coded_as_the_client_likes_it(client: Http2Client, path: str) -> None:
    plain = SCRIPT if path == ASSET else PAGE
    for coding, decode in (("br", brotli.decompress), ("gzip", gzip.decompress)):
        for _ in range(2):
            answer = client.get(path, ("accept-encoding", coding))
            assert answer.get("content-encoding") == coding
            assert decode(bytes(answer.body)) == plain
            assert answer.body_bytes < len(plain) // 2


@pytest.mark.parametrize("is_announced", [True, False])
def test_uploads_and_downloads_arrive_whole(client: Http2Client, is_announced: bool) -> None:
    fields = [("content-length", str(len(CONTENT)))] if is_announced else []
    assert client.exchange("POST", "/received", *fields, body=CONTENT).body == received(CONTENT)
    assert client.exchange("POST", "/received", body=b"").body == received(b"")
    query = f"at=5&size=1500000&pieces={3 if is_announced else 1}"
    fields = [("x-digest", hashlib.sha256(CONTENT).hexdigest())]
    answer = client.exchange("POST", f"/digest?{query}", *fields, body=CONTENT)
    assert (answer.status, answer.body_bytes) == (200, 1_500_000)
    assert hashlib.sha256(answer.body).hexdigest() == answer.get("x-digest")


def test_files_are_sent_whole_and_in_parts(client: Http2Client) -> None:
    answer = client.get("/static/large.bin")
    assert (answer.status, answer.get("content-length")) == (200, str(len(CONTENT)))
    assert hashlib.md5(answer.body).digest() == hashlib.md5(CONTENT).digest()
    part = client.get("/static/large.bin", ("range", "bytes=1000000-2999998"))
    assert (part.status, bytes(part.body)) == (206, CONTENT[1_000_000:2_999_999])
    several = client.get("/static/large.bin", ("range", "bytes=0-9,2000000-2000009"))
    assert several.status == 206 and CONTENT[2_000_000:2_000_010] in several.body
    assert client.get("/static/large.bin", ("if-none-match", answer.get("etag") or "")).status == 304


def test_a_request_that_is_no_http_is_refused_on_its_stream_only(client: Http2Client) -> None:
    assert client.exchange("BREW", "/").status in (404, 501)
    assert client.get("/", ("x-large", "x" * 70_000)).status == 431
    assert client.get("/" + "x" * 20_000).status == 414
    assert client.get("/").status == 200


# What flows


def test_each_event_is_on_the_wire_before_the_next_one_is_made(site: Http2Site, client: Http2Client) -> None:
    stream_id = client.begin("GET", "/events?news")
    answer = client.answers[stream_id]
    client.until(lambda: answer.status)
    assert (answer.status, answer.get("content-type")) == (200, "text/event-stream")
    with site.aside() as publisher:
        for number in range(50):
            publisher.get(f"/publish?news={number}")
            wanted = answer.body_bytes + len(f"data: {number}\n\n")
            client.until(lambda wanted=wanted: answer.body_bytes >= wanted)
        assert bytes(answer.body) == b"".join(b"data: %d\n\n" % number for number in range(50))
        client.reset(stream_id)
        assert publisher.get("/wait?gone%20news").status == 200
    assert client.get("/").status == 200


def test_request_and_response_may_flow_at_the_same_time(raw: Http2Site) -> None:
    with raw.connect() as client:
        stream_id = client.begin("POST", "/echo", ("content-length", "26"), ends=False)
        answer = client.answers[stream_id]
        for number, letter in enumerate(b"abcdefghijklmnopqrstuvwxyz"):
            client.send(stream_id, bytes([letter]), ends=number == 25)
            client.until(lambda number=number: answer.body_bytes == number + 1)
        assert client.wait(stream_id).body == b"abcdefghijklmnopqrstuvwxyz"


def test_early_hints_come_before_the_answer_exists(raw: Http2Site) -> None:
    with raw.connect() as client, raw.aside() as other:
        other.get("/shut")
        stream_id = client.begin("GET", "/early-hints")
        answer = client.answers[stream_id]
        client.until(lambda: answer.interim)
        (hints,) = answer.interim
        assert hints[0] == (":status", "103")
        assert [value for name, value in hints if name == "link"] == ["</a.css>; rel=preload", "</b.js>; rel=preload"]
        other.get("/open")
        assert (client.wait(stream_id).status, answer.body) == (200, b"late")


def test_a_worker_that_asks_for_the_body_gets_it(client: Http2Client) -> None:
    stream_id = client.begin("POST", "/received", ("expect", "100-continue"), ends=False)
    client.until(lambda: client.answers[stream_id].interim)
    assert client.answers[stream_id].interim == [[(":status", "100")]]
    client.send(stream_id, b"hello", ends=True)
    assert client.wait(stream_id).body == received(b"hello")


def test_trailers_pass_in_both_directions(raw: Http2Site) -> None:
    with raw.connect() as client:
        stream_id = client.begin("POST", "/trailers", ("te", "trailers"), ends=False)
        client.send(stream_id, b"\x01\x02\x03")
        client.send_trailers(stream_id, ("x-check", "abc"), ("x-more", "d"))
        answer = client.wait(stream_id)
        assert answer.body == b"\x01\x02\x03"
        assert answer.trailers == [("x-check", "abc"), ("x-more", "d"), ("x-sum", "6")]
        assert client.get("/trailers", ("te", "trailers")).trailers == [("x-sum", "0")]


# Many streams


def test_a_hundred_streams_are_answered_each_with_its_own(client: Http2Client) -> None:
    streams = {client.begin("GET", f"/sight?{number}"): number for number in range(100)}
    for stream_id, number in streams.items():
        assert json.loads(client.wait(stream_id).body)["query"] == str(number)


@pytest.mark.parametrize("page", ["/", ASSET, "/static/large.bin"])
def test_a_page_does_not_wait_for_a_download_on_the_same_connection(site: Http2Site, page: str) -> None:
    """Counted in bytes: what is in the pipes already comes before the page, and a fair share of the download."""
    with site.connect(window_bytes=1 << 24, receive_buffer_bytes=1 << 16) as client, site.aside() as other:
        download = client.begin("GET", "/static/large.bin")
        client.until(lambda: client.answers[download].body_bytes)
        before = client.answers[download].body_bytes
        stream_id = client.begin("GET", page, ("range", "bytes=0-99999"))
        for _ in range(5):
            other.get("/")
        client.until(lambda: client.answers[stream_id].is_over)
        assert client.answers[stream_id].status in (200, 206)
        assert client.answers[download].body_bytes - before < 1_200_000
        assert hashlib.md5(client.wait(download).body).digest() == hashlib.md5(CONTENT).digest()


def test_a_stream_that_nobody_reads_is_in_nobodys_way(client: Http2Client) -> None:
    client.gives_credit = False
    stuck = client.begin("GET", "/static/large.bin")
    client.until(lambda: client.answers[stuck].body_bytes == WINDOW_BYTES)
    client.h2.increment_flow_control_window(1 << 24)
    client.flush()
    for _ in range(10):
        assert client.get(ASSET).body == SCRIPT
    assert not client.answers[stuck].is_over
    client.h2.increment_flow_control_window(len(CONTENT), stuck)
    client.flush()
    assert client.wait(stuck).body == CONTENT


def test_an_upload_that_nobody_reads_is_in_nobodys_way(raw: Http2Site) -> None:
    """Nobody but the kernel, which takes some megabytes."""
    with raw.connect() as client, raw.aside() as other:
        other.get("/shut")
        upload = client.begin("POST", "/sink", ("content-length", str(UPLOAD_BYTES)), ends=False)
        sent = waited = 0
        while waited < 20:
            assert client.get("/").status == 200
            waited = 0 if client.sendable(upload) else waited + 1
            while client.sendable(upload):
                sent += client.send(upload, bytes(client.sendable(upload)))
        assert sent < UPLOAD_BYTES // 2
        other.get("/open")
        client.send(upload, bytes(UPLOAD_BYTES - sent), ends=True)
        assert client.wait(upload).body == b"%d" % UPLOAD_BYTES


# Early ends


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_upload_that_is_too_large_is_refused_before_it_is_here(client: Http2Client, is_announced: bool) -> None:
    fields = [("content-length", "9000000")] if is_announced else []
    stream_id = client.begin("POST", "/received", *fields, ends=False)
    answer = client.answers[stream_id]
    sent = 0
    while not answer.is_over:
        sent += client.send(stream_id, CONTENT[:100_000])
        client.take_in_waiting()
        assert sent < 9_000_000
    assert answer.status == 413
    client.until(lambda: answer.reset_code is not None)
    assert answer.reset_code == 0
    assert client.get("/").status == 200


def test_an_answer_before_the_body_is_read_reaches_the_client(raw: Http2Site) -> None:
    with raw.connect() as client:
        for _ in range(3):
            stream_id = client.begin("POST", "/refuse", ("content-length", "3000000"), ends=False)
            client.send(stream_id, CONTENT)
            answer = client.answers[stream_id]
            client.until(lambda answer=answer: answer.is_over)
            assert (answer.status, answer.body) == (413, b"much")
        assert client.get("/").status == 200


@pytest.mark.parametrize("when", ["before", "during"])
def test_the_app_is_told_of_a_stream_that_the_client_resets(site: Http2Site, client: Http2Client, when: str) -> None:
    query = f"name={when}" + ("&during" if when == "during" else "")
    stream_id = client.begin("GET", f"/observe?{query}")
    with site.aside() as other:
        assert other.get(f"/wait?here%20{when}").status == 200
        if when == "during":
            client.until(lambda: client.answers[stream_id].body_bytes)
        client.reset(stream_id)
        assert other.get(f"/wait?gone%20{when}").status == 200
    record = site.thrust.wait_for_request(query=query)
    assert record["status"] == (200 if when == "during" else 499) and "client" in record["error"]
    assert client.get("/").status == 200


def test_the_app_is_told_of_a_client_that_leaves_with_all_its_streams(site: Http2Site) -> None:
    with site.aside() as other:
        with site.connect() as client:
            for number in range(5):
                client.begin("GET", f"/observe?name=leaver{number}")
                assert other.get(f"/wait?here%20leaver{number}").status == 200
        for number in range(5):
            assert other.get(f"/wait?gone%20leaver{number}").status == 200


def test_a_worker_that_breaks_off_resets_the_stream_and_no_other(raw: Http2Site) -> None:
    with raw.connect() as client, raw.aside() as other:
        other.get("/shut")
        waiting = client.begin("GET", "/early-hints")
        for path in ("/short", "/short-chunked"):
            answer = client.answers[client.begin("GET", path)]
            client.until(lambda answer=answer: answer.is_over)
            assert (answer.status, answer.has_ended) == (200, False) and answer.reset_code
        assert client.get("/silent").status == 502
        other.get("/open")
        assert client.wait(waiting).body == b"late"


def test_a_sent_file_named_by_the_app_goes_over_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    for way in WAYS:
        folder = tmp_path_factory.mktemp("files")
        (folder / "report.bin").write_bytes(CONTENT)
        env = {"REPORTS": str(folder), "THRUST_SEND_FILE_ROOT": str(folder)}
        with http2_site(uvicorn(app="send_file_fastapi:app"), way, folder, **env) as site, site.connect() as client:
            streams = [client.begin("GET", "/reports/report.bin") for _ in range(3)]
            for stream_id in streams:
                answer = client.wait(stream_id)
                assert answer.get("x-sendfile") is None
                assert hashlib.md5(answer.body).digest() == hashlib.md5(CONTENT).digest()
            site.thrust.send(signal.SIGTERM)
            client.take_end()
