"""One plain exchange at a time, from its plan to its charge: what the lanes of HTTP/1 and of HTTP/2 have in common.

Where requests come from and responses go to is each lane's own (`hcm_express`, `hcm_express_stream`).
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from proxy.filters.network.hcm_plans import Destination, PlannedHead, Plans
from proxy.http import express_request
from proxy.http.express_request import Arrival
from proxy.http.express_response import ResponsePlan
from proxy.http.express_upstreamed import ListedHead
from proxy.http.handover import Handover
from proxy.limits import EXPRESS_RESPONSE
from proxy.net.connection import Connection
from proxy.upstream.http2_express import ExpressStream
from proxy.upstream.pool import Pool

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager
    from proxy.http.identity import Hop
    from proxy.upstream.http1_connection import Http1Connection


class PlainExchange(abc.ABC):
    """`progress` is how far it has come, None while there is none. `_most` bounds the bytes of a response that are
    held until it is whole.
    """

    http2 = False
    __slots__ = (
        "_answer",
        "_arrival",
        "_connection",
        "_destination",
        "_head",
        "_hop",
        "_manager",
        "_most",
        "_plans",
        "progress",
    )

    def __init__(self, manager: HttpConnectionManager, plans: Plans, connection: Connection, hop: Hop) -> None:
        self._manager = manager
        self._plans = plans
        self._connection = connection
        self._hop = hop
        self._arrival: Any = None
        self._head: PlannedHead | None = None
        self._destination: Any = None  # a Destination, or a Sent
        self._answer: Any = None
        self._most = EXPRESS_RESPONSE
        self.progress: Handover | None = None

    @abc.abstractmethod
    def hand_over(self) -> None:
        """The exchange in progress is the general path's from now on."""

    @abc.abstractmethod
    def _advance(self) -> None:
        """Something has come from the upstream."""

    @abc.abstractmethod
    def _planned(self, arrival: Any) -> PlannedHead | None:
        """The plan for the head of `arrival`."""

    def _send_upstream(self, arrival: Arrival, progress: Handover, now: float) -> bool:
        """Send the request that `arrival` is, `now`; False if the general path has to take it from here."""
        self._destination = destination = self._route(arrival, progress)
        if destination is None or self._head is None:
            return False
        path: bytes | None = arrival.path
        if destination.rewrite_path is not None:
            path = express_request.plain_path(destination.rewrite_path(arrival.path))
        if path is None:
            return False
        pool = destination.cluster.pick(destination.context)
        if pool is None:
            return False
        progress.pool = pool
        upstream = pool.take(now, len(arrival.body))
        if upstream is None:
            return False
        request_id = progress.request_id = self._head.plan.new_id()
        values = progress.values = (*arrival.varying, request_id, arrival.path)
        progress.path = path
        head = destination.head
        if isinstance(head, ListedHead):
            upstream.send(head.render(path, values), arrival.body, now)
        elif not self._sent(progress, upstream, head.render(arrival.method, path, values) + arrival.body):
            return False
        self._went_out(progress, upstream, now)
        self._plans.router.charge()
        return True

    @staticmethod
    def _sent(progress: Handover, upstream: Http1Connection, data: bytes) -> bool:
        """Send the request's `data` on the connection that was taken; False if its host has left."""
        if upstream.send_now(data):
            progress.sent = len(data)
            return True
        # The host has left since we last heard of it. It got nothing whole, so another connection may be asked.
        progress.pool.discard(upstream, remote=True, with_active_rq=True)
        progress.pool = None
        return False

    def _went_out(self, progress: Handover, upstream: Any, now: float) -> None:
        """The whole request is with its host: the exchange counts as begun."""
        if progress.pool.monitor is not None:
            progress.pool.monitor.connected()
        progress.upstream = upstream
        progress.sent_at = now
        upstream.listen(self._advance)
        self._answer = None
        self._manager.begin_exchange(http2=self.http2)
        self._manager.express.add(self)

    def _route(self, arrival: Arrival, progress: Handover) -> Destination | None:
        """Where this request goes; None if not by this lane. A weighted cluster is drawn once, whatever comes of it."""
        head = self._head = self._planned(arrival)
        if head is None or len(arrival.body) != head.plan.content_length >= 0:
            return None
        entry = progress.entry = head.route(arrival.path)
        return head.destination(entry) if entry is not None else None

    def _collect(self, progress: Handover) -> bool:
        """Read of the response what is there. Says whether the wait is over: `_answer` is then its plan, or None if the
        general path has to take it from here.
        """
        assert self._destination is not None
        if self._destination.multiplexed:
            return self._collected(progress.upstream, self._destination)
        answer: ResponsePlan | None = self._answer
        while answer is None or len(progress.received) < answer.size:
            piece = progress.upstream.receive_now()
            if piece is None:
                return False
            progress.received += piece
            if answer is None:
                assert self._head is not None
                answer = self._answer = self._destination.responses.find(
                    progress.received, close=self._head.plan.closes
                )
            if not piece or answer is None or not len(progress.received) <= answer.size <= self._most:
                self._answer = None
                return True
        return True

    def _collected(self, upstream: ExpressStream, destination: Destination) -> bool:
        """The same of a stream."""
        head, trailers = upstream.head, upstream.trailers
        plain = upstream.plain and (trailers is None or self.http2)
        if plain and head is not None and (upstream.head_alone or upstream.size or (trailers and trailers.items)):
            assert self._head is not None
            self._answer = destination.responses.find_decoded(
                head, ended=upstream.head_alone, close=self._head.plan.closes
            )
        return upstream.settled

    def _body(self, answer: ResponsePlan, progress: Handover) -> bytes | memoryview:
        """The response's."""
        if answer.head_size:
            return memoryview(progress.received)[answer.head_size :]
        body: bytes = progress.upstream.body
        return body

    def _charge(self, answer: ResponsePlan, progress: Handover, now: float) -> None:
        """The exchange is over, but for its log."""
        assert self._destination is not None
        manager = self._manager
        manager.express.discard(self)
        manager.end_exchange()
        pool: Pool = progress.pool
        pool.charge_response(answer.status)
        if pool.monitor is not None:
            pool.monitor.response(answer.status)
        outcomes = self._destination.outcomes
        outcomes.charge(answer.status)
        outcomes.time.record(round((now - progress.sent_at) * 1000))
        manager.stats.charge_plain(answer.status, round((now - progress.started) * 1000))

    def _let_go(self, progress: Handover, now: float) -> None:
        """The upstream's connection may serve another one."""
        progress.pool.put_back(progress.upstream, now)
        self.progress = None
