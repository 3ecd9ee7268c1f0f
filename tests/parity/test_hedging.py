"""Hedging on Envoy and on ours: which attempts go out beside each other, who answers, what counts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.kit.attempts import Both, both, rounded
from tests.kit.bootstrap import Fields, route, static_cluster
from tests.kit.origin import Origin
from tests.kit.process import wait_for

FAST = {"base_interval": "0.001s", "max_interval": "0.002s"}
HEDGED = {"hedge_policy": {"hedge_on_per_try_timeout": True}}


def policy(retry_on: str = "5xx", per_try: str = "0.3s", **fields: Any) -> Fields:
    return {"retry_policy": {"retry_on": retry_on, "per_try_timeout": per_try, "retry_back_off": FAST, **fields}}


def hedged(path: str, cluster: str = "origin", retry: Fields | None = None, **action: Any) -> Fields:
    return route(path, cluster, **(policy() if retry is None else retry), **HEDGED, **action)


ROUTES = [
    hedged("/one/"),
    hedged("/two/", retry=policy(num_retries=2)),
    hedged("/none/", retry=policy(num_retries=0)),
    hedged("/other/", retry=policy("retriable-4xx")),
    hedged("/gateway/", retry=policy("gateway-error", num_retries=2)),
    hedged("/short/", timeout="0.9s"),
    hedged("/idle/", retry=policy(per_try="0s", per_try_idle_timeout="0.3s")),
    hedged("/alone/", retry={"retry_policy": {"per_try_timeout": "0.3s"}}),
    hedged("/last/", "brief"),
    hedged("/full/", "full"),
    {**hedged("/small/"), "request_body_buffer_limit": 100},
    route("/plain/", "origin", hedge_policy={}, **policy()),
    {
        **route("/said/", "origin", hedge_policy={}, **policy()),
        "request_headers_to_add": [{"header": {"key": "x-envoy-hedge-on-per-try-timeout", "value": "true"}}],
    },
    route("/host/", "origin", **policy()),
]


@pytest.fixture(scope="module")
def proxies() -> Iterator[Both]:
    with Origin() as origin:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        brief = {
            "typed_extension_protocol_options": {
                options: {
                    "@type": f"type.googleapis.com/{options}",
                    "explicit_http_config": {"http_protocol_options": {}},
                    "common_http_protocol_options": {"max_stream_duration": "0.7s"},
                }
            }
        }
        clusters = [
            static_cluster("brief", origin.port, **brief),
            static_cluster("full", origin.port, circuit_breakers={"thresholds": [{"max_retries": 0}]}),
        ]
        host = {"include_request_attempt_count": True, "include_attempt_count_in_response": True}
        host |= {"include_is_timeout_retry_header": True, **HEDGED}
        internal = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
        with both(
            *ROUTES,
            host=host,
            clusters=clusters,
            origin=origin,
            use_remote_address=True,
            internal_address_config=internal,
            proxy_100_continue=True,
        ) as found:
            yield found


ON = "x-envoy-hedge-on-per-try-timeout: true\r\n"
OFF = "x-envoy-hedge-on-per-try-timeout: false\r\n"
BODY = b"x" * 50
CASES = [
    ("/one/", "", {}, 1),
    ("/one/", "delay=0.7", {}, 2),  # the first one answers
    ("/one/", "delay=1.5&fails=1", {}, 2),  # the second one
    ("/one/", "delay=0.5&status=503&fails=1", {}, 2),  # a bad answer for which another attempt runs
    ("/one/", "delay=0.5&status=503", {}, 2),
    ("/one/", "status=503&fails=1", {}, 2),  # retried, not hedged
    ("/one/", "status=503", {}, 2),
    ("/one/", "delay=0.5&close=before&fails=1", {}, 2),
    ("/one/", "delay=0.5&close=before", {}, 2),
    ("/one/", "delay=0.5&raw=junk%0d%0a%0d%0a", {}, 2),
    ("/one/", "delay=0.7", {"method": "POST", "body": BODY}, 2),
    ("/one/", "delay=1.5&fails=1", {"method": "POST", "body": BODY * 1000}, 2),
    ("/one/", "delay=0.7&body=300000", {"method": "HEAD"}, 2),
    ("/one/", "delay=0.7&body=300000", {}, 2),
    ("/one/", "delay=0.7&close=half&body=100000", {}, 2),
    ("/one/", "delay=0.7", {"headers": OFF}, 2),
    ("/two/", "delay=1.5&fails=2", {}, 3),
    ("/two/", "delay=0.5&status=503", {}, 3),
    ("/none/", "delay=0.7", {}, 1),
    ("/none/", "delay=0.7&status=503", {}, 1),
    ("/other/", "delay=1.5&fails=1", {}, 2),
    ("/other/", "delay=0.5&close=before", {}, 2),
    ("/gateway/", "delay=0.5&status=500", {}, 2),
    ("/gateway/", "delay=0.5&status=502&fails=2", {}, 3),
    ("/short/", "delay=2", {}, 2),
    ("/idle/", "delay=1.5&fails=1", {}, 2),
    ("/alone/", "delay=0.5", {}, 1),
    ("/last/", "delay=2", {}, 2),
    ("/full/", "delay=0.5", {}, 1),
    ("/small/", "delay=0.5", {"method": "POST", "body": BODY * 10}, 1),
    ("/plain/", "delay=0.5", {}, 2),
    ("/host/", "delay=0.5", {}, 2),
    ("/plain/", "delay=1.5&fails=1", {"headers": ON}, 2),
    ("/plain/", "delay=0.5", {"headers": ON}, 2),
    ("/said/", "delay=0.5", {}, 2),
    ("/one/", "informational=103&status=503&fails=1", {}, 1),
    ("/one/", "delay=0.5&informational=103&status=503", {}, 2),
    ("/plain/", "informational=103&status=503&fails=1", {}, 1),
]


@pytest.mark.parametrize(("path", "script", "request_", "attempts"), CASES, ids=itertools.count())
@pytest.mark.parity(
    "rule 40", "config.route.v3.RouteAction.hedge_policy", "config.route.v3.HedgePolicy.hedge_on_per_try_timeout"
)
def test_what_goes_out_beside_each_other(
    proxies: Both, path: str, script: str, request_: dict[str, Any], attempts: int
) -> None:
    with ThreadPoolExecutor() as pool:
        envoy, ours = pool.map(lambda side: side.ask(path, script, **request_), (proxies.envoy, proxies.ours))
    for side, found in ((proxies.envoy, envoy), (proxies.ours, ours)):
        # An attempt that was left early is told once the origin has come so far.
        wait_for(lambda: len(side.told(found["key"])) >= attempts, deadline=5, what="all attempts are told")  # noqa: B023
        found["attempts"] = side.told(found.pop("key"))
        for echo in found["attempts"]:
            rounded(echo)
    different = [f"{key}: ours {ours.get(key)}, Envoy's {envoy.get(key)}" for key in envoy if ours[key] != envoy[key]]
    assert not different, "\n".join(different)
    assert len(ours["attempts"]) == attempts


@pytest.mark.parity("config.route.v3.RouteAction.hedge_policy")
@pytest.mark.field(
    "envoy.config.route.v3.RouteAction.hedge_policy", "envoy.config.route.v3.HedgePolicy.hedge_on_per_try_timeout"
)
def test_the_routes_policy(proxies: Both) -> None:
    assert proxies.ours.ask("/one/", "delay=0.7")["log"]["flags"] == "URX"
    assert proxies.ours.ask("/plain/", "delay=0.5")["status"] == 504  # another one than its virtual host's


@pytest.mark.parity("config.route.v3.VirtualHost.hedge_policy")
@pytest.mark.field("envoy.config.route.v3.VirtualHost.hedge_policy")
def test_the_virtual_hosts_policy(proxies: Both) -> None:
    assert [proxies.ours.ask(path, "delay=0.5")["status"] for path in ("/host/", "/plain/")] == [200, 504]
