"""X-Sendfile: the worker names a file, the client gets it, and nobody learns where it was.

Which paths are confined, and what is derived from a file, is in tests/files; what the kernel sends in tests/server.
"""

import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conversations.conftest import Converse
from tests.support.cached_site import Message, Site, answer, on_site
from tests.support.conversation import Stage

DATA = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(2000)) + b"none\n"
WORKERS = b"what the app says without being asked"
MODIFIED_S = 1_700_000_000
MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
ETAG = f'"{len(DATA):x}-{MODIFIED_S * 10**9:x}"'

CODINGS = ("br", "zstd", "gzip")
LAYERS: list[dict[str, Any]] = [
    {"cache_size_bytes": 0},
    {"cache_size_bytes": 1 << 23},
    {"cache_size_bytes": 0, "compression": CODINGS},
    {"cache_size_bytes": 1 << 23, "compression": CODINGS},
]

Story = Callable[[Site], Coroutine[Any, Any, None]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with `report.pdf` and `notes.txt`; nobody has a file in it open in the end."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("outside")
    for name in ("report.pdf", "notes.txt"):
        write(folder / name, DATA)
    yield folder
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert not [link for link in links if link.startswith(str(tmp_path)) and not Path(link).is_dir()]


@pytest.fixture(params=LAYERS, ids=["plain", "cache", "compression", "both"])
def layers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of what lies above."""
    return dict(request.param)


def write(path: Path, data: bytes, modified_s: int = MODIFIED_S) -> None:
    path.write_bytes(data)
    os.utime(path, (modified_s, modified_s))


def sending(folder: Path, story: Story, *answers: bytes, **settings: Any) -> Stage:
    """Plays `story` with files from `folder`; a worker's answer that does not come is no failure."""
    return on_site(story, *answers, **{"send_file_header": "X-Sendfile", "send_file_roots": (folder,), **settings})


def names(path: Path | str, *lines: str, status: int = 200, body: bytes = WORKERS) -> bytes:
    """A worker's answer that names a file."""
    return answer(f"X-Sendfile: {path}", *lines, status=status, body=body)


def one_reply(folder: Path, worker: bytes, *lines: str, method: str = "GET", **settings: Any) -> tuple[Message, str]:
    """What a client gets for `worker`, and what the log says is wrong."""
    replies = []

    async def story(site: Site) -> None:
        replies.append(await site.get("/a", *lines, method=method))

    stage = sending(folder, story, worker, **settings)
    return replies[0], stage.exchanges[-1].error


# The response


def test_the_file_takes_the_place_of_the_apps_content(folder: Path, layers: dict[str, Any]) -> None:
    reply, error = one_reply(folder, names(folder / "report.pdf"), **layers)
    assert (reply.status, reply.body, error) == (200, DATA, "")
    assert reply["content-type"] == "application/pdf"
    assert reply["etag"] == ETAG
    assert reply["last-modified"] == MODIFIED
    assert reply["accept-ranges"] == "bytes"
    assert reply["x-sendfile"] is None
    assert reply["vary"] is None


def test_what_the_app_says_about_the_file_is_kept(folder: Path, layers: dict[str, Any]) -> None:
    said = [
        "Content-Type: text/x-special",
        "Content-Disposition: attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.txt",
        "Cache-Control: private, max-age=60",
        'ETag: "of-the-app"',
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
        "Content-Language: fr",
        "X-Own: 1",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
    ]
    reply, _ = one_reply(folder, names(folder / "report.pdf", *said), **layers)
    assert reply.body == DATA
    for line in said[:-2]:
        name, _, value = line.partition(": ")
        assert reply[name.lower()] == value
    assert reply["set-cookie"] == "a=1, b=2"


def test_an_empty_type_counts_as_none(folder: Path) -> None:
    reply, _ = one_reply(folder, names(folder / "report.pdf", "Content-Type: "))
    assert reply["content-type"] == "application/pdf"


def test_the_shape_of_the_url_has_no_influence(folder: Path) -> None:
    async def story(site: Site) -> None:
        for target in ("/index.html", "/folder/", "/page.html?x=1", "/a.css.br"):
            reply = await site.get(target)
            assert (reply.status, reply["content-type"], reply.body) == (200, "application/pdf", DATA)

    sending(folder, story, *[names(folder / "report.pdf")] * 4)


@pytest.mark.parametrize("claimed", [0, 1, 5_000_000])
def test_the_apps_content_length_counts_for_nothing(folder: Path, claimed: int, talk_whole: Converse) -> None:
    (folder / "short").write_text("12345")
    talk_whole(
        f"""
        client >> GET / HTTP/1.1
        client >> Host: a
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> X-Sendfile: short
        worker >> Content-Length: {claimed}
        worker >>
        client << HTTP/1.1 200 OK
        client << ... (no x-sendfile, transfer-encoding)
        client << content-length: 5
        client <<
        client << 12345\\
        {"worker sees the end" if claimed else "worker sees nothing"}
        """,
        send_file_header="X-Sendfile",
        send_file_roots=(folder,),
    )


def test_content_that_the_app_streams_beside_the_file_is_not_waited_for(folder: Path, talk: Converse) -> None:
    (folder / "short").write_text("12345")
    talk(
        """
        client >> GET / HTTP/1.1
        client >> Host: a
        client >>
        worker << GET / HTTP/1.1
        worker << ...
        worker <<
        worker >> HTTP/1.1 200 OK
        worker >> X-Sendfile: short
        worker >> Transfer-Encoding: chunked
        worker >>
        worker >> 5
        worker >> and o
        client << HTTP/1.1 200 OK
        client << ... (no x-sendfile, transfer-encoding)
        client << content-length: 5
        client <<
        client << 12345\\
        worker sees the end
        """,
        send_file_header="X-Sendfile",
        send_file_roots=(folder,),
    )


@pytest.mark.parametrize("status", [201, 404, 500])
def test_another_status_goes_out_with_the_whole_file(folder: Path, layers: dict[str, Any], status: int) -> None:
    asked = ("Range: bytes=0-4", "If-None-Match: *")
    reply, _ = one_reply(folder, names(folder / "report.pdf", status=status), *asked, **layers)
    assert (reply.status, reply.body) == (status, DATA)


def test_a_part_that_the_app_has_made_of_nothing_counts_as_the_whole(folder: Path, layers: dict[str, Any]) -> None:
    said = ("Content-Range: bytes 0-4/5000", "Content-Length: 5")
    worker = b"HTTP/1.1 206 Partial\r\nX-Sendfile: report.pdf\r\n%b\r\n\r\nabcde" % "\r\n".join(said).encode()
    whole, _ = one_reply(folder, worker, **layers)
    assert (whole.status, whole.body, whole["content-range"]) == (200, DATA, None)
    part, _ = one_reply(folder, worker, "Range: bytes=0-4", **layers)
    assert (part.status, part.body, part["content-range"]) == (206, DATA[:5], f"bytes 0-4/{len(DATA)}")


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [([], 200, None), (["Range: bytes=0-"], 206, f"bytes 0-{len(DATA) - 1}/{len(DATA)}")],
)
def test_a_whole_file_never_goes_out_as_an_unsatisfiable_range(
    folder: Path, layers: dict[str, Any], asked: list[str], status: int, part: str | None
) -> None:
    worker = names("report.pdf", "Content-Range: bytes */0", status=416)
    reply, _ = one_reply(folder, worker, *asked, **layers)
    assert (reply.status, reply.body, reply["content-range"]) == (status, DATA, part)


