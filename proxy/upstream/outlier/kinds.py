"""What a host is found out by (`data.cluster.v3.OutlierEjectionType`)."""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """Values are the ends of stats' names: `ejections_detected_<value>`."""

    CONSECUTIVE_5XX = "consecutive_5xx"
    CONSECUTIVE_GATEWAY_FAILURE = "consecutive_gateway_failure"
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE = "consecutive_local_origin_failure"
    SUCCESS_RATE = "success_rate"
    SUCCESS_RATE_LOCAL_ORIGIN = "local_origin_success_rate"
    FAILURE_PERCENTAGE = "failure_percentage"
    FAILURE_PERCENTAGE_LOCAL_ORIGIN = "local_origin_failure_percentage"


CONSECUTIVE = (
    Kind.CONSECUTIVE_GATEWAY_FAILURE,
    Kind.CONSECUTIVE_5XX,
    Kind.CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
)
"""In the order in which Envoy looks at them."""

ENFORCING = {
    Kind.CONSECUTIVE_5XX: "enforcing_consecutive_5xx",
    Kind.CONSECUTIVE_GATEWAY_FAILURE: "enforcing_consecutive_gateway_failure",
    Kind.CONSECUTIVE_LOCAL_ORIGIN_FAILURE: "enforcing_consecutive_local_origin_failure",
    Kind.SUCCESS_RATE: "enforcing_success_rate",
    Kind.SUCCESS_RATE_LOCAL_ORIGIN: "enforcing_local_origin_success_rate",
    Kind.FAILURE_PERCENTAGE: "enforcing_failure_percentage",
    Kind.FAILURE_PERCENTAGE_LOCAL_ORIGIN: "enforcing_failure_percentage_local_origin",
}
"""The field that says how many of the hosts that are found out are ejected, in percent."""
