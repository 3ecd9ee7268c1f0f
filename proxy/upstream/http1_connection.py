"""An upstream connection that carries one request at a time, and its codec."""

from __future__ import annotations

import socket
from collections.abc import Callable

from proxy.http.codec import ClientCodec
from proxy.http.stream_info import UpstreamConnection
from proxy.limits import PIPE_SIZE
from proxy.upstream.connection import Connection
from proxy.upstream.stats import ClusterStats


class Http1Connection(Connection):
    """As `Connection`."""

    __slots__ = ("codec",)

    def __init__(
        self,
        sock: socket.socket,
        codec: ClientCodec,
        stats: ClusterStats,
        *,
        buffer_limit: int = PIPE_SIZE,
        identity: UpstreamConnection | None = None,
    ) -> None:
        super().__init__(sock, stats, buffer_limit=buffer_limit, identity=identity)
        self.codec = codec

    def listen(self, listener: Callable[[], None] | None) -> None:
        """`listener` is called whenever something has come, in place of waking a task; it must not raise."""
        self.watch.on_ready = listener
