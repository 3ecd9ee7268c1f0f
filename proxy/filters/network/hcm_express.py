"""The express lane: plain exchanges of one connection, from socket to socket without a task switch.

The connection's task waits here while its requests are of the plainest kind: whole in one piece, to a host with a free
connection, answered soon with a body of known size. A generator driven by the poller's events (`proxy/net/poller.py`)
serves those; it waits for readable sockets and for nothing else. Whatever is less plain is handed over: the task
wakes, and the general path (`hcm_session`) goes on where the lane stood, with everything that only it has: filters,
deadlines, local replies, streams. What a plain message means is decided by the general path's own functions
(`express_request`, `express_response`), and a property test holds the bytes, stats and logs of both to be the same.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import trio

from proxy.filters.express_watch import LEAST_TIMEOUT
from proxy.filters.http.router import Router
from proxy.filters.network.hcm_config import Config
from proxy.http import express_request
from proxy.http.express_request import Arrival, RequestPlan, Upstreamed
from proxy.http.express_response import ResponsePlan, ResponsePlans
from proxy.http.handover import Handover
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.limits import EXPRESS_REQUEST, EXPRESS_RESPONSE
from proxy.net.connection import Connection
from proxy.route.entry import RouteEntry
from proxy.route.table import VirtualHostRoutes
from proxy.upstream.cluster import Cluster
from proxy.upstream.connection import Connection as UpstreamConnection
from proxy.upstream.pool import Pool
from proxy.upstream.stats import Outcomes

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager
    from proxy.http.identity import Hop

IDLE_GRAIN = 100
"""The idle deadline is rewritten once in so many parts of the timeout, so it may end a connection that much early."""

MAX_DESTINATIONS = 16
"""Routes of one connection for which a head is kept."""


def suits(config: Config, filters: Sequence[object]) -> bool:
    """Whether a connection manager may have a lane at all."""
    *before, last = filters or [None]
    return (
        isinstance(last, Router)
        and all(hasattr(other, "express") for other in before)
        and not config.identity.always_set_request_id_in_response
        and config.identity.underscores == "ALLOW"
        and all(
            timeout == 0 or timeout >= LEAST_TIMEOUT for timeout in (config.idle_timeout, config.stream_idle_timeout)
        )
    )


class Destination:
    """Where a route leads, and what becomes of a plan's head on the way there."""

    __slots__ = ("cluster", "entry", "head", "outcomes", "responses")

    def __init__(
        self, entry: RouteEntry, cluster: Cluster, head: Upstreamed, responses: ResponsePlans, outcomes: Outcomes
    ) -> None:
        self.entry = entry
        self.cluster = cluster
        self.head = head
        self.responses = responses
        self.outcomes = outcomes


