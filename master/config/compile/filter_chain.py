"""Filter chains, whom they serve, and what is looked at to find out (`config.listener.v3`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from master.config import any_types
from master.config.compile.plugins import compile_network_filters
from master.config.compile.tls import compile_downstream
from master.config.walk import unpack
from proxy.config.listener import ChainMatch, FilterChain, SourceType, TlsInspector
from proxy.net.chain_match import ChainTree, SameRules
from proxy.net.cidr import ranges_from_proto

if TYPE_CHECKING:
    from master.config.compile.context import Context

_INSPECTOR = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
_ORIGINAL_DST = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.listener.v3.FilterChain": (
        "name",
        "filters",
        "filter_chain_match",
        "transport_socket",
        "transport_socket_connect_timeout",
    ),
    "envoy.config.listener.v3.FilterChainMatch": (
        "destination_port",
        "prefix_ranges",
        "server_names",
        "transport_protocol",
        "application_protocols",
        "direct_source_prefix_ranges",
        "source_type",
        "source_prefix_ranges",
        "source_ports",
    ),
    "envoy.config.listener.v3.ListenerFilter": ("typed_config",),
    _INSPECTOR: (
        "max_client_hello_size",
        "enable_ja3_fingerprinting",
        "enable_ja4_fingerprinting",
        "close_connection_on_client_hello_parsing_errors",
    ),
    _ORIGINAL_DST: (),
}

_SOURCE_TYPES: dict[int, SourceType] = {0: "ANY", 1: "SAME_IP_OR_LOOPBACK", 2: "EXTERNAL"}


def compile_chains(message: Any, context: Context) -> tuple[tuple[FilterChain, ...], FilterChain | None]:
    """The filter chains of a listener and its default one; `context` stands for the listener."""
    if not message.filter_chains and not message.HasField("default_filter_chain") and not context.incomplete():
        context.error((), "no filter chains", "filter_chains with one filter chain")
    chains = tuple(
        _chain(chain, context.at("filter_chains", index)) for index, chain in enumerate(message.filter_chains)
    )
    default = None
    if message.HasField("default_filter_chain"):
        default = _chain(message.default_filter_chain, context.at("default_filter_chain"))
        if message.default_filter_chain.HasField("filter_chain_match"):
            context.error(
                ("default_filter_chain", "filter_chain_match"),
                "the default filter chain takes whoever no other one wants",
                "no filter_chain_match",
            )
    _find_unreachable(chains, message, context)
    return chains, default


def _find_unreachable(chains: tuple[FilterChain, ...], message: Any, context: Context) -> None:
    """Chains of which a part is not supported would match otherwise."""
    known = [
        index
        for index, chain in enumerate(message.filter_chains)
        if not context.at("filter_chains", index).incomplete()
        and not context.at("filter_chains", index, "filter_chain_match").incomplete()
    ]
    try:
        ChainTree(chains[index].match for index in known)
    except SameRules as same:
        context.error(
            ("filter_chains", known[same.index]),
            f"same matching rules as filter_chains[{known[same.other]}]: no connection can reach it",
            "one filter chain",
            kind="duplicate",
        )


def _chain(message: Any, context: Context) -> FilterChain:
    match = _match(message.filter_chain_match, context.at("filter_chain_match"))
    tls = None
    if message.HasField("transport_socket"):
        tls = compile_downstream(message.transport_socket, context.at("transport_socket"), match.server_names)
    return FilterChain(
        name=message.name,
        filters=compile_network_filters(message.filters, context.at("filters")),
        tls=tls,
        transport_socket_connect_timeout=context.duration(
            message.transport_socket_connect_timeout, "transport_socket_connect_timeout"
        ),
        match=match,
    )


def _match(message: Any, context: Context) -> ChainMatch:
    for index, name in enumerate(message.server_names):
        if "*" in name.removeprefix("*."):
            context.error(
                ("server_names", index),
                f"{name!r}: only a whole first label may be a wildcard",
                "www.example.com or *.example.com",
            )
    return ChainMatch(
        destination_port=message.destination_port.value,
        prefix_ranges=ranges_from_proto(message.prefix_ranges, context.at("prefix_ranges")),
        server_names=tuple(message.server_names),
        transport_protocol=message.transport_protocol,
        application_protocols=tuple(message.application_protocols),
        direct_source_prefix_ranges=ranges_from_proto(
            message.direct_source_prefix_ranges, context.at("direct_source_prefix_ranges")
        ),
        source_type=_SOURCE_TYPES[message.source_type],
        source_prefix_ranges=ranges_from_proto(message.source_prefix_ranges, context.at("source_prefix_ranges")),
        source_ports=tuple(message.source_ports),
    )


def restores_destination(message: Any) -> bool:
    """Whether a listener has the filter `original_dst`."""
    urls = (any_types.split_url(each.typed_config.type_url) for each in message.listener_filters)
    return _ORIGINAL_DST in urls


def compile_inspector(message: Any, chains: tuple[FilterChain, ...], context: Context) -> TlsInspector | None:
    """What a listener's `listener_filters` say; `context` stands for the listener. A chain that wants to know what
    nobody looks at would never be chosen.
    """
    inspector = None
    for index, listener_filter in enumerate(message.listener_filters):
        here = context.at("listener_filters", index)
        found: Any = unpack(listener_filter.typed_config)
        type_url = any_types.split_url(listener_filter.typed_config.type_url) or ""
        if type_url == _INSPECTOR and found is not None:
            wanted = {"ja3": found.enable_ja3_fingerprinting.value, "ja4": found.enable_ja4_fingerprinting.value}
            inspector = TlsInspector(
                fingerprints=tuple(name for name, enabled in wanted.items() if enabled),
                close_on_errors=found.close_connection_on_client_hello_parsing_errors,
            )
            if found.HasField("max_client_hello_size"):
                inspector = msgspec.structs.replace(inspector, max_client_hello_size=found.max_client_hello_size.value)
        elif type_url == _ORIGINAL_DST:
            continue
        elif not listener_filter.HasField("typed_config") and not here.incomplete():
            here.error((), f"listener filter {listener_filter.name!r} has no typed_config", "typed_config")
        elif found is not None and here.at("typed_config").path not in context.unsupported:
            expected = f"one of {_ORIGINAL_DST}, {_INSPECTOR}"
            here.error(("typed_config",), f"no listener filter has the type {type_url}", expected, kind="reference")
    blind = [index for index, chain in enumerate(chains) if chain.match.asks_tls]
    if inspector is None and blind and not context.incomplete():
        context.error(
            ("filter_chains", blind[0], "filter_chain_match"),
            "no connection can match: nothing looks at what TLS clients ask for",
            f"a listener filter of type {_INSPECTOR}",
        )
    return inspector
