"""The express lane of HTTP/1: plain exchanges of one connection, from socket to socket without a task switch.

A connection has no task while its requests are of the plainest kind: whole in one piece, to a host with a free
connection, answered soon with a body of known size. A generator driven by the poller's events (`proxy/net/poller.py`)
serves those; it waits for readable sockets and for nothing else. Whatever is less plain is handed over: a task begins
(`hcm_front`), and the general path (`hcm_session`) goes on where the lane stood, with everything that only it has:
filters, deadlines, local replies, streams. What a plain message means is decided by the general path's own functions
(`hcm_plans`), and a property test holds the bytes, stats and logs of both to be the same.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import trio

from proxy.filters.express_watch import LEAST_TIMEOUT
from proxy.filters.http.router import Router
from proxy.filters.network import hcm_protocol
from proxy.filters.network.hcm_config import Config
from proxy.filters.network.hcm_express_exchange import PlainExchange
from proxy.filters.network.hcm_plans import PlannedHead, Plans
from proxy.http import express_request
from proxy.http.express_request import Arrival
from proxy.http.express_response import WrittenPlan
from proxy.http.filter_chain import never_waits
from proxy.http.handover import Handover
from proxy.limits import EXPRESS_REQUEST
from proxy.net.connection import Connection

if TYPE_CHECKING:
    from proxy.filters.network.hcm_front import Front
    from proxy.filters.network.http_connection_manager import HttpConnectionManager
    from proxy.http.identity import Hop


def suits(config: Config, filters: Sequence[Any]) -> bool:
    """Whether a connection manager may have lanes at all."""
    *before, last = filters or [None]
    return (
        isinstance(last, Router)
        and last.upstream_logs is None
        and all(edits_by_constants(other) or never_waits(other) for other in before)
        and not config.identity.always_set_request_id_in_response
        and not config.identity.scheme_of_upstream
        and config.identity.underscores == "ALLOW"
        and not config.identity.detections  # a plan does not know the peer
        and not config.early_mutations
        and not config.log_options.new_requests
        and all(limit == 0 or limit >= LEAST_TIMEOUT for limit in _times(config))
    )


def edits_by_constants(http_filter: Any) -> bool:
    """Whether it can tell what it does to headers, so that a plan does it once (`HookFilter.express`); routes may want
    more of it.
    """
    return hasattr(http_filter, "express") and http_filter.express(()) is not None


def suits_connection(config: Config) -> bool:
    """Whether a connection may do without a task, where its exchanges may."""
    return (
        config.codec_type != "HTTP2" and not config.max_connection_duration and not config.max_requests_per_connection
    )


def _times(config: Config) -> tuple[float, ...]:
    """What the lane leaves to the general path's deadlines, in seconds."""
    return config.idle_timeout, config.stream_idle_timeout, config.max_stream_duration, config.log_options.interval


class Lane(PlainExchange):
    """One connection's. `begin` serves; at its end, `result` says what the general path has to do next."""

    __slots__ = ("_failure", "_front", "_steps", "idle_since", "idle_slot")

    _arrival: Arrival | None

    def __init__(
        self, manager: HttpConnectionManager, plans: Plans, connection: Connection, hop: Hop, front: Front
    ) -> None:
        super().__init__(manager, plans, connection, hop)
        self._front = front
        self._failure: Exception | None = None
        self._steps: Generator[None, None, None] | None = None
        self.idle_since = 0.0
        self.idle_slot = 0

    def begin(self) -> None:
        """Serve plain exchanges until something else is to be done; the front hears of that, maybe at once."""
        self._connection.idle = True
        self.idle_since = trio.current_time()
        self._steps = self._exchanges()
        self._advance()

    def result(self) -> Handover:
        """What is to be done next. Raises what has failed in here."""
        if self._failure is not None:
            raise self._failure
        handover, self.progress = self.progress, None
        assert handover is not None
        return handover

    def stop(self) -> bool:
        """End here and now, without a word; False if that is not possible, because an exchange is in progress."""
        if self.progress is not None:
            return False
        self._leave()
        return True

    def hand_over(self) -> None:
        """The exchange in progress is the general path's from now on."""
        if self._steps is not None:
            self._leave()
            self._front.on_lane_end()

    def _leave(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        self._connection.on_ready(None)
        self._connection.idle = False
        if self.progress is not None and self.progress.upstream is not None:
            self.progress.upstream.listen(None)
        self._manager.express.discard(self)
        if self.idle_slot:
            self._manager.idle_lanes.discard(self)

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return self._connection.idle

    def expire(self) -> None:
        """The idle timeout is over."""
        self._front.expire()

    def _advance(self) -> None:
        """Go on, as an event says that there is something to do; or come to the end."""
        if self._steps is None:
            return
        try:
            next(self._steps)
            return
        except StopIteration:
            pass
        except Exception as error:
            self._failure = error
        self._leave()
        self._front.on_lane_end()

    def _exchanges(self) -> Generator[None, None, None]:
        """Exchange after exchange; each `yield` waits for an event on either socket."""
        connection = self._connection
        data = connection.receive_now()
        while True:
            if data is None:
                connection.on_ready(self._advance)
                if not self.idle_slot:
                    self._manager.idle_lanes.add(self, self.idle_since)
                while data is None:
                    yield
                    data = connection.receive_now()
            connection.idle = False
            if not connection.protocol:
                if not data or hcm_protocol.may_be_http2(connection, data, self._manager.config):
                    self.progress = Handover(data, trio.current_time())
                    return
                self._manager.begin_protocol(connection, "http1")
            if not self._send_request(data):
                return
            progress, closes = self.progress, self._head is not None and self._head.plan.closes
            assert progress is not None
            while not self._collect(progress):
                yield
            if self._answer is None or self._manager.drain.active or not self._respond(self._answer, progress):
                return
            if closes:
                self.progress = Handover(b"", progress.started)
                return
            data = connection.receive_now() if connection.has_news else None

    def _send_request(self, data: bytes) -> bool:
        """Send the request that `data` is; False if the general path has to take it from here."""
        now = trio.current_time()
        progress = self.progress = Handover(data, now)
        arrival = self._arrival
        if arrival is None or arrival.data != data:
            arrival = self._arrival = express_request.split(data)
        if arrival is None or len(data) > EXPRESS_REQUEST or self._manager.drain.active:
            return False
        if len(data) - len(arrival.body) > self._plans.max_head:
            return False
        return self._send_upstream(arrival, progress, now)

    def _planned(self, arrival: Arrival) -> PlannedHead | None:
        head = self._head
        if head is None or head.fields != arrival.fields or head.method != arrival.method:
            head = self._plans.find(arrival, self._hop)
        return head

    def _respond(self, answer: WrittenPlan, progress: Handover) -> bool:
        """Answer and charge; False if the client did not take all of it at once."""
        now = trio.current_time()
        head = answer.render(int((now - progress.sent_at) * 1000))
        body = self._body(answer, progress)
        sent = self._connection.send_now(head, body)
        if sent < len(head) + len(body):
            progress.unsent, progress.answered = (head + body)[sent:], sent
            return False
        self._charge(answer, progress, now)
        logs = self._manager.express_logs
        if logs:
            assert self._head is not None
            assert self._arrival is not None
            assert self._destination is not None
            log = logs.of(self._head.plan, self._destination, answer, progress).log
            log(self._arrival, progress, self._connection, self._hop, now, len(head))
        self._let_go(progress, now)
        self.idle_since = now
        self._connection.idle = True
        return True
