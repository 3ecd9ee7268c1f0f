"""Zone-aware routing and `fail_traffic_on_panic`: the same shares, and what they count in, on both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.balancing import DEGRADED, DOWN, assert_alike, cluster, group, host, placed, shares
from tests.parity.rules import of

ZONES = "config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig"
EXTENSION = "extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig"
NAMES = ("a", "b", "c", "d", "e", "f")
REQUESTS = 180


def zoned(here: str, there: str, elsewhere: str = "", **fields: Fields) -> Fields:
    """A cluster with these hosts in the zone of the proxies, and in others."""
    groups = (("first", here), ("second", there), ("third", elsewhere))
    return cluster(*(group(*map(host, names), zone=zone) for zone, names in groups if names), **fields)


def aware(**fields: object) -> Fields:
    return {"common_lb_config": {"zone_aware_lb_config": fields}}


def by(name: str, **fields: object) -> Fields:
    package = "random.v3.Random" if name == "Random" else "subset.v3.Subset"
    config = {"@type": f"type.googleapis.com/envoy.extensions.load_balancing_policies.{package}", **fields}
    return {"policies": [{"typed_extension_config": {"name": "envoy.lb", "typed_config": config}}]}


SMALL = aware(min_cluster_size=1)
RANDOM = by("Random", locality_lb_config=SMALL["common_lb_config"])
CASES: dict[str, Fields] = {
    "part_stays": zoned("ab", "cdef"),
    "all_stay": zoned("abc", "d", **SMALL),
    "nobody_here": zoned("", "ab", "c", **SMALL),
    "spare_in_the_third": zoned("a", "bc", "def", **SMALL),
    "small": zoned("abc", "de"),
    "half": zoned("abc", "d", **aware(min_cluster_size=1, routing_enabled={"value": 50})),
    "never": zoned("abc", "d", **aware(min_cluster_size=1, routing_enabled={"value": 0})),
    "one_zone": zoned("abcdef", ""),
    "least_request": zoned("ab", "cdef", lb_policy="LEAST_REQUEST"),
    "extension": zoned("ab", "cdef", load_balancing_policy=RANDOM),
    "subsets": zoned(
        "ab",
        "cdef",
        load_balancing_policy=by(
            "Subset",
            fallback_policy="ANY_ENDPOINT",
            subset_selectors=[{"keys": ["none"]}],
            subset_lb_policy=RANDOM,
        ),
    ),
    "degraded": cluster(
        group(host("a"), host("b", **DEGRADED), zone="first"),
        group(host("c"), host("d", **DEGRADED), host("e", **DEGRADED), zone="second"),
        **SMALL,
    ),
    "of_the_second_priority": cluster(
        group(host("a", **DOWN), zone="first"),
        group(host("b"), zone="first", priority=1),
        group(host("c"), zone="second", priority=1),
        **SMALL,
    ),
    "panic": cluster(group(host("a"), host("b", **DOWN), host("c", **DOWN))),
    "panic_fails": cluster(group(host("a"), host("b", **DOWN), host("c", **DOWN)), **aware(fail_traffic_on_panic=True)),
}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(*NAMES) as origin:
        yield origin


@pytest.fixture(scope="module")
def pair(origin: Origin) -> Iterator[Pair]:
    proxies = cluster(group(host("a"), zone="first"), group(host("b"), zone="second"))
    clusters = [{"name": name, **placed(fields, origin)} for name, fields in {"proxies": proxies, **CASES}.items()]
    routes = [route(f"/{name}/", name) for name in CASES]
    parts = yaml.safe_load(bootstrap([http_listener(virtual_host("v", ["*"], *routes))], clusters))
    parts["node"] = {"id": "one", "cluster": "edge", "locality": {"zone": "first"}}
    parts["cluster_manager"] = {"local_cluster_name": "proxies"}
    with run_pair(yaml.safe_dump(parts), apart="which of them gets a request is drawn") as pair:
        yield pair


@pytest.mark.parity(
    "rule 35",
    *of("config.bootstrap.v3.ClusterManager", "local_cluster_name"),
    *of(ZONES, "routing_enabled", "min_cluster_size", "fail_traffic_on_panic"),
    *of(EXTENSION, "min_cluster_size"),
)
@pytest.mark.parametrize("name", CASES)
def test_the_same_shares(pair: Pair, name: str) -> None:
    before = [proxy.stats() for proxy in (pair.envoy, pair.ours)]
    envoy, ours = (shares(proxy.address(), name, REQUESTS) for proxy in (pair.envoy, pair.ours))
    assert_alike(ours, envoy, REQUESTS)
    after = [proxy.stats() for proxy in (pair.envoy, pair.ours)]

    def counted(which: int, stat: str) -> int:
        return after[which].get(f"cluster.{name}.{stat}", 0) - before[which].get(f"cluster.{name}.{stat}", 0)

    for stat in ("lb_healthy_panic", "lb_zone_no_capacity_left"):
        assert counted(1, stat) == counted(0, stat), stat
    drawn = ("lb_zone_routing_all_directly", "lb_zone_routing_cross_zone", "lb_zone_routing_sampled")
    of_envoy, of_ours = ({stat: counted(which, stat) / REQUESTS for stat in drawn} for which in (0, 1))
    assert_alike(of_ours, of_envoy, REQUESTS)
    for stat in ("lb_zone_cluster_too_small", "lb_local_cluster_not_ok", "lb_recalculate_zone_structures"):
        of_both = [one.get(f"cluster.{name}.{stat}", 0) > 0 for one in after]  # each thread of Envoy's counts
        assert of_both[0] == of_both[1], stat
