"""A request that the express lane has sent on an HTTP/2 connection, and what has come of its response.

As long as that is plain it is kept here, without the queue and the bells of a channel. Nobody has taken anything of it,
so its window is not given back: a response that does not fit what there was at first is none of the lane's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from proxy.config.common import Address
from proxy.http.codec_h2_client import response_of
from proxy.http.events import AnswerReceived, DataReceived, Event, StreamEnded
from proxy.http.h2_channel import H2Channel
from proxy.http.h2_heads import Pair, ResponseHead
from proxy.http.h2_stream import Meter
from proxy.http.headers import Headers
from proxy.http.stream_info import UpstreamConnection

if TYPE_CHECKING:
    from proxy.upstream.http2_connection import Http2Connection

log = logging.getLogger("proxy.http")


class ExpressStream:
    """`settled`: nothing more has to be waited for, and who listens has been told. The response is `plain` if all of it
    came, and nothing else: `head`, `body` of `size` bytes, and `trailers` if there were any. `head_alone`: it ended
    with its head.
    """

    __slots__ = (
        "_body",
        "_channel",
        "_listener",
        "_most",
        "_others",
        "connection",
        "error",
        "head",
        "head_alone",
        "meter",
        "plain",
        "settled",
        "size",
        "stream_id",
        "trailers",
    )

    meter: Meter

    def __init__(self, connection: Http2Connection) -> None:
        self.connection = connection
        self.stream_id = 0
        self.head: ResponseHead | None = None
        self.head_alone = False
        self.trailers: Headers | None = None
        self.error: Exception | None = None
        self.plain = self.settled = False
        self._channel: H2Channel | None = None
        self._others: list[Event] = []
        self._body: list[bytes] = []
        self.size = 0
        self._most = 0
        self._listener: Callable[[], None] | None = None

    @property
    def local(self) -> Address:
        """Our end's address."""
        return self.connection.connection.local

    @property
    def identity(self) -> UpstreamConnection:
        """The connection, for logs."""
        return self.connection.connection.identity

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return b"".join(self._body)

    # --- the lane's side ---------------------------------------------------------------------------------------------

    def send(self, fields: Sequence[Pair], body: bytes, now: float) -> None:
        """Send a whole request (`H2ClientCodec.send_whole`) at `now`."""
        connection = self.connection
        stream = connection.codec.send_whole(fields, body, now)
        self.stream_id, self.meter, self._most = stream.id, stream.meter, stream.window
        connection.add(self, now)
        connection.wake_writer()

    def listen(self, listener: Callable[[], None] | None) -> None:
        """`listener` is called once it is settled; what it raises is logged and lost."""
        self._listener = listener

    def read_at_most(self, size: int) -> None:
        """Hold no more than `size` bytes of the body."""
        self._most = min(self._most, size)

    def go_on(self) -> H2Channel:
        """A channel for the general path, with all that has come; what is still to come is passed on to it."""
        self._listener = None
        channel = H2Channel(self.connection, self.connection.codec, self.stream_id)
        for event in self._others:
            channel.put(event)
        if self.head is not None:
            channel.put(response_of(self.stream_id, self.head, end_stream=self.head_alone))
        for data in self._body:
            channel.put(DataReceived(self.stream_id, data))
        if self.plain and not self.head_alone:
            channel.put(StreamEnded(self.stream_id, self.trailers))
        channel.error = self.error
        self._channel = channel
        return channel

    # --- the connection's side (as `H2Channel`) ----------------------------------------------------------------------

    def put(self, event: Event) -> None:
        """This has come."""
        if self._channel is not None:
            if isinstance(event, AnswerReceived):
                event = response_of(self.stream_id, event.head, end_stream=event.end_stream)
            self._channel.put(event)
        elif isinstance(event, DataReceived):
            self._body.append(event.data)
            self.size += len(event.data)
            if self.size > self._most:
                self._settle(plain=False)
        elif isinstance(event, StreamEnded):
            self.trailers = event.trailers
            self._settle(plain=True)
        elif isinstance(event, AnswerReceived):
            self.head, self.head_alone = event.head, event.end_stream
            if self.head_alone or event.head.content_length > self._most:
                self._settle(plain=self.head_alone)
        else:
            self._others.append(event)
            self._settle(plain=False)

    def ring(self) -> None:
        """What was queued has gone."""
        if self._channel is not None:
            self._channel.ring()

    def fail(self, error: Exception) -> None:
        """The stream is over."""
        self.error = error
        if self._channel is not None:
            self._channel.fail(error)
        else:
            self._settle(plain=False)

    def _settle(self, *, plain: bool) -> None:
        self.plain = plain
        self.settled = True
        listener, self._listener = self._listener, None
        if listener is not None:
            try:
                listener()
            except Exception:  # the connection's other streams are to go on
                log.exception("an express lane failed")
