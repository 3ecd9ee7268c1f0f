"""Subsets of hosts: `config.cluster.v3.Cluster.LbSubsetConfig`, and the extension that says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from master.config.compile.metadata import labels_of
from proxy.config.lb import LoadBalancing
from proxy.config.lb_subsets import LbSubsets, SubsetSelector

if TYPE_CHECKING:
    from master.config.compile.context import Context

_OPTIONS = (
    "fallback_policy",
    "default_subset",
    "subset_selectors",
    "panic_mode_any",
    "list_as_any",
    "locality_weight_aware",
    "scale_locality_weight",
    "metadata_fallback_policy",
)
_OF_SELECTORS = ("keys", "fallback_policy", "fallback_keys_subset", "single_host_per_subset")
FIELDS: dict[str, tuple[str, ...]] = {
    f"{package}{suffix}": fields
    for package in (
        "envoy.config.cluster.v3.Cluster.LbSubsetConfig",
        "envoy.extensions.load_balancing_policies.subset.v3.Subset",
    )
    for suffix, fields in (("", _OPTIONS), (".LbSubsetSelector", _OF_SELECTORS))
}

FALLBACKS: dict[int, Any] = {0: "NO_FALLBACK", 1: "ANY_ENDPOINT", 2: "DEFAULT_SUBSET"}
"""`LbSubsetFallbackPolicy`."""

SELECTOR_FALLBACKS: dict[int, Any] = {
    0: "",
    1: "NO_FALLBACK",
    2: "ANY_ENDPOINT",
    3: "DEFAULT_SUBSET",
    4: "KEYS_SUBSET",
}
"""`LbSubsetSelectorFallbackPolicy`."""


def compile_subsets(message: Any, context: Context, lb: LoadBalancing) -> LbSubsets | None:
    """Of an `LbSubsetConfig` or the extension `Subset`, whose hosts are balanced by `lb`. None without selectors: then
    there are no subsets, whatever else is said about them, which is reported.
    """
    if not message.subset_selectors:
        for field, _ in message.ListFields():
            if not context.incomplete():
                context.error((field.name,), "has no effect without subset_selectors", "subset_selectors")
        return None
    at = context.at("subset_selectors")
    selectors = tuple(_selector(one, at.at(index)) for index, one in enumerate(message.subset_selectors))
    known: dict[tuple[str, ...], int] = {}
    for index, selector in enumerate(selectors):
        first = known.setdefault(selector.keys, index)
        if first != index:
            at.error((index, "keys"), f"these are the keys of subset_selectors[{first}]", "each selector once")
    default = labels_of(message.default_subset)
    fallback = FALLBACKS[message.fallback_policy]
    if default and "DEFAULT_SUBSET" not in (fallback, *(selector.fallback for selector in selectors)):
        context.error(("default_subset",), "nothing falls back to it", "fallback_policy: DEFAULT_SUBSET")
    if message.panic_mode_any and fallback == "NO_FALLBACK":
        context.error(("panic_mode_any",), "has no effect without a fallback_policy", "fallback_policy: DEFAULT_SUBSET")
    return LbSubsets(
        selectors,
        fallback,
        default,
        message.panic_mode_any,
        message.list_as_any,
        lists=message.metadata_fallback_policy == message.FALLBACK_LIST,
        redundant_keys=getattr(message, "allow_redundant_keys", False),
        localities=_localities(message, context, lb),
    )


def _localities(message: Any, context: Context, lb: LoadBalancing) -> Literal["EQUAL", "WEIGHTED", "SCALED"]:
    """In Envoy it depends on what is set whether these fields contradict each other, or one has no effect."""
    aware, field = message.locality_weight_aware, "locality_weight_aware"
    if aware and not lb.locality_weighted:
        context.error((field,), "localities have no weights in this cluster", "locality_weighted_lb_config")
    if lb.locality_weighted and not aware:
        context.error((), "locality_weighted_lb_config has no effect on subsets by itself", f"{field}: true")
    if message.scale_locality_weight and not aware:
        context.error(("scale_locality_weight",), f"has no effect without {field}", f"{field}: true")
    return "EQUAL" if not aware else "SCALED" if message.scale_locality_weight else "WEIGHTED"


def _selector(message: Any, context: Context) -> SubsetSelector:
    """The keys that are left for a fallback must be fewer, so that it comes to an end."""
    keys, fewer = tuple(sorted(set(message.keys))), tuple(sorted(set(message.fallback_keys_subset)))
    fallback = SELECTOR_FALLBACKS[message.fallback_policy]
    if not keys and not context.incomplete():
        context.error(("keys",), "a selector without keys selects nothing", "at least one key")
    field = "fallback_keys_subset"
    if fallback != "KEYS_SUBSET":
        if fewer:
            context.error((field,), "is for fallback_policy KEYS_SUBSET alone", "fallback_policy: KEYS_SUBSET")
    elif not fewer:
        context.error((field,), "KEYS_SUBSET needs the keys that are left", "some of keys")
    elif not set(fewer) < set(keys):
        context.error((field,), "these are not fewer keys of the same selector", f"some of {', '.join(keys)}")
    return SubsetSelector(keys, fallback, fewer, message.single_host_per_subset)
