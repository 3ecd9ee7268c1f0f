"""Bootstraps of public projects, each accepted by Envoy 1.40: taken whole, or refused for unsupported fields alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.config.check import Checked, check
from master.config.finding import Finding
from master.config.source import read

CORPUS = Path(__file__).parents[5] / "shared" / "envoy-configs"
FLOOR = 7
"""How many were taken whole when this was last written. It only rises."""


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Checked]:
    files = sorted(path for path in CORPUS.glob("*") if path.suffix in (".yaml", ".json"))
    if not files:
        pytest.skip("the corpus of public bootstraps is not beside this checkout")
    found = {}
    for path in files:
        source = read(str(path))
        assert not isinstance(source, Finding)
        found[path.name] = check([source], allow_unsupported=False, version=1)
    return found


def test_as_many_are_taken_whole_as_ever(verdicts: dict[str, Checked], capsys: pytest.CaptureFixture[str]) -> None:
    whole = [name for name, checked in verdicts.items() if not checked.findings]
    with capsys.disabled():
        print(f"\n{len(whole)} of {len(verdicts)} public bootstraps are accepted whole")
    assert len(whole) >= FLOOR


def test_the_rest_name_their_unsupported_fields_and_nothing_else(verdicts: dict[str, Checked]) -> None:
    other = {
        name: [(finding.kind, finding.field_path, finding.message) for finding in checked.findings]
        for name, checked in verdicts.items()
        if any(finding.kind != "unsupported" for finding in checked.findings)
    }
    assert other == {}


def test_all_of_them_compile_for_a_user_who_accepts_it(verdicts: dict[str, Checked]) -> None:
    """With `--allow-unsupported` the same findings are warnings."""
    for name in verdicts:
        source = read(str(CORPUS / name))
        assert not isinstance(source, Finding)
        checked = check([source], allow_unsupported=True, version=1)
        assert {finding.severity for finding in checked.findings} <= {"warning"}
        assert checked.config is not None
