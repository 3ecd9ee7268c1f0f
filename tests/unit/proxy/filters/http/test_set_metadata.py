"""`set_metadata`: compiled from YAML, then run on a request."""

from __future__ import annotations

from typing import Any

import pytest

from proxy import testing
from proxy.filters.context import FilterContext
from proxy.filters.http.set_metadata import SetMetadata
from proxy.stats import MemoryStats
from proxy.upstream.manager import ClusterView
from tests.kit.config import HTTP_FILTERS, bootstrap, findings, manager, plugin_config

PACKAGE = "envoy.extensions.filters.http.set_metadata.v3"


def text(config: str) -> str:
    body = f'"@type": type.googleapis.com/{PACKAGE}.Config, {config}'
    return bootstrap(http_filters=f"- {{name: sm, typed_config: {{{body}}}}}{HTTP_FILTERS}")


def run(config: str) -> tuple[dict[str, Any], int]:
    """The metadata that a request gets, and how often a namespace was taken."""
    stats = MemoryStats()
    plugin = manager(text(config)).http_filters[0]
    context = FilterContext(stats, ClusterView({}), "listener.l.", stat_prefix="http.in.")
    http_filter = SetMetadata(plugin.name, plugin_config(plugin, SetMetadata.Config), context)
    results = [testing.run(http_filter) for _ in range(2)]
    assert results[0].dynamic_metadata == results[1].dynamic_metadata  # nothing is left of the one before
    return dict(results[0].dynamic_metadata), stats.words["http.in.set_metadata.overwrite_denied"].value


@pytest.mark.field(f"{PACKAGE}.Config.metadata", f"{PACKAGE}.Metadata.metadata_namespace", f"{PACKAGE}.Metadata.value")
def test_values_of_all_kinds() -> None:
    metadata, denied = run(
        "metadata: [{metadata_namespace: a, value: {i: 3, n: null, b: true, l: [1, x], s: {t: 'u'}}}]"
    )
    assert metadata == {"a": {"i": 3, "n": None, "b": True, "l": [1, "x"], "s": {"t": "u"}}}
    assert denied == 0


@pytest.mark.field(f"{PACKAGE}.Metadata.allow_overwrite")
def test_a_namespace_that_is_taken() -> None:
    metadata, denied = run(
        "metadata: [{metadata_namespace: a, value: {x: 1, l: [1]}},"
        "{metadata_namespace: a, value: {x: 2, y: 2}},"
        "{metadata_namespace: a, value: {x: 3, l: [2], z: 3}, allow_overwrite: true}]"
    )
    assert metadata == {"a": {"x": 3, "l": [1, 2], "z": 3}}
    assert denied == 2  # of two requests


@pytest.mark.field(f"{PACKAGE}.Config.metadata_namespace", f"{PACKAGE}.Config.value")
def test_the_deprecated_fields_come_first() -> None:
    metadata, denied = run(
        "metadata_namespace: a, value: {x: 1}, metadata: [{metadata_namespace: a, value: {x: 2}}]",
    )
    assert metadata == {"a": {"x": 1}}
    assert denied == 2


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ("metadata: [{metadata_namespace: a}]", "metadata[0]", "metadata 'a' has no value"),
        ("value: {x: 1}", "value", "metadata without a namespace"),
        ("metadata_namespace: a", "metadata_namespace", "a namespace without a value"),
    ],
)
def test_what_cannot_work_is_refused(config: str, path: str, message: str) -> None:
    (found,) = findings(text(config))
    assert found.field_path.endswith(f"typed_config.{path}")
    assert found.message == message


def test_typed_metadata_that_nothing_reads_is_refused() -> None:
    typed = "{metadata_namespace: a, typed_value: {'@type': type.googleapis.com/google.protobuf.StringValue, value: x}}"
    (found,) = findings(text(f"metadata: [{typed}]"))
    assert found.kind == "unsupported"
    assert found.field_path.endswith("metadata[0].typed_value")
