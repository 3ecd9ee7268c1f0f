"""The bodies of an exchange of HTTP/1 as an end of a relay: the response's body comes, the request's goes.

A tunnel through a proxy that takes it in a POST (`tunneling_config.use_post`). The codec goes on framing both.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Iterable

import trio

from proxy.http.codec import ClientCodec, CodecError
from proxy.http.events import DataReceived, Event, StreamEnded
from proxy.limits import READ_SIZE
from proxy.net.pipe import Memory, Pipe
from proxy.net.relay_end import Count


class BodyEnd:
    """Implements `proxy.net.relay_end.End` over a connection of which nobody else waits for anything. `events` have
    come already. What breaks the framing is a lost peer.
    """

    __slots__ = ("_codec", "_events", "_frame", "_received", "_sent", "_sock", "_stream_id", "limit")

    splices = False

    def __init__(
        self,
        sock: socket.socket,
        codec: ClientCodec,
        stream_id: int,
        events: Iterable[Event],
        limit: int,
        received: Count,
        sent: Count,
    ) -> None:
        self._sock = sock
        self._codec = codec
        self._stream_id = stream_id
        self._events = deque(events)
        self._frame = memoryview(b"")
        self.limit = limit
        self._received = received
        self._sent = sent

    def fill(self, carrier: Pipe | Memory, limit: int) -> int:
        assert isinstance(carrier, Memory)
        while not self._events:
            self._read()
        event = self._events[0]
        if not isinstance(event, DataReceived):
            return 0  # now, and whoever asks again
        self._events.popleft()
        carrier.load(event.data)
        return len(event.data)

    def empty(self, carrier: Pipe | Memory) -> None:
        """One frame for all that `carrier` holds, which it goes on holding until the frame is out."""
        assert isinstance(carrier, Memory)
        if not self._frame:
            data = carrier.unload()
            carrier.load(data)
            self._codec.send_data(self._stream_id, data)
            self._frame = memoryview(self._codec.take_output())
        self._send()
        if not self._frame:
            carrier.unload()

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._sock)

    async def wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(self._sock)

    def on_loss(self, call: object) -> None:
        """Who reads or writes it finds out."""

    async def finish(self) -> None:
        self._codec.send_end(self._stream_id, None)
        self._frame = memoryview(self._codec.take_output())
        while self._frame:
            try:
                self._send()
            except BlockingIOError:
                await self.wait_writable()

    def _read(self) -> None:
        data = self._sock.recv(READ_SIZE)
        self._received(len(data))
        try:
            self._events.extend(self._codec.receive(data))
        except CodecError as error:
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO)) from error
        if not data and not self._events:
            self._events.append(StreamEnded(self._stream_id))

    def _send(self) -> None:
        sent = self._sock.send(self._frame)
        self._frame = self._frame[sent:]
        self._sent(sent)
