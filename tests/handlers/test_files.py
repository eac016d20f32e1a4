"""Files as responses: who closes them, whatever happens on the way; and that nobody else waits for a disk."""

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.files.tree import no_leaks
from tests.support.memory_requests import Following, make_request, no_refusal
from thrust.errors import ConfigError, ThrustError
from thrust.files.confined import Roots
from thrust.files.refusals import FileRefused, Refusal
from thrust.files.siblings import OpenFile, open_best
from thrust.flow import start_task
from thrust.handlers import files
from thrust.handlers.compression import Compression
from thrust.handlers.disk_threads import DiskThreads
from thrust.handlers.files import Mount, file_response, whole_content
from thrust.handlers.static import Static
from thrust.http.message import FileContent, Request, Response

BOUND_S = 30
DATA = b"text that is long enough to be coded; " * 10_000


class Disk:
    """Opens and reads files when it is told to; if it `is_cached`, without a thread where the kernel can."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_cached = False
        self.answers = threading.Event()
        self.answers.set()
        self.arrivals = threading.Semaphore(0)
        self.threads = DiskThreads(4)
        monkeypatch.setattr(files, "_threads", self.threads)
        monkeypatch.setattr(files, "open_best", self._open_best)

    def _open_best(self, open_file: OpenFile, *arguments: Any) -> Any:
        if getattr(open_file, "__func__", None) is Roots.open_cached:
            if not self.is_cached:
                raise BlockingIOError
            return open_best(open_file, *arguments)
        self.arrivals.release()
        assert self.answers.wait(BOUND_S)
        return open_best(open_file, *arguments)

    async def arrival(self) -> None:
        """Returns when a thread waits for this disk."""
        assert await asyncio.to_thread(self.arrivals.acquire, timeout=BOUND_S)

    async def idle(self) -> None:
        """Returns when all threads have done what they were asked to, and have forgotten it."""
        self.answers.set()
        barrier = threading.Barrier(5)
        jobs = [asyncio.wrap_future(self.threads.submit(barrier.wait, BOUND_S)) for _ in range(4)]
        await asyncio.to_thread(barrier.wait, BOUND_S)
        await asyncio.gather(*jobs)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.answers.set()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_bytes(DATA)
    (tmp_path / "notes.txt.br").write_bytes(b"precompressed")
    return tmp_path


def run_without_leaks(disk: Disk, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs `story`; afterwards no descriptor is open that was not before, without help of the garbage collector."""

    async def told() -> None:
        await disk.idle()  # all threads have begun, and asyncio's own too
        with no_leaks():
            await story()
            await disk.idle()

    gc.collect()
    asyncio.run(told())


def start(work: Coroutine[Any, Any, Response]) -> "asyncio.Task[Response]":
    return start_task(asyncio.get_running_loop(), work)


async def serve(folder: Path, request: Request) -> Response:
    return await file_response(request, Roots([folder]), b"notes.txt")


def ask(method: bytes = b"GET", **fields: str) -> Request:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return make_request(b"/static/notes.txt", lines, method=method)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"accept_encoding": "br"},
        {"range": "bytes=0-4"},
        {"range": "bytes=0-4,10-14"},
        {"range": "bytes=99999999-"},
        {"if_none_match": "*"},
        {"if_match": '"x"'},
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_a_response_that_is_dropped_leaves_nothing_open(
    disk: Disk, folder: Path, method: bytes, fields: dict[str, str]
) -> None:
    async def story() -> None:
        (await serve(folder, ask(method, **fields))).close()

    run_without_leaks(disk, story)


@pytest.mark.parametrize("opens_in_the_end", [False, True])
def test_a_client_that_leaves_while_a_file_is_opened_leaves_nothing_open(
    disk: Disk, folder: Path, opens_in_the_end: bool
) -> None:
    async def story() -> None:
        disk.answers.clear()
        request = start(serve(folder, ask()))
        await disk.arrival()
        if not opens_in_the_end:
            (folder / "notes.txt").unlink()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    run_without_leaks(disk, story)


