"""Compiled listeners (`config.listener.v3.Listener`). Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.access_log import AccessLog
from proxy.config.common import Address, PluginConfig
from proxy.config.tls import DownstreamTls

TrafficDirection = Literal["UNSPECIFIED", "INBOUND", "OUTBOUND"]
DrainType = Literal["DEFAULT", "MODIFY_ONLY"]


class FilterChain(msgspec.Struct, frozen=True):
    """`config.listener.v3.FilterChain`: the network filters that run on a connection, first to last.

    `tls` comes before them; its handshake may take `transport_socket_connect_timeout` seconds, 0 for our default.
    """

    name: str
    filters: tuple[PluginConfig, ...]
    tls: DownstreamTls | None = None
    transport_socket_connect_timeout: float = 0.0


class Listener(msgspec.Struct, frozen=True):
    """One listener. `addresses[0]` is `address`, the rest are `additional_addresses`, in order.

    `stat_prefix` is `Listener.stat_prefix` or the first address with `:` replaced by `_`; stats are
    `listener.<stat_prefix>.*`. `per_connection_buffer_limit_bytes` is the high watermark of one direction (bytes).
    `backlog` is `tcp_backlog_size` (Envoy's default: net.core.somaxconn; 0 here means that default).
    `traffic_direction` is what `/drain_listeners?inboundonly` asks for; `drain_type` MODIFY_ONLY means that a failed
    health check does not drain it. `access_log` has an entry for each connection.
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
    access_log: tuple[AccessLog, ...] = ()
