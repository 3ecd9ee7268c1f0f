"""Hosts by priority."""

from __future__ import annotations

from proxy.config.cluster import ClusterEndpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.upstream.host_set import HostSet

A, B, C = (Host(slot, SocketAddress("127.0.0.1", slot)) for slot in range(3))


def test_localities_of_one_priority_are_one_group() -> None:
    hosts = HostSet(ClusterEndpoints("c", 1, (LocalityHosts(1, (C,)), LocalityHosts(0, (A,)), LocalityHosts(0, (B,)))))
    assert hosts.priorities == ((A, B), (C,))
    assert hosts.hosts == {A, B, C}
    assert hosts.eligible() == (A, B)


def test_the_first_priority_with_hosts_takes_the_load() -> None:
    assert HostSet(ClusterEndpoints("c", 1, (LocalityHosts(0, ()), LocalityHosts(2, (B,))))).eligible() == (B,)


def test_nothing_is_eligible_without_hosts() -> None:
    assert HostSet(None).eligible() == HostSet(ClusterEndpoints("c", 1, ())).eligible() == ()
