"""Which gauges count as used although they are zero."""

from __future__ import annotations

import pytest

from master.stats.snapshot import Snapshot
from master.stats.used import gauge_used


@pytest.mark.parametrize(
    ("gauge", "counter"),
    [
        ("cluster.a.upstream_rq_active", "cluster.a.upstream_rq_total"),
        ("cluster.a.circuit_breakers.default.cx_open", "cluster.a.upstream_cx_total"),
        ("listener.0.0.0.0_80.worker_1.downstream_cx_active", "listener.0.0.0.0_80.worker_1.downstream_cx_total"),
        ("http.in.downstream_rq_active", "http.in.downstream_rq_total"),
    ],
)
def test_a_gauge_that_fell_back_to_zero_was_used(gauge: str, counter: str) -> None:
    assert gauge_used(gauge, {counter: 1})
    assert not gauge_used(gauge, {counter: 0})
    assert not gauge_used(gauge, {})


def test_what_nothing_tells_is_unused() -> None:
    assert not gauge_used("cluster.a.max_host_weight", {"cluster.a.upstream_cx_total": 1})
    assert gauge_used("server.state", {})
    assert gauge_used("cluster.a.warming_state", {})


def test_the_companion_need_not_be_among_those_asked_for() -> None:
    stats = Snapshot({"http.x.downstream_rq_total": 2}, {"http.x.downstream_rq_active": 0}, {"http.x.t": {}}, {})
    chosen = stats.select(lambda name: name.endswith("active"), used_only=True)
    assert chosen == Snapshot({}, {"http.x.downstream_rq_active": 0}, {}, {})
