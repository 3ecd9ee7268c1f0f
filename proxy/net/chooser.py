"""Finds the filter chain of a connection, for which the client's first message may have to be looked at."""

from __future__ import annotations

import trio

from proxy.config.listener import ChainMatch, Listener
from proxy.errors import ProxyError
from proxy.net.chain_match import Arrival, ChainTree
from proxy.net.client_hello import ClientHello
from proxy.net.connection import Connection
from proxy.net.original_dst import original_destination
from proxy.net.tls_inspector import TlsInspector
from proxy.stats import Stats


class Chooser:
    """One per listener. `unconditional`: there is one chain, which takes everybody, and nothing to be looked at."""

    def __init__(self, config: Listener, stats: Stats, prefix: str) -> None:
        matches = [chain.match for chain in config.filter_chains]
        self._tree = ChainTree(matches)
        self._inspector = TlsInspector(config.tls_inspector, stats) if config.tls_inspector is not None else None
        self._timeout = config.listener_filters_timeout
        self._goes_on = config.continue_on_listener_filters_timeout
        self._timed_out = stats.counter(f"{prefix}downstream_pre_cx_timeout")
        self._waiting = stats.gauge(f"{prefix}downstream_pre_cx_active")
        self._unmatched = stats.counter(f"{prefix}no_filter_chain_match")
        self._restores = config.original_dst
        self.unconditional = self._inspector is None and not self._restores and matches == [ChainMatch()]

    async def choose(self, connection: Connection) -> int | None:
        """The index of the chain; None if none wants it. Raises `ProxyError` if the client has gone or is late."""
        if self._restores and (wanted := original_destination(connection.socket)) is not None:
            connection.restore(wanted)
        hello = None
        if self._inspector is not None:
            self._waiting.add(1)
            try:
                hello = await self._inspect(connection, self._inspector)
            finally:
                self._waiting.add(-1)
        index = self._tree.find(_arrival(connection, hello))
        if hello is not None and index is not None:  # what a client offers may be long, and nobody asks for it any more
            connection.hello = hello._replace(applications=())
        return index

    async def _inspect(self, connection: Connection, inspector: TlsInspector) -> ClientHello | None:
        with trio.CancelScope() as scope:
            if self._timeout:
                scope.deadline = trio.current_time() + self._timeout
            return await inspector.inspect(connection)
        self._timed_out.inc()
        if not self._goes_on:
            raise ProxyError("listener_filter_timeout", side="downstream", status=0)
        connection.watch().readable = True  # what it has said is still there to be read
        return None

    def charge_unmatched(self) -> None:
        """No chain wants a connection."""
        self._unmatched.inc()


def _arrival(connection: Connection, hello: ClientHello | None) -> Arrival:
    if hello is None:
        return Arrival(connection.local, connection.remote)
    return Arrival(connection.local, connection.remote, "tls", hello.server_name, hello.applications)
