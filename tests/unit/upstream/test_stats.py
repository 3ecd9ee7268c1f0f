"""Stat handles of a cluster."""

from __future__ import annotations

from proxy.stats import MemoryStats
from proxy.upstream.stats import ClusterStats


def test_names_exist_from_the_start_but_codes_from_their_first_use() -> None:
    memory = MemoryStats()
    stats = ClusterStats(memory, "c")
    assert memory.words.keys() >= {"cluster.c.upstream_cx_total", "cluster.c.upstream_rq_tx_reset"}
    assert "cluster.c.external.upstream_rq_200" not in memory.words
    stats.outcomes(internal=False).charge(200)
    stats.outcomes(internal=False).charge(200)
    assert memory.value("cluster.c.external.upstream_rq_200") == 2


def test_how_a_connection_ended() -> None:
    memory = MemoryStats()
    stats = ClusterStats(memory, "c")
    for remote, active in [(True, True), (True, False), (False, True), (False, False), (False, False)]:
        stats.charge_destroy(remote=remote, with_active_rq=active, length_ms=5)
    prefix = "cluster.c.upstream_cx_destroy"
    names = ["", "_remote", "_local", "_with_active_rq", "_remote_with_active_rq", "_local_with_active_rq"]
    assert [memory.value(prefix + name) for name in names] == [5, 2, 3, 2, 1, 1]
    assert memory.samples["cluster.c.upstream_cx_length_ms"].values == [5] * 5
