"""Load balancing as it is configured: which hosts a cluster's balancer then picks."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import pytest

from proxy.config.common import SocketAddress
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import HostSet
from tests.kit.bootstrap import bootstrap
from tests.kit.config import compiled, findings
from tests.unit.upstream.balancing import surroundings

CLUSTER = "envoy.config.cluster.v3.Cluster"
COMMON = f"{CLUSTER}.CommonLbConfig"
ASSIGNMENT = "envoy.config.endpoint.v3.ClusterLoadAssignment"
LOCALITY = "envoy.config.endpoint.v3.LocalityLbEndpoints"
ENDPOINT = "envoy.config.endpoint.v3.LbEndpoint"
Fields = dict[str, Any]


def endpoint(number: int, **fields: Any) -> Fields:
    """A host whose port is `number`."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": number}}
    hostname = {"hostname": fields.pop("hostname")} if "hostname" in fields else {}
    return {"endpoint": {"address": address, **hostname}, **fields}


def group(*endpoints: Fields, zone: str = "", **fields: Any) -> Fields:
    return {"lb_endpoints": list(endpoints), "locality": {"zone": zone}, **fields}


def text(*groups: Fields, policy: Fields | None = None, **cluster: Any) -> str:
    assignment = {"cluster_name": "c", "endpoints": list(groups), **({"policy": policy} if policy else {})}
    return bootstrap([], [{"name": "c", "load_assignment": assignment, **cluster}])


class Picks:
    """The balancer of a cluster that is configured so; `active` are the requests by port."""

    def __init__(self, configuration: str, **active: int) -> None:
        config = compiled(configuration)
        (cluster,) = config.clusters
        self.balancer = Balancer(
            surroundings(cluster.lb, 1, lambda host: active.get(f"of_{_port(host)}", 0)), lambda: None
        )
        self.balancer.update(HostSet.of(config.endpoints.clusters["c"]))

    def count(self, picks: int = 1000) -> Counter[int]:
        found = [self.balancer.pick() for _ in range(picks)]
        return Counter(_port(host) for host in found if host is not None)


def _port(host: Any) -> int:
    assert isinstance(host.address, SocketAddress)
    return host.address.port


DOWN = {"health_status": "UNHEALTHY"}


@pytest.mark.field(f"{LOCALITY}.priority")
def test_priorities() -> None:
    assert Picks(text(group(endpoint(2), priority=1), group(endpoint(1)))).count(5) == {1: 5}


@pytest.mark.field(f"{ENDPOINT}.health_status")
@pytest.mark.parametrize("status", ["UNHEALTHY", "DRAINING", "TIMEOUT"])
def test_who_is_said_to_be_down(status: str) -> None:
    assert Picks(text(group(endpoint(1), endpoint(2, health_status=status)))).count(5) == {1: 5}


def test_who_is_said_to_be_degraded() -> None:
    picks = Picks(text(group(endpoint(1), endpoint(2, health_status="DEGRADED")))).count()
    assert 650 < picks[1] < 750


@pytest.mark.field(f"{ASSIGNMENT}.policy", f"{ASSIGNMENT}.Policy.overprovisioning_factor")
def test_overprovisioning() -> None:
    groups = group(endpoint(1), endpoint(2, **DOWN)), group(endpoint(3), priority=1)
    assert Picks(text(*groups, policy={"overprovisioning_factor": 200})).count(100) == {1: 100}


@pytest.mark.field(f"{ASSIGNMENT}.Policy.weighted_priority_health")
def test_health_by_weights() -> None:
    heavy = endpoint(1, load_balancing_weight=9)
    groups = group(heavy, endpoint(2, load_balancing_weight=1, **DOWN)), group(endpoint(3), priority=1)
    assert Picks(text(*groups, policy={"weighted_priority_health": True})).count(100) == {1: 100}


@pytest.mark.field(f"{CLUSTER}.common_lb_config", f"{COMMON}.healthy_panic_threshold", "envoy.type.v3.Percent.value")
def test_panic_threshold() -> None:
    groups = group(endpoint(1), endpoint(2, **DOWN))
    picks = Picks(text(groups, common_lb_config={"healthy_panic_threshold": {"value": 50.5}}))
    assert picks.count(10) == {1: 5, 2: 5}


@pytest.mark.field(f"{COMMON}.locality_weighted_lb_config", f"{LOCALITY}.load_balancing_weight")
def test_localities_by_weight() -> None:
    groups = (
        group(endpoint(1), endpoint(2), zone="a", load_balancing_weight=1),
        group(endpoint(3), zone="b", load_balancing_weight=3),
    )
    picks = Picks(text(*groups, common_lb_config={"locality_weighted_lb_config": {}}))
    assert picks.count(400) == {1: 50, 2: 50, 3: 300}


@pytest.mark.field(f"{CLUSTER}.lb_policy=RANDOM")
def test_random() -> None:
    picks = Picks(text(group(endpoint(1), endpoint(2)), lb_policy="RANDOM"))
    one_by_one = [next(iter(picks.count(1))) for _ in range(100)]
    assert any(first == second for first, second in itertools.pairwise(one_by_one))


@pytest.mark.field(f"{CLUSTER}.lb_policy=LEAST_REQUEST")
def test_least_request() -> None:
    picks = Picks(text(group(endpoint(1), endpoint(2)), lb_policy="LEAST_REQUEST"), of_1=3).count(400)
    assert 60 < picks[1] < 140


