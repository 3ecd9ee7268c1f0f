"""`/stats` as text and JSON; tests/parity/test_stats_format.py compares both with the real Envoy."""

from __future__ import annotations

import json

import pytest

from master.stats import json as json_format
from master.stats import text
from master.stats.snapshot import Snapshot
from shm.histogram import bucket_of

STATS = Snapshot(
    {"cluster.b.upstream_rq_total": 3},
    {"cluster.a.upstream_cx_active": 1},
    {"used": {bucket_of(0): 1, bucket_of(12): 1}, "unused": {}},
    {"used": {bucket_of(12): 1}},
)


def test_counters_and_gauges_by_name_then_histograms_by_name() -> None:
    lines = "".join(text.render(STATS)).splitlines()
    assert lines[:3] == [
        "cluster.a.upstream_cx_active: 1",
        "cluster.b.upstream_rq_total: 3",
        "unused: No recorded values",
    ]
    assert lines[3].startswith("used: P0(12.5,0) P25(12.5,0) P50(12.5,0) P75(12.5,12.5)")
    assert lines[3].endswith("P99.9(12.5,12.5) P100(12.5,12.5)")


def test_an_interval_without_samples_is_nan() -> None:
    quiet = Snapshot({}, {}, {"used": {bucket_of(12): 1}}, {})
    assert "P50(nan,12.5)" in "".join(text.render(quiet))
    shown = json.loads(json_format.render(quiet))["stats"][0]["histograms"]["computed_quantiles"][0]
    assert shown["values"][0] == {"cumulative": 12.5, "interval": None}


def test_bucket_modes_of_text() -> None:
    assert "B0.5(0,1) B1(0,1) B5(0,1) B10(0,1) B25(1,2)" in "".join(text.render(STATS, "cumulative"))
    assert "B0.5(0,1) B1(0,0) B5(0,0) B10(0,0) B25(1,1)" in "".join(text.render(STATS, "disjoint"))
    detailed = "".join(text.render(STATS, "detailed"))
    assert "used:\n  totals=0,0:1, 12,1:1\n  intervals=12,1:1\n  summary=P0(" in detailed


@pytest.mark.parametrize("mode", json_format.MODES)
def test_json_holds_the_same_stats_in_every_mode(mode: str) -> None:
    stats = json.loads(json_format.render(STATS, mode))["stats"]
    assert stats[:2] == [
        {"name": "cluster.a.upstream_cx_active", "value": 1},
        {"name": "cluster.b.upstream_rq_total", "value": 3},
    ]
    assert '"unused"' in json.dumps(stats[2]["histograms"])


def test_json_of_nothing() -> None:
    assert json_format.render(Snapshot({}, {}, {}, {})) == b'{"stats":[]}'
