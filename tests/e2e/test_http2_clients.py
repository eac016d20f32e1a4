"""Other people's HTTP/2 clients are content: curl, nghttp, h2load, httpx."""

import asyncio
import hashlib
import random
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.apps.contents import SCRIPT, numbered_asset
from tests.support.certificates import client_context
from tests.support.e2e_client import BOUND_S
from tests.support.e2e_thrust import raw_worker, uvicorn
from tests.support.http2_site import TWO_WAYS, WAYS, Http2Site, http2_site

pytestmark = pytest.mark.slow

ASSET = "/assets/app-3f9a2c1b7d.js"
CONTENT = random.Random(6).randbytes(2_000_000)


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2Site]:
    """thrust in front of uvicorn with assets."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "large.bin").write_bytes(CONTENT)
    env = {"THRUST_STATIC": f"/static:{folder}", "MAX_REQUEST_BODY": "4MB"}
    with http2_site(uvicorn(app="asset_app:app"), request.param, folder, **env) as site:
        yield site
        assert site.thrust.process.poll() is None
        assert not [event for event in site.thrust.events() if event["level"] == "ERROR"]


def run(program: str, *arguments: str, content: bytes = b"") -> bytes:
    """What a program says that ends well."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs {program}")
    done = subprocess.run([path, *arguments], input=content, capture_output=True, timeout=BOUND_S)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def curl(site: Http2Site, *arguments: str, content: bytes = b"") -> bytes:
    version = "--http2" if site.context else "--http2-prior-knowledge"
    trust = ("--cacert", str(site.authority_path))
    return run("curl", "-sS", "--max-time", "20", version, *trust, *arguments, content=content)


def nghttp(site: Http2Site, *arguments: str) -> bytes:
    return run("nghttp", "--timeout=20", "--no-dep", *arguments)


# curl


def test_curl_gets_pages_assets_and_files(site: Http2Site) -> None:
    urls = [f"{site.url}{path}" for path in (ASSET, "/page", "/static/large.bin", ASSET)]
    # curl 7.88 cannot use a connection again that it has made by prior knowledge.
    groups = [urls] if site.context else [[url] for url in urls]
    said = "%{http_version} %{http_code} %{size_download} %{num_connects}\n"
    discarded = [[argument for url in group for argument in ("-o", "/dev/null", url)] for group in groups]
    lines = "".join(curl(site, "-w", said, *arguments).decode() for arguments in discarded).splitlines()
    assert [line[:-2] for line in lines] == ["2 200 100000", "2 200 300000", "2 200 2000000", "2 200 100000"]
    assert [int(line[-1]) for line in lines] == ([1, 0, 0, 0] if site.context else [1] * 4)
    assert hashlib.md5(curl(site, urls[2])).digest() == hashlib.md5(CONTENT).digest()
    assert curl(site, "--compressed", urls[0]) == SCRIPT


@pytest.mark.parametrize("way", [way for way in WAYS if way.endswith("tls")])
def test_curl_asks_for_many_at_once(way: str, tmp_path: Path) -> None:
    targets = dict(map(numbered_asset, range(50)))
    with http2_site(uvicorn(app="asset_app:app"), way, tmp_path) as site:
        several = [argument for target in targets for argument in ("-o", f"{tmp_path}{target}", f"{site.url}{target}")]
        written = curl(site, "-Z", "--parallel-max", "50", "--create-dirs", "-w", "%{http_version} ", *several)
    assert written.split() == [b"2"] * 50
    for target, content in targets.items():
        assert Path(f"{tmp_path}{target}").read_bytes() == content


def test_curl_uploads_with_a_length_and_without(site: Http2Site) -> None:
    said = f"{len(CONTENT)} {hashlib.sha256(CONTENT).hexdigest()}".encode()
    assert curl(site, "--data-binary", "@-", f"{site.url}/received", content=CONTENT) == said
    assert curl(site, "-X", "POST", "-T", "-", f"{site.url}/received", content=CONTENT) == said


def test_curl_is_told_that_its_upload_is_too_large(site: Http2Site) -> None:
    for how in (("--data-binary", "@-"), ("-X", "POST", "-T", "-")):
        written = curl(site, *how, "-w", "%{http_code}", f"{site.url}/received", content=CONTENT * 3)
        assert written.endswith(b"413")


def test_curl_continues_a_download_and_asks_for_heads(site: Http2Site) -> None:
    assert curl(site, "-r", "1900000-", f"{site.url}/static/large.bin") == CONTENT[1_900_000:]
    head = curl(site, "--head", f"{site.url}/static/large.bin").decode().splitlines()
    assert head[0].rstrip() == "HTTP/2 200" and "content-length: 2000000" in head


