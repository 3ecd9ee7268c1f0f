"""Field masks over JSON."""

from __future__ import annotations

from typing import Any

import pytest

from master.admin.field_mask import applies, parse, trim

BOOTSTRAP = "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"
STATIC_CLUSTER = "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
DUMP: dict[str, Any] = {"@type": BOOTSTRAP, "bootstrap": {"node": {"id": "n", "cluster": "c"}, "admin": {}}}
ELEMENT: dict[str, Any] = {"@type": STATIC_CLUSTER, "cluster": {"@type": CLUSTER, "name": "c", "type": "STATIC"}}


def test_parse() -> None:
    assert parse("a.b,c") == (("a", "b"), ("c",))
    assert parse(",") == parse("") == ()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [("bootstrap", True), ("bootstrap.node.id", True), ("bootstrap.layered_runtime", True), ("last_updated", True),
     ("bootstrap.node.client_features", True), ("bootstrap.node.client_features.x", False),
     ("bootstrap.static_resources.clusters.name", False), ("other", False), ("bootstrap.other", False),
     ("bootstrap,other", False), ("bootstrap.node.id.deeper", False), (".", False)],
)  # fmt: skip
def test_applies(mask: str, expected: bool) -> None:
    assert applies(DUMP, parse(mask)) is expected


def test_an_any_is_what_its_type_says() -> None:
    assert applies(ELEMENT, parse("cluster.connect_timeout"))
    assert not applies(ELEMENT, parse("cluster.nothing"))
    assert not applies({"@type": STATIC_CLUSTER}, parse("cluster.name"))
    assert not applies({"@type": "no/such.Type"}, parse("a"))
    assert trim(ELEMENT, parse("cluster.name")) == {
        "@type": STATIC_CLUSTER,
        "cluster": {"@type": CLUSTER, "name": "c"},
    }


def test_trim_keeps_what_is_named() -> None:
    assert trim(DUMP, parse("bootstrap.node.id")) == {"@type": BOOTSTRAP, "bootstrap": {"node": {"id": "n"}}}
    assert trim(DUMP, parse("bootstrap.node.id,bootstrap")) == DUMP
    assert trim(DUMP, parse("last_updated")) == {"@type": BOOTSTRAP}
