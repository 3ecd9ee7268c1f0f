"""What balancing makes of where hosts are, and of how long they have been there: localities, zones, slow start.

`Cluster.CommonLbConfig` and the extensions' `LocalityLbConfig` say the same in the same words, and so do both kinds of
`SlowStartConfig`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from proxy.config.lb import SlowStart, ZoneAware

if TYPE_CHECKING:
    from master.config.compile.context import Context

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_COMMON = "envoy.extensions.load_balancing_policies.common.v3"
_ZONES = ("routing_enabled", "min_cluster_size", "fail_traffic_on_panic")
_SLOW_START = ("slow_start_window", "aggression", "min_weight_percent")
FIELDS: dict[str, tuple[str, ...]] = {
    f"{_CLUSTER}.CommonLbConfig": ("locality_weighted_lb_config", "zone_aware_lb_config"),
    f"{_CLUSTER}.CommonLbConfig.ZoneAwareLbConfig": _ZONES,
    f"{_CLUSTER}.SlowStartConfig": _SLOW_START,
    f"{_COMMON}.LocalityLbConfig": ("locality_weighted_lb_config", "zone_aware_lb_config"),
    f"{_COMMON}.LocalityLbConfig.ZoneAwareLbConfig": _ZONES,
    f"{_COMMON}.SlowStartConfig": _SLOW_START,
}


class Localities(TypedDict):
    """Fields of `LoadBalancing`."""

    locality_weighted: bool
    zone_aware: ZoneAware | None
    fail_on_panic: bool


def localities(message: Any, context: Context) -> Localities:
    """Of a message with `locality_weighted_lb_config` and `zone_aware_lb_config`, for which `context` stands. A cluster
    that says neither is aware of zones where the bootstrap names a local cluster, as in Envoy.
    """
    weighted = message.HasField("locality_weighted_lb_config")
    zones, here = message.zone_aware_lb_config, context.at("zone_aware_lb_config")
    aware = None
    if context.local_cluster and not weighted:
        node = context.node
        aware = ZoneAware(
            context.local_cluster,
            (node.region, node.zone, node.sub_zone),
            percent(zones, "routing_enabled", 100),
            zones.min_cluster_size.value if zones.HasField("min_cluster_size") else 6,
        )
    for field in ("routing_enabled", "min_cluster_size"):
        if zones.HasField(field) and not context.local_cluster:
            here.error((field,), "nobody says where the proxies are", "cluster_manager.local_cluster_name")
    return Localities(
        locality_weighted=weighted,
        zone_aware=aware,
        fail_on_panic=zones.fail_traffic_on_panic,
    )


def slow_start(message: Any, context: Context) -> SlowStart | None:
    """Of a message with `slow_start_config`, for which `context` stands."""
    if not message.HasField("slow_start_config"):
        return None
    config, here = message.slow_start_config, context.at("slow_start_config")
    window = here.duration(config.slow_start_window, "slow_start_window")
    if not window:
        here.error(("slow_start_window",), "no host starts slowly without it", "60s, for example")
    aggression = config.aggression.default_value if config.HasField("aggression") else 1.0
    if not aggression > 0:
        here.error(("aggression",), f"{aggression:g} makes no curve", "a number above 0")
    least = config.min_weight_percent.value if config.HasField("min_weight_percent") else 10.0
    return SlowStart(window, aggression, least / 100)


def percent(message: Any, field: str, default: int) -> int:
    """A `Percent`, rounded as Envoy does (`PROTOBUF_PERCENT_TO_ROUNDED_INTEGER_OR_DEFAULT`)."""
    return int(getattr(message, field).value + 0.5) if message.HasField(field) else default  # never negative
