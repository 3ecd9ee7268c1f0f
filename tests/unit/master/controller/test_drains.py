"""What an order to drain changes, over any sequence of orders."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.controller.drains import Drains, begun, undone
from master.supervisor.draining import Drained

NAMES = st.sets(st.sampled_from("abc"))


def order(drains: Drains, names: str, now: float, *, graceful: bool = True, close: bool = True) -> dict[str, Drained]:
    return begun(drains, names, now=now, seconds=60, immediate=False, graceful=graceful, close=close)


def test_a_graceful_drain_closes_when_its_time_is_over() -> None:
    assert order({}, "a", 10)["a"] == {"began": 10, "seconds": 60, "immediate": False, "closes": 70}


def test_without_grace_it_closes_at_once() -> None:
    assert order({}, "a", 10, graceful=False)["a"]["closes"] == 10


def test_a_second_order_neither_prolongs_nor_restarts_a_drain() -> None:
    drains = order({}, "a", 10)
    assert order(drains, "a", 30) == drains
    assert order(drains, "a", 30, close=False) == drains
    assert order(drains, "a", 30, graceful=False)["a"] == {**drains["a"], "closes": 30}


def test_a_drain_that_stays_open_can_be_told_to_close() -> None:
    drains = order({}, "a", 10, close=False)
    assert drains["a"]["closes"] is None
    assert order(drains, "a", 20)["a"]["closes"] == 70


@given(st.lists(st.tuples(NAMES, st.booleans(), st.booleans(), st.booleans()), max_size=8))
def test_names_that_were_not_named_are_left_alone(orders: list[tuple[set[str], bool, bool, bool]]) -> None:
    drains: dict[str, Drained] = {}
    for now, (names, graceful, close, undo) in enumerate(orders):
        before = drains
        if undo:
            drains = undone(before, names)
            assert not names & drains.keys()
        else:
            drains = order(before, "".join(names), now, graceful=graceful, close=close)
            assert names <= drains.keys()
            for name in names & before.keys():
                assert drains[name]["began"] == before[name]["began"]
        for name in {*"abc"} - names:
            assert drains.get(name) == before.get(name)
