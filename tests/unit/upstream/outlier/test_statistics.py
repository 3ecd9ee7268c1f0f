"""Rates of hosts against each other."""

from __future__ import annotations

import pytest

from proxy.config.cluster import Host
from proxy.config.common import SocketAddress
from proxy.config.outlier import OutlierDetection
from proxy.upstream.outlier.statistics import Record, Verdict, judge, limits


def records(*rates: float, volume: int = 100) -> list[Record]:
    return [Record(Host(slot, SocketAddress("h", 1)), rate, volume) for slot, rate in enumerate(rates)]


def slots(found: tuple[Record, ...]) -> list[int]:
    return [record.host.slot for record in found]


def test_envoys_own_example() -> None:
    assert limits([50, 100, 100, 100, 100], 1.9) == (90, 52)
    verdict = judge(OutlierDetection(), records(50, 100, 100, 100, 100))
    assert (verdict.average, verdict.threshold, slots(verdict.by_rate)) == (90, 52, [0])


def test_too_few_hosts_or_requests_say_nothing() -> None:
    assert judge(OutlierDetection(), []) == Verdict()
    assert judge(OutlierDetection(), records(0, 100, 100, 100)).by_rate == ()
    few = [*records(100, 100, 100, 100), Record(Host(9, SocketAddress("h", 1)), 0.0, 99)]
    assert judge(OutlierDetection(), few).average == -1
    assert slots(judge(OutlierDetection(), few).by_failures) == [9]  # fifty are enough for these


@pytest.mark.parametrize(("threshold", "found"), [(85, [0, 1]), (100, [0]), (86, [0])])
def test_who_fails_too_often(threshold: int, found: list[int]) -> None:
    config = OutlierDetection(failure_percentage_threshold=threshold)
    assert slots(judge(config, records(0, 15, 16, 100, 100)).by_failures) == found
