"""The connection manager's fields about identity headers and `server`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from proxy.config.common import PluginConfig
from proxy.config.context import CompileContext
from proxy.config.identity import (
    ClientCert,
    ClientCertDetail,
    Identity,
    InternalAddresses,
    ServerHeader,
    UserAgent,
)
from proxy.http.original_ip import ORIGINAL_IP_DETECTIONS
from proxy.http.request_id import REQUEST_IDS, UuidRequestId
from proxy.net.cidr import ranges_from_proto

CLIENT_CERT_MODES: tuple[
    Literal["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"], ...
] = ("SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY")
"""`HttpConnectionManager.ForwardClientCertDetails`, by number."""

CLIENT_CERT_DETAILS: tuple[ClientCertDetail, ...] = ("cert", "chain", "subject", "uri", "dns")
"""The fields of `SetCurrentClientCertDetails`, in the order in which Envoy writes what they ask for."""

HCM_FIELDS = (
    "server_name",
    "server_header_transformation",
    "scheme_header_transformation",
    "use_remote_address",
    "xff_num_trusted_hops",
    "skip_xff_append",
    "internal_address_config",
    "append_x_forwarded_port",
    "generate_request_id",
    "preserve_external_request_id",
    "always_set_request_id_in_response",
    "via",
    "original_ip_detection_extensions",
    *(f"forward_client_cert_details={mode}" for mode in CLIENT_CERT_MODES if mode != "SANITIZE"),
    "set_current_client_cert_details",
    "add_user_agent",
    "request_id_extension",
)
"""Fields of `HttpConnectionManager` that are read here."""

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{HCM}.SetCurrentClientCertDetails": CLIENT_CERT_DETAILS,
    "envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension": ("typed_config",),
    f"{HCM}.InternalAddressConfig": ("unix_sockets", "cidr_ranges"),
    "envoy.config.core.v3.CidrRange": ("address_prefix", "prefix_len"),
    "envoy.config.core.v3.SchemeHeaderTransformation": ("scheme_to_overwrite", "match_upstream"),
}

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.1/32", "fd00::/8", "::1/128")
"""Internal addresses of an `InternalAddressConfig` without ranges (Envoy: `Network::Utility::isInternalAddress`)."""

UNDERSCORES: dict[int, Literal["ALLOW", "REJECT_REQUEST", "DROP_HEADER"]] = {
    0: "ALLOW",
    1: "REJECT_REQUEST",
    2: "DROP_HEADER",
}
"""`HttpProtocolOptions.HeadersWithUnderscoresAction`."""

SERVER_HEADER: dict[int, Literal["OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"]] = {
    0: "OVERWRITE",
    1: "APPEND_IF_ABSENT",
    2: "PASS_THROUGH",
}
"""`HttpConnectionManager.ServerHeaderTransformation`."""


def identity(message: Any, context: CompileContext) -> Identity:
    """The identity rules of an `HttpConnectionManager`; `context` stands for it."""
    return Identity(
        use_remote_address=message.use_remote_address.value,
        xff_num_trusted_hops=message.xff_num_trusted_hops,
        skip_xff_append=message.skip_xff_append,
        internal_addresses=_internal_addresses(message, context.at("internal_address_config")),
        append_x_forwarded_port=message.append_x_forwarded_port,
        generate_request_id=message.generate_request_id.value if message.HasField("generate_request_id") else True,
        preserve_external_request_id=message.preserve_external_request_id,
        always_set_request_id_in_response=message.always_set_request_id_in_response,
        via=message.via,
        scheme=message.scheme_header_transformation.scheme_to_overwrite,
        scheme_of_upstream=message.scheme_header_transformation.match_upstream,
        underscores=UNDERSCORES[message.common_http_protocol_options.headers_with_underscores_action],
        client_cert=_client_cert(message),
        detections=_detections(message, context),
        user_agent=UserAgent(context.node.cluster, context.node.id) if message.add_user_agent.value else None,
        packs_trace_reason=_packs_trace_reason(message, context),
        internal_only_headers=tuple(name.lower() for name in message.route_config.internal_only_headers),
    )


def server_header(message: Any) -> ServerHeader:
    """What happens to `server`."""
    return ServerHeader(message.server_name or "envoy", SERVER_HEADER[message.server_header_transformation])


def _client_cert(message: Any) -> ClientCert:
    asked = message.set_current_client_cert_details
    details = tuple(name for name in CLIENT_CERT_DETAILS if _is_set(asked, name))
    return ClientCert(CLIENT_CERT_MODES[message.forward_client_cert_details], details)


def _packs_trace_reason(message: Any, context: CompileContext) -> bool:
    if not message.HasField("request_id_extension"):
        return True
    here = context.at("request_id_extension", "typed_config")
    plugin = here.plugin("", message.request_id_extension.typed_config, REQUEST_IDS, "request id extension")
    if plugin is None:
        return True
    return msgspec.msgpack.decode(plugin.config, type=UuidRequestId.Config).packs_trace_reason


def _internal_addresses(message: Any, context: CompileContext) -> InternalAddresses:
    """What is there but names no range means the private ones."""
    if not message.HasField("internal_address_config"):
        return InternalAddresses()
    config = message.internal_address_config
    ranges = ranges_from_proto(config.cidr_ranges, context.at("cidr_ranges"))
    return InternalAddresses(config.unix_sockets, ranges if config.cidr_ranges else PRIVATE)


def _detections(message: Any, context: CompileContext) -> tuple[PluginConfig, ...]:
    """Envoy takes them for another way of what two other fields say."""
    field = "original_ip_detection_extensions"
    if message.original_ip_detection_extensions:
        for other in ("use_remote_address", "xff_num_trusted_hops"):
            if _is_set(message, other):
                context.error((other,), f"does not go with {field}", "one of them")
    return context.at(field).extensions(
        message.original_ip_detection_extensions, ORIGINAL_IP_DETECTIONS, "original IP detection extension"
    )


def _is_set(message: Any, field: str) -> bool:
    value = getattr(message, field)
    return bool(getattr(value, "value", value))
