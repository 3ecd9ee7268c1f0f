"""Every example does what its README says: each `examples/*/check.sh` passes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.proxy import PROXYCTL

ROOT = Path(__file__).resolve().parents[2]
CHECKS = sorted((ROOT / "examples").glob("*/check.sh"))


def test_there_are_examples() -> None:
    assert CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda path: path.parent.name)
def test_example(check: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed, and the examples show what curl answers")
    environment = {**os.environ, "PROXYCTL": shlex.join(PROXYCTL), "PYTHON": sys.executable}
    done = subprocess.run([check], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("example", [check.parent for check in CHECKS], ids=lambda path: path.name)
def test_every_example_is_in_the_indexes(example: Path) -> None:
    for index in ("README.md", "docs/README.md"):
        assert f"examples/{example.name}/" in (ROOT / index).read_text(), index
