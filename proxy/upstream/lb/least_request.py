"""LEAST_REQUEST: whoever is least busy, as Envoy's `LeastRequestLoadBalancer`.

Hosts of equal weight: of a few that are drawn (or of all) the one with the fewest requests. Of unequal weights: in
turn, where a host's weight falls with each request that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.config.cluster import Host
from proxy.upstream.edf import Edf
from proxy.upstream.lb import Surroundings


class LeastRequest:
    """Requests are those of all workers, as the shared table has them at the moment of the pick."""

    __slots__ = ("_active", "_bias", "_choices", "_full_scan", "_hosts", "_random", "_rotation", "_slow_start")

    def __init__(self, surroundings: Surroundings) -> None:
        config = surroundings.config.least_request
        self._active: Callable[[Host], int] = surroundings.active
        self._random = surroundings.random
        self._choices = config.choice_count
        self._bias = config.active_request_bias
        self._full_scan = config.full_scan
        self._slow_start = surroundings.slow_start
        self._hosts: Sequence[Host] = ()
        self._rotation: Edf[Host] = Edf(())  # empty where all weights are equal

    def update(self, hosts: Sequence[Host]) -> None:
        """Balance over `hosts` from now on; with weights, from a place of the cycle that is drawn."""
        self._hosts = hosts
        starting = self._slow_start is not None and self._slow_start.active
        if starting or len({host.weight for host in hosts}) > 1:
            self._rotation = Edf((self._random.random() / (host.weight * self._factor(host)), host) for host in hosts)
        else:
            self._rotation = Edf(())

    def pick(self) -> Host | None:
        """The least busy of those that are asked; None if there are none."""
        if self._rotation:
            return self._rotation.turn(self._weight)
        if len(self._hosts) < 2:
            return self._hosts[0] if self._hosts else None
        return self._least_of_all() if self._full_scan else self._least_of_some()

    def _weight(self, host: Host) -> float:
        return float(host.weight / (self._active(host) + 1) ** self._bias) * self._factor(host)

    def _factor(self, host: Host) -> float:
        return 1.0 if self._slow_start is None else self._slow_start.factor(host)

    def _least_of_some(self) -> Host:
        """The same host may be drawn more than once, as in Envoy; of equals the first one is taken."""
        draw, hosts, active = self._random.randrange, self._hosts, self._active
        best = hosts[draw(len(hosts))]
        fewest = active(best)
        for _ in range(self._choices - 1):
            host = hosts[draw(len(hosts))]
            if (requests := active(host)) < fewest:
                best, fewest = host, requests
        return best

    def _least_of_all(self) -> Host:
        """Of equals any one."""
        requests = [self._active(host) for host in self._hosts]
        fewest = min(requests)
        return self._random.choice([host for host, count in zip(self._hosts, requests, strict=True) if count == fewest])
