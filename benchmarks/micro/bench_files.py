"""What it costs to open a file beneath a root, and to describe the answer that sends it (`thrust.files`)."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

from benchmarks.micro.run import bench
from thrust.files.answer import Content, answer
from thrust.files.confined import Roots
from thrust.files.siblings import open_best
from thrust.http.headers import Headers
from thrust.http.negotiation import IDENTITY

NO_FIELDS = Headers()
RANGE = Headers([(b"range", b"bytes=0-99")])
OWN_LINES = [(b"content-disposition", b"attachment"), (b"cache-control", b"private"), (b"set-cookie", b"a=1")]


def main() -> None:
    """Prints a line per case."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "assets" / "js").mkdir(parents=True)
        (top / "assets" / "js" / "app.js").write_text("export default 1")
        (top / "link").symlink_to("assets/js/app.js")
        (top / "absolute").symlink_to(top / "assets" / "js" / "app.js")
        _bench_opening(top)
        _bench_answers((top / "assets" / "js" / "app.js").stat())


def _bench_opening(top: Path) -> None:
    absolute = os.fsencode(top / "assets" / "js" / "app.js")
    bench("open, close: os alone", lambda: os.close(os.open(absolute, os.O_RDONLY)))
    _bench_roots("openat2", Roots([top]), absolute)
    _bench_roots("walking", Roots([top], may_use_openat2=False), absolute)
    roots = Roots([top])
    accepted = (b"br", b"zstd", b"gzip", IDENTITY)
    bench("open_best, no siblings", lambda: open_best(roots.open, b"assets/js/app.js", accepted)[0].close())
    with contextlib.suppress(BlockingIOError):
        at_once = roots.open_cached
        bench("open_best, no siblings, cached", lambda: open_best(at_once, b"assets/js/app.js", accepted)[0].close())
        bench("open, close: cached, relative", lambda: at_once(b"assets/js/app.js").close())
        bench("open, close: cached, absolute", lambda: at_once(absolute).close())


def _bench_roots(name: str, roots: Roots, absolute: bytes) -> None:
    bench(f"open, close: {name}, relative", lambda: roots.open(b"assets/js/app.js").close())
    bench(f"open, close: {name}, absolute", lambda: roots.open(absolute).close())
    bench(f"open, close: {name}, link", lambda: roots.open(b"link").close())
    bench(f"open, close: {name}, absolute link", lambda: roots.open(b"absolute").close())


def _bench_answers(stat: os.stat_result) -> None:
    content, now_s = Content(stat, b"assets/js/app.js"), time.time()
    bench("answer, nothing said", lambda: answer(b"GET", NO_FIELDS, content, now_s))
    bench("answer, fields of the app", lambda: answer(b"GET", NO_FIELDS, content, now_s, lines=OWN_LINES))
    bench("answer, range", lambda: answer(b"GET", RANGE, content, now_s))
    known = Headers([line for line in answer(b"GET", NO_FIELDS, content, now_s).lines if line[0] == b"etag"])
    condition = Headers([(b"if-none-match", known.lines[0][1])])
    bench("answer, 304", lambda: answer(b"GET", condition, content, now_s))


if __name__ == "__main__":
    main()
