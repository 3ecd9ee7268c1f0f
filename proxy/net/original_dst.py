"""`envoy.filters.listener.original_dst`: where a client wanted to connect to, before netfilter led it here."""

from __future__ import annotations

import socket
import struct
from typing import Final

from proxy.config.common import SocketAddress

_SO_ORIGINAL_DST: Final = 80  # linux/netfilter_ipv4.h, and the same number for IPv6
_SOL_IPV6: Final = 41
_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("!2xH4x16s4x")


def original_destination(sock: socket.socket) -> SocketAddress | None:
    """None for a connection that nobody has redirected, or where there is no netfilter."""
    try:
        if sock.family == socket.AF_INET:
            port, host = _SOCKADDR_IN.unpack(sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN.size))
        elif sock.family == socket.AF_INET6:
            port, host = _SOCKADDR_IN6.unpack(sock.getsockopt(_SOL_IPV6, _SO_ORIGINAL_DST, _SOCKADDR_IN6.size))
        else:
            return None
    except OSError:
        return None
    return SocketAddress(socket.inet_ntop(sock.family, host), port)
