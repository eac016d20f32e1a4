"""Frameworks name files by their own means and thrust sends them: README's recipes, run behind real servers.

The apps are the recipes and nothing else; the last tests compare the two.
"""

import hashlib
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from tests.e2e.apps.contents import SCRIPT
from tests.support.e2e_client import Answer, Client
from tests.support.e2e_thrust import APPS, Thrust, python, running_thrust, uvicorn

README = Path(__file__).parents[2] / "README.md"

GUNICORN = python("-m", "gunicorn", "--bind", "127.0.0.1:$THRUST_WORKER_PORT", "--log-level", "warning")
THREADS = ("--worker-class", "gthread", "--threads", "4")

# Names in ASCII, in Latin-1 (as far as a header goes), beyond it, and with what is encoded in a path or a header.
PLAIN = "report.pdf"
NAMES = [PLAIN, "café 100%25.pdf", "отчёт 2026.pdf", 'a "b".pdf']

CONTENT = random.Random(4).randbytes(3_000_000)
SECRET = b"not for everybody"
A_WHILE_AGO_S = 1_700_000_000
"""A file that has just been written has a weak tag only, which is no use to If-Range."""


@dataclass(frozen=True)
class Recipe:
    """How a framework's app is started; `unnamable` are files that it fails to name to any front."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    unnamable: frozenset[str] = frozenset()


ACCEL = {"THRUST_SEND_FILE_HEADER": "X-Accel-Redirect", "THRUST_SEND_FILE_MAPPING": "/protected/={reports}/"}

RECIPES = {
    "django": Recipe([*GUNICORN, "send_file_django:application"]),
    "django built-in": Recipe(["send_file_django:application"]),
    # Its xsendfile backend does not encode the path, and Django makes encoded words (RFC 2047) of such a field. We do
    # not decode those: what looks like a name to an app would become a path.
    "sendfile2": Recipe([*GUNICORN, "send_file_sendfile2:application"], unnamable=frozenset({NAMES[2]})),
    "sendfile2 threads": Recipe(
        [*GUNICORN, *THREADS, "send_file_sendfile2:application"], unnamable=frozenset({NAMES[2]})
    ),
    "sendfile2 nginx": Recipe([*GUNICORN, "send_file_sendfile2_nginx:application"], ACCEL),
    "flask": Recipe([*GUNICORN, "send_file_flask:app"]),
    "flask threads": Recipe([*GUNICORN, *THREADS, "send_file_flask:app"]),
    "flask built-in": Recipe(["send_file_flask:app"]),
    "fastapi": Recipe(uvicorn(app="send_file_fastapi:app")),
    "fastapi built-in": Recipe(["send_file_fastapi:app"]),
}


@dataclass
class Site:
    thrust: Thrust
    recipe: Recipe
    reports: Path


@pytest.fixture(scope="module", params=RECIPES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose reports are NAMES with CONTENT, and `astray.pdf`, a link to SECRET outside."""
    folder = tmp_path_factory.mktemp("data")
    reports = folder / "reports"
    reports.mkdir()
    for name in NAMES:
        (reports / name).write_bytes(CONTENT)
        os.utime(reports / name, (A_WHILE_AGO_S, A_WHILE_AGO_S))
    (folder / "secret.pdf").write_bytes(SECRET)
    (reports / "astray.pdf").symlink_to(folder / "secret.pdf")
    recipe = RECIPES[request.param]
    env = {"REPORTS": str(reports), "THRUST_SEND_FILE_ROOT": str(reports)}
    env |= {name: value.format(reports=reports) for name, value in recipe.env.items()}
    with running_thrust(recipe.command, env=env) as thrust:
        thrust.wait_until_ready()
        yield Site(thrust, recipe, reports)
        assert not [event for event in thrust.events() if event["level"] == "ERROR"]
        assert thrust.stderr.so_far() == []


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.thrust.connect() as client:
        yield client


