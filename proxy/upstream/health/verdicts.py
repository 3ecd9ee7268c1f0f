"""What follows from the results of one host's health checks (`ActiveHealthCheckSession`). Pure."""

from __future__ import annotations

import enum
from random import Random
from typing import NamedTuple

from proxy.config.health_check import HealthCheck
from proxy.upstream.host_status import Checked


class Failure(enum.StrEnum):
    """`data.core.v3.HealthCheckFailureType`: the host says so, or its answer does; a response to a request says so; the
    network; there was no answer in time.
    """

    ACTIVE = "ACTIVE"
    PASSIVE = "PASSIVE"
    NETWORK = "NETWORK"
    NETWORK_TIMEOUT = "NETWORK_TIMEOUT"

    @property
    def network(self) -> bool:
        return self in (Failure.NETWORK, Failure.NETWORK_TIMEOUT)


class Result(NamedTuple):
    """Of one check: `failure` is None if the host is well. `retriable`: it counts against the threshold. `degraded`:
    it serves, and asks to be spared. `excludes`: it wants no requests at once (`x-envoy-immediate-health-check-fail`).
    `status` is that of the response, 0 if there was none, or no HTTP.
    """

    failure: Failure | None = None
    retriable: bool = False
    degraded: bool = False
    excludes: bool = False
    status: int = 0


class Transition(enum.Enum):
    """Envoy's `HealthTransition`."""

    UNCHANGED = enum.auto()
    CHANGED = enum.auto()
    CHANGE_PENDING = enum.auto()


class Event(NamedTuple):
    """For the event log: the name of a field of `data.core.v3.HealthCheckEvent`, and what is in it."""

    name: str
    failure: Failure | None = None
    first: bool | None = None
    status: int = 0


class Verdict(NamedTuple):
    """`flags` are the host's from now on."""

    flags: Checked
    transition: Transition
    events: tuple[Event, ...]


class Verdicts:
    """Counts what the thresholds are about. `first`: the host has never been checked, so what comes counts at once."""

    def __init__(self, config: HealthCheck, *, first: bool) -> None:
        self._config = config
        self.first = first
        self._healthy = 0
        self._unhealthy = 0

    def interrupted(self) -> None:
        """Somebody else has said something of the host: who was about to be well again begins anew."""
        self.first = False
        self._healthy = 0

    def of(self, flags: Checked, result: Result) -> Verdict:
        """What `result` makes of the host with `flags`."""
        flags &= ~Checked.KNOWN
        verdict = self._success(flags, result) if result.failure is None else self._failure(flags, result)
        self.first = False
        flags, transition, events = verdict
        if flags & Checked.PENDING_ACTIVE_HC:
            flags &= ~Checked.PENDING_ACTIVE_HC
            transition = Transition.CHANGED
        return Verdict(flags, transition, events)

    def _success(self, flags: Checked, result: Result) -> Verdict:
        config, transition = self._config, Transition.UNCHANGED
        events: list[Event] = []
        self._unhealthy = 0
        if flags & Checked.FAILED_ACTIVE_HC:
            self._healthy += 1
            transition = Transition.CHANGE_PENDING
            if self.first or self._healthy >= config.healthy_threshold:
                self._healthy = 0
                flags &= ~(
                    Checked.FAILED_ACTIVE_HC | Checked.ACTIVE_HC_TIMEOUT | Checked.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
                )
                transition = Transition.CHANGED
                events.append(Event("add_healthy_event", first=self.first))
        if transition is not Transition.CHANGED and config.always_log_success:
            events.append(Event("successful_health_check_event"))
        if result.degraded != bool(flags & Checked.DEGRADED_ACTIVE_HC):
            flags ^= Checked.DEGRADED_ACTIVE_HC
            events.append(Event("degraded_healthy_host" if result.degraded else "no_longer_degraded_host"))
            if transition is Transition.UNCHANGED:
                transition = Transition.CHANGED
        return Verdict(flags, transition, tuple(events))

    def _failure(self, flags: Checked, result: Result) -> Verdict:
        failure, transition = result.failure, Transition.UNCHANGED
        assert failure is not None
        events: list[Event] = []
        self._healthy = 0
        if result.excludes:
            flags |= Checked.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
        if not flags & Checked.FAILED_ACTIVE_HC:
            transition = Transition.CHANGE_PENDING
            self._unhealthy += 1
            at_once = not (failure.network or result.retriable)
            if at_once or self._unhealthy >= self._config.unhealthy_threshold:
                self._unhealthy = 0
                flags |= Checked.FAILED_ACTIVE_HC
                transition = Transition.CHANGED
                events.append(Event("eject_unhealthy_event", failure, status=result.status))
        flags &= ~Checked.ACTIVE_HC_TIMEOUT
        if failure is Failure.NETWORK_TIMEOUT and flags & Checked.FAILED_ACTIVE_HC:
            flags |= Checked.ACTIVE_HC_TIMEOUT
        if self.first or self._config.always_log_failures:
            events.append(Event("health_check_failure_event", failure, self.first, result.status))
        return Verdict(flags, transition, tuple(events))


def interval(config: HealthCheck, transition: Transition, random: Random, *, healthy: bool, traffic: bool) -> float:
    """Seconds until the next check. `healthy`: the last one has succeeded; `traffic`: the cluster has had some."""
    pending = transition is Transition.CHANGE_PENDING
    if not traffic:
        base = config.no_traffic_healthy_interval if healthy and not pending else config.no_traffic_interval
    elif healthy:
        base = config.healthy_edge_interval if pending else config.interval
    else:
        base = config.unhealthy_edge_interval if pending else config.unhealthy_interval
    jitter = random.random() * base * config.interval_jitter_percent / 100
    return max(base + jitter + random.random() * config.interval_jitter, LEAST_INTERVAL)


LEAST_INTERVAL = 0.001  # seconds, as in Envoy
