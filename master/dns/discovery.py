"""From looked-up addresses to hosts: what STRICT_DNS and LOGICAL_DNS mean. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Literal

from proxy.config.cluster import Dns, DnsEndpoint, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.dns.result import Resolved, Result

ClusterType = Literal["STRICT_DNS", "LOGICAL_DNS"]
Target = tuple[int, int]  # number of the locality, number of the endpoint in it


def targets(dns: Dns) -> dict[Target, DnsEndpoint]:
    """The names of a cluster, each of which is looked up on its own."""
    return {
        (at, number): endpoint
        for at, locality in enumerate(dns.localities)
        for number, endpoint in enumerate(locality.endpoints)
    }


def addresses(cluster_type: ClusterType, result: Result) -> tuple[str, ...] | None:
    """The addresses that a lookup gives a cluster, each once; None if the lookup counts as failed.

    An empty answer means no hosts for STRICT_DNS, and a failure (the old host stays) for LOGICAL_DNS: Envoy's
    `DnsClusterImpl::ResolveTarget::isSuccessfulResponse`.
    """
    if not isinstance(result, Resolved):
        return None
    found = tuple(dict.fromkeys(answer.address for answer in result.answers))
    return found or (None if cluster_type == "LOGICAL_DNS" else ())


def alike(cluster_type: ClusterType, found: Sequence[str], before: Sequence[str]) -> bool:
    """Whether an answer changes nothing. Servers rotate addresses, which is a change only where the first one counts:
    a LOGICAL_DNS cluster has one host, at all of them.
    """
    return tuple(found) == tuple(before) if cluster_type == "LOGICAL_DNS" else set(found) == set(before)


def refresh_after(dns: Dns, cluster_type: ClusterType, result: Resolved, rng: Random) -> float:
    """Seconds until a name that was looked up is looked up again: the shortest TTL if it is respected and not 0, and
    some jitter, in whole milliseconds as in Envoy.
    """
    used = result.answers[:1] if cluster_type == "LOGICAL_DNS" else result.answers
    shortest = min((answer.ttl for answer in used), default=0)
    rate = float(shortest) if dns.respect_ttl and shortest > 0 else dns.refresh_rate
    jitter = int(dns.jitter * 1000)
    return rate + rng.randrange(jitter) / 1000 if jitter else rate


Found = Mapping[Target, tuple[str, ...]]
"""What each name has come to."""


def localities(
    dns: Dns,
    cluster_type: ClusterType,
    found: Found,
    slot_of: Callable[[str], int],
    leaving: Found = MappingProxyType({}),
) -> tuple[LocalityHosts, ...]:
    """The hosts of a cluster. Every host has its endpoint's whole weight, as in Envoy.

    `slot_of` gives the slot of an address with port. The one locality of LOGICAL_DNS always has priority 0. Those of
    `leaving` have been found before.
    """
    return tuple(
        LocalityHosts(
            priority=0 if cluster_type == "LOGICAL_DNS" else locality.priority,
            hosts=tuple(
                one
                for number, endpoint in enumerate(locality.endpoints)
                for one in (
                    *(host(endpoint, each, slot_of) for each in _of_hosts(cluster_type, found.get((at, number), ()))),
                    *(host(endpoint, (each,), slot_of, leaving=True) for each in leaving.get((at, number), ())),
                )
            ),
            region=locality.region,
            zone=locality.zone,
            sub_zone=locality.sub_zone,
            weight=locality.weight,
        )
        for at, locality in enumerate(dns.localities)
    )


def found_in(dns: Dns, hosts: Sequence[LocalityHosts], *, leaving: bool = False) -> dict[Target, tuple[str, ...]]:
    """The inverse of `localities`: what a predecessor had found for each name, by hostname and port; or what was
    `leaving` there.

    Without it a new controller would drop the hosts of a name that fails to resolve while another one does.
    """
    if len(hosts) != len(dns.localities):
        return {}
    found = {
        (at, number): tuple(
            dict.fromkeys(
                address.host
                for host in hosts[at].hosts
                if host.leaving is leaving
                and isinstance(host.address, SocketAddress)
                and (host.hostname, host.address.port) == (endpoint.hostname or endpoint.name, endpoint.port)
                for address in (host.address, *host.additional)
            )
        )
        for (at, number), endpoint in targets(dns).items()
    }
    return {target: addresses for target, addresses in found.items() if addresses}


def _of_hosts(cluster_type: ClusterType, found: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """The addresses of each host that an answer makes."""
    return (found,) if cluster_type == "LOGICAL_DNS" and found else ((address,) for address in found)


def host(
    endpoint: DnsEndpoint, addresses: Sequence[str], slot_of: Callable[[str], int], *, leaving: bool = False
) -> Host:
    """One host at `addresses`, of which the first one is its own."""
    first, *others = (SocketAddress(address, endpoint.port) for address in addresses)
    return Host(
        slot=slot_of(str(first)),
        address=first,
        hostname=endpoint.hostname or endpoint.name,
        weight=endpoint.weight,
        metadata=endpoint.metadata,
        health_status=endpoint.health_status,
        additional=tuple(others),
        check=endpoint.check,
        leaving=leaving,
    )
