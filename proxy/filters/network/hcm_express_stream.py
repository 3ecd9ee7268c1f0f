"""The express lane of HTTP/2: a plain exchange on one stream, without a task.

The connection's reader begins it, the upstream's events bring it to its end, and the connection's writer sends the
response with what others have to say. It waits for nothing but the upstream: a response that its windows do not take at
once is handed over, as is everything that the lane of HTTP/1 (`hcm_express`) hands over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from proxy.filters.network.hcm_express_exchange import PlainExchange
from proxy.filters.network.hcm_plans import PlannedHead, Plans
from proxy.http import express_stream
from proxy.http.events import DataReceived, HeadReceived, StreamEnded
from proxy.http.express_stream import StreamArrival
from proxy.http.express_stream_response import StreamPlan
from proxy.http.handover import Handover
from proxy.limits import EXPRESS_REQUEST, READ_SIZE

if TYPE_CHECKING:
    from proxy.filters.network.hcm_h2_streams import Http2Streams
    from proxy.filters.network.http_connection_manager import HttpConnectionManager


class StreamLane(PlainExchange):
    """One stream's. `begin` it once; `streams` hears when it is over, or is to go on in another way. `started` is when
    the request came (`trio.current_time()`), `more` what has come of it behind its head.
    """

    http2 = True
    __slots__ = ("_size", "_streams", "meter", "more", "request", "started")

    def __init__(
        self, manager: HttpConnectionManager, plans: Plans, streams: Http2Streams, request: HeadReceived, started: float
    ) -> None:
        super().__init__(manager, plans, streams.connection, streams.hop)
        self._streams = streams
        self._size = 0  # of the request's body
        self.request = request
        self.started = started
        self.more: list[DataReceived | StreamEnded] = []
        self.meter = streams.codec.meter(request.stream_id)

    def begin(self, now: float) -> None:
        """Send the request on, or have it taken over."""
        progress = self.progress = Handover(b"", self.started)
        if self._manager.drain.active or not self._send_whole(progress, now):
            self._streams.take_over(self)
            return
        # As many streams as a client likes may wait for their responses, whose sizes it chooses.
        share = self._streams.codec.share(self.request.stream_id)
        if share < READ_SIZE:
            self._most = share
            progress.upstream.read_at_most(share)

    def _send_whole(self, progress: Handover, now: float) -> bool:
        """Send the request, if it is plain and all here; False if the general path has to take it from here."""
        body = self._request_body()
        arrival = express_stream.arrival(self.request.head, end_stream=self.request.end_stream)
        if body is None or arrival is None:
            return False
        self._arrival = arrival
        arrival.body, self._size = body, len(body)
        sent = self._send_upstream(arrival, progress, now)
        arrival.body = b""  # it is shared by all with this head
        return sent

    def _request_body(self) -> bytes | None:
        """The whole body; None if that is not here, or not plain."""
        if self.request.end_stream:
            return b""
        end = self.more[-1] if len(self.more) > 1 else None
        if not isinstance(end, StreamEnded) or end.trailers is not None:
            return None
        body = b"".join([piece.data for piece in self.more if isinstance(piece, DataReceived)])
        return body if len(body) <= EXPRESS_REQUEST else None

    def hand_over(self) -> None:
        progress = self.progress
        if progress is not None and progress.upstream is not None:
            self._read_as_usual(progress)
            progress.upstream.listen(None)
            self._manager.express.discard(self)
        self._streams.take_over(self)

    def _advance(self) -> None:
        progress = self.progress
        assert progress is not None
        try:
            if not self._collect(progress):
                return
            answered = (
                self._answer is not None and not self._manager.drain.active and self._respond(self._answer, progress)
            )
        except Exception:
            self._streams.failed(self)
            return
        if not answered:
            self.hand_over()

    def _read_as_usual(self, progress: Handover) -> None:
        if self._most < READ_SIZE:
            progress.upstream.read_at_most(READ_SIZE)

    def _planned(self, arrival: StreamArrival) -> PlannedHead | None:
        planned: PlannedHead | None = arrival.planned
        if planned is None or planned.fields is None:
            planned = arrival.planned = self._plans.find(arrival, self._hop)
        return planned

    def _respond(self, answer: StreamPlan, progress: Handover) -> bool:
        """Answer and charge; False if the client's windows do not take all of it at once."""
        now = trio.current_time()
        fields = answer.render(int((now - progress.sent_at) * 1000))
        body = self._body(answer, progress)
        stream_id = self.request.stream_id
        assert self._destination is not None
        codec = self._streams.codec
        trailers = progress.upstream.trailers if self._destination.multiplexed else None
        if not codec.send_whole(stream_id, fields, body, trailers):
            return False
        if self._size:
            codec.credit(stream_id, self._size)
        try:
            self._charge(answer, progress, now)
            logs = self._manager.express_logs
            if logs:
                assert self._head is not None
                log = logs.of(self._head.plan, self._destination, answer, progress).log_stream
                log(stream_id, self.meter, self._size, progress, self._connection, self._hop, now)
        finally:  # the client has its answer, whatever fails behind it
            self._read_as_usual(progress)
            self._let_go(progress, now)
            self._streams.served(self)
        return True
