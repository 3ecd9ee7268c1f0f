"""Route configurations (`config.route.v3`): virtual hosts and their routes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from master.config.compile.forwarding import compile_forwarding
from master.config.compile.route_action import compile_action, compile_direct_response
from master.config.compile.route_match import compile_match
from proxy.config.route import ClusterAction, DirectResponseAction, Route, RouteConfiguration, VirtualHost

if TYPE_CHECKING:
    from master.config.compile.context import Context

MAX_DIRECT_RESPONSE_BODY = 4096
"""Bytes; Envoy's default of `max_direct_response_body_size_bytes`."""

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RouteConfiguration": (
        "name",
        "virtual_hosts",
        "internal_only_headers",  # read with the connection manager, whose identity rules they join
        "typed_per_filter_config",
        "max_direct_response_body_size_bytes",
        "validate_clusters",
    ),
    "envoy.config.route.v3.VirtualHost": ("name", "domains", "routes", "typed_per_filter_config"),
    "envoy.config.route.v3.Route": ("name", "match", "route", "direct_response", "typed_per_filter_config"),
}


def compile_route_configuration(message: Any, context: Context) -> RouteConfiguration:
    """Domains are unique over the whole configuration, whatever their case (features §13 rule 1). Without
    `validate_clusters` a route may name a cluster that does not exist: its requests get a 503.
    """
    if message.HasField("validate_clusters") and not message.validate_clusters.value:
        context = dataclasses.replace(context, any_cluster=True)
    _check_domains(message, context)
    limit = MAX_DIRECT_RESPONSE_BODY
    if message.HasField("max_direct_response_body_size_bytes"):
        limit = message.max_direct_response_body_size_bytes.value
    return RouteConfiguration(
        name=message.name,
        virtual_hosts=tuple(
            _virtual_host(host, limit, context.at("virtual_hosts", index))
            for index, host in enumerate(message.virtual_hosts)
        ),
        typed_per_filter_config=context.at("typed_per_filter_config").typed_per_filter_config(
            message.typed_per_filter_config
        ),
    )


def _check_domains(message: Any, context: Context) -> None:
    seen: dict[str, str] = {}
    for number, host in enumerate(message.virtual_hosts):
        for index, domain in enumerate(host.domains):
            key = domain.lower()
            if key in seen:
                context.error(
                    ("virtual_hosts", number, "domains", index),
                    f"domain {domain!r} stands already in virtual host {seen[key]!r}",
                    "each domain once in a route configuration",
                    kind="duplicate",
                )
            else:
                seen[key] = host.name


def _virtual_host(message: Any, limit: int, context: Context) -> VirtualHost:
    """`limit`: bytes of a direct response's body."""
    routes = (
        _route(route, message, limit, context.at("routes", index), context)
        for index, route in enumerate(message.routes)
    )
    return VirtualHost(
        name=message.name,
        domains=tuple(message.domains),
        routes=tuple(route for route in routes if route is not None),
        typed_per_filter_config=context.at("typed_per_filter_config").typed_per_filter_config(
            message.typed_per_filter_config
        ),
    )


def _route(message: Any, host: Any, limit: int, context: Context, host_context: Context) -> Route | None:
    """None for a route whose match or action is not one of ours; others name that as unsupported or invalid."""
    match = compile_match(message.match, context.at("match"))
    action: ClusterAction | DirectResponseAction | None
    if message.HasField("direct_response"):
        action = compile_direct_response(message.direct_response, limit, context.at("direct_response"))
    else:
        action = compile_action(message.route, context.at("route"))
    per_filter = context.at("typed_per_filter_config").typed_per_filter_config(message.typed_per_filter_config)
    if match is None or action is None:
        return None
    if isinstance(action, ClusterAction):
        action = msgspec.structs.replace(action, forwarding=compile_forwarding(message, host, context, host_context))
    return Route(match=match, action=action, name=message.name, typed_per_filter_config=per_filter)