def test_a_precondition_that_the_app_finds_failed_keeps_the_file_back(folder: Path, layers: dict[str, Any]) -> None:
    reply, error = one_reply(folder, names("report.pdf", "Cache-Control: max-age=60", status=412), **layers)
    assert (reply.status, reply.body, reply["cache-control"], error) == (412, b"", None, "")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_content_stays_without(folder: Path, layers: dict[str, Any], status: int) -> None:
    reply, error = one_reply(folder, names("report.pdf", status=status), **layers)
    assert (reply.status, reply.body, reply["content-length"], reply["x-sendfile"]) == (status, b"", None, None)
    assert error == ""


# Conditions and ranges

CONDITIONS: list[tuple[list[str], int, bytes]] = [
    ([f"If-None-Match: {ETAG}"], 304, b""),
    ([f'If-None-Match: "x", W/{ETAG}'], 304, b""),
    (["If-None-Match: *"], 304, b""),
    (['If-None-Match: "x"'], 200, DATA),
    ([f"If-Modified-Since: {MODIFIED}"], 304, b""),
    (["If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT"], 200, DATA),
    (['If-None-Match: "x"', f"If-Modified-Since: {MODIFIED}"], 200, DATA),
    ([f"If-Match: {ETAG}"], 200, DATA),
    (['If-Match: "x"'], 412, b""),
    ([f"If-Unmodified-Since: {MODIFIED}"], 200, DATA),
    (["If-Unmodified-Since: Tue, 14 Nov 2023 22:13:19 GMT"], 412, b""),
    (["Range: bytes=5-9"], 206, DATA[5:10]),
    (["Range: bytes=-5"], 206, DATA[-5:]),
    (["Range: bytes=99999999-"], 416, b""),
    (["Range: lines=1-2"], 200, DATA),
    (["Range: bytes=5-9", f"If-Range: {ETAG}"], 206, DATA[5:10]),
    (["Range: bytes=5-9", f"If-Range: {MODIFIED}"], 206, DATA[5:10]),
    (["Range: bytes=5-9", 'If-Range: "x"'], 200, DATA),
    (["Range: bytes=5-9", f"If-None-Match: {ETAG}"], 304, b""),
    (["Range: bytes=5-9", 'If-Match: "x"'], 412, b""),
]


