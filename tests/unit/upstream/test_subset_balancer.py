"""Subsets of hosts, against the plainest way to find them; and what is kept when hosts change."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.cluster import Host
from proxy.config.common import SocketAddress
from proxy.config.lb_subsets import Labels, LbSubsets, SubsetSelector
from proxy.route.labels import canonical
from proxy.upstream.balancer import Balancer
from proxy.upstream.subset_balancer import Subset, SubsetBalancer, Way
from tests.unit.upstream.balancing import host_set, locality, surroundings

KEYS = ("a", "b", "c")
VALUES = st.sampled_from([1.0, "x", [1.0, "x"], None])
STRUCTS = st.dictionaries(st.sampled_from(KEYS), VALUES)
SELECTORS = st.sets(st.sets(st.sampled_from(KEYS), min_size=1).map(lambda keys: tuple(sorted(keys))), max_size=4)


def host(number: int, said: dict[str, Any]) -> Host:
    return Host(number, SocketAddress("127.0.0.1", 1 + number), metadata=(("envoy.lb", json.dumps(said)),))


def labels(struct: dict[str, Any]) -> Labels:
    return tuple((key, canonical(struct[key])) for key in sorted(struct))


def balancer(config: LbSubsets, *hosts: Host) -> SubsetBalancer:
    made = SubsetBalancer(config, lambda: Balancer(surroundings(), lambda: None))
    made.update(host_set(locality(0, *hosts)))
    return made


def members(found: Subset) -> list[Host]:
    return sorted(found.hosts.hosts, key=lambda host: host.slot)


def stands_for(said: dict[str, Any], key: str, wanted: Any, *, lists: bool) -> bool:
    if key not in said:
        return False
    if lists and isinstance(said[key], list):
        return wanted in said[key]
    return bool(said[key] == wanted)


@given(st.lists(STRUCTS, max_size=5), SELECTORS, STRUCTS, st.booleans(), st.booleans())
def test_as_the_plainest_filter(
    structs: list[dict[str, Any]], selectors: set[tuple[str, ...]], wanted: dict[str, Any], lists: bool, falls: bool
) -> None:
    config = LbSubsets(
        tuple(SubsetSelector(keys) for keys in sorted(selectors)),
        "ANY_ENDPOINT" if falls else "NO_FALLBACK",
        list_as_any=lists,
    )
    hosts = [host(number, said) for number, said in enumerate(structs)]
    found = balancer(config, *hosts).find(labels(wanted))
    matching = [
        one
        for one, said in zip(hosts, structs, strict=True)
        if all(stands_for(said, key, value, lists=lists) for key, value in wanted.items())
    ]
    if tuple(sorted(wanted)) in selectors and matching:
        assert (found.way, members(found)) == (Way.SUBSET, matching)
    elif falls and hosts:
        assert (found.way, members(found)) == (Way.FALLBACK, hosts)
    else:
        assert (found.way, members(found)) == (Way.NONE, [])
    assert (found.balancer.pick() is None) == (not found.hosts.hosts)


def test_a_subset_whose_hosts_stay_goes_on_where_it_was() -> None:
    config = LbSubsets((SubsetSelector(("a",)),))
    first, second, other = host(0, {"a": 1.0}), host(1, {"a": 1.0}), host(2, {"a": "x"})
    subsets = balancer(config, first, second, other)
    before = subsets.find((("a", "1.0"),)).balancer.pick()
    subsets.update(host_set(locality(0, first, second)))
    assert subsets.find((("a", "1.0"),)).balancer.pick() not in (before, None)
    assert subsets.find((("a", '"x"'),)).way is Way.NONE
    assert subsets.labels == {(("a", "1.0"),)}


def test_fewer_keys_come_to_an_end() -> None:
    selectors = (
        SubsetSelector(("a", "b"), "KEYS_SUBSET", ("a",)),
        SubsetSelector(("a",), "DEFAULT_SUBSET"),
    )
    config = LbSubsets(selectors, default=(("c", "1.0"),))
    one, default = host(0, {"a": 1.0, "b": 1.0}), host(1, {"c": 1.0})
    subsets = balancer(config, one, default)
    assert members(subsets.find((("a", "1.0"), ("b", "2.0")))) == [one]
    assert members(subsets.find((("a", "2.0"), ("b", "2.0")))) == [default]