def target_of(name: str) -> str:
    return "/reports/" + quote(name)


def assert_nothing_is_told(answer: Answer, site: Site) -> None:
    told = repr(answer.fields).encode() + answer.body
    for secret in (b"sendfile", b"x-accel", b"protected", str(site.reports.parent).encode()):
        assert secret not in told.lower()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_file_arrives_whole_under_its_own_name(client: Client, site: Site, name: str) -> None:
    answer = client.get(target_of(name))
    if name in site.recipe.unnamable:
        assert answer.status == 404
        return
    assert (answer.status, len(answer.body)) == (200, len(CONTENT))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(CONTENT).digest()
    assert answer.get("content-length") == str(len(CONTENT))
    assert answer.get("content-type") == "application/pdf"
    assert file_name_in(answer.get("content-disposition") or "") == name
    assert_nothing_is_told(answer, site)


def file_name_in(disposition: str) -> str:
    """The name under which a browser stores what it gets with that Content-Disposition (RFC 6266)."""
    extended = re.search(r"filename\*=utf-8''([^;]+)", disposition, re.IGNORECASE)
    if extended is not None:
        return unquote(extended[1])
    plain = re.search(r'filename=("(?:[^"\\]|\\.)*"|[^;]+)', disposition)
    return re.sub(r"\\(.)", r"\1", plain[1].strip('"')) if plain is not None else ""


@pytest.mark.slow
def test_a_part_of_a_file_is_sent(client: Client, site: Site) -> None:
    answer = client.get(target_of(PLAIN), ("Range", "bytes=1000000-1999999"))
    assert answer.status == 206
    assert answer.get("content-range") == f"bytes 1000000-1999999/{len(CONTENT)}"
    assert answer.body == CONTENT[1_000_000:2_000_000]
    assert_nothing_is_told(answer, site)


@pytest.mark.slow
def test_the_end_of_a_file_is_sent_if_it_is_still_the_same(client: Client) -> None:
    tag = client.get(target_of(PLAIN)).get("etag") or ""
    resumed = client.get(target_of(PLAIN), ("Range", "bytes=-5"), ("If-Range", tag))
    assert (resumed.status, resumed.body) == (206, CONTENT[-5:])
    begun_anew = client.get(target_of(PLAIN), ("Range", "bytes=-5"), ("If-Range", '"another"'))
    assert (begun_anew.status, begun_anew.body) == (200, CONTENT)


@pytest.mark.slow
def test_a_part_beyond_the_end_is_refused(client: Client, site: Site) -> None:
    answer = client.get(target_of(PLAIN), ("Range", "bytes=3000000-"))
    assert (answer.status, answer.get("content-range")) == (416, f"bytes */{len(CONTENT)}")
    assert_nothing_is_told(answer, site)


@pytest.mark.slow
def test_a_client_that_has_the_file_is_told_so(client: Client, site: Site) -> None:
    first = client.get(target_of(PLAIN))
    tag, modified = first.get("etag"), first.get("last-modified")
    assert tag is not None and modified is not None
    for condition in [("If-None-Match", tag), ("If-Modified-Since", modified)]:
        answer = client.get(target_of(PLAIN), condition)
        assert (answer.status, answer.get("etag"), answer.body) == (304, tag, b"")
        assert_nothing_is_told(answer, site)
    assert client.get(target_of(PLAIN), ("If-None-Match", '"another"')).status == 200


@pytest.mark.slow
def test_the_head_of_a_file_is_that_of_get(client: Client, site: Site) -> None:
    answer, whole = client.exchange("HEAD", target_of(PLAIN)), client.get(target_of(PLAIN))
    assert (answer.status, answer.body) == (200, b"")
    for name in ("content-length", "content-type", "content-disposition", "etag", "last-modified", "accept-ranges"):
        assert answer.get(name) == whole.get(name)
    assert_nothing_is_told(answer, site)


