"""The load generator counts what happened, by cause."""

from __future__ import annotations

import time

import psutil
import pytest

from tests.kit.load import Load, Loads, Mode, Outcome, Part, Report
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


def test_a_connection_that_ended_while_it_was_idle_is_told_from_one_that_broke() -> None:
    with (
        Origin() as origin,
        Load((origin.host, origin.port), connections=1, target="/?body=1&close=after", pause=0.2) as load,
    ):
        time.sleep(0.7)
        report = load.finish()
    assert set(report.failed) == {"closed idle"}
    assert report.ok > 0
    by_connection = {outcome.opened: outcome.port for outcome in report.outcomes}
    assert [outcome.port for outcome in report.outcomes] == [by_connection[o.opened] for o in report.outcomes]
    assert all(by_connection.values())


@pytest.mark.parametrize("mode", ["download", "upload", "tcp"])
def test_slow_kinds(mode: Mode) -> None:
    with Origin() as origin, Load((origin.host, origin.port), mode=mode, connections=2) as load:
        time.sleep(0.2)
        report = load.finish()
    assert (report.ok, report.failed) == (2, {})
    assert {outcome.cause for outcome in broken(mode)} <= {"cut", "closed"}


def broken(mode: Mode) -> list[Outcome]:
    """What it says of an origin that dies."""
    with Origin() as origin, Load((origin.host, origin.port), mode=mode, connections=2) as load:
        time.sleep(0.3)
        origin.process.kill()
        report = load.finish()
    first = [outcome for outcome in report.outcomes if outcome.cause != "refused"]
    assert len(first) >= 2  # another one may have been accepted in its last moment
    return first


def test_what_follows_a_close_in_a_burst_is_sent_again() -> None:
    with Origin() as origin:
        address = (origin.host, origin.port)
        with Load(address, mode="pipelined", connections=1, pause=0.01) as load:
            time.sleep(0.2)
            kept = load.finish()
        with Load(address, mode="pipelined", connections=1, pause=0.01, target="/?header=connection:close") as load:
            time.sleep(0.2)
            closed = load.finish()
    assert not kept.failed
    assert kept.outcomes[-1].reused
    # The origin goes on reading although it has said that it will not: not our fault, and no failure.
    assert not closed.failed
    assert not any(outcome.reused for outcome in closed.outcomes)


def connected(loads: Loads, port: int) -> int:
    """How many connections to this port it has open."""
    found = psutil.Process(loads.pid).net_connections()
    return sum(bool(connection.raddr) and connection.raddr.port == port for connection in found)


def test_new_connections_move_and_the_others_stay() -> None:
    with Origin("one", "two") as origin:
        one, two = origin.ports.values()
        here, there = (origin.host, one), (origin.host, two)
        stays = Part(here, connections=1, target="/?delay=0.2")
        moves = Part(here, "new", connections=1, target="/?delay=0.2")
        with Loads([stays, moves]) as loads:
            wait_for(lambda: connected(loads, one) == 2, deadline=5, what="both are connected")
            loads.move({here: there})
            wait_for(lambda: connected(loads, two) == 1, deadline=5, what="one has moved")
            assert connected(loads, one) == 1
            loads.move({here: here})
            wait_for(lambda: connected(loads, one) == 2, deadline=5, what="it is back")
            assert [report.failed for report in loads.finish_parts()] == [{}, {}]


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="no such kind of load: telepathy; there are: new"):
        Load(("127.0.0.1", 1), mode="telepathy")
