"""How a cluster spreads its requests (`Cluster.lb_policy`, `Cluster.common_lb_config`), and what of it the extensions
(`lb_policies.py`) say in the same words.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from master.config.compile.endpoints import HEALTH
from master.config.compile.lb_localities import localities, percent, slow_start
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
        "round_robin_lb_config",
        "least_request_lb_config",
        "ring_hash_lb_config",
        "maglev_lb_config",
    ),
    f"{CLUSTER}.CommonLbConfig": (
        "healthy_panic_threshold",
        "override_host_status",
        "consistent_hashing_lb_config",
    ),
    f"{CLUSTER}.CommonLbConfig.ConsistentHashingLbConfig": ("use_hostname_for_hashing", "hash_balance_factor"),
    f"{CLUSTER}.LeastRequestLbConfig": ("choice_count", "active_request_bias", "slow_start_config"),
    f"{CLUSTER}.RoundRobinLbConfig": ("slow_start_config",),
    f"{CLUSTER}.RingHashLbConfig": (
        "minimum_ring_size",
        "maximum_ring_size",
        "hash_function",
    ),
    f"{CLUSTER}.MaglevLbConfig": ("table_size",),
    "envoy.config.core.v3.RuntimeDouble": ("default_value",),
    "envoy.type.v3.Percent": ("value",),
    "envoy.config.core.v3.HealthStatusSet": ("statuses",),
}

POLICIES: dict[int, Policy] = {0: "ROUND_ROBIN", 1: "LEAST_REQUEST", 2: "RING_HASH", 3: "RANDOM", 5: "MAGLEV"}
"""`Cluster.LbPolicy`, those that are ours."""

DEFAULT_PANIC_THRESHOLD = 50
_MURMUR = 1  # `RingHashLbConfig.HashFunction.MURMUR_HASH_2`


_OPTIONS: dict[str, tuple[Policy, ...]] = {
    "round_robin_lb_config": ("ROUND_ROBIN",),
    "least_request_lb_config": ("LEAST_REQUEST",),
    "ring_hash_lb_config": ("RING_HASH",),
    "maglev_lb_config": ("MAGLEV",),
}
"""Whose options they are."""


def compile_lb(cluster: Any, context: Context) -> LoadBalancing:
    """Of a `Cluster`, for which `context` stands. A policy that is not ours, already reported, is round robin."""
    common, at_common = cluster.common_lb_config, context.at("common_lb_config")
    policy = POLICIES.get(cluster.lb_policy, "ROUND_ROBIN")
    for field, policies in _OPTIONS.items():
        if cluster.HasField(field) and policy not in policies:
            context.error((field,), f"is for another lb_policy than {policy}", f"lb_policy: {policies[0]}")
    options = ring(cluster.ring_hash_lb_config, context.at("ring_hash_lb_config"), _MURMUR)
    where = localities(common, at_common)
    if policy in ("RING_HASH", "MAGLEV"):
        if common.HasField("zone_aware_lb_config"):
            at_common.error(
                ("zone_aware_lb_config",), f"{policy} does not look at zones", "locality_weighted_lb_config"
            )
        where["zone_aware"] = None
    starting = "least_request_lb_config" if policy == "LEAST_REQUEST" else "round_robin_lb_config"
    return LoadBalancing(
        policy=policy,
        panic_threshold=panic_threshold(common),
        override_status=override_status(common),
        least_request=least_request(cluster.least_request_lb_config, context.at("least_request_lb_config")),
        hashing=msgspec.structs.replace(
            options,
            use_hostname=common.consistent_hashing_lb_config.use_hostname_for_hashing,
            balance_factor=common.consistent_hashing_lb_config.hash_balance_factor.value,
            table_size=maglev(cluster.maglev_lb_config, context.at("maglev_lb_config")).table_size,
        ),
        slow_start=slow_start(getattr(cluster, starting), context.at(starting)),
        **where,
    )


def override_status(common: Any) -> tuple[str, ...]:
    """Of a `CommonLbConfig`: how a host has to be that a filter chooses."""
    if not common.HasField("override_host_status"):
        return LoadBalancing().override_status
    return tuple(sorted({HEALTH[status] for status in common.override_host_status.statuses}))


def panic_threshold(common: Any) -> int:
    """Of a `CommonLbConfig`, in percent."""
    return percent(common, "healthy_panic_threshold", DEFAULT_PANIC_THRESHOLD)


def least_request(message: Any, context: Context) -> LeastRequest:
    """Of a `LeastRequestLbConfig` or the extension `LeastRequest`."""
    bias = 1.0
    if message.HasField("active_request_bias"):
        bias = message.active_request_bias.default_value
        if not bias >= 0:
            context.error(("active_request_bias",), "busy hosts would get more", "a number of at least 0")
    choices = message.choice_count.value if message.HasField("choice_count") else 2
    return LeastRequest(choices, bias)


def ring(message: Any, context: Context, murmur: int) -> Hashing:
    """Of a `RingHashLbConfig` or the extension `RingHash`, whose number for murmur2 is `murmur`."""
    defaults = Hashing()
    least = message.minimum_ring_size.value if message.HasField("minimum_ring_size") else defaults.minimum_ring_size
    most = message.maximum_ring_size.value if message.HasField("maximum_ring_size") else defaults.maximum_ring_size
    if least > most:
        context.error(
            ("minimum_ring_size",), f"the ring has {most} places at most (maximum_ring_size)", f"{most} or less"
        )
    return Hashing(minimum_ring_size=least, maximum_ring_size=most, murmur=message.hash_function == murmur)


def maglev(message: Any, context: Context) -> Hashing:
    """Of a `MaglevLbConfig` or the extension `Maglev`."""
    size = message.table_size.value if message.HasField("table_size") else Hashing().table_size
    if not _is_prime(size):
        context.error(("table_size",), f"{size} is no prime number", "65537, for example")
    return Hashing(table_size=size)


def _is_prime(number: int) -> bool:
    """`number` is 5,000,011 at most (`MaglevLbConfig.table_size`)."""
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
