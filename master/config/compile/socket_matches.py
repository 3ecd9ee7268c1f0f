"""Transport sockets by host (`Cluster.transport_socket_matches`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config.compile.metadata import labels_of
from master.config.compile.proxy_protocol import compile_transport
from proxy.config.cluster import SocketMatch

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": ("transport_socket_matches",),
    "envoy.config.cluster.v3.Cluster.TransportSocketMatch": ("name", "match", "transport_socket"),
}


def compile_socket_matches(messages: Any, context: Context) -> tuple[SocketMatch, ...]:
    """`context` stands for the list. A match without a transport socket is of plain TCP."""
    return tuple(
        SocketMatch(
            message.name,
            labels_of(message.match),
            *compile_transport(message.transport_socket, context.at(index, "transport_socket")),
        )
        for index, message in enumerate(messages)
    )
