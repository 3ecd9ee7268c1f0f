"""Who does worse than the others: by how much of what a host was asked in an interval went well. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from proxy.config.cluster import Host
from proxy.config.outlier import OutlierDetection


class Record(NamedTuple):
    """Of one host, in one interval. `rate` is in percent, `volume` the number of requests."""

    host: Host
    rate: float
    volume: int


class Verdict(NamedTuple):
    """`average` and `threshold` of success rates, -1 where there are too few hosts to say; whose rate is below the
    threshold, and whose failures are too many.
    """

    average: float = -1.0
    threshold: float = -1.0
    by_rate: tuple[Record, ...] = ()
    by_failures: tuple[Record, ...] = ()


def judge(config: OutlierDetection, records: Sequence[Record]) -> Verdict:
    """What `records` say of hosts, none of which is ejected."""
    verdict = Verdict()
    rated = [one for one in records if one.volume >= config.success_rate_request_volume]
    if rated and len(rated) >= config.success_rate_minimum_hosts:
        average, threshold = limits([one.rate for one in rated], config.success_rate_stdev_factor / 1000)
        worse = tuple(one for one in rated if one.rate < threshold)
        verdict = verdict._replace(average=average, threshold=threshold, by_rate=worse)
    counted = [one for one in records if one.volume >= config.failure_percentage_request_volume]
    if counted and len(counted) >= config.failure_percentage_minimum_hosts:
        failed = tuple(one for one in counted if 100.0 - one.rate >= config.failure_percentage_threshold)
        verdict = verdict._replace(by_failures=failed)
    return verdict


def limits(rates: Sequence[float], factor: float) -> tuple[float, float]:
    """The average of `rates`, and what is `factor` standard deviations below it."""
    average = sum(rates) / len(rates)
    variance = sum((rate - average) ** 2 for rate in rates) / len(rates)
    return average, average - factor * math.sqrt(variance)
