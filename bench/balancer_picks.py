"""What a pick of each balancer costs, and what it costs to begin with other hosts: `python -m bench.balancer_picks`.

CPU time of the best of some rounds, in one process. A pick is all of the balancer's part of a request: priority,
health, locality, policy. Beginning happens when hosts come, go or change their health, in each worker.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.prices import seconds
from proxy.config.cluster import ClusterEndpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.lb import LeastRequest, LoadBalancing, Policy, SlowStart
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import HostSet
from proxy.upstream.lb import Surroundings

SIZES = (10, 1_000, 100_000)
ZONES = 4
PICKS = 5_000
BEGINNINGS = 3


class Case(NamedTuple):
    """`weighted`: hosts have weights of 1 to 4."""

    name: str
    config: LoadBalancing
    weighted: bool = False


def of(policy: Policy) -> LoadBalancing:
    return LoadBalancing(policy)


CASES = (
    Case("ROUND_ROBIN", of("ROUND_ROBIN")),
    Case("ROUND_ROBIN, weighted", of("ROUND_ROBIN"), weighted=True),
    Case("ROUND_ROBIN, slow start", LoadBalancing(slow_start=SlowStart(3600.0))),
    Case("ROUND_ROBIN, localities by weight", LoadBalancing(locality_weighted=True)),
    Case("LEAST_REQUEST", of("LEAST_REQUEST")),
    Case("LEAST_REQUEST, weighted", of("LEAST_REQUEST"), weighted=True),
    Case("LEAST_REQUEST, full scan", LoadBalancing("LEAST_REQUEST", least_request=LeastRequest(full_scan=True))),
    Case("RANDOM", of("RANDOM")),
    Case("RING_HASH", of("RING_HASH")),
    Case("RING_HASH, weighted", of("RING_HASH"), weighted=True),
    Case("MAGLEV", of("MAGLEV")),
    Case("MAGLEV, weighted", of("MAGLEV"), weighted=True),
)


def host_set(count: int, *, weighted: bool) -> HostSet:
    """`count` hosts in some zones of equal weight."""
    hosts = [
        Host(number, SocketAddress(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 80), weight=weight)
        for number, weight in zip(range(count), itertools.cycle(range(1, 5) if weighted else (1,)), strict=False)
    ]
    zones = (LocalityHosts(0, tuple(hosts[zone::ZONES]), zone=f"z{zone}", weight=1) for zone in range(ZONES))
    return HostSet.of(ClusterEndpoints("c", 1, tuple(zones)))


def balancer(config: LoadBalancing) -> Balancer:
    surroundings = Surroundings(config, 7, random.Random(7), lambda host: host.slot & 3, time.monotonic)
    return Balancer(surroundings, lambda: None)


def pick_of(made: Balancer, config: LoadBalancing) -> Callable[[], object]:
    """A pick; where requests are hashed, of another request each time."""
    if not config.hashes:
        return made.pick
    numbers: Iterator[int] = itertools.cycle([random.Random(1).getrandbits(64) for _ in range(997)])
    return lambda: made.pick(next(numbers))


def beginning(config: LoadBalancing, hosts: HostSet) -> float:
    """Seconds."""
    found = float("inf")
    for _ in range(BEGINNINGS):
        made = balancer(config)
        began = time.process_time()
        made.update(hosts)
        found = min(found, time.process_time() - began)
    return found


def main() -> None:
    print(f"{'':<36}{'ns per pick':^36}{'ms to begin':^36}")
    print(f"{'hosts':<36}" + "".join(f"{size:>12,}" for size in SIZES * 2))
    hosts = {weighted: {size: host_set(size, weighted=weighted) for size in SIZES} for weighted in (False, True)}
    for case in CASES:
        picks, begins = [], []
        for size in SIZES:
            made = balancer(case.config)
            made.update(hosts[case.weighted][size])
            scans = case.config.least_request.full_scan
            picks.append(seconds(pick_of(made, case.config), max(3, 100_000 // size) if scans else PICKS) * 1e9)
            begins.append(beginning(case.config, hosts[case.weighted][size]) * 1e3)
        print(
            f"{case.name:<36}"
            + "".join(f"{one:>12,.0f}" for one in picks)
            + "".join(f"{one:>12,.2f}" for one in begins)
        )


if __name__ == "__main__":
    main()
