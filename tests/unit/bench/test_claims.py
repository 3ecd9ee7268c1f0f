"""Limits that processes race for: how it is measured, and that no place is given out twice."""

from __future__ import annotations

import pytest

from bench.claims import LIMITS, Outcome, Span, judge, race


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_is_a_limit(limit: int) -> None:
    found = race(limit, 0.15)
    assert found.taken <= limit + 1
    assert found.granted > 0


def test_who_was_refused_in_vain() -> None:
    whole = Span(10, 20, 80, 90)
    assert judge(1, [whole, Span(15, 30)]) == Outcome(1, 1, 0, 1)  # the place was taken
    assert judge(1, [whole, Span(92, 95)]) == Outcome(1, 1, 1, 1)  # it was given back
    assert judge(1, [whole, Span(1, 9)]) == Outcome(1, 1, 1, 1)  # by who came first, which was nobody
    assert judge(2, [whole, whole, Span(30, 40)]).in_vain == 0
    assert judge(2, [whole, Span(30, 40)]).in_vain == 1
    assert judge(1, [whole, Span(50, 60, 70, 75)]).taken == 2
    assert judge(1, []) == Outcome(0, 0, 0, 0)
