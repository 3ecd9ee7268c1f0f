"""Limits of clusters."""

from __future__ import annotations

import pytest

from proxy.config.cluster import CircuitBreaker, RetryBudget
from tests.kit.config import compiled, findings

THRESHOLDS = "envoy.config.cluster.v3.CircuitBreakers.Thresholds"


def breakers(body: str) -> tuple[CircuitBreaker, CircuitBreaker]:
    cluster = compiled(f"static_resources: {{clusters: [{{name: c, circuit_breakers: {{{body}}}}}]}}").clusters[0]
    return cluster.breaker, cluster.high_breaker


@pytest.mark.field(f"{THRESHOLDS}.RetryBudget.budget_percent", f"{THRESHOLDS}.RetryBudget.min_retry_concurrency")
def test_a_budget() -> None:
    body = "thresholds: [{retry_budget: {budget_percent: {value: 12.5}, min_retry_concurrency: 7}}]"
    assert breakers(body)[0].retry_budget == RetryBudget(12.5, 7)


@pytest.mark.field(f"{THRESHOLDS}.retry_budget")
def test_a_budget_by_default() -> None:
    default, high = breakers("thresholds: [{retry_budget: {}}]")
    assert (default.retry_budget, high.retry_budget) == (RetryBudget(20.0, 3), None)


def test_limits_of_a_host_and_of_all_stand_beside_each_other() -> None:
    body = "thresholds: [{max_connection_pools: 3}], per_host_thresholds: [{max_connections: 2}, {priority: HIGH}]"
    assert breakers(body) == (CircuitBreaker(max_connection_pools=3, max_connections_per_host=2), CircuitBreaker())


@pytest.mark.parametrize("kind", ["thresholds", "per_host_thresholds"])
def test_each_priority_has_one(kind: str) -> None:
    text = f"static_resources: {{clusters: [{{name: c, circuit_breakers: {{{kind}: [{{}}, {{}}]}}}}]}}"
    (fault,) = findings(text)
    assert fault.field_path == f"static_resources.clusters[0].circuit_breakers.{kind}[1].priority"
