"""Why a field is not supported, and will not be: what to say beside its name."""

from __future__ import annotations

_HTTP1 = "envoy.config.core.v3.Http1ProtocolOptions"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TLS = "envoy.extensions.transport_sockets.tls.v3"
_NO_TLVS = "no listener takes the PROXY protocol, so there are no TLVs of clients"
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
    f"{_HCM}.add_proxy_protocol_connection_state": "no listener takes the PROXY protocol",
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
