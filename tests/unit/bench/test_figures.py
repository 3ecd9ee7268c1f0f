"""Repetitions become medians, ranges, ratios, verdicts and comparisons."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import record
from bench.compare import changes, changes_text
from bench.figures import Cell, Row, Spread, Table, ratio, spread
from bench.report import row_text, verdicts_text
from bench.targets import TARGETS, Target, judge

CPU = Target("s", "cpu", 0.8)


def row(**subjects: list[float]) -> Row:
    """CPU figures, repetition by repetition."""
    return {name: Cell([{"cpu": value} for value in values]) for name, values in subjects.items()}


def test_spread_is_the_median_and_the_whole_range() -> None:
    assert spread([30, 10, 20, 500]) == Spread(25, 10, 500)
    assert spread([]) is None


def test_a_ratio_is_taken_repetition_by_repetition() -> None:
    # The machine was twice as slow in the second repetition: it hit both alike, and the ratio does not show it.
    assert ratio(row(trireme=[40, 80], envoy=[50, 100]), "cpu", "trireme", "envoy") == Spread(0.8, 0.8, 0.8)


def test_an_invalid_cell_has_no_ratio() -> None:
    measured = row(trireme=[40], envoy=[50])
    measured["trireme"].problem = "errors in 7 requests: 1 read"
    assert ratio(measured, "cpu", "trireme", "envoy") is None
    assert ratio(measured, "cpu", "trireme", "absent") is None
    assert "no figures: errors in 7 requests: 1 read" in row_text("title", "s", measured)


def test_what_idle_connections_cost_others_is_told_apart() -> None:
    cell = Cell([{"cpu": 40.0, "burden": value} for value in (1.0, 1.1, 1.5)])
    text = row_text("title", "s", {"trireme": cell})
    assert "trireme: 1.10 (1.00–1.50) times its CPU per request without the idle ones" in text


@pytest.mark.parametrize(
    ("ours", "word", "clear"),
    [([39, 40], "met", True), ([40, 40], "met", True), ([41, 42], "missed", True), ([38, 41, 39], "met", False)],
)
def test_verdict(ours: list[float], word: str, clear: bool) -> None:
    verdict = judge(CPU, {"s": row(trireme=ours, envoy=[50.0] * len(ours))})
    assert (verdict.word, verdict.clear) == (word, clear)
    assert ("do not agree" in str(verdict)) is not clear


def test_a_target_without_figures_is_unknown_not_missed() -> None:
    assert judge(CPU, {}).word == "unknown"
    assert judge(CPU, {"s": row(trireme=[40])}).word == "unknown"


def test_verdicts_are_given_for_the_scenarios_that_ran() -> None:
    text = verdicts_text({TARGETS[0].scenario: row(trireme=[10], envoy=[100])})
    assert f"met      {TARGETS[0]}: measured 0.10" in text
    assert "idle" not in text


def test_compare_speaks_of_better_and_worse_only_beyond_the_spread() -> None:
    def words(before: list[float], after: list[float]) -> set[str]:
        return {word for *_, word in changes({"s": row(trireme=before)}, {"s": row(trireme=after)})}

    assert words([50, 60], [40, 49]) == {"better"}
    assert words([40, 49], [50, 60]) == {"worse"}
    assert words([40, 55], [50, 60]) == {"same"}


def test_compare_shows_the_ratio_to_envoy_beside_the_figure() -> None:
    old, new = {"s": row(trireme=[100], envoy=[50])}, {"s": row(trireme=[100], envoy=[100]), "new": row(trireme=[1])}
    text = changes_text(old, new)
    assert "s trireme cpu: 100 (100–100) → 100 (100–100), +0%" in text
    assert "better  s trireme cpu, ratio to envoy: 2 (2–2) → 1 (1–1), -50%" in text
    assert "new" not in text


def test_a_record_keeps_every_sample(tmp_path: Path) -> None:
    table: Table = {"s": row(trireme=[40, 41], envoy=[50, 51]), "t": {"envoy": Cell(problem="not installed")}}
    record.save(tmp_path / "run.json", table, {"machine": "m"})
    assert record.load(tmp_path / "run.json") == table
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match="not the record"):
        record.load(tmp_path / "other.json")


def test_row_text_shows_a_line_per_subject_with_its_ratio() -> None:
    sample = {"rps": 20_000, "cpu": 40, "user": 25, "system": 15, "p50": 1_500, "p99": 2_000, "p999": 3_000}
    full: Row = {
        "trireme": Cell([{**sample, "memory": 64 << 20}]),
        "envoy": Cell([{**sample, "cpu": 50, "memory": 80 << 20}]),
        "nginx": Cell(problem="nginx is not installed"),
    }
    lines = row_text("a title", "s", full).splitlines()
    assert lines[1] == "s: a title"
    ours = next(line for line in lines if "trireme" in line)
    assert ours.split() == [
        "trireme",
        "20,000",
        "40",
        "(40–40)",
        "25+15",
        "1.5",
        "2",
        "3",
        "64",
        "0.80",
        "(0.80–0.80)",
    ]
    assert lines[-1] == "  nginx: no figures: nginx is not installed"


def test_the_waits_beside_each_attack_are_told_apart() -> None:
    cell = Cell([{"neighbour": 20.0, "beside nobody": 1.0, "beside a flood": 20.0}])
    text = row_text("title", "s", {"trireme": cell, "envoy": cell})
    assert "trireme 20 (20–20) 1.00 (1.00–1.00)" in " ".join(text.split())
    assert "beside a flood: trireme 20 (20–20), envoy 20 (20–20)" in text
