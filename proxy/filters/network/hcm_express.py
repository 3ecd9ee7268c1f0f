"""The express lane: plain exchanges of one connection, from socket to socket without a task switch.

The connection's task waits here while its requests are of the plainest kind: whole in one piece, to a host with a free
connection, answered soon with a body of known size. A generator driven by the poller's events (`proxy/net/poller.py`)
serves those; it waits for readable sockets and for nothing else. Whatever is less plain is handed over: the task
wakes, and the general path (`hcm_session`) goes on where the lane stood, with everything that only it has: filters,
deadlines, local replies, streams. What a plain message means is decided by the general path's own functions
(`hcm_plans`), and a property test holds the bytes, stats and logs of both to be the same.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import trio

from proxy.filters.express_watch import LEAST_TIMEOUT
from proxy.filters.http.router import Router
from proxy.filters.network.hcm_config import Config
from proxy.filters.network.hcm_plans import Destination, PlannedHead, Plans
from proxy.http import express_request
from proxy.http.express_request import Arrival
from proxy.http.express_response import ResponsePlan
from proxy.http.handover import Handover
from proxy.limits import EXPRESS_REQUEST, EXPRESS_RESPONSE
from proxy.net.connection import Connection
from proxy.upstream.connection import Connection as UpstreamConnection
from proxy.upstream.pool import Pool

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager
    from proxy.http.identity import Hop

IDLE_GRAIN = 100
"""The idle deadline is rewritten once in so many parts of the timeout, so it may end a connection that much early."""


def suits(config: Config, filters: Sequence[object]) -> bool:
    """Whether a connection manager may have a lane at all."""
    *before, last = filters or [None]
    return (
        isinstance(last, Router)
        and all(hasattr(other, "express") for other in before)
        and not config.identity.always_set_request_id_in_response
        and config.identity.underscores == "ALLOW"
        and all(limit == 0 or limit >= LEAST_TIMEOUT for limit in (config.idle_timeout, config.stream_idle_timeout))
    )


class Lane:
    """One connection's. `serve` returns what the general path has to do next."""

    __slots__ = (
        "_arrival",
        "_connection",
        "_destination",
        "_failure",
        "_grain",
        "_head",
        "_hop",
        "_idle_timeout",
        "_manager",
        "_plans",
        "_refresh_at",
        "_steps",
        "_task",
        "progress",
    )

    def __init__(self, manager: HttpConnectionManager, plans: Plans, connection: Connection, hop: Hop) -> None:
        self._manager = manager
        self._plans = plans
        self._connection = connection
        self._hop = hop
        self._idle_timeout = manager.config.idle_timeout
        self._grain = self._idle_timeout / IDLE_GRAIN or float("inf")
        self._refresh_at = 0.0
        self._arrival: Arrival | None = None
        self._head: PlannedHead | None = None
        self._destination: Destination | None = None
        self._failure: Exception | None = None
        self._steps: Generator[None, None, None] | None = None
        self._task: trio.lowlevel.Task | None = None
        self.progress: Handover | None = None

    async def serve(self) -> Handover:
        """Serve plain exchanges until something else is to be done, which is returned.

        Cancelled within an exchange, it returns that too: the general path ends it at its next checkpoint.
        """
        connection = self._connection
        connection.idle = True
        self._refresh_at = trio.current_time() + self._grain
        connection.deadline(self._idle_timeout)
        self._steps = self._exchanges()
        try:
            if not self._advance():
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
        except trio.Cancelled:
            self._steps.close()
            if self.progress is None:
                raise
        finally:
            self._task = self._steps = None
            connection.on_ready(None)
            self._manager.express.discard(self)
        if self._failure is not None:
            raise self._failure
        handover, self.progress = self.progress, None
        assert handover is not None
        if handover.upstream is not None:
            handover.upstream.watch.on_ready = None
        connection.idle = False
        connection.deadline(0)
        return handover

    def hand_over(self) -> None:
        """The exchange in progress takes too long for this lane."""
        if self._steps is not None:
            self._steps.close()
            self._wake()

    def _abort(self, _: Any) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _event(self) -> None:
        if self._advance():
            self._wake()

    def _wake(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)

    def _advance(self) -> bool:
        """Go on; says whether the lane has come to its end."""
        if self._steps is None:
            return False
        try:
            next(self._steps)
        except StopIteration:
            return True
        except Exception as error:
            self._failure = error
            return True
        return False

    def _exchanges(self) -> Generator[None, None, None]:
        """Exchange after exchange; each `yield` waits for an event on either socket."""
        connection = self._connection
        data = connection.receive_now()
        while True:
            if data is None:
                connection.on_ready(self._event)
                while data is None:
                    yield
                    data = connection.receive_now()
            connection.idle = False
            upstream = self._send_request(data)
            if upstream is None:
                return
            head, progress, destination = self._head, self.progress, self._destination
            assert head is not None
            assert progress is not None
            assert destination is not None
            closes = head.plan.closes
            answer: ResponsePlan | None = None
            while answer is None or len(progress.received) < answer.size:
                yield
                piece = upstream.receive_now()
                if piece is None:
                    continue
                progress.received += piece
                answer = answer or destination.responses.find(progress.received, close=closes)
                if not piece or answer is None or not len(progress.received) <= answer.size <= EXPRESS_RESPONSE:
                    return
            if self._manager.drain.active or not self._respond(answer, progress, destination):
                return
            if closes:
                self.progress = Handover(b"", progress.started)
                return
            data = connection.receive_now() if connection.has_news else None

    def _send_request(self, data: bytes) -> UpstreamConnection | None:
        """Send the request that `data` is; None if the general path has to take it from here."""
        started = trio.current_time()
        progress = self.progress = Handover(data, started)
        arrival = self._arrival
        if arrival is None or arrival.data != data:
            arrival = self._arrival = express_request.split(data)
        if arrival is None or len(data) > EXPRESS_REQUEST or self._manager.drain.active:
            return None
        destination = self._destination = self._route(arrival, progress)
        if destination is None or self._head is None:
            return None
        pool = destination.cluster.pick()
        if pool is None:
            return None
        progress.pool = pool
        upstream = pool.take(started)
        if upstream is None:
            return None
        request_id = progress.request_id = self._head.plan.new_id()
        head = destination.head.render(arrival.method, arrival.path, request_id)
        if not upstream.send_now(head + arrival.body if arrival.body else head):
            # The host has left since we last heard of it. It got nothing whole, so another connection may be asked.
            pool.discard(upstream, remote=True, with_active_rq=True)
            progress.pool = None
            return None
        progress.upstream = upstream
        progress.sent_at = started
        upstream.watch.on_ready = self._event
        if started >= self._refresh_at:
            self._refresh_at = started + self._grain
            self._connection.deadline(self._idle_timeout)
        self._manager.begin_exchange()
        self._manager.express.add(self)
        self._plans.router.charge()
        return upstream

    def _route(self, arrival: Arrival, progress: Handover) -> Destination | None:
        """Where this request goes; None if not by this lane. A weighted cluster is drawn once, whatever comes of it."""
        head = self._head
        if head is None or head.fields != arrival.fields or head.method != arrival.method:
            head = self._head = self._plans.find(arrival, self._hop)
        if head is None or len(arrival.body) != head.plan.content_length:
            return None
        entry = progress.entry = head.route(arrival.path)
        return head.destination(entry) if entry is not None else None

    def _respond(self, answer: ResponsePlan, progress: Handover, destination: Destination) -> bool:
        """Answer and charge; False if the client did not take all of it at once."""
        now = trio.current_time()
        output = answer.render(int((now - progress.sent_at) * 1000))
        if answer.content_length:
            output += progress.received[answer.head_size :]
        sent = self._connection.send_now(output)
        if sent < len(output):
            progress.unsent = output[sent:]
            return False
        milliseconds = round((now - progress.started) * 1000)  # the request was sent in the same breath
        pool: Pool = progress.pool
        pool.charge_response(answer.status)
        destination.outcomes.charge(answer.status)
        destination.outcomes.time.record(milliseconds)
        manager = self._manager
        manager.express.discard(self)
        manager.end_exchange()
        manager.stats.charge_plain(answer.status, milliseconds)
        if manager.express_logs:
            assert self._head is not None
            assert self._arrival is not None
            log = manager.express_logs.of(self._head.plan, destination, answer)
            log(self._arrival, progress, self._connection, self._hop, now)
        progress.upstream.watch.on_ready = None
        pool.release(progress.upstream, now)
        self.progress = None
        self._connection.idle = True
        return True
