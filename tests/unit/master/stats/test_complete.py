"""Names beyond what anybody counts."""

from __future__ import annotations

from master.stats.complete import NO_CERTIFICATE, complete
from master.stats.snapshot import take
from shm.metrics import Metrics


def test_each_scope_has_its_names_and_what_is_counted_stays() -> None:
    metrics = Metrics(
        counters={
            "cluster.a.upstream_cx_total": 0,
            "cluster.b.upstream_cx_total": 2,
            "cluster.b.upstream_rq_retry": 7,
            "cluster.b.upstream_cx_http1_total": 1,
            "cluster.b.http2.rx_reset": 0,
            "listener.x.downstream_cx_total": 3,
            "listener.admin.downstream_cx_total": 5,
            "listener.x.worker_0.downstream_cx_total": 3,
            "http.p.downstream_cx_total": 3,
            "http.p.rq_total": 3,
            "http.admin.downstream_cx_total": 5,
        },
        gauges={"server.concurrency": 2, "cluster.b.membership_total": 1},
    )
    found = complete(metrics)
    counters, gauges = found.counters, found.gauges
    assert (counters["cluster.a.upstream_rq_retry"], counters["cluster.b.upstream_rq_retry"]) == (0, 7)
    assert (counters["cluster.a.membership_change"], counters["cluster.b.membership_change"]) == (0, 1)
    assert "cluster.a.http1.response_flood" not in counters
    assert counters["cluster.b.http1.response_flood"] == 0
    assert "cluster.a.http2.metadata_empty_frames" not in counters
    assert counters["cluster.b.http2.metadata_empty_frames"] == 0
    assert counters["http.p.rq_redirect"] == counters["http.p.tracing.not_traceable"] == 0
    assert "http.admin.rq_redirect" not in counters
    assert counters["http.admin.downstream_cx_destroy_remote_active_rq"] == 0
    assert "listener.x.worker_0.downstream_cx_overflow" not in counters
    assert "listener.admin.extension_config_missing" not in counters
    assert counters["listener.admin.main_thread.downstream_cx_total"] == 5
    assert (counters["cluster_manager.cluster_added"], counters["listener_manager.listener_create_success"]) == (2, 2)
    assert gauges["thread_local_cluster_manager.worker_1.clusters_inflated"] == 2
    assert "thread_local_cluster_manager.worker_2.clusters_inflated" not in gauges
    assert gauges["server.days_until_first_cert_expiring"] == NO_CERTIFICATE
    assert found.histograms["listener.x.connections_accepted_per_socket_event"] == {}
    assert len(metrics.counters) == 11


def test_request_times_show_after_the_first_and_also_as_external() -> None:
    name, external = "cluster.a.upstream_rq_time", "cluster.a.external.upstream_rq_time"
    counters = {"cluster.a.upstream_cx_total": 1}
    assert not {name, external} & take(Metrics(counters, {}, {external: {}}), {}, {}).histograms.keys()
    found = take(Metrics(counters, {}, {external: {1: 2}}), {}, {external: {1: 1}})
    assert found.histograms[name] == found.histograms[external] == {1: 2}
    assert found.intervals[name] == found.intervals[external] == {1: 1}
