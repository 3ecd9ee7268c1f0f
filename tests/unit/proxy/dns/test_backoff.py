import random

from proxy.dns.backoff import SHORTEST, FailureBackoff


def test_without_a_failure_rate_the_refresh_rate_is_kept() -> None:
    backoff = FailureBackoff(5.0, 5.0, 5.0, random.Random(1))
    assert [backoff.next() for _ in range(3)] == [5.0] * 3


def test_intervals_double_up_to_the_longest_with_full_jitter() -> None:
    rounds = []
    for seed in range(300):
        backoff = FailureBackoff(5.0, 1.0, 6.0, random.Random(seed))
        rounds.append([backoff.next() for _ in range(5)])
    for number, limit in enumerate((1, 2, 4, 6, 6)):
        waits = [waits[number] for waits in rounds]
        assert limit * 0.9 < max(waits) <= limit
        assert SHORTEST <= min(waits) < limit * 0.1


def test_a_success_begins_again() -> None:
    backoff = FailureBackoff(5.0, 1.0, 1_000.0, random.Random(1))
    for _ in range(9):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 1.0
