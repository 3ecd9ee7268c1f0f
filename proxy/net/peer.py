"""The other end of a socket: where it is, and how we learn that it has gone."""

from __future__ import annotations

import errno
import socket

from proxy.config.common import Address, PipeAddress, SocketAddress
from proxy.errors import Flag, ProxyError

PEER_GONE = frozenset(
    {
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ECONNABORTED,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENOTCONN,
    }
)
"""What the network, and never our own mistake, makes of a send or receive."""


def disconnected() -> ProxyError:
    """The client is gone: nobody is left to answer (Envoy `downstream_remote_disconnect`, flag DC)."""
    return ProxyError(
        "downstream_remote_disconnect",
        side="downstream",
        status=0,
        flag=Flag.DOWNSTREAM_CONNECTION_TERMINATION,
    )


def cut_off() -> ProxyError:
    """We close the connection on a client that is still served: time is up (Envoy `downstream_local_disconnect`)."""
    return ProxyError(
        "downstream_local_disconnect",
        side="internal",
        status=0,
        flag=Flag.DOWNSTREAM_CONNECTION_TERMINATION,
    )


def address_of(sock: socket.socket, *, peer: bool) -> Address:
    """Our or the peer's address of a connected socket; "" of a socket whose peer is gone. A client's Unix socket has no
    name: as in Envoy, it goes by that of ours.
    """
    try:
        name = sock.getpeername() if peer else sock.getsockname()
        if not name:
            name = sock.getsockname()
    except OSError as error:
        if error.errno not in PEER_GONE:
            raise
        name = ("", 0)
    if sock.family == socket.AF_UNIX:
        return PipeAddress(path=name.decode() if isinstance(name, bytes) else str(name or ""))
    return SocketAddress(host=name[0], port=name[1])
