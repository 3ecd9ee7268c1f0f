"""Whether a canary is sent back."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from master.supervisor.canary_verdict import LEAST_FAILURES, Figures, Share, chance, objection, worse

SHARES = st.integers(0, 400).flatmap(lambda total: st.builds(Share, st.integers(0, total), st.just(total)))


def test_no_traffic_no_objection() -> None:
    assert objection(Figures(), Figures()) is None
    assert objection(Figures(), Figures(Share(50, 50), Share(9, 9), 3)) is None


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Share(1, 1), Share(0, 10_000)),  # one unlucky request
        (Share(4, 4), Share(0, 10_000)),
        (Share(5, 5), Share(0, 5)),  # too few of the others to say
        (Share(50, 50), Share(0, 0)),  # nobody to compare with
        (Share(50, 50), Share(200, 200)),  # the upstream is down for everybody
        (Share(10, 1_000), Share(15, 2_000)),  # a bit more, by chance
        (Share(13_000, 1_000_000), Share(10_000, 1_000_000)),  # certainly more, and not enough to matter
    ],
)
def test_no_reason_to_go_back(mine: Share, theirs: Share) -> None:
    assert not worse(mine, theirs)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Share(7, 7), Share(0, 7)),
        (Share(5, 5), Share(0, 1_000)),
        (Share(30, 300), Share(3, 600)),
        (Share(60, 10_000), Share(1, 20_000)),
        (Share(20_000, 1_000_000), Share(10_000, 1_000_000)),
    ],
)
def test_reason_enough(mine: Share, theirs: Share) -> None:
    assert worse(mine, theirs)


def test_the_reason_has_the_figures_of_both() -> None:
    said = objection(Figures(Share(30, 300)), Figures(Share(3, 600)))
    assert said is not None
    assert "30 of 300 requests" in said
    assert "10.00%" in said
    assert "3 of 600" in said


def test_late_beats_count_as_failed_requests_do() -> None:
    said = objection(Figures(beats=Share(30, 300)), Figures(beats=Share(0, 300)))
    assert said is not None
    assert "30 of 300 beats" in said


def test_deaths_count_unless_the_others_die_as_often() -> None:
    assert objection(Figures(deaths=1), Figures()) is not None
    assert objection(Figures(deaths=1), Figures(deaths=1)) is None


@given(SHARES, SHARES)
def test_chance_is_that_of_the_textbook(mine: Share, theirs: Share) -> None:
    assume(mine.rate >= theirs.rate)
    failures, total = mine.bad + theirs.bad, mine.all + theirs.all
    exact = sum(
        math.comb(mine.all, ours) * math.comb(theirs.all, failures - ours)
        for ours in range(mine.bad, min(failures, mine.all) + 1)
        if failures - ours <= theirs.all
    ) / math.comb(total, failures)
    assert chance(mine, theirs) == pytest.approx(exact, rel=1e-6)


@given(SHARES, SHARES)
def test_never_without_enough_failures_and_never_against_the_better_one(mine: Share, theirs: Share) -> None:
    if worse(mine, theirs):
        assert mine.bad >= LEAST_FAILURES
        assert mine.rate > theirs.rate
        assert not worse(theirs, mine)
