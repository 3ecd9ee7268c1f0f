"""Which hosts another attempt is not for: `config.route.v3.RetryPolicy.retry_host_predicate`. No I/O."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container

from proxy.config.cluster import Host
from proxy.config.forwarding import RetryPolicy
from proxy.config.lb_subsets import Labels
from proxy.route.labels import host_labels

Rejects = Callable[[Host], bool]


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
    return bool(host.metadata) and "true" in host_labels(host.metadata).get("canary", ())


def _has(labels: Labels, host: Host) -> bool:
    """Whether the host has all `labels`; of a list, one element is enough (`Config::Metadata::metadataLabelMatch`)."""
    values = host_labels(host.metadata)
    return all(value in values.get(key, ()) for key, value in labels)
