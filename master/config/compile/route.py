"""Route configurations (`config.route.v3`) and the matchers in them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from proxy.config.common import StringMatcher
from proxy.config.route import (
    ClusterAction,
    ClusterWeight,
    DirectResponseAction,
    HeaderMatcher,
    QueryParameterMatcher,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)

if TYPE_CHECKING:
    from master.config.compile.context import Context

DEPRECATED_STRING_MATCHES: dict[str, Literal["exact", "prefix", "suffix", "contains"]] = {
    "exact_match": "exact",
    "prefix_match": "prefix",
    "suffix_match": "suffix",
    "contains_match": "contains",
}
"""Fields of `HeaderMatcher` that Envoy 1.40 still takes for `string_match`."""

MAX_DIRECT_RESPONSE_BODY = 4096
"""Bytes; Envoy's default of `max_direct_response_body_size_bytes`."""

DENOMINATORS = (100, 10_000, 1_000_000)
"""By the numbers of `FractionalPercent.DenominatorType`."""

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
    "envoy.config.route.v3.DirectResponseAction": ("status", "body"),
    "envoy.config.route.v3.RouteMatch": (
        "prefix",
        "path",
        "path_separated_prefix",
        "safe_regex",
        "case_sensitive",
        "headers",
        "query_parameters",
        "grpc",
        "runtime_fraction",
    ),
    "envoy.config.route.v3.QueryParameterMatcher": ("name", "string_match", "present_match"),
    "envoy.config.core.v3.RuntimeFractionalPercent": ("default_value",),
    "envoy.type.v3.FractionalPercent": ("numerator", "denominator"),
    "envoy.config.route.v3.WeightedCluster": ("clusters",),
    "envoy.config.route.v3.WeightedCluster.ClusterWeight": ("name", "weight", "typed_per_filter_config"),
    "envoy.config.route.v3.RouteAction": ("cluster", "weighted_clusters", "timeout"),
    "envoy.config.route.v3.HeaderMatcher": (
        "name",
        "string_match",
        "present_match",
        "range_match",
        *DEPRECATED_STRING_MATCHES,
        "safe_regex_match",
        "invert_match",
        "treat_missing_header_as_empty",
    ),
    "envoy.type.v3.Int64Range": ("start", "end"),
    "envoy.type.matcher.v3.StringMatcher": ("exact", "prefix", "suffix", "contains", "safe_regex", "ignore_case"),
    "envoy.type.matcher.v3.RegexMatcher": ("regex",),
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
    routes = (_route(route, limit, context.at("routes", index)) for index, route in enumerate(message.routes))
    return VirtualHost(
        name=message.name,
        domains=tuple(message.domains),
        routes=tuple(route for route in routes if route is not None),
        typed_per_filter_config=context.at("typed_per_filter_config").typed_per_filter_config(
            message.typed_per_filter_config
        ),
    )


def _route(message: Any, limit: int, context: Context) -> Route | None:
    """None for a route whose match or action is not one of ours; others name that as unsupported or invalid."""
    match = _match(message.match, context.at("match"))
    action: ClusterAction | DirectResponseAction | None
    if message.HasField("direct_response"):
        action = _direct_response(message.direct_response, limit, context.at("direct_response"))
    else:
        action = _action(message.route, context.at("route"))
    per_filter = context.at("typed_per_filter_config").typed_per_filter_config(message.typed_per_filter_config)
    if match is None or action is None:
        return None
    return Route(match=match, action=action, name=message.name, typed_per_filter_config=per_filter)


def _action(message: Any, context: Context) -> ClusterAction | None:
    timeout = context.duration(message.timeout, "timeout") if message.HasField("timeout") else 15.0
    if message.WhichOneof("cluster_specifier") == "weighted_clusters":
        shares = _shares(message.weighted_clusters.clusters, context.at("weighted_clusters"))
        return ClusterAction("", timeout=timeout, weighted=shares) if shares else None
    if not message.cluster:
        return None
    context.require_cluster(message.cluster, "cluster")
    return ClusterAction(cluster=message.cluster, timeout=timeout)


