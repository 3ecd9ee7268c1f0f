"""One filter chain of a listener as a worker runs it: perhaps TLS, then network filters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from proxy import registry
from proxy.config.common import PluginConfig
from proxy.config.listener import FilterChain as FilterChainConfig
from proxy.filters.context import CallNextNetwork, FilterContext, Keeper, NetworkFilter, Resume
from proxy.filters.network import NETWORK_FILTERS
from proxy.filters.turned_away import TurnedAway
from proxy.net.connection import Connection
from proxy.net.tls import tickets  # noqa: F401 - before the workers are forked: they share its secret

if TYPE_CHECKING:
    from proxy.net.tls.server import ServerTls


class FilterChain:
    """Built once per listener. `start` serves a connection to its end."""

    def __init__(self, config: FilterChainConfig, context: FilterContext) -> None:
        self.config = config
        self._context = context
        self._timed_out = context.stats.counter(
            f"{context.listener_prefix}downstream_cx_transport_socket_connect_timeout"
        )
        self._tls = _server_tls(config, context)
        self._turned_away = TurnedAway(context)
        context = dataclasses.replace(context, scheme=b"http" if self._tls is None else b"https")
        self._filters = [_build(plugin, context) for plugin in config.filters]
        self._call = _chain(self._filters)
        self._begin = getattr(self._filters[0], "begin", None) if len(self._filters) == 1 else None

    def start(self, connection: Connection, keeper: Keeper) -> None:
        """Serve the connection, which has no task: TLS first, if that is to be."""
        connection.filter_chain = self.config.name
        if self._tls is None:
            self._begin_filters(connection, keeper)
        else:
            keeper.start_task(connection, lambda connection: self._secure(connection, keeper))

    async def _secure(self, connection: Connection, keeper: Keeper) -> Resume:
        from proxy.net.tls.handshake import accept

        assert self._tls is not None
        connection.know_peer()
        timeout = self.config.transport_socket_connect_timeout
        refused = functools.partial(self._turned_away.by_tls, connection, timeout)
        await accept(connection, self._tls, timeout, self._timed_out, refused)
        return lambda: self._begin_filters(connection, keeper)

    def _begin_filters(self, connection: Connection, keeper: Keeper) -> None:
        """Without a task, if the only filter can do that."""
        if self._begin is None or not self._begin(connection, keeper):
            keeper.start_task(connection, self._call)

    def renew(self, config: FilterChainConfig) -> Callable[[], None]:
        """Get ready for a `config` that changes this one in place; what is returned puts it into effect. Handshakes
        that have begun go on as they were.
        """
        tls = self._tls if config.tls == self.config.tls else _server_tls(config, self._context)
        commits = [
            network_filter.renew(_decode(now, type(network_filter)))
            for network_filter, before, now in zip(self._filters, self.config.filters, config.filters, strict=True)
            if before != now
        ]

        def commit() -> None:
            self.config, self._tls = config, tls
            for commit_filter in commits:
                commit_filter()

        return commit

    def tell(self, hook: str) -> None:
        """Call `hook` of the filters that have it."""
        for network_filter in self._filters:
            if hasattr(network_filter, hook):
                getattr(network_filter, hook)()


def _server_tls(config: FilterChainConfig, context: FilterContext) -> ServerTls | None:
    """What is needed for TLS is loaded only by those who have it."""
    if config.tls is None:
        return None
    from proxy.net.tls.server import ServerTls
    from proxy.net.tls.stats import TlsStats

    return ServerTls(config.tls, TlsStats(context.stats, context.listener_prefix), config.match.server_names)


def _build(plugin: PluginConfig, context: FilterContext) -> Any:
    filter_class = registry.load(NETWORK_FILTERS, plugin.type_url)
    return filter_class(plugin.name, _decode(plugin, filter_class), context)


def _decode(plugin: PluginConfig, filter_class: Any) -> Any:
    return msgspec.msgpack.decode(plugin.config, type=filter_class.Config)


def _chain(filters: Sequence[NetworkFilter]) -> CallNextNetwork:
    async def end(connection: Connection) -> None:
        """Past the last filter there is nothing to do: the connection closes."""

    chain: CallNextNetwork = end
    for network_filter in reversed(filters):
        chain = _link(network_filter, chain)
    return chain


def _link(network_filter: NetworkFilter, call_next: CallNextNetwork) -> CallNextNetwork:
    async def call(connection: Connection) -> None:
        await network_filter(connection, call_next)

    return call
