"""Request mirroring on Envoy and on ours: what the mirror gets, what it counts, and that nobody else notices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.attempts import Both, Side, both, rounded
from tests.kit.bootstrap import Fields, route, static_cluster
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.parity.rules import of


def mirrored(**fields: Any) -> Fields:
    return {"request_mirror_policies": [fields]}


def share(numerator: int) -> Fields:
    return {"default_value": {"numerator": numerator, "denominator": "HUNDRED"}}


ROUTES = [
    route("/plain/", "origin", **mirrored(cluster="mirror")),
    route("/named/", "origin", **mirrored(cluster_header="X-Mirror")),
    route("/always/", "origin", **mirrored(cluster="mirror", runtime_fraction=share(100))),
    route("/never/", "origin", **mirrored(cluster="mirror", runtime_fraction=share(0))),
    route("/own-host/", "origin", **mirrored(cluster="mirror", disable_shadow_host_suffix_append=True)),
    route("/other-host/", "origin", **mirrored(cluster="mirror", host_rewrite_literal="other.example")),
    route("/dead/", "origin", **mirrored(cluster="dead")),
    route("/empty/", "origin", **mirrored(cluster="empty")),
    route("/two/", "origin", request_mirror_policies=[{"cluster": "mirror"}, {"cluster": "dead"}]),
    route("/timeout/", "origin", timeout="0.5s", **mirrored(cluster="mirror")),
    route(
        "/retried/",
        "origin",
        retry_policy={"retry_on": "5xx", "retry_back_off": {"base_interval": "0.001s"}, "per_try_timeout": "5s"},
        **mirrored(cluster="mirror"),
    ),
    route("/", "origin"),
]


@pytest.fixture(scope="module")
def proxies() -> Iterator[Both]:
    with Origin("origin", "mirror") as origin:
        clusters = [
            static_cluster("mirror", origin.ports["mirror"]),
            static_cluster("dead", 1),
            static_cluster("empty"),
        ]
        host = mirrored(cluster="mirror")
        with both(*ROUTES, host=host, clusters=clusters, origin=origin) as found:
            yield found


def ask(side: Side, path: str, script: str, mirrors: int, **request: Any) -> Fields:
    """What became of the request, with what the mirror saw of it, once that is all there."""
    found: Fields = {}

    def there() -> bool:
        found["attempts"] = side.told(key)
        return sum(echo["origin"].startswith("mirror") for echo in found["attempts"]) >= mirrors

    outcome = side.ask(path, script, **request)
    key = outcome.pop("key")
    wait_for(there, deadline=10, what="the mirror has its copies")
    for echo in found["attempts"]:
        rounded(echo)
    seen = sorted(found["attempts"], key=lambda echo: str(echo["origin"]))
    return {**outcome, "attempts": seen}


CASES = [
    ("/plain/", "", {}, 1),
    ("/plain/", "", {"method": "HEAD"}, 1),
    ("/plain/", "", {"method": "POST", "body": b"x" * 5000}, 1),
    ("/plain/", "", {"headers": "x-forwarded-for: 1.2.3.4\r\nx-a: 1\r\nx-a: 2\r\n"}, 1),
    ("/plain/", "status=503", {}, 1),
    ("/named/", "", {"headers": "x-mirror: mirror\r\n"}, 1),
    ("/named/", "", {"headers": "x-mirror: nowhere\r\n"}, 0),
    ("/named/", "", {}, 0),
    ("/always/", "", {}, 1),
    ("/never/", "", {}, 0),
    ("/own-host/", "", {}, 1),
    ("/other-host/", "", {}, 1),
    ("/dead/", "", {}, 0),
    ("/empty/", "", {}, 0),
    ("/two/", "", {}, 1),
    ("/timeout/", "", {}, 1),
    ("/retried/", "status=503", {}, 1),
    ("/retried/", "status=503", {"method": "POST", "body": b"x" * 50}, 1),
    ("/", "", {}, 1),
]


@pytest.mark.parametrize(("path", "script", "request_", "mirrors"), CASES, ids=itertools.count())
@pytest.mark.parity(
    "rule 61",
    *of("config.route.v3.RouteAction", "request_mirror_policies"),
    *of(
        "config.route.v3.RouteAction.RequestMirrorPolicy",
        "cluster",
        "cluster_header",
        "runtime_fraction",
        "disable_shadow_host_suffix_append",
        "host_rewrite_literal",
    ),
    *of("config.route.v3.VirtualHost", "request_mirror_policies"),
)
def test_what_the_mirror_gets(proxies: Both, path: str, script: str, request_: dict[str, Any], mirrors: int) -> None:
    envoy, ours = (ask(side, path, script, mirrors, **request_) for side in (proxies.envoy, proxies.ours))
    for found in (envoy, ours):
        del found["counted"]  # the copy may be counted later
    assert ours == envoy
    assert sum(echo["origin"] == "mirror" for echo in ours["attempts"]) == mirrors


@pytest.mark.parity("rule 61")
def test_what_is_counted(proxies: Both) -> None:
    def counted(side: Side) -> dict[str, int]:
        return {
            name: value
            for name, value in side.proxy.stats().items()
            if value
            and name.startswith(("cluster.mirror.", "cluster.dead.", "cluster.empty."))
            and "upstream_rq" in name
            and not name.endswith(("_active", "pending_total"))
        }

    wait_for(lambda: counted(proxies.ours) == counted(proxies.envoy), deadline=5, what="both have counted the same")
