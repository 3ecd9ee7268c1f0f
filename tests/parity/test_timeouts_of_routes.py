"""Timeouts of routes, connection managers and clusters on Envoy and on ours: status, body, flags, details, counters."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.attempts import Both, both
from tests.kit.bootstrap import Fields, route, static_cluster
from tests.kit.client import Connection, ConnectionEnded
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.parity.rules import HCM, of

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
GRPC = "content-type: application/grpc\r\n"


def speaking(**common: Any) -> Fields:
    """A cluster's `common_http_protocol_options`."""
    return {
        "typed_extension_protocol_options": {
            OPTIONS: {
                "@type": f"type.googleapis.com/{OPTIONS}",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": common,
            }
        }
    }


RETRIED = {"retry_policy": {"retry_on": "5xx", "retry_back_off": {"base_interval": "0.001s"}}}
ROUTES = [
    route("/timeout/", "origin", timeout="0.3s"),
    route("/none/", "origin", timeout="0s"),
    route("/idle/", "origin", idle_timeout="0.3s"),
    route("/never-idle/", "origin", idle_timeout="0s"),
    route("/duration/", "origin", max_stream_duration={"max_stream_duration": "0.3s"}),
    route("/endless/", "origin", max_stream_duration={"max_stream_duration": "0s"}),
    route("/unsaid/", "origin", timeout="0.2s", max_stream_duration={}),
    route("/grpc/", "origin", max_stream_duration={"grpc_timeout_header_max": "1s"}),
    route(
        "/offset/",
        "origin",
        max_stream_duration={"grpc_timeout_header_max": "0s", "grpc_timeout_header_offset": "0.5s"},
    ),
    route("/short/", "short"),
    route("/short-retried/", "short", **RETRIED),
    route("/flush/", "origin", flush_timeout="9s"),
    route("/", "origin"),
]


@pytest.fixture(scope="module")
def proxies() -> Iterator[Both]:
    with Origin() as origin:
        clusters = [static_cluster("short", origin.port, **speaking(max_stream_duration="0.3s"))]
        with both(*ROUTES, clusters=clusters, origin=origin, stream_idle_timeout="0.8s") as found:
            yield found


SLOW_BODY = "body=100&chunk=50&pause=0.6"
CASES = [
    ("/timeout/", "delay=0.6", ""),
    ("/timeout/", SLOW_BODY, ""),
    ("/timeout/", "", ""),
    ("/none/", "delay=0.4", ""),
    ("/idle/", "delay=0.6", ""),
    ("/idle/", SLOW_BODY, ""),
    ("/never-idle/", "delay=1.2", ""),
    ("/", "delay=1.2", ""),
    ("/duration/", "delay=0.6", ""),
    ("/duration/", SLOW_BODY, ""),
    ("/endless/", "delay=0.4", ""),
    ("/unsaid/", "delay=0.5", ""),
    ("/grpc/", "", "grpc-timeout: 5S\r\n" + GRPC),
    ("/grpc/", "", "grpc-timeout: 500m\r\n" + GRPC),
    ("/grpc/", "", "grpc-timeout: 900500u\r\n" + GRPC),
    ("/grpc/", "", "grpc-timeout: 1X\r\n" + GRPC),
    ("/grpc/", "", "grpc-timeout: 999999999m\r\n" + GRPC),
    ("/grpc/", "", "grpc-timeout: 500m\r\n"),
    ("/grpc/", "delay=0.6", "grpc-timeout: 300m\r\n"),
    ("/grpc/", "", GRPC),
    ("/offset/", "", "grpc-timeout: 2S\r\n" + GRPC),
    ("/offset/", "", "grpc-timeout: 2H\r\n" + GRPC),
    ("/offset/", "", "grpc-timeout: 99999999H\r\n" + GRPC),
    ("/", "", "grpc-timeout: 2S\r\n" + GRPC),
    ("/duration/", "delay=0.6", GRPC),
    ("/grpc/", "delay=0.6", "grpc-timeout: 300m\r\n" + GRPC),
    ("/timeout/", "delay=0.6", GRPC),
    ("/short/", "delay=0.6", GRPC),
    ("/short/", "delay=0.6", ""),
    ("/short/", SLOW_BODY, ""),
    ("/short-retried/", "delay=0.6&fails=1", ""),
    ("/short-retried/", "delay=0.6", ""),
    ("/flush/", "", ""),
]


