"""What a route says about the time of a whole exchange (features §13 rules 41, 42 and 44)."""

from __future__ import annotations

from proxy.config.forwarding import Forwarding, MaxStreamDuration
from proxy.http import grpc_timeout
from proxy.http.deadlines import Phase
from proxy.http.exchange import Exchange
from proxy.route.conditions import is_grpc


def apply(exchange: Exchange, options: Forwarding, default: float) -> None:
    """Set the exchange's deadlines as its route wants them. `default`: the connection manager's max_stream_duration."""
    deadlines = exchange.deadlines
    if options.idle_timeout is not None:
        deadlines.replace_idle(options.idle_timeout)
    if options.flush_timeout is not None:
        deadlines.flush = options.flush_timeout
    if options.max_stream_duration is not None:
        _limit_duration(exchange, options.max_stream_duration, default)


def _limit_duration(exchange: Exchange, duration: MaxStreamDuration, default: float) -> None:
    """The route's limit, or the gRPC client's within the route's, instead of the connection manager's. A gRPC upstream
    is told.
    """
    request, deadlines = exchange.request, exchange.deadlines
    asked = request.headers.joined(grpc_timeout.NAME)
    timeout = None if asked is None or duration.grpc_timeout_header_max is None else grpc_timeout.parse(asked)
    if timeout is not None:
        longest, offset = duration.grpc_timeout_header_max or 0.0, duration.grpc_timeout_header_offset
        timeout = min(timeout, longest) if longest else timeout
        timeout = max(0.0, timeout - offset)
    else:
        timeout = default if duration.max_stream_duration is None else duration.max_stream_duration
        if not timeout:
            if deadlines.disarm(Phase.STREAM_DURATION) and is_grpc(request):
                request.headers.remove(grpc_timeout.NAME)
            return
    if is_grpc(request):
        request.headers.set(grpc_timeout.NAME, grpc_timeout.render(timeout))
    deadlines.disarm(Phase.STREAM_DURATION)
    deadlines.arm_from(Phase.STREAM_DURATION, deadlines.started, max(timeout, 1e-9))
