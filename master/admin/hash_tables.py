"""Gauges of the tables of RING_HASH and MAGLEV. All workers have the same tables, so nobody need be asked."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator

from proxy.config.cluster import Host
from proxy.config.lb import Hashing, LoadBalancing
from proxy.upstream import localities, priority_load
from proxy.upstream.hash_key import hash_key
from proxy.upstream.host_set import HostSet
from proxy.upstream.lb import maglev, ring_hash

_MOST_KNOWN = 1024  # tables whose figures are kept


def gauges(prefix: str, lb: LoadBalancing, hosts: HostSet) -> Iterator[tuple[str, int]]:
    """Of the cluster behind `prefix`. Of several priorities the last one that has hosts counts, as in Envoy."""
    if not lb.hashes:
        return
    loads = priority_load.loads(
        hosts.levels, overprovisioning_factor=hosts.overprovisioning_factor, panic_threshold=lb.panic_threshold
    )
    found: list[tuple[Host, float]] = []
    for priority, panic in zip(hosts.priorities, loads.panic, strict=False):
        found = localities.shares_of(priority, panic=panic, weighted=lb.locality_weighted) or found
    shares = tuple(share for _, share in found)
    if lb.policy == "MAGLEV":
        if len(set(shares)) > 1:  # then it matters who comes first
            found.sort(key=lambda pair: hash_key(pair[0], use_hostname=lb.hashing.use_hostname))
            shares = tuple(share for _, share in found)
        least, most = _entries(shares, lb.hashing.table_size)
        yield f"{prefix}maglev_lb.min_entries_per_host", least
        yield f"{prefix}maglev_lb.max_entries_per_host", most
    else:
        size, least, most = _hashes(shares, lb.hashing)
        yield f"{prefix}ring_hash_lb.size", size
        yield f"{prefix}ring_hash_lb.min_hashes_per_host", least
        yield f"{prefix}ring_hash_lb.max_hashes_per_host", most


@functools.lru_cache(maxsize=_MOST_KNOWN)
def _entries(shares: tuple[float, ...], size: int) -> tuple[int, int]:
    if not shares:
        return 0, 0
    counts = Counter(maglev.turns(shares, size))
    return min(counts[index] for index in range(len(shares))), max(counts.values())


@functools.lru_cache(maxsize=_MOST_KNOWN)
def _hashes(shares: tuple[float, ...], config: Hashing) -> tuple[int, int, int]:
    if not shares:
        return 0, 0, 0
    counts = ring_hash.standings(shares, config)
    return sum(counts), min(counts), max(counts)
