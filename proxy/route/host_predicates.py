"""Which hosts another attempt is not for: `config.route.v3.RetryPolicy.retry_host_predicate`. No I/O."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Container

from proxy.config.cluster import Host, HostMetadata
from proxy.config.forwarding import Labels, RetryPolicy

Rejects = Callable[[Host], bool]

LB = "envoy.lb"
"""The metadata of load balancing."""


def compile_rejects(policy: RetryPolicy) -> Callable[[Container[object]], Rejects] | None:
    """Makes of the addresses that have been tried what says which hosts are not wanted; None if all are."""
    others: list[Rejects] = [is_canary] if policy.omit_canary_hosts else []
    others += [functools.partial(_has, labels) for labels in policy.omit_host_metadata if labels]
    avoids = policy.avoid_previous_hosts
    if not (others or avoids):
        return None

    def of(tried: Container[object]) -> Rejects:
        return lambda host: (avoids and host.address in tried) or any(rejects(host) for rejects in others)

    return of


def is_canary(host: Host) -> bool:
    """Whether the host is a canary: its `envoy.lb` metadata says `canary: true`."""
    return bool(host.metadata) and "true" in _values(host.metadata).get("canary", ())


def _has(labels: Labels, host: Host) -> bool:
    """Whether the host has all `labels`; of a list, one element is enough (`Config::Metadata::metadataLabelMatch`)."""
    values = _values(host.metadata)
    return all(value in values.get(key, ()) for key, value in labels)


@functools.lru_cache(maxsize=4096)
def _values(metadata: HostMetadata) -> dict[str, tuple[str, ...]]:
    """The `envoy.lb` metadata: key → its value and, of a list, each element, as JSON."""
    fields = json.loads(dict(metadata).get(LB, "{}"))
    return {
        key: (canonical(value), *(map(canonical, value) if isinstance(value, list) else ()))
        for key, value in fields.items()
    }


def canonical(value: object) -> str:
    """JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
