"""The express lane of connection managers with filters that never wait: hooks, those of users above all.

A hook may do anything to an exchange, so it gets a real one, and what follows from its edits is worked out for each
request by the general path's own functions: the router's terms, the route's edits, framing. What is saved is the task,
the deadlines, the codecs, and reading a head that came before. An exchange that turns out not to be plain is handed
over as it stands (`Begun`): no hook runs twice.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from proxy.config.route import ClusterAction
from proxy.filters.network import hcm_begun
from proxy.filters.network.hcm_express import Lane
from proxy.filters.network.hcm_express_facts import forget_answer, note_answer, note_end
from proxy.filters.network.hcm_plans import Plans, Sent, plain
from proxy.filters.network.hcm_route_stats import observed
from proxy.filters.network.hcm_routing import Routing, new_exchange
from proxy.filters.router.forwarding import Forwarding
from proxy.http import express_request, header_case
from proxy.http.codec import CodecError, ServerCodec
from proxy.http.codec_h1_client import written_request
from proxy.http.downstream import H1Downstream
from proxy.http.exchange import Exchange
from proxy.http.express_request import FRAMING, Arrival
from proxy.http.express_response import SERVICE_TIME, ResponsePlan, written
from proxy.http.handover import Handover
from proxy.http.identity import REQUEST_ID
from proxy.http.response_edits import ResponseHead
from proxy.net.connection import Connection

if TYPE_CHECKING:
    from proxy.filters.network.hcm_front import Front
    from proxy.filters.network.http_connection_manager import HttpConnectionManager
    from proxy.http.identity import Hop

Hooks = Callable[[Exchange], Awaitable[None] | None]
"""Runs those of a request; what it returns, if anything, is left to be done in place of the router."""


class HookedLane(Lane):
    """As `Lane`. `codec` is one that nobody uses: exchanges that are served here read and write nothing themselves."""

    __slots__ = ("_codec", "_context", "_forwarding", "_hooks")

    def __init__(
        self,
        manager: HttpConnectionManager,
        plans: Plans,
        connection: Connection,
        hop: Hop,
        front: Front,
        *,
        hooks: Hooks,
        codec: ServerCodec,
    ) -> None:
        super().__init__(manager, plans, connection, hop, front)
        self._hooks = hooks
        self._codec = codec
        self._forwarding: Forwarding | None = None
        self._context: contextvars.Context | None = None

    def _leave(self) -> None:
        super()._leave()
        self._forget()

    def _forget(self) -> None:
        """An idle connection holds nothing of its last exchange."""
        self._forwarding = self._context = self._destination = None

    # --- the request ------------------------------------------------------------------------------------------------

    def _send_upstream(self, arrival: Arrival, progress: Handover, now: float) -> bool:
        head = self._head = self._planned(arrival)
        if head is None or len(arrival.body) != head.plan.content_length:
            return False
        entry = progress.entry = head.route(arrival.path)
        if entry is None or not isinstance(entry.route.action, ClusterAction) or observed(entry):
            return False
        exchange = self._begin(arrival, now)
        Routing(self._manager).begin(exchange, entry)
        context = self._context = contextvars.copy_context()
        settlement = context.run(self._hooks, exchange)
        if settlement is not None:
            progress.begun = hcm_begun.settled(exchange, context, settlement)
            return False
        router = self._plans.router
        try:
            forwarding = self._forwarding = router.prepare(exchange)
        except (Exception, SystemExit) as error:
            progress.begun = hcm_begun.failed(exchange, context, error)
            return False
        progress.begun = hcm_begun.forwarded(exchange, context, router, forwarding)
        data = self._written(exchange, forwarding, arrival)
        return data is not None and self._send(data, exchange, forwarding, progress, now)

    def _begin(self, arrival: Arrival, now: float) -> Exchange:
        """An exchange whose request has been read and admitted."""
        assert self._head is not None
        plan = self._head.plan
        exchange = new_exchange(self._manager, self._connection, H1Downstream(self._connection, self._codec), now)
        request = plan.request.copy()
        request.path = arrival.path
        if request_id := plan.new_id():
            request.headers.set(REQUEST_ID, request_id)
        exchange.begin_planned(request, plan.received.at(arrival.path), arrival.data, end_stream=not arrival.body)
        exchange.info.downstream_remote, exchange.info.internal = plan.caller(self._hop), plan.internal
        return exchange

    def _written(self, exchange: Exchange, forwarding: Forwarding, arrival: Arrival) -> bytes | None:
        """The request on the wire; None if it is none for the lane any more."""
        assert self._head is not None
        request, theirs, cluster = exchange.request, self._head.plan.request, forwarding.cluster
        headers = request.headers
        if (
            exchange.touches_bodies
            or exchange.info.observed
            or exchange.info.health_check
            or exchange.info.override_host is not None
            or request.method != arrival.method
            or forwarding.entry.auto_host
            or cluster.config.protocol != "http1"
            or cluster.config.pool_per_downstream_connection
            or not plain(forwarding.entry, forwarding.options, forwarding.terms, cluster)
            or headers.get_all(b"content-length") != theirs.headers.get_all(b"content-length")
            or not FRAMING.isdisjoint(dict(headers.items))
            or express_request.plain_path(request.path) is None
        ):
            return None
        end_stream, key_format = not arrival.body, header_case.written_here(cluster.config.http1.header_case)
        try:
            head, _ = written_request(
                request.method, request.path, request.authority, headers, end_stream=end_stream, key_format=key_format
            )
        except CodecError:
            return None
        return head + arrival.body

    def _send(self, data: bytes, exchange: Exchange, forwarding: Forwarding, progress: Handover, now: float) -> bool:
        """Send `data`, if there is a free connection at once."""
        cluster = forwarding.cluster
        pool = progress.pool = cluster.pick(forwarding.context)
        upstream = pool.take(now) if pool is not None else None
        if upstream is None or not self._sent(progress, upstream, data):
            return False
        self._went_out(progress, upstream, now)
        responses = self._plans.heads_of(cluster, to_head=exchange.request.method == b"HEAD")
        self._destination = Sent(responses, cluster.outcomes_of(exchange.info))
        return True

    # --- the response -----------------------------------------------------------------------------------------------

    def _respond(self, answer: ResponsePlan, progress: Handover) -> bool:
        assert self._arrival is not None
        assert self._forwarding is not None
        assert progress.begun is not None
        exchange, retry = progress.begun.exchange, self._forwarding.terms.retry
        if retry is not None and retry.wants_response(answer.status, answer.headers):
            return False
        now = trio.current_time()
        note_answer(exchange, self._arrival, progress, now)
        head = self._edited(exchange, answer, b"%d" % int((now - progress.sent_at) * 1000))
        written_head = self._rendered(exchange, answer, head) if head is not None else None
        body = memoryview(progress.received)[answer.head_size :]
        sent = self._connection.send_now(written_head, body) if written_head is not None else 0
        if written_head is None or sent < len(written_head) + len(body):
            if written_head is not None:
                progress.unsent, progress.answered = (written_head + body)[sent:], sent
            if head is not None:
                hcm_begun.edited_already(exchange, head)
            forget_answer(exchange, self._arrival)
            return False
        self._charge(answer, progress, now)
        if self._manager.access_logs:
            note_end(exchange, self._arrival, answer, progress, self._connection, written_head)
            for access_log in self._manager.access_logs:
                access_log.log(exchange.info)
        self._let_go(progress, now)
        self._forget()
        self.idle_since = now
        self._connection.idle = True
        return True

    def _edited(self, exchange: Exchange, answer: ResponsePlan, service_time: bytes) -> ResponseHead | None:
        """The head as route and hooks want it; None if one has failed, which the general path will hear of."""
        assert self._forwarding is not None
        assert self._context is not None
        headers, forwarding = answer.headers.copy(), self._forwarding
        if forwarding.service_time:
            headers.set(SERVICE_TIME, service_time)
        for cookie in forwarding.cookies:
            headers.add(b"set-cookie", cookie)
        exchange.info.response_headers = headers
        if forwarding.entry.finish_response is not None:
            exchange.info.status = answer.status
            forwarding.entry.finish_response(headers, exchange.info)
        head = ResponseHead(answer.status, headers)
        try:
            self._context.run(exchange.edit_head, head, end_stream=not answer.content_length)
        except (Exception, SystemExit) as error:
            hcm_begun.raise_in_place(exchange, error)
            return None
        return head

    def _rendered(self, exchange: Exchange, answer: ResponsePlan, head: ResponseHead) -> bytes | None:
        """The head on the wire; None if it is not plain."""
        info = exchange.info
        if (
            head.status != answer.status
            or exchange.touches_bodies
            or exchange.close
            or info.flags
            or head.headers.get_all(b"content-length") != answer.headers.get_all(b"content-length")
        ):
            return None
        assert self._head is not None
        headers = info.response_headers = head.headers.copy()
        self._manager.policy.response.clean(headers, close=False)
        key_format = headers.key_format or header_case.written_here(self._manager.codec_options["header_case"])
        end_stream, close, method = not answer.content_length, self._head.plan.closes, exchange.request.method
        info.status = head.status
        try:
            return written(head.status, headers, key_format, end_stream=end_stream, close=close, method=method)
        except CodecError:
            return None
