"""Hosts that a filter wants for a request."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config.cluster import Cluster, ClusterEndpoints, HealthStatus, Host
from proxy.config.lb import LoadBalancing
from proxy.errors import Flag, ProxyError
from proxy.stats import MemoryStats
from proxy.upstream import cluster as upstream
from proxy.upstream.host_status import Checked, HostStatus
from proxy.upstream.load_balancer_context import ANYBODY
from proxy.upstream.override_host import OverrideHost
from proxy.upstream.tables import MemoryTables
from tests.unit.upstream.balancing import host, locality


class Rig:
    """A cluster with one host of each status."""

    def __init__(self, *statuses: HealthStatus, override: tuple[str, ...] = ("HEALTHY", "DEGRADED")) -> None:
        self.stats = MemoryStats()
        config = Cluster("c", "STATIC", lb=LoadBalancing(override_status=override))
        self.hosts = [host(number, health_status=status) for number, status in enumerate(statuses)]
        endpoints = ClusterEndpoints("c", 1, (locality(0, *self.hosts[:1]), locality(1, *self.hosts[1:])))
        self.cluster = upstream.Cluster(config, endpoints, self.stats, MemoryTables(), seed=0)

    def pick(self, wanted: Host, *, strict: bool = False) -> Host | None:
        pool = self.cluster.pick_wanted(OverrideHost(str(wanted.address), strict), ANYBODY)
        return None if pool is None else pool.host


STATUSES: tuple[HealthStatus, ...] = ("HEALTHY", "DEGRADED", "UNHEALTHY", "DRAINING", "TIMEOUT")


@pytest.mark.parametrize("override", [("HEALTHY", "DEGRADED"), ("DRAINING",), ()])
def test_a_host_in_the_right_state(override: tuple[str, ...]) -> None:
    rig = Rig(*STATUSES, override=override)
    found = [rig.pick(one) for one in rig.hosts]
    assert found == [one if status in override else None for one, status in zip(rig.hosts, STATUSES, strict=True)]


def test_a_host_that_is_not_there() -> None:
    assert Rig("HEALTHY").pick(host(9)) is None


@pytest.mark.parametrize("number", [0, 9])
def test_no_other_host_will_do(number: int) -> None:
    rig = Rig("UNHEALTHY", "HEALTHY")
    with pytest.raises(ProxyError) as caught:
        rig.pick(host(number), strict=True)
    assert (caught.value.flag, caught.value.status) == (Flag.NO_HEALTHY_UPSTREAM, 503)
    assert rig.stats.value("cluster.c.upstream_cx_none_healthy") == 1
    assert rig.stats.value("cluster.c.external.upstream_rq_503") == 1


@pytest.mark.parametrize(
    ("checked", "ejected", "fields", "reported"),
    [
        (Checked(0), False, {}, "HEALTHY"),
        (Checked.FAILED_ACTIVE_HC, False, {"health_status": "DRAINING"}, "UNHEALTHY"),
        (Checked(0), True, {}, "UNHEALTHY"),
        (Checked.DEGRADED_ACTIVE_HC, False, {}, "DEGRADED"),
        (Checked.DEGRADED_ACTIVE_HC, False, {"health_status": "DRAINING"}, "DRAINING"),
    ],
)
def test_what_is_said_of_a_host(checked: Checked, ejected: bool, fields: dict[str, Any], reported: str) -> None:
    status = HostStatus(MemoryTables(), 0, checks=True, ejects=True)
    one = host(1, **fields)
    status.set_checked(one, checked)
    status.set_ejected(one, ejected=ejected)
    assert status.reported(one) == reported