@pytest.mark.parametrize(("lines", "status", "body"), CONDITIONS)
@pytest.mark.parametrize("said", [[], ["Cache-Control: max-age=60"]], ids=["silent", "fresh"])
def test_conditions_and_ranges_are_about_the_file(
    folder: Path, layers: dict[str, Any], said: list[str], lines: list[str], status: int, body: bytes
) -> None:
    reply, error = one_reply(folder, names("report.pdf", *said), *lines, **layers)
    assert (reply.status, reply.body, error) == (status, body, "")
    start = DATA.find(body)
    part = {206: f"bytes {start}-{start + 4}/{len(DATA)}", 416: f"bytes */{len(DATA)}"}
    assert reply["content-range"] == part.get(status)
    assert reply["x-sendfile"] is None
    if status == 304:
        assert (reply["etag"] or "").removeprefix("W/") == ETAG


@pytest.mark.parametrize("status", [412, 416])
def test_a_refusal_is_not_cached_in_the_files_place(folder: Path, status: int) -> None:
    asked = 'If-Match: "x"' if status == 412 else "Range: bytes=99999999-"
    reply, _ = one_reply(folder, names("report.pdf", "Cache-Control: max-age=60", 'ETag: "1"'), asked)
    assert (reply.status, reply["cache-control"], reply["etag"]) == (status, None, None)


def test_several_parts_come_in_one_message(folder: Path, layers: dict[str, Any]) -> None:
    reply, _ = one_reply(folder, names("report.pdf"), "Range: bytes=0-4,100-104", **layers)
    assert reply.status == 206 and reply["content-range"] is None
    media_type, _, boundary = (reply["content-type"] or "").partition("; boundary=")
    assert media_type == "multipart/byteranges"
    first, second, *_ = [part.partition(b"\r\n\r\n") for part in reply.body.split(f"--{boundary}".encode())[1:]]
    assert (first[2], second[2]) == (DATA[:5] + b"\r\n", DATA[100:105] + b"\r\n")
    assert b"application/pdf" in first[0] and b"bytes 0-4/%d" % len(DATA) in first[0]


def test_conditions_are_about_the_apps_own_validators_if_it_has_any(folder: Path, layers: dict[str, Any]) -> None:
    worker = names("report.pdf", 'ETag: "mine"')
    assert one_reply(folder, worker, 'If-None-Match: "mine"', **layers)[0].status == 304
    assert one_reply(folder, worker, f"If-None-Match: {ETAG}", **layers)[0].status == 200
    assert one_reply(folder, worker, "Range: bytes=0-1", 'If-Range: "mine"', **layers)[0].status == 206


@pytest.mark.parametrize("name", ["report.pdf", "notes.txt"])
@pytest.mark.parametrize("accepted", [[], ["Accept-Encoding: gzip"]])
def test_head_tells_what_get_would_send(folder: Path, layers: dict[str, Any], name: str, accepted: list[str]) -> None:
    get, _ = one_reply(folder, names(name), *accepted, **layers)
    head, _ = one_reply(folder, names(name), *accepted, method="HEAD", **layers)
    assert head.status == 200
    is_coded_here = get["content-encoding"] is not None  # then nobody knows the length beforehand
    unknown = {"date", "cache-status"} | ({"content-length"} if is_coded_here else set())
    assert [line for line in head.lines if line[0] not in unknown] == [
        line for line in get.lines if line[0] not in unknown
    ]
    assert is_coded_here == (name == "notes.txt" and bool(accepted) and "compression" in layers)


# Codings


def test_a_compressible_file_is_coded_as_a_whole(folder: Path) -> None:
    reply, _ = one_reply(
        folder, names("notes.txt"), "Accept-Encoding: zstd, br;q=0.5", compression=CODINGS, cache_size_bytes=0
    )
    assert reply["content-encoding"] == "zstd" and reply.plain == DATA and len(reply.body) < len(DATA) / 5
    assert reply["etag"] == ETAG[:-1] + '~zstd"'
    assert (reply["vary"], reply["accept-ranges"]) == ("accept-encoding", None)
    assert reply["content-length"] == str(len(reply.body))


@pytest.mark.parametrize("spare_bytes", [0, -1])
def test_a_file_beyond_the_item_limit_stays_plain_and_does_not_vary(folder: Path, spare_bytes: int) -> None:
    reply, _ = one_reply(
        folder,
        names("report.pdf", "Content-Type: text/plain"),  # the name of a PDF has no siblings
        "Accept-Encoding: br",
        compression=CODINGS,
        cache_size_bytes=0,
        max_cache_item_size_bytes=len(DATA) + spare_bytes,
    )
    assert reply.plain == DATA
    coded = ("br", "accept-encoding", None)
    plain = (None, None, "bytes")
    assert (reply["content-encoding"], reply["vary"], reply["accept-ranges"]) == (plain if spare_bytes else coded)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("report.pdf", []),
        ("notes.txt", ["Cache-Control: no-transform"]),
        ("notes.txt", ["Content-Type: image/png"]),
    ],
)
def test_what_is_not_to_be_coded_goes_out_as_it_is(
    folder: Path, layers: dict[str, Any], name: str, said: list[str]
) -> None:
    reply, _ = one_reply(folder, names(name, *said), "Accept-Encoding: br, gzip", **layers)
    assert (reply.body, reply["content-encoding"], reply["etag"]) == (DATA, None, ETAG)


