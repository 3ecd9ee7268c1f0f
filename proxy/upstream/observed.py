"""Stats beside those of the cluster: of the virtual cluster and of the route that a request belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.stats import Stats
from proxy.upstream.stats import Outcomes


class Observed(Outcomes):
    """One name's stats, `<prefix>upstream_rq_*`, counted with each attempt, as those of the cluster are.
    `virtual_cluster` is the name, if it is one's.
    """

    __slots__ = (
        "rq_retry",
        "rq_retry_limit_exceeded",
        "rq_retry_overflow",
        "rq_retry_success",
        "rq_timeout",
        "rq_total",
        "virtual_cluster",
    )

    def __init__(self, stats: Stats, prefix: str, virtual_cluster: str = "") -> None:
        super().__init__(stats, prefix)
        self.virtual_cluster = virtual_cluster
        self.rq_total = stats.counter(f"{prefix}upstream_rq_total")
        self.rq_timeout = stats.counter(f"{prefix}upstream_rq_timeout")
        self.rq_retry = stats.counter(f"{prefix}upstream_rq_retry")
        self.rq_retry_limit_exceeded = stats.counter(f"{prefix}upstream_rq_retry_limit_exceeded")
        self.rq_retry_overflow = stats.counter(f"{prefix}upstream_rq_retry_overflow")
        self.rq_retry_success = stats.counter(f"{prefix}upstream_rq_retry_success")


class _Nothing:
    """Counts nothing."""

    value = 0

    def inc(self, amount: int = 1) -> None: ...
    def record(self, value: int) -> None: ...


class Hidden(Observed):
    """Responses whose status is not to be told among those of a cluster (`upstream_rq_<code>`), though it counts in
    those of callers from inside and from outside: what a reader takes off the sum over both.
    """

    __slots__ = ()

    hides_codes = True

    def __init__(self, stats: Stats, prefix: str) -> None:
        self._codes = {}
        self._prefix = f"{prefix}hidden."
        self._stats = stats
        self.virtual_cluster = ""
        self.time = self.rq_total = self.rq_timeout = self.rq_retry = self.rq_retry_limit_exceeded = _Nothing()
        self.rq_retry_overflow = self.rq_retry_success = self.time


class _Times:
    """A histogram that writes into several."""

    __slots__ = ("_outcomes",)

    def __init__(self, outcomes: tuple[Outcomes, ...]) -> None:
        self._outcomes = outcomes

    def record(self, value: int) -> None:
        for outcomes in self._outcomes:
            outcomes.time.record(value)


class Together(Outcomes):
    """`Outcomes` of several, charged with the same responses."""

    __slots__ = ("_all", "hides_codes")

    def __init__(self, outcomes: Iterable[Outcomes]) -> None:
        self._all = tuple(outcomes)
        self.hides_codes = any(one.hides_codes for one in self._all)
        self.time = _Times(self._all)

    def charge(self, status: int) -> None:
        for outcomes in self._all:
            outcomes.charge(status)


NOBODY = Together(())
"""What responses count among that count nowhere."""
