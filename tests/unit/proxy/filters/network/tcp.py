"""A TCP proxy in the test's own loop: bootstrap text in, scripted origins behind it."""

from __future__ import annotations

import socket
import struct

import trio

TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def tcp_bootstrap(fields: str, **clusters: int | None) -> str:
    """One listener `l` with a TCP proxy of stat prefix `t`; each cluster has the host 127.0.0.1:<port>, or none."""
    return f"""
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains: [{{filters: [{{name: tcp, typed_config: {{
      "@type": type.googleapis.com/{TCP_PROXY}, {fields}}}}}]}}]
  clusters:
{"".join(_cluster(name, port) for name, port in clusters.items())}
"""


def _cluster(name: str, port: int | None) -> str:
    host = f"{{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"
    endpoints = "" if port is None else f", endpoints: [{{lb_endpoints: [{{endpoint: {host}}}]}}]"
    return f"""
  - name: {name}
    connect_timeout: 0.3s
    load_assignment: {{cluster_name: {name}{endpoints}}}
"""


def reset(stream: trio.SocketStream) -> None:
    """Close the stream so that its peer sees a reset."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def echo_then(stream: trio.SocketStream, last: bytes = b"") -> None:
    """Sends everything back, and `last` once the peer has finished."""
    while data := await stream.receive_some(65536):
        await stream.send_all(data)
    await stream.send_all(last)
