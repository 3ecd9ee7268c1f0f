import pytest
from hypothesis import given
from hypothesis import strategies as st

from shm import histogram


@given(st.integers(0, histogram.MAX_VALUE))
def test_a_value_lies_in_its_bucket(value: int) -> None:
    low, high = histogram.bounds(histogram.bucket_of(value))
    assert low <= value < high


def test_buckets_follow_one_another_without_gap() -> None:
    assert histogram.bounds(0)[0] == 0
    for bucket in range(1, histogram.BUCKETS):
        assert histogram.bounds(bucket)[0] == histogram.bounds(bucket - 1)[1]
    assert histogram.bounds(histogram.BUCKETS - 1)[1] == histogram.MAX_VALUE + 1


def test_two_significant_digits() -> None:
    assert histogram.bounds(histogram.bucket_of(7)) == (7, 8)
    assert histogram.bounds(histogram.bucket_of(123)) == (120, 130)
    assert histogram.bounds(histogram.bucket_of(98_765)) == (98_000, 99_000)


@given(st.integers(0, histogram.MAX_VALUE))
def test_storage_place_is_inside_its_block(value: int) -> None:
    block, index = histogram.place_of(value)
    assert 0 <= block < histogram.BLOCKS
    assert 0 <= index < histogram.block_words(block)
    assert histogram.first_bucket(block) + index == histogram.bucket_of(value)


def test_limits() -> None:
    assert histogram.bucket_of(10**30) == histogram.BUCKETS - 1
    with pytest.raises(ValueError, match="-1"):
        histogram.bucket_of(-1)
    for bucket in (-1, histogram.BUCKETS):
        with pytest.raises(ValueError, match="no bucket"):
            histogram.bounds(bucket)
