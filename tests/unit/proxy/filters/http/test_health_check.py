"""`health_check`: compiled from YAML, then run in a server. `tests/parity/` has it beside Envoy."""

from __future__ import annotations

from typing import Any

import pytest

from proxy import testing
from proxy.filters.context import FilterContext
from proxy.filters.http.health_check import HealthCheck
from proxy.stats import MemoryStats
from proxy.upstream.manager import ClusterView
from tests.kit.config import HTTP_FILTERS, bootstrap, findings, manager, plugin_config
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import through

TYPE = "envoy.extensions.filters.http.health_check.v3.HealthCheck"
ASKED = "headers: [{name: ':path', string_match: {exact: /health}}]"
GET = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"


def http_filter(fields: str) -> str:
    return f'{{name: h, typed_config: {{"@type": type.googleapis.com/{TYPE}, {fields}}}}}'


def text(fields: str) -> str:
    return bootstrap(http_filters=f"- {http_filter(fields)}{HTTP_FILTERS}")


def config(fields: str) -> Any:
    return plugin_config(manager(text(fields)).http_filters[0], HealthCheck.Config)


@run_trio
@pytest.mark.field(f"{TYPE}.pass_through_mode", f"{TYPE}.headers")
async def test_it_answers_those_that_ask() -> None:
    head, answer = await through(http_filter(f"pass_through_mode: false, {ASKED}"), GET)
    assert (head, answer.startswith(b"HTTP/1.1 200 ")) == (b"", True)
    assert b"\r\nx-envoy-upstream-healthchecked-cluster:" in answer
    head, answer = await through(http_filter(f"pass_through_mode: false, {ASKED}"), GET.replace(b"health", b"other"))
    assert head.startswith(b"GET /other ")
    assert b"healthchecked" not in answer


@run_trio
async def test_or_the_upstream_does() -> None:
    head, answer = await through(http_filter(f"pass_through_mode: true, {ASKED}"), GET)
    assert head.startswith(b"GET /health ")
    assert b"\r\nx-envoy-upstream-healthchecked-cluster:" in answer


@run_trio
@pytest.mark.field(f"{TYPE}.cluster_min_healthy_percentages")
async def test_or_the_hosts_of_clusters() -> None:
    for name, status in (("origin", b"200"), ("lost", b"503")):
        fields = f"pass_through_mode: false, {ASKED}, cluster_min_healthy_percentages: {{{name}: {{value: 100}}}}"
        head, answer = await through(http_filter(fields), GET)
        assert (head, answer[9:12]) == (b"", status)


@pytest.mark.field(f"{TYPE}.cache_time")
def test_what_is_configured() -> None:
    assert config(f"pass_through_mode: true, {ASKED}, cache_time: 7s").cache_time == 7


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ("pass_through_mode: false, cache_time: 1s", "only what the upstream says can be kept"),
        (
            "pass_through_mode: true, cluster_min_healthy_percentages: {origin: {value: 1}}",
            "the upstream is asked, not clusters",
        ),
    ],
)
def test_what_cannot_be(fields: str, fault: str) -> None:
    assert [finding.message for finding in findings(text(fields))] == [fault]


def test_what_is_kept_is_told_for_so_long() -> None:
    context = FilterContext(MemoryStats(), ClusterView({}), "listener.l.", stat_prefix="http.in.")
    keeping = HealthCheck("h", config(f"pass_through_mode: true, {ASKED}, cache_time: 7s"), context)
    upstream = testing.Response(204, {"x-envoy-degraded": "1"})

    def ask() -> tuple[int, bool, bool]:
        """The status, whether it is told of as degraded, whether the upstream was asked."""
        result = testing.run(keeping, path="/health", upstream=upstream)  # its clock begins with 0
        return result.status, b"x-envoy-degraded" in result.headers, result.upstream is not None

    assert [ask(), ask()] == [(204, True, True), (204, True, False)]
    keeping._kept_until -= 8
    assert ask() == (204, True, True)
