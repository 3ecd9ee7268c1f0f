"""Gauges of hash tables say what is in the tables of the workers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from master.admin.hash_tables import gauges
from proxy.config.lb import Hashing, LoadBalancing
from proxy.upstream.lb.maglev import Maglev
from proxy.upstream.lb.ring_hash import RingHash
from tests.unit.upstream.balancing import host, host_set, hosts, locality, surroundings

WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(WEIGHTS, st.integers(1, 60))
def test_what_is_told_is_there(weights: list[int], least: int) -> None:
    group = hosts(weights)
    shares = [(one, one.weight / sum(weights)) for one in group]
    hashing = Hashing(minimum_ring_size=least, table_size=53)
    ring = RingHash(surroundings(LoadBalancing(hashing=hashing)))
    table = Maglev(surroundings(LoadBalancing(hashing=hashing)))
    ring.update(shares)
    table.update(shares)
    where = host_set(locality(0, *group))
    assert dict(gauges("c.", LoadBalancing("RING_HASH", hashing=hashing), where)) == {
        "c.ring_hash_lb.size": ring.size,
        "c.ring_hash_lb.min_hashes_per_host": ring.fewest,
        "c.ring_hash_lb.max_hashes_per_host": ring.most,
    }
    assert dict(gauges("c.", LoadBalancing("MAGLEV", hashing=hashing), where)) == {
        "c.maglev_lb.min_entries_per_host": table.fewest,
        "c.maglev_lb.max_entries_per_host": table.most,
    }


def test_of_several_priorities_the_last_one_that_has_hosts() -> None:
    where = host_set(locality(0, host(1)), locality(1, host(2), host(3)), locality(2))
    ring = LoadBalancing("RING_HASH", hashing=Hashing(minimum_ring_size=10))
    assert dict(gauges("", ring, where))["ring_hash_lb.max_hashes_per_host"] == 5


def test_where_there_is_nothing_to_tell() -> None:
    assert not list(gauges("", LoadBalancing(), host_set()))
    assert dict(gauges("", LoadBalancing("MAGLEV"), host_set())) == {
        "maglev_lb.min_entries_per_host": 0,
        "maglev_lb.max_entries_per_host": 0,
    }
