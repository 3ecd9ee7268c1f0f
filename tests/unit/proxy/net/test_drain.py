"""Which responses end their connections while a listener drains."""

from __future__ import annotations

import random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from proxy.net.drain import RAMP, Drain, ListenerDrain, close_probability
from tests.kit.trio import run_trio

SECONDS = st.floats(0, 3600)


@given(SECONDS, SECONDS, SECONDS)
def test_the_odds_are_odds_and_never_fall(seconds: float, one: float, other: float) -> None:
    drain = Drain(0.0, seconds)
    earlier, later = (close_probability(drain, now) for now in sorted([one, other]))
    assert 0 <= earlier <= later <= 1


@given(SECONDS, SECONDS, SECONDS)
def test_only_the_time_since_the_beginning_matters(began: float, seconds: float, elapsed: float) -> None:
    began, elapsed = float(int(began)), float(int(elapsed))
    assert close_probability(Drain(began, seconds), began + elapsed) == close_probability(Drain(0.0, seconds), elapsed)


@given(SECONDS, st.floats(0, 1))
def test_half_of_the_time_is_left_to_leave(seconds: float, part: float) -> None:
    """Whoever asks in the second half leaves; a fraction of a second counts as a whole one."""
    assert close_probability(Drain(0.0, seconds), seconds * RAMP + 1) == 1
    assert close_probability(Drain(0.0, seconds, immediate=True), seconds * part) == 1


@given(st.floats(2.5, 3600), st.floats(0, 0.99))
def test_nobody_leaves_in_the_first_second_of_a_gradual_drain(seconds: float, elapsed: float) -> None:
    assert close_probability(Drain(0.0, seconds), elapsed) == 0


@pytest.mark.parametrize(("elapsed", "odds"), [(0.9, 0), (1, 0.2), (2.9, 0.4), (4, 0.8), (5, 1)])
def test_ten_seconds_as_envoy_counts_them(elapsed: float, odds: float) -> None:
    assert close_probability(Drain(0.0, 10.0), elapsed) == odds


@run_trio(virtual_time=True)
async def test_the_share_of_those_who_leave_grows_with_the_time() -> None:
    drain = ListenerDrain(random=random.Random(1).random)
    assert not drain.active
    drain.begin(elapsed=3, seconds=20)
    shares = []
    for _ in range(9):
        shares.append(sum(drain.decide() for _ in range(1000)) / 1000)
        await trio.sleep(1)
    for second, share in enumerate(shares, start=3):
        assert abs(share - min(1, second / 10)) < 0.06
    drain.end()
    assert not drain.active
    assert not drain.decide()


@run_trio(virtual_time=True)
async def test_a_failed_health_check_closes_at_once_and_a_drain_outlives_it() -> None:
    drain = ListenerDrain(random=lambda: 0.5)
    drain.fail_health_check(True)
    assert drain.active
    assert drain.decide()
    drain.begin(seconds=100)
    drain.fail_health_check(False)
    assert drain.active
    assert not drain.decide()
    await trio.sleep(50)
    assert drain.decide()


@run_trio
async def test_a_listener_that_drains_for_modifications_alone_ignores_health_checks() -> None:
    drain = ListenerDrain(modify_only=True)
    drain.fail_health_check(True)
    assert not drain.active
    assert not drain.decide()
    drain.begin(immediate=True)
    assert drain.decide()
