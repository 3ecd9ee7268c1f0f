"""The hosts of a priority by zone: where a request goes, and the balancer of each place (`zone_routing.py` decides)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.config.cluster import Host
from proxy.config.lb import LoadBalancing
from proxy.upstream.host_set import HostSet, Locality
from proxy.upstream.lb import LoadBalancer, Surroundings
from proxy.upstream.priority_load import in_panic
from proxy.upstream.zone_routing import Routing, ZoneStats, by_place, routing


class Places(NamedTuple):
    """The hosts of the first priority by place, and how requests are spread over these. `unsure`: too few of the
    proxies are well to say so. `enabled` percent of the requests are concerned.
    """

    localities: tuple[Locality, ...]
    routing: Routing
    unsure: bool
    enabled: int
    stats: ZoneStats


class Zones:
    """What the balancers of one cluster know of zones. `hosts_of` a cluster by its name, None if there is none."""

    __slots__ = ("_config", "_hosts_of", "_stats", "_threshold")

    def __init__(self, config: LoadBalancing, hosts_of: Callable[[str], HostSet | None], stats: ZoneStats) -> None:
        assert config.zone_aware is not None
        self._config = config.zone_aware
        self._threshold = config.panic_threshold
        self._hosts_of = hosts_of
        self._stats = stats

    def proxies(self) -> HostSet | None:
        """The proxies like this one; None if nobody knows any."""
        return self._hosts_of(self._config.local_cluster)

    def places(self, hosts: HostSet) -> Places | None:
        """None if requests for `hosts` are not to look at places."""
        config, stats, proxies = self._config, self._stats, self.proxies()
        stats.recalculated.inc()
        if proxies is None or not proxies.priorities or not hosts.priorities:
            return None
        localities = by_place(hosts.priorities[0], config.place)
        where = by_place(proxies.priorities[0], config.place)
        found = routing(localities, where, config.place, config.min_cluster_size, stats)
        if found is None:
            return None
        return Places(localities, found, in_panic(proxies.levels[0], self._threshold), config.enabled, stats)


class ZoneAwareHosts:
    """The healthy hosts of the first priority, or its degraded ones: `everybody`, and those of each place."""

    __slots__ = ("_everybody", "_fails", "_of_places", "_places", "_random")

    def __init__(
        self, places: Places, everybody: LoadBalancer, of_places: Sequence[LoadBalancer], surroundings: Surroundings
    ) -> None:
        self._places = places
        self._everybody = everybody
        self._of_places = of_places
        self._random = surroundings.random
        self._fails = surroundings.config.fail_on_panic

    def pick(self) -> Host | None:
        """The next host; None if there is none where this request goes."""
        places = self._places
        if places.enabled < 100 and self._random.randrange(100) >= places.enabled:
            return self._everybody.pick()
        if places.unsure:
            places.stats.local_cluster_not_ok.inc()
            return None if self._fails else self._everybody.pick()
        return self._of_places[places.routing.choose(self._random, places.stats)].pick()
