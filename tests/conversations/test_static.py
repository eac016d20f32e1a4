"""THRUST_STATIC: files of a folder, served without the worker; everything else is the worker's.

Which paths are confined, and what is derived from a file, is in tests/files.
"""

import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conversations.conftest import Converse
from tests.support.cached_site import Message, Site, answer, on_site
from tests.support.conversation import Stage, perform
from thrust.files.refusals import FileRefused, Refusal
from thrust.handlers import files

SCRIPT = b"".join(b"export const x%d = function () { return %d };\n" % (n, n * n) for n in range(1000))
IMMUTABLE = "public, max-age=31536000, immutable"
HASHED = "/static/app-3f9a2c1b7d.js"
MODIFIED_S = 1_700_000_000
MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
CODINGS = ("br", "zstd", "gzip")
WORKERS = b"the worker's"

Story = Callable[[Site], Coroutine[Any, Any, None]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """What `collectstatic` has left; nobody has a file in it open in the end."""
    folder = tmp_path / "staticfiles"
    (folder / "deep" / "deeper").mkdir(parents=True)
    for name in ("app.js", "app-3f9a2c1b7d.js", "deep/deeper/app.js", "index.html", ".env", ".git", "two words.js"):
        write(folder / name, SCRIPT)
    (folder / "deep" / ".hidden").mkdir()
    write(folder / "deep" / ".hidden" / "app.js", b"hidden")
    write(tmp_path / "secret.js", b"secret")
    for name in ("deep\\deeper\\app.js", "app.js\n", "app.js\x7f"):
        write(folder / name, b"of an unusual name")
    (folder / "out.js").symlink_to("../secret.js")
    (folder / "loop.js").symlink_to("loop.js")
    (folder / "in.js").symlink_to("deep/deeper/app.js")
    os.mkfifo(folder / "fifo.js")
    yield folder
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert not [link for link in links if link.startswith(str(tmp_path)) and not Path(link).is_dir()]


def write(path: Path, data: bytes, modified_s: int = MODIFIED_S) -> None:
    path.write_bytes(data)
    os.utime(path, (modified_s, modified_s))


def serving(folder: Path, story: Story, *answers: bytes, **settings: Any) -> Stage:
    """Plays `story` with `folder` at /static."""
    return on_site(story, *answers, **{"static": (("/static", folder),), **settings})


def one_reply(
    folder: Path, target: str, *lines: str, method: str = "GET", worker: bool = False, **settings: Any
) -> Message:
    """What a client gets; from the worker only if that is expected."""
    replies = []

    async def story(site: Site) -> None:
        replies.append(await site.get(target, *lines, method=method))

    serving(folder, story, *[answer(body=WORKERS)] * worker, **settings)
    return replies[0]


# What is served


@pytest.mark.parametrize("cache_size_bytes", [0, 1 << 23])
@pytest.mark.parametrize(
    "target",
    [
        "/static/app.js",
        "/static/app.js?",
        "/static/app.js?v=1",
        "/static/%61pp.js",
        "/static/deep/deeper/app.js",
        "/static/two%20words.js",
        "/static/in.js",
        "http://example.org/static/app.js",
    ],
)
def test_a_file_is_served_without_the_worker(folder: Path, target: str, cache_size_bytes: int) -> None:
    reply = one_reply(folder, target, cache_size_bytes=cache_size_bytes)
    assert (reply.status, reply.body) == (200, SCRIPT)
    assert reply["content-type"] == "text/javascript; charset=utf-8"
    assert (reply["last-modified"], reply["accept-ranges"]) == (MODIFIED, "bytes")
    assert reply["etag"] == f'"{len(SCRIPT):x}-{MODIFIED_S * 10**9:x}"'
    assert reply["cache-control"] is None


ELSEWHERE = [
    # Not there, or no file.
    "/static/missing.js",
    "/static",
    "/static/",
    "/static/deep",
    "/static/deep/",
    "/static/fifo.js",
    "/static/app.js/",
    "/static/app.js/x",
    "/static/app.js.",
    "/static/app.js;v=1",
    "/static/app.js%20",
    "/static/app.js%3Fv=1",
    "/static/loop.js",
    "/static/" + "a" * 300,
    "/static/" + "a/" * 3000 + "b",
    # Of another folder, or so it may look.
    "/statics/app.js",
    "/static.js",
    "/STATIC/app.js",
    "/%73tatic/app.js",
    "//static/app.js",
    "/x/static/app.js",
    "/static%2fapp.js",
    # Not in one spelling only.
    "/static//app.js",
    "/static/./app.js",
    "/static/deep/../app.js",
    "/static/deep/%2e%2e/app.js",
    "/static/deep%2fdeeper/app.js",
    "/static/deep%2Fdeeper/app.js",
    "/static/deep\\deeper\\app.js",
    "/static/deep%5cdeeper%5Capp.js",
    "/static/app.js%00",
    "/static/app.js%00.css",
    "/static/app.js%0a",
    "/static/app.js%7f",
    # Out.
    "/static/../secret.js",
    "/static/%2e%2e/secret.js",
    "/static/..%2fsecret.js",
    "/static/%2e%2e%2fsecret.js",
    "/static/%252e%252e/secret.js",
    "/static/deep/../../secret.js",
    "/static/out.js",
    "/static/%2fetc/passwd",
    "/static//etc/passwd",
]


@pytest.mark.parametrize("target", ELSEWHERE, ids=[target[:40] for target in ELSEWHERE])
def test_what_is_not_plainly_a_file_is_the_workers(folder: Path, target: str) -> None:
    assert one_reply(folder, target, worker=True).body == WORKERS


@pytest.mark.parametrize(
    "target",
    [
        "/static/.env",
        "/static/.git",
        "/static/.git/config",
        "/static/.git%2fconfig",
        "/static/%2eenv",
        "/static/.missing",
        "/static/...",
        "/static/..;/secret.js",
        "/static/..%5csecret.js",
        "/static/deep/.hidden/app.js",
        "/static/deep/%2ehidden/app.js",
        "/static/deep/../.env",
        "/static/deep/.well-known/app.js",
        "/static/.well-known",
    ],
)
def test_names_that_begin_with_a_dot_are_refused_by_whoever_might_serve_them(folder: Path, target: str) -> None:
    async def story(site: Site) -> None:
        reply = await site.get(target)
        assert (reply.status, reply["cache-control"]) == (404, "no-store")

    stage = serving(folder, story)
    (exchange,) = stage.exchanges
    assert "names that begin with a dot are not served" in exchange.error
    assert stage.refusals == [], "nobody but the client has meant it to be sent"


def test_well_known_files_are_served(folder: Path) -> None:
    (folder / ".well-known").mkdir()
    write(folder / ".well-known" / "security.txt", b"Contact: mailto:a@example.com\n")
    assert one_reply(folder, "/static/.well-known/security.txt").body == b"Contact: mailto:a@example.com\n"
    assert one_reply(folder, "/static/.well-known/change-password", worker=True).body == WORKERS


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_other_methods_are_the_workers(folder: Path, method: str) -> None:
    assert one_reply(folder, "/static/app.js", method=method, worker=True).body == WORKERS


@pytest.mark.parametrize("compression", [(), CODINGS])
@pytest.mark.parametrize("target", ["/static/app.js", HASHED])
@pytest.mark.parametrize("lines", [(), ("Range: bytes=0-4",), ("If-None-Match: *",)])
def test_head_tells_what_get_would_send(
    folder: Path, target: str, compression: tuple[str, ...], lines: tuple[str, ...]
) -> None:
    head = one_reply(folder, target, *lines, method="HEAD", compression=compression)
    get = one_reply(folder, target, *[line for line in lines if not line.startswith("Range")], compression=compression)
    ours = {"cache-status", "date"}
    assert (head.status, head.body) == (get.status, b"")
    assert sorted(line for line in head.lines if line[0] not in ours) == sorted(
        line for line in get.lines if line[0] not in ours
    )


def test_links_that_lead_astray_are_told_to_the_log(folder: Path) -> None:
    async def story(site: Site) -> None:
        for name in ("out.js", "loop.js", "missing.js"):
            await site.get(f"/static/{name}")

    stage = serving(folder, story, *[answer(status=404)] * 3)
    errors = [exchange.error for exchange in stage.exchanges]
    assert "out.js': it is not beneath" in errors[0] and "too many symbolic links" in errors[1]
    assert errors[2:] == [""]
    assert stage.refusals == [(error, False) for error in errors[:2]]


@pytest.mark.parametrize(
    ("refusal", "status"), [(Refusal.UNREADABLE, 404), (Refusal.OVERLOAD, 503), (Refusal.FAILURE, 500)]
)
def test_a_file_that_is_there_and_cannot_be_read_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, refusal: Refusal, status: int
) -> None:
    def refuse(roots: object, path: bytes, accepted: object) -> None:
        raise FileRefused(path, refusal)

    replies = []

    async def story(site: Site) -> None:
        replies.append(await site.get("/static/app.js"))

    monkeypatch.setattr(files, "open_best", refuse)
    stage = serving(folder, story)
    assert (replies[0].status, replies[0]["cache-control"]) == (status, "no-store")
    assert b"app.js" not in replies[0].body
    assert stage.refusals == [(stage.exchanges[0].error, True)]


