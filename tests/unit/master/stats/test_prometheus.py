"""The exposition format, read back by Prometheus' own client library."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.stats import prometheus
from master.stats.snapshot import Snapshot
from shm.histogram import bucket_of

parser = pytest.importorskip("prometheus_client.parser")

# A stat's name may hold anything that a resource's name may; dots separate and cannot be part of a token.
TOKEN = st.text(st.characters(exclude_characters=".", exclude_categories=("Cs",)), min_size=1, max_size=20)


def parse(text: str) -> dict[str, Any]:
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def snapshot(
    counters: dict[str, int] | None = None,
    gauges: dict[str, int] | None = None,
    histograms: dict[str, dict[int, int]] | None = None,
    intervals: dict[str, dict[int, int]] | None = None,
) -> Snapshot:
    return Snapshot(counters or {}, gauges or {}, histograms or {}, intervals or {})


@given(TOKEN, st.integers(0, 2**63))
def test_any_cluster_name_comes_back_as_the_label(name: str, value: int) -> None:
    text = "".join(prometheus.render(snapshot({f"cluster.{name}.upstream_cx_total": value})))
    (sample,) = parse(text)["envoy_cluster_upstream_cx"].samples
    assert sample.labels == {"envoy_cluster_name": name}
    assert sample.value == value


@given(TOKEN)
def test_metric_names_are_always_valid(name: str) -> None:
    text = "".join(prometheus.render(snapshot(gauges={name: 1})))
    (family,) = parse(text).values()
    assert family.type == "gauge"


def test_families_are_sorted_inside_counters_then_gauges_then_histograms() -> None:
    text = "".join(
        prometheus.render(
            snapshot(
                {"cluster.b.upstream_cx_total": 2, "cluster.a.upstream_cx_total": 1, "server.x": 0},
                {"server.live": 1},
                {"server.initialization_time_ms": {bucket_of(22): 1}},
            )
        )
    )
    lines = text.splitlines()
    assert lines[:6] == [
        "# TYPE envoy_cluster_upstream_cx_total counter",
        'envoy_cluster_upstream_cx_total{envoy_cluster_name="a"} 1',
        'envoy_cluster_upstream_cx_total{envoy_cluster_name="b"} 2',
        "# TYPE envoy_server_x counter",
        "envoy_server_x{} 0",
        "# TYPE envoy_server_live gauge",
    ]
    assert lines[7] == "# TYPE envoy_server_initialization_time_ms histogram"
    assert lines[-1] == "envoy_server_initialization_time_ms_count{} 1"


def test_a_histogram_is_cumulative_up_to_infinity() -> None:
    buckets = {bucket_of(0): 1, bucket_of(7): 2, bucket_of(10**9): 1}
    text = "".join(prometheus.render(snapshot(histograms={"http.in.downstream_rq_time": buckets})))
    family = parse(text)["envoy_http_downstream_rq_time"]
    counts = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert (counts["0.5"], counts["5"], counts["10"], counts["3600000"], counts["+Inf"]) == (1, 1, 3, 3, 4)


def test_a_summary_tells_of_the_interval() -> None:
    stats = snapshot(histograms={"a": {bucket_of(7): 2}, "b": {bucket_of(7): 2}}, intervals={"a": {bucket_of(12): 1}})
    families = parse("".join(prometheus.render(stats, "summary")))
    values = {sample.labels.get("quantile"): sample.value for sample in families["envoy_a"].samples}
    assert values["0.5"] == 12.5
    assert all(math.isnan(s.value) for s in families["envoy_b"].samples if "quantile" in s.labels)
