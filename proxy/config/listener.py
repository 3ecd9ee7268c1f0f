"""Compiled listeners (`config.listener.v3.Listener`). Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.access_log import AccessLog
from proxy.config.common import Address, PluginConfig
from proxy.config.tls import DownstreamTls

TrafficDirection = Literal["UNSPECIFIED", "INBOUND", "OUTBOUND"]
DrainType = Literal["DEFAULT", "MODIFY_ONLY"]


SourceType = Literal["ANY", "SAME_IP_OR_LOOPBACK", "EXTERNAL"]


class ChainMatch(msgspec.Struct, frozen=True):
    """`config.listener.v3.FilterChainMatch`; what is empty, 0 or ANY accepts everything. Ranges are `10.0.0.0/8`."""

    destination_port: int = 0
    prefix_ranges: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    transport_protocol: str = ""
    application_protocols: tuple[str, ...] = ()
    direct_source_prefix_ranges: tuple[str, ...] = ()
    source_type: SourceType = "ANY"
    source_prefix_ranges: tuple[str, ...] = ()
    source_ports: tuple[int, ...] = ()

    @property
    def asks_tls(self) -> bool:
        """Whether it wants to know what only the client's first message tells."""
        transport = self.transport_protocol
        return transport == "tls" or (not transport and bool(self.server_names or self.application_protocols))


class TlsInspector(msgspec.Struct, frozen=True, gc=False):
    """`extensions.filters.listener.tls_inspector.v3.TlsInspector`. Sizes in bytes; `fingerprints` are those that are
    wanted: "ja3", "ja4". `close_on_errors`: whoever begins with anything but TLS is closed on.
    """

    max_client_hello_size: int = 16 * 1024
    fingerprints: tuple[str, ...] = ()
    close_on_errors: bool = False


class FilterChain(msgspec.Struct, frozen=True):
    """`config.listener.v3.FilterChain`: the network filters that run on a connection, first to last.

    `tls` comes before them; its handshake may take `transport_socket_connect_timeout` seconds, 0 for our default.
    """

    name: str
    filters: tuple[PluginConfig, ...]
    tls: DownstreamTls | None = None
    transport_socket_connect_timeout: float = 0.0
    match: ChainMatch = ChainMatch()


class Listener(msgspec.Struct, frozen=True):
    """One listener. `addresses[0]` is `address`, the rest are `additional_addresses`, in order.

    `stat_prefix` is `Listener.stat_prefix` or the first address with `:` replaced by `_`; stats are
    `listener.<stat_prefix>.*`. `per_connection_buffer_limit_bytes` is the high watermark of one direction (bytes).
    `backlog` is `tcp_backlog_size` (Envoy's default: net.core.somaxconn; 0 here means that default).
    `traffic_direction` is what `/drain_listeners?inboundonly` asks for; `drain_type` MODIFY_ONLY means that a failed
    health check does not drain it. `access_log` has an entry for each connection. `default_filter_chain` serves whom no
    other chain wants. `listener_filters_timeout` (seconds, 0 for none) is how long the client's first message may take;
    `continue_on_listener_filters_timeout`: then it is as if it had said nothing. `original_dst`: a connection's own
    address is the one that its client had asked for.
    """

    name: str
    addresses: tuple[Address, ...]
    stat_prefix: str
    filter_chains: tuple[FilterChain, ...]
    enable_reuse_port: bool = True
    backlog: int = 0
    per_connection_buffer_limit_bytes: int = 1024 * 1024
    traffic_direction: TrafficDirection = "UNSPECIFIED"
    drain_type: DrainType = "DEFAULT"
    default_filter_chain: FilterChain | None = None
    tls_inspector: TlsInspector | None = None
    original_dst: bool = False
    listener_filters_timeout: float = 15.0
    continue_on_listener_filters_timeout: bool = False
    access_log: tuple[AccessLog, ...] = ()

    @property
    def all_chains(self) -> tuple[FilterChain, ...]:
        """The default one last, if there is one."""
        return (
            self.filter_chains
            if self.default_filter_chain is None
            else (*self.filter_chains, self.default_filter_chain)
        )
