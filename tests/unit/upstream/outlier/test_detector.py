"""Who is ejected and who comes back, over several workers."""

from __future__ import annotations

import json

import pytest
import trio

from proxy.config.outlier import OutlierDetection
from proxy.upstream.host_status import Checked
from proxy.upstream.outlier import detector, rates
from proxy.upstream.tables import ClusterColumn, HostColumn
from tests.unit.upstream.outlier.rig import ejected, rig

ALL = OutlierDetection(
    max_ejection_percent=100, interval=1.0, base_ejection_time=2.0, max_ejection_time=6.0, event_log_path="events"
)


def test_failures_in_a_row_eject_at_once_where_there_is_one_worker() -> None:
    with rig(ALL) as bed:
        worker = bed.worker()
        worker.respond(1, 500, 4)
        assert ejected(worker) == []
        worker.respond(1, 500)
        assert ejected(worker) == [1]
        assert worker.changes == 1
        assert worker.counted == {
            "active": 1,
            "total": 1,
            "enforced_total": 1,
            "consecutive_5xx": 1,
            "detected_consecutive_5xx": 1,
            "enforced_consecutive_5xx": 1,
        }


def test_failures_in_a_row_are_those_of_all_workers() -> None:
    with rig(ALL) as bed:
        first, second = bed.worker(0), bed.worker(1)
        for worker in (second, first, second, first):
            worker.respond(2, 503)
        assert ejected(first) == []
        second.respond(2, 503)
        first.poll()
        assert ejected(first) == ejected(second) == [2]


def test_a_success_anywhere_ends_a_row() -> None:
    with rig(ALL) as bed:
        first, second = bed.worker(0), bed.worker(1)
        first.respond(0, 500, 4)
        second.respond(0, 200)
        first.respond(0, 500, 4)
        first.poll()
        assert ejected(first) == []
        first.respond(0, 500)
        assert ejected(first) == [0]


def test_what_a_worker_has_counted_outlives_it() -> None:
    with rig(ALL) as bed:
        bed.worker(1).respond(0, 500, 4)
        heir = bed.worker(0)
        heir.respond(0, 500)
        assert ejected(heir) == [0]


def test_a_worker_that_does_not_decide_tells_who_does() -> None:
    with rig(ALL) as bed:
        decider, other = bed.worker(0), bed.worker(1)
        decider.poll()
        other.respond(1, 500, 5)
        other.respond(2, 500, 5)
        other.poll()
        assert ejected(other) == []
        decider.poll()
        assert ejected(other) == [1, 2]
        assert other.counted == {}
        assert decider.counted["enforced_total"] == 2


def test_the_next_worker_goes_on_where_the_last_one_was() -> None:
    with rig(ALL) as bed:
        first, second = bed.worker(0), bed.worker(1)
        first.respond(0, 500, 5)
        bed.owner.now = 2  # nobody, for a moment
        first.poll()
        first.respond(1, 500, 5)
        assert ejected(first) == [0]
        assert first.counted.get("active") is None
        bed.owner.now = 1
        second.poll(1.0)
        assert ejected(second) == [0, 1]
        assert second.counted["active"] == 2
        second.poll(4.2)
        assert ejected(second) == []
        assert second.counted.get("active") is None


def test_no_more_than_a_share_is_ejected() -> None:
    with rig(OutlierDetection(max_ejection_percent=50), hosts=4) as bed:
        worker = bed.worker()
        for host in range(4):
            worker.respond(host, 500, 5)
        assert ejected(worker) == [0, 1]
        assert worker.counted["overflow"] == 2
        assert worker.counted["detected_consecutive_5xx"] == 4


def test_one_may_always_be_ejected_where_that_is_asked_for() -> None:
    for always, expected in ((False, []), (True, [0])):
        with rig(OutlierDetection(always_eject_one_host=always)) as bed:
            worker = bed.worker()
            for host in range(3):
                worker.respond(host, 500, 5)
            assert ejected(worker) == expected


def test_who_fails_again_stays_away_for_longer() -> None:
    with rig(ALL) as bed:
        worker = bed.worker()
        for seconds in (2, 4, 6, 6):
            worker.respond(0, 500, 5)
            assert ejected(worker) == [0]
            worker.poll(seconds - 0.5)
            assert ejected(worker) == [0], seconds
            worker.poll(seconds + 1.2)  # what is over is looked for once per interval
            assert ejected(worker) == [], seconds
            worker.clock += seconds + 1.2
        assert json.loads(worker.lines[-1])["num_ejections"] == 4


def test_a_host_that_does_well_is_forgiven_step_by_step() -> None:
    with rig(ALL) as bed:
        worker = bed.worker()
        for _ in range(2):
            worker.respond(0, 500, 5)
            worker.poll(7.0)
            worker.clock += 7.0
        backoff = HostColumn.EJECTION_BACKOFF
        table = worker.detector._table
        assert table.total(0, backoff) == 2
        worker.poll(1.5)
        assert table.total(0, backoff) == 1
        worker.poll(3.5)
        worker.poll(5.5)
        assert table.total(0, backoff) == 0


