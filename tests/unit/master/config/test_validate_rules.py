"""Rules over a message tree; tests/parity/test_strictness.py holds the verdicts to Envoy's."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf import any_pb2

from master.config import strict
from master.config.validate_rules import validate

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def broken(tree: Any) -> list[tuple[str, str]]:
    message = bootstrap_pb2.Bootstrap()
    assert strict.fill(message, tree) == []
    return [(finding.field_path, finding.expected) for finding in validate(message)]


def clusters(**fields: Any) -> Any:
    return {"static_resources": {"clusters": [{"name": "a"}, {"name": "b", **fields}]}}


HERE = "static_resources.clusters[1]"


@pytest.mark.parametrize(
    ("tree", "path", "expected"),
    [
        (clusters(name=""), f"{HERE}.name", "at least 1 character"),
        (clusters(connect_timeout="0s"), f"{HERE}.connect_timeout", "more than 0s"),
        (clusters(type=9), f"{HERE}.type", "one of STATIC"),
        (clusters(per_connection_buffer_limit_bytes=0, name=""), f"{HERE}.name", "at least 1"),
        (
            clusters(outlier_detection={"max_ejection_percent": 101}),
            f"{HERE}.outlier_detection.max_ejection_percent",
            "100",
        ),
        (clusters(health_checks=[{}]), f"{HERE}.health_checks[0].timeout", "a value"),
        (clusters(metadata={"filter_metadata": {"": {}}}), f"{HERE}.metadata.filter_metadata.", "at least 1 character"),
        (
            {"admin": {"address": {"socket_address": {"address": "a", "port_value": 65536}}}},
            "admin.address.socket_address.port_value",
            "at most 65535",
        ),
        ({"admin": {"address": {}}}, "admin.address", "one of socket_address, pipe, envoy_internal_address"),
        (
            {"admin": {"access_log": [{"name": "a", "typed_config": {"@type": HCM, "rds": {}}}]}},
            "admin.access_log[0].typed_config.stat_prefix",
            "at least 1 character",
        ),
    ],
)
def test_broken_rules_have_paths_in_proto_spelling(tree: Any, path: str, expected: str) -> None:
    assert any(found == path and expected in words for found, words in broken(tree)), broken(tree)


def test_all_at_once() -> None:
    assert len(broken(clusters(name="", connect_timeout="0s", type=9, lb_policy=3))) == 3


def test_absent_fields_break_only_what_demands_presence() -> None:
    assert broken(clusters()) == []


def test_a_damaged_any_is_a_finding() -> None:
    message = bootstrap_pb2.Bootstrap()
    log = message.admin.access_log.add(name="a")
    log.typed_config.CopyFrom(any_pb2.Any(type_url=HCM, value=b"\xff"))
    assert [finding.field_path for finding in validate(message)] == ["admin.access_log[0].typed_config"]


def test_an_empty_or_unknown_any_breaks_nothing() -> None:
    message = bootstrap_pb2.Bootstrap()
    message.admin.access_log.add(name="a").typed_config.type_url = "x/unknown.Type"
    message.admin.access_log.add(name="a").typed_config.SetInParent()
    assert validate(message) == []
