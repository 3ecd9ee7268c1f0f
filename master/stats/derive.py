"""From the words that workers write to the stats that Envoy has.

A worker writes one word per outcome (DESIGN §2); the classes and totals over those are sums that a reader can make. The
table below says which. A sum that some worker writes itself is left as it is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

Buckets = Mapping[int, int]

MAX_CACHED_NAMES = 65536


class _Rule(NamedTuple):
    """Counters whose whole name matches `pattern` are summed up into each of `into` (templates of the match)."""

    pattern: re.Pattern[str]
    into: tuple[str, ...]
    factor: int = 1


_RULES = (
    # Responses to callers from inside and from outside: `cluster.a.external.upstream_rq_200`.
    _Rule(
        re.compile(r"(cluster\..+\.)((?:in|ex)ternal\.)upstream_rq_((\d)\d\d)", re.ASCII),
        (
            r"\1upstream_rq_\3",
            r"\1upstream_rq_\4xx",
            r"\1upstream_rq_completed",
            r"\1\2upstream_rq_\4xx",
            r"\1\2upstream_rq_completed",
        ),
    ),
    # Those of canaries again, beside the above, and those that were followed by another attempt, apart from them.
    _Rule(
        re.compile(r"(cluster\..+\.(?:canary|retry)\.)upstream_rq_((\d)\d\d)", re.ASCII),
        (r"\1upstream_rq_\3xx", r"\1upstream_rq_completed"),
    ),
    # Those that the sum over both is not to tell (`suppress_grpc_request_failure_code_stats`).
    _Rule(
        re.compile(r"(cluster\..+\.)hidden\.upstream_rq_((\d)\d\d)", re.ASCII),
        (r"\1upstream_rq_\2", r"\1upstream_rq_\3xx"),
        factor=-1,
    ),
    _Rule(re.compile(r"(cluster\..+\.)hidden\.(retry\.)upstream_rq_\d\d\d", re.ASCII), (r"\1\2upstream_rq_completed",)),
    _Rule(
        re.compile(r"(vhost\..+\.(?:vcluster|route)\..+\.)upstream_rq_((\d)\d\d)", re.ASCII),
        (r"\1upstream_rq_\3xx", r"\1upstream_rq_completed"),
    ),
    _Rule(
        re.compile(r"((?:listener\..+\.)?http\..+\.)downstream_rq_(\d)xx", re.ASCII),
        (r"\1downstream_rq_completed",),
    ),
    _Rule(re.compile(r"(http\..+\.)downstream_rq_http\d_total", re.ASCII), (r"\1downstream_rq_total",)),
    # Counters exist as soon as their scope does, so that a rate has a zero to start from (features §13 rule 52).
    _Rule(re.compile(r"(cluster\..+\.)upstream_rq_total", re.ASCII), (r"\1upstream_rq_completed",), factor=0),
)


_HINT = "_rq_"
"""In every name that a rule matches; looking for it is much cheaper than the patterns."""


def derive(counters: Mapping[str, int]) -> dict[str, int]:
    """`counters` and everything that follows from them."""
    sums: dict[str, int] = {}
    for name, value in counters.items():
        for target, factor in _targets(name):
            sums[target] = sums.get(target, 0) + value * factor
    return {**sums, **counters}


_TIMES = re.compile(r"(cluster\..+\.)(?:in|ex)ternal(\.upstream_rq_time)", re.ASCII)


def derive_times(histograms: Mapping[str, Buckets]) -> dict[str, Buckets]:
    """`histograms`, and the times of all requests of a cluster. Envoy has any of these from the first response on."""
    found: dict[str, Buckets] = {}
    sums: dict[str, dict[int, int]] = {}
    for name, buckets in histograms.items():
        if not name.endswith(".upstream_rq_time") or any(buckets.values()):
            found[name] = buckets
        if (match := _TIMES.fullmatch(name)) and name in found:
            total = sums.setdefault(match[1] + match[2][1:], {})
            for bucket, count in buckets.items():
                total[bucket] = total.get(bucket, 0) + count
    return {**sums, **found}


@functools.lru_cache(maxsize=MAX_CACHED_NAMES)
def _targets(name: str) -> tuple[tuple[str, int], ...]:
    """The sums that the counter `name` belongs to, each with the factor of its part."""
    if _HINT not in name:
        return ()
    found = ((rule, rule.pattern.fullmatch(name)) for rule in _RULES)
    return tuple((match.expand(template), rule.factor) for rule, match in found if match for template in rule.into)