def test_the_apps_own_coding_is_kept(folder: Path, layers: dict[str, Any]) -> None:
    write(folder / "notes.txt.br", b"of no use")
    said = ["Content-Encoding: gzip", "Cache-Control: private"]
    reply, _ = one_reply(folder, names("notes.txt", *said), "Accept-Encoding: br, gzip", **layers)
    assert (reply.body, reply["content-encoding"], reply["etag"]) == (DATA, "gzip", ETAG)
    assert reply["vary"] is None


SIBLINGS: list[tuple[str, int, str, str | None]] = [
    ("br", 0, "br, gzip", "br"),
    ("br", 1, "gzip;q=0.5, br", "br"),
    ("br", -1, "br", None),  # older than its original
    ("zst", 0, "zstd", "zstd"),
    ("gz", 0, "gzip", "gzip"),
    ("gz", 0, "br;q=0, gzip", "gzip"),
    ("gz", 0, "gzip;q=0", None),
    ("br", 0, "", None),
]


@pytest.mark.parametrize(("ending", "newer_s", "accepted", "coding"), SIBLINGS)
@pytest.mark.parametrize("cache_size_bytes", [0, 1 << 23])
def test_a_precompressed_sibling_is_sent(
    folder: Path, ending: str, newer_s: int, accepted: str, coding: str | None, cache_size_bytes: int
) -> None:
    write(folder / f"notes.txt.{ending}", b"precompressed", MODIFIED_S + newer_s)
    reply, _ = one_reply(folder, names("notes.txt"), f"Accept-Encoding: {accepted}", cache_size_bytes=cache_size_bytes)
    assert reply.body == (b"precompressed" if coding else DATA)
    assert (reply["content-encoding"], reply["vary"]) == (coding, "accept-encoding")
    assert reply["content-type"] == "text/plain; charset=utf-8"
    etag = reply["etag"] or ""
    assert etag.endswith(f'~{coding}"') if coding else etag == ETAG


@pytest.mark.parametrize("siblings", [(), ("br",), ("zst", "gz")])
@pytest.mark.parametrize("said", [[], ['ETag: "of-the-app"']], ids=["silent", "tagged"])
@pytest.mark.parametrize("accepted", [[], ["Accept-Encoding: identity"], ["Accept-Encoding: deflate"]])
def test_the_original_has_one_tag_whatever_lies_beside_it(
    folder: Path, layers: dict[str, Any], siblings: tuple[str, ...], said: list[str], accepted: list[str]
) -> None:
    for ending in siblings:
        write(folder / f"notes.txt.{ending}", b"precompressed", MODIFIED_S + 1)
    reply, _ = one_reply(folder, names("notes.txt", *said), *accepted, **layers)
    assert (reply.body, reply["content-encoding"]) == (DATA, None)
    assert reply["etag"] == ('"of-the-app"' if said else ETAG)


def test_a_sibling_is_confirmed_and_cut_by_its_own_tag(folder: Path, layers: dict[str, Any]) -> None:
    write(folder / "notes.txt.br", b"precompressed")
    accepting = "Accept-Encoding: br"
    etag = one_reply(folder, names("notes.txt"), accepting, **layers)[0]["etag"]
    confirmed, _ = one_reply(folder, names("notes.txt"), accepting, f"If-None-Match: {etag}", **layers)
    assert (confirmed.status, confirmed["etag"], confirmed["vary"]) == (304, etag, "accept-encoding")
    part, _ = one_reply(folder, names("notes.txt"), accepting, "Range: bytes=3-5", f"If-Range: {etag}", **layers)
    assert (part.status, part.body, part["content-encoding"]) == (206, b"com", "br")
    other, _ = one_reply(folder, names("notes.txt"), "Range: bytes=3-5", f"If-Range: {etag}", **layers)
    assert (other.status, other.body, other["content-encoding"]) == (200, DATA, None)


# Naming a file

NAMES: list[tuple[str, list[str]]] = [
    ("absolute", ["X-Sendfile: {folder}/report.pdf"]),
    ("relative", ["X-Sendfile: report.pdf"]),
    ("dots that stay inside", ["X-Sendfile: {folder}/sub/../report.pdf"]),
    ("twice the same", ["X-Sendfile: report.pdf", "x-sendfile: report.pdf"]),
    ("once and once empty", ["X-Sendfile:", "X-Sendfile: report.pdf"]),
    ("percent-encoded", ["X-Sendfile: {folder}/re%70ort%2Epdf"]),
    ("any letter case of the field", ["X-SENDFILE: report.pdf"]),
]


@pytest.mark.parametrize("lines", [lines for _, lines in NAMES], ids=[name for name, _ in NAMES])
def test_a_file_is_named(folder: Path, lines: list[str]) -> None:
    reply, error = one_reply(folder, answer(*[line.format(folder=folder) for line in lines]))
    assert (reply.status, reply.body, reply["x-sendfile"], error) == (200, DATA, None, "")


