"""Clusters whose hosts are not their own, in words."""

from __future__ import annotations

import pytest

from master.explain.request.explain import explain
from master.explain.request.question import read
from master.explain.request.text import verdict
from tests.kit.config import bootstrap, compiled

AGGREGATE = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
FORWARD = "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"


def endpoint(port: int) -> str:
    address = f"address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}"
    return f"load_assignment: {{cluster_name: x, endpoints: [{{lb_endpoints: [{{endpoint: {{{address}}}}}]}}]}}"


def typed(url: str, body: str) -> str:
    return f'lb_policy: CLUSTER_PROVIDED, cluster_type: {{name: x, typed_config: {{"@type": {url}, {body}}}}}'


CLUSTERS = f"""
- {{name: a, {endpoint(1)}}}
- {{name: b, {endpoint(2)}}}
- {{name: none}}
- {{name: both, {typed(AGGREGATE, "clusters: [a, b]")}}}
- {{name: empty, {typed(AGGREGATE, "clusters: [none]")}}}
- {{name: original, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED}}
- {{name: forward, {typed(FORWARD, "dns_cache_config: {name: cache}")}}}
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a", "cluster a: 1 host"),
        ("both", "cluster both: 2 hosts, those of a, b, in this order"),
        ("empty", "cluster empty: no hosts"),
        ("original", "cluster original: each request says which its host is"),
        ("forward", "cluster forward: each request says which its host is"),
    ],
)
def test_where_a_request_goes(name: str, words: str) -> None:
    routes = (
        f'virtual_hosts: [{{name: v, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: {name}}}}}]}}]'
    )
    config = compiled(bootstrap(route_config=routes, clusters=CLUSTERS))
    assert words in verdict(explain(read("GET", "http://x/", ()), config, config.endpoints))