def test_curl_gets_interim_answers_and_trailers(tmp_path: Path) -> None:
    for way in TWO_WAYS:
        with http2_site(raw_worker(), way, tmp_path) as site:
            with site.aside() as other:
                other.get("/open")
            lines = curl(site, "--include", f"{site.url}/early-hints").decode().splitlines()
            assert lines[0].rstrip() == "HTTP/2 103" and lines[-1] == "late"
            assert "link: </a.css>; rel=preload" in lines
            shown = curl(site, "--include", "-H", "TE: trailers", f"{site.url}/trailers").decode()
            assert "x-sum: 0" in shown.splitlines()


def test_curl_does_not_get_http_2_by_upgrade(site: Http2Site) -> None:
    """The request that asks for an upgrade is answered in HTTP/1.1; on a TLS port it is redirected."""
    url = f"http://127.0.0.1:{site.thrust.port}/up"
    written = run("curl", "-sS", "--max-time", "20", "--http2", "-o", "/dev/null", "-w", "%{http_version}", url)
    assert written == b"1.1"


# nghttp and h2load


def test_nghttp_gets_pages_uploads_and_leaves(site: Http2Site, tmp_path: Path) -> None:
    assert nghttp(site, f"{site.url}{ASSET}") == SCRIPT
    log = nghttp(site, "-v", "-n", "-m", "20", *[f"{site.url}{path}" for path in (ASSET, "/page", "/")]).decode()
    assert log.count(":status: 200") == 60
    assert "GOAWAY" not in log.partition("recv SETTINGS")[2].partition("send GOAWAY")[0]
    assert "SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1" in log
    said = f"{len(CONTENT)} {hashlib.sha256(CONTENT).hexdigest()}".encode()
    (tmp_path / "body").write_bytes(CONTENT)
    assert nghttp(site, "-d", str(tmp_path / "body"), f"{site.url}/received") == said


def test_nghttp_sends_trailers_and_padding(tmp_path: Path) -> None:
    """A body of a stated length would have no trailers on the worker's side, which is HTTP/1.1."""
    (tmp_path / "body").write_bytes(b"\1\2\3")
    options = ("-v", "-d", str(tmp_path / "body"), "--trailer", "x-check: abc", "--no-content-length", "--padding=200")
    for way in TWO_WAYS:
        with http2_site(raw_worker(), way, tmp_path) as site:
            log = nghttp(site, *options, "-H", "te: trailers", f"{site.url}/trailers").decode()
            received = re.findall(r"recv \(stream_id=\d+\) (x-check|x-sum): (\w+)", log)
            assert received == [("x-check", "abc"), ("x-sum", "6")]


@pytest.mark.parametrize("path", [ASSET, "/", "/static/large.bin"])
def test_h2load_succeeds_with_each_of_its_requests(site: Http2Site, path: str) -> None:
    count = 100 if path == "/static/large.bin" else 2000
    report = run("h2load", "-n", str(count), "-c", "8", "-m", "10", f"{site.url}{path}").decode()
    assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in report
    assert f"status codes: {count} 2xx" in report


def test_h2load_succeeds_with_each_of_its_uploads(site: Http2Site, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(CONTENT[:300_000])
    report = run("h2load", "-n", "200", "-c", "4", "-m", "5", "-d", str(tmp_path / "body"), f"{site.url}/received")
    assert b"200 succeeded, 0 failed" in report and b"status codes: 200 2xx" in report


# httpx


def httpx_client(site: Http2Site) -> httpx.AsyncClient:
    context = client_context() if site.context else None
    return httpx.AsyncClient(
        base_url=site.url, http1=site.context is not None, http2=True, verify=context or True, timeout=BOUND_S
    )


def test_httpx_does_many_things_at_once(site: Http2Site) -> None:
    """Bodies fit into a stream's first window: httpcore 1.0 can sleep through the frame that opens it further."""
    sizes = range(0, 100_000, 10_000)

    async def story() -> None:
        async with httpx_client(site) as client, asyncio.TaskGroup() as tasks:
            gets = [tasks.create_task(client.get(f"/sight?{number}")) for number in range(50)]
            posts = [tasks.create_task(client.post("/received", content=CONTENT[:size])) for size in sizes]
        assert [get.result().json()["query"] for get in gets] == [str(number) for number in range(50)]
        assert [int(post.result().text.split()[0]) for post in posts] == list(sizes)
        assert {answer.result().http_version for answer in [*gets, *posts]} == {"HTTP/2"}

    asyncio.run(asyncio.wait_for(story(), BOUND_S))


def test_httpx_streams_both_ways_and_leaves_early(site: Http2Site) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(CONTENT), 100_000):
            yield CONTENT[at : at + 100_000]

    async def story() -> None:
        async with httpx_client(site) as client:
            answer = await client.post("/received", content=pieces())
            assert answer.text == f"{len(CONTENT)} {hashlib.sha256(CONTENT).hexdigest()}"
            async with client.stream("GET", "/static/large.bin") as response:
                assert await anext(response.aiter_raw()) == CONTENT[: response.num_bytes_downloaded]
            assert (await client.get("/static/large.bin")).content == CONTENT

    asyncio.run(asyncio.wait_for(story(), BOUND_S))
