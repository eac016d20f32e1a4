"""Half a gigabyte over HTTP/2, in either direction, with a slow receiver: the memory of thrust does not notice.

As in test_memory: the receiver is slow at first, until everybody before it is stuck. A client can be slow in two ways,
by opening no window and by not reading the connection.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.e2e_client import Client
from tests.support.e2e_thrust import raw_worker, until
from tests.support.http2_client import Http2Client
from tests.support.http2_site import TWO_WAYS, Http2Site, http2_site

pytestmark = pytest.mark.slow

BODY_BYTES = 500_000_000
UPLOAD_BYTES = 200_000_000
"""Less, because the client takes longer."""

ALLOWED_BYTES = 10_000_000

WIDE_WINDOW_BYTES = 1 << 30

UNCHANGED_LOOKS = 30
"""What has not moved for so many looks in a row, each a request through thrust, is stuck."""

BLOCK = b"0123456789abcdef" * 16384
STREAMS = 40


@pytest.fixture(params=TWO_WAYS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Http2Site]:
    with http2_site(raw_worker(), request.param, tmp_path) as site:
        yield site


def settle(site: Http2Site) -> int:
    """The memory of thrust after some traffic of every kind, from which on it should not grow; forgets the peak."""
    for _ in range(3):
        with site.connect(window_bytes=WIDE_WINDOW_BYTES) as client:
            assert client.get("/open").status == 200
            assert client.exchange("POST", "/sink", ("content-length", str(len(BLOCK) * 20)), body=BLOCK * 20)
            assert client.get(f"/stream?{len(BLOCK) * 20}").body_bytes == len(BLOCK) * 20
    before = site.thrust.memory_bytes()
    site.thrust.forget_peak_memory()
    return before


def sent_bytes(worker: Client) -> int:
    return int(worker.get("/progress").body)


def wait_until_stuck(site: Http2Site, worker: Client) -> None:
    """Returns when the worker has not got on while thrust served others."""

    def is_stuck() -> bool:
        first = sent_bytes(worker)
        return first > 0 and all(aside.get("/").status and sent_bytes(worker) == first for _ in range(UNCHANGED_LOOKS))

    with site.connect() as aside:
        until(is_stuck, "the worker has to wait")


@pytest.mark.parametrize("is_reading", [True, False])
def test_a_large_response_to_a_slow_reader_needs_no_memory(site: Http2Site, is_reading: bool) -> None:
    before = settle(site)
    window_bytes = (1 << 20) if is_reading else WIDE_WINDOW_BYTES
    with site.connect(window_bytes=window_bytes, receive_buffer_bytes=1 << 20) as client, site.aside() as worker:
        client.keeps_content = client.gives_credit = False
        stream_id = client.begin("GET", f"/stream?{BODY_BYTES}")
        answer = client.answers[stream_id]
        if is_reading:
            client.until(lambda: answer.body_bytes == 1 << 20)
        wait_until_stuck(site, worker)
        assert sent_bytes(worker) < BODY_BYTES // 4
        if is_reading:
            open_wide(client, stream_id)
        client.until(lambda: answer.is_over)
        assert (answer.has_ended, answer.body_bytes) == (True, BODY_BYTES)
        assert client.get("/").status == 200
    assert site.thrust.peak_memory_bytes() - before < ALLOWED_BYTES


def open_wide(client: Http2Client, stream_id: int) -> None:
    """The windows take the rest of the body."""
    for number in (None, stream_id):
        client.h2.increment_flow_control_window(WIDE_WINDOW_BYTES - 1, number)
    client.flush()


def test_a_large_upload_to_a_slow_worker_needs_no_memory(site: Http2Site) -> None:
    before = settle(site)
    with site.connect() as client, site.aside() as worker:
        worker.get("/shut")
        upload = client.begin("POST", "/sink", ("content-length", str(UPLOAD_BYTES)), ends=False)
        sent = looks = 0
        while looks < UNCHANGED_LOOKS:
            assert client.get("/").status == 200
            looks = 0 if client.sendable(upload) else looks + 1
            while client.sendable(upload):
                sent += client.send(upload, BLOCK[: client.sendable(upload)])
        assert sent < UPLOAD_BYTES // 4
        worker.get("/open")
        while sent < UPLOAD_BYTES:
            piece = BLOCK[: UPLOAD_BYTES - sent]
            sent += client.send(upload, piece, ends=sent + len(piece) == UPLOAD_BYTES)
        assert client.wait(upload).body == b"%d" % UPLOAD_BYTES
    assert site.thrust.peak_memory_bytes() - before < ALLOWED_BYTES


def test_many_streams_that_nobody_reads_need_little_memory_each(site: Http2Site) -> None:
    """What the worker's connection has read and what waits for the window: no more than HTTP/1.1 takes."""
    before = settle(site)
    with site.connect() as client, site.aside() as worker:
        client.gives_credit = client.keeps_content = False
        for _ in range(STREAMS):
            client.begin("GET", "/stream?5000000")
        wait_until_stuck(site, worker)
    assert site.thrust.peak_memory_bytes() - before < STREAMS * 1_000_000
