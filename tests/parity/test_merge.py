"""`--config-yaml` over a file: the bootstrap that Envoy says it runs, and the message that we make of the same two."""

from __future__ import annotations

import json
from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf import json_format

from master.config.loader import load
from master.config.source import Source
from tests.kit.envoy import Envoy, with_free_ports

FILE = """\
node:
  id: file
  cluster: c
  metadata: {kept: 1, replaced: {x: 1, y: on}}
static_resources:
  clusters:
  - name: a
    connect_timeout: 1s
    circuit_breakers: {thresholds: [{max_connections: 7}]}
stats_config:
  stats_tags: [{tag_name: one, fixed_value: v}]
  use_all_default_tags: true
  stats_matcher: {inclusion_list: {patterns: [{prefix: cluster}]}}
stats_flush_interval: 7s
cluster_manager: {local_cluster_name: a}
default_regex_engine:
  name: envoy.regex_engines.google_re2
  typed_config: {"@type": type.googleapis.com/envoy.extensions.regex_engines.v3.GoogleRE2}
"""

# (what the merge does, the text of --config-yaml)
OPTIONS = [
    ("a scalar replaces", "node: {id: option}"),
    ("a default replaces nothing", "stats_config: {use_all_default_tags: false}\nnode: {id: ''}"),
    ("a wrapper of a default replaces", "stats_config: {use_all_default_tags: {value: false}}"),
    ("null replaces nothing", "node: {id: ~}\nstatic_resources: ~"),
    ("messages merge field by field", "node: {locality: {zone: z}}\nstats_config: {histogram_bucket_settings: []}"),
    ("lists append", "static_resources: {clusters: [{name: b, connect_timeout: 2s}]}"),
    ("list elements do not merge", "stats_config: {stats_tags: [{tag_name: one, regex: '(x)'}]}"),
    ("map entries replace as a whole", "node: {metadata: {replaced: {z: 2}, added: ~}}"),
    ("the other field of a oneof replaces", "stats_config: {stats_matcher: {reject_all: false}}"),
    ("the same field of a oneof merges", "stats_config: {stats_matcher: {inclusion_list: {patterns: [{suffix: s}]}}}"),
    ("a Duration merges as a message", "stats_flush_interval: 0.5s"),
    ("camelCase merges with snake_case", "staticResources: {clusters: {name: b, connectTimeout: 2s}}"),
]


@pytest.mark.parity("rule 67")
@pytest.mark.parametrize("option", [text for _, text in OPTIONS], ids=[rule for rule, _ in OPTIONS])
def test_merge(option: str) -> None:
    file = with_free_ports(FILE)
    loaded = load([Source("envoy.yaml", file, "yaml"), Source("--config-yaml", option, "yaml")])
    assert loaded.findings == []
    with Envoy(FILE, arguments=("--config-yaml", option)) as envoy:
        dump = json.loads(envoy.admin("/config_dump?mask=bootstrap").body)
    bootstrap = dump["configs"][0]["bootstrap"]
    theirs = json_format.ParseDict(bootstrap, bootstrap_pb2.Bootstrap(), ignore_unknown_fields=True)
    assert _comparable(loaded.message) == _comparable(theirs)


def _comparable(message: Any) -> Any:
    """Without what Envoy writes into its own bootstrap: its version, its extensions."""
    copy = bootstrap_pb2.Bootstrap()
    copy.CopyFrom(message)
    for field in ("user_agent_build_version", "extensions", "user_agent_name"):
        copy.node.ClearField(field)
    return copy