@pytest.mark.parametrize("sent", ["é ü.txt".encode(), "é ü.txt".encode("latin-1"), b"%C3%A9%20%c3%bc.txt"])
def test_a_name_beyond_ascii_may_come_in_three_spellings(folder: Path, sent: bytes) -> None:
    write(folder / "é ü.txt", b"accents")
    reply, _ = one_reply(folder, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Sendfile: " + sent + b"\r\n\r\n")
    assert reply.body == b"accents"


def test_a_name_is_taken_as_it_is_before_it_is_decoded(folder: Path) -> None:
    write(folder / "100%25.txt", b"as it is")
    write(folder / "100%.txt", b"decoded")
    assert one_reply(folder, names("100%25.txt"))[0].body == b"as it is"
    assert one_reply(folder, names("100%2525.txt"))[0].body == b"as it is"
    assert one_reply(folder, names("%3100%.txt"))[0].body == b"decoded"


@pytest.mark.parametrize("folder_name", ["data", "my data", "данные", "100%"])
@pytest.mark.parametrize(
    "name", ["x y.txt", "отчёт о продажах за первое полугодие, по отделам.txt", "報" * 80 + ".txt"]
)
@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_name_may_be_longer_than_any_file_name_or_differ_from_its_root_until_it_is_decoded(
    tmp_path: Path, folder_name: str, name: str, is_absolute: bool
) -> None:
    """Encoding makes three of a byte, and 255 are the limit; a root is not written as an app encodes it."""
    root = tmp_path / folder_name
    root.mkdir(exist_ok=True)
    write(root / name, b"content")
    reply, error = one_reply(root, names(quote(str(root / name) if is_absolute else name)))
    assert (reply.status, reply.body, error) == (200, b"content", "")


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("missing%20it.txt", "'missing it.txt': there is no such file"),
        ("%D0%BE" * 60, f"'{'о' * 60}': there is no such file"),
        ("/etc/pass%77d", "'/etc/passwd': it is not beneath"),
        ("a" * 300 + "%62", f"'{'a' * 300}...': the name is too long"),
    ],
    ids=["missing", "short when decoded", "outside", "too long"],
)
def test_the_log_tells_what_was_looked_for_last(folder: Path, named: str, told: str) -> None:
    reply, error = one_reply(folder, names(named))
    assert reply.status == 404
    assert error.startswith(f"cannot send the file {told}")


@pytest.mark.parametrize(
    "name",
    [
        *("%2egit", "%2Egit", "{folder}/%2egit", "sub/%2eenv", "sub%2f.env", "%2e%2e/data/report.pdf"),
        *(".%2e/data/report.pdf", "%2e./data/report.pdf", "sub/%2e%2e/report.pdf", "sub/.%2e/report.pdf"),
        *("%2e/report.pdf", "sub/%2e", "sub%2finner%2etxt", "%2freport.pdf", "report.pdf%00", "report.pdf%2f"),
    ],
)
def test_decoding_never_makes_another_path_of_a_name(folder: Path, name: str) -> None:
    """An app that refuses slashes and leading dots has seen none."""
    (folder / "sub").mkdir()
    for hidden in (".git", "sub/.env", "sub/inner.txt"):
        write(folder / hidden, b"hidden")
    reply, error = one_reply(folder, names(name.format(folder=folder)))
    assert reply.status == 404 and "no such file" in error


@pytest.mark.parametrize("name", [".h%69dden", "{folder}/.h%69dden", "sub/../.h%69dden", "sub/./../%68%2e...txt"])
def test_what_is_plain_to_see_does_not_hinder_decoding(folder: Path, name: str) -> None:
    (folder / "sub").mkdir()
    write(folder / ".hidden", DATA)
    write(folder / "h....txt", DATA)
    reply, _ = one_reply(folder, names(name.format(folder=folder)))
    assert (reply.status, reply.body) == (200, DATA)


def test_files_may_lie_in_several_folders(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other / "x.pdf", b"other")
    assert one_reply(folder, names(other / "x.pdf"))[0].status == 404
    assert one_reply(folder, names(other / "x.pdf"), send_file_roots=(folder, other))[0].body == b"other"


REFUSED: list[tuple[str, str]] = [
    ("/etc/passwd", "not beneath a folder"),
    ("{folder}/../secret.txt", "not beneath a folder"),
    ("../secret.txt", "not beneath a folder"),
    ("%2e%2e/secret.txt", "no such file"),
    ("..%2fsecret.txt", "no such file"),
    ("sub%2finner.txt", "no such file"),
    ("{folder}%2f..%2f..%2fetc%2fpasswd", "not beneath a folder"),
    ("/proc/self/root/etc/passwd", "not beneath a folder"),
    ("{folder}/out", "not beneath a folder"),
    ("{folder}", "it is a folder"),
    ("{folder}/", "it is a folder"),
    ("{folder}/sub", "it is a folder"),
    ("{folder}/fifo", "not a regular file"),
    ("report.pdf/", "no such file"),
    ("missing.pdf", "no such file"),
    ("report.pdf%00.txt", "no such file"),
    ("a" * 300, "too long"),
    ("a/" * 3000, "too long"),
    ("http://example.org/report.pdf", "no such file"),
]


