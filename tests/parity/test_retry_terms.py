"""Who decides over retries, how many there may be, for which hosts, and what they count in: on Envoy and on ours."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.kit.attempts import Both, Side, both
from tests.kit.bootstrap import Fields, route, socket_address, static_cluster
from tests.kit.client import Connection
from tests.kit.origin import Origin
from tests.kit.process import wait_for

FAST = {"base_interval": "0.001s", "max_interval": "0.002s"}
SLOW = {"base_interval": "30s", "max_interval": "30s"}
PACKAGE = "type.googleapis.com/envoy.extensions.retry.host"
NO_CANARIES = {"@type": f"{PACKAGE}.omit_canary_hosts.v3.OmitCanaryHostsPredicate"}


def omitting(**labels: Any) -> Fields:
    return {
        "@type": f"{PACKAGE}.omit_host_metadata.v3.OmitHostMetadataConfig",
        "metadata_match": {"filter_metadata": {"envoy.lb": labels}},
    }


def policy(retry_on: str = "5xx", **fields: Any) -> Fields:
    return {"retry_policy": {"retry_on": retry_on, "retry_back_off": FAST, **fields}}


def choosing(*predicates: Fields, **fields: Any) -> Fields:
    named = [{"name": f"p{number}", "typed_config": config} for number, config in enumerate(predicates)]
    return policy(retry_host_predicate=named, host_selection_retry_max_attempts=20, **fields)


def saying(path: str, action: Fields, **headers: str) -> Fields:
    added = [
        {"header": {"key": name.replace("_", "-"), "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in headers.items()
    ]
    return {**route(path, "origin", **action), "request_headers_to_add": added}


def endpoint(port: int, **labels: Any) -> Fields:
    metadata = {"metadata": {"filter_metadata": {"envoy.lb": labels}}} if labels else {}
    return {"endpoint": {"address": socket_address("127.0.0.1", port)}, **metadata}


def often(endpoint: Fields) -> Fields:
    return {**endpoint, "load_balancing_weight": 5}


def cluster(name: str, *endpoints: Fields, **fields: Any) -> Fields:
    found = static_cluster(name, **fields)
    return {**found, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": list(endpoints)}]}}


def limited(name: str, port: int, *thresholds: Fields) -> Fields:
    return static_cluster(name, port, circuit_breakers={"thresholds": list(thresholds)})


ROUTES = [
    saying("/on/", {}, x_envoy_retry_on="5xx", x_envoy_max_retries="2"),
    saying("/grpc-on/", {}, x_envoy_retry_grpc_on="unavailable"),
    saying(
        "/codes/",
        {},
        x_envoy_retry_on="retriable-status-codes,retriable-headers",
        x_envoy_retriable_status_codes="418",
        x_envoy_retriable_header_names="x-again",
    ),
    saying("/none-left/", policy(), x_envoy_max_retries="0"),
    saying("/late/", policy(), x_envoy_upstream_rq_timeout_ms="100", x_envoy_upstream_rq_per_try_timeout_ms="100"),
    saying("/late-alt/", {"timeout": "0.2s"}, x_envoy_upstream_rq_timeout_alt_response="1", x_envoy_retry_on="5xx"),
    saying("/duration/", {}, x_envoy_upstream_stream_duration_ms="100"),
    saying("/alt/", {}, x_envoy_upstream_alt_stat_name="other", x_envoy_hedge_on_per_try_timeout="true"),
    saying("/may/", policy(retriable_request_headers=[{"name": "x-may", "present_match": True}]), x_may="1"),
    saying("/expected/", {"timeout": "7s"}, x_envoy_expected_rq_timeout_ms="9000"),
    {**route("/without/", "origin", **policy()), "request_headers_to_remove": ["x-envoy-max-retries"]},
    {**route("/counted/", "origin", **policy(num_retries=2)), "stat_prefix": "r"},
    {**route("/counted-timeout/", "origin", timeout="0.2s"), "stat_prefix": "t"},
    {**route("/counted-try/", "origin", **policy(per_try_timeout="0.1s")), "stat_prefix": "p"},
    {**route("/counted-full/", "full", **policy()), "stat_prefix": "f"},
    {**route("/counted-dead/", "dead", **policy()), "stat_prefix": "d"},
    route("/full/", "full", **policy()),
    route("/full-high/", "full", priority="HIGH", **policy()),
    route("/one/", "one", **policy(num_retries=9, retry_back_off=SLOW)),
    route("/one-high/", "one", priority="HIGH", **policy(num_retries=9, retry_back_off=SLOW)),
    route("/canary/", "canary", **choosing(NO_CANARIES)),
    route("/canaries/", "canaries"),
    route("/labels/", "labels", **choosing(omitting(stage="x", size=1))),
    route("/lists/", "lists", **choosing(omitting(stage="x"))),
    route("/any/", "lists", **choosing(omitting())),
    route("/few/", "few", priority="DEFAULT"),
    route("/few-high/", "few", priority="HIGH"),
    route("/", "origin"),
]  # fmt: skip


@pytest.fixture(scope="module")
def proxies() -> Iterator[Both]:
    with Origin("one", "two") as origin, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        dead = refusing.getsockname()[1]
        port = origin.port
        clusters = [
            static_cluster("dead", dead),
            limited("full", port, {"max_retries": 0}, {"priority": "HIGH", "max_retries": 1}),
            limited(
                "one",
                port,
                {"priority": "HIGH", "max_retries": 2, "track_remaining": True},
                {"priority": "DEFAULT", "max_retries": 1, "track_remaining": True},
            ),
            limited(
                "few", port, {"max_requests": 1}, {"priority": "HIGH", "max_connections": 1, "max_pending_requests": 1}
            ),
            cluster("canary", often(endpoint(dead, canary=True)), endpoint(port, canary=False)),
            cluster("canaries", endpoint(port, canary=True)),
            cluster("labels", often(endpoint(dead, stage="x", size=1)), endpoint(port, stage="x", size=2)),
            cluster("lists", often(endpoint(dead, stage=["y", "x"])), endpoint(port, stage=["y"])),
        ]  # fmt: skip
        host = {"virtual_clusters": [{"name": "posts", "headers": [{"name": "x-post"}]}]}
        internal = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
        options = {"use_remote_address": True, "internal_address_config": internal}
        with both(*ROUTES, host=host, clusters=clusters, origin=origin, **options) as found:
            yield found


ORDER = [
    ("/on/", "status=503", "", 3),
    ("/on/", "status=503", "x-envoy-max-retries: 0\r\n", 3),
    ("/grpc-on/", "body=0&header=grpc-status:14&fails=1", "", 2),
    ("/codes/", "status=418&fails=1", "", 2),
    ("/codes/", "body=0&header=x-again:1&fails=1", "", 2),
    ("/codes/", "status=503", "", 1),
    ("/none-left/", "status=503", "", 1),
    ("/late/", "delay=0.3", "", 1),
    ("/late-alt/", "delay=0.5", "", 1),
    ("/duration/", "delay=0.3", "", 1),
    ("/alt/", "", "", 1),
    ("/may/", "status=503&fails=1", "", 2),
    ("/expected/", "", "", 1),
    ("/without/", "status=503", "x-envoy-max-retries: 5\r\n", 2),
    ("/", "status=503", "x-envoy-retry-on: 5xx\r\n", 2),
]


@pytest.mark.parametrize(("path", "script", "headers", "attempts"), ORDER, ids=itertools.count())
@pytest.mark.parity("rule 46")
def test_what_a_route_itself_asks_for(proxies: Both, path: str, script: str, headers: str, attempts: int) -> None:
    assert len(proxies.assert_same(path, script, headers=headers)["attempts"]) == attempts


@pytest.mark.parity("rule 24")
def test_callers_from_outside_ask_in_vain(proxies: Both) -> None:
    outside = "x-forwarded-for: 8.8.8.8\r\nx-envoy-retry-on: 5xx\r\n"
    found = proxies.assert_same("/", "status=503", headers=outside + "x-envoy-hedge-on-per-try-timeout: true\r\n")
    assert len(found["attempts"]) == 1


@pytest.mark.parity("rule 38")
@pytest.mark.field(
    "envoy.config.cluster.v3.Cluster.circuit_breakers",
    "envoy.config.cluster.v3.CircuitBreakers.thresholds",
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.max_retries",
)
def test_a_full_breaker_retries_nothing(proxies: Both) -> None:
    found = proxies.assert_same("/full/", "status=503")
    assert (len(found["attempts"]), found["log"]["flags"]) == (1, "UO")


@pytest.mark.parity("rule 38")
@pytest.mark.field(
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.priority", "envoy.config.route.v3.RouteAction.priority"
)
def test_another_priority_has_another_breaker(proxies: Both) -> None:
    found = proxies.assert_same("/full-high/", "status=503")
    assert (len(found["attempts"]), found["log"]["flags"]) == (2, "URX")


@pytest.mark.parity("rule 38")
@pytest.mark.field("envoy.config.cluster.v3.CircuitBreakers.Thresholds.track_remaining")
def test_retries_under_way_count(proxies: Both) -> None:
    def gauges(side: Side) -> dict[str, int]:
        prefix = "cluster.one.circuit_breakers."
        stats = side.proxy.stats().items()
        return {name: value for name, value in stats if name.startswith(prefix) and "pool" not in name}

    def both_wait(side: Side) -> bool:
        return side.proxy.stats().get("cluster.one.retry.upstream_rq_503") == 2

    def opened(side: Side) -> list[str]:
        return [name for name, value in gauges(side).items() if name.endswith("_open") and value]

    sides = (proxies.envoy, proxies.ours)
    before, lines = [gauges(side) for side in sides], [side.logged for side in sides]
    assert before[1] == before[0]
    with contextlib.ExitStack() as clients:
        for side in sides:
            for path in ("/one/", "/one-high/"):
                client = clients.enter_context(Connection(side.proxy.address()))
                client.send(f"GET {path} HTTP/1.1\r\nhost: h\r\nx-script: status=503\r\n\r\n".encode())
            wait_for(partial(both_wait, side), deadline=5, what="both retries wait")
        envoy, ours = map(gauges, sides)
        assert ours == envoy
        counters = ("upstream_rq_retry", "upstream_rq_retry_backoff_exponential", "upstream_rq_retry_success")
        for side in sides:  # they count when they go out
            assert [side.proxy.stats()[f"cluster.one.{name}"] for name in counters] == [0, 0, 0]
        assert (ours["cluster.one.circuit_breakers.default.rq_retry_open"], len(ours)) == (1, 16)
        found = proxies.assert_same("/one/", "status=503")
        assert (found["log"]["flags"], found["counted"]["cluster.one.upstream_rq_retry_overflow"]) == ("UO", 1)
    for side, logged in zip(sides, lines, strict=True):
        wait_for(lambda: not opened(side), deadline=5, what="nothing is claimed")  # noqa: B023
        wait_for(lambda: side.logged == logged + 3, deadline=5, what="the log is written")  # noqa: B023


def three_at_once(side: Side, path: str, *, in_turn: bool = False) -> list[int]:
    """The statuses of three requests that take a while. `in_turn`: each of the first two has its connection, or waits
    for one, before the next is sent.
    """
    statuses: list[int] = []
    logged = side.logged

    def ask() -> None:
        with Connection(side.proxy.address()) as connection:
            answer = connection.request(
                f"GET {path} HTTP/1.1\r\nhost: h\r\nx-script: delay=0.6&body=1\r\n\r\n".encode()
            )
            statuses.append(answer.status)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for number, client in enumerate(clients, 1):
        client.start()
        if in_turn and number < len(clients):
            wait_for(lambda: _in_hand(side) == number, deadline=5, what="it is in hand")  # noqa: B023 - at once
    for client in clients:
        client.join()
    wait_for(lambda: side.logged == logged + 3, deadline=5, what="the log is written")
    return sorted(statuses)


def _in_hand(side: Side) -> int:
    stats = side.proxy.stats()
    return stats["cluster.few.upstream_rq_active"] + stats["cluster.few.upstream_rq_pending_active"]


@pytest.mark.parity("rule 38")
@pytest.mark.field("envoy.config.cluster.v3.CircuitBreakers.Thresholds.max_requests")
def test_one_request_at_a_time(proxies: Both) -> None:
    envoy, ours = (three_at_once(side, "/few/") for side in (proxies.envoy, proxies.ours))
    assert ours == envoy == [200, 503, 503]


@pytest.mark.parity("rule 38")
@pytest.mark.field(
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.max_connections",
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.max_pending_requests",
)
def test_one_connection_of_high_priority_and_one_who_waits(proxies: Both) -> None:
    envoy, ours = (three_at_once(side, "/few-high/", in_turn=True) for side in (proxies.envoy, proxies.ours))
    assert ours == envoy == [200, 200, 503]


def always_served(proxies: Both, path: str) -> None:
    """The dead host has most of the turns, yet no retry goes there."""
    for _ in range(4):
        for found in proxies.ask(path, ""):
            assert found["status"] == 200


@pytest.mark.parity("rule 46", "config.route.v3.RetryPolicy.retry_host_predicate")
@pytest.mark.field(
    "envoy.config.endpoint.v3.LbEndpoint.metadata",
    "envoy.config.core.v3.Metadata.filter_metadata",
    "envoy.config.route.v3.RetryPolicy.retry_host_predicate",
    "envoy.config.route.v3.RetryPolicy.RetryHostPredicate.typed_config",
)
def test_no_retry_is_for_a_canary(proxies: Both) -> None:
    always_served(proxies, "/canary/")


@pytest.mark.parity("rule 46", "config.route.v3.RetryPolicy.retry_host_predicate")
@pytest.mark.field("envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig.metadata_match")
def test_no_retry_is_for_hosts_of_all_labels(proxies: Both) -> None:
    always_served(proxies, "/labels/")
    always_served(proxies, "/lists/")


@pytest.mark.parity("rule 46", "config.route.v3.RetryPolicy.retry_host_predicate")
def test_a_predicate_without_labels_omits_nobody(proxies: Both) -> None:
    envoy, ours = ([side.ask("/any/", "")["status"] for _ in range(8)] for side in (proxies.envoy, proxies.ours))
    assert sorted(ours) == sorted(envoy)
    assert 503 in ours


@pytest.mark.parity("rule 72")
def test_canaries_count_apart(proxies: Both) -> None:
    """By their metadata, whatever they say themselves."""
    for _ in range(2):
        assert proxies.assert_same("/canaries/", "")["counted"]["cluster.canaries.canary.upstream_rq_200"] == 1


COUNTED = [
    ("/counted/", "status=503", ""),
    ("/counted/", "status=503&fails=1", "x-post: 1\r\n"),
    ("/counted/", "close=before", ""),
    ("/counted-timeout/", "delay=0.4", ""),
    ("/counted-try/", "delay=0.3", ""),
    ("/counted-full/", "status=503", "x-post: 1\r\n"),
    ("/counted-dead/", "", ""),
]


@pytest.mark.parity("rule 52", "config.route.v3.VirtualHost.virtual_clusters")
def test_what_attempts_count_in(proxies: Both) -> None:
    def counted(side: Side) -> dict[str, int]:
        found = side.proxy.stats().items()
        return {name: value for name, value in found if name.startswith("vhost.")}

    sides = (proxies.envoy, proxies.ours)
    before = list(map(counted, sides))
    for path, script, headers in COUNTED:
        proxies.ask(path, script, headers=headers)
    envoy, ours = (
        {name: value - earlier.get(name, 0) for name, value in counted(side).items()}
        for side, earlier in zip(sides, before, strict=True)
    )
    assert ours == envoy
    assert ours["vhost.v.route.r.upstream_rq_retry"] > 2
    assert ours["vhost.v.vcluster.posts.upstream_rq_retry_overflow"] == 1
