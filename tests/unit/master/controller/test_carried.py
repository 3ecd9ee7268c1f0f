"""What a new generation knows of hosts from the one before."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from master.controller.carried import Carried
from proxy.config.cluster import ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.upstream.host_status import Checked, HostStatus
from proxy.upstream.tables import CLUSTER_GAUGES, HOST_GAUGES, ClusterColumn, HostColumn
from shm.table import TableReader, TableWriter, create_table


class Generation:
    def __init__(self, columns: int = len(HostColumn)) -> None:
        self.fds = [
            create_table(
                "hosts", rows=16, columns=columns, gauges=[each for each in HOST_GAUGES if each < columns], writers=4
            ),
            create_table("clusters", rows=4, columns=len(ClusterColumn), gauges=CLUSTER_GAUGES, writers=4),
        ]

    def plane(self, writer: int) -> Plane:
        return Plane(*self.fds, writer)

    def status(self, writer: int = 1, slot: int = 0) -> HostStatus:
        return HostStatus(self.plane(writer), slot, checks=True, ejects=True)


class Plane:
    def __init__(self, hosts: int, clusters: int, writer: int) -> None:
        self.hosts, self.clusters = TableWriter(hosts, writer), TableWriter(clusters, writer)


@pytest.fixture
def generations() -> Iterator[list[Generation]]:
    made = [Generation(), Generation()]
    yield made
    for fd in [fd for each in made for fd in each.fds]:
        os.close(fd)


def host(slot: int, port: int) -> Host:
    return Host(slot, SocketAddress("127.0.0.1", port))


def endpoints(cluster: str, *hosts: Host, slot: int = 0) -> Endpoints:
    return Endpoints(1, {cluster: ClusterEndpoints(cluster, 1, (LocalityHosts(0, hosts),), slot)})


def carry(old: Generation, before: Endpoints, new: Generation, after: Endpoints) -> None:
    plane = new.plane(3)
    Carried(TableReader(old.fds[0]), before).give(after, plane.hosts, plane.clusters)


def test_hosts_are_found_by_cluster_and_address_whatever_their_rows(generations: list[Generation]) -> None:
    old, new = generations
    down, gone, fresh = host(2, 80), host(3, 81), host(7, 82)
    old.status().set_checked(down, Checked.FAILED_ACTIVE_HC)
    old.status().set_checked(gone, Checked(0))
    begun = old.status().begin_check(down)
    for writer in (0, 1):
        old.plane(writer).hosts.add(down.slot, HostColumn.EJECTION_BACKOFF, 2)
    old.status().set_ejected(down, ejected=True)
    moved = host(5, 80)
    carry(old, endpoints("c", down, gone), new, endpoints("c", moved, fresh, slot=2))
    status = new.status(slot=2)
    assert status.checked(moved) == Checked.KNOWN | Checked.FAILED_ACTIVE_HC
    assert status.ejected(moved)
    assert status.checks_begun(moved) == begun
    assert new.plane(0).hosts.total(moved.slot, HostColumn.EJECTION_BACKOFF) == 4
    assert not status.checked(fresh) & Checked.KNOWN
    assert status.changed()
    assert new.plane(0).clusters.total(2, ClusterColumn.STATUS_CHANGES) == 1


def test_another_cluster_has_other_hosts(generations: list[Generation]) -> None:
    old, new = generations
    old.status().set_checked(host(2, 80), Checked(0))
    carry(old, endpoints("a", host(2, 80)), new, endpoints("b", host(2, 80)))
    assert not new.status().checked(host(2, 80)) & Checked.KNOWN


def test_what_is_found_out_anew_counts_more(generations: list[Generation]) -> None:
    old, new = generations
    one = host(2, 80)
    old.status().set_checked(one, Checked.FAILED_ACTIVE_HC)
    carry(old, endpoints("c", one), new, endpoints("c", one))
    new.status(writer=0).set_checked(one, Checked(0))
    assert new.status().checked(one) == Checked.KNOWN
    carry(old, endpoints("c", one), new, endpoints("c", one))
    assert new.status().checked(one) == Checked.KNOWN


def test_a_release_that_knew_nothing_of_checks_has_nothing_to_give() -> None:
    old, new = Generation(columns=int(HostColumn.CHECKED)), Generation()
    carry(old, endpoints("c", host(2, 80)), new, endpoints("c", host(2, 80)))
    assert not new.status().checked(host(2, 80)) & Checked.KNOWN
    for fd in [*old.fds, *new.fds]:
        os.close(fd)
