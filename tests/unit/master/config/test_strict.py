"""Tree → message: every kind of mistake, many at once, and the same result as protobuf's own parser on what is valid.

tests/parity/test_strictness.py holds the verdicts to Envoy's.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from master.config import strict
from master.config.finding import Finding

RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def cluster(tree: Any) -> tuple[Any, list[Finding]]:
    message = cluster_pb2.Cluster()
    return message, strict.fill(message, tree)


def the_finding(tree: Any) -> Finding:
    _, (finding,) = cluster(tree)
    return finding


@pytest.mark.parametrize(
    ("tree", "kind", "path", "message", "expected", "suggestion"),
    [
        ({"nmae": 1}, "unknown_field", "nmae", 'unknown field "nmae" of envoy.config.cluster.v3.Cluster', "", "name"),
        ({"conectTimeout": 1}, "unknown_field", "conectTimeout", "", "", "connectTimeout"),
        ({"zzz": 1}, "unknown_field", "zzz", "", "one of transport_socket_matches, transport_socket_matcher, name", ""),
        ({"name": 5}, "type", "name", "the number 5 is not a string", "write it in quotes", ""),
        ({"name": [1]}, "type", "name", "a list is not a string", "a string", ""),
        ({"name": "\ud800"}, "type", "name", "surrogate", "valid Unicode", ""),
        ({"type": "STATICC"}, "enum", "type", 'unknown value "STATICC"', "STRICT_DNS", "STATIC"),
        ({"type": [1]}, "type", "type", "a list is not an enum value", "DiscoveryType", ""),
        ({"type": 1.5}, "type", "type", "the number 1.5 is not a whole number", "", ""),
        (
            {"per_connection_buffer_limit_bytes": 2**32},
            "type",
            "per_connection_buffer_limit_bytes",
            "out of range",
            "",
            "",
        ),
        ({"ignore_health_on_host_removal": 1}, "type", "ignore_health_on_host_removal", "", "true or false", ""),
        ({"connect_timeout": "100ms"}, "type", "connect_timeout", "not a duration", "in seconds", "0.1s"),
        ({"connect_timeout": 5}, "type", "connect_timeout", "the number 5 is not a duration", "", "5s"),
        ({"connect_timeout": "2m"}, "type", "connect_timeout", "", "", "120s"),
        ({"metadata": "x"}, "type", "metadata", 'the string "x" is not a message', "envoy.config.core.v3.Metadata", ""),
        ({"metadata": {"filter_metadata": {"a": 1}}}, "type", "metadata.filter_metadata.a", "not a Struct", "", ""),
        ({"metadata": {"filter_metadata": []}}, "type", "metadata.filter_metadata", "a list is not a map", "", ""),
        ({"filters": [{"nam": 1}]}, "unknown_field", "filters[0].nam", "", "", "name"),
        ({"filters": {"nam": 1}}, "unknown_field", "filters.nam", "", "", "name"),
        ({"transport_socket": {"typed_config": {"a": 1}}}, "missing_type", "transport_socket.typed_config", "", "", ""),
        ({"transport_socket": {"typed_config": 1}}, "type", "transport_socket.typed_config", "", '"@type"', ""),
        (
            {"transport_socket": {"typed_config": {"@type": 1}}},
            "type",
            "transport_socket.typed_config.@type",
            "",
            "",
            "",
        ),
        (
            {"transport_socket": {"typed_config": {"@type": RAW.replace("sockets", "socket")}}},
            "missing_type",
            "transport_socket.typed_config.@type",
            "unknown type",
            "v3 API",
            RAW,
        ),
        (
            {"transport_socket": {"typed_config": {"@type": RAW.rpartition("/")[2]}}},
            "missing_type",
            "transport_socket.typed_config.@type",
            "not a type URL",
            "",
            RAW,
        ),
        (
            {"transport_socket": {"typed_config": {"@type": RAW, "a": 1}}},
            "unknown_field",
            "transport_socket.typed_config.a",
            "",
            "no fields",
            "",
        ),
        ({"round_robin_lb_config": {}, "maglev_lb_config": {}}, "duplicate", "maglev_lb_config", "both be set", "", ""),
        ({"name": "a", "altStatName": "b", "alt_stat_name": "b"}, "duplicate", "alt_stat_name", "altStatName", "", ""),
        ([], "type", "", "a list is not a message", "", ""),
    ],
)
def test_each_mistake(tree: Any, kind: str, path: str, message: str, expected: str, suggestion: str) -> None:
    finding = the_finding(tree)
    assert (finding.kind, finding.field_path, finding.suggestion) == (kind, path, suggestion)
    assert message in finding.message
    assert expected in finding.expected


def test_all_mistakes_at_once_and_the_rest_is_set() -> None:
    message, findings = cluster(
        {"nmae": "x", "alt_stat_name": "s", "type": "NO", "connect_timeout": 1, "filters": [{"name": "f"}, {"nam": 1}]}
    )
    assert [finding.field_path for finding in findings] == ["nmae", "type", "connect_timeout", "filters[1].nam"]
    assert message.alt_stat_name == "s"
    assert [one.name for one in message.filters] == ["f", ""]


@pytest.mark.parametrize(
    ("tree", "same"),
    [
        ({"filters": {"name": "a"}}, {"filters": [{"name": "a"}]}),
        ({"filters": [None]}, {"filters": [{}]}),
        ({"name": None, "filters": None, "metadata": None}, {}),
        ({"type": "logical_dns"}, {"type": "LOGICAL_DNS"}),
        ({"connect_timeout": {"seconds": "1", "nanos": 5}}, {"connect_timeout": "1.000000005s"}),
        ({"per_connection_buffer_limit_bytes": {"value": "0x10"}}, {"per_connection_buffer_limit_bytes": 16}),
        ({"metadata": {"filter_metadata": {"a": None}}}, {"metadata": {"filter_metadata": {"a": {}}}}),
        ({"transport_socket": {"typed_config": {}}}, {"transport_socket": {"typed_config": {}}}),
        (
            {
                "transport_socket": {
                    "typed_config": {
                        "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
                        "type_url": ROUTER,
                        "value": {"suppress_envoy_headers": True},
                    }
                }
            },
            {"transport_socket": {"typed_config": {"@type": ROUTER, "suppress_envoy_headers": True}}},
        ),
    ],
)
def test_envoys_leniency(tree: Any, same: Any) -> None:
    message, findings = cluster(tree)
    assert findings == []
    assert message == json_format.ParseDict(same, cluster_pb2.Cluster())


def test_a_typed_struct_names_what_is_wrong_below_its_value() -> None:
    finding = the_finding(
        {
            "transport_socket": {
                "typed_config": {
                    "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                    "type_url": ROUTER,
                    "value": {"surpress_envoy_headers": True},
                }
            }
        }
    )
    assert finding.field_path == "transport_socket.typed_config.value.surpress_envoy_headers"
    assert finding.suggestion == "suppress_envoy_headers"


def test_well_known_types_in_an_any_stand_under_value() -> None:
    message, findings = cluster(
        {"transport_socket": {"typed_config": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}}}
    )
    assert findings == []
    assert message.transport_socket.typed_config.value == b"\x08\x01"
    finding = the_finding(
        {"transport_socket": {"typed_config": {"@type": "type.googleapis.com/google.protobuf.Duration", "seconds": 1}}}
    )
    assert (finding.kind, finding.field_path) == ("unknown_field", "transport_socket.typed_config.seconds")


def test_what_an_any_holds_can_be_read_again() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = {"a": deep}
    finding = the_finding({"metadata": {"filter_metadata": {"m": deep}}})
    assert "nested" in finding.message


# Any tree at all: names that exist, names that nearly do, and values of every kind.
# fmt: off
NAMES = st.sampled_from([
    *sorted(field.name for field in bootstrap_pb2.Bootstrap.DESCRIPTOR.fields),
    "static_resources", "clusters", "listeners", "name", "typed_config", "@type", "value", "nmae", "seconds", "type",
    "connect_timeout", "metadata", "filter_metadata", "address", "socket_address", "port_value", "filters", "",
])
# fmt: on
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([HCM, RAW, ROUTER, "1s", "STATIC", "type.googleapis.com/google.protobuf.Any", "1e400"])
)
TREES = st.recursive(
    SCALARS,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), children, max_size=5)
    ),
    max_leaves=25,
)


@given(TREES)
def test_no_tree_raises(tree: Any) -> None:
    for kind in (bootstrap_pb2.Bootstrap, cluster_pb2.Cluster, base_pb2.Metadata):
        message = kind()
        findings = strict.fill(message, tree)
        assert all(finding.message for finding in findings)
        assert isinstance(message.SerializeToString(), bytes)


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.name for value in field.enum_type.values])
    kinds: dict[int, st.SearchStrategy[Any]] = {
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1).map(str),
        FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
        FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1).map(str),
        FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False, allow_infinity=False),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    }
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.sampled_from(["", "aGk=", "AA=="])
    return kinds.get(field.cpp_type, st.text(max_size=4))


STRUCTS = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3), st.lists
    ),
    max_size=2,
)
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "google.protobuf.Duration": st.tuples(st.integers(0, 1000), st.integers(0, 999)).map(
        lambda t: f"{t[0]}.{t[1]:03d}s"
    ),
    "google.protobuf.Timestamp": st.datetimes().filter(lambda t: t.year > 1).map(lambda t: t.isoformat() + "Z"),
    "google.protobuf.Struct": STRUCTS,
    "google.protobuf.Value": STRUCTS | st.none() | st.booleans(),
    "google.protobuf.ListValue": st.lists(st.booleans(), max_size=2),
    "google.protobuf.FieldMask": st.sampled_from(["a", "aB,c"]),
    "google.protobuf.Any": st.fixed_dictionaries({"@type": st.just(ROUTER), "suppress_envoy_headers": st.booleans()}),
}


def message_of(descriptor: Descriptor, depth: int = 4) -> st.SearchStrategy[Any]:
    """Valid JSON of a message: some of its fields, never two of one oneof, by either name."""
    if descriptor.full_name in SPECIAL:
        return SPECIAL[descriptor.full_name]
    if descriptor.file.name == "google/protobuf/wrappers.proto":
        return _scalar(descriptor.fields_by_name["value"])
    return _message(descriptor, depth)


@st.composite
def _message(draw: st.DrawFn, descriptor: Descriptor, depth: int) -> dict[str, Any]:
    fields = [field for field in descriptor.fields if depth or field.message_type is None]
    tree: dict[str, Any] = {}
    taken: set[str] = set()
    for field in draw(st.lists(st.sampled_from(fields), max_size=4, unique=True)) if fields else []:
        group = field.containing_oneof.name if field.containing_oneof else field.name
        if group not in taken:
            taken.add(group)
            tree[draw(st.sampled_from([field.name, field.json_name]))] = draw(_field(field, depth - 1))
    return tree


def _field(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is None:
        element = _scalar(field)
    elif field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        key = field.message_type.fields_by_name["key"]
        keys = st.text(max_size=3) if key.cpp_type == FieldDescriptor.CPPTYPE_STRING else st.sampled_from(["1", "0"])
        values = _scalar(value) if value.message_type is None else message_of(value.message_type, depth)
        return st.dictionaries(keys, values, max_size=2)
    else:
        element = message_of(field.message_type, depth)
    return st.lists(element, max_size=2) if field.is_repeated else element


@pytest.mark.parametrize(
    "kind",
    [cluster_pb2.Cluster, listener_pb2.Listener, route_components_pb2.Route, bootstrap_pb2.Bootstrap],
    ids=lambda kind: re.sub(r".*\.", "", kind.DESCRIPTOR.full_name),
)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(data=st.data())
def test_valid_messages_are_what_protobuf_makes_of_them(kind: Any, data: st.DataObject) -> None:
    tree = data.draw(message_of(kind.DESCRIPTOR))
    expected = json_format.ParseDict(tree, kind())
    message = kind()
    assert strict.fill(message, tree) == []
    assert message == expected


@pytest.mark.parametrize(
    "tree", ["KEY", {"inline_string": 12345}, {"inline_bytes": "KEY!"}, {"inline_string": ["KEY"]}]
)
def test_what_may_be_a_key_is_not_quoted(tree: Any) -> None:
    (finding,) = strict.fill(base_pb2.DataSource(), tree)
    assert finding.message == "the value, which is not shown, is of the wrong kind"
    assert finding.kind == "type"
    assert finding.expected
