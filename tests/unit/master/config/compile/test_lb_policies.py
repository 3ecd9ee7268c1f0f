"""`load_balancing_policy`: the extensions say what `lb_policy` and its kin say."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config.cluster import Cluster
from proxy.config.hash_policy import HashPolicy
from proxy.config.lb import Hashing, LeastRequest, LoadBalancing
from proxy.config.lb_subsets import LbSubsets, SubsetSelector
from tests.kit.bootstrap import bootstrap, static_cluster
from tests.kit.config import compiled, findings

CLUSTER = "envoy.config.cluster.v3"
PACKAGE = "envoy.extensions.load_balancing_policies"
ROUND_ROBIN = {"@type": f"type.googleapis.com/{PACKAGE}.round_robin.v3.RoundRobin"}
UNKNOWN = {"@type": "type.googleapis.com/envoy.config.core.v3.Node"}


def extension(name: str, **fields: Any) -> dict[str, Any]:
    """`name` is that of the message; its package follows from it."""
    package = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")
    return {"@type": f"type.googleapis.com/{PACKAGE}.{package}.v3.{name}", **fields}


def policy(*configs: dict[str, Any]) -> dict[str, Any]:
    extensions = ({"name": "lb", "typed_config": config} for config in configs)
    return {"policies": [{"typed_extension_config": one} for one in extensions]}


def text(*configs: dict[str, Any], **cluster: Any) -> str:
    return bootstrap([], [static_cluster("c", 80, load_balancing_policy=policy(*configs), **cluster)])


def cluster_of(*configs: dict[str, Any], **cluster: Any) -> Cluster:
    (found,) = compiled(text(*configs, **cluster)).clusters
    return found


def lb_of(*configs: dict[str, Any], **cluster: Any) -> LoadBalancing:
    return cluster_of(*configs, **cluster).lb


LOCALITIES = {"locality_lb_config": {"locality_weighted_lb_config": {}}}


@pytest.mark.field(
    f"{CLUSTER}.Cluster.load_balancing_policy",
    f"{CLUSTER}.LoadBalancingPolicy.policies",
    f"{CLUSTER}.LoadBalancingPolicy.Policy.typed_extension_config",
    f"{PACKAGE}.random.v3.Random.locality_lb_config",
    f"{PACKAGE}.common.v3.LocalityLbConfig.locality_weighted_lb_config",
)
def test_random() -> None:
    assert lb_of(extension("Random", **LOCALITIES)) == LoadBalancing("RANDOM", locality_weighted=True)


@pytest.mark.field(f"{PACKAGE}.round_robin.v3.RoundRobin.locality_lb_config")
def test_round_robin() -> None:
    panic = {"common_lb_config": {"healthy_panic_threshold": {"value": 20}}}
    assert lb_of(extension("RoundRobin", **LOCALITIES), **panic) == LoadBalancing(
        panic_threshold=20, locality_weighted=True
    )


@pytest.mark.field(
    *(
        f"{PACKAGE}.least_request.v3.LeastRequest.{field}"
        for field in ("choice_count", "active_request_bias", "locality_lb_config", "selection_method")
    )
)
def test_least_request() -> None:
    bias = {"default_value": 2.0, "runtime_key": "k"}
    fields = {"choice_count": 4, "active_request_bias": bias, "selection_method": "FULL_SCAN", **LOCALITIES}
    assert lb_of(extension("LeastRequest", **fields)) == LoadBalancing(
        "LEAST_REQUEST", locality_weighted=True, least_request=LeastRequest(4, 2.0, full_scan=True)
    )


@pytest.mark.field(f"{PACKAGE}.least_request.v3.LeastRequest.enable_full_scan")
def test_the_older_word_for_a_full_scan() -> None:
    assert lb_of(extension("LeastRequest", enable_full_scan=True)).least_request == LeastRequest(full_scan=True)


HASHED = {
    "use_hostname_for_hashing": True,
    "hash_balance_factor": 120,
    "hash_policy": [{"header": {"header_name": "x-key"}}],
}


@pytest.mark.field(
    *(
        f"{PACKAGE}.ring_hash.v3.RingHash.{field}"
        for field in (
            "hash_function",
            "minimum_ring_size",
            "maximum_ring_size",
            "consistent_hashing_lb_config",
            "locality_weighted_lb_config",
        )
    ),
    f"{PACKAGE}.common.v3.ConsistentHashingLbConfig.use_hostname_for_hashing",
    f"{PACKAGE}.common.v3.ConsistentHashingLbConfig.hash_balance_factor",
    f"{PACKAGE}.common.v3.ConsistentHashingLbConfig.hash_policy",
)
def test_ring_hash() -> None:
    sizes = {"minimum_ring_size": 10, "maximum_ring_size": 20, "hash_function": "MURMUR_HASH_2"}
    found = lb_of(extension("RingHash", **sizes, consistent_hashing_lb_config=HASHED, locality_weighted_lb_config={}))
    hashing = Hashing(
        use_hostname=True,
        minimum_ring_size=10,
        maximum_ring_size=20,
        murmur=True,
        policies=(HashPolicy("header", "x-key"),),
        balance_factor=120,
    )
    assert found == LoadBalancing("RING_HASH", locality_weighted=True, hashing=hashing)


@pytest.mark.parametrize("function", ["DEFAULT_HASH", "XX_HASH"])
def test_the_usual_hash(function: str) -> None:
    assert lb_of(extension("RingHash", hash_function=function)) == LoadBalancing("RING_HASH")


@pytest.mark.field(
    *(
        f"{PACKAGE}.maglev.v3.Maglev.{field}"
        for field in ("table_size", "consistent_hashing_lb_config", "locality_weighted_lb_config")
    )
)
def test_maglev() -> None:
    found = lb_of(
        extension("Maglev", table_size=101, consistent_hashing_lb_config=HASHED, locality_weighted_lb_config={})
    )
    hashing = Hashing(use_hostname=True, table_size=101, policies=(HashPolicy("header", "x-key"),), balance_factor=120)
    assert found == LoadBalancing("MAGLEV", locality_weighted=True, hashing=hashing)


SUBSET = f"{PACKAGE}.subset.v3.Subset"


@pytest.mark.field(
    *(
        f"{SUBSET}.{field}"
        for field in (
            "fallback_policy",
            "default_subset",
            "subset_selectors",
            "panic_mode_any",
            "list_as_any",
            "subset_lb_policy",
        )
    ),
    *(f"{SUBSET}.LbSubsetSelector.{field}" for field in ("keys", "fallback_policy", "fallback_keys_subset")),
)
def test_subsets() -> None:
    selector = {"keys": ["b", "a"], "fallback_policy": "KEYS_SUBSET", "fallback_keys_subset": ["a"]}
    found = cluster_of(
        extension(
            "Subset",
            fallback_policy="DEFAULT_SUBSET",
            default_subset={"a": "1"},
            subset_selectors=[selector, {"keys": ["a"]}],
            panic_mode_any=True,
            list_as_any=True,
            subset_lb_policy=policy(extension("Random")),
        )
    )
    assert found.lb == LoadBalancing("RANDOM")
    assert found.subsets == LbSubsets(
        (SubsetSelector(("a", "b"), "KEYS_SUBSET", ("a",)), SubsetSelector(("a",))),
        "DEFAULT_SUBSET",
        (("a", '"1"'),),
        panic_mode_any=True,
        list_as_any=True,
    )


@pytest.mark.field(
    *(
        f"{SUBSET}.{field}"
        for field in (
            "locality_weight_aware",
            "scale_locality_weight",
            "metadata_fallback_policy",
            "allow_redundant_keys",
            "LbSubsetSelector.single_host_per_subset",
        )
    ),
)
def test_more_of_subsets() -> None:
    found = cluster_of(
        extension(
            "Subset",
            subset_selectors=[{"keys": ["a"], "single_host_per_subset": True}],
            locality_weight_aware=True,
            scale_locality_weight=True,
            metadata_fallback_policy="FALLBACK_LIST",
            allow_redundant_keys=True,
            subset_lb_policy=policy(extension("Random", **LOCALITIES)),
        )
    )
    assert found.subsets == LbSubsets(
        (SubsetSelector(("a",), single_host=True),), lists=True, redundant_keys=True, localities="SCALED"
    )


OLDER = f"{CLUSTER}.Cluster.LbSubsetConfig"


@pytest.mark.field(
    *(
        f"{OLDER}.{field}"
        for field in (
            "locality_weight_aware",
            "scale_locality_weight",
            "metadata_fallback_policy",
            "LbSubsetSelector.single_host_per_subset",
        )
    ),
)
def test_the_same_in_the_older_words() -> None:
    subsets = {
        "subset_selectors": [{"keys": ["a"], "single_host_per_subset": True}],
        "locality_weight_aware": True,
        "scale_locality_weight": True,
        "metadata_fallback_policy": "FALLBACK_LIST",
    }
    weighted = {"locality_weighted_lb_config": {}}
    text = bootstrap([], [static_cluster("c", 80, lb_subset_config=subsets, common_lb_config=weighted)])
    (found,) = compiled(text).clusters
    assert found.subsets == LbSubsets((SubsetSelector(("a",), single_host=True),), lists=True, localities="SCALED")


@pytest.mark.parametrize(
    ("weighted", "options", "message"),
    [
        (False, {"locality_weight_aware": True}, "localities have no weights in this cluster"),
        (True, {}, "locality_weighted_lb_config has no effect on subsets by itself"),
        (False, {"scale_locality_weight": True}, "has no effect without locality_weight_aware"),
    ],
)
def test_weights_of_localities_in_subsets(weighted: bool, options: dict[str, Any], message: str) -> None:
    by = policy(extension("Random", **(LOCALITIES if weighted else {})))
    config = extension("Subset", subset_selectors=[{"keys": ["a"]}], subset_lb_policy=by, **options)
    assert [one.message for one in findings(text(config))] == [message]


def test_the_first_one_that_is_known_counts() -> None:
    assert lb_of(UNKNOWN, extension("Random"), ROUND_ROBIN).policy == "RANDOM"


def test_one_without_anything_known() -> None:
    (found,) = findings(text(UNKNOWN))
    assert found.message == "there is no such policy: envoy.config.core.v3.Node"
    assert f"{PACKAGE}.maglev.v3.Maglev" in found.expected


@pytest.mark.field(f"{CLUSTER}.Cluster.lb_policy=LOAD_BALANCING_POLICY_CONFIG")
def test_lb_policy_may_say_that_there_is_one() -> None:
    assert lb_of(extension("Random"), lb_policy="LOAD_BALANCING_POLICY_CONFIG").policy == "RANDOM"
    (found,) = findings(bootstrap([], [static_cluster("c", 80, lb_policy="LOAD_BALANCING_POLICY_CONFIG")]))
    assert found.message == "says that there is a load_balancing_policy"


@pytest.mark.parametrize(
    "other",
    [
        {"lb_policy": "RANDOM"},
        {"lb_subset_config": {"subset_selectors": [{"keys": ["a"]}]}},
        {"ring_hash_lb_config": {"minimum_ring_size": 10}},
        {"common_lb_config": {"locality_weighted_lb_config": {}}},
        {"common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}},
    ],
)
def test_nothing_else_says_how_to_balance(other: dict[str, Any]) -> None:
    (found,) = findings(text(ROUND_ROBIN, **other))
    assert found.message == "load_balancing_policy takes its place"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (extension("Maglev", table_size=100), "100 is no prime number"),
        (
            extension("RingHash", minimum_ring_size=20, maximum_ring_size=10),
            "the ring has 10 places at most (maximum_ring_size)",
        ),
        (extension("Subset", subset_selectors=[{"keys": ["a"]}], subset_lb_policy={}), "names no policy"),
    ],
)
def test_what_cannot_be_meant(config: dict[str, Any], message: str) -> None:
    assert [one.message for one in findings(text(config))] == [message]
