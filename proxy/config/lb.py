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
    place of their routes'.
    """

    use_hostname: bool = False
    minimum_ring_size: int = 1024
    maximum_ring_size: int = 8 * 1024 * 1024
    murmur: bool = False
    table_size: int = 65537
    policies: tuple[HashPolicy, ...] = ()


class LoadBalancing(msgspec.Struct, frozen=True):
    """How requests are spread over the hosts of a cluster. `panic_threshold` in percent, 0 for never."""

    policy: Policy = "ROUND_ROBIN"
    panic_threshold: int = 50
    locality_weighted: bool = False
    least_request: LeastRequest = LeastRequest()
    hashing: Hashing = Hashing()

    @property
    def hashes(self) -> bool:
        """Whether the same request goes to the same host."""
        return self.policy in ("RING_HASH", "MAGLEV")
