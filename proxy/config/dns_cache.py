"""Compiled `extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig`: names that requests bring. Data only."""

from __future__ import annotations

import msgspec

from proxy.config.dns import MACHINE, DnsResolver, LookupFamily


class DnsCache(msgspec.Struct, frozen=True):
    """Durations in seconds, Envoy's defaults.

    A name that was found is asked for again after its TTL, `min_refresh_rate` at least, one without a TTL after
    `refresh_rate`; after a failure as `failure_base` and `failure_max` say, or, without `refresh_on_failure`, once
    somebody asks for it. `host_ttl`: how long a name is kept that nobody asks for. `max_pending`: requests that wait
    for an answer at a time. `preresolve`: names with ports that are asked for at once.
    """

    name: str
    lookup_family: LookupFamily = "AUTO"
    refresh_rate: float = 60.0
    min_refresh_rate: float = 5.0
    failure_base: float = 60.0
    failure_max: float = 60.0
    refresh_on_failure: bool = True
    host_ttl: float = 300.0
    max_hosts: int = 1024
    max_pending: int = 1024
    query_timeout: float = 5.0
    resolver: DnsResolver = MACHINE
    preresolve: tuple[tuple[str, int], ...] = ()
