"""Listeners (`config.listener.v3`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config.compile.access_log import compile_access_logs
from master.config.compile.address import compile_address
from master.config.compile.filter_chain import compile_chains, compile_inspector, restores_destination
from proxy.config.common import Address, SocketAddress
from proxy.config.listener import DrainType, Listener, TrafficDirection

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.listener.v3.Listener": (
        "name",
        "address",
        "additional_addresses",
        "filter_chains",
        "default_filter_chain",
        "listener_filters",
        "listener_filters_timeout",
        "continue_on_listener_filters_timeout",
        "stat_prefix",
        "enable_reuse_port",
        "tcp_backlog_size",
        "per_connection_buffer_limit_bytes",
        "traffic_direction",
        "drain_type",
        "access_log",
    ),
    "envoy.config.listener.v3.AdditionalAddress": ("address",),
}

TRAFFIC_DIRECTIONS: dict[int, TrafficDirection] = {0: "UNSPECIFIED", 1: "INBOUND", 2: "OUTBOUND"}
DEFAULT_LISTENER_FILTERS_TIMEOUT = 15.0
DRAIN_TYPES: dict[int, DrainType] = {0: "DEFAULT", 1: "MODIFY_ONLY"}


def compile_listeners(messages: Any, context: Context) -> tuple[Listener, ...]:
    """`context` stands for the list. Names and addresses are unique; port 0 is a new port each time."""
    listeners: list[Listener] = []
    names: dict[str, int] = {}
    addresses: dict[Address, str] = {}
    for index, message in enumerate(messages):
        here = context.at(index)
        if message.name and names.setdefault(message.name, index) != index:
            here.error(("name",), f"listener {message.name!r} exists already", "a name of its own", kind="duplicate")
        listener = _listener(message, here)
        if listener is None:
            continue
        listeners.append(listener)
        for place, address in enumerate(listener.addresses):
            if isinstance(address, SocketAddress) and address.port == 0:
                continue
            if address in addresses:
                here.error(
                    ("additional_addresses", place - 1) if place else ("address",),
                    f"listener {addresses[address]!r} has the address {address} already",
                    "an address of its own",
                    kind="duplicate",
                )
            addresses[address] = listener.name
    return tuple(listeners)


def _listener(message: Any, context: Context) -> Listener | None:
    """None if it could not serve, which is reported: here, or as unsupported."""
    chains, default = compile_chains(message, context)
    addresses = _addresses(message, context)
    if not addresses or not (chains or default):
        return None
    timeout = DEFAULT_LISTENER_FILTERS_TIMEOUT
    if message.HasField("listener_filters_timeout"):
        timeout = context.duration(message.listener_filters_timeout, "listener_filters_timeout")
    return Listener(
        name=message.name or str(addresses[0]),
        addresses=addresses,
        stat_prefix=message.stat_prefix or str(addresses[0]).replace(":", "_"),
        filter_chains=chains,
        default_filter_chain=default,
        tls_inspector=compile_inspector(message, chains, context),
        original_dst=restores_destination(message),
        listener_filters_timeout=timeout,
        continue_on_listener_filters_timeout=message.continue_on_listener_filters_timeout,
        enable_reuse_port=message.enable_reuse_port.value if message.HasField("enable_reuse_port") else True,
        backlog=_backlog(message),
        per_connection_buffer_limit_bytes=context.buffer_limit(message),
        traffic_direction=TRAFFIC_DIRECTIONS.get(message.traffic_direction, "UNSPECIFIED"),
        drain_type=DRAIN_TYPES.get(message.drain_type, "DEFAULT"),
        access_log=compile_access_logs(message.access_log, context.at("access_log")),
    )


def _backlog(message: Any) -> int:
    """What listen(2) takes, an int; 0 stands for the default here, and it asks for one place as 1 does."""
    if not message.HasField("tcp_backlog_size"):
        return 0
    return min(max(int(message.tcp_backlog_size.value), 1), 2**31 - 1)


def _addresses(message: Any, context: Context) -> tuple[Address, ...]:
    compiled = []
    if message.HasField("address") or not context.incomplete():
        compiled.append(compile_address(message.address, context.at("address")))
    for index, more in enumerate(message.additional_addresses):
        compiled.append(compile_address(more.address, context.at("additional_addresses", index, "address")))
    return tuple(address for address in compiled if address is not None)
