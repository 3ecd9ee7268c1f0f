"""A start waits for the first health checks, as Envoy's clusters warm: who serves knows which hosts are well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints
from proxy.upstream.health.service import WARM_DEADLINE, first_within
from proxy.upstream.host_status import Checked, HostVerdicts
from proxy.upstream.tables import Cells

POLL: Final = 0.02  # seconds


async def warm(config: CompiledConfig, endpoints: Callable[[], Endpoints], hosts: Cells) -> None:
    """Until something is known of each host of `endpoints`, or its first check is overdue. Workers check; names have
    been resolved before.
    """
    began = trio.current_time()
    for cluster in config.clusters:
        if cluster.health_check is None:
            continue
        deadline = began + min(first_within(cluster.health_check), WARM_DEADLINE)
        while not _known(cluster, endpoints().clusters.get(cluster.name), hosts) and trio.current_time() < deadline:  # noqa: ASYNC110 - the words are shared memory
            await trio.sleep(POLL)


def _known(cluster: Cluster, endpoints: ClusterEndpoints | None, hosts: Cells) -> bool:
    verdicts = HostVerdicts.of(cluster, hosts)
    return all(
        verdicts.checked(host) & Checked.KNOWN
        for locality in (endpoints.localities if endpoints is not None else ())
        for host in locality.hosts
    )
