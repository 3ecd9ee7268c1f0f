"""How hosts are, in the words of `/clusters`: Envoy's health flags (`HostUtility::healthFlagsToString`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.config.cluster import Cluster, Host
from proxy.upstream.host_status import Checked, HostVerdicts
from proxy.upstream.tables import Cells

_JSON = {
    "failed_active_hc": "failed_active_health_check",
    "failed_outlier_check": "failed_outlier_check",
    "degraded_active_hc": "failed_active_degraded_check",
    "pending_dynamic_removal": "pending_dynamic_removal",
    "pending_active_hc": "pending_active_hc",
    "excluded_via_immediate_hc_fail": "excluded_via_immediate_hc_fail",
    "active_hc_timeout": "active_hc_timeout",
}
"""A flag → its field of `admin.v3.HostHealthStatus`; what endpoints say has one for itself."""

_EDS_STATUS = {"TIMEOUT": "UNHEALTHY"}


class HostHealth:
    """Of the hosts of one cluster; `hosts` is the shared table."""

    def __init__(self, cluster: Cluster, hosts: Cells) -> None:
        self.verdicts = HostVerdicts.of(cluster, hosts)

    def text(self, host: Host) -> str:
        """`healthy`, or all flags, each behind a slash."""
        return "".join(f"/{flag}" for flag in self.flags(host)) or "healthy"

    def json(self, host: Host) -> dict[str, Any]:
        """`admin.v3.HostHealthStatus`."""
        said: dict[str, Any] = {_JSON[flag]: True for flag in self.flags(host) if flag in _JSON}
        said["eds_health_status"] = _EDS_STATUS.get(host.health_status, host.health_status)
        return said

    def status(self, host: Host) -> str:
        """`config.core.v3.HealthStatus` (`HostImpl::healthStatus`)."""
        checked = self.verdicts.checked(host)
        if checked & Checked.FAILED_ACTIVE_HC or self.verdicts.ejected(host):
            return "UNHEALTHY"
        if host.health_status != "HEALTHY":
            return host.health_status
        return "DEGRADED" if checked & Checked.DEGRADED_ACTIVE_HC else "HEALTHY"

    def flags(self, host: Host) -> Iterator[str]:
        """In Envoy's order."""
        checked = self.verdicts.checked(host)
        if checked & Checked.FAILED_ACTIVE_HC:
            yield "failed_active_hc"
        if self.verdicts.ejected(host):
            yield "failed_outlier_check"
        if host.health_status in ("UNHEALTHY", "TIMEOUT"):
            yield "failed_eds_health"
        if checked & Checked.DEGRADED_ACTIVE_HC:
            yield "degraded_active_hc"
        if host.health_status == "DEGRADED":
            yield "degraded_eds_health"
        if host.leaving:
            yield "pending_dynamic_removal"
        if checked & Checked.PENDING_ACTIVE_HC:
            yield "pending_active_hc"
        if checked & Checked.EXCLUDED_VIA_IMMEDIATE_HC_FAIL:
            yield "excluded_via_immediate_hc_fail"
        if checked & Checked.ACTIVE_HC_TIMEOUT:
            yield "active_hc_timeout"
        if host.health_status == "DRAINING":
            yield "eds_status_draining"