@pytest.mark.parametrize(("path", "reason"), REFUSED, ids=[path[:40] for path, _ in REFUSED])
def test_what_is_refused_is_told_to_the_log_alone(folder: Path, layers: dict[str, Any], path: str, reason: str) -> None:
    (folder / "sub").mkdir()
    write(folder / "sub" / "inner.txt", b"inner")
    (folder / "out").symlink_to("../secret.txt")
    os.mkfifo(folder / "fifo")
    said = ["Cache-Control: max-age=60", 'ETag: "1"', "Content-Disposition: attachment", "Set-Cookie: a=1"]
    replies = []

    async def story(site: Site) -> None:
        replies.append(await site.get())

    stage = sending(folder, story, names(path.format(folder=folder), *said), **layers)
    (reply,), error = replies, stage.exchanges[-1].error
    assert stage.refusals == [(error, False)]
    assert (reply.status, reply.body) == (404, b"There is nothing here.\n")
    assert {name for name, _ in reply.lines} == {"content-type", "cache-control", "date", "content-length"}
    assert reply["cache-control"] == "no-store"
    assert error.startswith("cannot send the file ") and reason in error


def test_two_files_at_once_are_the_workers_fault(folder: Path) -> None:
    reply, error = one_reply(folder, answer("X-Sendfile: report.pdf", "X-Sendfile: notes.txt"))
    assert (reply.status, reply["x-sendfile"]) == (502, None)
    assert error == "the worker's response names 2 files to send: 'notes.txt', 'report.pdf'"


def test_an_empty_name_means_no_file(folder: Path) -> None:
    reply, error = one_reply(folder, names(""))
    assert (reply.status, reply.body, reply["x-sendfile"], error) == (200, WORKERS, None, "")


# Without a folder


@pytest.mark.parametrize("is_gone", [False, True])
def test_the_whole_disk_is_nobodys_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone" if is_gone else "/")
    if is_gone:
        (tmp_path / "gone").rmdir()
    asked = []

    async def story(site: Site) -> None:
        assert (await site.get()).status == 404
        asked.extend(site.take_asked())

    stage = on_site(story, names("/etc/passwd"), send_file_header="X-Sendfile")
    assert "set THRUST_SEND_FILE_ROOT" in stage.exchanges[-1].error
    assert asked[0]["x-sendfile-type"] is None


def test_files_come_from_the_working_directory_and_the_link_that_led_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(tmp_path / "link"))

    async def story(site: Site) -> None:
        for _ in range(3):
            assert (await site.get()).body == DATA
        assert (await site.get()).status == 404

    paths: list[Path | str] = [
        "report.pdf",
        folder / "report.pdf",
        tmp_path / "link/report.pdf",
        tmp_path / "secret.txt",
    ]
    on_site(story, *[names(path) for path in paths], send_file_header="X-Sendfile")


@pytest.mark.parametrize("pwd", ["{tmp}/elsewhere", "elsewhere", "", "/"])
def test_a_pwd_that_is_not_the_working_directory_is_not_believed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pwd: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "x", b"elsewhere")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", pwd.format(tmp=tmp_path))

    async def story(site: Site) -> None:
        assert (await site.get()).status == 404

    on_site(story, names(tmp_path / "elsewhere" / "x"), send_file_header="X-Sendfile")


# The fields

ALL_FIELDS = ["X-Sendfile: /app/a", "X-Accel-Redirect: /protected/a", "X-Lighttpd-Send-File: /app/a"]
ALL_FIELDS += ["X-Sendfile2: /app/a 0-9", "X-Sendfile-Temporary: /app/a", "X-LiteSpeed-Location: /protected/a"]
HIDDEN = {line.partition(":")[0].lower() for line in ALL_FIELDS}


@pytest.mark.parametrize(
    ("header", "left_out"), [("X-My-File", ALL_FIELDS[2:]), ("X-Accel-Redirect", ALL_FIELDS[:1]), (None, ALL_FIELDS)]
)
def test_fields_that_are_not_listened_to_are_dropped_and_told_to_the_log(
    folder: Path, layers: dict[str, Any], header: str | None, left_out: list[str]
) -> None:
    worker = answer(*left_out, "X-Own: 1", body=WORKERS)
    reply, error = one_reply(folder, worker, send_file_header=header, **layers)
    assert (reply.status, reply.body, reply["x-own"]) == (200, WORKERS, "1")
    assert not {name for name, _ in reply.lines} & HIDDEN
    assert error.endswith(f"was dropped: THRUST_SEND_FILE_HEADER is {header.lower() if header else 'off'}")


