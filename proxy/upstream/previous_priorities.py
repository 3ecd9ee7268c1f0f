"""Retries leave the priorities whose hosts have been tried (`PreviousPrioritiesConfig`)."""

from __future__ import annotations

from proxy.config.common import Address
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

    def loads(self, picks: Picks) -> Loads | None:
        """The shares of the load for the next attempt; None for what they are else."""
        if len(self._tried) < self._frequency:
            return None
        if len(self._tried) % self._frequency == 0:
            found = (picks.priority_of(address) for address in self._tried)
            self._excluded |= {priority for priority in found if priority is not None}
            self._loads = picks.without(self._excluded)
            if self._loads is None:
                self._excluded.clear()
                self._tried.clear()
                self._loads = picks.without(())
        return self._loads
