"""The health check filter on the real Envoy and on ours: what who asks is told, and what such requests count."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection, Response
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.kit.routing import head
from tests.parity.rules import HCM, of

FILTER = "extensions.filters.http.health_check.v3.HealthCheck"
TYPE = f"type.googleapis.com/envoy.{FILTER}"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
ASKED = [{"name": ":path", "string_match": {"prefix": "/health"}}, {"name": "x-asks", "present_match": True}]
DOWN = {"health_status": "UNHEALTHY"}
DEGRADED = {"health_status": "DEGRADED"}

FILTERS: dict[str, Fields] = {
    "itself": {"pass_through_mode": False},
    "through": {"pass_through_mode": True},
    "kept": {"pass_through_mode": True, "cache_time": "3600s"},
    "enough": {"pass_through_mode": False, "cluster_min_healthy_percentages": {"half": {"value": 50}}},
    "too few": {"pass_through_mode": False, "cluster_min_healthy_percentages": {"half": {"value": 50.9}}},
    "fewer": {"pass_through_mode": False, "cluster_min_healthy_percentages": {"half": {"value": 51}}},
    "both": {
        "pass_through_mode": False,
        "cluster_min_healthy_percentages": {"half": {"value": 10}, "nobody": {"value": 1}},
    },
    "nobody": {"pass_through_mode": False, "cluster_min_healthy_percentages": {"nobody": {"value": 0}}},
    "lost": {"pass_through_mode": False, "cluster_min_healthy_percentages": {"lost": {"value": 0}}},
}


def listener(name: str, fields: Fields) -> Fields:
    log_format = {"text_format_source": {"inline_string": "%REQ(:PATH)% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%\n"}}
    log = {"@type": FILE, "path": "{directory}/all.log", "log_format": log_format}
    others = {**log, "path": "{directory}/others.log"}
    return http_listener(
        virtual_host("v", ["*"], route("/", "origin")),
        name=name,
        http_filters=[
            {"name": "health", "typed_config": {"@type": TYPE, "headers": ASKED, **fields}},
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ],
        access_log=[
            {"name": "all", "typed_config": log},
            {"name": "others", "filter": {"not_health_check_filter": {}}, "typed_config": others},
        ],
    )


def configuration(port: int) -> str:
    half = static_cluster("half", port, port, port, port)
    for endpoint, status in zip(
        half["load_assignment"]["endpoints"][0]["lb_endpoints"], (DOWN, DOWN, DEGRADED, {}), strict=True
    ):
        endpoint |= status
    clusters = [static_cluster("origin", port), half, static_cluster("nobody")]
    tree = yaml.safe_load(bootstrap([listener(name, fields) for name, fields in FILTERS.items()], clusters))
    tree["node"] = {"id": "here", "cluster": "shop"}
    return yaml.safe_dump(tree, sort_keys=False)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with (
        Origin() as origin,
        run_pair(configuration(origin.port), apart="the origin numbers its connections") as running,
    ):
        yield running


def told(response: Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """What is told of health, and a body that is not the origin's."""
    headers = [(name.lower(), value) for name, value in response.headers]
    ours = [(name, value) for name, value in headers if name.startswith("x-envoy-") and "service-time" not in name]
    return response.status, ours, response.body if response.status != 200 else b""


def ask(pair: Pair, name: str, *requests: bytes) -> list[list[Any]]:
    """What each says to all requests, on one connection each."""
    found = []
    for proxy in (pair.envoy, pair.ours):
        answers = []
        for request in requests:
            with Connection(proxy.address(name)) as client:
                client.send(request)
                answers.append(told(client.receive()))
        found.append(answers)
    return found


CHECK = head("/health?body=0", "h", "x-asks: 1")
OTHERS = (head("/health?body=0"), head("/?body=0", "h", "x-asks: 1"))
WORSE = head("/health?body=0&status=503&header=x-envoy-degraded:1", "h", "x-asks: 1")


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parity(*of(FILTER, "pass_through_mode", "cache_time", "cluster_min_healthy_percentages", "headers"))
def test_what_is_told(pair: Pair, name: str) -> None:
    envoy, ours = ask(pair, name, *OTHERS, CHECK, WORSE, CHECK)
    assert ours == envoy


@pytest.mark.parity("rule 55", *of(FILTER, "headers"))
def test_a_proxy_that_is_to_be_left_says_so(pair: Pair) -> None:
    for proxy in (pair.envoy, pair.ours):
        assert proxy.admin("/healthcheck/fail", "POST").status == 200
    try:
        for name in ("itself", "through", "kept", "enough"):
            envoy, ours = ask(pair, name, CHECK, OTHERS[0])
            assert ours == envoy
            assert envoy[0][0] == 503
    finally:
        for proxy in (pair.envoy, pair.ours):
            assert proxy.admin("/healthcheck/ok", "POST").status == 200
    envoy, ours = ask(pair, "itself", CHECK)
    assert ours == envoy


@pytest.mark.parity("config.accesslog.v3.AccessLogFilter.not_health_check_filter", *of(HCM, "access_log"))
def test_what_is_logged_and_counted(pair: Pair) -> None:
    def lines(name: str) -> list[list[str]]:
        return [(proxy.directory / name).read_text().splitlines() for proxy in (pair.envoy, pair.ours)]

    for name in ("all.log", "others.log"):
        wait_for(lambda name=name: len(set(map(len, lines(name)))) == 1, deadline=5, what="all is written")
        envoy, ours = lines(name)
        assert ours == envoy
    rest = r"(\d\d\d|\dxx|completed)$"
    pattern = re.compile(rf"^http\..*downstream_rq_{rest}|^cluster\.origin\.(external\.)?upstream_rq_{rest}")
    counted = [
        {key: value for key, value in proxy.stats().items() if pattern.match(key) and value and "admin" not in key}
        for proxy in (pair.envoy, pair.ours)
    ]
    assert counted[1] == counted[0]
