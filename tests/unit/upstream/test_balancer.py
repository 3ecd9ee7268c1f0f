"""Priorities, panic and localities before the policy."""

from __future__ import annotations

from collections import Counter

from proxy.config.cluster import Host, LocalityHosts
from proxy.config.lb import Hashing, LoadBalancing
from proxy.upstream.balancer import Balancer
from tests.unit.upstream.balancing import host, host_set, locality, surroundings

DOWN = {"health_status": "UNHEALTHY"}


class Rig:
    """A balancer over `localities`; `panics` counts the picks in panic."""

    def __init__(self, *localities: LocalityHosts, config: LoadBalancing = LoadBalancing(), **fields: object) -> None:  # noqa: B008
        self.panics = 0
        self.balancer = Balancer(surroundings(config, 1), self._panicked)
        self.balancer.update(host_set(*localities, **fields))

    def _panicked(self) -> None:
        self.panics += 1

    def picks(self, count: int = 1000) -> Counter[int]:
        """How often each host's number came."""
        found = [self.balancer.pick() for _ in range(count)]
        return Counter(one.slot for one in found if one is not None)


def test_the_first_priority_while_it_is_well() -> None:
    rig = Rig(locality(0, host(0), host(1)), locality(1, host(2)))
    assert rig.picks(10) == {0: 5, 1: 5}


def test_load_spills_over() -> None:
    picks = Rig(locality(0, host(0), host(1, **DOWN)), locality(1, host(2))).picks()
    assert picks.keys() == {0, 2}
    assert 650 < picks[0] < 750


def test_degraded_hosts_only_for_what_healthy_ones_cannot_take() -> None:
    picks = Rig(locality(0, host(0), host(1, health_status="DEGRADED"))).picks()
    assert 650 < picks[0] < 750


def test_in_panic_all_are_asked() -> None:
    rig = Rig(locality(0, host(0), host(1, **DOWN), host(2, **DOWN)))
    assert rig.picks(9) == {0: 3, 1: 3, 2: 3}
    assert rig.panics == 9


def test_without_panic_nobody() -> None:
    rig = Rig(locality(0, host(0, **DOWN)), config=LoadBalancing(panic_threshold=0))
    assert (rig.picks(5), rig.panics) == ({}, 0)


def test_localities_by_weight() -> None:
    config = LoadBalancing(locality_weighted=True)
    places = (
        locality(0, host(0), host(1), weight=1),
        locality(0, host(2), weight=3),
        locality(0, host(3), weight=0),
    )
    assert Rig(*places, config=config).picks(400) == {0: 50, 1: 50, 2: 300}


def test_a_locality_that_is_not_well_gets_less() -> None:
    config = LoadBalancing(locality_weighted=True)
    places = (locality(0, host(0), host(1, **DOWN), weight=1), locality(0, host(2), weight=1))
    picks = Rig(*places, config=config).picks(1700)
    assert picks.keys() == {0, 2}
    assert abs(picks[0] - 700) < 20  # 0.7 to 1


def test_a_change_of_health_disturbs_nobody_elses_turn() -> None:
    config = LoadBalancing()
    balancer = Balancer(surroundings(config), lambda: None)
    balancer.update(host_set(locality(0, host(0), host(1), host(2))))
    first = balancer.pick()
    balancer.update(host_set(locality(0, host(0), host(1), host(2))))
    assert balancer.pick() != first


def hashing(policy: str) -> LoadBalancing:
    return LoadBalancing(policy=policy, hashing=Hashing(table_size=251))  # type: ignore[arg-type]


def test_the_same_number_the_same_host() -> None:
    for policy in ("RING_HASH", "MAGLEV"):
        rig = Rig(locality(0, *(host(number) for number in range(5))), config=hashing(policy))
        assert len({rig.balancer.pick(4711) for _ in range(20)}) == 1
        assert len(rig.picks(400)) == 5


def test_a_table_is_kept_while_its_hosts_stay() -> None:
    members = [host(number) for number in range(3)]
    rig = Rig(locality(0, *members), config=hashing("RING_HASH"))
    before = rig.balancer._sources[0, False]
    rig.balancer.update(host_set(locality(0, *members), locality(1, host(7))))
    assert rig.balancer._sources[0, False] is before
    rig.balancer.update(host_set(locality(0, *members[:2])))
    assert rig.balancer._sources[0, False] is not before


def test_hashing_by_weights_of_localities() -> None:
    config = LoadBalancing("RING_HASH", locality_weighted=True)
    places = (locality(0, host(0), weight=1), locality(0, host(1), host(2), weight=9))
    picks = Rig(*places, config=config).picks()
    assert 50 < picks[0] < 150


def test_no_hosts() -> None:
    found: list[Host | None] = [Balancer(surroundings(), lambda: None).pick()]
    rig = Rig(locality(0))
    assert [*found, rig.balancer.pick()] == [None, None]
    assert rig.panics == 0
