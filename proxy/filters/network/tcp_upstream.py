"""What a TCP proxy has of its upstream: a connection of its own, or a tunnel through another proxy
(`tunneling_config`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from proxy.access_log.format import compile_text
from proxy.config.common import Address
from proxy.errors import Flag, ProxyError
from proxy.filters.header_edits import LevelEdits
from proxy.filters.network.tcp_proxy_config import Tunneling
from proxy.http.events import InformationalReceived, ResponseReceived
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.net.peer import address_of
from proxy.net.relay import Relay
from proxy.net.relay_end import End, SocketEnd
from proxy.upstream.cluster import Cluster
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.observed import NOBODY
from proxy.upstream.stream import UpstreamStream
from proxy.upstream.tcp import TcpConnection


class Upstream(Protocol):
    """`leave` once, and `close` it in any case."""

    @property
    def address(self) -> Address: ...
    @property
    def local(self) -> Address:
        """Our end of the connection."""
        ...

    @property
    def limit(self) -> int:
        """How many bytes may wait for the client."""
        ...

    def leave(self) -> tuple[End, bytes]:
        """Its end of the relay, and what has come of it already."""
        ...

    def when_abandoned(self, cancel: Callable[[], None]) -> None:
        """Have `cancel` called if the cluster wants it closed."""
        ...

    def close(self, relay: Relay | None) -> None:
        """`relay` has run to its end, or None has."""
        ...


class Direct:
    """A connection to the host."""

    def __init__(self, connection: TcpConnection, info: StreamInfo) -> None:
        self._connection = connection
        self._info = info
        self.address: Address = connection.remote
        self.local: Address = address_of(connection.sock, peer=False)
        self.limit = connection.limit

    def leave(self) -> tuple[End, bytes]:
        info, stats = self._info, self._connection.stats

        def received(count: int) -> None:
            info.upstream_bytes_received += count
            stats.cx_rx_bytes_total.inc(count)

        def sent(count: int) -> None:
            info.upstream_bytes_sent += count
            stats.cx_tx_bytes_total.inc(count)

        return SocketEnd(self._connection.sock, self.limit, received, sent), b""

    def when_abandoned(self, cancel: Callable[[], None]) -> None:
        self._connection.on_abandoned = cancel

    def close(self, relay: Relay | None) -> None:
        self._connection.on_abandoned = None
        reset_by, last = (relay.reset_by, relay.last) if relay is not None else (None, None)
        self._connection.close(remote=(reset_by or last) == "upstream", reset=reset_by == "downstream")


class Tunneled:
    """A CONNECT that the host has agreed to, or a POST (`in_bodies`), whose body and response are the tunnel."""

    def __init__(self, stream: UpstreamStream, info: StreamInfo, limit: int, *, in_bodies: bool) -> None:
        self._stream = stream
        self._info = info
        self._in_bodies = in_bodies
        self.address: Address = stream.identity.remote or stream.host.address
        self.local: Address = stream.local
        self.limit = limit

    def leave(self) -> tuple[End, bytes]:
        return self._stream.leave_to_bodies() if self._in_bodies else self._stream.leave_http()

    def when_abandoned(self, cancel: Callable[[], None]) -> None:
        """It has a stream of a connection that is not its own, which ends with its last one."""

    def close(self, relay: Relay | None) -> None:
        if relay is not None:
            self._stream.end_tunnel(by_upstream=relay.ended_by == "upstream")
        self._info.end_transfer(self._stream)
        self._stream.close()


class Tunnels:
    """Asks for them, as `config` wants it."""

    def __init__(self, config: Tunneling) -> None:
        self._hostname = compile_text(config.hostname)
        self._edits = LevelEdits(config.headers)
        self._post_path = config.post_path.encode()

    async def open(self, cluster: Cluster, info: StreamInfo, context: LoadBalancerContext) -> Tunneled:
        """Raises `ProxyError`: UF if there is no connection, or the host has not agreed."""
        try:
            stream = await cluster.open_stream(info, context=context, outcomes=NOBODY)
        finally:
            info.upstream_host = info.upstream_tried
        info.transfer = stream
        try:
            await self._ask(stream, info)
        except BaseException:
            info.end_transfer(stream)
            stream.forgo_reuse()  # whoever was asked to leave HTTP may not be in it any more
            stream.close()
            raise
        limit = cluster.config.per_connection_buffer_limit_bytes
        return Tunneled(stream, info, limit, in_bodies=bool(self._post_path))

    async def _ask(self, stream: UpstreamStream, info: StreamInfo) -> None:
        headers = Headers()
        self._edits.apply(headers, info)
        path, scheme = self._post_path, b"https" if stream.identity.tls is not None else b"http"
        try:
            if path:
                await stream.send_request(b"POST", path, self._hostname(info), headers, end_stream=False, scheme=scheme)
            else:
                await stream.send_request(b"CONNECT", b"", self._hostname(info), headers, end_stream=True)
            head = await stream.receive()
            while isinstance(head, InformationalReceived):
                head = await stream.receive()
        except ProxyError as error:
            raise _refused(error.detail) from error
        assert isinstance(head, ResponseReceived)
        if not 200 <= head.status < 300:
            raise _refused("tunnel_refused_by_upstream", f"tunnel_response:{head.status}")


def _refused(detail: str, failure: str = "") -> ProxyError:
    return ProxyError(
        detail, side="upstream", status=0, flag=Flag.UPSTREAM_CONNECTION_FAILURE, transport_failure=failure
    )
