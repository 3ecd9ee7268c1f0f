"""Plans of messages: what is checked always, what when it is set, and that the installed protos hold no surprise."""

from __future__ import annotations

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2
from google.protobuf import any_pb2, descriptor_pool, empty_pb2

from master.config import rules
from master.config.any_types import all_types
from master.config.rule_plans import has_rules, plan


def test_has_rules() -> None:
    assert has_rules(any_pb2.Any.DESCRIPTOR)
    assert has_rules(cluster_pb2.Cluster.DESCRIPTOR)
    assert has_rules(base_pb2.Node.DESCRIPTOR)  # a listening address deep inside
    assert not has_rules(empty_pb2.Empty.DESCRIPTOR)
    assert not has_rules(base_pb2.BuildVersion.DESCRIPTOR)


def test_a_plan_leaves_out_what_has_no_rules() -> None:
    found = plan(address_pb2.SocketAddress.DESCRIPTOR)
    assert [field.name for field in found.always] == ["protocol", "address"]
    assert sorted(found.when_set) == ["network_namespace_filepath", "port_value"] or sorted(found.when_set) == [
        "port_value"
    ]
    assert [name for name, _ in found.oneofs] == ["port_specifier"]


def test_rules_of_the_members_of_a_oneof_are_those_of_the_one_that_is_set() -> None:
    found = plan(accesslog_pb2.AccessLogFilter.DESCRIPTOR)
    assert found.always == []
    assert dict(found.oneofs)["filter_specifier"][0] == "status_code_filter"


def test_every_rule_of_the_installed_protos_has_a_check() -> None:
    for name in all_types()[0]:
        plan(descriptor_pool.Default().FindMessageTypeByName(name))
    assert {one for one in rules.UNKNOWN if not one.endswith(".email")} == set()
