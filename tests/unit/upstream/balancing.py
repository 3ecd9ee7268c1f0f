"""Hosts and surroundings for tests of balancers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from proxy.config.cluster import ClusterEndpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.lb import LoadBalancing
from proxy.upstream.host_set import HostSet
from proxy.upstream.lb import Surroundings

PLAIN = LoadBalancing()


def host(number: int, **fields: Any) -> Host:
    """Each number is another host."""
    return Host(number, SocketAddress("127.0.0.1", 1 + number), **fields)


def hosts(weights: list[int], first: int = 0) -> list[Host]:
    """Hosts of these weights."""
    return [host(first + number, weight=weight) for number, weight in enumerate(weights)]


def surroundings(
    config: LoadBalancing = PLAIN, seed: int = 0, active: Callable[[Host], int] = lambda _: 0
) -> Surroundings:
    """Whose draws follow from `seed`."""
    return Surroundings(config, seed, random.Random(seed), active)


def locality(priority: int, *members: Host, weight: int = 0, zone: str = "") -> LocalityHosts:
    """`members` of one locality."""
    return LocalityHosts(priority, members, zone=zone, weight=weight)


def host_set(*localities: LocalityHosts, **fields: Any) -> HostSet:
    """The hosts of `localities`; `fields` are those of `ClusterEndpoints`."""
    return HostSet.of(ClusterEndpoints("c", 1, localities, **fields))
