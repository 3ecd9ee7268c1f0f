"""What an HTTP/2 connection sends, and the streams that it sends for: windows, queues, and the bound of the output
(RFC 9113 sections 5.1 and 5.2). Sans-IO.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from proxy.config.http2 import Http2Options
from proxy.http import h2_frames as frames
from proxy.http.codec import CodecError
from proxy.http.h2_budget import Budget
from proxy.http.h2_frames import ConnectionFailed, ErrorCode
from proxy.http.h2_hpack import BlockEncoder
from proxy.http.h2_stats import Http2Stats
from proxy.http.h2_stream import Meter, Stream
from proxy.http.headers import Headers
from proxy.limits import LEAST_READ

OUTPUT_LIMIT = 256 * 1024
"""Bytes of DATA that are framed ahead of the socket. What is beyond waits with its stream, in turns."""

MAX_OUTPUT = 4 * 1024 * 1024
"""All that may be written ahead of the socket, heads of responses above all; Envoy bounds frames alone."""

_REMEMBERED = 512
"""Streams that are over, of which frames may still be on their way (RFC 9113 5.1, "closed")."""


def _unread() -> ConnectionFailed:
    return ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "http2.outbound_flood", "outbound_flood")


class H2Sender:
    """`take_output` has what is to be sent; once `failure` is set, the connection cannot go on. `drained` collects the
    streams whose queue has become empty, for the driver to clear. `peer_*` are the peer's settings. Streams that are
    over are remembered for a while in `_over`, with whether it was we who reset them.
    """

    client = False

    def __init__(self, options: Http2Options, stats: Http2Stats) -> None:
        self.options = options
        self.stats = stats
        self.failure: CodecError | None = None
        self.drained: list[int] = []
        self.output_size = 0
        self.peer_initial_window = frames.DEFAULT_WINDOW
        self.peer_frame_size = frames.MIN_FRAME_SIZE
        self.peer_max_streams = frames.MAX_STREAM_ID
        self.peer_takes_extended_connect = False
        self._now = 0.0
        self.first_window = options.initial_stream_window_size
        self._budget = Budget(options)
        self._streams: dict[int, Stream] = {}
        self._over: OrderedDict[int, bool] = OrderedDict()
        self._last_meters: dict[int, Meter] = {}  # of streams that ended while the last bytes were read
        self._highest = 0  # the highest stream that the client, whichever of us it is, has opened
        self._goaway_at: int | None = None  # the last stream that we said we would serve
        self._encoder = BlockEncoder(options.hpack_table_size)
        self._output: list[bytes | memoryview] = []
        self._unsent_answers = 0
        self._unsent_frames = 0
        self._last_data: tuple[int, int] | None = None  # stream and place in the output of the last DATA frame's head
        self._blocked: OrderedDict[int, Stream] = OrderedDict()  # have bytes queued, and a window of their own
        self._send_window = frames.DEFAULT_WINDOW
        self._receive_window = options.initial_connection_window_size
        self._consumed = 0

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    @property
    def _last_taken(self) -> int:
        """The last stream of the peer's that we have looked at: servers open none."""
        return 0 if self.client else self._highest

    def _open(self, stream_id: int) -> Stream:
        stream = self._streams[stream_id] = Stream(stream_id, self.peer_initial_window, self.first_window, self._now)
        self._budget.opened += 1
        self.stats.streams_active.add(1)
        return stream

    def _end_remote(self, stream: Stream) -> None:
        stream.remote_ended = True
        if stream.local_ended:
            self._close(stream, ours=False)

    def _end_local(self, stream: Stream) -> None:
        stream.local_ended = True
        if stream.remote_ended:
            self._close(stream, ours=False)

    def _close(self, stream: Stream, *, ours: bool) -> None:
        """Nothing of `stream` is sent or taken any more; `ours`: we have reset it."""
        del self._streams[stream.id]
        self._blocked.pop(stream.id, None)
        self.stats.streams_active.add(-1)
        self.stats.pending_send_bytes.add(-stream.queued)
        stream.queue = None
        stream.queued = 0
        stream.local_ended = stream.remote_ended = True
        self._remember(stream.id, ours=ours)

    def _remember(self, stream_id: int, *, ours: bool) -> None:
        """The stream is over; `ours`: we have reset it."""
        self._over[stream_id] = ours
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)

    def reset(self, stream_id: int, code: int) -> bool:
        """End a stream that is still open; says whether it was."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return False
        self._close(stream, ours=True)
        self.stats.tx_reset.inc()
        self._queue(frames.rst_stream(stream_id, code))
        return True

    # --- out --------------------------------------------------------------------------------------------------------

    def queued(self, stream_id: int) -> int:
        """Bytes of the stream that wait for a window, or for their turn."""
        stream = self._streams.get(stream_id)
        return stream.queued if stream is not None else 0

    def room(self, stream_id: int) -> int:
        """How many bytes of the stream may be sent at once."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.queued:
            return 0
        return max(0, min(stream.send_window, self._send_window, OUTPUT_LIMIT - self.output_size))

    def share(self, stream_id: int) -> int:
        """How many bytes of the stream are worth having at once: its part of the room that there is."""
        return max(LEAST_READ, self.room(stream_id) // max(1, len(self._streams)))

    def send_data(self, stream_id: int, data: bytes) -> None:
        """Queue body bytes; nothing if the stream is over."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.local_ended or not data:
            return
        size = len(data)
        if (
            not stream.queued
            and size <= stream.send_window
            and size <= self._send_window
            and size <= self.peer_frame_size
            and self._may_frame
        ):
            self._frame_data(stream, data)
            return
        if stream.queue is None:
            stream.queue = deque()
        stream.queue.append(data)
        stream.queued += size
        self.stats.pending_send_bytes.add(size)
        self._unblock(stream)
        self._pump()

    def send_end(self, stream_id: int, trailers: Headers | None = None) -> None:
        """End our side of the stream, behind all that is queued of it."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.local_ended:
            return
        if trailers is not None and not trailers.items:
            trailers = None
        if stream.queued:
            stream.ends, stream.trailers = True, trailers
        else:
            self._finish(stream, trailers)

    def _finish(self, stream: Stream, trailers: Headers | None) -> None:
        if trailers is not None:
            self._queue_block(stream, self._encoder.encode(trailers), end_stream=True)
        elif self._last_data is not None and self._last_data[0] == stream.id:
            at = self._last_data[1]
            head = self._output[at]
            self._output[at] = bytes(head[:4]) + bytes((head[4] | frames.END_STREAM,)) + bytes(head[5:])
        else:
            self._queue(frames.head(0, frames.DATA, frames.END_STREAM, stream.id))
        self._end_local(stream)

    def _frame_data(self, stream: Stream, data: bytes | memoryview, *, end_stream: bool = False) -> None:
        size = len(data)
        stream.meter.sent += frames.HEAD_SIZE + size
        stream.send_window -= size
        self._send_window -= size
        self._budget.data_sent += 1
        self._unsent_frames += 1
        self._last_data = (stream.id, len(self._output))
        self._output.append(frames.head(size, frames.DATA, frames.END_STREAM if end_stream else 0, stream.id))
        self._output.append(data)
        self.output_size += frames.HEAD_SIZE + size

    def _takes_whole(self, stream: Stream, size: int) -> bool:
        """Whether a body of `size` bytes may be framed at once, by all windows and bounds."""
        return size <= stream.send_window and self._takes_framed(size)

    def _takes_framed(self, size: int) -> bool:
        return (
            size <= self._send_window
            and size <= OUTPUT_LIMIT - self.output_size
            and self._unsent_frames + 2 + size // self.peer_frame_size <= self.options.max_outbound_frames
        )

    def _frame_body(self, stream: Stream, body: bytes | memoryview, *, end_stream: bool = True) -> None:
        """All DATA frames of `body`; `end_stream`: the last one ends our side of the stream."""
        size, limit = len(body), self.peer_frame_size
        pieces = [body] if size <= limit else [body[at : at + limit] for at in range(0, size, limit)]
        for piece in pieces:
            self._frame_data(stream, piece, end_stream=end_stream and piece is pieces[-1])

    @property
    def _may_frame(self) -> bool:
        """Whether another DATA frame may be written ahead of the socket; if not, it waits with its stream."""
        return self.output_size < OUTPUT_LIMIT and self._unsent_frames < self.options.max_outbound_frames

    def _check_unsent(self) -> None:
        """DATA has its bound. What else is written for a peer that does not read is bounded by its end."""
        if self._unsent_frames > self.options.max_outbound_frames or self.output_size > MAX_OUTPUT:
            raise _unread()

    def _unblock(self, stream: Stream) -> None:
        """`stream` has more to send, or more of a window."""
        if stream.queued and stream.send_window > 0:
            self._blocked[stream.id] = stream

    def _pump(self) -> None:
        """Frame what waits, as far as windows and the output's bound let it, one frame of each stream in turn."""
        while self._blocked and self._send_window > 0 and self._may_frame:
            _, stream = self._blocked.popitem(last=False)
            if stream.send_window > 0:  # else the peer has made its window smaller since
                self._pump_one(stream)
                self._unblock(stream)

    def _pump_one(self, stream: Stream) -> None:
        limit = min(stream.send_window, self._send_window, self.peer_frame_size, OUTPUT_LIMIT - self.output_size)
        assert stream.queue is not None
        piece = stream.queue[0]
        if len(piece) <= limit:
            stream.queue.popleft()
        else:
            view = memoryview(piece)
            piece, stream.queue[0] = view[:limit], view[limit:]
        size = len(piece)
        stream.queued -= size
        self.stats.pending_send_bytes.add(-size)
        self._frame_data(stream, piece)
        if not stream.queued:
            self.drained.append(stream.id)
            if stream.ends:
                self._finish(stream, stream.trailers)

    def meter(self, stream_id: int) -> Meter:
        """What counts the bytes of a stream that is open, or has ended within what was read last."""
        stream = self._streams.get(stream_id)
        return stream.meter if stream is not None else self._last_meters[stream_id]

    def header_bytes_sent(self, stream_id: int) -> int:
        """`meter` counts."""
        return 0

    def credit(self, stream_id: int, size: int) -> None:
        """`size` body bytes that came are used up: the peer may send as many more, once they are worth a frame."""
        self._give_back(size)
        stream = self._streams.get(stream_id)
        if stream is None or stream.remote_ended:
            return
        stream.consumed += size
        if stream.consumed >= stream.window // 2:
            window = min(2 * stream.window, self.options.initial_stream_window_size)
            more = stream.consumed + window - stream.window
            stream.window = window
            stream.receive_window += more
            self._queue(frames.window_update(stream_id, more))
            stream.consumed = 0

    def _give_back(self, size: int) -> None:
        self._consumed += size
        if self._consumed >= self.options.initial_connection_window_size // 2:
            self._receive_window += self._consumed
            self._queue(frames.window_update(0, self._consumed))
            self._consumed = 0

    def send_around(self, stream_id: int, count: int) -> None:
        """No byte goes around: each is in a frame (`body_room` is 0)."""
        raise RuntimeError("HTTP/2 has no way around its frames")

    def send_ping(self, data: bytes) -> None:
        self._queue(frames.ping(data))

    def send_goaway(self, code: int = ErrorCode.NO_ERROR, *, notice: bool = False) -> None:
        """Take no streams beyond those that have come; `notice`: not yet, but the peer should stop opening them."""
        last = frames.MAX_STREAM_ID if notice else self._last_taken
        if not notice:
            self._goaway_at = last
        self.stats.goaway_sent.inc()
        self._queue(frames.goaway(last, code))

    def take_output(self) -> bytes:
        """What is to be sent now."""
        output, self._output = self._output, []
        self.output_size = self._unsent_answers = self._unsent_frames = 0
        self._last_data = None
        if self._blocked:
            self._pump()
        return b"".join(output)

    @property
    def has_output(self) -> bool:
        return bool(self._output)

    def _queue_block(self, stream: Stream, block: bytes, *, end_stream: bool) -> None:
        sent = frames.header_frames(stream.id, block, self.peer_frame_size, end_stream=end_stream)
        stream.meter.sent += len(sent)
        stream.meter.header_sent += len(sent)
        self._queue(sent)
        if self.output_size > MAX_OUTPUT:
            self._fail(_unread())

    def _answer(self, frame: bytes) -> None:
        """Queue what the peer has made us say."""
        self._budget.answer(self._now, self._unsent_answers)
        self._unsent_answers += 1
        self._queue(frame)

    def _queue(self, frame: bytes) -> None:
        self._last_data = None
        self._output.append(frame)
        self.output_size += len(frame)
        self._unsent_frames += 1

    def _fail(self, failed: ConnectionFailed) -> None:
        """The connection cannot go on: a GOAWAY is the end of the output."""
        if self.failure is not None:
            return
        if failed.flood:
            self.stats.flood(failed.flood)
        self.failure = CodecError(failed.detail)
        self._queue(frames.goaway(self._last_taken, failed.code))
        if not self.client:
            self.stats.goaway_sent.inc()

    def end(self) -> None:
        """The connection is over: what its gauges still count of it is none."""
        for stream in list(self._streams.values()):
            self._close(stream, ours=False)
