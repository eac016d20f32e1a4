"""Who may import whom, and that nobody does so in a circle: the map in CONTRIBUTING.md, enforced.

Reads the sources with `ast` instead of importing them, so that imports inside functions and under TYPE_CHECKING count
as well. `scripts/check` runs this file by itself.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "thrust"

# Module → whether it is imported at run time too, or for annotations only.
Imports = dict[str, bool]

# Room → rooms it may import besides itself. A room is a folder or a file directly under thrust/; where a folder's file
# has a line of its own ("worker.builtin"), that line counts for the file.
MAY_IMPORT: dict[str, set[str]] = {
    "__main__": {"cli"},
    "cli": {"service", "config", "errors", "tls", "worker.builtin"},
    "service": {
        *("config", "errors", "flow", "handlers", "http", "observe", "server", "tls", "upstream", "wire", "worker")
    },
    "config": {"errors"},
    "server": {"wire", "http", "flow", "errors"},
    "upstream": {"wire", "http", "flow", "errors"},
    "tls": {"errors"},
    "handlers": {"cache", "coding", "files", "upstream", "http", "config", "flow", "errors"},
    "files": {"http", "coding", "errors"},
    "cache": {"coding", "flow", "http", "errors"},
    "coding": {"errors"},
    "wire": {"http", "errors"},
    "observe": {"http"},
    "worker": {"errors"},
    # A program of its own, which is the worker's process: nothing else of ours is loaded there.
    "worker.builtin": {"worker.wsgi"},
    "worker.wsgi": set(),
    "flow": {"http", "errors"},
    "http": set(),
    "errors": set(),
}

# What decides about bytes and messages must be testable without an event loop (h11's and the RFCs' way).
SANS_IO_ROOMS = {"coding", "http", "wire"}
IO_MODULES = {"asyncio", "select", "selectors", "socket", "ssl", "threading", "uvloop"}

# A library with rivals is known to one room, so that another one can take its place.
ONLY_IN = {"httptools": "wire", "h2": "wire", "hpack": "wire", "hyperframe": "wire"}
ONLY_IN |= {"brotli": "coding", "isal": "coding", "backports": "coding", "compression": "coding"}
ONLY_IN |= dict.fromkeys(("acme", "josepy", "requests", "cryptography"), "tls")


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, modules: set[str]) -> Imports:
    """Every module that `source` imports anywhere; `from thrust.x import y` is thrust.x.y where that is a module."""
    tree = ast.parse(source)
    for_types = {id(inner) for node in ast.walk(tree) if is_type_checking(node) for inner in ast.walk(node)}
    found: Imports = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            members = (f"{node.module}.{alias.name}" for alias in node.names)
            names = [name if name in modules else str(node.module) for name in members]
        for name in names:
            found[name] = found.get(name, False) or id(node) not in for_types
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def read_imports(package: Path) -> dict[str, Imports]:
    """Module → what it imports, for every file under `package`."""
    sources = {module_name(path, package): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    return {module: imports_of(source, set(sources)) for module, source in sources.items()}


def room_of(module: str) -> str:
    """The room that `module` of ours is in; "" for the package itself, which holds no more than the version."""
    inside = module.partition(".")[2]
    return inside if inside in MAY_IMPORT else inside.partition(".")[0]


def violations(imports: dict[str, Imports]) -> Iterator[str]:
    """A sentence per import that the rules forbid.

    Between rooms of ours an import for annotations counts as any other; naming a type of asyncio is not doing I/O.
    """
    for module, targets in sorted(imports.items()):
        room = room_of(module)
        for target, at_run_time in sorted(targets.items()):
            top = target.partition(".")[0]
            if top == "thrust":
                if room and room_of(target) not in MAY_IMPORT.get(room, set()) | {room, ""}:
                    yield f"{module} imports {target}"
            elif at_run_time and room in SANS_IO_ROOMS and top in IO_MODULES:
                yield f"{module} imports {target}, and {room} does no I/O"
            elif ONLY_IN.get(top, room) != room:
                yield f"{module} imports {target}, which belongs to {ONLY_IN[top]}"


def run_time_graph(imports: dict[str, Imports]) -> dict[str, set[str]]:
    """Module → modules of ours that have to be loaded before it.

    Two modules of one room may name each other's types, as a pool and its connections do; nothing is loaded for that.
    """
    return {
        module: {target for target, at_run_time in targets.items() if at_run_time and target in imports}
        for module, targets in imports.items()
    }


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """The members of one cycle, first and last the same; [] if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_each_room_imports_only_what_it_may() -> None:
    assert list(violations(read_imports(PACKAGE))) == []


def test_no_module_imports_itself_through_others() -> None:
    assert find_cycle(run_time_graph(read_imports(PACKAGE))) == []


def test_each_room_has_a_rule() -> None:
    rooms = {room_of(module) for module in read_imports(PACKAGE)} - {""}
    assert rooms <= MAY_IMPORT.keys()


def test_the_rules_themselves_know_no_circle() -> None:
    assert find_cycle(MAY_IMPORT) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("http.fields", "from thrust.errors import BadMessage", "imports thrust.errors"),
        ("http.fields", "if TYPE_CHECKING:\n  from thrust.errors import BadMessage", "imports thrust.errors"),
        ("server.http1", "def f():\n  from thrust.handlers import chain", "imports thrust.handlers"),
        ("upstream.pool", "import thrust.server.listener", "imports thrust.server.listener"),
        ("worker.builtin", "from thrust.errors import WorkerError", "imports thrust.errors"),
        ("cli", "from thrust.worker.process import Worker", "imports thrust.worker.process"),
        ("wire.http1", "import asyncio", "imports asyncio, and wire does no I/O"),
        ("server.http1", "import httptools", "imports httptools, which belongs to wire"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str, complaint: str) -> None:
    module = f"thrust.{module}"
    assert list(violations({module: imports_of(source, set())})) == [f"{module} {complaint}"]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cli", "import asyncio\nfrom thrust import __version__\nfrom thrust.config import Config"),
        ("cli", "from thrust.worker import builtin"),
        ("server.http1", "from thrust.server import tunnel\nfrom thrust.wire.http1 import Parser"),
        ("http.message", "if TYPE_CHECKING:\n  import asyncio"),
    ],
)
def test_an_allowed_import_is_not_reported(module: str, source: str) -> None:
    assert list(violations({f"thrust.{module}": imports_of(source, {"thrust.worker.builtin"})})) == []


def test_a_cycle_is_found() -> None:
    sources = {
        "thrust.a": "import thrust.b",
        "thrust.b": "def f():\n  from thrust import c",
        "thrust.c": "import thrust.a",
    }
    imports = {module: imports_of(source, set(sources)) for module, source in sources.items()}
    assert set(find_cycle(run_time_graph(imports))) == {"thrust.a", "thrust.b", "thrust.c"}