def test_the_field_may_have_any_name(folder: Path, layers: dict[str, Any]) -> None:
    worker = answer("X-My-File: report.pdf", *ALL_FIELDS, "X-Accel-Buffering: no")
    reply, error = one_reply(folder, worker, send_file_header="X-My-File", **layers)
    assert (reply.status, reply.body, error) == (200, DATA, "")
    assert reply["x-accel-buffering"] == "no"  # of no concern here, and nginx may stand in front of us
    assert not {name for name, _ in reply.lines} & {
        "x-my-file",
        "x-sendfile",
        "x-accel-redirect",
        "x-lighttpd-send-file",
    }


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"send_file_header": None}, {}),
        ({"send_file_header": "X-Sendfile"}, {"x-sendfile-type": "X-Sendfile"}),
        ({"send_file_header": "x-my-FILE"}, {"x-sendfile-type": "X-My-File"}),
        ({"send_file_header": "X-Accel-Redirect"}, {}),  # nothing can be sent
        (
            {"send_file_header": "X-Accel-Redirect", "send_file_mapping": (("/files", "{folder}"),)},
            {"x-sendfile-type": "X-Accel-Redirect", "x-accel-mapping": "{folder}/=/files/"},
        ),
        (
            {"send_file_header": "X-Accel-Redirect", "send_file_mapping": (("/b/", "{folder}/"), ("/", "{folder}"))},
            {"x-sendfile-type": "X-Accel-Redirect", "x-accel-mapping": "{folder}/=/b/, {folder}/=/"},
        ),
    ],
)
@pytest.mark.parametrize("forward_headers", [False, True])
def test_the_worker_hears_from_us_alone_how_to_name_files(
    folder: Path, settings: dict[str, Any], told: dict[str, str], forward_headers: bool
) -> None:
    if mapping := settings.get("send_file_mapping"):
        settings = settings | {
            "send_file_mapping": tuple((uri, Path(path.format(folder=folder))) for uri, path in mapping)
        }
    clients = [
        "X-Sendfile: /etc/passwd",
        "X-Sendfile-Type: X-Accel-Redirect",
        "X-Accel-Redirect: /etc/passwd",
        "X-Accel-Mapping: /etc/=/app/",
        "X_Sendfile_Type: X-Sendfile",
        "X-Own: 1",
    ]
    asked = []

    async def story(site: Site) -> None:
        await site.get("/a", *clients)
        asked.extend(site.take_asked())

    sending(folder, story, answer(), forward_headers=forward_headers, **settings)
    lines = [(name.replace("_", "-"), value) for name, value in asked[0].lines]
    assert ("x-own", "1") in lines
    said = {name: value for name, value in lines if name.startswith(("x-sendfile", "x-accel"))}
    assert said == {name: value.format(folder=folder) for name, value in told.items()}
    assert len([name for name, _ in lines if name in said]) == len(said)


# X-Accel-Redirect


@pytest.mark.parametrize(
    ("uri", "content"),
    [
        ("/files/report.pdf", DATA),
        ("/files/re%70ort.pdf", DATA),
        ("/files/report.pdf?token=1", DATA),
        ("/files//report.pdf", DATA),
        ("/files/sub/../report.pdf", DATA),
        ("/files/sub%2Fdeep", b"deep"),
        ("/files/other/report.pdf", b"of the longer mapping"),
        ("/files/%C3%A9", b"accent"),
        ("/filesreport.pdf", None),
        ("/files", None),
        ("/files/", None),
        ("/files/../secret.txt", None),
        ("/files/%2e%2e/secret.txt", None),
        ("/files/sub/../../secret.txt", None),
        ("/files/..%2fsecret.txt", None),
        ("/files/out", None),
        ("/files/report.pdf%00", None),
        ("/elsewhere/report.pdf", None),
        ("{folder}/report.pdf", None),
        ("files/report.pdf", None),
        ("/FILES/report.pdf", None),
    ],
)
def test_a_uri_is_mapped_to_a_folder(folder: Path, tmp_path: Path, uri: str, content: bytes | None) -> None:
    (folder / "out").symlink_to("../secret.txt")
    (folder / "sub").mkdir()
    write(folder / "sub" / "deep", b"deep")
    write(folder / "é", b"accent")
    other = tmp_path / "other"
    other.mkdir()
    write(other / "report.pdf", b"of the longer mapping")
    mapping = (("/files/", folder), ("/files/other/", other))
    worker = answer(f"X-Accel-Redirect: {uri.format(folder=folder)}")
    reply, error = one_reply(
        folder, worker, send_file_header="X-Accel-Redirect", send_file_mapping=mapping, send_file_roots=(folder,)
    )
    assert (reply.status, reply["x-accel-redirect"]) == (200 if content else 404, None)
    assert reply.body == (content or b"There is nothing here.\n")
    assert bool(error) == (content is None)


@pytest.mark.parametrize("sent", ["é".encode(), "é".encode("latin-1"), b"%C3%A9", b"%E9"])
def test_a_uri_beyond_ascii_may_come_in_several_spellings(folder: Path, sent: bytes) -> None:
    write(folder / "é", b"accent")
    worker = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: /files/" + sent + b"\r\n\r\n"
    mapping = (("/files/", folder),)
    reply, _ = one_reply(folder, worker, send_file_header="X-Accel-Redirect", send_file_mapping=mapping)
    assert reply.body == b"accent"


