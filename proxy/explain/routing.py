"""A route table that keeps how it came to its answer, and that leaves nothing to chance."""

from __future__ import annotations

from typing import NamedTuple

from proxy.config.route import ClusterAction, RouteConfiguration
from proxy.http.request import Request
from proxy.route.domains import DomainTable
from proxy.route.entry import RouteEntry
from proxy.route.reasons import Reason, why_not
from proxy.route.table import RouteTable


class Refusal(NamedTuple):
    """A route that was tried in vain. `index` is its place in the virtual host."""

    index: int
    entry: RouteEntry
    reason: Reason


class Routing(NamedTuple):
    """How one request was routed.

    `request` is as routing saw it. `named` is what of it names the virtual host: number `host` of the configuration, by
    its `domain`; `host` is -1 if none has it. `entry` is the route that takes it, number `index` of the virtual host
    (-1: the redirect to TLS), None if there is none; `chosen` is that or the weighted cluster that was drawn, number
    `share` of the route (-1: it has none).
    """

    request: Request
    named: bytes
    host: int = -1
    domain: str = ""
    refused: tuple[Refusal, ...] = ()
    entry: RouteEntry | None = None
    index: int = -1
    chosen: RouteEntry | None = None
    share: int = -1


class TracedTable:
    """Stands in for `table`, which is that of `config`, in a connection manager. `drawn` is the number below 2**64 that
    decides about shares of requests, and about weighted clusters unless a header does.
    """

    def __init__(self, table: RouteTable, config: RouteConfiguration, drawn: int) -> None:
        self._table = table
        self._config = config
        self._drawn = drawn
        self.last: Routing | None = None

    def match(self, request: Request) -> RouteEntry | None:
        request.random = self._drawn
        self.last = routing = self._route(request)
        return routing.chosen

    def _route(self, request: Request) -> Routing:
        table, seen = self._table, request.copy()
        seen.random = self._drawn
        named = table.compared_with_domains(request)
        routes = table.virtual_host_of(request)
        entry = table.find(request.authority, request.path, request)
        if routes is None:
            return Routing(seen, named)
        host, domain = self._domain(named)
        found = Routing(seen, named, host, domain)
        if entry is not None and entry is routes.to_tls:
            return found._replace(entry=entry, chosen=entry)
        path, refused = table.path_part(request.path), []
        for index, candidate in enumerate(routes.entries):
            if candidate is entry:
                chosen = entry.choose(request, self._drawn)
                return found._replace(
                    refused=tuple(refused), entry=entry, index=index, chosen=chosen, share=_share(entry, chosen)
                )
            reason = why_not(candidate, path, request)
            assert reason is not None, f"the index passed over route {index}, which takes the request"
            refused.append(Refusal(index, candidate, reason))
        return found._replace(refused=tuple(refused))

    def _domain(self, named: bytes) -> tuple[int, str]:
        """(number of the virtual host, domain) that the table found."""
        hosts = enumerate(self._config.virtual_hosts)
        domains = DomainTable((domain, (number, domain)) for number, host in hosts for domain in host.domains)
        return domains.find(named) or (-1, "")


def _share(entry: RouteEntry, chosen: RouteEntry) -> int:
    action = entry.route.action
    shares = action.weighted if isinstance(action, ClusterAction) else ()
    return next((index for index, share in enumerate(shares) if share is chosen.share), -1)
