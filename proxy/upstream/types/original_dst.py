"""ORIGINAL_DST: a request goes where its client wanted to go, or where its header or metadata says.

Hosts come to be by requests, in each worker for itself, so none has a row of the shared tables of its own: all that go
through one cluster are counted in one row, which `/clusters` shows as the host `0.0.0.0:0`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import trio

from proxy.config.cluster import ClusterEndpoints, Host
from proxy.config.common import SocketAddress
from proxy.config.original_dst import OriginalDst
from proxy.stats import Stats
from proxy.upstream.cluster import Cluster
from proxy.upstream.cluster_balancer import HostsOf
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.tables import Tables
from proxy.upstream.types.provided import NOWHERE, Choice, Provided, shared_row

if TYPE_CHECKING:
    from proxy.http.stream_info import StreamInfo

MAX_HOSTS: Final = 10_000
"""Destinations of one cluster in one worker: a client may name as many as it likes. Beyond it, those without a
connection are forgotten; if there are none, a request for another one is answered as if no host were healthy."""

CLEARANCE_INTERVAL: Final = 1.0  # seconds between looks for destinations without a connection, once there are so many


class Destination(Choice):
    """`asked`: within the present interval."""

    __slots__ = ("asked",)

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.asked = True


class Destinations(Provided):
    """As `ClusterBalancer`. `forget_unused` is called to make room; `invalid` counts what is no address."""

    def __init__(
        self, config: OriginalDst, name: str, invalid: Callable[[], None], charge_none: Callable[[], None]
    ) -> None:
        super().__init__(charge_none)
        self._config = config
        self._name = name
        self._invalid = invalid
        self.forget_unused: Callable[[], None] = lambda: None
        self.row = 0
        self.known: dict[SocketAddress, Destination] = {}

    def choose(self, context: LoadBalancerContext) -> Choice:
        """Where the request goes."""
        address = self._wanted(context.info) if context.info is not None else None
        if address is None:
            return NOWHERE
        if self._config.port:
            address = SocketAddress(address.host, self._config.port)
        found = self.known.get(address)
        if found is None:
            if len(self.known) >= MAX_HOSTS:
                self.forget_unused()
            if len(self.known) >= MAX_HOSTS:
                return NOWHERE
            # Envoy's name for such a host, which `auto_host_rewrite` and server names of TLS get to see.
            found = self.known[address] = Destination(Host(self.row, address, f"{self._name}{address}"))
        found.asked = True
        return found

    def _wanted(self, info: StreamInfo) -> SocketAddress | None:
        """Metadata go before the header, and both before the address that the client has connected to."""
        for said in (self._in_metadata(info), self._in_header(info)):
            if said is not None:
                address = parse(said)
                if address is not None:
                    return address
                self._invalid()
        connection = info.connection
        if connection is not None and connection.restored and isinstance(connection.local, SocketAddress):
            return connection.local
        return None

    def _in_metadata(self, info: StreamInfo) -> str | None:
        value: Any = info.dynamic_metadata if self._config.metadata else None
        for step in self._config.metadata:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, list) and value:
            value = value[0]
        return value if isinstance(value, str) else None

    def _in_header(self, info: StreamInfo) -> str | None:
        if not self._config.header or info.request is None:
            return None
        first = info.request.headers.get(self._config.header)
        return None if first is None else first.decode("latin-1")


class OriginalDstCluster(Cluster):
    """Its endpoints hold nothing but the row that all destinations share."""

    picks_by_request = True
    balancer: Destinations

    def _new_balancer(self, stats: Stats, tables: Tables, seed: int, hosts_of: HostsOf) -> Destinations:
        config = self.config.original_dst
        assert config is not None
        invalid = stats.counter(f"cluster.{self.config.stat_name}.original_dst_host_invalid")
        found = Destinations(config, self.config.name, invalid.inc, self.stats.cx_none_healthy.inc)
        found.forget_unused = self._forget_unused
        self._next_cleanup = self._next_clearance = 0.0
        return found

    def update_endpoints(self, endpoints: ClusterEndpoints | None) -> None:
        """Take over the row."""
        self.endpoints = endpoints
        self.balancer.row = shared_row(endpoints)

    @property
    def draining(self) -> bool:
        """Whether a request still runs to a destination that was forgotten; TCP connections keep theirs."""
        return self._pools.draining

    def reap(self, now: float) -> None:
        """As `Cluster`; and forget who has not been asked for."""
        super().reap(now)
        config = self.config.original_dst
        assert config is not None
        if now < self._next_cleanup:
            return
        self._next_cleanup = now + config.cleanup_interval
        known = self.balancer.known
        self._forget([address for address, each in known.items() if not each.asked])
        for each in known.values():
            each.asked = False

    def _forget_unused(self) -> None:
        """At most once a second: whoever fills the table is not to make requests dear as well."""
        now = trio.current_time()
        if now >= self._next_clearance:
            self._next_clearance = now + CLEARANCE_INTERVAL
            self._forget(list(self.balancer.known))

    def _forget(self, addresses: Iterable[SocketAddress]) -> None:
        """Those of `addresses` to which there is no connection."""
        connected = {each.host.address for each in self._tcp}
        connected |= {pool.host.address for pool in self._pools if not pool.empty}
        known = self.balancer.known
        for address in addresses:
            if address not in connected:
                del known[address]
        self._pools.keep(self._pools.identity(each.host) for each in known.values() if each.host is not None)


def parse(text: str) -> SocketAddress | None:
    """`192.0.2.1:80`, `[2001:db8::1]:80`; None for anything else."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return None
    if not colon or bracketed != (address.version == 6) or "%" in host:
        return None
    if not (port.isascii() and port.isdecimal() and int(port[:6]) <= 0xFFFF):
        return None
    return SocketAddress(str(address), int(port))
