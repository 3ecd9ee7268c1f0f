"""What the results of one host's checks come to, as Envoy's `ActiveHealthCheckSession` has it."""

from __future__ import annotations

from random import Random

import pytest

from proxy.config.health_check import TcpCheck
from proxy.upstream.health.verdicts import Event, Failure, Result, Transition, Verdict, Verdicts, interval
from proxy.upstream.host_status import Checked
from tests.unit.upstream.health.rig import check

FAILED = Checked.FAILED_ACTIVE_HC
WELL = Checked(0)
OK = Result()
REFUSED = Result(Failure.NETWORK)
TIMED_OUT = Result(Failure.NETWORK_TIMEOUT)
SAYS_NO = Result(Failure.ACTIVE, status=503)


class Host:
    """Its flags over one check after the other."""

    def __init__(self, flags: Checked = FAILED, *, first: bool = False, **fields: object) -> None:
        self.flags = flags
        self.verdicts = Verdicts(check(TcpCheck(), **fields), first=first)

    def now(self, result: Result) -> Verdict:
        verdict = self.verdicts.of(self.flags, result)
        self.flags = verdict.flags
        return verdict


@pytest.mark.parametrize("result", [OK, REFUSED, TIMED_OUT, SAYS_NO])
def test_the_first_check_counts_at_once(result: Result) -> None:
    host = Host(first=True, healthy_threshold=3)
    verdict = host.now(result)
    assert bool(host.flags & FAILED) is (result.failure is not None)
    assert [event.first for event in verdict.events] == [True]
    assert verdict.transition is (Transition.CHANGED if result is OK else Transition.UNCHANGED)


def test_a_failed_host_is_well_again_after_so_many_successes_in_a_row() -> None:
    host = Host(healthy_threshold=3)
    outcomes = [host.now(result).transition for result in (OK, OK, REFUSED, OK, OK, OK, OK)]
    pending, changed, same = Transition.CHANGE_PENDING, Transition.CHANGED, Transition.UNCHANGED
    assert outcomes == [pending, pending, same, pending, pending, changed, same]
    assert host.flags == WELL


@pytest.mark.parametrize("failure", [REFUSED, TIMED_OUT, Result(Failure.ACTIVE, retriable=True)])
def test_a_host_fails_after_so_many_failures_in_a_row(failure: Result) -> None:
    host = Host(WELL, unhealthy_threshold=2)
    results = (failure, OK, failure, failure, failure)
    outcomes = [host.now(result).transition for result in results]
    pending, changed, same = Transition.CHANGE_PENDING, Transition.CHANGED, Transition.UNCHANGED
    assert outcomes == [pending, same, pending, changed, same]
    assert host.flags & FAILED


def test_a_host_that_says_so_itself_has_failed_at_once() -> None:
    host = Host(WELL, unhealthy_threshold=5)
    assert host.now(SAYS_NO) == Verdict(
        FAILED, Transition.CHANGED, (Event("eject_unhealthy_event", Failure.ACTIVE, status=503),)
    )


def test_a_failed_host_is_told_apart_by_what_has_failed_last() -> None:
    host = Host(WELL, unhealthy_threshold=1)
    flags = []
    for result in (TIMED_OUT, REFUSED, TIMED_OUT, SAYS_NO):
        host.now(result)
        flags.append(bool(host.flags & Checked.ACTIVE_HC_TIMEOUT))
    assert flags == [True, False, True, False]


def test_a_timeout_below_the_threshold_leaves_no_flag() -> None:
    host = Host(WELL, unhealthy_threshold=2)
    host.now(TIMED_OUT)
    assert host.flags == WELL


def test_degraded_comes_and_goes_with_what_successes_say() -> None:
    host = Host(WELL)
    degraded = Result(degraded=True)
    verdicts = [host.now(result) for result in (degraded, degraded, REFUSED, OK)]
    assert [verdict.transition for verdict in verdicts] == [
        Transition.CHANGED,
        Transition.UNCHANGED,
        Transition.CHANGE_PENDING,
        Transition.CHANGED,
    ]
    assert [event.name for verdict in verdicts for event in verdict.events] == [
        "degraded_healthy_host",
        "no_longer_degraded_host",
    ]


def test_a_host_that_wants_no_requests_is_excluded_until_it_is_well() -> None:
    host = Host(WELL, healthy_threshold=2)
    host.now(Result(Failure.ACTIVE, excludes=True))
    assert host.flags == FAILED | Checked.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
    host.now(OK)
    assert host.flags & Checked.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
    host.now(OK)
    assert host.flags == WELL


@pytest.mark.parametrize("result", [OK, REFUSED])
def test_a_pending_host_is_pending_no_more(result: Result) -> None:
    host = Host(FAILED | Checked.PENDING_ACTIVE_HC, first=True)
    assert host.now(result).transition is Transition.CHANGED
    assert not host.flags & Checked.PENDING_ACTIVE_HC


def test_who_was_about_to_be_well_begins_anew_when_somebody_else_has_spoken() -> None:
    host = Host(healthy_threshold=2)
    host.now(OK)
    host.verdicts.interrupted()
    host.now(OK)
    assert host.flags & FAILED
    host.now(OK)
    assert host.flags == WELL


def test_all_results_are_told_where_that_is_asked_for() -> None:
    host = Host(WELL, always_log_failures=True, always_log_success=True, unhealthy_threshold=1, healthy_threshold=2)
    names = [[event.name for event in host.now(result).events] for result in (OK, SAYS_NO, SAYS_NO, OK, OK)]
    assert names == [
        ["successful_health_check_event"],
        ["eject_unhealthy_event", "health_check_failure_event"],
        ["health_check_failure_event"],
        ["successful_health_check_event"],
        ["add_healthy_event"],
    ]


INTERVALS = check(
    TcpCheck(),
    interval=1.0,
    unhealthy_interval=2.0,
    unhealthy_edge_interval=3.0,
    healthy_edge_interval=4.0,
    no_traffic_interval=5.0,
    no_traffic_healthy_interval=6.0,
)


@pytest.mark.parametrize(
    ("healthy", "pending", "traffic", "seconds"),
    [
        (True, False, True, 1.0),
        (False, False, True, 2.0),
        (False, True, True, 3.0),
        (True, True, True, 4.0),
        (False, False, False, 5.0),
        (True, True, False, 5.0),
        (True, False, False, 6.0),
    ],
)
def test_intervals(healthy: bool, pending: bool, traffic: bool, seconds: float) -> None:
    transition = Transition.CHANGE_PENDING if pending else Transition.CHANGED
    assert interval(INTERVALS, transition, Random(0), healthy=healthy, traffic=traffic) == seconds


def test_jitter_comes_on_top() -> None:
    config = check(TcpCheck(), interval=1.0, interval_jitter=0.5, interval_jitter_percent=10)
    random = Random(7)
    drawn = [interval(config, Transition.UNCHANGED, random, healthy=True, traffic=True) for _ in range(200)]
    assert 1.0 <= min(drawn) < 1.05 < 1.5 < max(drawn) < 1.6


def test_there_is_always_a_pause() -> None:
    config = check(TcpCheck(), interval=0.0)
    assert interval(config, Transition.UNCHANGED, Random(0), healthy=True, traffic=True) == 0.001