def test_an_ejected_host_is_not_found_out_again_and_begins_anew() -> None:
    with rig(ALL) as bed:
        worker = bed.worker()
        worker.respond(0, 500, 40)
        assert worker.counted["detected_consecutive_5xx"] == 1
        worker.poll(4.0)
        worker.respond(0, 500, 4)
        assert ejected(worker) == []
        worker.respond(0, 500)
        assert ejected(worker) == [0]


def test_a_health_check_brings_a_host_back() -> None:
    for config, expected in (
        (ALL, []),
        (OutlierDetection(max_ejection_percent=100, successful_active_health_check_uneject_host=False), [0]),
    ):
        with rig(config, checks=True) as bed:
            worker = bed.worker()
            for host in bed.hosts:
                worker.status.set_checked(host, Checked(0))
            worker.respond(0, 500, 5)
            worker.status.set_checked(bed.hosts[0], Checked.FAILED_ACTIVE_HC)
            worker.poll()
            assert ejected(worker) == [0]
            worker.status.set_checked(bed.hosts[0], Checked(0))
            worker.poll()
            assert ejected(worker) == expected


def test_hosts_that_leave_are_forgotten() -> None:
    with rig(ALL) as bed:
        worker = bed.worker()
        worker.respond(0, 500, 5)
        worker.respond(1, 500, 5)
        gone = worker.monitors[2]
        worker.use(bed.hosts[1:2])
        assert worker.counted["active"] == 1
        for _ in range(5):
            gone.response(500)
        assert ejected(worker) == [0, 1]
        worker.detector.close()
        assert worker.counted.get("active") is None


def test_rates_are_those_of_all_workers() -> None:
    with rig(OutlierDetection(max_ejection_percent=50, interval=1.0, event_log_path="events"), hosts=6) as bed:
        first, second = bed.worker(0), bed.worker(1)
        first.poll(1.0)  # rates are those of a whole interval
        for worker in (first, second):
            for host in range(6):
                worker.respond(host, 200, 30)
                for _ in range(30):
                    worker.respond(host, 200)
                    if host == 5:
                        worker.respond(host, 500)
        first.poll(2.5)
        assert ejected(second) == [5]
        assert first.counted["enforced_success_rate"] == first.counted["success_rate"] == 1
        shown = rates.unpack(first.detector._table.highest(5, HostColumn.SUCCESS_RATE))
        assert shown == pytest.approx(100 * 120 / 180, abs=0.001)
        (event,) = (json.loads(line) for line in first.lines)
        assert event["type"] == "SUCCESS_RATE"
        assert event["eject_success_rate_event"] == {
            "host_success_rate": 66,
            "cluster_average_success_rate": 94,
            "cluster_success_rate_ejection_threshold": 70,
        }
        first.poll(4.5)
        assert rates.unpack(first.detector._table.highest(5, HostColumn.SUCCESS_RATE)) == rates.NONE
        average = first.detector._windows._clusters.highest(0, ClusterColumn.SUCCESS_RATE_AVERAGE)
        assert rates.unpack(average) == rates.NONE


def test_rates_of_our_side_are_kept_apart() -> None:
    config = OutlierDetection(
        max_ejection_percent=50,
        interval=1.0,
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=1000,
        failure_percentage_minimum_hosts=1,
        failure_percentage_request_volume=10,
        enforcing_failure_percentage_local_origin=100,
    )
    with rig(config) as bed:
        worker = bed.worker()
        worker.poll(1.0)
        worker.reset(0, 20)
        worker.respond(1, 200, 20)
        worker.poll(2.5)
        assert ejected(worker) == [0]
        assert worker.counted["enforced_local_origin_failure_percentage"] == 1
        assert "detected_failure_percentage" not in worker.counted


def test_many_hosts_are_looked_at_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile another worker may take over, and nothing more is decided here."""
    monkeypatch.setattr(detector, "SLICE", 2)
    with rig(ALL, hosts=40) as bed:
        worker = bed.worker()
        worker.respond(1, 500, 5)
        worker.respond(39, 500, 5)

        async def take_over() -> None:
            bed.owner.now = 1
            worker.respond(5, 500, 5)

        async def both() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(worker.detector.poll)
                nursery.start_soon(take_over)

        worker.clock += 5.0
        trio.run(both)
        assert 39 in ejected(worker)
        assert worker.counted.get("active") is None


def test_events_are_envoys() -> None:
    with rig(OutlierDetection(max_ejection_percent=100, event_log_path="events")) as bed:
        worker = bed.worker()
        worker.respond(0, 502, 5)
        worker.poll(40.0)
        found_out, ejection, back = (json.loads(line) for line in worker.lines)
        assert [found_out["type"], found_out["enforced"]] == ["CONSECUTIVE_GATEWAY_FAILURE", False]
        assert list(ejection) == [
            "type",
            "timestamp",
            "cluster_name",
            "upstream_url",
            "action",
            "num_ejections",
            "enforced",
            "eject_consecutive_event",
        ]
        assert (ejection["upstream_url"], ejection["action"], ejection["enforced"]) == ("127.0.0.1:8000", "EJECT", True)
        assert (back["action"], back["num_ejections"], back["secs_since_last_action"]) == ("UNEJECT", 1, "40")