@pytest.mark.field(f"{CLUSTER}.least_request_lb_config", f"{CLUSTER}.LeastRequestLbConfig.choice_count")
def test_choice_count() -> None:
    options = {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 12}}
    assert Picks(text(group(endpoint(1), endpoint(2)), **options), of_1=3).count(400)[1] < 5


@pytest.mark.field(
    f"{CLUSTER}.LeastRequestLbConfig.active_request_bias", "envoy.config.core.v3.RuntimeDouble.default_value"
)
def test_active_request_bias() -> None:
    bias = {"active_request_bias": {"default_value": 2.0, "runtime_key": "bias"}}
    options = {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": bias}
    groups = group(endpoint(1, load_balancing_weight=2), endpoint(2))
    assert Picks(text(groups, **options), of_1=9).count(300)[1] < 10  # 50 if the bias were 1


def hashing(policy: str, *, numbers: int = 200, groups: tuple[Fields, ...] = (), **cluster: Any) -> list[int]:
    """Where requests go, in order of the numbers that stand for them."""
    spread = groups or (group(*(endpoint(port) for port in range(1, 6))),)
    balancer = Picks(text(*spread, lb_policy=policy, **cluster)).balancer
    return [_port(balancer.pick(number * (2**64 // numbers))) for number in range(numbers)]


@pytest.mark.field(f"{CLUSTER}.lb_policy=RING_HASH")
def test_ring_hash() -> None:
    assert hashing("RING_HASH")[:50] == hashing("RING_HASH", numbers=400)[:100:2]


@pytest.mark.field(f"{CLUSTER}.lb_policy=MAGLEV")
def test_maglev() -> None:
    assert hashing("MAGLEV")[:50] == hashing("MAGLEV", numbers=400)[:100:2]


RING = f"{CLUSTER}.RingHashLbConfig"


@pytest.mark.field(f"{CLUSTER}.ring_hash_lb_config", f"{RING}.minimum_ring_size")
def test_a_larger_ring() -> None:
    assert hashing("RING_HASH", ring_hash_lb_config={"minimum_ring_size": 4096}) != hashing("RING_HASH")


@pytest.mark.field(f"{RING}.maximum_ring_size")
def test_a_smaller_ring() -> None:
    few = {"minimum_ring_size": 1, "maximum_ring_size": 3}
    assert len(set(hashing("RING_HASH", ring_hash_lb_config=few))) < 5


@pytest.mark.field(f"{RING}.hash_function")
def test_another_hash() -> None:
    assert hashing("RING_HASH", ring_hash_lb_config={"hash_function": "MURMUR_HASH_2"}) != hashing("RING_HASH")


@pytest.mark.field(f"{CLUSTER}.maglev_lb_config", f"{CLUSTER}.MaglevLbConfig.table_size")
def test_a_table_of_another_size() -> None:
    assert hashing("MAGLEV", maglev_lb_config={"table_size": 251}) != hashing("MAGLEV")


CONSISTENT = f"{COMMON}.ConsistentHashingLbConfig"


@pytest.mark.field(f"{COMMON}.consistent_hashing_lb_config", f"{CONSISTENT}.use_hostname_for_hashing")
def test_hosts_by_name() -> None:
    named = (group(*(endpoint(port, hostname=f"h{port}") for port in range(1, 6))),)
    by_name = {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}
    assert hashing("RING_HASH", groups=named, common_lb_config=by_name) != hashing("RING_HASH", groups=named)


@pytest.mark.parametrize(
    ("policy", "options", "place"),
    [
        ("RING_HASH", {"ring_hash_lb_config": {"minimum_ring_size": 9, "maximum_ring_size": 8}}, "ring_hash_lb_config"),
        ("MAGLEV", {"maglev_lb_config": {"table_size": 252}}, "maglev_lb_config.table_size"),
        ("MAGLEV", {"ring_hash_lb_config": {"minimum_ring_size": 9}}, "ring_hash_lb_config"),
        ("MAGLEV", {"common_lb_config": {"zone_aware_lb_config": {}}}, "common_lb_config.zone_aware_lb_config"),
        (
            "LEAST_REQUEST",
            {"least_request_lb_config": {"active_request_bias": {"default_value": -1.0, "runtime_key": "b"}}},
            "least_request_lb_config.active_request_bias",
        ),
    ],
)
def test_what_cannot_be(policy: str, options: Fields, place: str) -> None:
    (finding,) = findings(text(group(endpoint(1)), lb_policy=policy, **options))
    assert place in finding.field_path, json.dumps(options)
    assert finding.expected


@pytest.mark.field(f"{COMMON}.override_host_status", "envoy.config.core.v3.HealthStatusSet.statuses")
def test_hosts_that_a_filter_may_choose() -> None:
    statuses = {"override_host_status": {"statuses": ["UNKNOWN", "HEALTHY", "DRAINING"]}}
    (found,) = compiled(text(group(endpoint(1)), common_lb_config=statuses)).clusters
    assert found.lb.override_status == ("DRAINING", "HEALTHY")


@pytest.mark.field(f"{CONSISTENT}.hash_balance_factor")
def test_bounded_loads() -> None:
    bounded = {"consistent_hashing_lb_config": {"hash_balance_factor": 150}}
    (found,) = compiled(text(group(endpoint(1)), lb_policy="MAGLEV", common_lb_config=bounded)).clusters
    assert found.lb.hashing.balance_factor == 150
