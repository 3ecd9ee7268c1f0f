"""The hosts of one cluster at one moment, by priority. Immutable: a change of endpoints is a new `HostSet`."""

from __future__ import annotations

from proxy.config.cluster import ClusterEndpoints, Host


class HostSet:
    """Hosts grouped by priority, lowest number first, localities in their listed order."""

    __slots__ = ("hosts", "priorities")

    def __init__(self, endpoints: ClusterEndpoints | None) -> None:
        by_priority: dict[int, list[Host]] = {}
        for locality in endpoints.localities if endpoints else ():
            by_priority.setdefault(locality.priority, []).extend(locality.hosts)
        self.priorities: tuple[tuple[Host, ...], ...] = tuple(tuple(by_priority[key]) for key in sorted(by_priority))
        self.hosts: frozenset[Host] = frozenset(host for hosts in self.priorities for host in hosts)

    def eligible(self) -> tuple[Host, ...]:
        """The hosts to balance over: the first priority that has any.

        Without health checks every host counts as healthy, so a priority with hosts takes the whole load.
        """
        return next((hosts for hosts in self.priorities if hosts), ())
