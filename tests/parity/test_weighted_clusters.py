"""Weighted clusters of HTTP routes: what may be written, and that the shares of the traffic are Envoy's."""

from __future__ import annotations

import pytest

from tests.kit.client import Connection
from tests.kit.config import bootstrap, findings
from tests.kit.envoy import validate
from tests.kit.origin import Origin
from tests.kit.parity import run_pair
from tests.parity.rules import of

REQUESTS = 300
CLUSTERS = (
    "{name: origin, weight: 1}, {name: second, weight: 3}",
    "{name: origin, weight: 0}, {name: second, weight: 1}",
    "{name: origin, weight: 0}, {name: second, weight: 0}",
    "{name: origin}, {name: second, weight: 1}",
    "{name: '', weight: 1}",
    "{weight: 1}",
    "",
    "{name: nope, weight: 1}",
    "{name: nope, weight: 0}, {name: origin, weight: 1}",
    "{name: origin, weight: 4294967295}",
    "{name: origin, weight: 4294967295}, {name: second, weight: 1}",
    "{name: origin, weight: 1}, {name: origin, weight: 1}",
)


def with_clusters(clusters: str, port: int = 1) -> str:
    route = f'{{match: {{prefix: "/"}}, route: {{weighted_clusters: {{clusters: [{clusters}]}}}}}}'
    host = f"{{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"
    return bootstrap(
        route_config=f'{{name: local, virtual_hosts: [{{name: all, domains: ["*"], routes: [{route}]}}]}}',
        clusters="".join(
            f"- name: {name}\n"
            f"  load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {host}}}]}}]}}\n"
            for name in ("origin", "second")
        ),
    )


@pytest.mark.parity("rule 66", *of("config.route.v3.RouteAction", "weighted_clusters"))
@pytest.mark.parametrize("clusters", CLUSTERS)
def test_the_same_verdict(clusters: str) -> None:
    text = with_clusters(clusters)
    accepted, said = validate(text)
    assert (findings(text) == []) == accepted, said


@pytest.mark.parity(
    *of("config.route.v3.RouteAction", "weighted_clusters"),
    *of("config.route.v3.WeightedCluster.ClusterWeight", "weight"),
)
def test_the_same_shares() -> None:
    with Origin() as origin, run_pair(with_clusters(CLUSTERS[0], origin.port), apart="each draws on its own") as pair:
        for side in (pair.envoy, pair.ours):
            with Connection(side.address()) as connection:
                for _ in range(REQUESTS):
                    assert connection.request(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").status == 200
            found = {name: side.stats()[f"cluster.{name}.upstream_rq_200"] for name in ("origin", "second")}
            assert sum(found.values()) == REQUESTS
            assert 30 < found["origin"] < 130  # 75 expected, six standard deviations
