"""`envoy.clusters.aggregate`: which cluster's host a request gets, and where that is counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, virtual_host
from tests.kit.client import Connection
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import of

pytestmark = pytest.mark.parity(
    "rule 70",
    "config.cluster.v3.Cluster.cluster_type",
    *of("extensions.clusters.aggregate.v3.ClusterConfig", "clusters"),
)
TYPE = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
REQUESTS = {"spill": 100, "panic": 100}  # where a host is drawn; elsewhere a few show it
TOLERANCE = 0.26  # five standard deviations of 100 draws are 0.25 where a share is a half
DOWN = {"health_status": "UNHEALTHY"}
AGGREGATES = {
    "first": ("up", "other"),
    "second": ("down", "up"),
    "spill": ("half", "other"),
    "levels": ("two_levels", "other"),
    "panic": ("down", "down_too"),
    "empty": ("none",),
}


def cluster(name: str, *levels: list[tuple[int, bool]]) -> Fields:
    """`levels`: for each priority, ports and whether they are up."""
    endpoints = [
        {
            "priority": priority,
            "lb_endpoints": [
                {"endpoint": {"address": socket_address("127.0.0.1", port)}, **({} if up else DOWN)}
                for port, up in hosts
            ],
        }
        for priority, hosts in enumerate(levels)
    ]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def aggregate(name: str, members: tuple[str, ...]) -> Fields:
    typed: Fields = {"@type": TYPE, "clusters": list(members)}
    custom = {"name": "envoy.clusters.aggregate", "typed_config": typed}
    return {"name": name, "connect_timeout": "1s", "lb_policy": "CLUSTER_PROVIDED", "cluster_type": custom}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin("a", "b", "c") as origin:
        a, b, c = origin.ports.values()
        clusters = [
            cluster("up", [(a, True)]),
            cluster("down", [(b, False)]),
            cluster("down_too", [(c, False)]),
            cluster("other", [(c, True)]),
            cluster("half", [(a, True), (b, False)]),
            cluster("two_levels", [(a, False)], [(b, True)]),
            cluster("none"),
            *(aggregate(name, members) for name, members in AGGREGATES.items()),
        ]
        tcp: Fields = {"@type": TCP, "stat_prefix": "tcp", "cluster": "second"}
        listener = {
            "name": "tcp",
            "address": socket_address("127.0.0.1", 0),
            "filter_chains": [{"filters": [{"name": "tcp", "typed_config": tcp}]}],
        }
        host = virtual_host("all", ["*"], *(route(f"/{name}", name) for name in AGGREGATES))
        drawn = {
            r"cluster\.(half|other|down|down_too)\..*": "how many of the requests each gets is drawn",
            r"cluster\.two_levels\.membership_change": "Envoy counts a change for each priority",
        }
        with run_pair(bootstrap([http_listener(host), listener], clusters), otherwise=drawn) as found:
            yield found


def shares(address: Any, name: str) -> dict[str, float]:
    request = f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    counted: Counter[str] = Counter()
    requests = REQUESTS.get(name, 4)
    with Connection(address) as connection:
        for _ in range(requests):
            connection.send(request)
            response = connection.receive()
            counted[json.loads(response.body)["origin"] if response.status == 200 else str(response.status)] += 1
    return {key: count / requests for key, count in counted.items()}


@pytest.mark.parametrize("name", AGGREGATES)
def test_who_gets_how_much(name: str, pair: Pair) -> None:
    envoy, ours = (shares(proxy.address("main"), name) for proxy in (pair.envoy, pair.ours))
    assert ours.keys() == envoy.keys()
    for key, share in envoy.items():
        assert abs(ours[key] - share) < TOLERANCE, (envoy, ours)


def test_tcp(pair: Pair) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    told = []
    for proxy in (pair.envoy, pair.ours):
        with Connection(proxy.address("tcp")) as connection:
            connection.send(request)
            told.append(json.loads(connection.receive().body)["origin"])
            assert connection.sock.recv(1) == b""  # the origin ends it, and not we
    assert told == ["a", "a"]
