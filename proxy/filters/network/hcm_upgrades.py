"""Which requests may leave HTTP, and the filters that they pass (features §13 rules 18 and 19)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.config.common import PluginConfig
from proxy.config.route import ClusterAction
from proxy.errors import ProxyError
from proxy.filters.network.hcm_config import Upgrade
from proxy.filters.network.hcm_stats import HcmStats
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext
from proxy.route.entry import RouteEntry


class Upgrades:
    """Those of one connection manager. `build` makes the chain of an upgrade that has filters of its own."""

    def __init__(
        self, configs: Sequence[Upgrade], build: Callable[[Sequence[PluginConfig]], CallNext], stats: HcmStats
    ) -> None:
        self._enabled = {config.type: config.enabled for config in configs}
        self._chains = {config.type: build(config.filters) for config in configs if config.filters}
        self._stats = stats

    async def serve(self, exchange: Exchange, chain: CallNext) -> None:
        """Run the filters of an upgrade, which are `chain` unless it has its own. Raises `ProxyError` (403)."""
        kind, entry = exchange.info.upgrade, exchange.route
        if kind == "connect" and entry is None:
            await chain(exchange)  # which finds no route
            return
        if not self._allows(kind, entry):
            self._stats.rq_ws_on_non_ws_route.inc()
            raise ProxyError("upgrade_failed", side="downstream", status=403, close=True)
        self._stats.cx_upgrades_total.inc()
        self._stats.cx_upgrades_active.add(1)
        try:
            await self._chains.get(kind, chain)(exchange)
        finally:
            self._stats.cx_upgrades_active.add(-1)

    def _allows(self, kind: str, entry: RouteEntry | None) -> bool:
        """A route's word counts more than the connection manager's, either way."""
        action = entry.route.action if entry is not None else None
        if isinstance(action, ClusterAction):
            own = action.forwarding.upgrade(kind)
            if own is not None:
                return own.enabled
        return self._enabled.get(kind, False)