class Lane:
    """One connection's. `serve` returns what the general path has to do next."""

    __slots__ = (
        "_arrival",
        "_connection",
        "_destination",
        "_destinations",
        "_failure",
        "_found",
        "_grain",
        "_hop",
        "_idle_timeout",
        "_manager",
        "_plan",
        "_refresh_at",
        "_router",
        "_routes",
        "_steps",
        "_task",
        "progress",
    )

    def __init__(self, manager: HttpConnectionManager, router: Router, connection: Connection, hop: Hop) -> None:
        self._manager = manager
        self._router = router
        self._connection = connection
        self._hop = hop
        self._idle_timeout = manager.config.idle_timeout
        self._arrival: Arrival | None = None
        self._plan: RequestPlan | None = None
        self._routes: VirtualHostRoutes | None = None
        self._found: RouteEntry | None = None
        self._destination: Destination | None = None
        self._destinations: dict[RouteEntry, Destination | None] = {}
        self._failure: Exception | None = None
        self._grain = self._idle_timeout / IDLE_GRAIN or float("inf")
        self._refresh_at = 0.0
        self._steps: Generator[None, None, None] | None = None
        self._task: trio.lowlevel.Task | None = None
        self.progress: Handover | None = None

    async def serve(self) -> Handover:
        """Serve plain exchanges until something else is to be done, which is returned.

        Cancelled within an exchange, it returns that too: the general path ends it at its next checkpoint.
        """
        connection = self._connection
        watch = connection.watch()
        connection.idle = True
        connection.deadline(self._idle_timeout)
        self._refresh_at = trio.current_time() + self._grain
        self._steps = self._exchanges()
        watch.on_ready = self._event
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
            watch.on_ready = None
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
        connection, watch = self._connection, self._connection.watch()
        data = connection.receive_now()
        while True:
            while data is None:
                yield
                data = connection.receive_now()
            connection.idle = False
            upstream = self._send_request(data)
            if upstream is None:
                return
            progress, destination = self.progress, self._destination
            assert progress is not None
            assert destination is not None
            plan: ResponsePlan | None = None
            while plan is None or len(progress.received) < plan.size:
                yield
                piece = upstream.receive_now()
                if piece is None:
                    continue
                progress.received += piece
                plan = plan or destination.responses.find(progress.received)
                if not piece or plan is None or not len(progress.received) <= plan.size <= EXPRESS_RESPONSE:
                    return
            if self._manager.drain.active or not self._respond(plan, progress, destination):
                return
            upstream.watch.on_ready = None
            data = connection.receive_now() if watch.readable else None

    def _send_request(self, data: bytes) -> UpstreamConnection | None:
        """Send the request that `data` is; None if the general path has to take it from here."""
        started = trio.current_time()
        progress = self.progress = Handover(data, started)
        arrival = self._arrival
        if arrival is None or arrival.data != data:
            arrival = self._arrival = express_request.split(data)
        if arrival is None or len(data) > EXPRESS_REQUEST or self._manager.drain.active:
            return None
        destination = self._route(arrival, progress)
        plan = self._plan
        if destination is None or plan is None or len(arrival.body) != plan.content_length:
            return None
        pool = progress.pool = destination.cluster.pick()
        upstream = pool.take(started) if pool is not None else None
        if upstream is None:
            return None
        request_id = progress.request_id = plan.new_id()
        head = destination.head.render(arrival.method, arrival.path, request_id)
        if not upstream.send_now(head + arrival.body if arrival.body else head):
            progress.pool.discard(upstream, remote=True, with_active_rq=True)
            progress.pool = None
            return None
        progress.upstream = upstream
        progress.sent_at = started
        upstream.watch.on_ready = self._event
        if started >= self._refresh_at:
            self._refresh_at = started + self._grain
            self._connection.deadline(self._idle_timeout)
        self._manager.begin_exchange()
        self._router.charge()
        self._manager.express.add(self)
        return upstream

    def _route(self, arrival: Arrival, progress: Handover) -> Destination | None:
        """Where this request goes; None if not by this lane. A weighted cluster is drawn once, whatever comes of it."""
        plan, manager = self._plan, self._manager
        if plan is None or plan.fields != arrival.fields or plan.method != arrival.method:
            plan = self._plan = manager.plan(arrival, self._hop)
            self._found = self._routes = None
            self._destinations.clear()
            if plan is None:
                return None
            self._routes = manager.routes.virtual_host(plan.request.authority)
        if self._routes is None or self._routes.by_chance:  # the plan's request would keep its first draw
            return None
        found = self._found
        if found is None or arrival.path != plan.request.path or not self._routes.by_path_alone:
            plan.request.path = arrival.path
            found = self._found = self._routes.find(arrival.path, plan.request)
            if found is None:
                return None
        entry = progress.entry = found.choose()
        try:
            destination = self._destinations[entry]
        except KeyError:
            if len(self._destinations) >= MAX_DESTINATIONS:
                self._destinations.clear()
            destination = self._destinations[entry] = manager.destination(plan, entry)
        self._destination = destination
        return destination

    def _respond(self, plan: ResponsePlan, progress: Handover, destination: Destination) -> bool:
        """Answer and charge; False if the client did not take all of it at once."""
        now = trio.current_time()
        head = plan.render(int((now - progress.sent_at) * 1000))
        received = progress.received
        output = head + received[plan.head_size :] if plan.content_length else head
        sent = self._connection.send_now(output)
        if sent < len(output):
            progress.unsent = output[sent:]
            return False
        milliseconds = round((now - progress.started) * 1000)  # the request was sent in the same breath
        pool: Pool = progress.pool
        pool.charge_response(plan.status)
        destination.outcomes.charge(plan.status)
        destination.outcomes.time.record(milliseconds)
        manager = self._manager
        manager.express.discard(self)
        manager.end_exchange()
        manager.stats.charge_plain(plan.status, milliseconds)
        if manager.access_logs:
            self._log(plan, progress, destination, now)
        pool.release(progress.upstream)
        self.progress = None
        self._connection.idle = True
        return True

    def _log(self, plan: ResponsePlan, progress: Handover, destination: Destination, now: float) -> None:
        """The facts that the general path would have gathered."""
        request_plan, arrival = self._plan, self._arrival
        assert request_plan is not None
        assert arrival is not None
        info = StreamInfo(progress.started, self._connection)
        info.started_at -= now - progress.started
        request = info.request = Request()
        template = request_plan.request
        request.method, request.scheme, request.authority = template.method, template.scheme, template.authority
        request.path, request.protocol = arrival.path, template.protocol
        request.headers = destination.head.fields(progress.request_id)
        info.response_headers = plan.fields(int((now - progress.sent_at) * 1000))
        info.stream_id = 1
        info.status, info.detail = plan.status, "via_upstream"
        info.bytes_received, info.bytes_sent = len(arrival.body), plan.content_length
        info.request_complete = info.response_complete = True
        info.request_received = info.request_begun = info.request_sent = progress.sent_at
        info.response_begun = info.response_received = info.ended = now
        info.route_name = destination.entry.route.name
        info.upstream_cluster = destination.cluster.config.name
        host = progress.pool.host.address
        info.upstream_host = info.upstream_remote = info.upstream_tried = host
        info.upstream_local = progress.upstream.local
        info.upstream_attempts = 1
        info.upstream_bytes_sent = destination.head.size(arrival, progress.request_id)
        info.upstream_bytes_received = len(progress.received)
        info.downstream_remote = request_plan.caller.address
        info.internal = request_plan.caller.internal
        for log_exchange in self._manager.access_logs:
            log_exchange(info)
