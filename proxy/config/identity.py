"""Who is asking, and what we tell others about it: compiled parts of the HTTP connection manager. Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import PluginConfig


class InternalAddresses(msgspec.Struct, frozen=True, gc=False):
    """`HttpConnectionManager.InternalAddressConfig`. Without it nothing is internal (Envoy 1.40, features §13 rule 23).

    `cidr_ranges` are numeric addresses with their prefix length: `10.0.0.0/8`.
    """

    unix_sockets: bool = False
    cidr_ranges: tuple[str, ...] = ()


ClientCertDetail = Literal["cert", "chain", "subject", "uri", "dns"]


class ClientCert(msgspec.Struct, frozen=True, gc=False):
    """`forward_client_cert_details` and `set_current_client_cert_details`: `x-forwarded-client-cert`."""

    forward: Literal["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"] = "SANITIZE"
    details: tuple[ClientCertDetail, ...] = ()


class UserAgent(msgspec.Struct, frozen=True, gc=False):
    """`add_user_agent`: who we say that we are. `cluster` and `id` are the node's."""

    cluster: str
    id: str = ""


class Identity(msgspec.Struct, frozen=True):
    """What decides about a request's identity headers. Names and defaults are `HttpConnectionManager`'s.

    `internal_only_headers` (lower case) is the route configuration's. `scheme` overwrites `x-forwarded-proto`
    (`scheme_header_transformation`) unless it is empty; `scheme_of_upstream`: an upstream of HTTP/2 is told what it is
    spoken to by. `detections` are `original_ip_detection_extensions`.
    `packs_trace_reason` is the UUID request id's.
    """

    use_remote_address: bool = False
    xff_num_trusted_hops: int = 0
    skip_xff_append: bool = False
    internal_addresses: InternalAddresses = InternalAddresses()
    append_x_forwarded_port: bool = False
    generate_request_id: bool = True
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
    via: str = ""
    scheme: str = ""
    scheme_of_upstream: bool = False
    underscores: Literal["ALLOW", "REJECT_REQUEST", "DROP_HEADER"] = "ALLOW"
    internal_only_headers: tuple[str, ...] = ()
    client_cert: ClientCert = ClientCert()
    detections: tuple[PluginConfig, ...] = ()
    user_agent: UserAgent | None = None
    packs_trace_reason: bool = True


class ServerHeader(msgspec.Struct, frozen=True, gc=False):
    """`server_name` and `server_header_transformation`."""

    name: str = "envoy"
    transformation: Literal["OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"] = "OVERWRITE"
