"""Options of the router itself (`filters.http.router.v3.Router`), on Envoy and on ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.kit.attempts import Both, both
from tests.kit.bootstrap import ROUTER, route
from tests.kit.origin import Origin
from tests.parity.rules import of

CHECKED = ("upstream-rq-timeout-ms", "upstream-rq-per-try-timeout-ms", "max-retries", "retry-on", "retry-grpc-on")


@pytest.fixture(scope="module")
def proxies() -> Iterator[Both]:
    router = {
        "@type": ROUTER,
        "respect_expected_rq_timeout": True,
        "strict_check_headers": [f"x-envoy-{name}" for name in CHECKED],
    }
    internal = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
    with (
        Origin() as origin,
        both(
            route("/", "origin", timeout="5s"),
            origin=origin,
            use_remote_address=True,
            internal_address_config=internal,
            http_filters=[{"name": "router", "typed_config": router}],
        ) as found,
    ):
        yield found


HEADERS = [
    ("", 200),
    ("x-envoy-max-retries: many\r\n", 400),
    ("x-envoy-max-retries: -1\r\n", 400),
    ("x-envoy-max-retries: 3\r\n", 200),
    ("x-envoy-max-retries: 1\r\nx-envoy-max-retries: 2\r\n", 400),
    ("x-envoy-upstream-rq-timeout-ms: 1.5\r\n", 400),
    ("x-envoy-upstream-rq-timeout-ms: 18446744073709551616\r\n", 400),
    ("x-envoy-upstream-rq-per-try-timeout-ms: x\r\n", 400),
    ("x-envoy-retry-on: 5xx,reset\r\n", 200),
    ("x-envoy-retry-on: 5xx, reset\r\n", 200),
    ("x-envoy-retry-on: 5xx,everything\r\n", 400),
    ("x-envoy-retry-grpc-on: cancelled\r\n", 200),
    ("x-envoy-retry-grpc-on: 5xx\r\n", 400),
    ("x-forwarded-for: 8.8.8.8\r\nx-envoy-max-retries: many\r\n", 200),
    ("x-envoy-expected-rq-timeout-ms: 300\r\n", 504),
    ("x-envoy-expected-rq-timeout-ms: 300\r\nx-envoy-upstream-rq-timeout-ms: 2000\r\n", 504),
    ("x-envoy-expected-rq-timeout-ms: 4000\r\nx-envoy-upstream-rq-timeout-ms: 100\r\n", 200),
    ("x-envoy-expected-rq-timeout-ms: soon\r\nx-envoy-upstream-rq-timeout-ms: 100\r\n", 200),
    ("x-envoy-upstream-rq-timeout-ms: 300\r\n", 504),
    ("x-forwarded-for: 8.8.8.8\r\nx-envoy-expected-rq-timeout-ms: 100\r\n", 200),
]


@pytest.mark.parametrize(("headers", "status"), HEADERS, ids=itertools.count())
@pytest.mark.parity(
    "rule 24", *of("extensions.filters.http.router.v3.Router", "strict_check_headers", "respect_expected_rq_timeout")
)
def test_headers_for_the_router(proxies: Both, headers: str, status: int) -> None:
    assert proxies.assert_same("/", "delay=0.5", headers=headers)["status"] == status


@pytest.mark.parity("extensions.filters.http.router.v3.Router.strict_check_headers")
@pytest.mark.field("envoy.extensions.filters.http.router.v3.Router.strict_check_headers")
def test_what_makes_no_sense_is_refused(proxies: Both) -> None:
    assert proxies.ours.ask("/", "", headers="x-envoy-max-retries: many\r\n")["status"] == 400


@pytest.mark.parity("rule 27", "extensions.filters.http.router.v3.Router.respect_expected_rq_timeout")
@pytest.mark.field("envoy.extensions.filters.http.router.v3.Router.respect_expected_rq_timeout")
def test_what_the_proxy_before_us_expects(proxies: Both) -> None:
    assert proxies.ours.ask("/", "delay=0.5", headers="x-envoy-expected-rq-timeout-ms: 200\r\n")["status"] == 504
