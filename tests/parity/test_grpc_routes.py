"""What routes and the router do with gRPC alone: timeouts, retries by status, statuses that do not count."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.kit.attempts import Both, both
from tests.kit.bootstrap import ROUTER, route
from tests.kit.origin import Origin
from tests.parity.rules import of

ACTION = "config.route.v3.RouteAction"
GRPC = "content-type: application/grpc\r\n"
BACK_OFF = {"base_interval": "0.001s"}
CONDITIONS = "cancelled,deadline-exceeded,internal,resource-exhausted,unavailable"
ROUTES = [
    route("/capped/", "origin", max_grpc_timeout="3s", grpc_timeout_offset="1s"),
    route("/uncapped/", "origin", max_grpc_timeout="0s", timeout="0.2s"),
    route("/all/", "origin", retry_policy={"retry_on": CONDITIONS, "retry_back_off": BACK_OFF}),
    route("/one/", "origin", retry_policy={"retry_on": "unavailable", "retry_back_off": BACK_OFF, "num_retries": 2}),
    route(
        "/tried/",
        "origin",
        max_grpc_timeout="3s",
        retry_policy={"retry_on": "5xx", "per_try_timeout": "0.5s", "retry_back_off": BACK_OFF},
    ),
    route("/", "origin"),
]


@pytest.fixture(scope="module")
def proxies() -> Iterator[Both]:
    router = {"@type": ROUTER, "suppress_grpc_request_failure_code_stats": True}
    with (
        Origin() as origin,
        both(*ROUTES, origin=origin, http_filters=[{"name": "router", "typed_config": router}]) as found,
    ):
        yield found


TIMES = [
    ("/capped/", "grpc-timeout: 2500m\r\n" + GRPC),
    ("/capped/", "grpc-timeout: 1S\r\n" + GRPC),
    ("/capped/", GRPC),
    ("/uncapped/", "grpc-timeout: 70S\r\n" + GRPC),
    ("/tried/", "grpc-timeout: 2S\r\n" + GRPC),
]


@pytest.mark.parity(*of(ACTION, "max_grpc_timeout", "grpc_timeout_offset"))
@pytest.mark.parametrize(("path", "headers"), TIMES, ids=itertools.count())
def test_what_an_upstream_is_told_of_the_time(proxies: Both, path: str, headers: str) -> None:
    proxies.assert_same(path, "", headers=headers)


@pytest.mark.parity("rule 29", *of(ACTION, "max_grpc_timeout"))
def test_the_time_counts(proxies: Both) -> None:
    proxies.assert_same("/uncapped/", "delay=0.4", headers="grpc-timeout: 100m\r\n" + GRPC)


@pytest.mark.parity("rule 46", *of("config.route.v3.RetryPolicy", "retry_on"))
@pytest.mark.parametrize(("path", "status"), [("/all/", 1), ("/all/", 2), ("/one/", 14), ("/one/", 8)])
def test_retries_by_a_status_in_the_head(proxies: Both, path: str, status: int) -> None:
    script = f"header=grpc-status:{status}&body=0&fails=2"
    proxies.assert_same(path, script, headers=GRPC)


@pytest.mark.parity(*of("extensions.filters.http.router.v3.Router", "suppress_grpc_request_failure_code_stats"))
@pytest.mark.parametrize(
    ("script", "headers"), [("status=503", GRPC), ("status=503", ""), ("close=before", GRPC), ("body=0", GRPC)]
)
def test_statuses_that_do_not_count(proxies: Both, script: str, headers: str) -> None:
    proxies.assert_same("/", script, headers=headers)


@pytest.mark.parity("rule 29")
@pytest.mark.parametrize("script", ["raw=no+http", "body=9&close=half"])
def test_upstreams_that_fail(proxies: Both, script: str) -> None:
    proxies.assert_same("/", script, headers=GRPC)