def test_links_may_lead_from_a_mapped_folder_to_where_files_may_be_sent_from(folder: Path, tmp_path: Path) -> None:
    mapped = tmp_path / "mapped"
    mapped.mkdir()
    (mapped / "in").symlink_to(folder / "report.pdf")
    (mapped / "out").symlink_to(tmp_path / "secret.txt")
    settings: dict[str, Any] = {"send_file_header": "X-Accel-Redirect", "send_file_mapping": (("/", mapped),)}
    assert one_reply(folder, answer("X-Accel-Redirect: /in"), **settings)[0].body == DATA
    assert one_reply(folder, answer("X-Accel-Redirect: /out"), **settings)[0].status == 404


# Memory

FRESH = "Cache-Control: max-age=60"


def test_a_fresh_file_is_served_from_memory(folder: Path) -> None:
    async def story(site: Site) -> None:
        assert (await site.get())["x-cache"] == "miss"
        (folder / "notes.txt").unlink()
        for coding in (*CODINGS, "identity"):
            again = await site.get("/a", f"Accept-Encoding: {coding}")
            assert (again.plain, again["x-cache"], again["x-sendfile"]) == (DATA, "hit", None)
            assert again["content-encoding"] == (None if coding == "identity" else coding)
        assert (await site.get("/a", "Range: bytes=0-4")).body == DATA[:5]
        assert (await site.get("/a", f"If-None-Match: {ETAG}")).status == 304

    limit_bytes = len(DATA)
    sending(folder, story, names("notes.txt", FRESH), compression=CODINGS, max_cache_item_size_bytes=limit_bytes)


def test_a_file_beyond_the_item_limit_never_is_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody_does(content: object) -> bytes:
        raise AssertionError(f"{content} is read as a whole")

    async def story(site: Site) -> None:
        for _ in range(2):
            reply = await site.get("/a", "Accept-Encoding: br")
            assert (reply.body, reply["x-cache"], reply["content-encoding"]) == (DATA, "miss", None)

    for handler in ("cache", "compression"):
        monkeypatch.setattr(f"thrust.handlers.{handler}.whole_content", nobody_does)
    limit_bytes = len(DATA) - 1
    worker = names("notes.txt", FRESH)
    stage = sending(folder, story, worker, worker, compression=CODINGS, max_cache_item_size_bytes=limit_bytes)
    assert [exchange.cache_detail for exchange in stage.exchanges] == ["too-large"] * 2


def test_a_file_with_a_fingerprint_is_kept_without_being_asked(folder: Path) -> None:
    async def story(site: Site) -> None:
        for expected in ("miss", "hit"):
            assert (await site.get("/assets/notes-3f9a2c1b7d.txt"))["x-cache"] == expected

    sending(folder, story, names("notes.txt"))


@pytest.mark.parametrize("said", ["X-Own: 1", "Cache-Control: private, max-age=60", f"{FRESH}\r\nSet-Cookie: a=1"])
def test_a_file_for_one_client_is_not_kept(folder: Path, said: str) -> None:
    async def story(site: Site) -> None:
        for _ in range(2):
            assert (await site.get())["x-cache"] == "miss"

    sending(folder, story, *[names("notes.txt", said)] * 2)


@pytest.mark.parametrize("has_changed", [False, True])
def test_what_has_become_stale_is_compared_with_the_file(folder: Path, has_changed: bool) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(61)
        if has_changed:
            write(folder / "notes.txt", b"news", MODIFIED_S + 10)
        reply = await site.get()
        assert reply.body == (b"news" if has_changed else DATA)
        assert ("fwd-status=304" in (reply["cache-status"] or "")) == (not has_changed)
        assert (await site.get())["x-cache"] == "hit"

    sending(folder, story, *[names("notes.txt", FRESH)] * 2)


def test_a_file_that_has_gone_is_not_replaced_by_what_is_stale(folder: Path) -> None:
    async def story(site: Site) -> None:
        await site.get()
        await site.pass_time(61)
        (folder / "notes.txt").unlink()
        assert (await site.get()).status == 404

    sending(folder, story, *[names("notes.txt", FRESH)] * 2)


def test_many_who_want_the_same_fresh_file_cost_one_request(folder: Path) -> None:
    async def story(site: Site) -> None:
        for client in range(1, 20):
            site.send("/a", client=client)
        await site.settle()
        for client in range(1, 20):
            assert [reply.body for reply in site.replies(client)] == [DATA]

    sending(folder, story, names("notes.txt", FRESH))


def test_many_who_want_a_file_that_is_not_there_each_hear_so(folder: Path) -> None:
    async def story(site: Site) -> None:
        for client in range(1, 6):
            site.send("/a", client=client)
        await site.settle()
        for client in range(1, 6):
            assert [reply.status for reply in site.replies(client)] == [404]

    sending(folder, story, *[names("missing", FRESH)] * 5)
