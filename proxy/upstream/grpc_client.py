"""Calls of our own to gRPC services that are clusters (Envoy's `envoy_grpc`). Messages are bytes; retries are the
caller's.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

import trio

from proxy.errors import ProxyError, describe
from proxy.http import grpc
from proxy.http.events import DataReceived, InformationalReceived, ResponseReceived, StreamEnded
from proxy.http.grpc import GrpcStatus
from proxy.http.grpc_messages import GrpcError, MessageReader
from proxy.http.headers import Headers
from proxy.limits import MAX_GRPC_MESSAGE
from proxy.upstream.cluster import Cluster
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.stream import UpstreamStream

_HTTP2 = LoadBalancerContext(http2=True)


class Clusters(Protocol):
    """`ClusterManager`, or a view of it."""

    def get(self, name: str) -> Cluster | None: ...


class GrpcClient:
    """Calls the hosts of the cluster called `cluster`, which is looked for at each call. `authority` is what they are
    asked for, by default the cluster's name as in Envoy; `metadata` goes with each call.
    """

    def __init__(
        self,
        clusters: Clusters,
        cluster: str,
        *,
        authority: str = "",
        metadata: Iterable[tuple[bytes, bytes]] = (),
        max_message: int = MAX_GRPC_MESSAGE,
    ) -> None:
        self._clusters = clusters
        self._cluster = cluster
        self._authority = (authority or cluster).encode()
        self._metadata = tuple(metadata)
        self._max_message = max_message

    async def unary(self, service: str, method: str, message: bytes, *, timeout: float) -> bytes:
        """The answer to `message`, within `timeout` seconds. Raises `GrpcError`."""
        async with self.call(service, method, timeout=timeout) as call:
            await call.send(message, last=True)
            answer = await call.receive()
            if answer is None:
                raise GrpcError(GrpcStatus.INTERNAL, "an answer without a message")
            if await call.receive() is not None:
                raise GrpcError(GrpcStatus.INTERNAL, "more than one answer")
            return answer

    @contextlib.asynccontextmanager
    async def call(self, service: str, method: str, *, timeout: float = 0.0) -> AsyncIterator[GrpcCall]:
        """A call, of which both sides may send any number of messages. It is over with the `async with`, cancelled if
        it has not ended by then, and after `timeout` seconds (0: never) in any case. Raises `GrpcError`.
        """
        cluster = self._clusters.get(self._cluster)
        if cluster is None:
            raise GrpcError(GrpcStatus.UNAVAILABLE, f"there is no cluster {self._cluster!r}")
        with trio.move_on_after(timeout or float("inf")) as scope:
            try:
                stream = await cluster.open_stream(context=_HTTP2)
            except ProxyError as error:
                raise _failure(error) from error
            try:
                await self._send_head(stream, f"/{service}/{method}", timeout)
                yield GrpcCall(stream, self._max_message, cluster.retired)
            except ProxyError as error:
                raise _failure(error) from error
            finally:
                stream.close()
        if scope.cancelled_caught:
            raise GrpcError(GrpcStatus.DEADLINE_EXCEEDED, f"no end within {timeout:g} s")

    async def _send_head(self, stream: UpstreamStream, path: str, timeout: float) -> None:
        headers = Headers(
            [
                (b"content-type", grpc.CONTENT_TYPE),
                (b"te", b"trailers"),
                (b"grpc-accept-encoding", b"identity"),
                *self._metadata,
            ]
        )
        if timeout:
            headers.add(b"grpc-timeout", b"%dm" % max(1, round(timeout * 1000)))
        await stream.send_request(b"POST", path.encode(), self._authority, headers, end_stream=False)


class GrpcCall:
    """Sending and receiving may be two tasks. Both raise `GrpcError`, or the `ProxyError` of which `GrpcClient.call`
    makes one. `retired` is set once the cluster is another one: whoever calls for ever should call that.
    """

    def __init__(self, stream: UpstreamStream, max_message: int, retired: trio.Event) -> None:
        self.retired = retired
        self._stream = stream
        self._reader = MessageReader(max_message)
        self._ended = False

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """Send `message`; waits while the host does not read. `last`: there will be no other one."""
        await self._stream.send_data(grpc.frame_head(len(message)) + message)
        if last:
            await self._stream.send_end()

    async def end(self) -> None:
        """Nothing more will be sent."""
        await self._stream.send_end()

    async def receive(self) -> bytes | None:
        """The next message; None once the call has ended with OK."""
        while True:
            message = self._reader.next()
            if message is not None:
                return message
            if self._ended:
                if self._reader.missing:
                    raise GrpcError(GrpcStatus.INTERNAL, "the call ended within a message")
                return None
            await self._read()

    async def _read(self) -> None:
        event = await self._stream.receive()
        if isinstance(event, DataReceived):
            self._reader.feed(event.data)
        elif isinstance(event, ResponseReceived):
            if event.status != 200:
                raise GrpcError(grpc.of_http(event.status), f"HTTP status {event.status}")
            if event.end_stream:
                self._end(event.headers)
        elif isinstance(event, StreamEnded):
            self._end(event.trailers)
        elif not isinstance(event, InformationalReceived):
            raise GrpcError(GrpcStatus.INTERNAL, "the host left HTTP")

    def _end(self, fields: Headers | None) -> None:
        """The call's status is in `fields`."""
        self._ended = True
        said = fields.get(grpc.STATUS) if fields is not None else None
        message = grpc.decode_message((fields.get(grpc.MESSAGE) or b"") if fields is not None else b"")
        if said is None:
            raise GrpcError(GrpcStatus.UNKNOWN, "no status")
        try:
            status = GrpcStatus(int(said))
        except ValueError:
            raise GrpcError(GrpcStatus.UNKNOWN, f"status {said.decode('latin-1')}") from None
        if status is not GrpcStatus.OK:
            raise GrpcError(status, message)


def _failure(error: ProxyError) -> GrpcError:
    """What a call comes to that no host has ended."""
    status = grpc.of_http(error.status) if error.status else GrpcStatus.UNAVAILABLE
    return GrpcError(status, describe(error))
