"""CONNECT that ends here: a connection of its own to a host of the cluster, which never hears of the CONNECT."""

from __future__ import annotations

import trio

from proxy.errors import ProxyError, describe, errno_name
from proxy.filters.router import tunnels
from proxy.filters.router.forwarding import Forwarding
from proxy.http.deadlines import Phase
from proxy.http.headers import Headers
from proxy.http.stream_info import Attempt
from proxy.upstream.tcp import TcpConnection


async def run(forwarding: Forwarding) -> None:
    """Connect, say so, and pass bytes on to the end. Raises `ProxyError`."""
    exchange, outcomes = forwarding.exchange, forwarding.cluster.outcomes_of(forwarding.exchange.info)
    info = exchange.info
    upstream = await _connect(forwarding)
    relay = None
    try:
        info.upstream_remote = upstream.remote
        outcomes.charge(200)
        info.detail = "via_upstream"
        info.response_begun = trio.current_time()
        headers, finish = Headers(), forwarding.entry.finish_response
        if finish is not None:
            info.status, info.response_headers = 200, headers
            finish(headers, info)
        await exchange.send_headers(200, headers, end_stream=False)
        relay = await tunnels.over_tcp(exchange, upstream, forwarding.pipes, forwarding.greeting())
    finally:
        # The client's stream knows the end of one side from that of both; its connection does not.
        whole = exchange.multiplexed and info.response_complete
        by = None if relay is None else relay.reset_by or (relay.last if exchange.multiplexed else None)
        upstream.close(remote=by == "upstream", with_active_rq=not whole)


async def _connect(forwarding: Forwarding) -> TcpConnection:
    exchange, cluster = forwarding.exchange, forwarding.cluster
    info, began = exchange.info, trio.current_time()
    forwarding.request_complete(began)
    info.begin_attempt(began)
    try:
        connection = await cluster.open_connection(info, forwarding.context)
    except ProxyError as error:
        cluster.outcomes_of(info).charge(error.status)
        info.upstream_failure = error.transport_failure
        if info.upstream_tried is not None:
            took = trio.current_time() - began
            host = str(info.upstream_tried)
            info.attempts += (Attempt(host, "connect", describe(error), took, errno_name(error)),)
        raise
    except trio.Cancelled:
        if exchange.deadlines.fired() is Phase.ROUTE:
            cluster.charge_timeout(None, info, exchange.deadlines.timeout_status)
        raise
    for observed in info.observed:
        observed.rq_total.inc()
    return connection
