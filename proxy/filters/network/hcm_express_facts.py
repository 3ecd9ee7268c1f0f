"""What the lane of hooks tells an exchange's `StreamInfo`: what the general path would have gathered."""

from __future__ import annotations

import trio

from proxy.http.exchange import Exchange
from proxy.http.express_request import Arrival
from proxy.http.express_response import ResponsePlan
from proxy.http.handover import Handover
from proxy.net.connection import Connection


def note_answer(exchange: Exchange, arrival: Arrival, progress: Handover, now: float) -> None:
    """The response to `arrival` has come: what hooks may ask about before it goes on."""
    info, upstream, host, sent_at = exchange.info, progress.upstream, progress.pool.host, progress.sent_at
    info.request_complete = True
    info.bytes_received = len(arrival.body)
    info.request_received = info.request_begun = info.request_sent = sent_at
    info.begin_attempt(sent_at)
    info.pool_ready = sent_at
    info.upstream_host = info.upstream_tried = host.address
    info.upstream_hostname = host.hostname
    info.upstream_connection = upstream.identity
    info.upstream_remote, info.upstream_local = upstream.identity.remote or host.address, upstream.local
    info.detail = "via_upstream"
    info.response_begun = now


def forget_answer(exchange: Exchange, arrival: Arrival) -> None:
    """The general path goes on, which finds all of that out itself."""
    info = exchange.info
    info.request_complete = not arrival.body
    info.bytes_received = info.upstream_attempts = info.status = 0
    info.detail = ""
    info.response_begun = 0.0


def note_end(
    exchange: Exchange, arrival: Arrival, answer: ResponsePlan, progress: Handover, connection: Connection, head: bytes
) -> None:
    """The client has `head` and the body: what access logs ask about."""
    info, request = exchange.info, exchange.request
    info.response_out = info.response_received = info.ended = trio.current_time()
    info.header_bytes_sent = len(head) - head.index(b"\r\n") - 4  # and their end is an empty line
    info.bytes_sent = answer.content_length
    info.response_body_begun = info.response_begun if answer.content_length else 0.0
    info.response_complete = True
    info.received_before = connection.bytes_received - len(arrival.data)
    info.sent_before = connection.bytes_sent - len(head) - info.bytes_sent
    around = len(request.method) + len(request.path) + len(b"  HTTP/1.1\r\n\r\n")
    info.upstream_bytes_sent = progress.sent
    info.upstream_header_bytes_sent = progress.sent - len(arrival.body) - around
    info.upstream_bytes_received = len(progress.received)
    info.response_heads = (progress.received[: answer.head_size],)
