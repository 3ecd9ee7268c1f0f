"""Limits of clusters (`config.cluster.v3.CircuitBreakers`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from proxy.config.cluster import CircuitBreaker, RetryBudget

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": ("circuit_breakers",),
    "envoy.config.cluster.v3.CircuitBreakers": ("thresholds", "per_host_thresholds"),
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds": (
        "priority",
        "max_connections",
        "max_pending_requests",
        "max_requests",
        "max_retries",
        "track_remaining",
        "retry_budget",
        "max_connection_pools",
    ),
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget": ("budget_percent", "min_retry_concurrency"),
}

LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries", "max_connection_pools")
OF_A_HOST = ("priority", "max_connections", "track_remaining")
"""What Envoy takes among `per_host_thresholds`; the last has no effect there."""
DEFAULT, HIGH = 0, 1
"""`config.core.v3.RoutingPriority`."""


def compile_breakers(message: Any, context: Context) -> tuple[CircuitBreaker, CircuitBreaker]:
    """Of default and of high priority, from a `CircuitBreakers`; `context` stands for it. Envoy takes the first
    thresholds of a priority and ignores others, here they are an error.
    """
    found: dict[int, dict[str, Any]] = {DEFAULT: {}, HIGH: {}}
    for _, thresholds in _each(message.thresholds, context.at("thresholds")):
        limits = {name: getattr(thresholds, name).value for name in LIMITS if thresholds.HasField(name)}
        found[thresholds.priority] = {**limits, "track_remaining": thresholds.track_remaining}
        if thresholds.HasField("retry_budget"):
            found[thresholds.priority]["retry_budget"] = _budget(thresholds.retry_budget)
    for here, thresholds in _each(message.per_host_thresholds, context.at("per_host_thresholds")):
        for field, _ in thresholds.ListFields():
            if field.name not in OF_A_HOST:
                here.error((field.name,), "a host has no such limit", "max_connections")
        if thresholds.HasField("max_connections"):
            found[thresholds.priority]["max_connections_per_host"] = thresholds.max_connections.value
    return CircuitBreaker(**found[DEFAULT]), CircuitBreaker(**found[HIGH])


def _each(messages: Any, context: Context) -> Iterator[tuple[Context, Any]]:
    """Those of each priority once."""
    seen = set()
    for index, thresholds in enumerate(messages):
        here = context.at(index)
        if thresholds.priority in seen:
            names = type(thresholds).DESCRIPTOR.fields_by_name["priority"].enum_type.values_by_number
            name = names[thresholds.priority].name
            here.error(("priority",), f"{name} has its thresholds already", "each priority once")
            continue
        seen.add(thresholds.priority)
        yield here, thresholds


def _budget(message: Any) -> RetryBudget:
    """As protobuf has it: a percentage that was set to nothing is 0, one that was not set is the default."""
    given: dict[str, Any] = {}
    if message.HasField("budget_percent"):
        given["percent"] = message.budget_percent.value
    if message.HasField("min_retry_concurrency"):
        given["least"] = message.min_retry_concurrency.value
    return RetryBudget(**given)
