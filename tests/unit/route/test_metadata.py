"""Matchers of dynamic metadata and filter state: from YAML to a route's verdict."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config.common import SocketAddress
from proxy.http.stream_info import StreamInfo
from proxy.route.table import RouteTable
from tests.kit.config import bootstrap, findings, routes
from tests.unit.route.requests import request

MATCHER = "envoy.type.matcher.v3"
MATCH = "envoy.config.route.v3.RouteMatch"
METADATA: dict[str, Any] = {
    "n": None,
    "one": 1,
    "half": 0.5,
    "text": "Übung",
    "true": True,
    "false": False,
    "list": [1, "x", [2]],
    "s": {"t": {"u": "deep"}},
}


def text(match: str) -> str:
    """YAML of a bootstrap whose only route asks for `match` beside its prefix."""
    route = f"{{match: {{prefix: /, {match}}}, direct_response: {{status: 200}}}}"
    return bootstrap(route_config=f"{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [{route}]}}]}}")


def accepts(match: str, **left: Any) -> bool:
    """Whether the route takes a request at whose exchange filters have `left` `metadata` and `state`."""
    info = StreamInfo(0.0)
    if "metadata" in left:
        info.set_dynamic_metadata("ns", left["metadata"])
    for key, value in left.get("state", {}).items():
        info.set_filter_state(key, value)
    head = request()
    found = RouteTable(routes(text(match))).match(head, info) is not None
    assert head.info is None
    return found


def asked(path: str, value: str, more: str = "") -> str:
    segments = ", ".join(f"{{key: '{key}'}}" for key in path.split("."))
    return f"dynamic_metadata: [{{filter: ns, path: [{segments}], value: {{{value}}}, {more}}}]"


@pytest.mark.parametrize(
    ("path", "value", "verdict"),
    [
        ("n", "null_match: {}", True),
        ("one", "null_match: {}", False),
        ("none", "null_match: {}", False),
        ("one", "double_match: {exact: 1}", True),
        ("half", "double_match: {exact: 0.5}", True),
        ("true", "double_match: {exact: 1}", False),
        ("text", "double_match: {exact: 1}", False),
        ("half", "double_match: {range: {start: 0.5, end: 1}}", True),
        ("one", "double_match: {range: {start: 0.5, end: 1}}", False),
        ("n", "double_match: {range: {start: 0.5, end: 1}}", False),
        ("text", "string_match: {exact: Übung}", True),
        ("text", "string_match: {suffix: UNG, ignore_case: true}", True),
        ("text", "string_match: {safe_regex: {regex: '[^a]+bung'}}", True),
        ("one", "string_match: {exact: '1'}", False),
        ("true", "bool_match: true", True),
        ("false", "bool_match: false", True),
        ("false", "bool_match: true", False),
        ("one", "bool_match: true", False),
        ("n", "present_match: true", True),
        ("s", "present_match: true", True),
        ("none", "present_match: true", False),
        ("n", "present_match: false", False),
        ("none", "present_match: false", False),
        ("list", "list_match: {one_of: {double_match: {exact: 1}}}", True),
        ("list", "list_match: {one_of: {list_match: {one_of: {double_match: {exact: 2}}}}}", True),
        ("list", "list_match: {one_of: {null_match: {}}}", False),
        ("one", "list_match: {one_of: {double_match: {exact: 1}}}", False),
        ("one", "or_match: {value_matchers: [{null_match: {}}, {double_match: {exact: 1}}]}", True),
        ("half", "or_match: {value_matchers: [{null_match: {}}, {double_match: {exact: 1}}]}", False),
        ("s.t.u", "string_match: {exact: deep}", True),
        ("s.t", "string_match: {exact: deep}", False),
        ("list.0", "present_match: true", False),
    ],
)
def test_values(path: str, value: str, verdict: bool) -> None:
    assert accepts(asked(path, value), metadata=METADATA) is verdict
    assert accepts(asked(path, value, "invert: true"), metadata=METADATA) is not verdict
    assert not accepts(asked(path, value))  # nothing was left by anybody
    assert accepts(asked(path, value, "invert: true"))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param(value, path, marks=pytest.mark.field(f"{MATCHER}.ValueMatcher.{kind}", *more))
        for kind, value, path, more in (
            ("null_match", "null_match: {}", "one", []),
            ("double_match", "double_match: {exact: 2}", "one", [f"{MATCHER}.DoubleMatcher.exact"]),
            (
                "double_match",
                "double_match: {range: {start: -1, end: 0.5}}",
                "one",
                [f"{MATCHER}.DoubleMatcher.range"],
            ),
            ("string_match", "string_match: {exact: x}", "text", []),
            ("bool_match", "bool_match: true", "false", []),
            ("list_match", "list_match: {one_of: {null_match: {}}}", "list", [f"{MATCHER}.ListMatcher.one_of"]),
            (
                "or_match",
                "or_match: {value_matchers: [{null_match: {}}, {bool_match: true}]}",
                "one",
                [f"{MATCHER}.OrMatcher.value_matchers"],
            ),
        )
    ],
)
@pytest.mark.field(
    f"{MATCH}.dynamic_metadata",
    f"{MATCHER}.MetadataMatcher.filter",
    f"{MATCHER}.MetadataMatcher.value",
    f"{MATCHER}.MetadataMatcher.path",
    f"{MATCHER}.MetadataMatcher.PathSegment.key",
)
def test_every_field_matters(value: str, path: str) -> None:
    assert not accepts(asked(path, value), metadata=METADATA)


@pytest.mark.field(f"{MATCHER}.ValueMatcher.present_match", f"{MATCHER}.MetadataMatcher.invert")
def test_what_is_there_and_what_is_not() -> None:
    assert accepts(asked("one", "present_match: true"), metadata=METADATA)
    assert accepts(asked("none", "present_match: true", "invert: true"), metadata=METADATA)


@pytest.mark.field("envoy.type.v3.DoubleRange.start", "envoy.type.v3.DoubleRange.end")
def test_a_range_has_two_ends() -> None:
    assert accepts(asked("n", "double_match: {range: {start: -3, end: -1}}"), metadata={"n": -3})
    assert accepts(asked("n", "double_match: {range: {start: 1, end: 3}}"), metadata={"n": 2.5})


@pytest.mark.field(
    f"{MATCH}.filter_state",
    f"{MATCHER}.FilterStateMatcher.key",
    f"{MATCHER}.FilterStateMatcher.string_match",
    f"{MATCHER}.FilterStateMatcher.address_match",
    f"{MATCHER}.AddressMatcher.ranges",
    "xds.core.v3.CidrRange.address_prefix",
    "xds.core.v3.CidrRange.prefix_len",
)
def test_filter_state() -> None:
    state = {"k": "value", "ip": SocketAddress("10.1.2.3", 0)}
    exact = "filter_state: [{key: k, string_match: {exact: value}}]"
    ranges = "filter_state: [{key: ip, address_match: {ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}}]"
    assert accepts(exact, state=state)
    assert accepts(ranges, state=state)
    for match in (exact, ranges):
        assert not accepts(match, state={"k": SocketAddress("10.1.2.3", 0), "ip": b"10.1.2.3"})
        assert not accepts(match)
    assert not accepts(ranges, state={"ip": SocketAddress("11.1.2.3", 0)})
    assert accepts("filter_state: [{key: ip, string_match: {exact: '10.1.2.3:0'}}]", state=state)


def test_a_range_of_no_addresses_is_refused() -> None:
    (found,) = findings(text("filter_state: [{key: ip, address_match: {ranges: [{address_prefix: ten}]}}]"))
    assert found.message == "is no numeric address"
    assert found.field_path.endswith("match.filter_state[0].address_match.ranges[0].address_prefix")
