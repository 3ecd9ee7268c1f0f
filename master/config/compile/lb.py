"""How a cluster spreads its requests (`Cluster.lb_policy`, `Cluster.common_lb_config`)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from proxy.config.lb import Hashing, LeastRequest, LoadBalancing, Policy

if TYPE_CHECKING:
    from master.config.compile.context import Context

CLUSTER = "envoy.config.cluster.v3.Cluster"

FIELDS: dict[str, tuple[str, ...]] = {
    CLUSTER: (
        "lb_policy=ROUND_ROBIN",
        "lb_policy=LEAST_REQUEST",
        "lb_policy=RANDOM",
        "lb_policy=RING_HASH",
        "lb_policy=MAGLEV",
        "common_lb_config",
        "least_request_lb_config",
        "ring_hash_lb_config",
        "maglev_lb_config",
    ),
    f"{CLUSTER}.CommonLbConfig": (
        "healthy_panic_threshold",
        "locality_weighted_lb_config",
        "consistent_hashing_lb_config",
    ),
    f"{CLUSTER}.CommonLbConfig.ConsistentHashingLbConfig": ("use_hostname_for_hashing",),
    f"{CLUSTER}.LeastRequestLbConfig": ("choice_count", "active_request_bias"),
    f"{CLUSTER}.RingHashLbConfig": (
        "minimum_ring_size",
        "maximum_ring_size",
        "hash_function",
    ),
    f"{CLUSTER}.MaglevLbConfig": ("table_size",),
    "envoy.config.core.v3.RuntimeDouble": ("default_value",),
    "envoy.type.v3.Percent": ("value",),
}

POLICIES: dict[int, Policy] = {0: "ROUND_ROBIN", 1: "LEAST_REQUEST", 2: "RING_HASH", 3: "RANDOM", 5: "MAGLEV"}
"""`Cluster.LbPolicy`, those that are ours."""

MAX_CHOICES = 1_000_000
"""Beyond it Envoy has an overflow of its own; 2 to a handful is what anybody means."""


def compile_lb(cluster: Any, context: Context) -> LoadBalancing:
    """Of a `Cluster`, for which `context` stands. A policy that is not ours, already reported, is round robin."""
    common = cluster.common_lb_config
    threshold = 50
    if common.HasField("healthy_panic_threshold"):
        # Envoy rounds, and takes no more than 100 (`PROTOBUF_PERCENT_TO_ROUNDED_INTEGER_OR_DEFAULT`).
        threshold = math.floor(common.healthy_panic_threshold.value + 0.5)
    return LoadBalancing(
        policy=POLICIES.get(cluster.lb_policy, "ROUND_ROBIN"),
        panic_threshold=threshold,
        locality_weighted=common.HasField("locality_weighted_lb_config"),
        least_request=_least_request(cluster.least_request_lb_config, context.at("least_request_lb_config")),
        hashing=_hashing(cluster, context),
    )


def _least_request(message: Any, context: Context) -> LeastRequest:
    bias = 1.0
    if message.HasField("active_request_bias"):
        bias = message.active_request_bias.default_value
        if not bias >= 0:
            context.error(("active_request_bias",), "busy hosts would get more", "a number of at least 0")
    choices = message.choice_count.value if message.HasField("choice_count") else 2
    return LeastRequest(choices, bias)


def _hashing(cluster: Any, context: Context) -> Hashing:
    ring, defaults = cluster.ring_hash_lb_config, Hashing()
    least = ring.minimum_ring_size.value if ring.HasField("minimum_ring_size") else defaults.minimum_ring_size
    most = ring.maximum_ring_size.value if ring.HasField("maximum_ring_size") else defaults.maximum_ring_size
    if least > most:
        context.error(
            ("ring_hash_lb_config", "minimum_ring_size"),
            f"the ring has {most} places at most (maximum_ring_size)",
            f"{most} or less",
        )
    maglev = cluster.maglev_lb_config
    size = maglev.table_size.value if maglev.HasField("table_size") else defaults.table_size
    if not _is_prime(size):
        context.error(("maglev_lb_config", "table_size"), f"{size} is no prime number", "65537, for example")
    common = cluster.common_lb_config.consistent_hashing_lb_config
    return Hashing(
        use_hostname=common.use_hostname_for_hashing,
        minimum_ring_size=least,
        maximum_ring_size=most,
        murmur=ring.hash_function == ring.HashFunction.Value("MURMUR_HASH_2"),
        table_size=size,
    )


def _is_prime(number: int) -> bool:
    """`number` is 5,000,011 at most (`MaglevLbConfig.table_size`)."""
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
