"""Health flags of hosts, in Envoy's words and order."""

from __future__ import annotations

from typing import Any

import pytest

from master.admin.host_health import HostHealth
from proxy.config.cluster import Cluster, Host
from proxy.config.common import SocketAddress
from proxy.config.health_check import EndpointCheck, TcpCheck
from proxy.upstream.host_status import Checked, HostStatus
from proxy.upstream.tables import MemoryTables
from tests.unit.upstream.health.rig import check

ALL = Checked(31)
NEVER = None


def health(checked: Checked | None, *, checks: bool = True, **host: Any) -> tuple[str, dict[str, Any]]:
    tables = MemoryTables()
    one = Host(2, SocketAddress("127.0.0.1", 80), **host)
    if checked is not None:
        HostStatus(tables, 0, checks=True, ejects=False).set_checked(one, checked)
    config = Cluster("c", "STATIC", health_check=check(TcpCheck()) if checks else None)
    found = HostHealth(config, tables.hosts)
    return found.text(one), found.json(one)


@pytest.mark.parametrize(
    ("checked", "text", "fields"),
    [
        (Checked(0), "healthy", []),
        (NEVER, "/failed_active_hc", ["failed_active_health_check"]),
        (
            ALL,
            "/failed_active_hc/degraded_active_hc/pending_active_hc/excluded_via_immediate_hc_fail/active_hc_timeout",
            [
                "active_hc_timeout",
                "excluded_via_immediate_hc_fail",
                "failed_active_degraded_check",
                "failed_active_health_check",
                "pending_active_hc",
            ],
        ),
    ],
)
def test_what_checks_have_found(checked: Checked | None, text: str, fields: list[str]) -> None:
    said = dict.fromkeys(fields, True)
    assert health(checked) == (text, {**said, "eds_health_status": "HEALTHY"})


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("UNHEALTHY", "/failed_eds_health"),
        ("TIMEOUT", "/failed_eds_health"),
        ("DEGRADED", "/degraded_eds_health"),
        ("DRAINING", "/eds_status_draining"),
    ],
)
def test_what_endpoints_say(status: str, text: str) -> None:
    assert health(NEVER, checks=False, health_status=status)[0] == text
    assert health(Checked.FAILED_ACTIVE_HC, health_status=status)[0] == f"/failed_active_hc{text}"


def test_hosts_that_nobody_checks_are_well() -> None:
    assert health(NEVER, checks=False)[0] == "healthy"
    assert health(NEVER, check=EndpointCheck(disabled=True))[0] == "healthy"
