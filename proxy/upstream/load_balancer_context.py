"""What a balancer may know of the request that it finds a host for: Envoy's `LoadBalancerContext`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.config.lb_subsets import Labels
from proxy.upstream.transport_options import NO_OPTIONS, TransportOptions

if TYPE_CHECKING:
    from proxy.http.stream_info import StreamInfo


class LoadBalancerContext(NamedTuple):
    """Of one request. `labels`: the hosts that it is for (`metadata_match`); `number`: its hash (64 bits), None if no
    hash policy has anything to say of it; `high`: it has high priority, whose pools and limits are their own;
    `transport`: what it asks of its connection; `http2`: its client speaks HTTP/2; `tcp`: its body becomes TCP;
    `info`: what else is known of it; `level`: its priority, and whether degraded hosts are meant, have been drawn.
    """

    labels: Labels = ()
    number: int | None = None
    high: bool = False
    transport: TransportOptions | None = None
    http2: bool = False
    tcp: bool = False
    info: StreamInfo | None = None
    level: tuple[int, bool] | None = None

    def asked(self, *, own: bool) -> TransportOptions | None:
        """What it asks of its connection; `own`: of a cluster where each client has connections of its own."""
        if not own or self.info is None or self.info.connection is None:
            return self.transport
        return (self.transport or NO_OPTIONS)._replace(owner=self.info.connection)


ANYBODY: Final = LoadBalancerContext()
"""Of a request that asks for nothing."""
