"""Which level's mirrors count, and what a mirror's own options do to its copy: on Envoy and on ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.attempts import Both, Side, both
from tests.kit.bootstrap import Fields, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.parity.test_mirror import ask


def mirrored(cluster: str, **fields: Any) -> Fields:
    return {"request_mirror_policies": [{"cluster": cluster, **fields}]}


def written(name: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> Fields:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}


EDITED = mirrored(
    "mirror-c",
    trace_sampled=False,
    request_headers_mutations=[
        {"remove": "x-gone"},
        written("x-new", "%REQ(:path)% %PROTOCOL%"),
        written("x-kept", "2"),
        written("x-envoy-internal", "no", "OVERWRITE_IF_EXISTS_OR_ADD"),
        written("x-forwarded-for", "1.2.3.4", "OVERWRITE_IF_EXISTS_OR_ADD"),
        written("x-envoy-expected-rq-timeout-ms", "7", "OVERWRITE_IF_EXISTS_OR_ADD"),
    ],
)
HOSTS = [
    virtual_host(
        "own",
        ["own"],
        route("/route/", "origin", **mirrored("mirror-c")),
        route("/edited/", "origin", **EDITED),
        route("/", "origin"),
    )
    | mirrored("mirror-b"),
    virtual_host("none", ["*"], route("/route/", "origin", **mirrored("mirror-c")), route("/", "origin")),
]


@pytest.fixture(scope="module")
def proxies() -> Iterator[Both]:
    with Origin("origin", "mirror", "mirror-b", "mirror-c") as origin:
        clusters = [static_cluster(name, port) for name, port in origin.ports.items() if name != "origin"]
        config = {"name": "main", "vhost_header": "x-host", "virtual_hosts": HOSTS, **mirrored("mirror")}
        with both(clusters=clusters, origin=origin, route_config=config) as found:
            yield found


def seen(side: Side, host: str, path: str, headers: str = "") -> list[Fields]:
    """What the origins saw, the mirror's copy first."""
    found: list[Fields] = ask(side, path, "", 1, headers=f"x-host: {host}\r\n{headers}")["attempts"]
    return found


@pytest.mark.parametrize(
    ("host", "path", "mirror"),
    [
        ("own", "/route/", "mirror-c"),
        ("own", "/", "mirror-b"),
        ("none", "/route/", "mirror-c"),
        ("none", "/", "mirror"),
    ],
)
@pytest.mark.parity("rule 61", "config.route.v3.VirtualHost.request_mirror_policies")
def test_the_level_that_counts(proxies: Both, host: str, path: str, mirror: str) -> None:
    envoy, ours = (seen(side, host, path) for side in (proxies.envoy, proxies.ours))
    assert ours == envoy
    assert mirror in [echo["origin"] for echo in ours]


@pytest.mark.parity("config.route.v3.RouteConfiguration.request_mirror_policies")
@pytest.mark.field("envoy.config.route.v3.RouteConfiguration.request_mirror_policies")
def test_the_route_configurations_mirrors(proxies: Both) -> None:
    assert len(seen(proxies.ours, "none", "/")) == 2


@pytest.mark.parity("config.route.v3.RouteAction.RequestMirrorPolicy.request_headers_mutations")
@pytest.mark.field(
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy.request_headers_mutations",
    "envoy.config.common.mutation_rules.v3.HeaderMutation.append",
    "envoy.config.common.mutation_rules.v3.HeaderMutation.remove",
)
def test_what_a_mirror_writes_into_its_copy(proxies: Both) -> None:
    headers = "x-gone: 1\r\nx-kept: 1\r\n"
    envoy, ours = (seen(side, "own", "/edited/", headers) for side in (proxies.envoy, proxies.ours))
    assert [echo["headers"] for echo in ours] == [echo["headers"] for echo in envoy]
