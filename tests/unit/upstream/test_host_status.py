"""What all workers know of hosts: the newest word counts, and whoever looks hears that there is one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from proxy.config.cluster import Host
from proxy.config.common import SocketAddress
from proxy.upstream.host_set import Health
from proxy.upstream.host_status import Checked, HostStatus
from proxy.upstream.tables import CLUSTER_GAUGES, HOST_GAUGES, ClusterColumn, HostColumn, MemoryTables
from shm.table import TableWriter, create_table, zero_plane

HOST = Host(slot=3, address=SocketAddress("127.0.0.1", 80))


class Plane:
    """One worker's `Tables` over shared memory."""

    def __init__(self, hosts: int, clusters: int, writer: int) -> None:
        self.hosts, self.clusters = TableWriter(hosts, writer), TableWriter(clusters, writer)


@pytest.fixture
def fds() -> Iterator[tuple[int, int]]:
    import os

    hosts = create_table("hosts", rows=8, columns=len(HostColumn), gauges=HOST_GAUGES, writers=4)
    clusters = create_table("clusters", rows=8, columns=len(ClusterColumn), gauges=CLUSTER_GAUGES, writers=4)
    yield hosts, clusters
    for fd in (hosts, clusters):
        with contextlib.suppress(OSError):
            os.close(fd)


def test_a_host_that_nobody_looks_after_is_what_its_endpoint_says() -> None:
    status = HostStatus(MemoryTables(), 0, checks=False, ejects=False)
    assert status.told
    assert status.health(HOST) is Health.HEALTHY
    assert not status.changed()


def test_a_host_that_was_never_checked_has_failed() -> None:
    status = HostStatus(MemoryTables(), 0, checks=True, ejects=False)
    assert status.health(HOST) is Health.UNHEALTHY
    status.set_checked(HOST, Checked(0))
    assert status.health(HOST) is Health.HEALTHY


@pytest.mark.parametrize(
    ("flags", "health"),
    [
        (Checked(0), Health.HEALTHY),
        (Checked.FAILED_ACTIVE_HC, Health.UNHEALTHY),
        (Checked.FAILED_ACTIVE_HC | Checked.ACTIVE_HC_TIMEOUT, Health.UNHEALTHY),
        (Checked.DEGRADED_ACTIVE_HC, Health.DEGRADED),
        (Checked.FAILED_ACTIVE_HC | Checked.DEGRADED_ACTIVE_HC, Health.UNHEALTHY),
        (Checked.FAILED_ACTIVE_HC | Checked.PENDING_ACTIVE_HC, Health.EXCLUDED),
        (Checked.EXCLUDED_VIA_IMMEDIATE_HC_FAIL | Checked.FAILED_ACTIVE_HC, Health.EXCLUDED),
    ],
)
def test_flags(flags: Checked, health: Health) -> None:
    status = HostStatus(MemoryTables(), 0, checks=True, ejects=False)
    status.set_checked(HOST, flags)
    assert status.health(HOST) is health


def test_an_ejected_host_is_unhealthy_until_it_is_back() -> None:
    status = HostStatus(MemoryTables(), 0, checks=False, ejects=True)
    assert status.health(HOST) is Health.HEALTHY
    status.set_ejected(HOST, ejected=True)
    assert status.health(HOST) is Health.UNHEALTHY
    status.set_ejected(HOST, ejected=False)
    assert status.health(HOST) is Health.HEALTHY


def test_the_newest_word_of_all_workers_counts_and_outlives_its_writer(fds: tuple[int, int]) -> None:
    one, other = (HostStatus(Plane(*fds, writer), 5, checks=True, ejects=True) for writer in (0, 2))
    one.changed(), other.changed()
    one.set_checked(HOST, Checked.FAILED_ACTIVE_HC)
    other.set_checked(HOST, Checked(0))  # within the same ms
    assert one.health(HOST) is other.health(HOST) is Health.HEALTHY
    assert one.changed()
    assert not one.changed()
    other.set_ejected(HOST, ejected=True)
    for fd in fds:
        zero_plane(fd, 2)  # its writer has died
    assert one.health(HOST) is Health.UNHEALTHY
    assert one.checked(HOST) is Checked.KNOWN


def test_the_same_again_is_no_change() -> None:
    status = HostStatus(MemoryTables(), 0, checks=True, ejects=False)
    status.set_checked(HOST, Checked(0))
    status.changed()
    status.set_checked(HOST, Checked(0))
    assert not status.changed()
