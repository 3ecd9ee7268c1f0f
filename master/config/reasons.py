"""Why a field is not supported: what to say beside its name."""

from __future__ import annotations

_HTTP1 = "envoy.config.core.v3.Http1ProtocolOptions"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HTTP2 = "envoy.config.core.v3.Http2ProtocolOptions"
_ROUTE = "envoy.config.route.v3"
_UPSTREAM_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "envoy.extensions.transport_sockets.tls.v3"
_NO_TLVS = "no listener takes the PROXY protocol, so there are no TLVs of clients"
_NO_METADATA = (
    "METADATA frames are an extension of Envoy's; HTTP/2 passes over what it does not know (RFC 9113 section 4.1)"
)
_NO_HTTP3 = "HTTP/3 is not spoken"
_NO_TRACING = "there is no tracing yet"
_NO_PLUGINS = "Envoy's plug-ins are Lua, Go or modules of its own; use weighted_clusters, cluster_header or routes"
_NO_CONTROL_PLANE = "no control plane is asked; configuration comes from files, which a reload reads again"
_NO_RATE_LIMITS = "no filter asks a rate limit service yet"
_NOT_IN_ENVOY = "Envoy does not implement it either"
_OPENED_AGAIN = (
    "streams to access log services, the only ones, are opened again for as long as they are needed "
    "(after 0.5 s, doubling to 30 s), and lose no entry meanwhile"
)
_CLOSES = "a message that is not HTTP closes its connection, since what follows it could be read in two ways"

REASONS: dict[str, str] = {
    f"{_HTTP1}.allow_chunked_length": "Content-Length beside chunked is request smuggling (RFC 9112 section 6.1)",
    f"{_HTTP1}.override_stream_error_on_invalid_http_message": _CLOSES,
    f"{_HTTP1}.use_balsa_parser": "there is one parser of HTTP/1, which is stricter than either of Envoy's",
    f"{_HCM}.stream_error_on_invalid_http_message": _CLOSES,
    f"{_HCM}.typed_header_validation_config": "heads are always checked against RFC 9110; Envoy has none built in",
    f"{_HCM}.path_normalization_options": "Envoy does not implement it either; use normalize_path and merge_slashes",
    f"{_HCM}.append_local_overload": "there is no overload manager that could shed load",
    "envoy.config.core.v3.ProxyProtocolConfig.pass_through_tlvs": _NO_TLVS,
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport.tlv_as_pool_key": _NO_TLVS,
    f"{_HCM}.add_proxy_protocol_connection_state": "hosts that hear whose connection it is always hear the truth",
    f"{_HCM}.http3_protocol_options": _NO_HTTP3,
    f"{_HCM}.rds": _NO_CONTROL_PLANE,
    f"{_HCM}.scoped_routes": _NO_CONTROL_PLANE,
    f"{_HCM}.tracing": _NO_TRACING,
    f"{_HTTP2}.allow_metadata": _NO_METADATA,
    f"{_HTTP2}.max_metadata_size": _NO_METADATA,
    f"{_HTTP2}.use_oghttp2_codec": "there is one codec of HTTP/2, which is stricter than either of Envoy's",
    f"{_UPSTREAM_HTTP}.AutoHttpConfig.alternate_protocols_cache_options": _NO_HTTP3,
    f"{_UPSTREAM_HTTP}.AutoHttpConfig.http3_protocol_options": _NO_HTTP3,
    f"{_UPSTREAM_HTTP}.ExplicitHttpConfig.http3_protocol_options": _NO_HTTP3,
    f"{_UPSTREAM_HTTP}.UseDownstreamHttpConfig.http3_protocol_options": _NO_HTTP3,
    f"{_UPSTREAM_HTTP}.header_validation_config": "heads are always checked against RFC 9110; Envoy has none built in",
    f"{_ROUTE}.HedgePolicy.additional_request_chance": _NOT_IN_ENVOY,
    f"{_ROUTE}.HedgePolicy.initial_requests": _NOT_IN_ENVOY,
    f"{_ROUTE}.Route.tracing": _NO_TRACING,
    f"{_ROUTE}.RouteAction.cluster_specifier_plugin": _NO_PLUGINS,
    f"{_ROUTE}.RouteAction.inline_cluster_specifier_plugin": _NO_PLUGINS,
    f"{_ROUTE}.RouteAction.rate_limits": _NO_RATE_LIMITS,
    f"{_ROUTE}.RouteConfiguration.cluster_specifier_plugins": _NO_PLUGINS,
    f"{_ROUTE}.RouteConfiguration.vhds": _NO_CONTROL_PLANE,
    f"{_ROUTE}.VirtualHost.rate_limits": _NO_RATE_LIMITS,
    "envoy.config.cluster.v3.Cluster.PreconnectPolicy.predictive_preconnect_ratio": (
        "which host the next request goes to is not known before it comes; use per_upstream_preconnect_ratio"
    ),
    "envoy.config.core.v3.BindConfig.local_address_selector": (
        "the source address of the host's IP version is taken, as Envoy's own selector does"
    ),
    "envoy.config.core.v3.BindConfig.additional_source_addresses": "deprecated by Envoy; use extra_source_addresses",
    "envoy.config.core.v3.GrpcService.EnvoyGrpc.retry_policy": "of streams to control planes alone, in Envoy too",
    "envoy.config.core.v3.GrpcService.google_grpc": "use envoy_grpc, whose hosts are those of a cluster",
    "envoy.config.core.v3.GrpcService.retry_policy": _OPENED_AGAIN,
    "envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig.grpc_stream_retry_policy": _OPENED_AGAIN,
    f"{_TLS}.CommonTlsContext.custom_handshaker": "OpenSSL shakes hands; Envoy has no other handshaker built in",
    f"{_TLS}.CommonTlsContext.key_log": "not yet; whoever reads it reads everything",
    f"{_TLS}.CertificateValidationContext.custom_validator_config": "not yet; for SPIFFE, trusted_ca and URI matchers",
    f"{_TLS}.CertificateValidationContext.require_signed_certificate_timestamp": _NOT_IN_ENVOY,
    f"{_TLS}.TlsCertificate.private_key_provider": "keys are OpenSSL's; its engines are not loaded",
    f"{_TLS}.TlsCertificate.signed_certificate_timestamp": _NOT_IN_ENVOY,
    f"{_TLS}.CertificateValidationContext.system_root_certs": (
        "Envoy ignores it and trusts everybody; name the system's file in trusted_ca"
    ),
    f"{_TLS}.DownstreamTlsContext.require_sni": (
        "Envoy does not look at it either; give the chain the server_names of its filter_chain_match"
    ),
    f"{_TLS}.UpstreamTlsContext.allow_renegotiation": "a host that renegotiates could become another one",
    f"{_TLS}.UpstreamTlsContext.enforce_rsa_key_usage": "deprecated by Envoy, which ignores it",
    f"{_HCM}.access_log_flush_interval": "deprecated by Envoy; use access_log_options.access_log_flush_interval",
    f"{_HCM}.flush_access_log_on_new_request": (
        "deprecated by Envoy; use access_log_options.flush_access_log_on_new_request"
    ),
}
"""Full name of the field → the reason, or what to use instead."""
