"""Retries leave the priorities whose hosts have been tried (`PreviousPrioritiesConfig`)."""

from __future__ import annotations

import random

from proxy.config.cluster import Host
from proxy.config.common import Address
from proxy.upstream import priority_load
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import HostSet
from proxy.upstream.priority_load import Loads
from proxy.upstream.subset_balancer import Picks


class PreviousPriorities:
    """Of one request: after each `frequency` attempts, those of which hosts have been tried get nothing any more. Once
    all have been tried, it begins anew.
    """

    __slots__ = ("_excluded", "_frequency", "_loads", "_tried")

    def __init__(self, frequency: int) -> None:
        self._frequency = frequency
        self._tried: list[Address] = []
        self._excluded: set[int] = set()
        self._loads: Loads | None = None

    def tried(self, address: Address) -> None:
        """An attempt went to the host with this address."""
        self._tried.append(address)

    def without_them(self, picks: Picks) -> Picks:
        """`picks` for the next attempt. A table's priority is a matter of the request's hash alone, in Envoy too."""
        if not isinstance(picks, Balancer) or picks.hashes:
            return picks
        loads = self.loads(picks.hosts)
        return picks if loads is None else AtLoads(picks, loads)

    def loads(self, hosts: HostSet) -> Loads | None:
        """The shares of the load for the next attempt; None for what they are else."""
        if len(self._tried) < self._frequency:
            return None
        if len(self._tried) % self._frequency == 0:
            for index, priority in enumerate(hosts.priorities):
                if any(host.address in self._tried for host in priority.hosts):
                    self._excluded.add(index)
            self._loads = priority_load.without(hosts.levels, self._excluded, hosts.overprovisioning_factor)
            if self._loads is None:
                self._excluded.clear()
                self._tried.clear()
                self._loads = priority_load.without(hosts.levels, (), hosts.overprovisioning_factor)
        return self._loads


class AtLoads:
    """A balancer whose priorities get other shares of the load."""

    def __init__(self, balancer: Balancer, loads: Loads) -> None:
        self._balancer = balancer
        self._loads = loads
        self.in_panic = balancer.in_panic
        self.serves = balancer.serves
        self.update = balancer.update

    def pick(self, number: int | None = None, attempt: int = 0) -> Host | None:
        """As `Balancer.pick`."""
        return self._balancer.pick(number, attempt, level=self._loads.choose(random.getrandbits(64)))
