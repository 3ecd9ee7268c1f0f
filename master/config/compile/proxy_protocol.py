"""The PROXY protocol towards upstreams (`config.core.v3.ProxyProtocolConfig`, `ProxyProtocolUpstreamTransport`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from master.config import any_types
from master.config.compile.tls import compile_upstream
from master.config.walk import unpack
from proxy.config.tls import UpstreamTls

if TYPE_CHECKING:
    from master.config.compile.context import Context

TRANSPORT = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.ProxyProtocolConfig": ("version",),
    TRANSPORT: ("config", "transport_socket"),
}

Version = Literal["V1", "V2"]
_VERSIONS: dict[int, Version] = {0: "V1", 1: "V2"}


class Transport(NamedTuple):
    """How hosts are spoken to: in TLS or, None, in plain text, and behind which PROXY header, if any."""

    tls: UpstreamTls | None = None
    proxy_protocol: Literal["", "V1", "V2"] = ""


def compile_transport(message: Any, context: Context) -> Transport:
    """The `TransportSocket` of a cluster; `context` stands for it."""
    around = announcing(message)
    if around is None:
        return Transport(compile_upstream(message, context))
    inside = context.at("typed_config", "transport_socket")
    return Transport(compile_upstream(around.transport_socket, inside), version_of(around.config))


def announcing(message: Any) -> Any:
    """The `ProxyProtocolUpstreamTransport` that a `TransportSocket` is; None if it is another."""
    kind = any_types.split_url(message.typed_config.type_url)
    return unpack(message.typed_config) if kind == TRANSPORT else None


def speaks_tls(message: Any) -> bool:
    """Whether a `TransportSocket` is one of TLS, behind a PROXY header perhaps."""
    around = announcing(message)
    innermost = message if around is None else around.transport_socket
    return bool(innermost.typed_config.type_url.endswith("UpstreamTlsContext"))


def version_of(message: Any) -> Version:
    """Of a `ProxyProtocolConfig`."""
    return _VERSIONS[message.version]
