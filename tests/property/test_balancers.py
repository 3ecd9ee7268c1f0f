"""What holds for every balancer: weights count, nobody starves, hash tables change little, who is down is not asked."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.config.cluster import HealthStatus, Host, LocalityHosts
from proxy.config.lb import Hashing, LeastRequest, LoadBalancing, Policy, SlowStart, ZoneAware
from proxy.stats import MemoryStats
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import Health, told_health
from proxy.upstream.lb.least_request import LeastRequest as LeastRequestBalancer
from proxy.upstream.lb.maglev import Maglev
from proxy.upstream.lb.ring_hash import RingHash
from proxy.upstream.lb.round_robin import RoundRobin
from proxy.upstream.zone_routing import ZoneStats
from proxy.upstream.zones import Zones
from tests.unit.upstream.balancing import host, host_set, hosts, surroundings

WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=6)
STATUSES = st.sampled_from(get_args(HealthStatus))
LOCALITIES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.lists(st.tuples(STATUSES, st.integers(1, 5)), max_size=4),
        st.sampled_from(["", "a", "b"]),
        st.integers(0, 3),
    ),
    max_size=5,
)
SMALL = Hashing(minimum_ring_size=32, table_size=53)


@settings(deadline=None, max_examples=50)
@given(WEIGHTS, st.integers(0, 1000), st.sampled_from([RoundRobin, LeastRequestBalancer]))
def test_turns_come_in_proportion_to_weights_and_nobody_waits_for_long(
    weights: list[int], seed: int, kind: type[RoundRobin | LeastRequestBalancer]
) -> None:
    assume(kind is RoundRobin or len(set(weights)) > 1)
    balancer = kind(surroundings(seed=seed))
    group = hosts(weights)
    balancer.update(group)
    total = sum(weights)
    picks = [balancer.pick() for _ in range(3 * total)]
    for one in group:
        turns = [place for place, picked in enumerate(picks) if picked is one]
        assert abs(len(turns) - 3 * one.weight) <= 1
        longest = max(later - sooner for sooner, later in zip([-1, *turns], [*turns, len(picks)], strict=True))
        assert longest <= 2 * total / one.weight + len(group)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 99))
def test_a_full_scan_finds_the_least_busy(active: list[int], seed: int) -> None:
    config = LoadBalancing("LEAST_REQUEST", least_request=LeastRequest(full_scan=True))
    balancer = LeastRequestBalancer(surroundings(config, seed, lambda one: active[one.slot]))
    balancer.update(hosts([1] * len(active)))
    found = balancer.pick()
    assert found is not None
    assert active[found.slot] == min(active)


def shares(group: list[Host]) -> list[tuple[Host, float]]:
    total = sum(one.weight for one in group)
    return [(one, one.weight / total) for one in group]


@settings(deadline=None, max_examples=50)
@given(WEIGHTS)
def test_places_of_the_maglev_table_are_those_of_the_weights(weights: list[int]) -> None:
    table = Maglev(surroundings(LoadBalancing(hashing=Hashing(table_size=1009))))
    group = hosts(weights)
    table.update(shares(group))
    counts = Counter(table.find(number) for number in range(1009))
    most = max(counts.values())
    assert all(abs(counts[one] - most * one.weight / max(weights)) <= 2.001 for one in group)


@settings(deadline=None, max_examples=50)
@given(WEIGHTS)
def test_places_of_the_ring_are_those_of_the_weights(weights: list[int]) -> None:
    ring = RingHash(surroundings())
    group = hosts(weights)
    ring.update(shares(group))
    counts = Counter(ring._hosts)
    assert ring.size >= 1024
    assert all(abs(counts[one] - ring.size * one.weight / sum(weights)) < 2 for one in group)


@settings(deadline=None, max_examples=20)
@given(st.integers(3, 12), st.integers(0, 11), st.sampled_from([RingHash, Maglev]))
def test_a_host_that_leaves_disturbs_few_of_the_others(count: int, leaving: int, kind: type[RingHash | Maglev]) -> None:
    """None of its own requests stay, of course; of all others, less than a fifth go elsewhere."""
    group = hosts([1] * count)
    gone = group[leaving % count]
    tables = []
    for present in (group, [one for one in group if one is not gone]):
        table = kind(surroundings(LoadBalancing(hashing=Hashing(table_size=5003))))
        table.update(shares(present))
        tables.append(table)
    step = 2**64 // 2000
    pairs = [[table.find(number * step + 17) for table in tables] for number in range(2000)]
    stayed = [now is before for before, now in pairs if before is not gone]
    assert all(now is not gone for _, now in pairs)
    assert sum(stayed) > 0.8 * len(stayed)


CONFIGS: list[dict[str, Any]] = [
    {},
    {"locality_weighted": True},
    {"panic_threshold": 0},
    {"fail_on_panic": True},
    {"slow_start": SlowStart(60.0)},
    {"zone_aware": ZoneAware("proxies", ("", "a", ""), 100, 1)},
]


@settings(deadline=None, max_examples=150)
@given(LOCALITIES, st.sampled_from(get_args(Policy)), st.sampled_from(CONFIGS), st.integers(0, 2**64 - 1))
def test_who_is_asked(
    localities: list[tuple[int, list[tuple[HealthStatus, int]], str, int]],
    policy: Policy,
    options: dict[str, Any],
    seed: int,
) -> None:
    """Whoever is down is asked in panic alone; where there is somebody who is well, requests get a host."""
    config = LoadBalancing(policy, hashing=SMALL, **options)
    slots = iter(range(100))
    groups = [
        LocalityHosts(
            priority,
            tuple(host(next(slots), health_status=status, weight=weight) for status, weight in members),
            zone=zone,
            weight=weight,
        )
        for priority, members, zone, weight in localities
    ]
    everybody = host_set(*groups)
    proxies = host_set(LocalityHosts(0, (host(100),), zone="a"), LocalityHosts(0, (host(101),), zone="b"))
    zones = None
    if config.zone_aware is not None and not config.hashes:
        zones = Zones(config, lambda name: proxies, ZoneStats(MemoryStats(), "c"))
    panics: list[None] = []
    known = surroundings(config, seed)._replace(now=lambda: 0.0)
    balancer = Balancer(known, lambda: panics.append(None), zones)
    balancer.update(everybody)
    for number in range(20):
        before = len(panics)
        found = balancer.pick((seed + number * 7919) % 2**64)
        if found is None:
            continue
        assert found in everybody.hosts
        if told_health(found) in (Health.UNHEALTHY, Health.EXCLUDED):
            assert len(panics) > before
            assert config.panic_threshold > 0
            assert not (config.fail_on_panic and not config.hashes)
    well = [one for one in everybody.hosts if told_health(one) is Health.HEALTHY]
    if well and len(well) == len(everybody.hosts) and not config.locality_weighted:
        assert all(balancer.pick() is not None for _ in range(5))
        assert balancer.serves
    if not everybody.hosts:
        assert balancer.pick() is None
        assert not balancer.serves


@pytest.mark.parametrize("policy", get_args(Policy))
def test_nobody_starves(policy: Policy) -> None:
    """Of hosts that are all well, each gets some of the requests."""
    config = LoadBalancing(policy, hashing=Hashing(table_size=1009))
    balancer = Balancer(surroundings(config, 3), lambda: None)
    group = hosts([1, 2, 3, 4, 5, 6, 7, 8])
    balancer.update(host_set(LocalityHosts(0, tuple(group))))
    assert {balancer.pick() for _ in range(800)} == set(group)
