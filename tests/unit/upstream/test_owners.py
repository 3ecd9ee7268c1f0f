"""Who looks after what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.owners import owner

WORKERS = st.sets(st.integers(0, 40), min_size=1)


@given(st.text(max_size=40), WORKERS)
def test_one_of_them_does_and_all_agree(key: str, workers: set[int]) -> None:
    assert owner(key, workers) in workers
    assert owner(key, sorted(workers)) == owner(key, sorted(workers, reverse=True))


@given(st.text(max_size=40), WORKERS, st.data())
def test_who_goes_leaves_the_others_what_they_had(key: str, workers: set[int], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(workers)))
    before, after = owner(key, workers), owner(key, workers - {gone})
    assert (after != before) == (before == gone)


def test_work_is_spread() -> None:
    counts = [0] * 4
    for number in range(4_000):
        found = owner(f"cluster/{number}", range(4))
        assert found is not None
        counts[found] += 1
    assert min(counts) > 800


def test_nobody_is_there() -> None:
    assert owner("x", ()) is None
