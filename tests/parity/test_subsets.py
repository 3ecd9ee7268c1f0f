"""Which hosts a request is for (`metadata_match`, `lb_subset_config`), and what that counts in: on both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.client import Connection
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.proxy import Proxy

LB_SUBSETS = "envoy.config.cluster.v3.Cluster.LbSubsetConfig"
SELECTOR = f"{LB_SUBSETS}.LbSubsetSelector"
COUNTED = re.compile(r"(lb_subsets_(selected|fallback|fallback_panic)|lb_healthy_panic|upstream_cx_none_healthy)$")
REQUESTS = 6
"""More than there are hosts, so that a round robin comes to each of them."""

NOBODY = "503 b'no healthy upstream'"

HOSTS: dict[str, Fields] = {
    "a": {"stage": "prod", "version": 1, "zone": {"x": [True]}},
    "b": {"stage": "prod", "version": 2},
    "c": {"stage": "dev", "version": [1, 3]},
    "d": {},
}
"""By the name of the origin, its `envoy.lb` metadata."""


def metadata(labels: Fields) -> Fields:
    return {"filter_metadata": {"envoy.lb": labels}}


def wanting(path: str, cluster: str, **labels: Any) -> Fields:
    return route(path, cluster, metadata_match=metadata(labels))


def selector(*keys: str, **fields: Any) -> Fields:
    return {"keys": list(keys), **fields}


def cluster(name: str, ports: dict[str, int], *selectors: Fields, **config: Any) -> Fields:
    endpoints = [
        {"endpoint": {"address": socket_address("127.0.0.1", ports[host])}, "metadata": metadata(labels)}
        for host, labels in HOSTS.items()
    ]
    subsets = {"lb_subset_config": {"subset_selectors": list(selectors), **config}} if selectors else {}
    return {
        **static_cluster(name, **subsets),
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def clusters(ports: dict[str, int]) -> list[Fields]:
    stage, version, two = selector("stage"), selector("version"), selector("stage", "version")
    dev = {"default_subset": {"stage": "dev"}}
    nobody = {"default_subset": {"stage": "test"}}
    return [
        cluster("plain", ports),
        cluster("none", ports, stage, version, two, selector("zone")),
        cluster("any", ports, stage, fallback_policy="ANY_ENDPOINT"),
        cluster("default", ports, stage, fallback_policy="DEFAULT_SUBSET", **dev),
        cluster("nobody", ports, stage, fallback_policy="DEFAULT_SUBSET", **nobody),
        cluster("panic", ports, stage, fallback_policy="DEFAULT_SUBSET", panic_mode_any=True, **nobody),
        cluster("lists", ports, version, two, list_as_any=True),
        cluster(
            "selectors",
            ports,
            selector("stage", fallback_policy="ANY_ENDPOINT"),
            selector("version", fallback_policy="NO_FALLBACK"),
            selector("zone", fallback_policy="DEFAULT_SUBSET"),
            selector("a", "stage", fallback_policy="KEYS_SUBSET", fallback_keys_subset=["stage"]),
            selector("a", "b", "stage", fallback_policy="KEYS_SUBSET", fallback_keys_subset=["a", "stage"]),
            fallback_policy="ANY_ENDPOINT",
            **dev,
        ),
    ]


def weighted(path: str, labels: Fields, share: Fields) -> Fields:
    found = route(path, "", metadata_match=metadata(labels))
    del found["route"]["cluster"]
    found["route"]["weighted_clusters"] = {
        "clusters": [{"name": "none", "weight": 1, "metadata_match": metadata(share)}]
    }
    return found


ROUTES = [
    wanting("/plain/", "plain", stage="dev"),
    wanting("/stage/", "none", stage="prod"),
    wanting("/both/", "none", version=2, stage="prod"),
    wanting("/number/", "none", version=1),
    wanting("/text/", "none", version="1"),
    wanting("/list/", "none", version=[1, 3]),
    wanting("/struct/", "none", zone={"x": [True]}),
    wanting("/more/", "none", stage="prod", other="x"),
    wanting("/unknown/", "none", stage="test"),
    route("/nothing/", "none"),
    route("/other-namespace/", "none", metadata_match={"filter_metadata": {"x": {"stage": "prod"}}}),
    wanting("/any/found/", "any", stage="dev"),
    wanting("/any/unknown/", "any", stage="test"),
    route("/any/", "any"),
    wanting("/default/found/", "default", stage="prod"),
    wanting("/default/unknown/", "default", stage="test"),
    route("/default/", "default"),
    wanting("/nobody/", "nobody", stage="x"),
    wanting("/panic/found/", "panic", stage="dev"),
    wanting("/panic/", "panic", stage="x"),
    wanting("/lists/one/", "lists", version=1),
    wanting("/lists/three/", "lists", stage="dev", version=3),
    wanting("/lists/whole/", "lists", version=[1, 3]),
    wanting("/selectors/stage/", "selectors", stage="x"),
    wanting("/selectors/version/", "selectors", version=9),
    wanting("/selectors/zone/", "selectors", zone="x"),
    wanting("/selectors/fewer/", "selectors", stage="prod", a="x"),
    wanting("/selectors/least/", "selectors", stage="prod", a="x", b="y"),
    wanting("/selectors/neither/", "selectors", stage="x", a="x"),
    wanting("/selectors/others/", "selectors", other="x"),
    weighted("/weighted/both/", {"stage": "prod"}, {"version": 2}),
    weighted("/weighted/over/", {"stage": "prod"}, {"stage": "dev"}),
    weighted("/weighted/route/", {"stage": "dev"}, {}),
    route("/mirror/", "plain", request_mirror_policies=[{"cluster": "any"}], metadata_match=metadata({"stage": "dev"})),
]  # fmt: skip


SELF_SAID = [
    wanting("/over/", "none", stage="prod", version=1),
    wanting("/beside/", "none", stage="prod"),
    route("/alone/", "none"),
]
"""Of a listener whose requests say themselves that they are for hosts of version 2."""


def set_metadata() -> list[Fields]:
    package = "type.googleapis.com/envoy.extensions.filters.http"
    said = {"metadata_namespace": "envoy.lb", "value": {"version": 2}}
    return [
        {"name": "set", "typed_config": {"@type": f"{package}.set_metadata.v3.Config", "metadata": [said]}},
        {"name": "router", "typed_config": {"@type": f"{package}.router.v3.Router"}},
    ]


def tcp_listener(name: str, **fields: Any) -> Fields:
    config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        **fields,
    }
    return {
        "name": name,
        "address": socket_address("127.0.0.1", 0),
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": config}]}],
    }


@pytest.fixture(scope="module")
def proxies() -> Iterator[Pair]:
    share = {"name": "none", "weight": 1, "metadata_match": metadata({"version": 2})}
    listeners = [
        http_listener(virtual_host("v", ["*"], *ROUTES)),
        http_listener(virtual_host("v", ["*"], *SELF_SAID), name="said", http_filters=set_metadata()),
        tcp_listener("tcp", cluster="none", metadata_match=metadata({"stage": "prod"})),
        tcp_listener("tcp-share", weighted_clusters={"clusters": [share]}, metadata_match=metadata({"stage": "prod"})),
    ]
    with (
        Origin(*HOSTS) as origin,
        run_pair(bootstrap(listeners, clusters(origin.ports)), apart="each begins its rotation somewhere") as pair,
    ):
        yield pair


class Served(NamedTuple):
    """Who answered, or the statuses of those that nobody answered, and what the cluster counted."""

    hosts: set[str]
    counted: dict[str, int]


def serve(side: Envoy | Proxy, path: str, listener: str = "main") -> Served:
    before, hosts = side.stats(), set()
    with Connection(side.address(listener)) as connection:
        for _ in range(REQUESTS):
            response = connection.request(f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
            answered = response.status == 200
            hosts.add(json.loads(response.body)["origin"] if answered else f"{response.status} {response.body!r}")
    after = side.stats()
    return Served(
        hosts,
        {name: value - before.get(name, 0) for name, value in after.items() if COUNTED.search(name)},
    )


def assert_served(proxies: Pair, path: str, hosts: str, listener: str = "main") -> Served:
    """By all of `hosts`, on both sides; by nobody for lack of a host if there are none."""
    envoy, ours = serve(proxies.envoy, path, listener), serve(proxies.ours, path, listener)
    assert ours.hosts == envoy.hosts == (set(hosts) or {NOBODY})
    assert ours.counted == envoy.counted
    return ours


CASES = {
    "/plain/": "abcd", "/stage/": "ab", "/both/": "b", "/number/": "a", "/text/": "", "/list/": "c", "/struct/": "a",
    "/more/": "", "/unknown/": "", "/nothing/": "", "/other-namespace/": "",
    "/any/found/": "c", "/any/unknown/": "abcd", "/any/": "abcd",
    "/default/found/": "ab", "/default/unknown/": "c", "/default/": "c", "/nobody/": "",
    "/panic/found/": "c", "/panic/": "abcd",
    "/lists/one/": "ac", "/lists/three/": "c", "/lists/whole/": "",
    "/selectors/stage/": "abcd", "/selectors/version/": "", "/selectors/zone/": "c", "/selectors/fewer/": "ab",
    "/selectors/least/": "ab", "/selectors/neither/": "abcd", "/selectors/others/": "abcd",
    "/weighted/both/": "b", "/weighted/over/": "c", "/weighted/route/": "c",
    "/mirror/": "abcd",
}  # fmt: skip


@pytest.mark.parity("config.route.v3.RouteAction.metadata_match")
@pytest.mark.parametrize(("path", "hosts"), CASES.items())
def test_who_serves_and_what_counts(proxies: Pair, path: str, hosts: str) -> None:
    assert_served(proxies, path, hosts)


@pytest.mark.parity("config.route.v3.RouteAction.metadata_match")
@pytest.mark.field(
    "envoy.config.route.v3.RouteAction.metadata_match",
    "envoy.config.cluster.v3.Cluster.lb_subset_config",
    f"{LB_SUBSETS}.subset_selectors",
    f"{SELECTOR}.keys",
)
def test_a_route_to_hosts_of_its_labels(proxies: Pair) -> None:
    assert assert_served(proxies, "/both/", "b").counted["cluster.none.lb_subsets_selected"] == REQUESTS


@pytest.mark.parity(f"{LB_SUBSETS.removeprefix('envoy.')}.fallback_policy")
@pytest.mark.field(f"{LB_SUBSETS}.fallback_policy", f"{LB_SUBSETS}.default_subset", f"{LB_SUBSETS}.panic_mode_any")
def test_a_cluster_falls_back(proxies: Pair) -> None:
    assert_served(proxies, "/default/unknown/", "c")
    assert_served(proxies, "/panic/", "abcd")


@pytest.mark.parity(f"{LB_SUBSETS.removeprefix('envoy.')}.list_as_any")
@pytest.mark.field(f"{LB_SUBSETS}.list_as_any")
def test_a_list_is_each_of_its_elements(proxies: Pair) -> None:
    assert_served(proxies, "/lists/three/", "c")


@pytest.mark.parity(f"{SELECTOR.removeprefix('envoy.')}.fallback_policy")
@pytest.mark.field(f"{SELECTOR}.fallback_policy", f"{SELECTOR}.fallback_keys_subset")
def test_a_selector_falls_back_by_itself(proxies: Pair) -> None:
    assert_served(proxies, "/selectors/version/", "")
    assert_served(proxies, "/selectors/fewer/", "ab")


@pytest.mark.parity("config.route.v3.WeightedCluster.ClusterWeight.metadata_match")
@pytest.mark.field("envoy.config.route.v3.WeightedCluster.ClusterWeight.metadata_match")
def test_a_share_goes_over_its_route(proxies: Pair) -> None:
    assert_served(proxies, "/weighted/both/", "b")


@pytest.mark.parity("config.route.v3.RouteAction.metadata_match")
@pytest.mark.parametrize("path", ["/over/", "/beside/", "/alone/"])
def test_requests_say_themselves_which_hosts_they_are_for(proxies: Pair, path: str) -> None:
    assert_served(proxies, path, "b", "said")


TCP = "extensions.filters.network.tcp_proxy.v3.TcpProxy"


@pytest.mark.parity(f"{TCP}.metadata_match", f"{TCP}.WeightedCluster.ClusterWeight.metadata_match")
@pytest.mark.parametrize(
    ("listener", "hosts"),
    [
        pytest.param("tcp", "ab", marks=pytest.mark.field(f"envoy.{TCP}.metadata_match")),
        pytest.param(
            "tcp-share", "b", marks=pytest.mark.field(f"envoy.{TCP}.WeightedCluster.ClusterWeight.metadata_match")
        ),
    ],
)
def test_connections_to_hosts_of_labels(proxies: Pair, listener: str, hosts: str) -> None:
    for side in (proxies.envoy, proxies.ours):
        found = set()
        for _ in range(REQUESTS):
            with Connection(side.address(listener)) as connection:
                found.add(json.loads(connection.request(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").body)["origin"])
        assert found == set(hosts)
