"""What routes and virtual hosts say about time, retries and mirrors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config.compile.retry import compile_retry_policy
from master.config.compile.route_match import fraction
from proxy.config.forwarding import Forwarding, MaxStreamDuration, Mirror, RouteUpgrade

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RouteAction": (
        "idle_timeout",
        "retry_policy",
        "max_stream_duration",
        "request_mirror_policies",
        "upgrade_configs",
    ),
    "envoy.config.route.v3.RouteAction.UpgradeConfig": ("upgrade_type", "enabled", "connect_config"),
    "envoy.config.route.v3.Route": ("per_request_buffer_limit_bytes", "request_body_buffer_limit"),
    "envoy.config.route.v3.VirtualHost": (
        "retry_policy",
        "request_mirror_policies",
        "include_is_timeout_retry_header",
        "per_request_buffer_limit_bytes",
        "request_body_buffer_limit",
    ),
    "envoy.config.route.v3.RouteAction.MaxStreamDuration": (
        "max_stream_duration",
        "grpc_timeout_header_max",
        "grpc_timeout_header_offset",
    ),
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy": (
        "cluster",
        "cluster_header",
        "runtime_fraction",
        "disable_shadow_host_suffix_append",
        "host_rewrite_literal",
    ),
}


def compile_forwarding(route: Any, host: Any, context: Context, host_context: Context) -> Forwarding:
    """Of a `Route` with a `RouteAction` in a `VirtualHost`; the contexts stand for these two. A policy of the route
    takes the place of the virtual host's: they are never merged.
    """
    action, here = route.route, context.at("route")

    def optional(field: str) -> float | None:
        return here.duration(getattr(action, field), field) if action.HasField(field) else None

    owner, at = (action, here) if action.HasField("retry_policy") else (host, host_context)
    retry = None
    if owner.HasField("retry_policy"):
        retry = compile_retry_policy(owner.retry_policy, at.at("retry_policy"))
    owner, at = (action, here) if action.request_mirror_policies else (host, host_context)
    return Forwarding(
        idle_timeout=optional("idle_timeout"),
        max_stream_duration=_max_stream_duration(action, here),
        retry=retry,
        mirrors=tuple(
            _mirror(mirror, at.at("request_mirror_policies", index))
            for index, mirror in enumerate(owner.request_mirror_policies)
        ),
        buffer_limit=_buffer_limit(route, host),
        include_is_timeout_retry_header=host.include_is_timeout_retry_header,
        upgrades=_upgrades(action.upgrade_configs, here),
    )


def _upgrades(messages: Any, context: Context) -> tuple[RouteUpgrade, ...]:
    upgrades: dict[str, RouteUpgrade] = {}
    for index, message in enumerate(messages):
        here, kind = context.at("upgrade_configs", index), message.upgrade_type.lower()
        terminates = message.HasField("connect_config")
        if kind in upgrades:
            here.error(("upgrade_type",), f"{message.upgrade_type!r} stands here twice", "one entry for each type")
        if terminates and kind != "connect":
            here.error(("connect_config",), f"{message.upgrade_type!r} is not CONNECT", "upgrade_type: CONNECT")
        enabled = message.enabled.value if message.HasField("enabled") else True
        upgrades[kind] = RouteUpgrade(kind, enabled, terminates)
    return tuple(upgrades.values())


def _max_stream_duration(action: Any, context: Context) -> MaxStreamDuration | None:
    if not action.HasField("max_stream_duration"):
        return None
    message, here = action.max_stream_duration, context.at("max_stream_duration")

    def optional(field: str) -> float | None:
        return here.duration(getattr(message, field), field) if message.HasField(field) else None

    return MaxStreamDuration(
        optional("max_stream_duration"),
        optional("grpc_timeout_header_max"),
        optional("grpc_timeout_header_offset") or 0.0,
    )


def _buffer_limit(route: Any, host: Any) -> int | None:
    """The route's limit, or else its virtual host's; of the two fields the newer one counts."""
    for message in (route, host):
        for field in ("request_body_buffer_limit", "per_request_buffer_limit_bytes"):
            if message.HasField(field):
                return int(getattr(message, field).value)
    return None


def _mirror(message: Any, context: Context) -> Mirror:
    if message.cluster:
        context.require_cluster(message.cluster, "cluster")
    elif not message.cluster_header and not context.incomplete():
        context.error((), "a mirror without a cluster", "cluster or cluster_header")
    if message.cluster and message.cluster_header:
        context.error(("cluster_header",), "cluster and cluster_header exclude each other", "one of them")
    share = fraction(message.runtime_fraction.default_value) if message.HasField("runtime_fraction") else None
    return Mirror(
        cluster=message.cluster,
        cluster_header=message.cluster_header.lower(),
        runtime_fraction=share,
        host_suffix=not message.disable_shadow_host_suffix_append,
        host=message.host_rewrite_literal,
    )
