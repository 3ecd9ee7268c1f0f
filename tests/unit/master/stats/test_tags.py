"""Tag extraction; tests/parity/test_stats_format.py compares it with the real Envoy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.stats.tags import extract

TOKEN = st.text(st.characters(exclude_characters=".", exclude_categories=("Cs",)), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("name", "base", "tags"),
    [
        ("cluster.c.upstream_rq_503", "cluster.upstream_rq", {"response_code": "503", "cluster_name": "c"}),
        ("cluster.c.upstream_rq_5xx", "cluster.upstream_rq_xx", {"response_code_class": "5", "cluster_name": "c"}),
        ("cluster.c.upstream_rq_50", "cluster.upstream_rq_50", {"cluster_name": "c"}),
        ("http.in.downstream_cx_total", "http.downstream_cx_total", {"http_conn_manager_prefix": "in"}),
        ("listener.0.0.0.0_80.downstream_cx_total", "listener.downstream_cx_total", {"listener_address": "0.0.0.0_80"}),
        ("listener.[__1]_80.no_filter", "listener.no_filter", {"listener_address": "[__1]_80"}),
        ("listener.web.no_filter", "listener.no_filter", {"listener_address": "web"}),
        ("listener.admin.no_filter", "listener.admin.no_filter", {}),
        (
            "listener.127.0.0.1_80.http.in.downstream_rq_2xx",
            "listener.http.downstream_rq_xx",
            {"response_code_class": "2", "http_conn_manager_prefix": "in", "listener_address": "127.0.0.1_80"},
        ),
        (
            "listener.127.0.0.1_80.worker_3.downstream_cx_active",
            "listener.worker_downstream_cx_active",
            {"worker_id": "3", "listener_address": "127.0.0.1_80"},
        ),
        ("server.worker_0.watchdog_miss", "server.worker_watchdog_miss", {"worker_id": "0"}),
        ("vhost.v.vcluster.c.retry", "vhost.vcluster.retry", {"virtual_cluster": "c", "virtual_host": "v"}),
        ("vhost.v.route.r.retry", "vhost.route.retry", {"route": "r", "virtual_host": "v"}),
        ("tcp.t.downstream_cx_total", "tcp.downstream_cx_total", {"tcp_prefix": "t"}),
        ("l.http_local_rate_limit.ok", "http_local_rate_limit.ok", {"local_http_ratelimit_prefix": "l"}),
        ("server.uptime", "server.uptime", {}),
        ("cluster", "cluster", {}),
        ("", "", {}),
    ],
)
def test_known_names(name: str, base: str, tags: dict[str, str]) -> None:
    extracted = extract(name)
    assert extracted.base == base
    assert dict(extracted.tags) == {f"envoy.{tag}": value for tag, value in tags.items()}


def test_labels_come_in_envoys_order() -> None:
    tags = [tag for tag, _ in extract("cluster.c.upstream_rq_503").tags]
    assert tags == ["envoy.response_code", "envoy.cluster_name"]


@given(TOKEN, st.sampled_from(["upstream_cx_total", "upstream_rq_200", "external.upstream_rq_5xx"]))
def test_any_cluster_name_is_taken_out_whole(cluster: str, rest: str) -> None:
    extracted = extract(f"cluster.{cluster}.{rest}")
    assert dict(extracted.tags)["envoy.cluster_name"] == cluster
    assert extracted.base == extract(f"cluster.x.{rest}").base


@given(st.text(max_size=60))
def test_nothing_but_tags_is_lost(name: str) -> None:
    extracted = extract(name)
    assert len(extracted.base) <= len(name)
    if not extracted.tags:
        assert extracted.base == name
    for _, value in extracted.tags:
        assert value in name
