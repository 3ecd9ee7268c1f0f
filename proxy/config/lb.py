"""Compiled load balancing: `Cluster.lb_policy`, `common_lb_config`, and the extensions that say the same."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.hash_policy import HashPolicy

Policy = Literal["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV"]


class LeastRequest(msgspec.Struct, frozen=True):
    """`Cluster.LeastRequestLbConfig`. `full_scan`: all hosts are asked, not `choice_count` of them."""

    choice_count: int = 2
    active_request_bias: float = 1.0
    full_scan: bool = False


class Hashing(msgspec.Struct, frozen=True):
    """RING_HASH and MAGLEV. Hosts are hashed by name where `use_hostname`, requests by `policies`, if there are any, in
    place of their routes'. `balance_factor`: percent of its share of all requests that a host may have; 0 is any.
    """

    use_hostname: bool = False
    minimum_ring_size: int = 1024
    maximum_ring_size: int = 8 * 1024 * 1024
    murmur: bool = False
    table_size: int = 65537
    policies: tuple[HashPolicy, ...] = ()
    balance_factor: int = 0


class SlowStart(msgspec.Struct, frozen=True):
    """`SlowStartConfig`: `window` in seconds; hosts get `min_weight` of their weight at least."""

    window: float
    aggression: float = 1.0
    min_weight: float = 0.1


class ZoneAware(msgspec.Struct, frozen=True):
    """`ZoneAwareLbConfig`, and what the bootstrap says of this proxy: its place, and the cluster that its like are the
    hosts of. `enabled`: percent of the requests that it concerns.
    """

    local_cluster: str
    place: tuple[str, str, str]
    enabled: int = 100
    min_cluster_size: int = 6


class LoadBalancing(msgspec.Struct, frozen=True):
    """How requests are spread over the hosts of a cluster. `panic_threshold` in percent, 0 for never; `fail_on_panic`:
    a request that meets panic gets no host. Of `locality_weighted` and `zone_aware` there is one at most. A filter may
    choose a host that is as `override_status` says.
    """

    policy: Policy = "ROUND_ROBIN"
    panic_threshold: int = 50
    locality_weighted: bool = False
    least_request: LeastRequest = LeastRequest()
    hashing: Hashing = Hashing()
    slow_start: SlowStart | None = None
    zone_aware: ZoneAware | None = None
    fail_on_panic: bool = False
    override_status: tuple[str, ...] = ("HEALTHY", "DEGRADED")

    @property
    def hashes(self) -> bool:
        """Whether the same request goes to the same host."""
        return self.policy in ("RING_HASH", "MAGLEV")
