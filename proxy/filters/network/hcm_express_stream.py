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
from proxy.http.events import HeadReceived
from proxy.http.express_stream import StreamArrival
from proxy.http.express_stream_response import StreamPlan
from proxy.http.handover import Handover
from proxy.limits import READ_SIZE

if TYPE_CHECKING:
    from proxy.filters.network.hcm_h2_streams import Http2Streams
    from proxy.filters.network.http_connection_manager import HttpConnectionManager


class StreamLane(PlainExchange):
    """One stream's. `begin` it once; `streams` hears when it is over, or is to go on in another way. `started` is when
    the request came (`trio.current_time()`).
    """

    http2 = True
    __slots__ = ("_streams", "meter", "request", "started")

    def __init__(
        self, manager: HttpConnectionManager, plans: Plans, streams: Http2Streams, request: HeadReceived, started: float
    ) -> None:
        super().__init__(manager, plans, streams.connection, streams.hop)
        self._streams = streams
        self.request = request
        self.started = started
        self.meter = streams.codec.meter(request.stream_id)

    def begin(self, now: float) -> None:
        """Send the request on, or have it taken over."""
        progress = self.progress = Handover(b"", self.started)
        arrival = self._arrival = express_stream.arrival(self.request.head)
        if arrival is None or self._manager.drain.active or not self._send_upstream(arrival, progress, now):
            self._streams.take_over(self)
            return
        # As many streams as a client likes may wait for their responses, whose sizes it chooses.
        share = self._streams.codec.share(self.request.stream_id)
        if share < READ_SIZE:
            self._most = share
            progress.upstream.read_at_most(share)

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
        if not self._streams.codec.send_whole(stream_id, fields, body):
            return False
        try:
            self._charge(answer, progress, now)
            logs = self._manager.express_logs
            if logs:
                assert self._head is not None
                assert self._destination is not None
                log = logs.of(self._head.plan, self._destination, answer, progress).log_stream
                log(stream_id, self.meter, progress, self._connection, self._hop, now)
        finally:  # the client has its answer, whatever fails behind it
            self._read_as_usual(progress)
            self._let_go(progress, now)
            self._streams.served(self)
        return True