@pytest.mark.slow
def test_a_file_outside_is_refused_and_only_the_log_says_which(client: Client, site: Site) -> None:
    answer = client.get("/reports/astray.pdf")
    assert answer.status == 404
    assert SECRET not in answer.body
    assert_nothing_is_told(answer, site)
    request = site.thrust.wait_for_request(path="/reports/astray.pdf")
    path = site.reports / "astray.pdf"
    assert request["error"] == f"cannot send the file '{path}': it is not beneath a folder that may be sent from"


# THRUST_STATIC and what collectstatic has gathered -------------------------------------------------------------------


@dataclass
class StaticSite:
    thrust: Thrust
    hashed: str
    """The target of app.js under its hashed name."""

    def times_asked(self, path: str) -> int:
        """How often the worker was asked for `path`, by its own count."""
        with self.thrust.connect_to_worker() as aside:
            return int(aside.get(f"/count?path={path}").body)


@pytest.fixture(scope="module")
def static_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticSite]:
    """A Django site whose static files have been collected by ManifestStaticFilesStorage, and are served by thrust."""
    folder = tmp_path_factory.mktemp("static")
    source, root = folder / "source", folder / "root"
    source.mkdir()
    root.mkdir()
    (source / "app.js").write_bytes(SCRIPT)
    env = {"STATIC_SOURCE": str(source), "STATIC_ROOT": str(root), "THRUST_STATIC": f"/static:{root}"}
    with running_thrust([*GUNICORN, "django_static:application"], env=env) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            yield StaticSite(thrust, client.get("/url").body.decode())


@pytest.mark.slow
def test_a_collected_file_is_served_without_the_worker_and_kept_by_browsers(static_site: StaticSite) -> None:
    with static_site.thrust.connect() as client:
        answer = client.get(static_site.hashed)
    assert (answer.status, answer.body) == (200, SCRIPT)
    assert answer.get("content-type") == "text/javascript; charset=utf-8"
    assert answer.get("cache-control") == "public, max-age=31536000, immutable"
    assert static_site.times_asked(static_site.hashed) == 0


@pytest.mark.slow
def test_a_collected_file_whose_name_holds_no_hash_is_asked_for_again(static_site: StaticSite) -> None:
    with static_site.thrust.connect() as client:
        answer = client.get("/static/app.js")
        assert (answer.status, answer.body, answer.get("cache-control")) == (200, SCRIPT, None)
        assert client.get("/static/app.js", ("If-None-Match", answer.get("etag") or "")).status == 304
    assert static_site.times_asked("/static/app.js") == 0


@pytest.mark.slow
def test_a_file_that_was_not_collected_is_the_workers_business(static_site: StaticSite) -> None:
    with static_site.thrust.connect() as client:
        assert client.get("/static/nothing.js").status == 404
    assert static_site.times_asked("/static/nothing.js") == 1


# README's recipes are these apps --------------------------------------------------------------------------------------


def recipes_in_readme() -> list[str]:
    section = README.read_text(encoding="utf-8").partition("\n## Sending files\n")[2].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def is_part_of(recipe: str, source: str) -> bool:
    """Whether the lines of `recipe` are lines of `source`, in their order; more may stand between them."""
    lines = iter(source.splitlines())
    return all(line in lines for line in recipe.splitlines() if line)


APP_FILES = sorted(APPS.glob("send_file_*.py"))


@pytest.mark.parametrize("app", APP_FILES, ids=lambda app: str(app.stem))
def test_each_app_runs_a_recipe_of_the_readme(app: Path) -> None:
    source = app.read_text(encoding="utf-8")
    assert [recipe for recipe in recipes_in_readme() if is_part_of(recipe, source)]


def test_each_recipe_of_the_readme_is_run_by_an_app() -> None:
    sources = [app.read_text(encoding="utf-8") for app in APP_FILES]
    recipes = recipes_in_readme()
    assert recipes
    assert [recipe for recipe in recipes if not any(is_part_of(recipe, source) for source in sources)] == []
