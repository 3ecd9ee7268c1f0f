"""Subsets: hosts that go together by their labels, each with a balancer of its own (`SubsetLoadBalancer`).

All is settled when hosts change: where a request goes is one look into one dict, and another one if it fits no subset.
"""

from __future__ import annotations

import enum
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from proxy.config.cluster import Host
from proxy.config.lb_subsets import Labels, LbSubsets
from proxy.route.labels import host_labels, labels_of, merged
from proxy.upstream.host_set import HostSet, Weigh

FALLBACK_LIST = "fallback_list"
"""The label that lists what a request wants in turn."""

_WEIGH: Mapping[str, Weigh] = {
    "EQUAL": lambda weight, left, of: 0,
    "WEIGHTED": lambda weight, left, of: weight,
    "SCALED": lambda weight, left, of: math.floor(weight * left / of + 0.5) if of else 0,
}


class Picks(Protocol):
    """Who finds a host: a `Balancer`, or a single host."""

    @property
    def in_panic(self) -> bool: ...
    @property
    def serves(self) -> bool: ...
    def update(self, hosts: HostSet) -> None: ...
    def pick(self, number: int | None = None, attempt: int = 0) -> Host | None: ...


class SingleHost:
    """The first of its hosts, of the first priority that has any, whether it is well or not."""

    in_panic = False

    def __init__(self) -> None:
        self._host: Host | None = None

    @property
    def serves(self) -> bool:
        return self._host is not None

    def update(self, hosts: HostSet) -> None:
        self._host = next((host for one in hosts.priorities for host in one.hosts), None)

    def pick(self, number: int | None = None, attempt: int = 0) -> Host | None:
        return self._host


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

    def __init__(self, way: Way, labels: Labels, balancer: Picks, hosts: HostSet, *, in_vain: int = 0) -> None:
        self.way = way
        self.labels = labels
        self.balancer = balancer
        self.hosts = hosts
        self.in_vain = in_vain

    def found_by(self, way: Way, *, in_vain: int = 0) -> Subset:
        """The same hosts for requests that come in another way."""
        return Subset(way, self.labels, self.balancer, self.hosts, in_vain=in_vain)


class SubsetBalancer:
    """`make` builds the balancer of a subset, which the subset of these labels keeps over all updates. `duplicates`:
    how many hosts are left out, as another one stands for them.
    """

    __slots__ = (
        "_anew",
        "_by_keys",
        "_config",
        "_fallback",
        "_fewer",
        "_kept",
        "_make",
        "_none",
        "_single",
        "_subsets",
        "_weigh",
        "duplicates",
    )

    def __init__(self, config: LbSubsets, make: Callable[[], Picks]) -> None:
        self._config = config
        self._make = make
        self._none = Subset(Way.NONE, (), make(), HostSet())
        self._kept: dict[object, Subset] = {}
        self._subsets: dict[Labels, Subset] = {}
        self._by_keys: dict[tuple[str, ...], Subset] = {}
        self._fewer = {one.keys: frozenset(one.fallback_keys) for one in config.selectors if one.fallback_keys}
        self._fallback = self._none
        self._weigh = _WEIGH[config.localities]
        self._single = frozenset(one.keys for one in config.selectors if one.single_host)
        self.duplicates = 0
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
            labels: self._subset(
                labels,
                labels,
                hosts.only(members.__contains__, self._weigh),
                before,
                single=_keys(labels) in self._single,
            )
            for labels, members in self._grouped(hosts).items()
        }
        default = self._subset("default", self._config.default, hosts.only(self._is_default, self._weigh), before)
        everybody = self._subset("any", (), hosts.only(_anybody, self._weigh), before)
        self._fallback = self._of_cluster(default, everybody)
        self._by_keys = {
            one.keys: self._of_selector(one.fallback, default, everybody)
            for one in self._config.selectors
            if one.fallback
        }

    def find(self, labels: Labels) -> Subset:
        """Where a request for hosts of `labels`, sorted by key, is to go."""
        if self._config.lists and any(key == FALLBACK_LIST for key, _ in labels):
            found = self._none
            for one in alternatives(labels):
                found = self._find(one)
                if found.balancer.serves:
                    break
            return found
        return self._find(labels)

    def _find(self, labels: Labels) -> Subset:
        if self._config.redundant_keys:
            labels = self._relevant(labels)
        found = self._subsets.get(labels)
        return found if found is not None else self._otherwise(labels)

    def _relevant(self, labels: Labels) -> Labels:
        """Those of the first selector that there are all labels for, if there is one."""
        keys = frozenset(_keys(labels))
        for selector in self._config.selectors:
            if keys.issuperset(selector.keys):
                return tuple(label for label in labels if label[0] in selector.keys)
        return labels

    def _otherwise(self, labels: Labels) -> Subset:
        keys = _keys(labels)
        fewer = self._fewer.get(keys)
        if fewer is not None:
            return self._find(tuple(label for label in labels if label[0] in fewer))
        return self._by_keys.get(keys, self._fallback)

    def _subset(
        self, key: object, labels: Labels, hosts: HostSet, before: dict[object, Subset], *, single: bool = False
    ) -> Subset:
        old = before.get(key)
        subset = old
        if subset is None or self._anew or subset.hosts != hosts:
            made = SingleHost() if single else self._make() if old is None else old.balancer
            subset = Subset(Way.SUBSET, labels, made, hosts)
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

    def _grouped(self, hosts: HostSet) -> dict[Labels, set[Host]]:
        groups: dict[Labels, set[Host]] = {}
        self.duplicates = 0
        for one in hosts.priorities:
            taken: set[Labels] = set()
            self.duplicates = 0  # Envoy tells those of the last priority
            for host in one.hosts:
                for labels in dict.fromkeys(self._subsets_of(host)):
                    if _keys(labels) in self._single:
                        if labels in taken:
                            self.duplicates += 1
                            continue
                        taken.add(labels)
                    groups.setdefault(labels, set()).add(host)
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


@functools.lru_cache(maxsize=1024)
def alternatives(labels: Labels) -> tuple[Labels, ...]:
    """What a request of `labels` wants in turn: its other labels, each time with those of an element of the list."""
    listed = json.loads(dict(labels)[FALLBACK_LIST])
    others = tuple(label for label in labels if label[0] != FALLBACK_LIST)
    elements = listed if isinstance(listed, list) else []
    if not elements:
        return (others,)
    return tuple(merged(others, labels_of(one) if isinstance(one, dict) else ()) for one in elements)


def _keys(labels: Labels) -> tuple[str, ...]:
    return tuple(key for key, _ in labels)


def _anybody(host: Host) -> bool:
    return True
