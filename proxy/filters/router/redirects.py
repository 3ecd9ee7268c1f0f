"""Redirects that the proxy follows itself: the exchange begins anew with another request (`Filter::setupRedirect`).

Which are followed, and what the request becomes, is `proxy/route/internal_redirect.py`'s to say. The connection manager
runs the new exchange, through routing and all filters.
"""

from __future__ import annotations

from proxy.config.internal_redirect import InternalRedirectPolicy
from proxy.filters.router.forwarding import Forwarding
from proxy.filters.router.request_body import KeptBody
from proxy.http.exchange import Exchange
from proxy.http.headers import Headers
from proxy.http.redirected import Redirected
from proxy.http.request import Request
from proxy.route.entry import RouteEntry
from proxy.route.internal_redirect import Redirects, Refusal
from proxy.stats import Stats


class RedirectStats:
    """`http.<prefix>.passthrough_internal_redirect_*`: redirects that went to the client, by the reason."""

    def __init__(self, stats: Stats, prefix: str) -> None:
        self.refused = {
            refusal: stats.counter(f"{prefix}passthrough_internal_redirect_{refusal.value}") for refusal in Refusal
        }


class Follower:
    """Decides at the head of a response. `body` is the request's, which is sent again: a redirect of a request that is
    not complete yet, or too large to be kept, goes to the client.
    """

    __slots__ = ("_body", "_forwarding", "_policy", "_stats")

    def __init__(
        self, forwarding: Forwarding, policy: InternalRedirectPolicy, body: KeptBody, stats: RedirectStats
    ) -> None:
        self._forwarding = forwarding
        self._policy = policy
        self._body = body
        self._stats = stats

    def __call__(self, status: int, headers: Headers) -> bool:
        """Whether the response is a redirect that is followed: the exchange is `redirected` then."""
        if status not in self._policy.statuses:
            return False
        exchange, stats = self._forwarding.exchange, self._forwarding.cluster.stats
        body = self._body.whole()
        if body is None or b"location" not in headers or not self._follow(exchange, status, headers, body):
            stats.internal_redirect_failed_total.inc()
            return False
        stats.internal_redirect_succeeded_total.inc()
        exchange.info.status, exchange.info.response_headers = status, headers
        exchange.info.detail = "internal_redirect"
        return True

    def _follow(self, exchange: Exchange, status: int, headers: Headers, body: bytes) -> bool:
        redirects, request = exchange.redirects or Redirects(), exchange.request
        method = request.method
        found = redirects.follow(
            self._policy,
            request,
            headers,
            status=status,
            route=self._forwarding.entry.route.name,
            find=lambda new: _find(exchange, new),
        )
        if isinstance(found, Refusal):
            self._stats.refused[found].inc()
            return False
        exchange.redirected = Redirected(request.copy(), body if request.method == method else b"", redirects)
        return True


def _find(exchange: Exchange, request: Request) -> RouteEntry | None:
    """The route of the request that may follow; the log of this one tells that route and its cluster, as in Envoy."""
    entry = exchange.routes.match(request, exchange.info) if exchange.routes is not None else None
    cluster = entry.cluster_name(request) if entry is not None else ""
    exchange.info.route_name = entry.route.name if entry is not None else ""
    exchange.info.upstream_cluster = cluster if cluster in exchange.clusters else ""
    return entry
