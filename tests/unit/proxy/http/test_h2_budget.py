"""Budgets as numbers. What frames do to them is `test_h2_attacks.py`'s."""

from __future__ import annotations

import pytest

from proxy.config.http2 import Http2Options
from proxy.http.h2_budget import ANSWERS_PER_SECOND, Budget
from proxy.http.h2_frames import ConnectionFailed, ErrorCode


def test_half_of_the_streams_may_be_reset_but_not_more() -> None:
    budget = Budget(Http2Options())
    for _ in range(249):
        assert not budget.premature()
    assert budget.premature()
    busy = Budget(Http2Options())
    busy.ended = 10_000
    for _ in range(4999):
        assert not busy.premature()
    assert busy.premature()


def test_answers_are_counted_by_the_second() -> None:
    budget = Budget(Http2Options())
    for second in (1.0, 2.9):
        for _ in range(ANSWERS_PER_SECOND):
            budget.answer(second, 0)
    with pytest.raises(ConnectionFailed) as failed:
        budget.answer(2.95, 0)
    assert (failed.value.code, failed.value.flood) == (ErrorCode.ENHANCE_YOUR_CALM, "inbound_control_frames_flood")


def test_an_empty_frame_is_forgiven_by_the_next_one() -> None:
    budget = Budget(Http2Options())
    for _ in range(5):
        budget.payload(empty=True)
        budget.payload(empty=False)
    budget.payload(empty=True)
    with pytest.raises(ConnectionFailed):
        budget.payload(empty=True)


def test_priority_and_window_updates_grow_with_streams_and_data() -> None:
    for act, allowed in (("priority", 100 * (1 + 3)), ("window_update", 5 + 2 * (3 + 10 * 2))):
        budget = Budget(Http2Options())
        budget.opened, budget.data_sent = 3, 2
        for _ in range(allowed):
            getattr(budget, act)()
        with pytest.raises(ConnectionFailed):
            getattr(budget, act)()
