"""Limits of clusters (`config.cluster.v3.CircuitBreakers`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config.cluster import CircuitBreaker

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": ("circuit_breakers",),
    "envoy.config.cluster.v3.CircuitBreakers": ("thresholds",),
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds": (
        "priority",
        "max_connections",
        "max_pending_requests",
        "max_requests",
        "max_retries",
        "track_remaining",
    ),
}

LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
DEFAULT, HIGH = 0, 1
"""`config.core.v3.RoutingPriority`."""


def compile_breakers(message: Any, context: Context) -> tuple[CircuitBreaker, CircuitBreaker]:
    """Of default and of high priority, from a `CircuitBreakers`; `context` stands for it. Envoy takes the first
    thresholds of a priority and ignores others, here they are an error.
    """
    found: dict[int, CircuitBreaker] = {}
    for index, thresholds in enumerate(message.thresholds):
        if thresholds.priority in found:
            names = type(thresholds).DESCRIPTOR.fields_by_name["priority"].enum_type.values_by_number
            name = names[thresholds.priority].name
            context.error(("thresholds", index, "priority"), f"{name} has its thresholds already", "each priority once")
            continue
        limits = {name: getattr(thresholds, name).value for name in LIMITS if thresholds.HasField(name)}
        found[thresholds.priority] = CircuitBreaker(**limits, track_remaining=thresholds.track_remaining)
    return found.get(DEFAULT, CircuitBreaker()), found.get(HIGH, CircuitBreaker())
