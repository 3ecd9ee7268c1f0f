"""Which headers decide about the route of a request."""

from __future__ import annotations

from proxy.config.common import HeaderMatcher
from proxy.config.route import (
    ClusterAction,
    ClusterWeight,
    DirectResponseAction,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from proxy.route.reads import headers_read


def test_those_of_matches_and_of_names() -> None:
    routes = (
        Route(
            RouteMatch("prefix", "/", headers=(HeaderMatcher("x-env"), HeaderMatcher(":method"))), ClusterAction("c")
        ),
        Route(RouteMatch("prefix", "/", grpc=True), DirectResponseAction(200)),
        Route(RouteMatch("prefix", "/"), ClusterAction("", cluster_header="x-cluster")),
        Route(
            RouteMatch("prefix", "/"),
            ClusterAction("", weighted=(ClusterWeight("", 1, cluster_header="x-share"),), weight_header="x-weight"),
        ),
    )
    config = RouteConfiguration("r", (VirtualHost("v", ("*",), routes),), virtual_host_header="x-host")
    assert headers_read(config) == {b"x-env", b"content-type", b"x-cluster", b"x-share", b"x-weight", b"x-host"}
