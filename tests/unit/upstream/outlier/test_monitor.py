"""What of a request's end counts as what."""

from __future__ import annotations

import pytest

from proxy.config.outlier import OutlierDetection
from proxy.upstream.tables import HostColumn
from tests.unit.upstream.outlier.rig import Worker, rig

SPLIT = OutlierDetection(split_external_local_origin_errors=True)
COUNTS = (
    HostColumn.OUTLIER_SUCCESS,
    HostColumn.OUTLIER_5XX,
    HostColumn.OUTLIER_GATEWAY_FAILURE,
    HostColumn.OUTLIER_LOCAL_SUCCESS,
    HostColumn.OUTLIER_LOCAL_FAILURE,
)


def counts(worker: Worker) -> list[int]:
    return [worker.detector._table.total(0, column) for column in COUNTS]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, [1, 0, 0, 0, 0]),
        (101, [1, 0, 0, 0, 0]),
        (499, [1, 0, 0, 0, 0]),
        (500, [0, 1, 0, 0, 0]),
        (501, [0, 1, 0, 0, 0]),
        (502, [0, 0, 1, 0, 0]),
        (504, [0, 0, 1, 0, 0]),
        (505, [0, 1, 0, 0, 0]),
        (599, [0, 1, 0, 0, 0]),
        (600, [1, 0, 0, 0, 0]),
    ],
)
def test_statuses(status: int, expected: list[int]) -> None:
    with rig(OutlierDetection()) as bed:
        worker = bed.worker()
        worker.monitors[0].response(status)
        assert counts(worker) == expected


@pytest.mark.parametrize(
    ("what", "together", "apart"),
    [
        ("connected", [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]),
        ("served", [1, 0, 0, 0, 0], [0, 0, 0, 1, 0]),
        ("failed", [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]),
        ("timed_out", [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]),
    ],
)
def test_our_side_of_the_connection(what: str, together: list[int], apart: list[int]) -> None:
    for config, expected in ((OutlierDetection(), together), (SPLIT, apart)):
        with rig(config) as bed:
            worker = bed.worker()
            getattr(worker.monitors[0], what)()
            assert counts(worker) == expected


def test_a_threshold_of_zero_is_none() -> None:
    with rig(OutlierDetection(consecutive_5xx=0, consecutive_gateway_failure=0, max_ejection_percent=100)) as bed:
        worker = bed.worker()
        worker.respond(0, 503, 20)
        assert worker.counted == {}
