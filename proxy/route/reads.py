"""Which headers decide about the route of a request: what has to be known of it to route it again."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.route import ClusterAction, Route, RouteConfiguration
from proxy.matching.tree import headers_of

_CONTENT_TYPE = "content-type"


def headers_read(config: RouteConfiguration) -> frozenset[bytes]:
    """The names of the headers that routing by `config` looks at."""
    names = {config.virtual_host_header}
    for host in config.virtual_hosts:
        for route in host.routes:
            names.update(_of_route(route))
        if host.matcher is not None:
            names.update(headers_of(host.matcher))
    return frozenset(name.encode() for name in names if name and not name.startswith(":"))


def _of_route(route: Route) -> Iterator[str]:
    yield from (header.name for header in route.match.headers)
    if route.match.grpc:
        yield _CONTENT_TYPE
    action = route.action
    if isinstance(action, ClusterAction):
        yield from (action.cluster_header, action.weight_header)
        yield from (share.cluster_header for share in action.weighted)
