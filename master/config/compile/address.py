"""Addresses (`config.core.v3.Address`): numeric ones and Unix sockets."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from proxy.config.common import Address, PipeAddress, SocketAddress

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.Address": ("socket_address", "pipe"),
    "envoy.config.core.v3.SocketAddress": ("protocol=TCP", "address", "port_value"),
    "envoy.config.core.v3.Pipe": ("path", "mode"),
}

MAX_PIPE_PATH = 107
"""Bytes: `sun_path` of unix(7) without the NUL that ends it."""


def compile_address(message: Any, context: Context, *, hint: str = "") -> Address | None:
    """None if it is missing, malformed or unsupported (UDP). `hint`: what else the user may have meant by a name."""
    kind = message.WhichOneof("address")
    if kind == "socket_address":
        return compile_socket_address(message.socket_address, context.at("socket_address"), hint)
    if kind == "pipe":
        return _pipe(message.pipe, context.at("pipe"))
    if kind is None:
        context.error((), "no address", "socket_address or pipe", kind="address")
    return None


def canonical(host: str) -> str | None:
    """The C library's spelling of a numeric address, which is Envoy's too (`::ffff:192.0.2.1`); None for a name."""
    address, percent, zone = host.partition("%")
    if percent and (not zone or "%" in zone):
        return None
    for family in (socket.AF_INET6,) if percent else (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):  # ValueError: a NUL in it, or no Unicode
            return socket.inet_ntop(family, socket.inet_pton(family, address)) + percent + zone
    return None


def compile_socket_address(message: Any, context: Context, hint: str = "") -> SocketAddress | None:
    """None if it is malformed or unsupported (UDP)."""
    if message.protocol != message.TCP:
        return None
    host = canonical(message.address)
    if host is None:
        expected = "a numeric IPv4 or IPv6 address" + (f"; {hint}" if hint else "")
        context.error(("address",), f"malformed IP address {message.address!r}", expected, kind="address")
        return None
    return SocketAddress(host, message.port_value)


def _pipe(message: Any, context: Context) -> PipeAddress:
    if len(message.path.encode()) > MAX_PIPE_PATH:
        context.error(("path",), "path is too long for a Unix socket", f"≤ {MAX_PIPE_PATH} bytes", kind="address")
    if "\0" in message.path:
        context.error(("path",), "path with a NUL byte", "a path", kind="address")
    if message.path.startswith("@") and message.mode:
        context.error(("mode",), "an abstract Unix socket has no mode", "no mode", kind="address")
    return PipeAddress(message.path, message.mode)
