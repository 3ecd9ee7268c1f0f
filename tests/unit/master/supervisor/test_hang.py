"""Whom the supervisor takes for hung."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.supervisor.hang import HUNG_AFTER_NS, Beat, hung

NOW = 10**12


def test_nobody_when_all_beat() -> None:
    assert hung([Beat(2, NOW), Beat(3, NOW - HUNG_AFTER_NS + 1)], now_ns=NOW) is None


def test_the_one_that_has_been_silent_longest() -> None:
    beats = [Beat(2, NOW - HUNG_AFTER_NS), Beat(3, NOW - HUNG_AFTER_NS - 1), Beat(4, NOW)]
    assert hung(beats, now_ns=NOW) == beats[1]


def test_nobody_among_nobody() -> None:
    assert hung([], now_ns=NOW) is None


@given(st.lists(st.integers(0, NOW), max_size=20))
def test_accused_exactly_when_silent_too_long(times: list[int]) -> None:
    beats = [Beat(slot, time) for slot, time in enumerate(times)]
    accused = hung(beats, now_ns=NOW)
    assert (accused is not None) == any(NOW - time >= HUNG_AFTER_NS for time in times)
    assert accused is None or accused.last_ns == min(times)