@pytest.mark.parametrize(("path", "script", "headers"), CASES, ids=itertools.count())
@pytest.mark.parity(
    "rule 28",
    "rule 29",
    "rule 39",
    "rule 41",
    "rule 42",
    "rule 44",
    *of("config.route.v3.RouteAction", "timeout", "idle_timeout", "max_stream_duration"),
    *of(
        "config.route.v3.RouteAction.MaxStreamDuration",
        "max_stream_duration",
        "grpc_timeout_header_max",
        "grpc_timeout_header_offset",
    ),
    *of(HCM, "stream_idle_timeout"),
    *of("config.core.v3.HttpProtocolOptions", "max_stream_duration"),
    *of("extensions.upstreams.http.v3.HttpProtocolOptions", "common_http_protocol_options"),
)
def test_what_takes_too_long(proxies: Both, path: str, script: str, headers: str) -> None:
    proxies.assert_same(path, script, headers=headers)


def downstream(both: Both, *names: str) -> list[dict[str, int]]:
    """Counters of the connection managers, Envoy's and ours."""
    return [
        {name: side.proxy.stats()[f"http.main.downstream_{name}"] for name in names} for side in (both.envoy, both.ours)
    ]


@pytest.mark.parity(
    "rule 42",
    *of(HCM, "common_http_protocol_options"),
    *of("config.core.v3.HttpProtocolOptions", "max_stream_duration"),
)
def test_the_connection_managers_stream_duration() -> None:
    with Origin() as origin:
        options = {"max_stream_duration": "0.3s"}
        with both(
            *ROUTES,
            clusters=[static_cluster("short", origin.port)],
            origin=origin,
            common_http_protocol_options=options,
        ) as found:
            found.assert_same("/", "delay=0.6")
            found.assert_same("/", SLOW_BODY)
            found.assert_same("/endless/", "delay=0.6")
            found.assert_same("/endless/", "", headers="grpc-timeout: 2S\r\n" + GRPC)
            envoy, ours = downstream(found, "rq_max_duration_reached")
            assert ours == envoy == {"rq_max_duration_reached": 2}


