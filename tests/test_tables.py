"""Every plug-in file stands in a table of its kind, every line of a table leads somewhere, every plug-in has a test."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KINDS = (
    "proxy/filters/http",
    "proxy/filters/network",
    "proxy/upstream/health/checkers",
    "proxy/upstream/lb",
    "proxy/upstream/types",
    "master/admin/pages",
)


def targets(folder: str) -> list[str]:
    """What the lines of all tables in the folder's `__init__` lead to, as "module:name".

    A table is an upper-case dict of such strings, or a tuple of objects with a `handler` relative to the folder.
    """
    package = folder.replace("/", ".")
    found: list[str] = []
    for name, value in vars(importlib.import_module(package)).items():
        if name.isupper() and isinstance(value, dict):
            found += [line for line in value.values() if isinstance(line, str)]
        elif name.isupper() and isinstance(value, tuple):
            found += [f"{package}.{line.handler}" for line in value if hasattr(line, "handler")]
    return found


def plugins(folder: str) -> list[Path]:
    """The plug-in files of a folder, without those that another file of the folder imports: a plug-in in two parts."""
    paths = [path for path in sorted((ROOT / folder).glob("*.py")) if path.name != "__init__.py"]
    imported = {module for path in paths for module in imported_modules(path)}
    return [path.relative_to(ROOT) for path in paths if module_of(path.relative_to(ROOT)) not in imported]


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def has_test(path: Path) -> bool:
    """A test file of its own, or one of the whole folder that names it."""
    tests = ROOT / "tests/unit"
    of_the_folder = tests.rglob(f"{path.parts[-3]}/test_{path.parts[-2]}.py")
    return any(tests.rglob(f"test_{path.name}")) or any(path.stem in file.read_text() for file in of_the_folder)


@pytest.mark.parametrize("folder", KINDS)
def test_the_folder_has_a_table(folder: str) -> None:
    assert targets(folder), f"{folder}/__init__.py holds no table"


@pytest.mark.parametrize("target", [target for folder in KINDS for target in targets(folder)])
def test_every_line_leads_to_something(target: str) -> None:
    module, _, name = target.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(("folder", "path"), [(folder, path) for folder in KINDS for path in plugins(folder)], ids=str)
def test_every_plugin_has_its_line_and_its_test(folder: str, path: Path) -> None:
    named = {target.partition(":")[0] for target in targets(folder)}
    assert module_of(path) in named, f"{path} is in no table of {folder}/__init__.py"
    assert has_test(path), f"{path} has no tests/unit/**/test_{path.name}"
