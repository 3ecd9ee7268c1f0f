"""Hosts that discovery has no more stay as long as health checks find them well, unless the cluster ignores that
(Envoy's "absent + healthy → route").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from master.dns.discovery import host
from proxy.config.cluster import Cluster, DnsEndpoint
from proxy.upstream.host_status import Checked, HostVerdicts
from proxy.upstream.tables import Cells


class Departures:
    """Of one cluster; `hosts` is the shared table, in which `slot_of` says the row of an address with port."""

    def __init__(self, cluster: Cluster, hosts: Cells, slot_of: Callable[[str], int]) -> None:
        checked = cluster.health_check is not None and cluster.type == "STRICT_DNS"
        self._keeps = checked and not cluster.ignore_health_on_host_removal
        self._verdicts = HostVerdicts.of(cluster, hosts)
        self._slot_of = slot_of

    def staying(self, endpoint: DnsEndpoint, known: Iterable[str], found: Sequence[str]) -> tuple[str, ...]:
        """Those of the `known` addresses of a name that stay although they are not `found` any more."""
        if not self._keeps or endpoint.health_status in ("UNHEALTHY", "TIMEOUT"):
            return ()
        if endpoint.check is not None and endpoint.check.disabled:
            return ()
        gone = [address for address in dict.fromkeys(known) if address not in found]
        return tuple(address for address in gone if self._is_well(endpoint, address))

    def _is_well(self, endpoint: DnsEndpoint, address: str) -> bool:
        """A row that the table has not yet is one of which nothing is known."""
        try:
            flags = self._verdicts.checked(host(endpoint, (address,), self._slot_of))
        except IndexError:
            return False
        return not flags & Checked.FAILED_ACTIVE_HC
