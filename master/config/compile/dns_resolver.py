"""Who resolves names: `typed_dns_resolver_config`, and the fields that were there before it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from master.config.compile.address import compile_socket_address
from master.config.walk import unpack
from proxy.config.common import SocketAddress
from proxy.config.dns import DnsResolver

if TYPE_CHECKING:
    from master.config.compile.context import Context

CARES = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
GETADDRINFO = "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig"

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.bootstrap.v3.Bootstrap": (
        "typed_dns_resolver_config",
        "dns_resolution_config",
        "use_tcp_for_dns_lookups",
    ),
    "envoy.config.cluster.v3.Cluster": (
        "typed_dns_resolver_config",
        "dns_resolution_config",
        "dns_resolvers",
        "use_tcp_for_dns_lookups",
    ),
    "envoy.config.core.v3.DnsResolutionConfig": ("resolvers", "dns_resolver_options"),
    "envoy.config.core.v3.DnsResolverOptions": ("use_tcp_for_dns_lookups", "no_default_search_domain"),
    CARES: (
        "resolvers",
        "use_resolvers_as_fallback",
        "dns_resolver_options",
        "query_timeout_seconds",
        "query_tries",
        "rotate_nameservers",
    ),
    GETADDRINFO: ("num_retries", "num_resolver_threads"),
}

DNS_PORT = 53


def compile_resolver(message: Any, context: Context, default: DnsResolver) -> DnsResolver:
    """The resolver that a bootstrap, a cluster or another message with the same fields asks for, else `default`."""
    if message.HasField("typed_dns_resolver_config"):
        return compile_typed(message.typed_dns_resolver_config, context.at("typed_dns_resolver_config"), default)
    fields = message.DESCRIPTOR.fields_by_name
    if "dns_resolution_config" in fields and message.dns_resolution_config.resolvers:
        here = context.at("dns_resolution_config")
        return _asking(message.dns_resolution_config, here, message.dns_resolution_config.dns_resolver_options)
    if "dns_resolvers" in fields and message.dns_resolvers:
        servers = _servers(message.dns_resolvers, context.at("dns_resolvers"))
        return DnsResolver(servers, tcp=message.use_tcp_for_dns_lookups)
    if "use_tcp_for_dns_lookups" in fields and message.use_tcp_for_dns_lookups:
        return msgspec.structs.replace(default, tcp=True)
    return default


def compile_typed(value: Any, context: Context, default: DnsResolver) -> DnsResolver:
    """That of a `TypedExtensionConfig`."""
    message, here = unpack(value.typed_config), context.at("typed_config")
    name = "" if message is None else message.DESCRIPTOR.full_name
    if name == CARES:
        return _cares(message, here)
    if name == GETADDRINFO:
        return _getaddrinfo(message)
    if message is not None and here.path not in here.unsupported:
        here.error((), f"no DNS resolver has the type {name}", f"one of {CARES}, {GETADDRINFO}", kind="reference")
    return default


def _cares(message: Any, context: Context) -> DnsResolver:
    found = _asking(message, context, message.dns_resolver_options)
    return msgspec.structs.replace(
        found,
        fallback=message.use_resolvers_as_fallback,
        timeout=message.query_timeout_seconds.value,
        tries=message.query_tries.value,
        rotate=message.rotate_nameservers,
    )


def _asking(message: Any, context: Context, options: Any) -> DnsResolver:
    return DnsResolver(
        _servers(message.resolvers, context.at("resolvers")),
        tcp=options.use_tcp_for_dns_lookups,
        search=not options.no_default_search_domain,
    )


def _getaddrinfo(message: Any) -> DnsResolver:
    retries = int(message.num_retries.value) if message.HasField("num_retries") else None
    threads = int(message.num_resolver_threads.value) if message.HasField("num_resolver_threads") else 1
    return DnsResolver(getaddrinfo=True, retries=retries, threads=threads)


def _servers(addresses: Iterable[Any], context: Context) -> tuple[SocketAddress, ...]:
    found = []
    for index, message in enumerate(addresses):
        here = context.at(index)
        if message.WhichOneof("address") != "socket_address":
            here.error((), "a name server has an IP address", "socket_address", kind="address")
            continue
        address = compile_socket_address(message.socket_address, here.at("socket_address"))
        if address is not None:
            found.append(SocketAddress(address.host, address.port or DNS_PORT))
    return tuple(found)
