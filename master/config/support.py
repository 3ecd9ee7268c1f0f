"""Which fields of Envoy's API are implemented: the union of the `FIELDS` of every file that reads protos."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from master.config import compile as bootstrap
from master.config.compile import (
    access_log,
    address,
    aggregate,
    circuit_breakers,
    cluster,
    data_source,
    dns,
    dns_cache,
    dns_resolver,
    endpoints,
    filter_chain,
    forwarding,
    hash_policy,
    health_check,
    internal_redirect,
    lb,
    lb_localities,
    lb_policies,
    lb_subsets,
    listener,
    matching,
    metadata,
    metadata_match,
    original_dst,
    outlier,
    plugins,
    proxy_protocol,
    retry,
    rewrites,
    route,
    route_action,
    route_match,
    secrets,
    socket_matches,
    tls,
    tls_certificate,
    tls_ticket_keys,
    tls_validation,
    upstream_http,
    upstream_socket,
)
from proxy import registry
from proxy.access_log import ACCESS_LOGGERS, filters, substitution
from proxy.filters.early_header_mutations import EARLY_HEADER_MUTATIONS
from proxy.filters.http import HTTP_FILTERS, HTTP_ROUTE_CONFIGS
from proxy.filters.network import NETWORK_FILTERS
from proxy.http.original_ip import ORIGINAL_IP_DETECTIONS
from proxy.http.request_id import REQUEST_IDS
from proxy.http.session_states import SESSION_STATES

TABLES = (
    NETWORK_FILTERS,
    HTTP_FILTERS,
    HTTP_ROUTE_CONFIGS,
    ACCESS_LOGGERS,
    filters.EXTENSION_FILTERS,
    ORIGINAL_IP_DETECTIONS,
    REQUEST_IDS,
    EARLY_HEADER_MUTATIONS,
    SESSION_STATES,
)


NO_EFFECT: dict[str, tuple[str, ...]] = {
    "envoy.config.accesslog.v3.ExtensionFilter": ("name",),
    "envoy.config.accesslog.v3.AccessLog": ("name",),  # the type of `typed_config` decides
    "envoy.config.accesslog.v3.RuntimeFilter": ("runtime_key",),  # obligatory, as for RuntimeUInt32
    "envoy.config.core.v3.JsonFormatOptions": ("sort_properties",),  # keys of JSON logs are sorted either way
    "envoy.config.core.v3.GrpcService": ("timeout",),  # streams, of which there are no others yet, have none
    "envoy.config.core.v3.GrpcService.EnvoyGrpc": ("skip_envoy_headers",),  # our own calls have none
    "envoy.config.core.v3.RuntimeDouble": ("runtime_key",),  # as for RuntimeUInt32
    "envoy.config.core.v3.RuntimeFractionalPercent": ("runtime_key",),  # as for the next
    "envoy.config.core.v3.RuntimeUInt32": ("runtime_key",),  # obligatory, and without a runtime the default counts
    "envoy.config.core.v3.ConfigSource": (
        "initial_fetch_timeout",  # a file is read at once
        "resource_api_version",  # the protos are of v3 whatever is said
    ),
    "envoy.service.discovery.v3.DiscoveryResponse": ("type_url", "nonce"),  # a file of secrets has nothing else in it
    "envoy.config.listener.v3.ListenerFilter": ("name",),  # the type of `typed_config` decides
    "envoy.config.cluster.v3.Cluster.CustomClusterType": ("name",),  # the type of `typed_config` decides
    "envoy.config.core.v3.TransportSocket": ("name",),  # the type of `typed_config` decides
    "envoy.config.core.v3.SubstitutionFormatString": ("json_format_options",),
    "envoy.config.core.v3.TypedExtensionConfig": ("name",),  # the type of `typed_config` decides
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy": ("trace_sampled",),  # there are no traces yet
    "envoy.config.route.v3.WeightedCluster": ("runtime_key_prefix",),  # without a runtime the weights count
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": (
        "represent_ipv4_remote_address_as_ipv4_mapped_ipv6",  # no address is told otherwise in 1.40
    ),
    "envoy.config.route.v3.Route": ("decorator",),  # it names spans, and there is no tracing yet
    "envoy.config.route.v3.Decorator": ("operation", "propagate"),
    "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig": (
        "use_request_id_for_trace_sampling",  # nothing is traced
    ),
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ProxyStatusConfig": (
        "remove_connection_termination_details",  # they are told by filters that we have not
    ),
    "envoy.config.route.v3.RetryPolicy.RetryHostPredicate": ("name",),  # the type of `typed_config` decides
    "envoy.config.route.v3.RetryPolicy.RetryPriority": ("name",),
    "envoy.config.endpoint.v3.ClusterLoadAssignment": ("cluster_name",),  # `Cluster.name` is what counts
    "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue": (
        "read_only",  # Envoy 1.40 does not look at it any more
        "shared_with_upstream=NONE",  # the default
    ),
    "envoy.extensions.matching.input_matchers.ip.v3.Ip": (
        "stat_prefix",
    ),  # obligatory; `ip_parsing_failed` is not kept
    "xds.core.v3.TypedExtensionConfig": ("name",),  # as for core.v3
    "envoy.type.matcher.v3.RegexMatcher": ("google_re2",),  # the default engine, said explicitly
}
"""Fields that change nothing in Envoy either where we take them: set or not, the compiled configuration is the same."""


def accepted() -> dict[str, set[str]]:
    """`supported` and the fields without effect: what may stand in a configuration."""
    return _union((*_all_fields(), NO_EFFECT))


def accepted_in_secrets() -> dict[str, set[str]]:
    """The same for a file of secrets, which names no plug-in: none of them has to be loaded."""
    kinds = (secrets, tls_certificate, tls_ticket_keys, tls_validation, data_source, route_match)
    return _union((*(kind.FIELDS for kind in kinds), NO_EFFECT))


def supported() -> dict[str, set[str]]:
    """Message full name → the names of its supported fields.

    Where only some values of an enum are, there is one `field=VALUE` for each of them.
    """
    return _union(_all_fields())


def _union(several: Iterable[Mapping[str, tuple[str, ...]]]) -> dict[str, set[str]]:
    union: dict[str, set[str]] = {}
    for fields in several:
        for message, names in fields.items():
            union.setdefault(message, set()).update(names)
    return union


def _all_fields() -> Iterator[Mapping[str, tuple[str, ...]]]:
    """A plug-in's `FIELDS` stand in the file of its `from_proto`."""
    for module in (
        bootstrap,
        access_log,
        address,
        aggregate,
        circuit_breakers,
        cluster,
        data_source,
        dns,
        dns_cache,
        dns_resolver,
        endpoints,
        filter_chain,
        forwarding,
        health_check,
        hash_policy,
        internal_redirect,
        lb,
        lb_localities,
        lb_policies,
        lb_subsets,
        listener,
        matching,
        metadata,
        metadata_match,
        original_dst,
        outlier,
        plugins,
        proxy_protocol,
        retry,
        route,
        rewrites,
        route_action,
        route_match,
        secrets,
        socket_matches,
        tls,
        tls_certificate,
        tls_ticket_keys,
        tls_validation,
        upstream_http,
        upstream_socket,
    ):
        yield module.FIELDS
    for table in TABLES:
        for type_url in table:
            plugin = registry.load(table, type_url)
            yield sys.modules[plugin.from_proto.__module__].FIELDS
    yield filters.FIELDS
    yield substitution.FIELDS
