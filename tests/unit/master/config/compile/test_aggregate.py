"""Clusters that are made of others."""

from __future__ import annotations

import pytest

from tests.kit.config import compiled, findings

TYPE = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"


def aggregate(name: str, *members: str, more: str = "") -> str:
    typed = f'{{"@type": type.googleapis.com/{TYPE}, clusters: [{", ".join(members)}]}}'
    policy = "lb_policy: CLUSTER_PROVIDED"
    return f"{{name: {name}, {policy}, cluster_type: {{name: x, typed_config: {typed}}}, {more}}}"


def text(*clusters: str) -> str:
    return f"static_resources: {{clusters: [{', '.join(clusters)}]}}"


@pytest.mark.field(f"{TYPE}.clusters")
def test_the_members() -> None:
    found = compiled(text("{name: a}", "{name: b}", aggregate("c", "a", "b"))).clusters[2]
    assert (found.type, found.members) == ("AGGREGATE", ("a", "b"))


def test_what_does_not_go_together() -> None:
    path = "static_resources.clusters[1]"
    faults = [
        (aggregate("c", "a", "nobody"), f"{path}.cluster_type.typed_config.clusters[1]", "unknown cluster 'nobody'"),
        (
            aggregate("c", "a", more="load_assignment: {cluster_name: c}"),
            f"{path}.load_assignment",
            "the hosts of an aggregate are its members' own",
        ),
        (
            aggregate("c", "a").replace("lb_policy: CLUSTER_PROVIDED", "lb_policy: RANDOM"),
            f"{path}.lb_policy",
            "not for a cluster of type AGGREGATE",
        ),
    ]
    for cluster, field, message in faults:
        (fault,) = findings(text("{name: a}", cluster))
        assert (fault.field_path, fault.message) == (field, message)


def test_members_have_hosts() -> None:
    original = "{name: o, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED}"
    found = findings(
        text("{name: a}", original, aggregate("b", "a"), aggregate("c", "a", "b", "o"), aggregate("d", "d"))
    )
    assert [(fault.field_path[-4:-1], fault.message) for fault in found] == [
        ("s[1", "'b' has no hosts that could be balanced: AGGREGATE"),
        ("s[2", "'o' has no hosts that could be balanced: ORIGINAL_DST"),
        ("s[0", "'d' has no hosts that could be balanced: AGGREGATE"),
    ]
