"""Zone-aware routing: how much stays, and where the rest goes."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from proxy.config.cluster import ClusterEndpoints, Host, LocalityHosts
from proxy.config.lb import LoadBalancing, ZoneAware
from proxy.stats import MemoryStats
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import NOWHERE, HostSet, Locality, Place
from proxy.upstream.zone_routing import Routing, ZoneStats, by_place, routing
from proxy.upstream.zones import Zones
from tests.unit.upstream.balancing import host, host_set, locality, surroundings

HERE: Place = ("", "a", "")


def stats() -> tuple[MemoryStats, ZoneStats]:
    memory = MemoryStats()
    return memory, ZoneStats(memory, "c")


def spread(here: Place = HERE, **zones: int) -> tuple[Locality, ...]:
    """As many hosts in each zone."""
    hosts = host_set(*(locality(0, *map(host, range(count)), zone=zone) for zone, count in zones.items()))
    return by_place(hosts.priorities[0], here)


def test_places_those_here_first() -> None:
    groups = (("b", 1), ("a", 2), ("c", 3), ("a", 4), ("empty", 0))
    listed = [locality(0, *([host(number)] if number else []), zone=zone) for zone, number in groups]
    found = by_place(host_set(*listed).priorities[0], HERE)
    assert [(one.place[1], [host.slot for host in one.hosts]) for one in found] == [
        ("a", [2, 4]),
        ("b", [1]),
        ("c", [3]),
    ]


@pytest.mark.parametrize(
    ("upstream", "proxies", "expected"),
    [
        ({"a": 3, "b": 3}, {"a": 1, "b": 1}, Routing(all_stay=True)),
        ({"a": 4, "b": 2}, {"a": 1, "b": 1}, Routing(all_stay=True)),
        ({"a": 2, "b": 6}, {"a": 1, "b": 1}, Routing(stay=5000, capacities=(0, 2500))),
        ({"b": 3, "c": 3}, {"a": 1, "b": 1}, Routing(capacities=(0, 5000))),
        # As in Envoy's comment: 25 %, 50 %, 25 % of the hosts for 40 %, 40 %, 20 % of the requests.
        ({"a": 5, "b": 10, "c": 5}, {"a": 2, "b": 2, "c": 1}, Routing(stay=6250, capacities=(0, 1000, 1500))),
    ],
)
def test_how_requests_are_spread(upstream: dict[str, int], proxies: dict[str, int], expected: Routing) -> None:
    assert routing(spread(**upstream), spread(**proxies), HERE, 6, stats()[1]) == expected


@pytest.mark.parametrize(
    ("upstream", "proxies", "here", "counted"),
    [
        ({"a": 9}, {"a": 1, "b": 1}, HERE, ""),
        ({"a": 9, "b": 9}, {"a": 1}, HERE, ""),
        ({"a": 9, "b": 9}, {"b": 1, "c": 1}, HERE, "local_cluster_not_ok"),
        ({"a": 9, "b": 9}, {"": 1, "c": 1}, NOWHERE, "local_cluster_not_ok"),
        ({"a": 2, "b": 3}, {"a": 1, "b": 1}, HERE, "zone_cluster_too_small"),
    ],
)
def test_where_places_are_not_looked_at(
    upstream: dict[str, int], proxies: dict[str, int], here: Place, counted: str
) -> None:
    memory, counters = stats()
    assert routing(spread(here, **upstream), spread(here, **proxies), here, 6, counters) is None
    values = {name: word.value for name, word in memory.words.items() if word.value}
    assert values == ({f"cluster.c.lb_{counted}": 1} if counted else {})


def test_choices() -> None:
    memory, counters = stats()
    draws = random.Random(1)
    found = Counter(Routing(stay=5000, capacities=(0, 1000, 4000)).choose(draws, counters) for _ in range(4000))
    assert found[0] == pytest.approx(2000, abs=200)
    assert found[2] == pytest.approx(3 * found[1], rel=0.2)
    assert memory.value("cluster.c.lb_zone_routing_sampled") == found[0]
    assert memory.value("cluster.c.lb_zone_routing_cross_zone") == found[1] + found[2]


def test_no_capacity_left() -> None:
    memory, counters = stats()
    draws = random.Random(1)
    assert {Routing(capacities=(0, 0)).choose(draws, counters) for _ in range(50)} == {0, 1}
    assert memory.value("cluster.c.lb_zone_no_capacity_left") == 50


class Rig:
    """A balancer over two hosts here, four elsewhere; as many proxies in both."""

    def __init__(self, *, proxies: HostSet | None = None, fail: bool = False, **options: int) -> None:
        self.stats, counters = stats()
        aware = ZoneAware("proxies", HERE, **{"min_cluster_size": 1, **options})
        self.proxies = proxies or host_set(locality(0, host(10), zone="a"), locality(0, host(11), zone="b"))
        config = LoadBalancing(zone_aware=aware, fail_on_panic=fail)
        self.zones = Zones(config, lambda name: self.proxies if name == "proxies" else None, counters)
        self.balancer = Balancer(surroundings(config), lambda: None, self.zones)
        self.update()

    def update(self, **others: str) -> None:
        groups = [
            LocalityHosts(0, tuple(map(host, (1, 2))), zone="a"),
            LocalityHosts(0, tuple(host(number, **others) for number in (3, 4, 5, 6)), zone="b"),
        ]
        self.balancer.update(HostSet.of(ClusterEndpoints("c", 1, tuple(groups))))

    def counts(self) -> Counter[int]:
        picked: list[Host | None] = [self.balancer.pick() for _ in range(600)]
        return Counter(one.slot if one is not None else 0 for one in picked)


def test_what_cannot_stay_goes_elsewhere() -> None:
    found = Rig().counts()
    assert found[1] + found[2] == pytest.approx(400, abs=45)
    assert sum(found.values()) == 600


def test_all_stay_once_there_are_enough_hosts_here() -> None:
    rig = Rig()
    rig.update(health_status="UNHEALTHY")  # two of six: the cluster as a whole is in panic
    assert set(rig.counts()) == {1, 2, 3, 4, 5, 6}
    rig.proxies = host_set(*(locality(0, host(10 + number), zone="a" if number < 1 else "b") for number in range(3)))
    rig.update()
    assert set(rig.counts()) == {1, 2}
    assert rig.stats.value("cluster.c.lb_zone_routing_all_directly") == 600


def test_a_part_of_the_requests() -> None:
    rig = Rig(enabled=0)
    assert rig.counts() == dict.fromkeys(range(1, 7), 100)


@pytest.mark.parametrize("fail", [False, True])
def test_too_few_proxies_are_well(fail: bool) -> None:
    down = {"health_status": "UNHEALTHY"}
    proxies = host_set(locality(0, host(10, **down), zone="a"), locality(0, host(11), host(12, **down), zone="b"))
    rig = Rig(proxies=proxies, fail=fail)
    assert rig.counts() == ({0: 600} if fail else dict.fromkeys(range(1, 7), 100))
    assert rig.stats.value("cluster.c.lb_local_cluster_not_ok") == 600


def test_panic_may_fail_requests() -> None:
    panicked: list[int] = []
    config = LoadBalancing(fail_on_panic=True)
    balancer = Balancer(surroundings(config), lambda: panicked.append(1))
    balancer.update(host_set(locality(0, host(1), *(host(number, health_status="UNHEALTHY") for number in (2, 3)))))
    assert balancer.pick() is None
    assert not panicked
    assert balancer.in_panic
