"""How a cluster spreads its requests, whichever way it says so: `Cluster.lb_policy` with what belongs to it, or
`Cluster.load_balancing_policy`, a list of extensions of which the first one that is known counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from master.config import any_types
from master.config.compile.hash_policy import compile_hash_policies
from master.config.compile.lb import compile_lb, least_request, maglev, override_status, panic_threshold, ring
from master.config.compile.lb_localities import Localities, localities, slow_start
from master.config.compile.lb_subsets import compile_subsets
from master.config.walk import unpack
from proxy.config.lb import Hashing, LoadBalancing
from proxy.config.lb_subsets import LbSubsets

if TYPE_CHECKING:
    from master.config.compile.context import Context

CLUSTER = "envoy.config.cluster.v3"
PACKAGE = "envoy.extensions.load_balancing_policies"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{CLUSTER}.Cluster": ("load_balancing_policy", "lb_policy=LOAD_BALANCING_POLICY_CONFIG"),
    f"{CLUSTER}.LoadBalancingPolicy": ("policies",),
    f"{CLUSTER}.LoadBalancingPolicy.Policy": ("typed_extension_config",),
    f"{PACKAGE}.common.v3.ConsistentHashingLbConfig": (
        "use_hostname_for_hashing",
        "hash_balance_factor",
        "hash_policy",
    ),
    f"{PACKAGE}.least_request.v3.LeastRequest": (
        "choice_count",
        "active_request_bias",
        "slow_start_config",
        "locality_lb_config",
        "enable_full_scan",
        "selection_method",
    ),
    f"{PACKAGE}.maglev.v3.Maglev": ("table_size", "consistent_hashing_lb_config", "locality_weighted_lb_config"),
    f"{PACKAGE}.random.v3.Random": ("locality_lb_config",),
    f"{PACKAGE}.ring_hash.v3.RingHash": (
        "hash_function",
        "minimum_ring_size",
        "maximum_ring_size",
        "consistent_hashing_lb_config",
        "locality_weighted_lb_config",
    ),
    f"{PACKAGE}.round_robin.v3.RoundRobin": ("slow_start_config", "locality_lb_config"),
    f"{PACKAGE}.subset.v3.Subset": ("subset_lb_policy", "allow_redundant_keys"),
}


class Balancing(NamedTuple):
    """`subsets` is None where all hosts go together."""

    lb: LoadBalancing
    subsets: LbSubsets | None = None


def compile_balancing(cluster: Any, context: Context) -> Balancing:
    """Of a `Cluster`, for which `context` stands. What is none of ours, reported, is round robin."""
    if cluster.HasField("load_balancing_policy"):
        _check_alone(cluster, context)
        found = _first(cluster.load_balancing_policy, context.at("load_balancing_policy"), POLICIES)
        common = cluster.common_lb_config
        lb = msgspec.structs.replace(
            found.lb, panic_threshold=panic_threshold(common), override_status=override_status(common)
        )
        found = found._replace(lb=lb)
    else:
        if cluster.lb_policy == cluster.LOAD_BALANCING_POLICY_CONFIG:
            context.error(("lb_policy",), "says that there is a load_balancing_policy", "load_balancing_policy")
        lb = compile_lb(cluster, context)
        found = Balancing(lb, compile_subsets(cluster.lb_subset_config, context.at("lb_subset_config"), lb))
    if cluster.name == context.local_cluster:  # which is where we are already
        found = found._replace(lb=msgspec.structs.replace(found.lb, zone_aware=None))
    return found


_PLACE_TAKEN = (
    "lb_subset_config",
    "round_robin_lb_config",
    "least_request_lb_config",
    "ring_hash_lb_config",
    "maglev_lb_config",
)
_PLACE_TAKEN_IN_COMMON = ("zone_aware_lb_config", "locality_weighted_lb_config", "consistent_hashing_lb_config")


def _check_alone(cluster: Any, context: Context) -> None:
    """Nothing else may say how to balance: Envoy refuses some of it and ignores the rest."""
    taken: list[tuple[str, ...]] = [(field,) for field in _PLACE_TAKEN if cluster.HasField(field)]
    common = cluster.common_lb_config
    taken += [("common_lb_config", field) for field in _PLACE_TAKEN_IN_COMMON if common.HasField(field)]
    if cluster.lb_policy not in (cluster.ROUND_ROBIN, cluster.LOAD_BALANCING_POLICY_CONFIG):
        taken.append(("lb_policy",))
    for path in taken:
        context.error(path, "load_balancing_policy takes its place", "one of the two")


_Compile = Callable[[Any, "Context"], Balancing]


def _first(message: Any, context: Context, known: Mapping[str, _Compile]) -> Balancing:
    """The first policy of a `LoadBalancingPolicy` that is `known`."""
    named = []
    for index, policy in enumerate(message.policies):
        config = policy.typed_extension_config.typed_config
        name = any_types.split_url(config.type_url) or ""
        inner = unpack(config)
        here = context.at("policies", index, "typed_extension_config", "typed_config")
        if inner is not None and name in known:
            return known[name](inner, here)
        if here.path not in context.unsupported:
            named.append(name or policy.typed_extension_config.name)
    if named or not message.policies:
        text = f"there is no such policy: {', '.join(named)}" if named else "names no policy"
        context.error(("policies",), text, f"one of {', '.join(sorted(known))}", kind="reference")
    return Balancing(LoadBalancing())


def _round_robin(message: Any, context: Context) -> Balancing:
    return Balancing(
        LoadBalancing("ROUND_ROBIN", slow_start=slow_start(message, context), **_localities(message, context))
    )


def _random(message: Any, context: Context) -> Balancing:
    return Balancing(LoadBalancing("RANDOM", **_localities(message, context)))


def _least_request(message: Any, context: Context) -> Balancing:
    full_scan = message.enable_full_scan.value or message.selection_method == message.FULL_SCAN
    return Balancing(
        LoadBalancing(
            "LEAST_REQUEST",
            least_request=msgspec.structs.replace(least_request(message, context), full_scan=full_scan),
            slow_start=slow_start(message, context),
            **_localities(message, context),
        )
    )


def _ring_hash(message: Any, context: Context) -> Balancing:
    options = _hashing(ring(message, context, message.MURMUR_HASH_2), message, context)
    weighted = message.HasField("locality_weighted_lb_config")
    return Balancing(LoadBalancing("RING_HASH", locality_weighted=weighted, hashing=options))


def _maglev(message: Any, context: Context) -> Balancing:
    options = _hashing(maglev(message, context), message, context)
    weighted = message.HasField("locality_weighted_lb_config")
    return Balancing(LoadBalancing("MAGLEV", locality_weighted=weighted, hashing=options))


def _subset(message: Any, context: Context) -> Balancing:
    """Subsets of subsets are none of ours."""
    inner = _first(message.subset_lb_policy, context.at("subset_lb_policy"), _OF_HOSTS)
    return Balancing(inner.lb, compile_subsets(message, context, inner.lb))


def _localities(message: Any, context: Context) -> Localities:
    return localities(message.locality_lb_config, context.at("locality_lb_config"))


def _hashing(hashing: Hashing, message: Any, context: Context) -> Hashing:
    common, here = message.consistent_hashing_lb_config, context.at("consistent_hashing_lb_config")
    return msgspec.structs.replace(
        hashing,
        use_hostname=common.use_hostname_for_hashing,
        balance_factor=common.hash_balance_factor.value,
        policies=compile_hash_policies(common.hash_policy, here.at("hash_policy")),
    )


_OF_HOSTS: Mapping[str, _Compile] = {
    f"{PACKAGE}.least_request.v3.LeastRequest": _least_request,
    f"{PACKAGE}.maglev.v3.Maglev": _maglev,
    f"{PACKAGE}.random.v3.Random": _random,
    f"{PACKAGE}.ring_hash.v3.RingHash": _ring_hash,
    f"{PACKAGE}.round_robin.v3.RoundRobin": _round_robin,
}
POLICIES: Mapping[str, _Compile] = {**_OF_HOSTS, f"{PACKAGE}.subset.v3.Subset": _subset}
"""One line for each extension."""
