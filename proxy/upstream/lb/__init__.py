"""Load balancing policies. Each is pure: hosts in, the next host out. One file per policy, one line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from proxy.config.cluster import Host

POLICIES = {
    "ROUND_ROBIN": "proxy.upstream.lb.round_robin:RoundRobin",
}


class LoadBalancer(Protocol):
    """Built with a seed, so that workers do not all start at the same host."""

    def update(self, hosts: Sequence[Host]) -> None:
        """Balance over `hosts` from now on."""
        ...

    def pick(self) -> Host | None:
        """The host for the next request; None if there is no host."""
        ...
