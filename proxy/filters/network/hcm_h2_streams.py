"""The streams of one downstream HTTP/2 connection: in the express lane, or with an exchange in a task of its own."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from proxy.errors import Flag, ProxyError
from proxy.filters.network.hcm_express_stream import StreamLane
from proxy.filters.network.hcm_stream import ActiveStream
from proxy.http.deadlines import Phase
from proxy.http.events import DataReceived, HeadReceived, RequestReceived, StreamEnded
from proxy.http.exchange import Exchange
from proxy.http.h2_downstream import H2Downstream, Link
from proxy.http.h2_frames import ErrorCode
from proxy.http.handover import Handover
from proxy.http.identity import Hop
from proxy.http.stream_info import StreamInfo
from proxy.http.stream_starts import stream_starts
from proxy.limits import STREAM_BURST

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager

log = logging.getLogger("proxy.http")


class Http2Streams:
    """Those that are not over. `on_end` is called after each, with whether a drain wants the connection to end.

    `nursery`, set before there is one, has their tasks.
    """

    nursery: trio.Nursery

    def __init__(self, manager: HttpConnectionManager, link: Link, hop: Hop, on_end: Callable[[bool], None]) -> None:
        self.connection = link.connection
        self.codec = link.codec
        self.hop = hop
        self._manager = manager
        self._link = link
        self._on_end = on_end
        self._lanes: dict[int, StreamLane] = {}
        self._downstreams: dict[int, H2Downstream] = {}
        self._exchanges: dict[int, ActiveStream] = {}
        self._starts = stream_starts()
        self._begun: deque[int] = deque()  # those that have not started yet
        self._queued = False  # they wait for another turn of the loop

    def __len__(self) -> int:
        return len(self._lanes) + len(self._downstreams)

    # --- what comes -------------------------------------------------------------------------------------------------

    def begin(self, event: RequestReceived | HeadReceived, now: float) -> None:
        """A request has come; it starts with `start`."""
        stream_id = event.stream_id
        plans = self._manager.stream_plans
        if isinstance(event, RequestReceived):
            self._add(H2Downstream(self._link, stream_id, event, self.codec.meter(stream_id)), now)
        elif plans is not None:
            self._lanes[stream_id] = StreamLane(self._manager, plans, self, event, now)
        self.connection.idle = False
        self._begun.append(stream_id)

    def put(self, event: DataReceived | StreamEnded) -> None:
        """More of a request has come."""
        downstream = self._downstreams.get(event.stream_id)
        if downstream is not None:
            downstream.put(event)
            return
        lane = self._lanes.get(event.stream_id)
        if lane is not None:
            lane.more.append(event)

    def drained(self, stream_id: int) -> None:
        """What was queued of the stream has gone."""
        downstream = self._downstreams.get(stream_id)
        if downstream is not None:
            downstream.ring()

    def reset(self, stream_id: int, error: ProxyError) -> bool:
        """The stream is over, whatever its exchange is doing. False if there is none."""
        lane = self._lanes.get(stream_id)
        if lane is not None:
            lane.hand_over()
        downstream = self._downstreams.get(stream_id)
        if downstream is None:
            return False
        if downstream.error is None:
            downstream.fail(error)
            self._exchanges[stream_id].exchange.deadlines.client_gone(error)
        return True

    async def abandon(self, error: ProxyError) -> None:
        """All streams are over: of those that have started a few in each turn of the loop, as with their start."""
        for stream_id in self._begun:
            self.reset(stream_id, error)
        for number, stream_id in enumerate((*self._lanes, *self._downstreams)):
            if self.reset(stream_id, error) and not number % STREAM_BURST:
                await trio.lowlevel.checkpoint()
        while self._begun:
            await trio.lowlevel.checkpoint()

    def refuse(self, stream_id: int, error: ProxyError) -> None:
        """A request whose head could not be taken: counted, logged, and over."""
        stream = self._active_stream(H2Downstream(self._link, stream_id), trio.current_time())
        self._manager.end_exchange()
        stream.refuse(error)

    # --- starting ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start what has begun, as far as the loop's turn lets us."""
        begun, starts = self._begun, self._starts
        while begun and not self._queued and starts.take():
            self._start_one()
        if begun and not self._queued:
            self._queued = True
            starts.wait(self._start_one)

    def leave(self) -> None:
        """Nothing more comes. Whoever is in the lane, or has not started yet, gets a task, by which it is charged and
        logged, whatever becomes of that.
        """
        for lane in list(self._lanes.values()):
            lane.hand_over()
        while self._begun:
            self._start_one()

    def _start_one(self) -> bool:
        """Start the next stream; says whether there are more."""
        begun = self._begun
        if begun:
            stream_id = begun.popleft()
            lane = self._lanes.get(stream_id)
            try:
                if lane is not None:
                    self._begin_lane(lane)
                else:
                    self._spawn(stream_id)
            except Exception:  # the others are to start all the same
                log.exception("a stream could not be started")
                self.codec.reset(stream_id, ErrorCode.INTERNAL_ERROR)
                self._link.wake_writer()
        self._queued = self._queued and bool(begun)
        return bool(begun)

    def _begin_lane(self, lane: StreamLane) -> None:
        try:
            lane.begin(trio.current_time())
        except Exception:
            self.failed(lane)

    def _spawn(self, stream_id: int) -> None:
        self.nursery.start_soon(self._serve, self._downstreams[stream_id], self._exchanges[stream_id])

    # --- the express lane -------------------------------------------------------------------------------------------

    def served(self, lane: StreamLane) -> None:
        """The lane's exchange is over."""
        del self._lanes[lane.request.stream_id]
        self._over(drains=False)

    def failed(self, lane: StreamLane) -> None:
        """An exception has left the lane: the general path goes on, unless the client has its answer."""
        log.exception("the express lane failed")
        if lane.request.stream_id in self._lanes:
            lane.hand_over()

    def take_over(self, lane: StreamLane) -> None:
        """Go on where the lane stands."""
        stream_id, head = lane.request.stream_id, lane.request.head
        del self._lanes[stream_id]
        event = self.codec.request_of(stream_id, head, end_stream=lane.request.end_stream)
        downstream = H2Downstream(self._link, stream_id, event, lane.meter)
        for more in lane.more:
            downstream.put(more)
        self._add(downstream, lane.started, lane.progress)
        if lane.progress is not None:  # else it waits for its start
            self._spawn(stream_id)

    # --- exchanges --------------------------------------------------------------------------------------------------

    def _add(self, downstream: H2Downstream, started: float, handover: Handover | None = None) -> None:
        stream_id = downstream.stream_id
        self._downstreams[stream_id] = downstream
        stream = self._exchanges[stream_id] = self._active_stream(downstream, started, handover)
        if len(self._exchanges) == 1:
            self._manager.activity.streams[self.connection] = stream.exchange.info

    def _active_stream(
        self, downstream: H2Downstream, started: float, handover: Handover | None = None
    ) -> ActiveStream:
        if handover is None or handover.upstream is None:
            self._manager.begin_exchange(http2=True)
        stream = ActiveStream(self._manager, self.connection, self.hop, downstream, started, handover)
        stream.exchange.info.meter = downstream.meter
        return stream

    async def _serve(self, downstream: H2Downstream, stream: ActiveStream) -> None:
        stream_id = downstream.stream_id
        exchange = stream.exchange
        try:
            await self._run(stream)
            while exchange.redirected is not None and not exchange.response_started and downstream.error is None:
                stream = self._exchanges[stream_id] = self._active_stream(downstream, trio.current_time())
                await self._run(stream, exchange)
                exchange = stream.exchange
        finally:
            if exchange.deadlines.fired() is Phase.FLUSH:
                self.codec.stats.tx_flush_timeout.inc()
            self._forget(stream_id, exchange.info)
            downstream.close()
            if downstream.error is None:
                self.codec.reset(stream_id, _last_word(exchange.info))
            self._over(drains=exchange.drains)

    async def _run(self, stream: ActiveStream, before: Exchange | None = None) -> None:
        """One exchange; `before` has been redirected to it."""
        try:
            await stream.run(before)
        finally:
            self._manager.end_exchange()
            stream.end()

    def _forget(self, stream_id: int, info: StreamInfo) -> None:
        """Take the exchange off the books; an operator sees the oldest one of those that are left."""
        del self._downstreams[stream_id], self._exchanges[stream_id]
        shown = self._manager.activity.streams
        if shown.get(self.connection) is info:
            del shown[self.connection]
            for other in self._exchanges.values():
                shown[self.connection] = other.exchange.info
                break

    def _over(self, *, drains: bool) -> None:
        self._link.wake_writer()
        if not self._lanes and not self._downstreams:
            self.connection.idle = True
        self._on_end(drains)


_TUNNEL_LOST = frozenset({Flag.UPSTREAM_CONNECTION_FAILURE, Flag.UPSTREAM_CONNECTION_TERMINATION})


def _last_word(info: StreamInfo) -> ErrorCode:
    """Why a stream is reset that its exchange has left open (RFC 9113 sections 8.1 and 8.5)."""
    if info.upgrade and not _TUNNEL_LOST.isdisjoint(info.flags):
        return ErrorCode.CONNECT_ERROR
    return ErrorCode.NO_ERROR if info.response_complete else ErrorCode.INTERNAL_ERROR
