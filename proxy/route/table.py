"""The route table of one `RouteConfiguration`: virtual host by authority, then the first route that matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.config.matching import Matcher
from proxy.config.route import RedirectAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.http.authority import without_port
from proxy.http.identity import INTERNAL, XFP
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.matching.tree import compile_tree
from proxy.route.conditions import beyond_head
from proxy.route.domains import DomainTable
from proxy.route.entry import RouteEntry
from proxy.route.finish import CompileEdits, no_edits
from proxy.route.index import Listed, RouteIndex
from proxy.route.matcher import RequestHead
from proxy.route.path import without_parameters, without_query
from proxy.route.reply import require_tls

Find = Callable[[bytes, RequestHead], RouteEntry | None]
PathPart = Callable[[bytes], bytes]


class VirtualHostRoutes:
    """The routes of one virtual host.

    `find(path, request)`: the first route that takes a request for `path` (as received, with its query), or None. The
    path is all that is looked at, unless a route that fits it has conditions: only these look at `request`. An empty
    path (CONNECT) finds routes with a `connect_matcher` alone. Weighted clusters are not yet drawn:
    `RouteEntry.choose` does that per request.

    `by_path_alone`: no route of this virtual host looks at anything but the path. Then the same path always finds the
    same route, and a caller may keep what `find` returned for as long as the table lives.
    `beyond_head`: a route, or the draw of its cluster, looks at more than the head, at `RequestHead.random` or
    `RequestHead.info`, so each request is asked for once, by itself.
    `entries` are the routes in listed order; `tried(request)` are those that a request is offered in turn, with
    their places. `to_tls` takes requests that ought to have come by TLS, if there are any.
    """

    __slots__ = ("beyond_head", "by_path_alone", "entries", "find", "reads_fields", "to_tls", "tried")

    def __init__(self, routes: Sequence[RouteEntry], *, part: PathPart = without_query) -> None:
        """`part`: what routes are to see of a path."""
        self.entries = routes
        listed = tuple(enumerate(routes))
        self.tried: Callable[[RequestHead], Sequence[Listed]] = lambda request: listed
        self.to_tls: RouteEntry | None = None
        connect = [entry for entry in routes if entry.route.match.kind == "connect"]
        routes = [entry for entry in routes if entry.route.match.kind != "connect"] if connect else routes
        self.beyond_head = any(beyond_head(entry.route.match) or entry.draws_by_hash for entry in (*routes, *connect))
        self.by_path_alone = all(entry.by_path_alone for entry in (*routes, *connect))
        self.reads_fields = any(entry.reads_fields for entry in (*routes, *connect))
        self.find: Find = _find_by_index(RouteIndex(routes), part, connect)
        if routes and _takes_nearly_all(routes[0]):
            self.find = _find_the_first(routes[0], self.find)

    def match_by(self, matcher: Matcher, part: PathPart) -> None:
        """Let `matcher` say which of the routes may take a request."""
        self.by_path_alone = False
        self.reads_fields = True
        entries = self.entries
        tried = compile_tree(matcher, lambda leaf: [(at, entries[at]) for at in leaf.routes])
        self.tried = lambda request: tried(request) or ()
        find = compile_tree(
            matcher, lambda leaf: VirtualHostRoutes([entries[at] for at in leaf.routes], part=part).find
        )

        def find_in_turn(path: bytes, request: RequestHead) -> RouteEntry | None:
            found = find(request)
            return None if found is None else found(path, request)

        self.find = find_in_turn

    def require_tls(self, entry: RouteEntry, *, of_all: bool) -> None:
        """Let requests that did not come by TLS find `entry`; unless `of_all`, only those from outside."""
        self.by_path_alone = False
        self.to_tls = entry
        find = self.find

        def find_if_secure(path: bytes, request: RequestHead) -> RouteEntry | None:
            headers = request.headers
            if headers.get(XFP) == b"https" or (not of_all and INTERNAL in headers):
                return find(path, request)
            return entry

        self.find = find_if_secure


class RouteTable:
    """Compiled once per `RouteConfiguration`. Routes are tried in their listed order; there is no longest match.

    Ways to ask, from the whole to its parts, for callers that ask often:

    * `match(request, info)`: the route of a request, its weighted cluster drawn; `info`: facts of its exchange;
    * `find(authority, path, request)`: the same before the draw, from parts of the head. `request` is touched only by
      routes with conditions, and by a table whose virtual hosts are named by a header;
    * `virtual_host(authority)`, or `virtual_host_of(request)` for tables of either kind, and its `find(path, request)`.
      What it says of `by_path_alone` is also true of the pair (authority, path); `by_authority_and_path` says it of all
      virtual hosts.

    `reads_fields`: a route, or the choice of a virtual host, may look at the values of any fields beyond matching.
    `path_part` is what routes see of a path.

    Costs do not grow with the table where its shape allows it: see `RouteIndex`. An authority in any case will do.
    `compile_edits` compiles the routes' header mutations.
    """

    __slots__ = ("_header", "_without_port", "by_authority_and_path", "path_part", "reads_fields", "virtual_host")

    def __init__(self, config: RouteConfiguration, compile_edits: CompileEdits = no_edits) -> None:
        hosts = [(host, _routes(config, host, compile_edits)) for host in config.virtual_hosts]
        self._header = config.virtual_host_header.encode()
        self._without_port = config.ignore_port
        self.path_part = _part(config)
        self.by_authority_and_path = not self._header and all(routes.by_path_alone for _, routes in hosts)
        self.reads_fields = bool(self._header) or any(routes.reads_fields for _, routes in hosts)
        domains = DomainTable((domain, routes) for host, routes in hosts for domain in host.domains)
        find = domains.find
        self.virtual_host: Callable[[bytes], VirtualHostRoutes | None] = find
        if config.ignore_port:
            self.virtual_host = lambda authority: find(without_port(authority))

    def compared_with_domains(self, request: RequestHead) -> bytes:
        """What of `request` names its virtual host."""
        named = (request.headers.get(self._header) or b"") if self._header else request.authority
        return without_port(named) if self._without_port else named

    def virtual_host_of(self, request: RequestHead) -> VirtualHostRoutes | None:
        """The virtual host of `request`."""
        if self._header:
            return self.virtual_host(request.headers.get(self._header) or b"")
        return self.virtual_host(request.authority)

    def find(self, authority: bytes, path: bytes, request: RequestHead) -> RouteEntry | None:
        """The first route that takes a request for `path` (with its query) at `authority`, or None."""
        routes = self.virtual_host_of(request) if self._header else self.virtual_host(authority)
        return None if routes is None else routes.find(path, request)

    def match(self, request: Request, info: StreamInfo | None = None) -> RouteEntry | None:
        """The route for `request`, or None (404, flag NR)."""
        request.info = info
        try:
            entry = self.find(request.authority, request.path, request)
            return None if entry is None else entry.choose(request)
        finally:
            request.info = None


def _routes(config: RouteConfiguration, host: VirtualHost, compile_edits: CompileEdits) -> VirtualHostRoutes:
    entries = [RouteEntry(config, host, route, compile_edits=compile_edits) for route in host.routes]
    routes = VirtualHostRoutes(entries, part=_part(config))
    if host.matcher is not None:
        routes.match_by(host.matcher, _part(config))
    if host.require_tls != "NONE":
        routes.require_tls(_redirect_to_tls(host), of_all=host.require_tls == "ALL")
    return routes


def _part(config: RouteConfiguration) -> PathPart:
    """What the routes of `config` are to see of a path."""
    return _without_query_and_parameters if config.ignore_path_parameters else without_query


def _redirect_to_tls(host: VirtualHost) -> RouteEntry:
    """A route that nothing of the configuration applies to, as in Envoy."""
    entry = RouteEntry(RouteConfiguration("", ()), VirtualHost(host.name, (), ()), Route(_ANYTHING, RedirectAction()))
    entry.reply = lambda request, tell: require_tls(request)
    return entry


_ANYTHING = RouteMatch("prefix", "")


def _without_query_and_parameters(path: bytes) -> bytes:
    return without_parameters(without_query(path))


def _takes_nearly_all(entry: RouteEntry) -> bool:
    """Whether `entry` is `prefix: /` and asks for nothing more."""
    match = entry.route.match
    return match.kind == "prefix" and match.value == "/" and not entry.conditions


def _find_the_first(entry: RouteEntry, otherwise: Find) -> Find:
    return lambda path, request: entry if path.startswith(b"/") else otherwise(path, request)


def _find_by_index(index: RouteIndex, part: PathPart, connect: Sequence[RouteEntry]) -> Find:
    find = index.find

    def find_connect(request: RequestHead) -> RouteEntry | None:
        return next((entry for entry in connect if entry.accepts(request)), None)

    return lambda path, request: find(part(path), request) if path else find_connect(request)
