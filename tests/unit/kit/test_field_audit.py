"""The field audit finds tests that do not show their field, and fields that no test shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = """
import pytest
from tests.kit.config import compiled

TEXT = "static_resources: {clusters: [{name: a, connect_timeout: 1s, type: STRICT_DNS}]}"
CLUSTER = "envoy.config.cluster.v3.Cluster"

@pytest.mark.field(f"{CLUSTER}.connect_timeout", f"{CLUSTER}.type=STRICT_DNS")
def test_good():
    cluster = compiled(TEXT).clusters[0]
    assert (cluster.connect_timeout, cluster.type) == (1.0, "STRICT_DNS")

@pytest.mark.field(f"{CLUSTER}.connect_timeout")
def test_blind():
    assert compiled(TEXT).clusters[0].name == "a"

@pytest.mark.field(f"{CLUSTER}.alt_stat_name")
def test_absent():
    assert compiled(TEXT).clusters[0].alt_stat_name == "b"

@pytest.mark.field(f"{CLUSTER}.type=LOGICAL_DNS")
def test_other_value():
    assert compiled(TEXT).clusters[0].type == "LOGICAL_DNS"

@pytest.fixture(scope="module")
def shared():
    return compiled(TEXT).clusters[0].connect_timeout

@pytest.mark.field(f"{CLUSTER}.type=STRICT_DNS")
def test_blind_with_shared_fixture(shared):
    assert shared == 1.0

@pytest.mark.field(f"{CLUSTER}.connect_timeout")
def test_good_with_shared_fixture(shared):
    assert shared == 1.0

@pytest.mark.parametrize("name", [pytest.param("a", marks=pytest.mark.field(f"{CLUSTER}.name")), "b"])
def test_parameters(name):
    assert compiled(TEXT.replace("name: a", f"name: {name}")).clusters[0].name == name

def test_untagged():
    assert False
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the audit says of `TESTS`."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "test_audited.py").write_text(TESTS)
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.kit.plugin", "--field-audit", "-vv", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 1, process.stdout + process.stderr
    return process.stdout


@pytest.mark.parametrize(
    ("test", "field", "verdict"),
    [
        ("test_good", "connect_timeout", "PASSED"),
        ("test_good", "type=STRICT_DNS", "PASSED"),
        ("test_blind", "connect_timeout", "FAILED"),
        ("test_absent", "alt_stat_name", "FAILED"),
        ("test_other_value", "type=LOGICAL_DNS", "FAILED"),
        ("test_blind_with_shared_fixture", "type=STRICT_DNS", "FAILED"),
        ("test_good_with_shared_fixture", "connect_timeout", "PASSED"),
        ("test_parameters", "name", "PASSED"),
    ],
)
def test_verdicts(output: str, test: str, field: str, verdict: str) -> None:
    lines = [line for line in output.splitlines() if f"::{test}[without " in line and f".Cluster.{field}]" in line]
    assert f"] {verdict} " in lines[0]


def test_only_tagged_tests_run(output: str) -> None:
    assert "test_untagged" not in output
    assert "4 failed, 4 passed" in output


def test_reasons(output: str) -> None:
    cluster = "envoy.config.cluster.v3.Cluster"
    assert f"it passes without {cluster}.connect_timeout, so it does not show it" in output
    assert f"no configuration of this test holds {cluster}.alt_stat_name" in output
