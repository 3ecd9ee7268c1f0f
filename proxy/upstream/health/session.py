"""The health checks of one host, one after the other, for as long as they are this worker's to make."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from random import Random

import trio

from proxy.config.cluster import Host
from proxy.config.health_check import HealthCheck
from proxy.upstream.health.checkers import Checker
from proxy.upstream.health.stats import HealthCheckStats
from proxy.upstream.health.verdicts import Event, Failure, Result, Transition, Verdicts, interval
from proxy.upstream.host_status import Checked, HostStatus

log = logging.getLogger("proxy.upstream")

WAIT_MS = 100
"""Until another look at a host that another worker is asking for the first time."""

TIMED_OUT = Result(Failure.NETWORK_TIMEOUT)
BROKEN = Result(Failure.NETWORK)


class Session:
    """`told` is called after each verdict with the events that it comes with; `traffic` says whether the cluster has
    had any. What is known of the host, and when it was checked last, is in shared memory, whoever has found it out.
    """

    def __init__(
        self,
        host: Host,
        config: HealthCheck,
        status: HostStatus,
        checker: Checker,
        stats: HealthCheckStats,
        random: Random,
        *,
        traffic: Callable[[], bool],
        told: Callable[[Host, Iterable[Event]], None],
    ) -> None:
        self.host = host
        self._config = config
        self._status = status
        self._checker = checker
        self._stats = stats
        self._random = random
        self._traffic = traffic
        self._told = told
        self._verdicts = Verdicts(config, first=not status.checked(host) & Checked.KNOWN)
        self._word = status.word(host)
        self._begun = -1  # when our last check began (ms)
        self._due = 0  # and when the next one is to
        self._scope = trio.CancelScope()
        self._waiting = False
        self._leaving = False

    def leave(self) -> None:
        """Another worker makes the next check; one that runs comes to its end."""
        self._leaving = True
        if self._waiting:
            self._scope.cancel()

    def stop(self) -> None:
        """The host is gone, or its cluster: nothing more is to be said of it."""
        self._scope.cancel()

    async def run(self) -> None:
        """Until told to end. Nothing that happens here is raised: there is another check."""
        try:
            with self._scope:
                if self._verdicts.first and self._config.initial_jitter:
                    await self._wait(self._random.random() * self._config.initial_jitter)
                while not self._leaving:
                    result = await self._wait_until_due()
                    self._conclude(result or await self._check())
        finally:
            self._checker.close()

    async def _check(self) -> Result:
        self._stats.attempt.inc()
        self._begun = self._status.begin_check(self.host)
        try:
            with trio.move_on_after(self._config.timeout):
                return await self._checker.check()
        except Exception:
            log.exception("health check of %s", self.host.address)
            self._checker.abandon()
            return BROKEN
        self._checker.abandon()
        return TIMED_OUT

    def _conclude(self, result: Result) -> None:
        status, host = self._status, self.host
        if status.word(host) != self._word:
            self._verdicts.interrupted()
        verdict = self._verdicts.of(status.checked(host), result)
        self._stats.charge(result)
        status.set_checked(host, verdict.flags | (Checked.HAD_TRAFFIC if self._traffic() else Checked(0)))
        self._word = status.word(host)
        self._due = status.now() + self._until_next(verdict.transition, healthy=result.failure is None)
        self._told(host, verdict.events)

    def _until_next(self, transition: Transition, *, healthy: bool) -> int:
        seconds = interval(self._config, transition, self._random, healthy=healthy, traffic=self._traffic())
        return max(1, round(seconds * 1000))

    async def _wait_until_due(self) -> Result | None:
        """None when it is time; what the connection says of the host meanwhile, if it says anything."""
        while (left := self._next() - self._status.now()) > 0:
            result = await self._wait(left / 1000)
            if result is not None:
                return result
        return None

    def _next(self) -> int:
        """When the next check is to begin. If another worker has made the last one, its interval goes on."""
        begun = self._status.checks_begun(self.host)
        if begun == self._begun:
            return self._due
        flags = self._status.checked(self.host)
        if not flags & Checked.KNOWN:  # whoever has begun may be about to say
            given_up = begun + round(self._config.timeout * 1000) if begun else 0
            return min(given_up, self._status.now() + WAIT_MS)
        self._verdicts.first = False
        self._begun = begun
        self._due = begun + self._until_next(Transition.UNCHANGED, healthy=not flags & Checked.FAILED_ACTIVE_HC)
        return self._due

    async def _wait(self, seconds: float) -> Result | None:
        self._waiting = True
        try:
            with trio.move_on_after(seconds):
                return await self._checker.watch()
        finally:
            self._waiting = False
        return None
