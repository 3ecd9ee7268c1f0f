"""Zones and slow start as they are configured, in both spellings."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from proxy.config.lb import LoadBalancing, SlowStart, ZoneAware
from tests.kit.bootstrap import Fields, static_cluster
from tests.kit.config import compiled, findings
from tests.unit.master.config.compile.test_lb_policies import extension, policy

CLUSTER = "envoy.config.cluster.v3.Cluster"
PACKAGE = "envoy.extensions.load_balancing_policies"
ZONES = f"{CLUSTER}.CommonLbConfig.ZoneAwareLbConfig"
EXTENSION_ZONES = f"{PACKAGE}.common.v3.LocalityLbConfig.ZoneAwareLbConfig"


def text(local: str = "proxies", **cluster: Any) -> str:
    bootstrap: Fields = {
        "node": {"id": "one", "cluster": "x", "locality": {"region": "r", "zone": "z", "sub_zone": "s"}},
        "static_resources": {"clusters": [static_cluster("c", 80, **cluster), static_cluster("proxies", 81)]},
    }
    if local:
        bootstrap["cluster_manager"] = {"local_cluster_name": local}
    return yaml.safe_dump(bootstrap)


def lb(local: str = "proxies", **cluster: Any) -> LoadBalancing:
    return compiled(text(local, **cluster)).clusters[0].lb


HERE = ("r", "z", "s")
OPTIONS = {"routing_enabled": {"value": 40.5}, "min_cluster_size": 3, "fail_traffic_on_panic": True}


@pytest.mark.field(
    f"{CLUSTER}.CommonLbConfig.zone_aware_lb_config",
    f"{ZONES}.routing_enabled",
    f"{ZONES}.min_cluster_size",
    f"{ZONES}.fail_traffic_on_panic",
    "envoy.config.bootstrap.v3.Bootstrap.cluster_manager",
    "envoy.config.bootstrap.v3.ClusterManager.local_cluster_name",
)
def test_zones() -> None:
    assert lb(common_lb_config={"zone_aware_lb_config": OPTIONS}) == LoadBalancing(
        zone_aware=ZoneAware("proxies", HERE, 41, 3), fail_on_panic=True
    )


@pytest.mark.field(
    f"{PACKAGE}.common.v3.LocalityLbConfig.zone_aware_lb_config",
    f"{EXTENSION_ZONES}.routing_enabled",
    f"{EXTENSION_ZONES}.min_cluster_size",
    f"{EXTENSION_ZONES}.fail_traffic_on_panic",
)
def test_zones_of_an_extension() -> None:
    by = extension("Random", locality_lb_config={"zone_aware_lb_config": OPTIONS})
    assert lb(load_balancing_policy=policy(by)) == LoadBalancing(
        "RANDOM", zone_aware=ZoneAware("proxies", HERE, 41, 3), fail_on_panic=True
    )


def test_where_there_is_a_local_cluster_all_but_that_are_aware_of_zones() -> None:
    config = compiled(text())
    assert [one.lb.zone_aware for one in config.clusters] == [ZoneAware("proxies", HERE), None]
    assert lb("").zone_aware is None
    assert lb(common_lb_config={"locality_weighted_lb_config": {}}).zone_aware is None
    assert lb(lb_policy="MAGLEV").zone_aware is None


@pytest.mark.parametrize(
    ("local", "cluster", "message"),
    [
        ("nobody", {}, "unknown cluster 'nobody'"),
        (
            "",
            {"common_lb_config": {"zone_aware_lb_config": {"min_cluster_size": 3}}},
            "nobody says where the proxies are",
        ),
        (
            "",
            {"round_robin_lb_config": {"slow_start_config": {"min_weight_percent": {"value": 5}}}},
            "no host starts slowly without it",
        ),
        (
            "",
            {
                "round_robin_lb_config": {
                    "slow_start_config": {
                        "slow_start_window": "9s",
                        "aggression": {"default_value": 0.0, "runtime_key": "k"},
                    }
                }
            },
            "0 makes no curve",
        ),
    ],
)
def test_what_cannot_be_meant(local: str, cluster: dict[str, Any], message: str) -> None:
    assert [one.message for one in findings(text(local, **cluster))] == [message]


SLOW = {
    "slow_start_window": "90s",
    "aggression": {"default_value": 2.0, "runtime_key": "k"},
    "min_weight_percent": {"value": 25.0},
}


@pytest.mark.field(
    f"{CLUSTER}.round_robin_lb_config",
    f"{CLUSTER}.RoundRobinLbConfig.slow_start_config",
    f"{CLUSTER}.SlowStartConfig.slow_start_window",
    f"{CLUSTER}.SlowStartConfig.aggression",
    f"{CLUSTER}.SlowStartConfig.min_weight_percent",
)
def test_slow_start_of_round_robin() -> None:
    assert lb("", round_robin_lb_config={"slow_start_config": SLOW}).slow_start == SlowStart(90.0, 2.0, 0.25)


@pytest.mark.field(f"{CLUSTER}.LeastRequestLbConfig.slow_start_config")
def test_slow_start_of_least_request() -> None:
    config = {"slow_start_config": {"slow_start_window": "90s"}}
    assert lb("", lb_policy="LEAST_REQUEST", least_request_lb_config=config).slow_start == SlowStart(90.0)


@pytest.mark.field(
    f"{PACKAGE}.round_robin.v3.RoundRobin.slow_start_config",
    f"{PACKAGE}.common.v3.SlowStartConfig.slow_start_window",
    f"{PACKAGE}.common.v3.SlowStartConfig.aggression",
    f"{PACKAGE}.common.v3.SlowStartConfig.min_weight_percent",
)
def test_slow_start_of_an_extension() -> None:
    by = extension("RoundRobin", slow_start_config=SLOW)
    assert lb("", load_balancing_policy=policy(by)).slow_start == SlowStart(90.0, 2.0, 0.25)


@pytest.mark.field(f"{PACKAGE}.least_request.v3.LeastRequest.slow_start_config")
def test_slow_start_of_another_extension() -> None:
    by = extension("LeastRequest", slow_start_config={"slow_start_window": "90s"})
    assert lb("", load_balancing_policy=policy(by)).slow_start == SlowStart(90.0)
