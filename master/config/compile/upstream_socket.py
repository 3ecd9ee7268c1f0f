"""Sockets of upstream connections: `Cluster.upstream_bind_config` and `upstream_connection_options`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from master.config.compile.address import compile_socket_address
from proxy.config.common import SocketAddress
from proxy.config.upstream_socket import HappyEyeballs, SocketOption, UpstreamSocket

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": ("upstream_bind_config", "upstream_connection_options"),
    "envoy.config.cluster.v3.UpstreamConnectionOptions": ("tcp_keepalive", "happy_eyeballs_config"),
    "envoy.config.cluster.v3.UpstreamConnectionOptions.HappyEyeballsConfig": (
        "first_address_family_version",
        "first_address_family_count",
    ),
    "envoy.config.core.v3.TcpKeepalive": ("keepalive_probes", "keepalive_time", "keepalive_interval"),
    "envoy.config.core.v3.BindConfig": ("source_address", "freebind", "extra_source_addresses", "socket_options"),
    "envoy.config.core.v3.ExtraSourceAddress": ("address",),
    "envoy.config.core.v3.SocketOption": ("level", "name", "int_value", "buf_value"),
}

_KEEPALIVE = (
    ("keepalive_probes", socket.TCP_KEEPCNT),
    ("keepalive_interval", socket.TCP_KEEPINTVL),
    ("keepalive_time", socket.TCP_KEEPIDLE),
)
_IP_FREEBIND = 15  # of sockets of either version
_VERSIONS: dict[int, Literal[0, 4, 6]] = {0: 0, 1: 4, 2: 6}
_INT = range(-(2**31), 2**31)


def compile_upstream_socket(cluster: Any, context: Context) -> UpstreamSocket | None:
    """None if connections of the cluster are like any others."""
    bind, here = cluster.upstream_bind_config, context.at("upstream_bind_config")
    found = UpstreamSocket(
        sources=tuple(_sources(bind, here)) if cluster.HasField("upstream_bind_config") else (),
        options=(
            *_keepalive(cluster.upstream_connection_options, context.at("upstream_connection_options")),
            *((SocketOption(socket.IPPROTO_IP, _IP_FREEBIND, 1),) if bind.freebind.value else ()),
            *_options(bind.socket_options, here.at("socket_options")),
        ),
    )
    return found if found != UpstreamSocket() else None


def compile_happy_eyeballs(cluster: Any) -> HappyEyeballs:
    """In which order a host's addresses are tried."""
    message = cluster.upstream_connection_options.happy_eyeballs_config
    count = int(message.first_address_family_count.value) or 1
    return HappyEyeballs(_VERSIONS.get(message.first_address_family_version, 0), count)


def _sources(message: Any, context: Context) -> Iterator[SocketAddress]:
    """One address for each version of IP, at most."""
    extra = message.extra_source_addresses
    if extra and not message.HasField("source_address"):
        context.error(
            ("extra_source_addresses",), "they go beside a source_address, and there is none", "source_address"
        )
    places: list[tuple[Any, tuple[str | int, ...]]] = []
    if message.HasField("source_address"):
        places.append((message.source_address, ("source_address",)))
    places += [(each.address, ("extra_source_addresses", index, "address")) for index, each in enumerate(extra)]
    versions: set[bool] = set()
    for source, place in places:
        address = compile_socket_address(source, context.at(*place))
        if address is None:
            continue
        if (":" in address.host) in versions:
            context.error(
                place, "there is a source address of this version of IP already", "one for IPv4, one for IPv6"
            )
        versions.add(":" in address.host)
        yield address


def _keepalive(message: Any, context: Context) -> Iterator[SocketOption]:
    """Without a value the kernel's counts; a 0 anywhere means none at all."""
    if not message.HasField("tcp_keepalive"):
        return
    keepalive = message.tcp_keepalive
    values = {name: getattr(keepalive, field).value for field, name in _KEEPALIVE if keepalive.HasField(field)}
    if 0 in values.values():
        return
    for field, name in _KEEPALIVE:
        if values.get(name, 1) not in range(1, 32768 if name != socket.TCP_KEEPCNT else 128):
            context.error(("tcp_keepalive", field), "more than the kernel takes", "127 probes, 32767 s")
    yield SocketOption(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in values.items():
        yield SocketOption(socket.IPPROTO_TCP, name, value)


def _options(messages: Any, context: Context) -> Iterator[SocketOption]:
    for index, message in enumerate(messages):
        kind = message.WhichOneof("value")
        if message.level not in _INT or message.name not in _INT:
            context.error((index,), "level and name are numbers of 32 bits", "those of setsockopt(2)")
        elif kind == "int_value" and message.int_value not in _INT:
            context.error((index, "int_value"), "more than 32 bits", "an int; anything else is a buf_value")
        elif kind == "int_value":
            yield SocketOption(message.level, message.name, message.int_value)
        elif kind == "buf_value":
            yield SocketOption(message.level, message.name, message.buf_value)
