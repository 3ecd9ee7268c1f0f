"""Envoy bootstraps from public repositories, each accepted by Envoy: loading finds nothing wrong with any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.config.check import check
from master.config.loader import load
from master.config.report import render
from master.config.source import Source, read

CORPUS = Path(__file__).parents[5] / "shared" / "envoy-configs"
FILES = sorted(path for path in CORPUS.glob("*") if path.suffix in (".yaml", ".json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_loads_without_a_finding(path: Path) -> None:
    source = read(str(path))
    assert isinstance(source, Source)
    loaded = load([source])
    assert render(loaded.findings, loaded.locate, color=False) == ""
    assert loaded.message.IsInitialized()


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus of Envoy bootstraps is not at {CORPUS}")
def test_there_is_a_corpus() -> None:
    assert len(FILES) >= 50


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus of Envoy bootstraps is not at {CORPUS}")
def test_the_rest_name_their_unsupported_fields_and_nothing_else() -> None:
    """Prints how many are accepted whole (`pytest -s`)."""
    accepted = 0
    for path in FILES:
        source = read(str(path))
        assert isinstance(source, Source)
        findings = check([source], allow_unsupported=False, version=1).findings
        assert {finding.kind for finding in findings} <= {"unsupported"}, path.name
        assert all(finding.path for finding in findings)
        accepted += not findings
    print(f"\n{accepted} of {len(FILES)} bootstraps of the corpus are accepted whole")
    assert accepted >= 7
