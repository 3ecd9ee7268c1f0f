"""Idle connections of the lane end on time, whatever happened on them meanwhile."""

from __future__ import annotations

import random
from typing import Any

import pytest

from proxy.filters.network.hcm_idle import IdleLanes

SLOT = 0.25


class Waiting:
    """As much of a lane as is looked at here."""

    def __init__(self, since: float) -> None:
        self.idle_since = since
        self.idle_slot = 0
        self.idle = True


def added(lanes: IdleLanes, now: float) -> Any:
    lane: Any = Waiting(now)
    lanes.add(lane, now)
    return lane


def test_it_ends_after_the_timeout_and_never_before() -> None:
    lanes = IdleLanes(10.0)
    lane = added(lanes, 1000.1)
    assert lanes.expire(1010.0) == []
    assert lanes.expire(1010.1 + SLOT) == [lane]
    assert lanes.expire(2000.0) == []
    assert lane.idle_slot == 0


def test_a_request_meanwhile_puts_it_off() -> None:
    lanes = IdleLanes(10.0)
    lane = added(lanes, 1000.0)
    lane.idle_since = 1007.0
    assert lanes.expire(1011.0) == []
    assert lanes.expire(1016.9) == []
    assert lanes.expire(1017.0 + SLOT) == [lane]


def test_within_an_exchange_it_is_not_idle() -> None:
    lanes = IdleLanes(10.0)
    lane = added(lanes, 1000.0)
    lane.idle = False
    assert lanes.expire(1011.0) == []
    lane.idle, lane.idle_since = True, 1011.5
    assert lanes.expire(1021.0 + SLOT) == []
    assert lanes.expire(1021.5 + SLOT) == [lane]


def test_zero_means_never() -> None:
    lanes = IdleLanes(0.0)
    lane = added(lanes, 1000.0)
    assert lane.idle_slot == 0
    assert lanes.expire(1e9) == []


def test_those_that_have_ended_leave_nothing_behind() -> None:
    lanes = IdleLanes(10.0)
    for lane in [added(lanes, 1000.0 + number / 100) for number in range(1000)]:
        lanes.discard(lane)
        assert lane.idle_slot == 0
    assert lanes._slots == {}
    assert lanes.expire(5000.0) == []


@pytest.mark.parametrize("seed", range(20))
def test_each_ends_once_and_on_time_however_time_is_cut(seed: int) -> None:
    chance = random.Random(seed)
    lanes, now, ended = IdleLanes(chance.uniform(1, 5)), 5000.0, 0
    alive: list[Any] = []
    for _ in range(400):
        now += chance.choice((0.01, 0.125, 0.125, 1.0, 7.0))
        for lane in lanes.expire(now):
            assert now - lane.idle_since >= lanes._timeout
            alive.remove(lane)
            ended += 1
        for lane in alive:
            assert now - lane.idle_since < lanes._timeout + SLOT
            if chance.random() < 0.3:
                lane.idle_since = now
        if chance.random() < 0.5:
            alive.append(added(lanes, now))
    assert ended
