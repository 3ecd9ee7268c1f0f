"""Which hosts of a cluster go together (`config.cluster.v3.Cluster.LbSubsetConfig`). Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

Labels = tuple[tuple[str, str], ...]
"""Keys of the `envoy.lb` metadata, sorted, and what they are, as JSON with sorted keys (`proxy.route.labels`)."""


class SubsetSelector(msgspec.Struct, frozen=True, gc=False):
    """`LbSubsetSelector`: the hosts that have all `keys` go together by what they say there.

    `fallback` is for a request whose labels have just these keys and fit no host; "" leaves it to the cluster.
    `KEYS_SUBSET`: it is asked again with `fallback_keys` alone, which are fewer. Both kinds of keys are sorted.
    `single_host`: the first host of each stands for all of them, however it is.
    """

    keys: tuple[str, ...]
    fallback: Literal["", "NO_FALLBACK", "ANY_ENDPOINT", "DEFAULT_SUBSET", "KEYS_SUBSET"] = ""
    fallback_keys: tuple[str, ...] = ()
    single_host: bool = False


class LbSubsets(msgspec.Struct, frozen=True):
    """`LbSubsetConfig`. `fallback` is for requests that no subset is for; the hosts of the default subset have all of
    `default`. `panic_mode_any`: if that finds none, any host will do. `list_as_any`: a host that has a list stands for
    each of its elements. `lists`: a request may say in turn what it wants besides (`fallback_list`). `redundant_keys`:
    labels that no selector is for do not count, if a selector is for the others.
    `localities`: whether localities have weights in subsets: none, their own, or less where hosts of them are missing.
    """

    selectors: tuple[SubsetSelector, ...]
    fallback: Literal["NO_FALLBACK", "ANY_ENDPOINT", "DEFAULT_SUBSET"] = "NO_FALLBACK"
    default: Labels = ()
    panic_mode_any: bool = False
    list_as_any: bool = False
    lists: bool = False
    redundant_keys: bool = False
    localities: Literal["EQUAL", "WEIGHTED", "SCALED"] = "EQUAL"
