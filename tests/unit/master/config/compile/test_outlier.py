"""Outlier detection of clusters."""

from __future__ import annotations

import pytest

from master.config.compile import outlier
from proxy.config.outlier import OutlierDetection
from tests.kit.config import compiled, findings

OUTLIER = "envoy.config.cluster.v3.OutlierDetection"


def detection(body: str, *, manager: str = "{}") -> OutlierDetection | None:
    text = f"{{cluster_manager: {manager}, static_resources: {{clusters: [{{name: c, outlier_detection: {body}}}]}}}}"
    return compiled(text).clusters[0].outlier


def test_envoys_defaults() -> None:
    assert detection("{}") == OutlierDetection()
    assert compiled("static_resources: {clusters: [{name: c}]}").clusters[0].outlier is None


@pytest.mark.field(
    "envoy.config.cluster.v3.Cluster.outlier_detection",
    "envoy.config.bootstrap.v3.Bootstrap.cluster_manager",
    "envoy.config.bootstrap.v3.ClusterManager.outlier_detection",
    "envoy.config.bootstrap.v3.ClusterManager.OutlierDetection.event_log_path",
    *(f"{OUTLIER}.{name}" for name in outlier.FIELDS[OUTLIER]),
)
def test_the_fields() -> None:
    numbers = {name: number for number, name in enumerate(outlier.NUMBERS, 41)}
    numbers |= {"always_eject_one_host": True, "successful_active_health_check_uneject_host": False}
    durations = {
        "interval": 1.5,
        "base_ejection_time": 2.0,
        "max_ejection_time": 400.0,
        "max_ejection_time_jitter": 3.0,
    }
    said = {
        **{name: str(value).lower() for name, value in numbers.items()},
        **{name: f"{seconds}s" for name, seconds in durations.items()},
        "split_external_local_origin_errors": "true",
    }
    body = "{" + ", ".join(f"{name}: {value}" for name, value in said.items()) + "}"
    found = detection(body, manager="{outlier_detection: {event_log_path: /dev/null}}")
    assert found == OutlierDetection(
        **numbers, **durations, split_external_local_origin_errors=True, event_log_path="/dev/null"
    )


def test_the_longest_time_is_no_less_than_the_shortest() -> None:
    found = detection("{base_ejection_time: 400s}")
    assert found is not None
    assert found.max_ejection_time == 400.0
    text = (
        "static_resources: {clusters: [{name: c, outlier_detection: {base_ejection_time: 3s, max_ejection_time: 2s}}]}"
    )
    (fault,) = findings(text)
    assert fault.field_path == "static_resources.clusters[0].outlier_detection.max_ejection_time"


def test_other_monitors_are_an_error() -> None:
    monitor = '{name: m, typed_config: {"@type": type.googleapis.com/google.protobuf.Struct}}'
    text = f"static_resources: {{clusters: [{{name: c, outlier_detection: {{monitors: [{monitor}]}}}}]}}"
    assert any("monitors" in fault.field_path for fault in findings(text))


@pytest.mark.parametrize("path", ["/nowhere/at/all/events", "a\\0b"])
def test_an_event_log_that_cannot_be_written_to_is_reported(path: str) -> None:
    (found,) = findings(f'cluster_manager: {{outlier_detection: {{event_log_path: "{path}"}}}}')
    assert found.path == ("cluster_manager", "outlier_detection", "event_log_path")
