"""`load_balancing_policy`: the extensions balance as Envoy's do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection
from tests.kit.config import findings
from tests.kit.envoy import validate
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.parity.balancing import DEGRADED, DOWN, assert_alike, cluster, group, host, placed, shares
from tests.parity.rules import of

PACKAGE = "extensions.load_balancing_policies"
NAMES = ("a", "b", "c", "d", "e")


def extension(name: str, **fields: Any) -> Fields:
    """`name` is that of the message; its package follows from it."""
    package = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")
    return {"@type": f"type.googleapis.com/envoy.{PACKAGE}.{package}.v3.{name}", **fields}


def policy(*configs: Fields) -> Fields:
    return {
        "policies": [{"typed_extension_config": {"name": "envoy.lb", "typed_config": config}} for config in configs]
    }


def balanced(*groups: Fields, by: Fields, **fields: Any) -> Fields:
    return cluster(*groups, load_balancing_policy=policy(by), **fields)


WEIGHTED = {"locality_weighted_lb_config": {}}
ZONES = (
    group(host("a"), host("b"), zone="first", load_balancing_weight=1),
    group(host("c"), zone="second", load_balancing_weight=3),
)
SHARED: dict[str, Fields] = {
    "round_robin": balanced(*ZONES, by=extension("RoundRobin", locality_lb_config=WEIGHTED)),
    "random": balanced(*ZONES, by=extension("Random", locality_lb_config=WEIGHTED)),
    "not_by_locality": balanced(*ZONES, by=extension("Random")),
    "least_request": balanced(
        group(host("a", load_balancing_weight=4), host("b")), by=extension("LeastRequest", choice_count=3)
    ),
    "full_scan": balanced(
        group(host("a"), host("b"), host("c")), by=extension("LeastRequest", selection_method="FULL_SCAN")
    ),
    "slow_start": balanced(  # all begin together, and have equal shares
        group(host("a"), host("b"), host("c", load_balancing_weight=2)),
        by=extension("RoundRobin", slow_start_config={"slow_start_window": "600s"}),
    ),
    "panic": balanced(
        group(host("a"), host("b", **DOWN), host("c", **DEGRADED)),
        by=extension("RoundRobin"),
        common_lb_config={"healthy_panic_threshold": {"value": 90}},
    ),
}
BY_KEY = {"hash_policy": [{"header": {"header_name": "x-key"}}]}
BY_COOKIE = {"hash_policy": [{"cookie": {"name": "k", "ttl": "0s"}}]}
EVERYBODY = group(*map(host, NAMES))
HASHED: dict[str, Fields] = {
    "ring": balanced(EVERYBODY, by=extension("RingHash", consistent_hashing_lb_config=BY_KEY)),
    "murmur": balanced(
        EVERYBODY,
        by=extension(
            "RingHash",
            hash_function="MURMUR_HASH_2",
            minimum_ring_size=50,
            maximum_ring_size=60,
            consistent_hashing_lb_config=BY_KEY,
        ),
    ),
    "maglev": balanced(EVERYBODY, by=extension("Maglev", table_size=101, consistent_hashing_lb_config=BY_KEY)),
    "of_subsets": balanced(
        EVERYBODY,
        by=extension(
            "Subset",
            fallback_policy="ANY_ENDPOINT",
            subset_selectors=[{"keys": ["stage"]}],
            subset_lb_policy=policy(extension("Maglev", consistent_hashing_lb_config=BY_KEY)),
        ),
    ),
    "ring_by_locality": balanced(
        *ZONES,
        by=extension("RingHash", locality_weighted_lb_config={}, consistent_hashing_lb_config=BY_KEY),
    ),
    "maglev_by_locality": balanced(
        *ZONES, by=extension("Maglev", locality_weighted_lb_config={}, consistent_hashing_lb_config=BY_KEY)
    ),
}


def said(**labels: Any) -> Fields:
    return {"filter_metadata": {"envoy.lb": labels}}


def named(name: str, stage: str, **fields: Any) -> Fields:
    return host(name, metadata=said(stage=stage), **fields)


STAGES = (
    group(named("a", "x"), named("b", "x"), zone="first", load_balancing_weight=1),
    group(named("c", "x"), named("d", "y"), zone="second", load_balancing_weight=3),
    group(named("e", "z", **DOWN), zone="third"),
)
BY_LOCALITY = policy(extension("RoundRobin", locality_lb_config=WEIGHTED))
PLAINLY = policy(extension("RoundRobin"))


def of_stages(*selectors: Fields, by: Fields = PLAINLY, **fields: Any) -> Fields:
    stage = {"keys": ["stage"]}
    return balanced(
        *STAGES, by=extension("Subset", subset_selectors=selectors or [stage], subset_lb_policy=by, **fields)
    )


LISTED = {"metadata_fallback_policy": "FALLBACK_LIST"}
NO_PANIC = {"common_lb_config": {"healthy_panic_threshold": {"value": 0}}}
SINGLE = {"keys": ["stage"], "single_host_per_subset": True}
SUBSETS: dict[str, tuple[Fields, Fields]] = {
    "weighted": (of_stages(by=BY_LOCALITY, locality_weight_aware=True), said(stage="x")),
    "scaled": (of_stages(by=BY_LOCALITY, locality_weight_aware=True, scale_locality_weight=True), said(stage="x")),
    "scaled_to_all": (
        of_stages(
            by=BY_LOCALITY, locality_weight_aware=True, scale_locality_weight=True, fallback_policy="ANY_ENDPOINT"
        ),
        said(stage="?"),
    ),
    "list": (of_stages(**LISTED), said(fallback_list=[{"stage": "?"}, {"stage": "y"}, {"stage": "x"}])),
    "list_over": (of_stages(**LISTED), said(stage="x", fallback_list=[{"stage": "y"}])),
    "list_of_nobody": (of_stages(**LISTED), said(fallback_list=[{"stage": "?"}, {"other": 1}])),
    "list_empty": (of_stages(**LISTED), said(stage="x", fallback_list=[])),
    "list_that_is_none": (of_stages(**LISTED), said(stage="y", fallback_list="x")),
    "list_past_who_is_down": (
        {**of_stages(**LISTED), **NO_PANIC},
        said(fallback_list=[{"stage": "z"}, {"stage": "y"}]),
    ),
    "list_of_another_policy": (of_stages(), said(stage="x", fallback_list=[])),
    "redundant": (of_stages(allow_redundant_keys=True), said(stage="x", other="1")),
    "not_redundant": (of_stages(), said(stage="x", other="1")),
    "single": (of_stages(SINGLE), said(stage="x")),
    "single_though_down": (of_stages(SINGLE), said(stage="z")),
}
BOUNDED: dict[str, Fields] = {
    "bounded_ring": balanced(
        EVERYBODY,
        by=extension("RingHash", consistent_hashing_lb_config={**BY_KEY, "hash_balance_factor": 120}),
    ),
    "bounded_maglev": cluster(
        EVERYBODY,
        lb_policy="MAGLEV",
        common_lb_config={"consistent_hashing_lb_config": {"hash_balance_factor": 100}},
    ),
}
COOKIES = {"cookies": balanced(EVERYBODY, by=extension("RingHash", consistent_hashing_lb_config=BY_COOKIE))}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(*NAMES) as origin:
        yield origin


@pytest.fixture(scope="module")
def pair(origin: Origin) -> Iterator[Pair]:
    everything = {**SHARED, **HASHED, **COOKIES, "bounded_ring": BOUNDED["bounded_ring"]}
    clusters = [{"name": name, **placed(fields, origin)} for name, fields in everything.items()]
    other = {"hash_policy": [{"header": {"header_name": "x-other"}}]}  # does not count
    routes = [route(f"/{name}/", name, **other) for name in everything]
    clusters.append({"name": "bounded_maglev", **placed(BOUNDED["bounded_maglev"], origin)})
    routes.append(route("/bounded_maglev/", "bounded_maglev", **BY_KEY))
    clusters += [{"name": name, **placed(fields, origin)} for name, (fields, _) in SUBSETS.items()]
    routes += [route(f"/{name}/", name, metadata_match=wanted) for name, (_, wanted) in SUBSETS.items()]
    text = bootstrap([http_listener(virtual_host("v", ["*"], *routes))], clusters)
    with run_pair(text, apart="which of them gets a request is drawn") as pair:
        yield pair


@pytest.mark.parity(
    *of("config.cluster.v3.Cluster", "load_balancing_policy"),
    *of(f"{PACKAGE}.round_robin.v3.RoundRobin", "locality_lb_config"),
    *of(f"{PACKAGE}.random.v3.Random", "locality_lb_config"),
    *of(f"{PACKAGE}.common.v3.LocalityLbConfig", "locality_weighted_lb_config"),
    *of(f"{PACKAGE}.least_request.v3.LeastRequest", "choice_count", "selection_method"),
)
@pytest.mark.parametrize("name", SHARED)
def test_the_same_shares(pair: Pair, name: str) -> None:
    envoy, ours = (shares(proxy.address(), name) for proxy in (pair.envoy, pair.ours))
    assert_alike(ours, envoy)


SUBSET = f"{PACKAGE}.subset.v3.Subset"


@pytest.mark.parity(
    *of(
        SUBSET,
        "locality_weight_aware",
        "scale_locality_weight",
        "metadata_fallback_policy",
        "allow_redundant_keys",
    ),
    *of(f"{SUBSET}.LbSubsetSelector", "single_host_per_subset"),
)
@pytest.mark.parametrize("name", SUBSETS)
def test_the_same_subsets(pair: Pair, name: str) -> None:
    requests = 24  # in turn, so that shares are exact but for where the turn begins
    envoy, ours = (shares(proxy.address(), name, requests) for proxy in (pair.envoy, pair.ours))
    assert ours.keys() == envoy.keys()
    assert all(abs(ours[origin] - share) <= 2.5 / requests for origin, share in envoy.items()), (envoy, ours)


@pytest.mark.parity(
    *of(
        f"{PACKAGE}.ring_hash.v3.RingHash",
        "hash_function",
        "minimum_ring_size",
        "maximum_ring_size",
        "consistent_hashing_lb_config",
        "locality_weighted_lb_config",
    ),
    *of(
        f"{PACKAGE}.maglev.v3.Maglev",
        "table_size",
        "consistent_hashing_lb_config",
        "locality_weighted_lb_config",
    ),
    *of(f"{PACKAGE}.common.v3.ConsistentHashingLbConfig", "hash_policy"),
    *of(f"{PACKAGE}.subset.v3.Subset", "subset_lb_policy", "subset_selectors", "fallback_policy"),
)
@pytest.mark.parametrize("name", HASHED)
def test_the_same_hosts(pair: Pair, name: str) -> None:
    def hosts(address: Any) -> list[str]:
        requests = (
            f"GET /{name}/ HTTP/1.1\r\nhost: h\r\nx-other: {number}\r\nx-key: {number // 2}\r\n\r\n".encode()
            for number in range(40)
        )
        with contextlib.closing(Connection(address).__enter__()) as connection:
            return [json.loads(connection.request(request).body)["origin"] for request in requests]

    envoy, ours = (hosts(proxy.address()) for proxy in (pair.envoy, pair.ours))
    assert ours == envoy


@pytest.mark.parity(
    *of(f"{PACKAGE}.ring_hash.v3.RingHash", "minimum_ring_size"), *of(f"{PACKAGE}.maglev.v3.Maglev", "table_size")
)
def test_the_same_gauges_of_tables(pair: Pair) -> None:
    def gauges(proxy: Any) -> dict[str, int]:
        stats = proxy.stats().items()
        return {name: value for name, value in stats if "hash_lb." in name or "maglev_lb." in name}

    envoy, ours = (gauges(proxy) for proxy in (pair.envoy, pair.ours))
    of_subsets = "cluster.of_subsets."
    assert ours == {name: value for name, value in envoy.items() if not name.startswith(of_subsets)}
    assert ours["cluster.ring.ring_hash_lb.size"]


@pytest.mark.parity(*of(f"{PACKAGE}.common.v3.ConsistentHashingLbConfig", "hash_policy"))
def test_a_cluster_makes_cookies(pair: Pair) -> None:
    answers = pair.send(b"GET /cookies/ HTTP/1.1\r\nhost: h\r\n\r\n")
    envoy, ours = ([cookie[:3] for cookie in answer.only.values("set-cookie")] for answer in answers)
    assert ours == envoy == ['k="']


@pytest.mark.parity(
    *of(f"{PACKAGE}.common.v3.ConsistentHashingLbConfig", "hash_balance_factor"),
    *of("config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig", "hash_balance_factor"),
)
@pytest.mark.parametrize("name", BOUNDED)
def test_the_same_hosts_of_requests_that_do_not_end(pair: Pair, name: str) -> None:
    """Each is sent but for its last byte, once the one before it has its host."""

    def hosts(proxy: Any) -> list[str]:
        stat = f"cluster.{name}.upstream_rq_active"
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(Connection(proxy.address())) for _ in range(12)]
            for number, connection in enumerate(connections):
                head = f"POST /{name}/ HTTP/1.1\r\nhost: h\r\nx-key: {number // 6}\r\ncontent-length: 2\r\n\r\na"
                connection.send(head.encode())
                wait_for(lambda count=number + 1: proxy.stats().get(stat) == count, deadline=10, what="it has a host")
            for connection in connections:
                connection.send(b"b")
            return [json.loads(connection.receive(method="POST").body)["origin"] for connection in connections]

    envoy, ours = (hosts(proxy) for proxy in (pair.envoy, pair.ours))
    assert ours == envoy
    assert len(set(envoy[:6])) > 1


REFUSED: dict[str, Fields] = {
    "none": {"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"},
    "empty": {"load_balancing_policy": {}},
    "subsets": {
        "load_balancing_policy": policy(extension("RoundRobin")),
        "lb_subset_config": {"subset_selectors": [{"keys": ["a"]}]},
    },
    "localities": {
        "load_balancing_policy": policy(extension("RoundRobin")),
        "common_lb_config": {"locality_weighted_lb_config": {}},
    },
    "provided": {"load_balancing_policy": policy(extension("ClusterProvided"))},
    "no_prime": {"load_balancing_policy": policy(extension("Maglev", table_size=100))},
    "sizes": {"load_balancing_policy": policy(extension("RingHash", minimum_ring_size=2, maximum_ring_size=1))},
    "nothing_in_subsets": {
        "load_balancing_policy": policy(
            extension("Subset", subset_selectors=[{"keys": ["a"]}], subset_lb_policy=policy())
        )
    },
}


@pytest.mark.parity(
    *of("config.cluster.v3.Cluster", "load_balancing_policy", "lb_policy"),
    *of(f"{PACKAGE}.maglev.v3.Maglev", "table_size"),
)
@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(name: str) -> None:
    text = bootstrap([], [static_cluster("c", 80, **REFUSED[name])])
    accepted, said = validate(text)
    assert not accepted, said
    assert findings(text)
