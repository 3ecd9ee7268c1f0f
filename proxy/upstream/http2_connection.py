"""One upstream HTTP/2 connection: a task that reads, one that writes, and one that asks whether the host is there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import trio

from proxy.http.codec_h2_client import H2ClientCodec
from proxy.http.events import Event, GoawayReceived, StreamReset
from proxy.http.h2_frames import ErrorCode
from proxy.http.h2_keepalive import Keepalive
from proxy.http.h2_sender import OUTPUT_LIMIT
from proxy.net.bell import Bell
from proxy.upstream.connection import Connection, ConnectionLost

if TYPE_CHECKING:
    from proxy.upstream.failures import Reason

BEFORE_SETTINGS = 100
"""Streams on a connection whose peer has not yet said how many it takes: RFC 9113 6.5.2 wants no peer to take fewer."""


class StreamGone(Exception):
    """A stream is over before its response was. `cause` is the codec's word for it."""

    def __init__(self, reason: Reason, cause: str = "") -> None:
        super().__init__(cause or reason)
        self.reason: Reason = reason


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def on_room(self) -> None:
        """A connection has room for streams again."""

    def on_goaway(self, connection: Http2Connection) -> None:
        """Its host takes no new streams on it."""


class Receiver(Protocol):
    """Who gets what comes of a stream: a channel, or an express lane."""

    stream_id: int
    error: Exception | None

    def put(self, event: Event) -> None: ...
    def ring(self) -> None: ...
    def fail(self, error: Exception) -> None: ...


