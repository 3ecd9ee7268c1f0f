"""A route table that keeps how it came to its answer, and that leaves nothing to chance."""

from __future__ import annotations

from typing import NamedTuple

from proxy.config.route import ClusterAction, RouteConfiguration
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.route.domains import DomainTable
from proxy.route.entry import RouteEntry
from proxy.route.reasons import Reason, why_not
from proxy.route.table import RouteTable


class Refusal(NamedTuple):
    """A route that was tried in vain: number `number` of the virtual host."""

    number: int
    entry: RouteEntry
    reason: Reason


class Routing(NamedTuple):
    """How one request was routed.

    `request` is as routing saw it. `named` is what of it names the virtual host: number `host` of the configuration, by
    its `domain`; `host` is -1 if none has it. `entry` is the route that takes it, number `number` of the virtual host
    (-1: none of its list, as the redirect `to_tls`), None if there is none; `chosen` is that or the weighted cluster
    that was drawn, number `share` of the route (-1: it has none).
    """

    request: Request
    named: bytes
    host: int = -1
    domain: str = ""
    refused: tuple[Refusal, ...] = ()
    entry: RouteEntry | None = None
    number: int = -1
    chosen: RouteEntry | None = None
    share: int = -1
    to_tls: bool = False


class TracedTable:
    """Stands in for `table`, which is that of `config`, in a connection manager. `drawn` is the number below 2**64 that
    decides about shares of requests, and about weighted clusters unless a header does.
    """

    def __init__(self, table: RouteTable, config: RouteConfiguration, drawn: int) -> None:
        self._table = table
        self._config = config
        self._drawn = drawn
        self.last: Routing | None = None

    def match(self, request: Request, info: StreamInfo | None = None) -> RouteEntry | None:
        """As `RouteTable.match`. A filter may have a route chosen again: then `last` is the last one."""
        request.random, request.info = self._drawn, info
        try:
            self.last = routing = self._route(request)
        finally:
            request.info = None
        return routing.chosen

    def _route(self, request: Request) -> Routing:
        table, seen = self._table, request.copy()
        seen.random = self._drawn
        named = table.compared_with_domains(request)
        routes = table.virtual_host_of(request)
        entry = table.find(request.authority, request.path, request)
        if routes is None:
            return Routing(seen, named)
        host, domain = find_domain(self._config, named)
        found = Routing(seen, named, host, domain)
        if entry is not None and entry is routes.to_tls:
            return found._replace(entry=entry, chosen=entry, to_tls=True)
        path = table.path_part(request.path)
        refused: list[Refusal] = []
        for number, candidate in routes.tried(request):
            if candidate is entry:
                chosen = entry.choose(request, self._drawn)
                return found._replace(
                    refused=tuple(refused), entry=entry, number=number, chosen=chosen, share=_share(entry, chosen)
                )
            reason = why_not(candidate, path, request)
            assert reason is not None, f"the index passed over route {number}, which takes the request"
            refused.append(Refusal(number, candidate, reason))
        if entry is not None:  # not one of the list, which was not asked then
            chosen = entry.choose(request, self._drawn)
            return found._replace(entry=entry, chosen=chosen, share=_share(entry, chosen))
        return found._replace(refused=tuple(refused))


def find_domain(config: RouteConfiguration, named: bytes) -> tuple[int, str]:
    """(number of the virtual host, its domain) that a table of `config` finds for `named`; -1 if none."""
    hosts = enumerate(config.virtual_hosts)
    domains = DomainTable((domain, (number, domain)) for number, host in hosts for domain in host.domains)
    return domains.find(named) or (-1, "")


def _share(entry: RouteEntry, chosen: RouteEntry) -> int:
    action = entry.route.action
    shares = action.weighted if isinstance(action, ClusterAction) else ()
    return next((index for index, share in enumerate(shares) if share is chosen.share), -1)
