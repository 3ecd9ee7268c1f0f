"""Retries on Envoy and on ours: the same answer, the same attempts at the origin, flags, details and counters."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.attempts import Both, both
from tests.kit.bootstrap import Fields, route, static_cluster
from tests.kit.origin import Origin
from tests.parity.rules import of

FAST = {"base_interval": "0.001s", "max_interval": "0.002s"}
PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}
SMALL, LARGE = b"x" * 50, b"x" * 5000


def policy(retry_on: str, **fields: Any) -> Fields:
    return {"retry_policy": {"retry_on": retry_on, "retry_back_off": FAST, **fields}}


POLICIES: dict[str, Fields] = {
    "none": {},
    "5xx": policy("5xx"),
    "5xx-3": policy("5xx", num_retries=3),
    "5xx-0": policy("5xx", num_retries=0),
    "gateway": policy("gateway-error"),
    "reset": policy("reset"),
    "before": policy("reset-before-request"),
    "connect": policy("connect-failure"),
    "4xx": policy("retriable-4xx"),
    "limited": policy("envoy-ratelimited"),
    "refused": policy("refused-stream,http3-post-connect-failure"),
    "codes": policy("retriable-status-codes", retriable_status_codes=[404, 429]),
    "codes-unused": policy("5xx", retriable_status_codes=[404]),
    "headers": policy(
        "retriable-headers", retriable_headers=[{"name": "x-again", "string_match": {"exact": "yes"}}, {"name": "x-b"}]
    ),
    "status-header": policy(
        "retriable-headers", retriable_headers=[{"name": ":status", "string_match": {"prefix": "40"}}]
    ),
    "asked": policy("5xx", retriable_request_headers=[{"name": "x-may", "present_match": True}]),
    "grpc": policy("cancelled,deadline-exceeded,internal,resource-exhausted,unavailable"),
    "unavailable": policy("unavailable"),
    "several": policy("gateway-error,retriable-4xx,connect-failure", num_retries=2),
    "try": policy("5xx", num_retries=2, per_try_timeout="0.2s"),
    "try-gateway": policy("gateway-error", per_try_timeout="0.2s"),
    "try-alone": {"retry_policy": {"per_try_timeout": "0.2s"}},
    "try-connect": policy("connect-failure", per_try_timeout="0.2s"),
    "try-long": {**policy("5xx", per_try_timeout="9s"), "timeout": "0.3s"},
    "try-idle": policy("5xx", per_try_idle_timeout="0.2s"),
    "global": {**policy("5xx", num_retries=9, per_try_timeout="0.2s"), "timeout": "0.5s"},
    "waits": policy(
        "5xx",
        rate_limited_retry_back_off={
            "reset_headers": [
                {"name": "Retry-After", "format": "SECONDS"},
                {"name": "x-at", "format": "UNIX_TIMESTAMP"},
            ],
            "max_interval": "2s",
        },
    ),
}


@pytest.fixture(scope="module")
def proxies() -> Iterator[Both]:
    with Origin("one", "two") as origin, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        dead = refusing.getsockname()[1]
        routes = [route(f"/{name}/", "origin", **action) for name, action in POLICIES.items()]
        routes += [
            route(f"/dead/{name}/", "dead", **POLICIES[name]) for name in ("5xx", "connect", "before", "4xx", "5xx-3")
        ]
        routes += [
            route(
                "/half/",
                "half",
                **policy("connect-failure", retry_host_predicate=[PREVIOUS_HOSTS], host_selection_retry_max_attempts=4),
            ),
            {**route("/small/", "origin", **policy("5xx")), "request_body_buffer_limit": 100},
            {**route("/older/", "origin", **policy("5xx")), "per_request_buffer_limit_bytes": 100},
            route("/host/", "origin"),
            route("/own/", "origin", **policy("retriable-4xx")),
            route("/empty/", "empty", **policy("5xx")),
        ]
        host = {**policy("gateway-error", num_retries=1), "include_is_timeout_retry_header": True}
        clusters = [static_cluster("dead", dead), static_cluster("half", dead, origin.port), static_cluster("empty")]
        internal = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
        with both(
            *routes,
            host=host,
            clusters=clusters,
            origin=origin,
            use_remote_address=True,
            internal_address_config=internal,
        ) as found:
            yield found


CASES = [
    ("/none/", "status=500&fails=1", 1),
    ("/none/", "status=503&fails=1", 2),  # the virtual host's policy
    ("/5xx/", "status=500&fails=1", 2),
    ("/5xx/", "status=503&body=3", 2),
    ("/5xx/", "status=404", 1),
    ("/5xx/", "close=before&fails=1", 2),
    ("/5xx/", "close=before&reset=1", 2),
    ("/5xx/", "raw=junk%0d%0a%0d%0a", 2),
    ("/5xx/", "close=half&body=100000", 1),
    ("/5xx/", "status=503&header=x-envoy-ratelimited:true", 1),
    ("/5xx/", "status=503&header=x-envoy-overloaded:true&fails=1", 2),
    ("/5xx/", "status=503&chunked=5&fails=1", 2),
    ("/5xx-3/", "status=502&fails=3", 4),
    ("/5xx-3/", "status=502", 4),
    ("/5xx-0/", "status=502", 1),
    ("/gateway/", "status=500", 1),
    ("/gateway/", "status=504&fails=1", 2),
    ("/gateway/", "close=before", 2),
    ("/reset/", "status=503", 1),
    ("/reset/", "close=before&fails=1", 2),
    ("/reset/", "raw=HTTP/1.1 2", 2),
    ("/before/", "close=before", 1),
    ("/connect/", "close=before", 1),
    ("/connect/", "status=503", 1),
    ("/4xx/", "status=409&fails=1", 2),
    ("/4xx/", "status=404", 1),
    ("/limited/", "status=429&header=x-envoy-ratelimited:true&fails=1", 2),
    ("/limited/", "status=503", 1),
    ("/refused/", "close=before", 1),
    ("/codes/", "status=429&fails=1", 2),
    ("/codes/", "status=503", 1),
    ("/codes-unused/", "status=404", 1),
    ("/headers/", "header=x-again:yes&body=2&fails=1", 2),
    ("/headers/", "header=x-again:no&body=2", 1),
    ("/headers/", "header=x-b:1&body=2", 2),
    ("/status-header/", "status=403&fails=1", 2),
    ("/asked/", "status=503", 1),
    ("/grpc/", "body=0&header=grpc-status:14&fails=1", 2),
    ("/grpc/", "body=0&header=grpc-status:1&fails=1", 2),
    ("/grpc/", "body=0&header=grpc-status:5", 1),
    ("/grpc/", "status=503", 1),
    ("/unavailable/", "body=0&header=grpc-status:8", 1),
    ("/several/", "status=409&fails=2", 3),
    ("/several/", "status=504", 3),
    ("/try/", "delay=0.6&fails=1", 2),
    ("/try/", "delay=0.6", 3),
    ("/try-gateway/", "delay=0.6", 2),
    ("/try-alone/", "delay=0.6", 1),
    ("/try-connect/", "delay=0.6", 1),
    ("/try-long/", "delay=0.8", 1),
    ("/try-idle/", "delay=0.6&fails=1", 2),
    ("/try-idle/", "body=100&chunk=50&pause=0.6", 1),
    ("/try/", "body=100&chunk=50&pause=0.4", 1),
    ("/global/", "delay=1", 3),
    ("/waits/", "status=503&header=retry-after:1&fails=1", 2),
    ("/waits/", "status=503&header=retry-after:9&fails=1", 2),
    ("/waits/", "status=503&header=x-at:1&fails=1", 2),
    ("/own/", "status=503", 1),
    ("/own/", "status=409&fails=1", 2),
    ("/dead/5xx/", "", 0),
    ("/dead/5xx-3/", "", 0),
    ("/dead/connect/", "", 0),
    ("/dead/before/", "", 0),
    ("/dead/4xx/", "", 0),
    ("/empty/", "", 0),
]


@pytest.mark.parametrize(("path", "script", "attempts"), CASES, ids=itertools.count())
@pytest.mark.parity(
    "rule 40",
    "rule 46",
    *of("config.route.v3.RouteAction", "retry_policy"),
    *of("config.route.v3.VirtualHost", "retry_policy", "include_is_timeout_retry_header"),
    *of(
        "config.route.v3.RetryPolicy",
        "retry_on",
        "num_retries",
        "per_try_timeout",
        "per_try_idle_timeout",
        "retriable_status_codes",
        "retriable_headers",
        "retry_back_off",
        "rate_limited_retry_back_off",
    ),
    *of("config.route.v3.RetryPolicy.RateLimitedRetryBackOff", "reset_headers", "max_interval"),
    *of("config.route.v3.RetryPolicy.ResetHeader", "name", "format"),
)
def test_what_is_retried(proxies: Both, path: str, script: str, attempts: int) -> None:
    assert len(proxies.assert_same(path, script)["attempts"]) == attempts


ASKED = [
    ("/own/", "status=503&fails=1", "x-envoy-retry-on: 5xx\r\n", 2),
    ("/own/", "status=503", "x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 3\r\n", 4),
    ("/own/", "status=503", "x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 0\r\n", 1),
    ("/own/", "status=503", "x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: many\r\n", 2),
    ("/own/", "status=503", "x-envoy-retry-on: everything, gateway-error\r\n", 2),
    ("/own/", "body=0&header=grpc-status:8&fails=1", "x-envoy-retry-grpc-on: resource-exhausted\r\n", 2),
    ("/own/", "body=0&header=grpc-status:8", "x-envoy-retry-on: resource-exhausted\r\n", 1),
    (
        "/own/",
        "status=418&fails=1",
        "x-envoy-retry-on: retriable-status-codes\r\nx-envoy-retriable-status-codes: 418,x\r\n",
        2,
    ),
    (
        "/own/",
        "body=1&header=x-q:1&fails=1",
        "x-envoy-retry-on: retriable-headers\r\nx-envoy-retriable-header-names: X-P, X-Q\r\n",
        2,
    ),
    ("/own/", "delay=0.6&fails=1", "x-envoy-retry-on: 5xx\r\nx-envoy-upstream-rq-per-try-timeout-ms: 200\r\n", 2),
    ("/own/", "delay=0.6", "x-envoy-upstream-rq-per-try-timeout-ms: 200\r\n", 1),
    ("/own/", "delay=0.6", "x-envoy-upstream-rq-timeout-ms: 200\r\nx-envoy-upstream-rq-timeout-alt-response: 1\r\n", 1),
    (
        "/own/",
        "delay=0.6",
        "x-envoy-upstream-rq-per-try-timeout-ms: 200\r\nx-envoy-upstream-rq-timeout-alt-response: 1\r\n",
        1,
    ),
    ("/own/", "delay=0.6", "x-envoy-upstream-stream-duration-ms: 200\r\n", 1),
    ("/5xx/", "status=503", "x-envoy-max-retries: 2\r\n", 3),
    ("/asked/", "status=503", "x-may: 1\r\n", 2),
    ("/asked/", "status=503", "x-envoy-retry-on: 5xx\r\n", 1),
]


@pytest.mark.parametrize(("path", "script", "headers", "attempts"), ASKED, ids=itertools.count())
@pytest.mark.parity("rule 24", "rule 46", *of("config.route.v3.RetryPolicy", "retriable_request_headers"))
def test_what_a_request_from_inside_asks_for(
    proxies: Both, path: str, script: str, headers: str, attempts: int
) -> None:
    assert len(proxies.assert_same(path, script, headers=headers)["attempts"]) == attempts


BODIES = [
    ("/5xx/", "status=503&fails=1", LARGE, 2),
    ("/5xx/", "close=before&fails=1", LARGE, 2),
    ("/5xx/", "status=503&fails=1&early=1", b"", 2),
    ("/small/", "status=503&fails=1", SMALL, 2),
    ("/small/", "status=503&fails=1", LARGE, 1),
    ("/older/", "status=503&fails=1", LARGE, 1),
]


@pytest.mark.parametrize(("path", "script", "body", "attempts"), BODIES, ids=itertools.count())
@pytest.mark.parity(
    "rule 46", *of("config.route.v3.Route", "request_body_buffer_limit", "per_request_buffer_limit_bytes")
)
def test_a_body_is_sent_again_if_it_was_kept(proxies: Both, path: str, script: str, body: bytes, attempts: int) -> None:
    seen = proxies.assert_same(path, script, body=body, method="POST")["attempts"]
    assert [echo["body_length"] for echo in seen] == [len(body)] * attempts
    assert len({echo["body_sha256"] for echo in seen}) == 1


@pytest.mark.parity("rule 46")
def test_a_head_request_is_retried_too(proxies: Both) -> None:
    assert len(proxies.assert_same("/5xx/", "status=503&fails=1", method="HEAD")["attempts"]) == 2


@pytest.mark.parity(
    "rule 46", *of("config.route.v3.RetryPolicy", "retry_host_predicate", "host_selection_retry_max_attempts")
)
def test_another_host_is_preferred(proxies: Both) -> None:
    for _ in range(4):
        for found in proxies.ask("/half/", ""):
            assert found["status"] == 200