def test_clients_that_leave_before_a_thread_is_free_cost_no_look_at_the_disk(disk: Disk, folder: Path) -> None:
    async def story() -> None:
        disk.answers.clear()
        requests = [start(serve(folder, ask())) for _ in range(20)]
        for _ in range(4):
            await disk.arrival()
        for request in requests:
            request.cancel()
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        await disk.idle()
        assert not disk.arrivals.acquire(blocking=False)

    run_without_leaks(disk, story)


def test_the_loop_goes_on_while_every_thread_waits_for_a_disk(disk: Disk, folder: Path) -> None:
    async def story() -> None:
        disk.answers.clear()
        requests = [start(serve(folder, ask())) for _ in range(8)]
        for _ in range(4):
            await disk.arrival()
        assert await asyncio.to_thread(int, "1") == 1  # as compression, error pages and names have threads, too
        assert not any(request.done() for request in requests)
        disk.answers.set()
        for request in requests:
            (await request).close()

    run_without_leaks(disk, story)


def test_the_end_of_the_loop_while_a_file_is_opened_is_told_to_nobody(
    disk: Disk, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        disk.answers.clear()
        request = start(serve(folder, ask()))
        await disk.arrival()
        assert not request.done()

    asyncio.run(story())  # cancels what is left, and closes the loop
    disk.answers.set()
    asyncio.run(disk.idle())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("keeps_it", [False, True])
def test_a_file_that_is_read_as_a_whole_is_closed(disk: Disk, folder: Path, keeps_it: bool) -> None:
    async def story() -> None:
        response = await serve(folder, ask())
        assert isinstance(response.body, FileContent)
        if not keeps_it:
            os.truncate(folder / "notes.txt", 5)
            with pytest.raises(ThrustError, match="a file could not be read: the file became shorter"):
                await whole_content(response.body)
        else:
            assert await whole_content(response.body) == DATA

    run_without_leaks(disk, story)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_file_that_is_coded_is_closed(disk: Disk, folder: Path, method: bytes) -> None:
    (folder / "notes.txt.br").unlink()
    codings = (b"br",)

    async def story() -> None:
        static = Static(Following(), [Mount(b"/static", os.fsencode(folder))], lambda target: False, no_refusal)
        handler = Compression(static, codings, jitter_bytes=0, spares_credentials=False, max_file_bytes=len(DATA))
        response = await handler(ask(method, accept_encoding="br"))
        assert isinstance(response.body, bytes) and response.headers.get(b"content-encoding") == b"br"

    run_without_leaks(disk, story)


@pytest.mark.parametrize("refusal", [Refusal.MISSING, Refusal.OUTSIDE])
def test_a_refusal_leaves_no_garbage(disk: Disk, folder: Path, refusal: Refusal) -> None:
    path = b"missing" if refusal is Refusal.MISSING else b"/etc/passwd"

    async def story() -> None:
        roots = Roots([folder])
        gc.collect()
        for _ in range(5):
            try:
                await file_response(ask(), roots, path)
            except FileRefused as error:
                assert error.refusal is refusal
            await asyncio.sleep(0)
        await disk.idle()
        # A few objects may be the loop's own; what is asked about is what grows with every request.
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            left = [thing for thing in gc.garbage if isinstance(thing, (FileRefused, Request))]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert left == []

    asyncio.run(story())


@pytest.mark.parametrize("name", [b"..", b"../x", b"a/../../x", b"/../x", b"a/../.."])
def test_no_name_leads_out_of_a_mount(folder: Path, name: bytes) -> None:
    with pytest.raises(FileRefused) as refused:
        Mount(b"/static", os.fsencode(folder)).path_of(name)
    assert refused.value.refusal is Refusal.OUTSIDE


@pytest.mark.parametrize("name", [b"a", b"a/../b", b"..a", b"a/..b", b"//a", b"..."])
def test_a_name_in_a_mount_begins_with_its_folder(folder: Path, name: bytes) -> None:
    path = Mount(b"/static/", os.fsencode(folder) + b"/").path_of(name)
    assert path == os.fsencode(folder) + b"/" + name.lstrip(b"/")


def test_a_mount_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot send files from"):
        Mount(b"/static", os.fsencode(tmp_path / "missing"))
