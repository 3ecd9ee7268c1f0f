"""Hosts by priority, health and locality."""

from __future__ import annotations

from proxy.config.cluster import ClusterEndpoints
from proxy.upstream.host_set import Health, HostSet
from proxy.upstream.priority_load import Level
from tests.unit.upstream.balancing import host, host_set, locality

A, B, C = (host(number) for number in range(3))


def test_localities_of_one_priority_go_together() -> None:
    hosts = host_set(locality(1, C), locality(0, A), locality(0, B))
    assert [one.hosts for one in hosts.priorities] == [(A, B), (C,)]
    assert hosts.hosts == {A, B, C}


def test_hosts_are_as_well_as_their_endpoints_say() -> None:
    said = ("HEALTHY", "DEGRADED", "UNHEALTHY", "DRAINING", "TIMEOUT")
    members = [host(number, health_status=status) for number, status in enumerate(said)]
    (only,) = host_set(locality(0, *members)).priorities
    assert (only.healthy, only.degraded) == ((members[0],), (members[1],))
    assert only.excluded == (members[3],)
    assert only.hosts == tuple(members)


def test_whoever_is_excluded_counts_in_no_ratio() -> None:
    health = {A: Health.HEALTHY, B: Health.EXCLUDED, C: Health.UNHEALTHY}
    endpoints = host_set(locality(0, A, B, C))
    assert endpoints.levels == (Level(3, 3, 0, 0, 3, 0, 3),)
    found = HostSet.of(ClusterEndpoints("c", 1, (locality(0, A, B, C),)), health.__getitem__)
    assert found.levels == (Level(3, 1, 0, 1, 1, 0, 2),)


def test_weights_count_where_they_are_wanted() -> None:
    heavy = host(3, weight=8, health_status="UNHEALTHY")
    plain, weighted = (
        host_set(locality(0, A, heavy), weighted_priority_health=wanted).levels[0] for wanted in (False, True)
    )
    assert plain == Level(2, 1, 0, 0, 1, 0, 2)
    assert weighted == Level(2, 1, 0, 0, 1, 0, 9)


def test_some_of_the_hosts_keep_their_places() -> None:
    hosts = host_set(locality(0, A, B), locality(1, C), overprovisioning_factor=100)
    some = hosts.only(frozenset((B, C)).__contains__, lambda weight, left, of: weight)
    assert [one.hosts for one in some.priorities] == [(B,), (C,)]
    assert some.overprovisioning_factor == 100
    assert some == host_set(locality(0, B), locality(1, C), overprovisioning_factor=100)
    assert some != hosts


def test_there_may_be_none() -> None:
    assert HostSet.of(None) == HostSet()
    assert HostSet().hosts == frozenset()