# Folders


def test_the_longest_path_comes_first_and_then_the_others(tmp_path: Path) -> None:
    for name in ("a/x.js", "b/x.js", "b/y.js", "a/b/y.js", "a/b/z.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, name.encode())

    async def story(site: Site) -> None:
        for target, expected in [("/x.js", b"a/x.js"), ("/b/y.js", b"b/y.js"), ("/b/z.js", b"a/b/z.js")]:
            assert (await site.get(target)).body == expected
        assert (await site.get("/")).body == WORKERS

    static = (("/", tmp_path / "a"), ("/b/", tmp_path / "b"))
    on_site(story, answer(body=WORKERS), static=static)


def test_one_path_may_have_several_folders_in_order(tmp_path: Path) -> None:
    for name, content in [("one/x.js", b"one"), ("two/x.js", b"two"), ("two/y.js", b"two")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, content)

    async def story(site: Site) -> None:
        assert (await site.get("/s/x.js")).body == b"one"
        assert (await site.get("/s/y.js")).body == b"two"

    on_site(story, static=(("/s", tmp_path / "one"), ("/s", tmp_path / "two")))


# Without a worker

GET_STATIC = b"GET /static/app.js HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("state", ["booting", "given up"])
@pytest.mark.parametrize("cache_size_bytes", [0, 1 << 23])
def test_files_need_no_worker(folder: Path, state: str, cache_size_bytes: int) -> None:
    async def story(stage: Stage) -> None:
        if state == "given up":
            stage.pool.give_up("it is broken")
        else:
            stage.pool.close()
        client = stage.client()
        client.send(GET_STATIC)
        await stage.settled()
        head, _, body = client.take().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK") and body == SCRIPT
        assert not stage.loop.connects

    perform(story, static=(("/static", folder),), cache_size_bytes=cache_size_bytes)


# Conditions, ranges, codings


@pytest.mark.parametrize("cache_size_bytes", [0, 1 << 23])
@pytest.mark.parametrize("target", ["/static/app.js", HASHED])
@pytest.mark.parametrize(
    ("lines", "status", "body"),
    [
        (["If-None-Match: $etag"], 304, b""),
        ([f"If-Modified-Since: {MODIFIED}"], 304, b""),
        (['If-None-Match: "x"'], 200, SCRIPT),
        (['If-Match: "x"'], 412, b""),
        (["Range: bytes=2-5"], 206, SCRIPT[2:6]),
        (["Range: bytes=2-5", "If-Range: $etag"], 206, SCRIPT[2:6]),
        (["Range: bytes=2-5", 'If-Range: "x"'], 200, SCRIPT),
        (["Range: bytes=9999999-"], 416, b""),
    ],
)
def test_conditions_and_ranges_work(
    folder: Path, target: str, cache_size_bytes: int, lines: list[str], status: int, body: bytes
) -> None:
    etag = f'"{len(SCRIPT):x}-{MODIFIED_S * 10**9:x}"'
    asked = [line.replace("$etag", etag) for line in lines]
    cold = one_reply(folder, target, *asked, cache_size_bytes=cache_size_bytes)
    assert (cold.status, cold.body) == (status, body)

    async def story(site: Site) -> None:
        await site.get(target)
        warm = await site.get(target, *asked)
        assert (warm.status, warm.body) == (status, body)

    serving(folder, story, cache_size_bytes=cache_size_bytes)


@pytest.mark.parametrize("target", ["/static/app.js", HASHED])
@pytest.mark.parametrize("cache_size_bytes", [0, 1 << 23])
@pytest.mark.parametrize(("accepted", "ending"), [("br", "br"), ("zstd", "zst"), ("gzip", "gz")])
def test_a_sibling_is_sent_to_who_accepts_it(
    folder: Path, target: str, cache_size_bytes: int, accepted: str, ending: str
) -> None:
    path = folder / target.rpartition("/")[2]
    write(Path(f"{path}.{ending}"), b"precompressed")
    reply = one_reply(folder, target, f"Accept-Encoding: {accepted}", cache_size_bytes=cache_size_bytes)
    assert (reply.body, reply["content-encoding"]) == (b"precompressed", accepted)
    assert (reply["vary"], reply["content-type"]) == ("accept-encoding", "text/javascript; charset=utf-8")
    write(Path(f"{path}.{ending}"), b"out of date", MODIFIED_S - 1)
    reply = one_reply(folder, target, f"Accept-Encoding: {accepted}", cache_size_bytes=cache_size_bytes)
    assert (reply.body, reply["content-encoding"], reply["vary"]) == (SCRIPT, None, "accept-encoding")


def test_a_sibling_may_be_asked_for_by_its_own_name(folder: Path) -> None:
    write(folder / "app.js.gz", b"precompressed")
    reply = one_reply(folder, "/static/app.js.gz", "Accept-Encoding: gzip", compression=CODINGS)
    assert (reply.body, reply["content-encoding"]) == (b"precompressed", None)
    assert reply["content-type"] == "application/gzip"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("target", ["/static/app.js", HASHED])
def test_a_file_without_siblings_is_coded_here(folder: Path, coding: str, target: str) -> None:
    reply = one_reply(folder, target, f"Accept-Encoding: {coding}", compression=CODINGS)
    assert reply["content-encoding"] == coding and reply.plain == SCRIPT
    assert reply["etag"] == f'"{len(SCRIPT):x}-{MODIFIED_S * 10**9:x}~{coding}"'


def test_what_was_coded_here_is_confirmed_by_its_tag(folder: Path) -> None:
    async def story(site: Site) -> None:
        for target in ("/static/app.js", HASHED):
            etag = (await site.get(target, "Accept-Encoding: br"))["etag"]
            assert (etag or "").endswith('~br"')
            reply = await site.get(target, "Accept-Encoding: br", f"If-None-Match: {etag}")
            assert (reply.status, reply["etag"]) == (304, etag)

    serving(folder, story, compression=CODINGS)


@pytest.mark.parametrize("compression", [(), CODINGS])
def test_whoever_insists_on_what_was_coded_here_gets_the_original(folder: Path, compression: tuple[str, ...]) -> None:
    etag = f'"{len(SCRIPT):x}-{MODIFIED_S * 10**9:x}~br"'
    assert one_reply(folder, "/static/app.js", f"If-Match: {etag}", compression=compression).body == SCRIPT


# Memory


def test_a_fingerprinted_file_is_immutable_and_served_from_memory(folder: Path) -> None:
    async def story(site: Site) -> None:
        first = await site.get(HASHED)
        assert (first["cache-control"], first["x-cache"]) == (IMMUTABLE, "miss")
        (folder / HASHED.rpartition("/")[2]).unlink()
        again = await site.get(HASHED)
        assert (again.body, again["cache-control"], again["x-cache"]) == (SCRIPT, IMMUTABLE, "hit")
        unchanged = await site.get(HASHED, f"If-None-Match: {first['etag']}")
        assert (unchanged.status, unchanged["cache-control"]) == (304, IMMUTABLE)

    serving(folder, story)


def test_a_file_without_a_fingerprint_is_looked_at_each_time(folder: Path) -> None:
    async def story(site: Site) -> None:
        await site.get("/static/app.js")
        write(folder / "app.js", b"news", MODIFIED_S + 10)
        reply = await site.get("/static/app.js")
        assert (reply.body, reply["x-cache"], reply["cache-control"]) == (b"news", "miss", None)

    serving(folder, story)


def test_a_fingerprinted_file_beyond_the_item_limit_stays_on_disk(folder: Path) -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get(HASHED)
            assert (reply.body, reply["cache-control"], reply["x-cache"]) == (SCRIPT, IMMUTABLE, "miss")

    stage = serving(folder, story, max_cache_item_size_bytes=len(SCRIPT) - 1)
    assert [exchange.cache_detail for exchange in stage.exchanges] == ["too-large"] * 2


def test_what_the_worker_says_of_a_fingerprinted_name_is_its_own(folder: Path) -> None:
    reply = one_reply(folder, "/static/gone-3f9a2c1b7d.js", worker=True)
    assert (reply.body, reply["cache-control"]) == (WORKERS, None)


# The rest of a request


def test_content_that_came_with_a_get_is_left_unread(folder: Path, talk: Converse) -> None:
    write(folder / "short.txt", b"12345")
    talk(
        """
        client >> GET /static/short.txt HTTP/1.1
        client >> Host: a
        client >> Content-Length: 1000
        client >>
        client >> abc\\
        client << HTTP/1.1 200 OK
        client << ...
        client << content-length: 5
        client << connection: close
        client <<
        client << 12345\\
        client sees the end
        """,
        static=(("/static", folder),),
    )


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    write(tmp_path / "empty.css", b"")
    reply = one_reply(tmp_path, "/static/empty.css", "Accept-Encoding: br", compression=CODINGS)
    assert (reply.status, reply.body, reply["content-length"]) == (200, b"", "0")
