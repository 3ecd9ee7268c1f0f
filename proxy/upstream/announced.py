"""A host that hears first whose connection it is (`ProxyProtocolUpstreamTransport`), and is then spoken to as ever."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

from proxy.net import proxy_protocol
from proxy.net.peer import address_of

if TYPE_CHECKING:
    from proxy.net.connection import Connection
    from proxy.net.tls.client import Peer

Manner: TypeAlias = Union["Peer", "Announced"]
"""How a host is spoken to, unless in plain TCP."""


class Announced:
    """`client` is whose connection it is, None if it is nobody's (health checks); `peer` is how the host is spoken to
    behind the header, None for plain TCP.
    """

    __slots__ = ("_client", "_ends", "_version", "peer")

    def __init__(self, version: proxy_protocol.Version, client: Connection | None, peer: Peer | None) -> None:
        self._version = version
        self._client = client
        self._ends = (client.remote, client.local) if client is not None else None  # it may leave before we are there
        self.peer = peer

    def offering(self, applications: Sequence[str]) -> Announced:
        """The same, to whom these protocols are offered whatever the configuration names."""
        peer = None if self.peer is None else self.peer.offering(applications)
        return Announced(self._version, self._client, peer)

    def header(self, sock: socket.socket) -> bytes:
        """What goes first over `sock`, which is connected. What is nobody's is our own."""
        if self._ends is not None:
            return proxy_protocol.header(self._version, *self._ends)
        if self._version == "V2":
            return proxy_protocol.LOCAL
        return proxy_protocol.header("V1", address_of(sock, peer=False), address_of(sock, peer=True))
