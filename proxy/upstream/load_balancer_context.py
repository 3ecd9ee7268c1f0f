"""What a balancer may know of the request that it finds a host for: Envoy's `LoadBalancerContext`."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.config.lb_subsets import Labels
from proxy.upstream.transport_options import TransportOptions


class LoadBalancerContext(NamedTuple):
    """Of one request. `labels`: the hosts that it is for (`metadata_match`); `number`: its hash (64 bits), None if no
    hash policy has anything to say of it; `high`: it has high priority, whose pools and limits are their own;
    `transport`: what it asks of its connection; `http2`: its client speaks HTTP/2; `tcp`: its body becomes TCP.
    """

    labels: Labels = ()
    number: int | None = None
    high: bool = False
    transport: TransportOptions | None = None
    http2: bool = False
    tcp: bool = False


ANYBODY: Final = LoadBalancerContext()
"""Of a request that asks for nothing."""
