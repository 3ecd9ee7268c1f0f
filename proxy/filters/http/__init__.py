"""HTTP filters: one file each, one line each here."""

HTTP_FILTERS: dict[str, str] = {
    "envoy.extensions.common.matching.v3.ExtensionWithMatcher": "proxy.filters.http.match_delegate:MatchDelegate",
    "envoy.extensions.filters.http.buffer.v3.Buffer": "proxy.filters.http.buffer:Buffer",
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig": (
        "proxy.filters.http.dynamic_forward_proxy:DynamicForwardProxy"
    ),
    "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter": (
        "proxy.filters.http.dynamic_modules:DynamicModule"
    ),
    "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config": (
        "proxy.filters.http.grpc_http1_bridge:GrpcHttp1Bridge"
    ),
    "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig": (
        "proxy.filters.http.grpc_http1_reverse_bridge:GrpcHttp1ReverseBridge"
    ),
    "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder": (
        "proxy.filters.http.grpc_json_transcoder:GrpcJsonTranscoder"
    ),
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig": "proxy.filters.http.grpc_stats:GrpcStats",
    "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb": "proxy.filters.http.grpc_web:GrpcWeb",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation": (
        "proxy.filters.http.header_mutation:HeaderMutation"
    ),
    "envoy.extensions.filters.http.health_check.v3.HealthCheck": "proxy.filters.http.health_check:HealthCheck",
    "envoy.extensions.filters.http.router.v3.Router": "proxy.filters.http.router:Router",
    "envoy.extensions.filters.http.set_filter_state.v3.Config": "proxy.filters.http.set_filter_state:SetFilterState",
    "envoy.extensions.filters.http.set_metadata.v3.Config": "proxy.filters.http.set_metadata:SetMetadata",
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSession": (
        "proxy.filters.http.stateful_session:StatefulSession"
    ),
}

HTTP_ROUTE_CONFIGS: dict[str, str] = {
    "envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute": (
        "proxy.filters.http.match_delegate:MatchDelegatePerRoute"
    ),
    "envoy.extensions.filters.http.buffer.v3.BufferPerRoute": "proxy.filters.http.buffer:Buffer",
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig": (
        "proxy.filters.http.dynamic_forward_proxy:DynamicForwardProxyPerRoute"
    ),
    "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute": (
        "proxy.filters.http.dynamic_modules:DynamicModulePerRoute"
    ),
    "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfigPerRoute": (
        "proxy.filters.http.grpc_http1_reverse_bridge:GrpcHttp1ReverseBridgePerRoute"
    ),
    "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder": (
        "proxy.filters.http.grpc_json_transcoder:GrpcJsonTranscoder"
    ),
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute": (
        "proxy.filters.http.header_mutation:HeaderMutation"
    ),
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute": (
        "proxy.filters.http.stateful_session:StatefulSessionPerRoute"
    ),
}
"""Per-route configuration (`typed_per_filter_config`): type URL → a class with `from_proto` and `Config`."""
