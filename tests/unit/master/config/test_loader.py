"""Loading from one source and from several."""

from __future__ import annotations

from envoy.config.bootstrap.v3 import bootstrap_pb2

from master.config.loader import Loaded, load
from master.config.report import render
from master.config.source import Source

FILE = """\
node: {id: file, cluster: c}
static_resources:
  clusters:
  - {name: a, connect_timeout: 1s}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
"""


def loaded(*texts: str) -> Loaded:
    names = ["file.yaml", "--config-yaml", "third"]
    return load([Source(name, text, "yaml") for name, text in zip(names, texts, strict=False)])


def lines(result: Loaded) -> list[str]:
    return render(result.findings, result.locate, color=False).splitlines()


def test_a_valid_file() -> None:
    result = loaded(FILE)
    assert result.findings == []
    assert isinstance(result.message, bootstrap_pb2.Bootstrap)
    assert result.message.static_resources.clusters[0].connect_timeout.seconds == 1


def test_sources_merge_as_protobuf_merges() -> None:
    result = loaded(
        FILE, "node: {id: option}\nstatic_resources: {clusters: [{name: b}]}\nadmin: {address: {pipe: {path: /p}}}"
    )
    assert result.findings == []
    assert (result.message.node.id, result.message.node.cluster) == ("option", "c")
    assert [cluster.name for cluster in result.message.static_resources.clusters] == ["a", "b"]
    assert result.message.admin.address.WhichOneof("address") == "pipe"


def test_each_error_stands_in_its_own_source() -> None:
    result = loaded(
        FILE.replace("1s", "0s").replace("id: file", "idd: file"),
        "static_resources: {clusters: [{name: ''}, {nmae: b}]}\nnode: {id: 5}",
    )
    assert [line.partition(": error: ")[0] for line in lines(result)] == [
        "file.yaml:1:8",
        "file.yaml:4:15",
        "--config-yaml:1:32",
        "--config-yaml:1:44",
        "--config-yaml:2:8",
    ]


def test_a_rule_may_be_met_by_the_merge_of_two_sources() -> None:
    half = "admin: {address: {socket_address: {address: 127.0.0.1}}}"
    assert lines(loaded(half))
    assert lines(loaded(half, "admin: {address: {socket_address: {port_value: 1}}}")) == []


def test_a_text_that_is_no_tree_leaves_no_message_but_the_rest_is_reported() -> None:
    result = loaded("node: [", "node: {idd: a}")
    assert result.message is None
    assert [finding.kind for finding in result.findings] == ["syntax", "unknown_field"]


def test_what_was_refused_breaks_no_rule_as_well() -> None:
    result = loaded("static_resources: {clusters: [{nmae: a, connect_timeout: [1s]}]}")
    assert [finding.kind for finding in result.findings] == ["unknown_field", "type"]
