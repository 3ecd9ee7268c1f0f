"""Load balancing policies. Each is pure: hosts in, the next host out. One file per policy, one line here.

What comes before a policy is `proxy/upstream/balancer.py`: which priority, whose hosts, which locality.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, Protocol

from proxy.config.cluster import Host
from proxy.config.lb import LoadBalancing
from proxy.upstream.slow_start import SlowStart

POLICIES = {  # those where `LoadBalancing.hashes` are a `HashingLoadBalancer`, the others a `LoadBalancer`
    "LEAST_REQUEST": "proxy.upstream.lb.least_request:LeastRequest",
    "MAGLEV": "proxy.upstream.lb.maglev:Maglev",
    "RANDOM": "proxy.upstream.lb.random:RandomHost",
    "RING_HASH": "proxy.upstream.lb.ring_hash:RingHash",
    "ROUND_ROBIN": "proxy.upstream.lb.round_robin:RoundRobin",
}

Weighted = Sequence[tuple[Host, float]]
"""Hosts with their shares of all requests, which sum up to 1."""


class Surroundings(NamedTuple):
    """What a policy may know. `seed` is another one in each worker, so that not all start at the same host; `random`
    draws; `active` says how many requests a host has, `active_in_cluster` how many all of them, over all workers; `now`
    tells the time in seconds. `slow_start`: what part of their weights hosts get that have just become healthy; None:
    all of it.
    """

    config: LoadBalancing
    seed: int
    random: Random
    active: Callable[[Host], int]
    now: Callable[[], float] = time.monotonic
    slow_start: SlowStart | None = None
    active_in_cluster: Callable[[], int] = lambda: 0


class LoadBalancer(Protocol):
    """Built with its `Surroundings`."""

    def update(self, hosts: Sequence[Host]) -> None:
        """Balance over `hosts` from now on."""
        ...

    def pick(self) -> Host | None:
        """The host for the next request; None if there is no host."""
        ...


class HashingLoadBalancer(Protocol):
    """Built with its `Surroundings`; the same number leads to the same host as long as there are the same hosts."""

    def update(self, hosts: Weighted) -> None:
        """Balance over `hosts` from now on."""
        ...

    def find(self, number: int, attempt: int = 0) -> Host | None:
        """The host of `number` (64 bits), or the `attempt`th other one; None if there is no host."""
        ...
