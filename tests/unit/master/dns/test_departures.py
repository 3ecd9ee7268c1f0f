"""Hosts that discovery has no more."""

from __future__ import annotations

from typing import Any

import pytest

from master.dns.departures import Departures
from proxy.config.cluster import Cluster, DnsEndpoint, Host
from proxy.config.common import SocketAddress
from proxy.config.health_check import EndpointCheck, TcpCheck
from proxy.upstream.host_status import Checked, HostStatus
from proxy.upstream.tables import MemoryTables
from tests.unit.upstream.health.rig import check

SLOTS = {"10.0.0.1:80": 1, "10.0.0.2:80": 2, "10.0.0.3:80": 3}
ENDPOINT = DnsEndpoint("a.example", 80)


def staying(endpoint: DnsEndpoint = ENDPOINT, *, kind: Any = "STRICT_DNS", checked: bool = True, **fields: Any) -> Any:
    """Of three known hosts, of which the first one is found, the second one is well and the third one is not."""
    tables = MemoryTables()
    status = HostStatus(tables, 0, checks=True, ejects=False)
    for slot, flags in ((1, Checked(0)), (2, Checked(0)), (3, Checked.FAILED_ACTIVE_HC)):
        status.set_checked(Host(slot, SocketAddress("", 0)), flags)
    cluster = Cluster("c", kind, health_check=check(TcpCheck()) if checked else None, **fields)
    known = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    return Departures(cluster, tables.hosts, SLOTS.__getitem__).staying(endpoint, known, ("10.0.0.1",))


def test_who_is_well_stays() -> None:
    assert staying() == ("10.0.0.2",)


@pytest.mark.parametrize(
    "fields",
    [
        {"ignore_health_on_host_removal": True},
        {"checked": False},
        {"kind": "LOGICAL_DNS"},
        {"endpoint": DnsEndpoint("a.example", 80, health_status="UNHEALTHY")},
        {"endpoint": DnsEndpoint("a.example", 80, check=EndpointCheck(disabled=True))},
    ],
)
def test_nobody_stays_whom_no_check_has_found_well(fields: dict[str, Any]) -> None:
    assert staying(**fields) == ()