def _shares(messages: Any, context: Context) -> tuple[ClusterWeight, ...]:
    """Empty if there is no cluster to choose, which is reported."""
    shares = []
    for index, message in enumerate(messages):
        here = context.at("clusters", index)
        if not message.HasField("weight"):
            here.error((), f"cluster {message.name!r} has no weight", "weight")
        if message.name:
            here.require_cluster(message.name, "name")
        elif not here.incomplete():
            here.error((), "a weighted cluster without a name", "name")
        per_filter = here.at("typed_per_filter_config").typed_per_filter_config(message.typed_per_filter_config)
        shares.append(ClusterWeight(message.name, message.weight.value, per_filter))
    total = sum(share.weight for share in shares)
    if not 0 < total < 2**32:
        context.error(("clusters",), f"the weights add up to {total}", "a sum of 1 to 4294967295")
        return ()
    return tuple(shares)


def _direct_response(message: Any, limit: int, context: Context) -> DirectResponseAction:
    return DirectResponseAction(message.status, context.data_source(message.body, "body", limit=limit))


def _match(message: Any, context: Context) -> RouteMatch | None:
    path = _path(message, context)
    headers = tuple(
        compile_header_matcher(header, context.at("headers", index)) for index, header in enumerate(message.headers)
    )
    query = tuple(
        _query_parameter(parameter, context.at("query_parameters", index))
        for index, parameter in enumerate(message.query_parameters)
    )
    if path is None:
        return None
    fraction = _fraction(message.runtime_fraction.default_value) if message.HasField("runtime_fraction") else None
    return msgspec.structs.replace(
        path, headers=headers, query_parameters=query, grpc=message.HasField("grpc"), runtime_fraction=fraction
    )


def _path(message: Any, context: Context) -> RouteMatch | None:
    """What `message` asks of the path. A regex ignores `case_sensitive`."""
    kind = message.WhichOneof("path_specifier")
    if kind == "safe_regex":
        return RouteMatch("regex", context.regex(message.safe_regex, "safe_regex"))
    if kind not in ("prefix", "path", "path_separated_prefix"):
        return None
    case_sensitive = message.case_sensitive.value if message.HasField("case_sensitive") else True
    return RouteMatch(kind, getattr(message, kind), case_sensitive)


def _query_parameter(message: Any, context: Context) -> QueryParameterMatcher:
    kind = message.WhichOneof("query_parameter_match_specifier")
    return QueryParameterMatcher(
        name=message.name,
        string=_string(message.string_match, context.at("string_match")) if kind == "string_match" else None,
        present=message.present_match if kind == "present_match" else None,
    )


def _fraction(message: Any) -> tuple[int, int]:
    """A `type.v3.FractionalPercent`."""
    return message.numerator, DENOMINATORS[message.denominator]


def compile_header_matcher(message: Any, context: Context) -> HeaderMatcher:
    """A `HeaderMatcher`, of a route or of anything else that looks at headers."""
    kind = message.WhichOneof("header_match_specifier")
    string = None
    if kind == "string_match":
        string = _string(message.string_match, context.at("string_match"))
    elif kind == "safe_regex_match":
        string = StringMatcher("regex", context.regex(message.safe_regex_match, "safe_regex_match"))
    elif kind in DEPRECATED_STRING_MATCHES:
        string = StringMatcher(DEPRECATED_STRING_MATCHES[kind], getattr(message, kind))
    return HeaderMatcher(
        name=message.name.lower(),
        string=string,
        present=message.present_match if kind == "present_match" else None,
        range=(message.range_match.start, message.range_match.end) if kind == "range_match" else None,
        invert=message.invert_match,
        treat_missing_as_empty=message.treat_missing_header_as_empty,
    )


def _string(message: Any, context: Context) -> StringMatcher | None:
    kind = message.WhichOneof("match_pattern")
    if kind == "safe_regex":
        if message.ignore_case:
            context.error(("ignore_case",), "ignore_case has no effect for safe_regex", "(?i) in the regex")
        return StringMatcher("regex", context.regex(message.safe_regex, "safe_regex"))
    if kind not in ("exact", "prefix", "suffix", "contains"):
        return None
    return StringMatcher(kind, getattr(message, kind), message.ignore_case)
