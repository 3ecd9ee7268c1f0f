"""Which hosts get how much: the same on both. Tables of hashing policies are Envoy's, host by host."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest
import xxhash

from proxy.config.cluster import Host
from proxy.config.common import SocketAddress
from proxy.config.lb import Hashing
from proxy.upstream.lb import HashingLoadBalancer, Surroundings
from proxy.upstream.lb.maglev import Maglev
from proxy.upstream.lb.ring_hash import RingHash
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, virtual_host
from tests.kit.client import Connection
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.balancing import DEGRADED, DOWN, assert_alike, cluster, group, host, placed, shares
from tests.parity.rules import of
from tests.unit.upstream.balancing import surroundings

NAMES = ("a", "b", "c", "d", "e", "f")
HALF_DOWN = group(host("a"), host("b", **DOWN))
CASES: dict[str, Fields] = {
    "spill": cluster(HALF_DOWN, group(host("c"), priority=1)),
    "no_spill": cluster(HALF_DOWN, group(host("c"), priority=1), policy={"overprovisioning_factor": 200}),
    "all_spills": cluster(group(host("a", **DOWN)), group(host("c"), priority=1)),
    "weights_of_health": cluster(
        group(host("a", load_balancing_weight=9), host("b", load_balancing_weight=1, **DOWN)),
        group(host("c"), priority=1),
        policy={"weighted_priority_health": True},
    ),
    "degraded": cluster(group(host("a"), host("b", **DEGRADED), host("c", **DOWN))),
    "degraded_of_others": cluster(group(host("a"), host("b", **DOWN)), group(host("c", **DEGRADED), priority=1)),
    "panic": cluster(group(host("a"), host("b", **DOWN), host("c", **DOWN))),
    "panic_of_one": cluster(
        group(host("a", **DOWN), host("b", **DOWN)), group(host("c"), host("d", **DOWN), priority=1)
    ),
    "panic_of_all": cluster(group(host("a", **DOWN)), group(host("c", **DOWN), host("d", **DOWN), priority=1)),
    "threshold": cluster(
        group(host("a"), host("b", **DOWN), host("c", **DOWN)),
        common_lb_config={"healthy_panic_threshold": {"value": 20}},
    ),
    "no_panic": cluster(group(host("a", **DOWN)), common_lb_config={"healthy_panic_threshold": {"value": 0}}),
    "localities": cluster(
        group(host("a"), host("b"), zone="first", load_balancing_weight=1),
        group(host("c"), zone="second", load_balancing_weight=3),
        group(host("d"), zone="third"),
        common_lb_config={"locality_weighted_lb_config": {}},
    ),
    "localities_not_well": cluster(
        group(host("a"), host("b", **DOWN), zone="first", load_balancing_weight=1),
        group(host("c"), zone="second", load_balancing_weight=1),
        common_lb_config={"locality_weighted_lb_config": {}},
    ),
    "random": cluster(group(host("a", load_balancing_weight=5), host("b")), lb_policy="RANDOM"),
    "least_request": cluster(group(host("a"), host("b"), host("c")), lb_policy="LEAST_REQUEST"),
    "least_request_by_weight": cluster(group(host("a", load_balancing_weight=4), host("b")), lb_policy="LEAST_REQUEST"),
    "draining": cluster(group(host("a"), host("b", health_status="DRAINING"), host("c", health_status="DRAINING"))),
    "timeout": cluster(group(host("a"), host("b", health_status="TIMEOUT"), host("c", health_status="TIMEOUT"))),
}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(*NAMES) as origin:
        yield origin


@pytest.fixture(scope="module")
def pair(origin: Origin) -> Iterator[Pair]:
    clusters = [{"name": name, **placed(fields, origin)} for name, fields in CASES.items()]
    routes = [route(f"/{name}/", name) for name in CASES]
    text = bootstrap([http_listener(virtual_host("v", ["*"], *routes))], clusters)
    with run_pair(text, apart="which of them gets a request is drawn") as pair:
        yield pair


@pytest.mark.parity(
    "rule 32",
    "rule 33",
    "rule 34",
    "rule 35",
    *of("config.cluster.v3.Cluster", "lb_policy", "common_lb_config"),
    *of("config.endpoint.v3.ClusterLoadAssignment.Policy", "overprovisioning_factor", "weighted_priority_health"),
    *of("config.endpoint.v3.LocalityLbEndpoints", "priority", "load_balancing_weight"),
    *of("config.endpoint.v3.LbEndpoint", "health_status"),
)
@pytest.mark.parametrize("name", CASES)
def test_the_same_shares(pair: Pair, name: str) -> None:
    envoy, ours = (shares(proxy.address(), name) for proxy in (pair.envoy, pair.ours))
    assert_alike(ours, envoy)


@pytest.mark.parity("rule 34")
def test_the_same_picks_in_panic(pair: Pair) -> None:
    stats = [proxy.stats() for proxy in (pair.envoy, pair.ours)]
    for name in ("panic", "panic_of_one", "panic_of_all", "threshold", "no_panic"):
        envoy, ours = (one.get(f"cluster.{name}.lb_healthy_panic", 0) for one in stats)
        assert ours == envoy, name


WEIGHTS = [1, 1, 4, 2, 1, 1]
TABLES: dict[str, tuple[Fields, type[RingHash | Maglev], Hashing]] = {
    "ring": ({"lb_policy": "RING_HASH"}, RingHash, Hashing()),
    "small_ring": (
        {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 16, "maximum_ring_size": 17}},
        RingHash,
        Hashing(minimum_ring_size=16, maximum_ring_size=17),
    ),
    "murmur": (
        {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"hash_function": "MURMUR_HASH_2"}},
        RingHash,
        Hashing(murmur=True),
    ),
    "maglev": ({"lb_policy": "MAGLEV"}, Maglev, Hashing()),
    "small_table": (
        {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 101}},
        Maglev,
        Hashing(table_size=101),
    ),
}


@pytest.fixture(scope="module")
def envoy(origin: Origin) -> Iterator[Envoy]:
    hosts = [host(name, load_balancing_weight=weight) for name, weight in zip(NAMES, WEIGHTS, strict=True)]
    clusters = [
        {"name": name, **placed(cluster(group(*hosts)), origin), **fields} for name, (fields, _, _) in TABLES.items()
    ]
    by_header = {"hash_policy": [{"header": {"header_name": "x-key"}}]}
    routes = [route(f"/{name}/", name, **by_header) for name in TABLES]
    with Envoy(bootstrap([http_listener(virtual_host("v", ["*"], *routes))], clusters)) as envoy:
        yield envoy


@pytest.mark.parity(
    *of("config.cluster.v3.Cluster", "ring_hash_lb_config", "maglev_lb_config"),
    *of("config.cluster.v3.Cluster.RingHashLbConfig", "minimum_ring_size", "maximum_ring_size", "hash_function"),
    *of("config.cluster.v3.Cluster.MaglevLbConfig", "table_size"),
)
@pytest.mark.parametrize("name", TABLES)
def test_the_same_table(envoy: Envoy, origin: Origin, name: str) -> None:
    _, policy, options = TABLES[name]
    total = sum(WEIGHTS)
    hosts = [Host(slot, SocketAddress("127.0.0.1", origin.ports[name])) for slot, name in enumerate(NAMES)]
    known: Surroundings = surroundings()
    table: HashingLoadBalancer = policy(known._replace(config=type(known.config)(hashing=options)))
    table.update([(one, weight / total) for one, weight in zip(hosts, WEIGHTS, strict=True)])
    with contextlib.closing(Connection(envoy.address()).__enter__()) as connection:
        for number in range(150):
            request = f"GET /{name}/ HTTP/1.1\r\nhost: h\r\nx-key: key-{number}\r\n\r\n"
            theirs = json.loads(connection.request(request.encode()).body)["origin"]
            ours = table.find(xxhash.xxh64_intdigest(b"key-%d" % number))
            assert ours is hosts[NAMES.index(theirs)], number
