"""Retry policies (`config.route.v3.RetryPolicy`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from master.config import any_types
from master.config.compile.metadata import compile_labels
from master.config.compile.route_match import compile_header_matcher
from master.config.suggest import nearest
from master.config.walk import unpack
from proxy.config.forwarding import ResetHeader, RetryPolicy
from proxy.route.retry import GRPC_NAMES, NAMES, parse_names

if TYPE_CHECKING:
    from master.config.compile.context import Context

PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
OMIT_CANARIES = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"
OMIT_METADATA = "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig"
PREVIOUS_PRIORITIES = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
HOST_PREDICATES = (PREVIOUS_HOSTS, OMIT_CANARIES, OMIT_METADATA)

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RetryPolicy": (
        "retry_on",
        "num_retries",
        "per_try_timeout",
        "per_try_idle_timeout",
        "retry_priority",
        "retry_host_predicate",
        "host_selection_retry_max_attempts",
        "retriable_status_codes",
        "retry_back_off",
        "rate_limited_retry_back_off",
        "retriable_headers",
        "retriable_request_headers",
    ),
    "envoy.config.route.v3.RetryPolicy.RetryBackOff": ("base_interval", "max_interval"),
    "envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff": ("reset_headers", "max_interval"),
    "envoy.config.route.v3.RetryPolicy.ResetHeader": ("name", "format"),
    "envoy.config.route.v3.RetryPolicy.RetryHostPredicate": ("typed_config",),
    "envoy.config.route.v3.RetryPolicy.RetryPriority": ("typed_config",),
    PREVIOUS_PRIORITIES: ("update_frequency",),
    PREVIOUS_HOSTS: (),
    OMIT_CANARIES: (),
    OMIT_METADATA: ("metadata_match",),
}

FORMATS: dict[int, Literal["SECONDS", "UNIX_TIMESTAMP"]] = {0: "SECONDS", 1: "UNIX_TIMESTAMP"}
"""`RetryPolicy.ResetHeaderFormat`."""

BASE_INTERVAL = 0.025
LEAST_INTERVAL = 0.001
RESET_MAX_INTERVAL = 300.0


def compile_retry_policy(message: Any, context: Context) -> RetryPolicy:
    """A `RetryPolicy`; `context` stands for it."""
    base, longest = _back_off(message, context.at("retry_back_off"))
    limited = message.rate_limited_retry_back_off
    here = context.at("rate_limited_retry_back_off")
    return RetryPolicy(
        retry_on=_conditions(message.retry_on, context),
        num_retries=message.num_retries.value if message.HasField("num_retries") else 1,
        per_try_timeout=context.duration(message.per_try_timeout, "per_try_timeout"),
        per_try_idle_timeout=context.duration(message.per_try_idle_timeout, "per_try_idle_timeout"),
        base_interval=base,
        max_interval=longest,
        reset_headers=tuple(
            ResetHeader(header.name.lower(), FORMATS[header.format]) for header in limited.reset_headers
        ),
        reset_max_interval=(
            here.duration(limited.max_interval, "max_interval")
            if limited.HasField("max_interval")
            else RESET_MAX_INTERVAL
        ),
        retriable_status_codes=tuple(message.retriable_status_codes),
        retriable_headers=_matchers(message.retriable_headers, context.at("retriable_headers")),
        retriable_request_headers=_matchers(message.retriable_request_headers, context.at("retriable_request_headers")),
        **_host_predicates(message, context.at("retry_host_predicate")),
        host_selection_retry_max_attempts=message.host_selection_retry_max_attempts or 1,
        leave_priorities_after=_priorities(message, context.at("retry_priority")),
    )


def _conditions(text: str, context: Context) -> tuple[str, ...]:
    """Envoy passes over what it does not know; here it would silently not be retried."""
    known = NAMES | GRPC_NAMES
    for name in sorted(parse_names(text) - known):
        context.error(
            ("retry_on",),
            f"unknown condition {name!r}",
            f"of {', '.join(sorted(known))}",
            suggestion=nearest(name, sorted(known)),
        )
    return tuple(sorted(parse_names(text)))


def _back_off(message: Any, context: Context) -> tuple[float, float]:
    """`max_interval` is ten times `base_interval` by default."""
    if not message.HasField("retry_back_off"):
        return BASE_INTERVAL, 10 * BASE_INTERVAL
    intervals = message.retry_back_off
    base = max(context.duration(intervals.base_interval, "base_interval"), LEAST_INTERVAL)
    if not intervals.HasField("max_interval"):
        return base, 10 * base
    longest = max(context.duration(intervals.max_interval, "max_interval"), LEAST_INTERVAL)
    if longest < base:
        context.error(("max_interval",), "max_interval is less than base_interval", f"at least {base:g}s")
    return base, longest


def _matchers(messages: Any, context: Context) -> tuple[Any, ...]:
    return tuple(compile_header_matcher(message, context.at(index)) for index, message in enumerate(messages))


def _priorities(message: Any, context: Context) -> int:
    """After how many attempts the hosts of other priorities are asked; 0 for never."""
    if not message.HasField("retry_priority"):
        return 0
    given = message.retry_priority.typed_config
    kind = any_types.split_url(given.type_url) or ""
    config: Any = unpack(given) if kind == PREVIOUS_PRIORITIES else None
    if config is not None:
        return int(config.update_frequency)
    if (*context.path, "typed_config") not in context.unsupported:
        context.error(
            ("typed_config",), f"no retry priority has the type {kind}", PREVIOUS_PRIORITIES, kind="reference"
        )
    return 0


def _host_predicates(message: Any, context: Context) -> dict[str, Any]:
    """The fields of `RetryPolicy` about hosts."""
    kinds, labels = set(), []
    for index, predicate in enumerate(message.retry_host_predicate):
        here = context.at(index)
        kind = any_types.split_url(predicate.typed_config.type_url) or ""
        kinds.add(kind)
        if kind == OMIT_METADATA:
            config: Any = unpack(predicate.typed_config)
            if config is not None:
                labels.append(compile_labels(config.metadata_match))
        elif kind not in HOST_PREDICATES and (*here.path, "typed_config") not in here.unsupported:
            here.error(
                ("typed_config",),
                f"no retry host predicate has the type {kind}",
                ", ".join(HOST_PREDICATES),
                kind="reference",
            )
    return {
        "avoid_previous_hosts": PREVIOUS_HOSTS in kinds,
        "omit_canary_hosts": OMIT_CANARIES in kinds,
        "omit_host_metadata": tuple(labels),
    }