class Http2Connection:
    """It begins before there is a socket: `serve` is given one.

    `claimed` counts the streams that were promised to requests and have not been given back, `requests` all that ever
    were. `began` is when connecting began, `idle_since` when the last stream was given back. `draining`: it carries no
    new ones. `leaving`: its host takes none (GOAWAY). `remote`: the peer has ended it. `gone` is set once it is over.
    `settled`: its host has said what it takes, or never will.
    """

    def __init__(self, owner: Owner, codec: H2ClientCodec) -> None:
        self._owner = owner
        self.codec = codec
        self.claimed = 0
        self.requests = 0
        self.began = self.idle_since = trio.current_time()
        self.draining = False
        self.remote = False
        self.gone: StreamGone | None = None
        self.leaving = False
        self._connection: Connection | None = None
        self._channels: dict[int, Receiver] = {}
        self.settled = trio.Event()
        self._scope = trio.CancelScope()
        self._writer = Bell()
        self._clock = Bell()
        self._keepalive = Keepalive(codec.options.keepalive, self.began)
        self._heard_at = self.began

    @property
    def connection(self) -> Connection:
        """Its socket, once there is one."""
        assert self._connection is not None
        return self._connection

    @property
    def connecting(self) -> bool:
        return self._connection is None

    @property
    def capacity(self) -> int:
        """How many streams it may carry at a time."""
        peer = self.codec.peer_max_streams if self.codec.settled else BEFORE_SETTINGS
        return min(self.codec.options.max_concurrent_streams, peer)

    @property
    def takes_none(self) -> bool:
        """Its host has said that it takes no streams (RFC 9113 6.5.2: for a short time)."""
        return self.codec.settled and not self.codec.peer_max_streams and not self.draining

    @property
    def room(self) -> int:
        """How many streams may be opened now. A host that does not read what it gets is given no more."""
        if self.draining or self.connecting or self.codec.output_size >= OUTPUT_LIMIT:
            return 0
        return min(self.capacity - self.claimed, self.codec.streams_left)

    # --- its life -----------------------------------------------------------------------------------------------------

    async def serve(self, connection: Connection) -> None:
        """Until the connection has ended; the socket is closed then, and all streams are over."""
        self._connection = connection
        self.idle_since = trio.current_time()
        self._keepalive = Keepalive(self.codec.options.keepalive, self.idle_since)
        self._heard_at = self.idle_since
        self._owner.on_room()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._keep_alive)
                    await self._read()
                    nursery.cancel_scope.cancel()
        finally:
            self._end()

    def close(self) -> None:
        """End it, by our own choice."""
        self._scope.cancel()

    async def _read(self) -> None:
        codec, connection = self.codec, self.connection
        while True:
            try:
                data = await connection.receive()
            except ConnectionLost:
                data = b""
            if not data:
                self.remote = True
                return
            capacity = self.capacity
            self._heard_at = now = trio.current_time()
            for event in codec.receive(data, now):
                self._dispatch(event)
            self._wake_drained()
            if codec.settled:
                self.settled.set()
            if self.capacity > capacity:
                self._owner.on_room()
            if codec.has_output:
                self.wake_writer()
            if self._keepalive.lost:
                self._keepalive.heard(codec.pings_answered)
                self._clock.ring()
            if codec.failure is not None:
                return

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, GoawayReceived):
            if not self.leaving:
                self.leaving = True
                self._owner.on_goaway(self)
            return
        channel = self._channels.get(event.stream_id)
        if channel is None:
            return
        if isinstance(event, StreamReset):
            channel.fail(_reset(event))
        else:
            channel.put(event)

    async def _write(self) -> None:
        """Send whatever the codec has. One task, so that frames stay whole; it runs once all others had their turn, so
        that one packet carries what they all had to say. If the peer takes nothing any more, the reader finds out.
        """
        codec, connection = self.codec, self.connection
        with contextlib.suppress(ConnectionLost):
            while True:
                while not codec.has_output:
                    await self._writer.wait()
                full = codec.output_size >= OUTPUT_LIMIT
                data = codec.take_output()
                self._wake_drained()
                await connection.send(data)
                if full:
                    self._owner.on_room()

    def _wake_drained(self) -> None:
        for stream_id in self.codec.drained:
            channel = self._channels.get(stream_id)
            if channel is not None:
                channel.ring()
        self.codec.drained.clear()

    async def _keep_alive(self) -> None:
        """Ask a silent host whether it is there, or take it that it is not."""
        keepalive = self._keepalive
        while True:
            with trio.move_on_at(keepalive.due):
                await self._clock.wait()
            now = trio.current_time()
            if not keepalive.is_due(now):
                continue
            if keepalive.lost:
                self.codec.stats.keepalive_timeout.inc()
                self.close()
                return
            self._ask(now)

    def _ask(self, now: float) -> None:
        self.codec.send_ping(self._keepalive.ask(now))
        self.wake_writer()

    def _end(self) -> None:
        self.draining = True
        failure = self.codec.failure
        if failure is None:
            self.gone = StreamGone("connection termination")
        else:
            self.gone = StreamGone("protocol error", failure.detail)
            self.connection.send_now(self.codec.take_output())
        for channel in list(self._channels.values()):
            if channel.error is None:
                channel.fail(self.gone)
        self.settled.set()
        self.codec.end()
        self.connection.close()

    # --- streams ------------------------------------------------------------------------------------------------------

    def wake_writer(self) -> None:
        self._writer.ring()
        if self.codec.failure is not None:
            self.close()

    def add(self, channel: Receiver, now: float) -> None:
        """What comes of the channel's stream, which begins `now`, goes there from now on."""
        self._channels[channel.stream_id] = channel
        if self._keepalive.doubts(now, self._heard_at):
            self._ask(now)
            self._clock.ring()

    def remove(self, channel: Receiver) -> None:
        """Nobody wants it any more."""
        self._channels.pop(channel.stream_id, None)


def _reset(event: StreamReset) -> StreamGone:
    """What has ended a stream: our codec, or the host. Words and details are Envoy's, to which a head that is too large
    for us is a reset by the host."""
    if event.local and event.error_code != ErrorCode.INTERNAL_ERROR:
        return StreamGone("protocol error", event.detail)
    if event.error_code == ErrorCode.REFUSED_STREAM:
        return StreamGone("remote refused stream reset", "http2.remote_refuse")
    return StreamGone("remote reset", event.detail or "http2.remote_reset")
