"""Signs of life: how often, and when there is none to give."""

from __future__ import annotations

import pytest

from master.supervisor.systemd.watchdog import SILENT_AFTER_NS, Watchdog, interval_ns, somebody_serves
from shm.processes import ProcessInfo, Role, State

NOW = 10**12


@pytest.mark.parametrize(
    ("variables", "interval"),
    [
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 1_500_000_000),
        ({"WATCHDOG_USEC": "3000000"}, 1_500_000_000),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, None), ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None), ({}, None),
    ],
)  # fmt: skip
def test_half_of_what_systemd_waits(variables: dict[str, str], interval: int | None) -> None:
    assert interval_ns(variables, 7) == interval


def test_due_once_per_interval_and_still_due_if_none_was_given() -> None:
    watchdog = Watchdog(100)
    assert watchdog.due(NOW)
    assert watchdog.due(NOW + 1)
    watchdog.given(NOW + 1)
    assert not watchdog.due(NOW + 100)
    assert watchdog.due(NOW + 101)
    assert not Watchdog(None).due(NOW)


def worker(age: int, *, state: State = State.SERVING, role: Role = Role.WORKER, started: int = 0) -> ProcessInfo:
    return ProcessInfo(3, 77, role, 0, 1, started, 0, state, NOW - age, 0, 0, 0, 0, 0, 0)


def test_one_worker_that_serves_is_enough() -> None:
    assert somebody_serves([worker(2 * SILENT_AFTER_NS), worker(1)], NOW)
    assert not somebody_serves([worker(2 * SILENT_AFTER_NS)], NOW)
    assert not somebody_serves([], NOW)


def test_others_do_not_count() -> None:
    assert not somebody_serves([worker(1, state=State.STARTING), worker(1, state=State.DRAINING)], NOW)
    assert not somebody_serves([worker(1, role=Role.CONTROLLER)], NOW)
