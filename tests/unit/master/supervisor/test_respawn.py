"""How long a dead child waits before it is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.supervisor.respawn import HEALTHY_AFTER, MAX_DELAY, Backoff


def test_first_death_of_a_serving_child_restarts_at_once() -> None:
    assert Backoff().died(lived=1.0, ready=True) == 0.0


def test_death_at_start_never_restarts_at_once() -> None:
    assert Backoff().died(lived=0.01, ready=False) > 0


def test_delays_double_up_to_the_limit() -> None:
    backoff = Backoff()
    delays = [backoff.died(lived=0.01, ready=False) for _ in range(12)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == MAX_DELAY


def test_a_long_life_forgives() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.died(lived=0.01, ready=False)
    assert backoff.died(lived=HEALTHY_AFTER, ready=True) == 0.0
    assert backoff.died(lived=0.01, ready=False) == 0.1


@given(st.lists(st.tuples(st.floats(0, 9.9), st.booleans()), min_size=10, max_size=300))
def test_a_crash_loop_is_never_tight(deaths: list[tuple[float, bool]]) -> None:
    backoff = Backoff()
    delays = [backoff.died(lived=lived, ready=ready) for lived, ready in deaths]
    assert all(delay > 0 for delay in delays[1:])
    assert max(delays) <= MAX_DELAY
