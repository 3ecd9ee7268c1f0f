"""`envoy.filters.http.dynamic_forward_proxy`: waits until the host that a request names is known.

Whom a client may name is for routes and their domains to say: a proxy that takes every host reaches whatever it can
reach itself, loopback and link-local addresses too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.filters.context import FilterContext
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext

PACKAGE = "envoy.extensions.filters.http.dynamic_forward_proxy.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.FilterConfig": ("dns_cache_config",),
    f"{PACKAGE}.PerRouteConfig": ("host_rewrite_literal", "host_rewrite_header"),
}


class DynamicForwardProxy:
    """Requests of routes to other clusters go past it."""

    terminal = False

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`FilterConfig`: the name of the DNS cache."""

        cache: str

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `FilterConfig` message."""
        return cls.Config(context.dns_cache(message.dns_cache_config, "dns_cache_config").name)

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self._name = name
        self._cache = config.cache

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        entry = exchange.route
        cluster = exchange.clusters.get(entry.cluster_name(exchange.request)) if entry is not None else None
        cache = cluster.config.dns_cache if cluster is not None else None
        if cluster is not None and cache is not None and cache.name == self._cache:
            rewrite: DynamicForwardProxyPerRoute.Config | None = exchange.filter_config(self._name)
            if rewrite is not None:
                exchange.request.authority = rewrite.host(exchange)
            await cluster.load(exchange.request.authority)
        await call_next(exchange)


class DynamicForwardProxyPerRoute:
    """`PerRouteConfig`."""

    class Config(msgspec.Struct, frozen=True, gc=False):
        """What goes before the host of a request: `literal`, or the value of `header` (lower case) if it has one."""

        literal: bytes = b""
        header: bytes = b""

        def host(self, exchange: Exchange) -> bytes:
            """The host of a request."""
            named = exchange.request.headers.get(self.header) if self.header else None
            return self.literal or named or exchange.request.authority

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `PerRouteConfig` message."""
        return cls.Config(message.host_rewrite_literal.encode(), message.host_rewrite_header.lower().encode())
