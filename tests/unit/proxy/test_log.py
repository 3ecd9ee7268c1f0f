"""The components whose level can be changed are those that the code logs as."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

from proxy import log

ROOT = Path(__file__).resolve().parents[3]


def test_every_logger_of_the_source_is_a_component() -> None:
    used = set()
    for package in ("shm", "proxy", "workers", "master"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger" and node.args:
                    used.add(ast.unparse(node.args[0]).strip("'"))
    assert used - {"component"} <= set(log.COMPONENTS)
    assert set(log.COMPONENTS) - used == {"root"}


def test_levels_are_set_by_name() -> None:
    before = logging.getLogger("dns").level
    log.set_levels({"dns": "critical"})
    assert logging.getLogger("dns").level == logging.CRITICAL
    logging.getLogger("dns").setLevel(before)
