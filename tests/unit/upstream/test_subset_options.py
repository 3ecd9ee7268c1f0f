"""Options of subsets: lists of what is wanted in turn, single hosts, redundant labels, localities by weight."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from proxy.config.cluster import Host
from proxy.config.lb import LoadBalancing
from proxy.config.lb_subsets import Labels, LbSubsets, SubsetSelector
from proxy.route.labels import labels_of
from proxy.stats import MemoryStats
from proxy.upstream.balancer import Balancer
from proxy.upstream.stats import ClusterStats
from proxy.upstream.subset_balancer import SubsetBalancer, Way, alternatives
from proxy.upstream.subsets import Subsets
from tests.unit.upstream.balancing import host, host_set, locality, surroundings

STAGE = SubsetSelector(("stage",))
SINGLE = SubsetSelector(("stage",), single_host=True)


def said(number: int, stage: str, **fields: Any) -> Host:
    return host(number, metadata=(("envoy.lb", json.dumps({"stage": stage})),), **fields)


def wanting(**labels: Any) -> Labels:
    return labels_of(labels)


A, B, C, D = said(1, "x"), said(2, "x"), said(3, "x"), said(4, "y")


def balancer(config: LbSubsets, lb: LoadBalancing = LoadBalancing()) -> SubsetBalancer:  # noqa: B008 (frozen)
    made = SubsetBalancer(config, lambda: Balancer(surroundings(lb), lambda: None))
    made.update(host_set(locality(0, A, B, zone="first", weight=1), locality(0, C, D, zone="second", weight=3)))
    return made


def slots(found: SubsetBalancer, labels: Labels, picks: int = 24) -> Counter[int]:
    chosen = found.find(labels).balancer
    return Counter(one.slot if (one := chosen.pick()) is not None else 0 for _ in range(picks))


@pytest.mark.parametrize(
    ("listed", "slot"),
    [
        ([{"stage": "?"}, {"stage": "y"}, {"stage": "x"}], 4),
        ([{"stage": "y", "other": 1}, {"stage": "y"}], 4),
        (["no struct", {"stage": "y"}], 4),
        ([{"stage": "?"}], 0),
    ],
)
def test_what_is_wanted_in_turn(listed: list[Any], slot: int) -> None:
    assert slots(balancer(LbSubsets((STAGE,), lists=True)), wanting(fallback_list=listed)) == {slot: 24}


def test_alternatives() -> None:
    assert alternatives(wanting(a=1, fallback_list=[{"b": 2}, {"a": 3}, None])) == (
        wanting(a=1, b=2),
        wanting(a=3),
        wanting(a=1),
    )
    assert alternatives(wanting(a=1, fallback_list=[])) == (wanting(a=1),)
    assert alternatives(wanting(a=1, fallback_list="x")) == (wanting(a=1),)


def test_without_the_option_a_list_is_a_label_like_others() -> None:
    assert balancer(LbSubsets((STAGE,))).find(wanting(stage="x", fallback_list=[])).way is Way.NONE


def test_a_list_goes_past_hosts_that_are_not_well() -> None:
    found = SubsetBalancer(
        LbSubsets((STAGE,), lists=True),
        lambda: Balancer(surroundings(LoadBalancing(panic_threshold=0)), lambda: None),
    )
    found.update(host_set(locality(0, said(1, "x", health_status="UNHEALTHY"), D)))
    assert slots(found, wanting(fallback_list=[{"stage": "x"}, {"stage": "y"}])) == {4: 24}


def test_labels_that_no_selector_is_for() -> None:
    config = LbSubsets((SubsetSelector(("other", "stage")), STAGE), redundant_keys=True)
    assert set(slots(balancer(config), wanting(stage="y", more=1))) == {4}
    assert balancer(config).find(wanting(stage="y", other=1)).way is Way.NONE  # the first selector is for those


def test_a_single_host_stands_for_all_however_it_is() -> None:
    found = balancer(LbSubsets((SINGLE,)))
    assert slots(found, wanting(stage="x")) == {1: 24}
    assert found.duplicates == 2
    down = said(1, "x", health_status="UNHEALTHY")
    found.update(host_set(locality(0, down, B), locality(1, C)))
    assert slots(found, wanting(stage="x")) == {1: 24}
    found.update(host_set(locality(0, D), locality(1, C)))
    assert slots(found, wanting(stage="x")) == {3: 24}


def test_hosts_that_are_left_out_are_told() -> None:
    stats = MemoryStats()
    made = Subsets(
        LbSubsets((SINGLE,)),
        lambda: Balancer(surroundings(), lambda: None),
        stats,
        ClusterStats(stats, "c"),
        "c",
    )
    name = "cluster.c.lb_subsets_single_host_per_subset_duplicate"
    made.update(host_set(locality(0, A, B, C)))
    assert stats.value(name) == 0
    made.begin()
    assert stats.value(name) == 2
    made.update(host_set(locality(0, A, B)))
    assert stats.value(name) == 1
    made.end()
    assert stats.value(name) == 0


@pytest.mark.parametrize(
    ("localities", "counts"),
    [
        ("EQUAL", {1: 8, 2: 8, 3: 8}),
        ("WEIGHTED", {1: 3, 2: 3, 3: 18}),
        ("SCALED", {1: 4, 2: 4, 3: 16}),  # one of two hosts is left of the second one: a weight of 2
    ],
)
def test_localities(localities: Any, counts: dict[int, int]) -> None:
    config = LbSubsets((STAGE,), localities=localities)
    picked = slots(balancer(config, LoadBalancing(locality_weighted=True)), wanting(stage="x"))
    assert all(abs(picked[slot] - count) <= 1 for slot, count in counts.items()), picked
