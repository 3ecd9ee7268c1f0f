"""The load generator counts what happened, by cause."""

from __future__ import annotations

import time

import pytest

from tests.kit.load import Load, Mode, Outcome, Report
from tests.kit.origin import Origin
from tests.kit.process import wait_for


@pytest.mark.parametrize("mode", ["new", "keep-alive"])
def test_every_request_of_a_healthy_origin_is_good(mode: Mode) -> None:
    with Origin() as origin, Load((origin.host, origin.port), mode=mode, connections=2, target="/?body=10") as load:
        time.sleep(0.2)
        report = load.finish()
    assert report.ok > 0
    assert not report.failed
    assert any(outcome.reused for outcome in report.outcomes) == (mode == "keep-alive")


def test_failures_by_cause() -> None:
    with Origin() as origin:
        address = (origin.host, origin.port)
        causes = {}
        for script in ("close=before", "body=100000&close=half", "status=503&body=1", "delay=30"):
            with Load(address, connections=1, target=f"/?{script}", timeout=0.2) as load:
                time.sleep(0.3)
                causes[script] = set(load.finish().failed)
    assert causes == {
        "close=before": {"closed"},
        "body=100000&close=half": {"cut"},
        "status=503&body=1": {"status 503"},
        "delay=30": {"timeout"},
    }


def test_an_origin_that_is_killed() -> None:
    with Origin() as origin, Load((origin.host, origin.port), mode="new", connections=2) as load:
        time.sleep(0.1)
        killed = time.monotonic()
        origin.process.kill()
        wait_for(lambda: origin.process.poll() is not None, deadline=5, what="killed")
        time.sleep(0.1)
        report = load.finish()
    assert report.ok > 0
    assert report.since(killed).failed["refused"] > 0


def test_report_of_silence_and_waits() -> None:
    report = Report(
        [Outcome(0, False, 0.0, 1.0, ""), Outcome(0, True, 1.0, 1.5, "cut"), Outcome(0, False, 1.5, 4.0, "")]
    )
    assert (report.ok, report.failed) == (2, {"cut": 1})
    assert (report.longest_silence(), report.longest_wait()) == (3.0, 2.5)
