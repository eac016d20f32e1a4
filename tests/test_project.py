"""What stands beside the code and rots when nobody looks: documents, scripts, examples, Dockerfiles, packages.

That the example apps answer behind thrust is shown by `tests/e2e/test_examples.py`.
"""

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from thrust import __version__

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LIBRARY = ROOT / "scripts" / "lib.sh"
SCRIPTS = sorted((ROOT / "scripts").iterdir())
COMMANDS = [path for path in SCRIPTS if path != LIBRARY] + [ROOT / ".ci" / "run"]
EXAMPLES = ROOT / "examples"
DOCKERFILES = [ROOT / "Dockerfile", *sorted(EXAMPLES.glob("*/Dockerfile"))]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(EXAMPLES.rglob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md"))]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# Documents ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
@pytest.mark.parametrize("script", [path for path in COMMANDS if path.parent.name == "scripts"], ids=relative)
def test_each_script_is_explained(document: str, script: Path) -> None:
    assert relative(script) in read(ROOT / document)


def test_the_changelog_begins_with_the_version_that_the_code_has() -> None:
    first_heading = re.search(r"^## (\S+)", read(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert first_heading is not None
    assert first_heading[1] == __version__


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_each_link_inside_the_project_leads_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", read(document), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [target for target in targets if not leads_somewhere(document, unquote(target))] == []


def leads_somewhere(document: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    path, _, anchor = target.partition("#")
    found = document.parent / path if path else document
    return found.exists() and (not anchor or anchor in anchors_of(found))


def anchors_of(document: Path) -> set[str]:
    """Anchors of the headings, made as code hosts make them: lower case, spaces to dashes, punctuation dropped."""
    headings = re.findall(r"^#+ (.+)$", read(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_each_folder_and_file_named_in_code_style_exists(document: Path) -> None:
    named = re.findall(r"`((?:thrust|tests|benchmarks|examples|scripts|\.ci)/[\w./-]*)`", read(document))
    assert [name for name in named if not (ROOT / name).exists()] == []


# Scripts and pyproject.toml -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", COMMANDS, ids=relative)
def test_each_script_is_executable_and_stops_at_the_first_error(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert "\nset -euo pipefail\n" in read(script)


@pytest.mark.parametrize("script", [*COMMANDS, LIBRARY], ids=relative)
def test_each_script_is_valid_bash(script: Path) -> None:
    result = subprocess.run(["bash", "-n", script], capture_output=True, text=True, timeout=10)
    assert (result.returncode, result.stderr) == (0, "")


def test_scripts_and_classifiers_name_the_same_pythons() -> None:
    minors = re.search(r'^supported_minors="([\d ]+)"$', read(LIBRARY), re.MULTILINE)
    assert minors is not None
    classifiers = re.findall(r"Python :: 3\.(\d+)", "\n".join(PYPROJECT["project"]["classifiers"]))
    assert sorted(minors[1].split(), key=int) == classifiers
    assert PYPROJECT["project"]["requires-python"] == f">=3.{classifiers[0]}"


# Examples and Dockerfiles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", sorted(EXAMPLES.rglob("*.py")), ids=relative)
def test_each_example_is_valid_python(source: Path) -> None:
    ast.parse(read(source), feature_version=(3, 11))


@pytest.mark.parametrize("source", sorted(EXAMPLES.rglob("*.y*ml")), ids=relative)
def test_each_manifest_is_valid_yaml(source: Path) -> None:
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(read(source)))


def test_kubernetes_waits_longer_than_thrust_needs_to_stop() -> None:
    deployment, _service = yaml.safe_load_all(read(EXAMPLES / "kubernetes" / "example.yaml"))
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    stop_s = int(environment["THRUST_SHUTDOWN_TIMEOUT"].removesuffix("s"))
    assert pod["terminationGracePeriodSeconds"] > pause_s + stop_s


def test_compose_waits_longer_than_thrust_needs_to_stop() -> None:
    web = yaml.safe_load(read(EXAMPLES / "compose" / "compose.yaml"))["services"]["web"]
    stop_s = int(web["environment"]["THRUST_SHUTDOWN_TIMEOUT"].removesuffix("s"))
    assert int(web["stop_grace_period"].removesuffix("s")) > stop_s


def instructions_of(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) per logical line, continuation lines joined."""
    text = re.sub(r"^\s*#.*\n", "", read(dockerfile), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest.strip()) for line in lines if line for word, _, rest in [line.partition(" ")]]


def arguments_of(dockerfile: Path, instruction: str) -> str:
    """The arguments of the last such instruction, which is the one that counts."""
    return [arguments for word, arguments in instructions_of(dockerfile) if word == instruction][-1]


def probe_of(dockerfile: Path) -> list[str]:
    command: list[str] = json.loads(arguments_of(dockerfile, "HEALTHCHECK").partition("CMD ")[2])
    return command


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=relative)
def test_each_image_runs_thrust_as_process_1_and_not_as_root(dockerfile: Path) -> None:
    assert json.loads(arguments_of(dockerfile, "ENTRYPOINT")) == ["thrust"]
    assert isinstance(json.loads(arguments_of(dockerfile, "CMD")), list)
    assert int(arguments_of(dockerfile, "USER").partition(":")[0]) > 0
    assert arguments_of(dockerfile, "EXPOSE") in arguments_of(dockerfile, "ENV")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=relative)
def test_each_image_copies_what_the_build_context_has(dockerfile: Path) -> None:
    copies = [arguments.split() for word, arguments in instructions_of(dockerfile) if word == "COPY"]
    sources = {source for words in copies for source in words[:-1] if not source.startswith("--")}
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    admitted = {line[1:] for line in read(ROOT / ".dockerignore").splitlines() if line.startswith("!")}
    assert {Path(source).parts[0] for source in sources} <= admitted


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=relative)
def test_each_image_has_the_same_probe(dockerfile: Path) -> None:
    assert probe_of(dockerfile) == probe_of(ROOT / "Dockerfile")


class AnsweringServer(HTTPServer):
    """Answers every GET with `status` and remembers the paths asked for."""

    status = 200
    paths: list[str]

    class Answer(BaseHTTPRequestHandler):
        server: "AnsweringServer"

        def do_GET(self) -> None:
            self.server.paths.append(self.path)
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, format: str, *_arguments: object) -> None:
            pass

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Answer)
        self.paths = []


@pytest.fixture
def answering_server() -> Iterator[AnsweringServer]:
    with AnsweringServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(timeout=10)


@pytest.mark.slow
@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1), (404, 1)])
def test_the_probe_of_the_images_fails_unless_up_is_answered_with_200(
    answering_server: AnsweringServer, status: int, exit_code: int
) -> None:
    answering_server.status = status
    environment = {**os.environ, "PORT": str(answering_server.server_port), "http_proxy": "http://127.0.0.1:1"}
    command = [sys.executable, *probe_of(ROOT / "Dockerfile")[1:]]
    assert subprocess.run(command, env=environment, timeout=20).returncode == exit_code
    assert answering_server.paths == ["/up"]


# Packages -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_types_and_its_licence(tmp_path: Path) -> None:
    build("wheel", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    information = f"thrust-{__version__}.dist-info"
    assert {"thrust/py.typed", "thrust/cli.py", f"{information}/licenses/LICENSE"} <= names
    assert {name.partition("/")[0] for name in names} == {"thrust", information}
    entry_points = zipfile.ZipFile(wheel).read(f"{information}/entry_points.txt").decode()
    assert "thrust = thrust.cli:main" in entry_points


@pytest.mark.slow
def test_the_sdist_holds_what_is_needed_to_build_and_to_test(tmp_path: Path) -> None:
    build("sdist", tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "thrust/py.typed",
        "tests/test_project.py",
        "scripts/test",
    } <= names
    assert not [name for name in names if name.startswith((".venv", ".git/"))]


def build(target: str, directory: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(directory)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
