"""Weighted round robin beside Envoy's: the same rotation, wherever it starts.

The weights are powers of two, so that sums of their inverses are exact and ties fall the same way.
"""

from __future__ import annotations

import contextlib
import json
import random

import pytest
import yaml

from proxy.config.cluster import Host
from proxy.config.common import SocketAddress
from proxy.config.lb import LoadBalancing
from proxy.upstream.lb import Surroundings
from proxy.upstream.lb.round_robin import RoundRobin
from tests.kit.client import Connection
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.parity.rules import of

EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"


def bootstrap(ports: list[int], weights: list[int]) -> str:
    manager = {
        "@type": f"{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "p",
        "route_config": {
            "virtual_hosts": [
                {"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c"}}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"},
            }
        ],
    }
    endpoints = [
        {
            "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}},
            "load_balancing_weight": weight,
        }
        for port, weight in zip(ports, weights, strict=True)
    ]
    listener = {
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    cluster = {"name": "c", "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": endpoints}]}}
    return yaml.safe_dump({"static_resources": {"listeners": [listener], "clusters": [cluster]}})


@pytest.mark.parity(
    "rule 71",
    *of("config.cluster.v3.Cluster", "lb_policy"),
    *of("config.endpoint.v3.LbEndpoint", "load_balancing_weight"),
)
@pytest.mark.parametrize("weights", [[1, 1, 1], [4, 1, 1], [4, 2, 1], [8, 2, 4, 1]])
def test_the_same_rotation(weights: list[int]) -> None:
    with contextlib.ExitStack() as stack:
        origins = [stack.enter_context(Origin(str(index))) for index in range(len(weights))]
        envoy = stack.enter_context(Envoy(bootstrap([origin.port for origin in origins], weights)))
        connection = Connection(envoy.address())
        bodies = [connection.request(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").body for _ in range(2 * sum(weights))]
        connection.close()
    theirs = [int(json.loads(body)["origin"]) for body in bodies]
    hosts = [Host(slot, SocketAddress("127.0.0.1", 1), weight=weight) for slot, weight in enumerate(weights)]
    assert tuple(theirs) in rotations(hosts, len(theirs))


def rotations(hosts: list[Host], length: int) -> set[tuple[int, ...]]:
    """What our balancer may do from any start: from each seed, and after any number of picks."""
    found = set()
    for seed in range(sum(host.weight for host in hosts)):
        balancer = RoundRobin(Surroundings(LoadBalancing(), seed, random.Random(seed), lambda _: 0))
        balancer.update(hosts)
        picked = [balancer.pick() for _ in range(2 * length)]
        slots = [host.slot for host in picked if host]
        found |= {tuple(slots[start : start + length]) for start in range(length)}
    return found
