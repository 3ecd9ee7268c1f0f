"""How hosts are, for who reads the shared tables: what `/clusters` calls health flags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from master.admin.view import ServerView
from proxy.config.cluster import Cluster, Host
from proxy.upstream.host_status import HostStatus
from proxy.upstream.tables import Tables


def status_of(view: ServerView, cluster: Cluster) -> HostStatus:
    """What workers go by, of the hosts of `cluster`; to be read alone."""
    endpoints = view.endpoints.clusters.get(cluster.name)
    slot = endpoints.slot if endpoints is not None else 0
    return HostStatus(cast(Tables, view), slot, checks=False, ejects=cluster.outlier is not None)


def flags(status: HostStatus, host: Host) -> Iterator[str]:
    """What is wrong with `host`, by Envoy's names (`HealthFlag`) and in its order."""
    if status.ejected(host):
        yield "failed_outlier_check"
