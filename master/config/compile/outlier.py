"""Outlier detection of clusters (`config.cluster.v3.OutlierDetection`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config.outlier import OutlierDetection

if TYPE_CHECKING:
    from master.config.compile.context import Context

PROTO = "envoy.config.cluster.v3.OutlierDetection"
DURATIONS = ("interval", "base_ejection_time", "max_ejection_time", "max_ejection_time_jitter")
NUMBERS = (
    "consecutive_5xx",
    "consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "max_ejection_percent",
    "always_eject_one_host",
    "success_rate_minimum_hosts",
    "success_rate_request_volume",
    "success_rate_stdev_factor",
    "failure_percentage_threshold",
    "failure_percentage_minimum_hosts",
    "failure_percentage_request_volume",
    "enforcing_consecutive_5xx",
    "enforcing_consecutive_gateway_failure",
    "enforcing_consecutive_local_origin_failure",
    "enforcing_success_rate",
    "enforcing_local_origin_success_rate",
    "enforcing_failure_percentage",
    "enforcing_failure_percentage_local_origin",
    "successful_active_health_check_uneject_host",
)
"""Wrapped values, named as they are in the struct."""

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.bootstrap.v3.Bootstrap": ("cluster_manager",),
    "envoy.config.bootstrap.v3.ClusterManager": ("outlier_detection",),
    "envoy.config.bootstrap.v3.ClusterManager.OutlierDetection": ("event_log_path",),
    "envoy.config.cluster.v3.Cluster": ("outlier_detection",),
    PROTO: (*DURATIONS, *NUMBERS, "split_external_local_origin_errors"),
}


def compile_outlier_detection(message: Any, context: Context, *, event_log_path: str) -> OutlierDetection | None:
    """That of a `Cluster`; `context` stands for it. `max_ejection_time` is never less than `base_ejection_time`, unless
    somebody says so, which is an error.
    """
    if not message.HasField("outlier_detection"):
        return None
    given, here = message.outlier_detection, context.at("outlier_detection")
    durations: dict[str, Any] = {
        name: here.duration(getattr(given, name), name) for name in DURATIONS if given.HasField(name)
    }
    base = durations.get("base_ejection_time", OutlierDetection().base_ejection_time)
    longest = durations.setdefault("max_ejection_time", max(OutlierDetection().max_ejection_time, base))
    if longest < base:
        here.error(("max_ejection_time",), "max_ejection_time is less than base_ejection_time", f"at least {base:g}s")
    return OutlierDetection(
        **durations,
        **{name: getattr(given, name).value for name in NUMBERS if given.HasField(name)},
        split_external_local_origin_errors=given.split_external_local_origin_errors,
        event_log_path=event_log_path,
    )
