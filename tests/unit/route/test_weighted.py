"""A choice by weight: the shares are exact, and the route table makes it per request."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.route import ClusterAction, ClusterWeight, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.route.table import RouteTable
from proxy.route.weighted import Weighted
from tests.unit.proxy.rig import plugin, router
from tests.unit.route.requests import request


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any))
def test_every_number_below_the_sum_lies_in_one_share(weights: list[int]) -> None:
    choice = Weighted(list(enumerate(weights)))
    found = Counter(choice.at(number) for number in range(sum(weights)))
    assert found == Counter({index: weight for index, weight in enumerate(weights) if weight})


@given(st.lists(st.integers(0, 2**30), min_size=1, max_size=4).filter(any))
def test_a_weight_of_zero_is_never_picked(weights: list[int]) -> None:
    choice = Weighted(list(enumerate(weights)))
    assert all(weights[choice.pick()] for _ in range(50))


def test_the_distribution() -> None:
    choice = Weighted([("a", 1), ("b", 0), ("c", 3)])
    found = Counter(choice.pick() for _ in range(20_000))
    assert set(found) == {"a", "c"}
    assert abs(found["a"] - 5000) < 500  # eight standard deviations


def test_each_request_of_a_route_chooses() -> None:
    shares = (
        ClusterWeight("one", 1, {"f": router()}),
        ClusterWeight("two", 1),
        ClusterWeight("never", 0),
    )
    on_route = {"f": plugin("f", "x", None)}
    route = Route(RouteMatch("prefix", "/"), ClusterAction("", timeout=3.0, weighted=shares), "r", on_route)
    table = RouteTable(RouteConfiguration("c", (VirtualHost("v", ("*",), (route,)),)))
    chosen = [table.match(request(path="/")) for _ in range(100)]
    found = {}
    for entry in chosen:
        assert entry is not None
        assert entry.route.name == "r"
        assert isinstance(entry.route.action, ClusterAction)
        assert entry.route.action.timeout == 3.0
        found[entry.route.action.cluster] = entry.filter_config("f")
    assert found == {"one": router(), "two": on_route["f"]}
