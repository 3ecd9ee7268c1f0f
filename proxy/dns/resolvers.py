"""All lookups of the proxy: a resolver for each way of asking, the same question once at a time, Envoy's counters."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import trio

from proxy.config.dns import DnsResolver, LookupFamily
from proxy.dns.getaddrinfo import GetAddrInfo
from proxy.dns.resolver import Resolver
from proxy.dns.result import Failed, Failure, Result
from proxy.stats import Stats


class Resolves(Protocol):
    """`Resolver`, `GetAddrInfo`."""

    async def lookup(self, name: str, family: LookupFamily) -> Result: ...


class Question(NamedTuple):
    """Who asks the same gets the same answer."""

    name: str
    family: LookupFamily
    how: DnsResolver


class _Running:
    """A question that is being asked. Without a result at its end whoever asked has gone."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.result: Result | None = None


class Resolvers:
    """Each resolver is made when somebody asks it for the first time."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._resolvers: dict[DnsResolver, Resolves] = {}
        self._running: dict[Question, _Running] = {}

    async def lookup(self, name: str, family: LookupFamily, how: DnsResolver) -> Result:
        """The addresses of `name`. Clusters that ask at the same time share one lookup."""
        question = Question(name, family, how)
        while (running := self._running.get(question)) is not None:
            await running.over.wait()
            if running.result is not None:
                return running.result
        running = self._running[question] = _Running()
        try:
            running.result = await self._resolver(how).lookup(name, family)
            return running.result
        finally:
            del self._running[question]
            running.over.set()

    def _resolver(self, how: DnsResolver) -> Resolves:
        resolver = self._resolvers.get(how)
        if resolver is None:
            resolver = GetAddrInfo(how) if how.getaddrinfo else Counting(Resolver(how), self._stats)
            self._resolvers[how] = resolver
        return resolver


class Counting:
    """Counts what a resolver does as Envoy does (`dns.cares.*`)."""

    def __init__(self, resolver: Resolves, stats: Stats) -> None:
        self._resolver = resolver
        self._pending = stats.gauge("dns.cares.pending_resolutions")
        self._total, self._not_found, self._failures, self._timeouts, _ = (
            stats.counter(f"dns.cares.{name}")
            for name in ("resolve_total", "not_found", "get_addr_failure", "timeouts", "reinits")
        )

    async def lookup(self, name: str, family: LookupFamily) -> Result:
        """As `Resolver.lookup`."""
        self._total.inc()
        self._pending.add(1)
        try:
            result = await self._resolver.lookup(name, family)
        finally:
            self._pending.add(-1)
        if isinstance(result, Failed):
            (self._timeouts if result.failure is Failure.TIMEOUT else self._failures).inc()
        elif not result.answers:
            self._not_found.inc()
        return result
