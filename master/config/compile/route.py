"""Route configurations (`config.route.v3`): virtual hosts and their routes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from master.config.compile.forwarding import Levels, compile_forwarding
from master.config.compile.matching import compile_route_matcher
from master.config.compile.metadata import compile_metadata
from master.config.compile.rewrites import header_name
from master.config.compile.route_action import compile_action, compile_direct_response, compile_redirect
from master.config.compile.route_match import compile_header_matcher, compile_match
from proxy.config.route import (
    ClusterAction,
    DirectResponseAction,
    RedirectAction,
    Route,
    RouteConfiguration,
    VirtualCluster,
    VirtualHost,
)
from proxy.filters.header_edits import compile_mutations

if TYPE_CHECKING:
    from master.config.compile.context import Context

MAX_DIRECT_RESPONSE_BODY = 4096
"""Bytes; Envoy's default of `max_direct_response_body_size_bytes`."""

MUTATIONS = (
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
)
"""Fields of every level of a route."""

REQUIRE_TLS: dict[int, Literal["NONE", "EXTERNAL_ONLY", "ALL"]] = {0: "NONE", 1: "EXTERNAL_ONLY", 2: "ALL"}
"""`VirtualHost.TlsRequirementType`."""

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RouteConfiguration": (
        "name",
        "virtual_hosts",
        "internal_only_headers",  # read with the connection manager, whose identity rules they join
        "typed_per_filter_config",
        "max_direct_response_body_size_bytes",
        "validate_clusters",
        "most_specific_header_mutations_wins",
        "ignore_port_in_host_matching",
        "ignore_path_parameters_in_path_matching",
        "vhost_header",
        *MUTATIONS,
    ),
    "envoy.config.route.v3.VirtualHost": (
        "name",
        "domains",
        "routes",
        "typed_per_filter_config",
        "require_tls",
        "include_request_attempt_count",
        "include_attempt_count_in_response",
        "virtual_clusters",
        "matcher",
        "metadata",
        *MUTATIONS,
    ),
    "envoy.config.route.v3.Route": (
        "name",
        "match",
        "route",
        "redirect",
        "direct_response",
        "typed_per_filter_config",
        "stat_prefix",
        "metadata",
        *MUTATIONS,
    ),
    "envoy.config.route.v3.RouteList": ("routes",),
    "envoy.config.route.v3.VirtualCluster": ("name", "headers"),
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
            _virtual_host(host, limit, context.at("virtual_hosts", index), message, context)
            for index, host in enumerate(message.virtual_hosts)
        ),
        typed_per_filter_config=context.at("typed_per_filter_config").typed_per_filter_config(
            message.typed_per_filter_config
        ),
        header_mutations=compile_mutations(message, context),
        most_specific_wins=message.most_specific_header_mutations_wins,
        ignore_port=message.ignore_port_in_host_matching,
        ignore_path_parameters=message.ignore_path_parameters_in_path_matching,
        virtual_host_header=header_name(message.vhost_header, context, "vhost_header"),
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


def _virtual_host(message: Any, limit: int, context: Context, config: Any, config_context: Context) -> VirtualHost:
    """`limit`: bytes of a direct response's body. `config` is the whole route configuration."""

    def compiled(route: Any, here: Context) -> Route | None:
        return _route(Levels(route, here, message, context, config, config_context), limit)

    routes = [compiled(route, context.at("routes", index)) for index, route in enumerate(message.routes)]
    matcher = None
    if message.HasField("matcher"):
        if message.routes:
            context.error(("matcher",), "routes and a matcher are both set", "one of them")
        matcher = compile_route_matcher(message.matcher, context.at("matcher"), _Actions(routes, compiled))
    return VirtualHost(
        name=message.name,
        domains=tuple(message.domains),
        routes=tuple(route for route in routes if route is not None),
        typed_per_filter_config=context.at("typed_per_filter_config").typed_per_filter_config(
            message.typed_per_filter_config
        ),
        header_mutations=compile_mutations(message, context),
        require_tls=REQUIRE_TLS[message.require_tls],
        request_attempt_count=message.include_request_attempt_count,
        response_attempt_count=message.include_attempt_count_in_response,
        virtual_clusters=tuple(
            _virtual_cluster(cluster, context.at("virtual_clusters", index))
            for index, cluster in enumerate(message.virtual_clusters)
        ),
        matcher=matcher,
        metadata=compile_metadata(message.metadata, context),
    )


class _Actions:
    """The actions of a virtual host's matcher, a `Route` or a `RouteList`. Their routes are appended to `routes`."""

    def __init__(self, routes: list[Route | None], compiled: Callable[[Any, Context], Route | None]) -> None:
        self._routes = routes
        self._compiled = compiled

    def __call__(self, message: Any, context: Context) -> tuple[int, ...]:
        name = message.DESCRIPTOR.full_name if message is not None else ""
        if name == "envoy.config.route.v3.Route":
            return self._add(message, context)
        if name == "envoy.config.route.v3.RouteList":
            listed = enumerate(message.routes)
            return tuple(at for index, route in listed for at in self._add(route, context.at("routes", index)))
        if message is not None and context.path not in context.unsupported:
            context.error((), f"{name} is no action of a virtual host's matcher", "config.route.v3.Route or RouteList")
        return ()

    def _add(self, message: Any, context: Context) -> tuple[int, ...]:
        route = self._compiled(message, context)
        if route is None:
            return ()
        self._routes.append(route)
        return (len(self._routes) - 1,)


def _virtual_cluster(message: Any, context: Context) -> VirtualCluster:
    if not message.headers:
        context.error((), f"virtual cluster {message.name!r} asks for nothing", "headers")
    return VirtualCluster(
        message.name,
        tuple(compile_header_matcher(one, context.at("headers", index)) for index, one in enumerate(message.headers)),
    )


def _route(levels: Levels, limit: int) -> Route | None:
    """None for a route whose match or action is not one of ours; others name that as unsupported or invalid."""
    message, context = levels.route, levels.context
    match = compile_match(message.match, context.at("match"))
    action: ClusterAction | DirectResponseAction | RedirectAction | None
    if message.HasField("direct_response"):
        action = compile_direct_response(message.direct_response, limit, context.at("direct_response"))
    elif message.HasField("redirect"):
        action = compile_redirect(message.redirect, context.at("redirect"))
    else:
        action = compile_action(message.route, message.match, context.at("route"))
    per_filter = context.at("typed_per_filter_config").typed_per_filter_config(message.typed_per_filter_config)
    mutations = compile_mutations(message, context)
    if match is None or action is None:
        return None
    if isinstance(action, ClusterAction):
        action = msgspec.structs.replace(action, forwarding=compile_forwarding(levels))
    return Route(
        match=match,
        action=action,
        name=message.name,
        typed_per_filter_config=per_filter,
        header_mutations=mutations,
        stat_prefix=message.stat_prefix,
        metadata=compile_metadata(message.metadata, context),
    )
