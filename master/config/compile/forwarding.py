"""What routes and virtual hosts say about time, retries and mirrors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from master.config.compile import proxy_protocol
from master.config.compile.circuit_breakers import HIGH
from master.config.compile.internal_redirect import compile_internal_redirect
from master.config.compile.retry import compile_retry_policy
from master.config.compile.route_match import fraction
from proxy.config.forwarding import Forwarding, MaxStreamDuration, Mirror, RouteUpgrade
from proxy.filters.header_edits import compile_sequence

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RouteAction": (
        "idle_timeout",
        "flush_timeout",
        "retry_policy",
        "max_stream_duration",
        "request_mirror_policies",
        "upgrade_configs",
        "priority",
        "hedge_policy",
        "max_grpc_timeout",
        "grpc_timeout_offset",
    ),
    "envoy.config.route.v3.HedgePolicy": ("hedge_on_per_try_timeout",),
    "envoy.config.route.v3.RouteConfiguration": ("request_mirror_policies",),
    "envoy.config.route.v3.RouteAction.UpgradeConfig": ("upgrade_type", "enabled", "connect_config"),
    "envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig": ("allow_post", "proxy_protocol_config"),
    "envoy.config.route.v3.Route": ("per_request_buffer_limit_bytes", "request_body_buffer_limit"),
    "envoy.config.route.v3.VirtualHost": (
        "retry_policy",
        "hedge_policy",
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
        "request_headers_mutations",
        "host_rewrite_literal",
    ),
}


class Levels(NamedTuple):
    """A `Route`, its `VirtualHost` and its `RouteConfiguration`, with the contexts that stand for them."""

    route: Any
    context: Context
    host: Any
    host_context: Context
    config: Any
    config_context: Context

    @property
    def action_context(self) -> Context:
        """Stands for the route's `RouteAction`."""
        return self.context.at("route")


def compile_forwarding(levels: Levels) -> Forwarding:
    """Of a `Route` with a `RouteAction`. A policy of the route takes the place of the virtual host's, and that of the
    route configuration's: they are never merged.
    """
    route, host = levels.route, levels.host
    action, here = route.route, levels.action_context

    def optional(field: str) -> float | None:
        return here.duration(getattr(action, field), field) if action.HasField(field) else None

    owner, at = (action, here) if action.HasField("retry_policy") else (host, levels.host_context)
    retry = None
    if owner.HasField("retry_policy"):
        retry = compile_retry_policy(owner.retry_policy, at.at("retry_policy"))
    if action.HasField("max_stream_duration"):
        for field in ("max_grpc_timeout", "grpc_timeout_offset"):
            if action.HasField(field):
                here.error((field,), f"max_stream_duration takes the place of {field}", "one of the two")
    elif action.HasField("grpc_timeout_offset") and not action.HasField("max_grpc_timeout"):
        here.error(("grpc_timeout_offset",), "an offset of no timeout", "max_grpc_timeout")
    hedging = action if action.HasField("hedge_policy") else host
    return Forwarding(
        idle_timeout=optional("idle_timeout"),
        flush_timeout=optional("flush_timeout"),
        max_grpc_timeout=optional("max_grpc_timeout"),
        grpc_timeout_offset=optional("grpc_timeout_offset") or 0.0,
        max_stream_duration=_max_stream_duration(action, here),
        retry=retry,
        mirrors=_mirrors(levels),
        buffer_limit=_buffer_limit(route, host),
        include_is_timeout_retry_header=host.include_is_timeout_retry_header,
        upgrades=_upgrades(action.upgrade_configs, here),
        hedge_on_per_try_timeout=hedging.hedge_policy.hedge_on_per_try_timeout,
        high_priority=action.priority == HIGH,
        internal_redirect=compile_internal_redirect(action, here),
        proxy_protocol=_proxy_protocol(action.upgrade_configs),
        tcp_posts=any(upgrade.connect_config.allow_post for upgrade in action.upgrade_configs),
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


def _proxy_protocol(messages: Any) -> Literal["", "V1", "V2"]:
    for message in messages:
        if message.connect_config.HasField("proxy_protocol_config"):
            return proxy_protocol.version_of(message.connect_config.proxy_protocol_config)
    return ""


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


def _mirrors(levels: Levels) -> tuple[Mirror, ...]:
    """Those of the most specific level that has any."""
    for message, context in (
        (levels.route.route, levels.action_context),
        (levels.host, levels.host_context),
        (levels.config, levels.config_context),
    ):
        if message.request_mirror_policies:
            return tuple(
                _mirror(mirror, context.at("request_mirror_policies", index))
                for index, mirror in enumerate(message.request_mirror_policies)
            )
    return ()


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
        mutations=compile_sequence(message.request_headers_mutations, context.at("request_headers_mutations")),
    )
