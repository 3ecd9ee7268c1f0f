"""One request on a stream of an HTTP/2 connection, and its response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from proxy.config.common import Address
from proxy.errors import ProxyError
from proxy.http.codec import CodecError
from proxy.http.events import Event
from proxy.http.h2_channel import H2Channel
from proxy.http.h2_frames import ErrorCode
from proxy.http.h2_stream import Meter
from proxy.http.h2_tunnel import StreamEnd
from proxy.http.headers import Headers
from proxy.http.stream_info import UpstreamConnection
from proxy.limits import READ_SIZE
from proxy.net.relay_end import End
from proxy.upstream.http2_connection import Http2Connection, StreamGone
from proxy.upstream.http2_express import ExpressStream
from proxy.upstream.judge import Judge
from proxy.upstream.stats import Outcomes
from proxy.upstream.stream import UpstreamStream, unwritable

if TYPE_CHECKING:
    from proxy.upstream.http2_pool import Http2Pool


class Http2Stream(UpstreamStream):
    """As `UpstreamStream`. What ends it early is a RST_STREAM, and the connection lives on."""

    __slots__ = ("_channel", "_connection", "_meter", "_piece")

    _pool: Http2Pool

    def __init__(
        self, pool: Http2Pool, connection: Http2Connection, outcomes: Outcomes, judge: Judge | None = None
    ) -> None:
        super().__init__(pool, outcomes, judge, reused=connection.requests > 1)
        self._connection = connection
        self._channel = H2Channel(connection, connection.codec)
        self._meter = Meter()
        self._piece = READ_SIZE

    @classmethod
    def going_on(
        cls,
        pool: Http2Pool,
        sent: ExpressStream,
        outcomes: Outcomes,
        *,
        sent_at: float,
        judge: Judge | None = None,
    ) -> Http2Stream:
        """As `Http1Stream`."""
        stream = cls(pool, sent.connection, outcomes, judge)
        stream._channel, stream._meter = sent.go_on(), sent.meter
        stream.gone_out_at = sent_at
        return stream

    @property
    def local(self) -> Address:
        return self._connection.connection.local

    @property
    def identity(self) -> UpstreamConnection:
        return self._connection.connection.identity

    @property
    def bytes_sent(self) -> int:
        return self._meter.sent

    @property
    def bytes_received(self) -> int:
        return self._meter.received

    @property
    def header_bytes_sent(self) -> int:
        return self._meter.header_sent

    @property
    def header_bytes_received(self) -> int:
        return self._meter.header_received

    @property
    def pending(self) -> bool:
        return self._channel.pending

    @property
    def ending(self) -> bool:
        return self._channel.whole_within(0)

    async def send_request(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        headers: Headers,
        *,
        end_stream: bool,
        flush: bool = True,
        scheme: bytes = b"http",
    ) -> None:
        self._note_request(headers)
        if self.gone_out_at is not None:
            if end_stream:
                self._end_request(self.gone_out_at)
            return
        connection, codec = self._connection, self._connection.codec
        if method != b"CONNECT" and b"upgrade" in headers:
            await self._wait_for_offer()
        if connection.gone is not None:  # just now
            self._channel.fail(connection.gone)
            return
        if connection.leaving:  # while we waited: its host would not look at it
            self._channel.fail(StreamGone("remote refused stream reset", "http2.remote_refuse"))
            return
        now = trio.current_time()
        try:
            self._channel.stream_id = stream_id = codec.send_request(
                method, path, authority, headers, end_stream=end_stream, scheme=scheme, now=now
            )
        except CodecError as error:
            raise unwritable(error) from error
        self._meter = codec.meter(stream_id)
        connection.add(self._channel, now)
        if flush:
            connection.wake_writer()
        if end_stream:
            self._end_request(now)

    async def _wait_for_offer(self) -> None:
        """RFC 8441 section 3: an upstream must have said that it takes upgrades. Raises `ProxyError` (503)."""
        connection = self._connection
        await connection.settled.wait()
        if connection.gone is None and not connection.codec.peer_takes_extended_connect:
            raise ProxyError("upgrade_not_offered_by_upstream", side="upstream", status=503)

    async def send_data(self, data: bytes, *, flush: bool = True) -> None:
        if self._channel.error is None and self.gone_out_at is None:
            try:
                self._connection.codec.send_data(self._channel.stream_id, data)
            except CodecError as error:
                raise unwritable(error) from error
            if flush or self._channel.blocked:
                await self._channel.flush()

    async def send_end(self, trailers: Headers | None = None) -> None:
        if self.gone_out_at is not None:
            self._end_request(self.gone_out_at)
        elif self._channel.error is None:
            try:
                self._connection.codec.send_end(self._channel.stream_id, trailers)
            except CodecError as error:
                raise unwritable(error) from error
            await self._channel.flush()
            if self._channel.error is None:
                self._end_request(trio.current_time())

    def _end_request(self, now: float) -> None:
        self._request_ended_at = now
        self.gone_out_at = None

    async def _next(self) -> Event:
        """UR if the host has reset the stream, UC if the connection ended, UPE if the response is broken."""
        try:
            return await self._channel.receive(self._piece)
        except StreamGone as gone:
            self._pool.charge_reset(gone.reason)
            gone.__traceback__ = None  # it leads back here
            raise self._failed(gone.reason) from gone

    def leave_http(self) -> tuple[End, bytes]:
        return StreamEnd(self._channel, _counted, _counted), b""

    def end_tunnel(self, *, by_upstream: bool) -> ProxyError | None:
        error = self._channel.error
        if not isinstance(error, StreamGone):
            return None
        self._pool.charge_reset(error.reason)
        return self._failed(error.reason) if by_upstream else None

    def broken(self) -> ProxyError:
        return self._failed("protocol error")

    def read_at_most(self, size: int) -> None:
        self._piece = size

    def close(self) -> None:
        connection, channel = self._connection, self._channel
        connection.remove(channel)
        channel.close()
        if channel.error is None and connection.codec.reset(channel.stream_id, ErrorCode.CANCEL):
            self._pool.stats.rq_tx_reset.inc()
        if connection.codec.has_output:
            connection.wake_writer()
        self._pool.release(connection)


def _counted(_: int) -> None:
    """The stream's meter counts."""
