"""The route table of one `RouteConfiguration`: virtual host by authority, then the first route that matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.config.route import RouteConfiguration, VirtualHost
from proxy.route.domains import DomainTable
from proxy.route.entry import RouteEntry
from proxy.route.index import RouteIndex
from proxy.route.matcher import RequestHead
from proxy.route.path import without_query

Find = Callable[[bytes, RequestHead], RouteEntry | None]


class VirtualHostRoutes:
    """The routes of one virtual host.

    `find(path, request)`: the first route that takes a request for `path` (as received, with its query), or None. The
    path is all that is looked at, unless a route that fits it has conditions: only these look at `request`. An empty
    path (CONNECT) finds routes with a `connect_matcher` alone. Weighted clusters are not yet drawn:
    `RouteEntry.choose` does that per request.

    `by_path_alone`: no route of this virtual host looks at anything but the path. Then the same path always finds the
    same route, and a caller may keep what `find` returned for as long as the table lives.
    `by_chance`: a route takes a share of requests only (`RequestHead.random`), so each is asked for once, by itself.
    """

    __slots__ = ("by_chance", "by_path_alone", "find")

    def __init__(self, routes: Sequence[RouteEntry]) -> None:
        connect = [entry for entry in routes if entry.route.match.kind == "connect"]
        routes = [entry for entry in routes if entry.route.match.kind != "connect"] if connect else routes
        self.by_chance = any(entry.route.match.runtime_fraction is not None for entry in (*routes, *connect))
        self.by_path_alone = all(entry.by_path_alone for entry in (*routes, *connect))
        self.find: Find = _find_by_index(RouteIndex(routes), connect)
        if routes and _takes_nearly_all(routes[0]):
            self.find = _find_the_first(routes[0], self.find)


class RouteTable:
    """Compiled once per `RouteConfiguration`. Routes are tried in their listed order; there is no longest match.

    Ways to ask, from the whole to its parts, for callers that ask often:

    * `match(request)`: the route of a request, its weighted cluster drawn;
    * `find(authority, path, request)`: the same before the draw, from parts of the head. `request` is touched only by
      routes with conditions;
    * `virtual_host(authority)`, and its `find(path, request)`. What it says of `by_path_alone` is also true of the
      pair (authority, path); `by_authority_and_path` says it of all virtual hosts.

    Costs do not grow with the table where its shape allows it: see `RouteIndex`. An authority in any case will do.
    """

    __slots__ = ("by_authority_and_path", "virtual_host")

    def __init__(self, config: RouteConfiguration) -> None:
        hosts = [(host, VirtualHostRoutes(_entries(config, host))) for host in config.virtual_hosts]
        self.by_authority_and_path = all(routes.by_path_alone for _, routes in hosts)
        domains = DomainTable((domain, routes) for host, routes in hosts for domain in host.domains)
        self.virtual_host: Callable[[bytes], VirtualHostRoutes | None] = domains.find

    def find(self, authority: bytes, path: bytes, request: RequestHead) -> RouteEntry | None:
        """The first route that takes a request for `path` (with its query) at `authority`, or None."""
        routes = self.virtual_host(authority)
        return None if routes is None else routes.find(path, request)

    def match(self, request: RequestHead) -> RouteEntry | None:
        """The route for `request`, or None (404, flag NR)."""
        entry = self.find(request.authority, request.path, request)
        return None if entry is None else entry.choose()


def _entries(config: RouteConfiguration, virtual_host: VirtualHost) -> list[RouteEntry]:
    return [RouteEntry(config, virtual_host, route) for route in virtual_host.routes]


def _takes_nearly_all(entry: RouteEntry) -> bool:
    """Whether `entry` is `prefix: /` and asks for nothing more."""
    match = entry.route.match
    return match.kind == "prefix" and match.value == "/" and not entry.conditions


def _find_the_first(entry: RouteEntry, otherwise: Find) -> Find:
    return lambda path, request: entry if path.startswith(b"/") else otherwise(path, request)


def _find_by_index(index: RouteIndex, connect: Sequence[RouteEntry]) -> Find:
    find = index.find

    def find_connect(request: RequestHead) -> RouteEntry | None:
        return next((entry for entry in connect if entry.accepts(request)), None)

    return lambda path, request: find(without_query(path), request) if path else find_connect(request)
