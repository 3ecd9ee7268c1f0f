"""Limits of clusters: budgets of retries, pools, connections to one host. Others are in `test_local_replies.py` and
`test_retry_terms.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection, Response
from tests.kit.config import findings
from tests.kit.envoy import Envoy, validate
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.parity.rules import of

THRESHOLDS = "config.cluster.v3.CircuitBreakers.Thresholds"
RETRYING = {"retry_policy": {"retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s"}}}
HELD = "delay=0.5"


def limited(name: str, *ports: int, **thresholds: Any) -> Fields:
    return static_cluster(name, *ports, circuit_breakers={"thresholds": [{**thresholds, "track_remaining": True}]})


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin("a", "b") as origin:
        a, b = origin.ports.values()
        of_hosts = {"per_host_thresholds": [{"max_connections": 1}]}
        clusters = [
            limited("none-left", a, retry_budget={"budget_percent": {"value": 50}, "min_retry_concurrency": 0}),
            limited("half", a, retry_budget={"budget_percent": {"value": 50}, "min_retry_concurrency": 0}),
            limited("least", a, retry_budget={"min_retry_concurrency": 1}),
            limited("one-pool", a, b, max_connection_pools=1),
            limited("pools", a, b),
            static_cluster("host", a, circuit_breakers=of_hosts),
            static_cluster("hosts", a, b, circuit_breakers=of_hosts),
        ]
        routes = [route(f"/{c['name']}/", c["name"], **RETRYING) for c in clusters]
        text = bootstrap([http_listener(virtual_host("v", ["*"], *routes))], clusters)
        with run_pair(text) as pair:
            yield pair


def both(pair: Pair) -> tuple[Envoy | Proxy, Envoy | Proxy]:
    return pair.envoy, pair.ours


def get(proxy: Envoy | Proxy, target: str, headers: str = "") -> Response:
    with Connection(proxy.address()) as connection:
        return connection.request(f"GET {target} HTTP/1.1\r\nhost: h\r\n{headers}\r\n".encode())


@contextlib.contextmanager
def held(pair: Pair, cluster: str) -> Iterator[None]:
    """The first request of the cluster is under way on both; the answers are read at the end."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(proxy.address())) for proxy in both(pair)]
        for connection in connections:
            connection.send(f"GET /{cluster}/?{HELD} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
        for proxy in both(pair):
            wait_for(partial(begun, proxy, cluster), deadline=5, what="the request is under way")
        yield
        assert [connection.receive().status for connection in connections] == [200, 200]


def begun(proxy: Envoy | Proxy, cluster: str) -> bool:
    return proxy.stats()[f"cluster.{cluster}.upstream_rq_total"] > 0


def gauges(proxy: Envoy | Proxy, cluster: str) -> dict[str, int]:
    return {name: value for name, value in proxy.stats().items() if name.startswith(f"cluster.{cluster}.circuit")}


def assert_same_gauges(pair: Pair, cluster: str) -> None:
    def same() -> bool:
        return gauges(pair.envoy, cluster) == gauges(pair.ours, cluster)

    with contextlib.suppress(AssertionError):
        wait_for(same, deadline=3, what="the same gauges")
    assert gauges(pair.ours, cluster) == gauges(pair.envoy, cluster)


@pytest.mark.parity("rule 38", *of(f"{THRESHOLDS}.RetryBudget", "budget_percent", "min_retry_concurrency"))
@pytest.mark.field(f"envoy.{THRESHOLDS}.RetryBudget.min_retry_concurrency")
def test_a_share_of_what_runs_may_be_retried(pair: Pair) -> None:
    for proxy in both(pair):
        assert get(proxy, "/none-left/?status=503").status == 503
        assert proxy.stats()["cluster.none-left.upstream_rq_retry_overflow"] == 1
    with held(pair, "half"):
        for proxy in both(pair):
            script = f"x-script: status=503&fails=1&key={id(proxy)}\r\n"
            assert get(proxy, "/half/", script).status == 200
    for proxy in both(pair):
        assert proxy.stats()["cluster.half.upstream_rq_retry_overflow"] == 0
    for cluster in ("none-left", "half"):
        assert_same_gauges(pair, cluster)


@pytest.mark.parity("rule 38", f"{THRESHOLDS}.RetryBudget.min_retry_concurrency")
def test_as_many_may_always_be_retried(pair: Pair) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Connection(proxy.address())) for proxy in both(pair)]
        for connection in slow:
            connection.send(b"GET /least/ HTTP/1.1\r\nhost: h\r\nx-script: status=503&delay=0.6\r\n\r\n")
        for proxy in both(pair):

            def retried(proxy: Envoy | Proxy = proxy) -> bool:
                return proxy.stats().get("cluster.least.retry.upstream_rq_503") == 1

            wait_for(retried, deadline=5, what="the retry is under way")
            assert get(proxy, "/least/", "x-script: status=503\r\n").status == 503
            assert proxy.stats()["cluster.least.upstream_rq_retry_overflow"] == 1
        assert [connection.receive().status for connection in slow] == [503, 503]


@pytest.mark.parity("rule 38", f"{THRESHOLDS}.max_connection_pools", f"{THRESHOLDS}.track_remaining")
@pytest.mark.field(f"envoy.{THRESHOLDS}.max_connection_pools")
def test_there_may_be_no_more_pools(pair: Pair) -> None:
    for proxy in both(pair):
        statuses = [get(proxy, "/one-pool/").status for _ in range(4)]
        assert sorted(statuses) == [200, 200, 503, 503]
        assert proxy.stats()["cluster.one-pool.upstream_cx_pool_overflow"] == 2
        assert [get(proxy, "/pools/").status for _ in range(4)] == [200] * 4
    for cluster in ("one-pool", "pools"):
        assert_same_gauges(pair, cluster)


@pytest.mark.parity("rule 38", "config.cluster.v3.CircuitBreakers.per_host_thresholds")
@pytest.mark.field("envoy.config.cluster.v3.CircuitBreakers.per_host_thresholds")
def test_connections_to_one_host(pair: Pair) -> None:
    """A request waits for the one that there is; another host has its own."""
    for cluster in ("host", "hosts"):
        with held(pair, cluster):
            waiting = [Connection(proxy.address()) for proxy in both(pair)]
            with waiting[0], waiting[1]:
                for connection in waiting:
                    connection.send(f"GET /{cluster}/ HTTP/1.1\r\nhost: h\r\n\r\n".encode())
                assert [connection.receive().status for connection in waiting] == [200, 200]
    for proxy in both(pair):
        stats = proxy.stats()
        assert (stats["cluster.host.upstream_cx_overflow"], stats["cluster.host.upstream_cx_total"]) == (1, 1)
        assert stats["cluster.hosts.upstream_cx_overflow"] == 0


@pytest.mark.parity("rule 38", "config.cluster.v3.CircuitBreakers.per_host_thresholds")
@pytest.mark.parametrize(
    "limit", ["max_requests: 1", "retry_budget: {}", "max_connection_pools: 1", "max_connections: 0"]
)
def test_what_a_host_has_no_limit_of(limit: str) -> None:
    breakers = f"{{per_host_thresholds: [{{{limit}}}]}}"
    text = f"static_resources: {{clusters: [{{name: c, circuit_breakers: {breakers}}}]}}"
    assert (not findings(text)) == validate(text)[0] == (limit == "max_connections: 0")
