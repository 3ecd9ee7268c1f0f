"""Subsets: hosts that go together by their labels, each with a balancer of its own (`SubsetLoadBalancer`).

All is settled when hosts change: where a request goes is one look into one dict, and another one if it fits no subset.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterable, Iterator

from proxy.config.cluster import Host
from proxy.config.lb_subsets import Labels, LbSubsets
from proxy.route.labels import host_labels
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import HostSet


class Way(enum.Enum):
    """How a request comes to its hosts. `SELECTOR` is the fallback of a selector, which counts nowhere in Envoy."""

    SUBSET = "subset"
    SELECTOR = "fallback of the selector"
    FALLBACK = "fallback"
    PANIC = "panic"
    NONE = "none"


class Subset:
    """`hosts` that have all `labels`, and the `balancer` over them. `in_vain`: how many others without any host are
    asked on the way there, each of which counts as one in panic.
    """

    __slots__ = ("balancer", "hosts", "in_vain", "labels", "way")

    def __init__(self, way: Way, labels: Labels, balancer: Balancer, hosts: HostSet, *, in_vain: int = 0) -> None:
        self.way = way
        self.labels = labels
        self.balancer = balancer
        self.hosts = hosts
        self.in_vain = in_vain

    def found_by(self, way: Way, *, in_vain: int = 0) -> Subset:
        """The same hosts for requests that come in another way."""
        return Subset(way, self.labels, self.balancer, self.hosts, in_vain=in_vain)


class SubsetBalancer:
    """`make` builds the balancer of a subset, which the subset of these labels keeps over all updates."""

    __slots__ = ("_anew", "_by_keys", "_config", "_fallback", "_fewer", "_kept", "_make", "_none", "_subsets")

    def __init__(self, config: LbSubsets, make: Callable[[], Balancer]) -> None:
        self._config = config
        self._make = make
        self._none = Subset(Way.NONE, (), make(), HostSet())
        self._kept: dict[object, Subset] = {}
        self._subsets: dict[Labels, Subset] = {}
        self._by_keys: dict[tuple[str, ...], Subset] = {}
        self._fewer = {one.keys: frozenset(one.fallback_keys) for one in config.selectors if one.fallback_keys}
        self._fallback = self._none
        self.update(HostSet())

    @property
    def labels(self) -> frozenset[Labels]:
        """Those of all subsets there are."""
        return frozenset(self._subsets)

    def update(self, hosts: HostSet, *, anew: bool = False) -> None:
        """Balance over `hosts`; `anew`: subsets whose hosts stay the same, too."""
        before, self._kept = self._kept, {}
        self._anew = anew
        self._subsets = {
            labels: self._subset(labels, labels, hosts.only(frozenset(members).__contains__), before)
            for labels, members in self._grouped(hosts.hosts).items()
        }
        default = self._subset("default", self._config.default, hosts.only(self._is_default), before)
        everybody = self._subset("any", (), hosts, before)
        self._fallback = self._of_cluster(default, everybody)
        self._by_keys = {
            one.keys: self._of_selector(one.fallback, default, everybody)
            for one in self._config.selectors
            if one.fallback
        }

    def find(self, labels: Labels) -> Subset:
        """Where a request for hosts of `labels`, sorted by key, is to go."""
        found = self._subsets.get(labels)
        return found if found is not None else self._otherwise(labels)

    def _otherwise(self, labels: Labels) -> Subset:
        keys = tuple(key for key, _ in labels)
        fewer = self._fewer.get(keys)
        if fewer is not None:
            return self.find(tuple(label for label in labels if label[0] in fewer))
        return self._by_keys.get(keys, self._fallback)

    def _subset(self, key: object, labels: Labels, hosts: HostSet, before: dict[object, Subset]) -> Subset:
        old = before.get(key)
        subset = old
        if subset is None or self._anew or subset.hosts != hosts:
            subset = Subset(Way.SUBSET, labels, old.balancer if old is not None else self._make(), hosts)
            subset.balancer.update(hosts)
        self._kept[key] = subset
        return subset

    def _of_cluster(self, default: Subset, everybody: Subset) -> Subset:
        if self._config.fallback == "NO_FALLBACK":
            return self._none
        subset = everybody if self._config.fallback == "ANY_ENDPOINT" else default
        if subset.hosts.hosts:
            return subset.found_by(Way.FALLBACK)
        if not self._config.panic_mode_any:
            return self._none.found_by(Way.NONE, in_vain=1)
        if everybody.hosts.hosts:
            return everybody.found_by(Way.PANIC, in_vain=1)
        return self._none.found_by(Way.NONE, in_vain=2)

    def _of_selector(self, fallback: str, default: Subset, everybody: Subset) -> Subset:
        if fallback not in ("ANY_ENDPOINT", "DEFAULT_SUBSET"):
            return self._none
        subset = everybody if fallback == "ANY_ENDPOINT" else default
        return subset.found_by(Way.SELECTOR) if subset.hosts.hosts else self._none.found_by(Way.NONE, in_vain=1)

    def _grouped(self, hosts: Iterable[Host]) -> dict[Labels, list[Host]]:
        groups: dict[Labels, list[Host]] = {}
        for host in hosts:
            for labels in dict.fromkeys(self._subsets_of(host)):
                groups.setdefault(labels, []).append(host)
        return groups

    def _subsets_of(self, host: Host) -> Iterator[Labels]:
        said = host_labels(host.metadata)
        for selector in self._config.selectors:
            if all(key in said for key in selector.keys):
                for values in itertools.product(*(self._values(said[key]) for key in selector.keys)):
                    yield tuple(zip(selector.keys, values, strict=True))

    def _is_default(self, host: Host) -> bool:
        said = host_labels(host.metadata)
        return all(value in self._values(said.get(key, ())) for key, value in self._config.default)

    def _values(self, said: tuple[str, ...]) -> tuple[str, ...]:
        """What a host stands for by what it says of one key: a list itself comes first, its elements behind it."""
        is_list = bool(said) and said[0].startswith("[")
        return said[1:] if is_list and self._config.list_as_any else said[:1]