def lines(side: Any, requests: int, pause: float = 0.0) -> list[Any]:
    """Status and `connection` of responses on one connection; "closed" where it ended."""
    found: list[Any] = []
    with Connection(side.proxy.address()) as connection:
        for _ in range(requests):
            try:
                response = connection.request(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            except (ConnectionEnded, BrokenPipeError, ConnectionResetError):
                return [*found, "closed"]
            found.append((response.status, response.values("connection")))
            time.sleep(pause)
    return found


@pytest.mark.parity(*of("config.core.v3.HttpProtocolOptions", "max_requests_per_connection"))
def test_requests_per_downstream_connection() -> None:
    with Origin() as origin:
        options = {"max_requests_per_connection": 2}
        with both(route("/", "origin"), origin=origin, common_http_protocol_options=options) as found:
            envoy, ours = lines(found.envoy, 4), lines(found.ours, 4)
            assert ours == envoy == [(200, []), (200, ["close"]), "closed"]
            names = ("cx_max_requests_reached", "cx_total")
            assert downstream(found, *names)[0] == downstream(found, *names)[1]


@pytest.mark.parity(*of("config.core.v3.HttpProtocolOptions", "max_connection_duration"), *of(HCM, "drain_timeout"))
def test_a_downstream_connections_duration() -> None:
    with Origin() as origin:
        options = {"max_connection_duration": "0.5s"}
        with both(
            route("/", "origin"), origin=origin, common_http_protocol_options=options, drain_timeout="0.7s"
        ) as found:
            envoy, ours = lines(found.envoy, 3, pause=0.3), lines(found.ours, 3, pause=0.3)
            assert ours == envoy == [(200, []), (200, []), (200, ["close"])]
            # Nothing for long enough: closed after the drain. Never a request: closed at once.
            for side in (found.envoy, found.ours):
                assert lines(side, 2, pause=1.6) == [(200, []), "closed"]
                with Connection(side.proxy.address()) as connection:
                    began = time.monotonic()
                    assert connection.rest() == b""
                    assert time.monotonic() - began >= 0.4
            names = ("cx_max_duration_reached", "cx_total", "rq_total")
            assert downstream(found, *names)[1] == downstream(found, *names)[0]


def soft_drain(side: Any) -> int:
    value: int = side.proxy.stats()["http.main.downstream_cx_http1_soft_drain"]
    return value


@pytest.mark.parity(*of(HCM, "http1_safe_max_connection_duration"))
@pytest.mark.field(f"envoy.{HCM}.http1_safe_max_connection_duration")
def test_a_downstream_connection_that_is_over_waits_for_its_next_response() -> None:
    with Origin() as origin:
        options = {
            "common_http_protocol_options": {"max_connection_duration": "0.3s"},
            "http1_safe_max_connection_duration": True,
            "drain_timeout": "0.1s",
        }
        with both(route("/", "origin"), origin=origin, **options) as found:
            for side in (found.envoy, found.ours):
                assert lines(side, 3, pause=0.8) == [(200, []), (200, ["close"]), "closed"]
                with Connection(side.proxy.address()) as connection:
                    assert connection.rest() == b""  # never a request: closed at once
                with Connection(side.proxy.address()) as connection:
                    under_way = connection.request(b"GET /?delay=0.5 HTTP/1.1\r\nHost: h\r\n\r\n")
                    assert under_way.values("connection") == []
                    wait_for(functools.partial(soft_drain, side), deadline=5, what="it waits for its last request")
                    assert connection.request(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").values("connection") == ["close"]
                wait_for(lambda one=side: not soft_drain(one), deadline=5, what="it has ended")
            envoy, ours = downstream(found, "cx_max_duration_reached", "cx_http1_soft_drain")
            assert ours == envoy


@pytest.mark.parity(
    "rule 56",
    *of("config.core.v3.HttpProtocolOptions", "max_requests_per_connection", "max_connection_duration", "idle_timeout"),
)
def test_upstream_connections_end_in_time() -> None:
    with Origin() as origin:
        clusters = [
            static_cluster("few", origin.port, **speaking(max_requests_per_connection=2)),
            static_cluster("brief", origin.port, **speaking(max_connection_duration="0.4s")),
            static_cluster("idle", origin.port, **speaking(idle_timeout="0.4s")),
        ]
        routes = [route(f"/{name}/", name) for name in ("few", "brief", "idle")]
        with both(*routes, clusters=clusters, origin=origin) as found:
            for _ in range(3):
                found.assert_same("/few/", "")
            for name in ("brief", "idle"):
                found.assert_same(f"/{name}/", "")
                time.sleep(1.8)
                found.assert_same(f"/{name}/", "")
            for side in (found.envoy, found.ours):
                stats = side.proxy.stats()
                assert stats["cluster.few.upstream_cx_max_requests"] == 1
                assert stats["cluster.few.upstream_cx_total"] == 2
                assert stats["cluster.brief.upstream_cx_max_duration_reached"] >= 1
                assert stats["cluster.brief.upstream_cx_total"] == 2
                assert stats["cluster.idle.upstream_cx_idle_timeout"] >= 1
