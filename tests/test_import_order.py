"""Imports run one way: `shm → proxy → workers → master`, and within `proxy` from configuration to server.

A file may import what stands on its own floor or on a lower one. The tables below are the whole rule.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("shm", "proxy", "workers", "master")
FLOORS_OF_PROXY = (
    ("config", "errors", "limits", "stats", "registry", "log"),
    ("net", "dns", "http", "route", "matching", "flight_recorder", "sessions"),
    ("upstream",),
    ("filters", "access_log", "python_filter"),
    ("changes", "explain", "filter_chain"),
    ("snapshot",),
    ("server", "testing"),
)
# The data plane holds no protobuf (memory, fork), and no library of the control plane or the command line.
FORBIDDEN = {
    "shm": {"*"},
    "proxy": {"google", "envoy", "psutil", "click", "yaml"},
    "workers": {"google", "envoy", "psutil", "click", "yaml"},
}
# This package is imported only where a configuration asks for it.
MAY_HOLD_PROTOBUF = ("proxy.filters.transcoding", "proxy.access_log.grpc_message")
# The supervisor must start when everything else is broken: these lean modules are all that it shares.
SHARED_WITH_SUPERVISOR = ("proxy.log", "proxy.upstream.tables")


def source_files() -> list[Path]:
    return sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported_modules(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute module) of every import anywhere in the file, inside functions too.

    `from package import name` yields `package.name` where that is a module of ours, as it then imports a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = list(path.parent.parts[: len(path.parent.parts) - node.level + 1]) if node.level else []
            module = ".".join([*parent, *([node.module] if node.module else [])])
            for alias in node.names:
                full = ROOT / Path(*module.split(".")) / alias.name
                is_module = full.is_dir() or full.with_suffix(".py").is_file()
                yield node.lineno, f"{module}.{alias.name}" if is_module else module


def floor_of_proxy(module: str) -> int:
    """The floor on which `proxy.<name>…` stands."""
    parts = module.split(".")
    if len(parts) == 1:
        return 0  # the package itself: an empty __init__
    for floor, names in enumerate(FLOORS_OF_PROXY):
        if parts[1] in names:
            return floor
    raise AssertionError(f"{module} stands on no floor: give it one in FLOORS_OF_PROXY")


def complaints(path: Path, text: str) -> list[str]:
    """What is wrong with the imports of the file `path` whose content is `text`."""
    package = path.parts[0]
    own = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    found = []
    for line, module in imported_modules(ast.parse(text), path):
        top = module.partition(".")[0]
        where = f"{path}:{line}: {own} imports {module}"
        standard = top in sys.stdlib_module_names or top == "__future__"
        if top in PACKAGES:
            if PACKAGES.index(top) > PACKAGES.index(package):
                found.append(f"{where}, which stands above it")
            if package == top == "proxy" and floor_of_proxy(module) > floor_of_proxy(own):
                found.append(f"{where}, which stands on a higher floor")
        elif top == "tests":
            found.append(f"{where}, but tests import the source, never the other way")
        elif top in ("google", "envoy") and own.startswith(MAY_HOLD_PROTOBUF):
            continue
        elif not standard and (package == "shm" or top in FORBIDDEN.get(package, ())):
            found.append(f"{where}, which {package} must not need")
        if own.startswith("master.supervisor"):
            shared = top == "shm" or module in ("master", *SHARED_WITH_SUPERVISOR)
            if not (standard or shared or module.startswith("master.supervisor")):
                found.append(f"{where}; the supervisor needs the standard library and shm alone")
        if any(f"{shared}.".startswith(f"{own}.") for shared in SHARED_WITH_SUPERVISOR) and not standard:
            found.append(f"{where}; the supervisor imports it, so it needs the standard library alone")
    return found


@pytest.mark.parametrize("path", source_files(), ids=str)
def test_imports_run_one_way(path: Path) -> None:
    assert not complaints(path, (ROOT / path).read_text())


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("shm/a.py", "import proxy.errors", "stands above"),
        ("shm/a.py", "import trio", "must not need"),
        ("proxy/errors.py", "from workers import entry", "stands above"),
        ("proxy/http/a.py", "from proxy.upstream import pool", "higher floor"),
        ("proxy/http/a.py", "def f():\n    from ..filters.http import router", "higher floor"),
        ("proxy/filters/http/a.py", "import proxy.server", "higher floor"),
        ("proxy/net/a.py", "from google.protobuf import any_pb2", "must not need"),
        ("workers/a.py", "import psutil", "must not need"),
        ("workers/a.py", "from master.config import finding", "stands above"),
        ("master/supervisor/a.py", "from master.config import finding", "supervisor needs"),
        ("master/supervisor/a.py", "import trio", "supervisor needs"),
        ("proxy/upstream/tables.py", "import msgspec", "supervisor imports it"),
        ("proxy/upstream/__init__.py", "import trio", "supervisor imports it"),
        ("master/cli/a.py", "import tests.kit", "tests import the source"),
    ],
)
def test_a_wrong_import_is_found(path: str, text: str, words: str) -> None:
    assert any(words in complaint for complaint in complaints(Path(path), text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("shm/a.py", "import mmap\nfrom shm import memfd"),
        ("proxy/http/a.py", "from proxy.errors import ProxyError\nimport h11\nfrom . import codec"),
        ("proxy/server.py", "from proxy.filters.http import router"),
        ("workers/a.py", "import trio\nfrom proxy import server\nfrom shm import table"),
        ("master/supervisor/a.py", "import os\nfrom shm import memfd\nfrom master.supervisor import sockets"),
        ("master/admin/a.py", "import psutil\nfrom workers import entry"),
    ],
)
def test_a_right_import_passes(path: str, text: str) -> None:
    assert complaints(Path(path), text) == []
