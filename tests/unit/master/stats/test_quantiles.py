"""Quantiles, sums and Prometheus buckets of log-linear histograms."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from master.stats.quantiles import QUANTILES, UPPER_BOUNDS, cumulative, quantiles, sample_count, sample_sum
from shm.histogram import bucket_of

VALUES = st.lists(st.integers(0, 10**12), min_size=1, max_size=60)


def buckets_of(values: list[int]) -> dict[int, int]:
    return dict(Counter(bucket_of(value) for value in values))


def test_no_sample_has_no_quantile() -> None:
    assert all(math.isnan(value) for value in quantiles({}))
    assert all(math.isnan(value) for value in quantiles({5: 0}))
    assert sample_sum({}) == 0
    assert set(cumulative({})) == {0}


def test_samples_of_one_bucket_are_spread_evenly_over_it() -> None:
    # Five samples of 1 in [1.0, 1.1), as Envoy showed them: P0 is a sixth of the way, P100 five sixths.
    spread = quantiles(buckets_of([1] * 5))
    assert spread[:5] == [1 + step * 0.1 for step in (1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6)]
    assert quantiles(buckets_of([22]))[0] == 22.5
    assert quantiles(buckets_of([0]))[0] == 0.0
    assert quantiles(buckets_of([301, 305, 309]))[2] == 305.0


def test_a_sample_counts_as_the_harmonic_mean_of_its_bucket() -> None:
    assert sample_sum(buckets_of([22])) == 2 * 22 * 23 / 45


@given(VALUES)
def test_quantiles_rise_and_lie_in_the_buckets_of_the_samples(values: list[int]) -> None:
    found = quantiles(buckets_of(values))
    assert found == sorted(found)
    ranked = sorted(values)
    for quantile, value in zip(QUANTILES, found, strict=True):
        sample = ranked[max(1, math.ceil(quantile * len(ranked))) - 1]
        assert abs(value - sample) <= max(0.1, sample * 0.1)


@given(VALUES)
def test_the_sum_is_within_a_bucket_of_the_truth(values: list[int]) -> None:
    assert abs(sample_sum(buckets_of(values)) - sum(values)) <= 0.1 * sum(values) + 0.1 * len(values)


@given(VALUES)
def test_bounds_count_what_began_below_them(values: list[int]) -> None:
    counts = cumulative(buckets_of(values))
    assert counts == sorted(counts)
    assert counts[-1] <= sample_count(buckets_of(values)) == len(values)
    for upper, count in zip(UPPER_BOUNDS, counts, strict=True):
        assert count >= sum(value <= upper for value in values)
        assert count <= sum(value <= upper * 1.1 for value in values)
