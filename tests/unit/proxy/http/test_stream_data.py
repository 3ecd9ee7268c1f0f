"""Dynamic metadata and filter state: Envoy's ways of merging, and their bound."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config.common import SocketAddress
from proxy.errors import ProxyError
from proxy.http import stream_data
from proxy.http.stream_data import ABSENT, lookup, merged
from proxy.http.stream_info import StreamInfo
from proxy.limits import MAX_STREAM_DATA

METADATA = {"a": {"x": 1, "null": None, "s": {"t": {"u": [1]}}}, "empty": {}}


@pytest.mark.parametrize(
    ("namespace", "path", "value"),
    [
        ("a", ["x"], 1),
        ("a", ["null"], None),
        ("a", ["s", "t", "u"], [1]),
        ("a", [], METADATA["a"]),
        ("empty", [], {}),
        ("a", ["y"], ABSENT),
        ("a", ["x", "y"], ABSENT),
        ("a", ["s", "t", "u", "0"], ABSENT),
        ("empty", ["x"], ABSENT),
        ("b", [], ABSENT),
    ],
)
def test_a_value_by_its_path(namespace: str, path: list[str], value: Any) -> None:
    assert lookup(METADATA, namespace, path) == value
    assert lookup(None, namespace, path) is ABSENT


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": "x"}, {"a": "x", "b": 2}),
        ({"l": [1, 2]}, {"l": [2, {"x": 1}]}, {"l": [1, 2, 2, {"x": 1}]}),
        ({"l": [1]}, {"l": {"x": 1}}, {"l": {"x": 1}}),
        ({"s": {"a": 1, "l": [1]}}, {"s": {"b": 2, "l": [2]}}, {"s": {"a": 1, "b": 2, "l": [1, 2]}}),
        ({"s": {"a": 1}}, {"s": None}, {"s": None}),
    ],
)
def test_merging_leaves_both_as_they_were(old: dict[str, Any], new: dict[str, Any], both: dict[str, Any]) -> None:
    before = repr((old, new))
    assert merged(old, new) == both
    assert repr((old, new)) == before


def test_setting_replaces_keys_and_merging_does_not() -> None:
    info = StreamInfo(0.0)
    assert info.dynamic_metadata is None
    own = {"l": [1], "s": {"a": 1}}
    info.set_dynamic_metadata("ns", own)
    info.set_dynamic_metadata("ns", {"s": {"b": 2}})
    info.merge_dynamic_metadata("ns", {"l": [2], "s": {"c": 3}})
    assert info.dynamic_metadata == {"ns": {"l": [1, 2], "s": {"b": 2, "c": 3}}}
    assert own == {"l": [1], "s": {"a": 1}}


def test_filter_state_holds_text_and_addresses() -> None:
    info = StreamInfo(0.0)
    assert info.filter_state is None
    info.set_filter_state("a", "ü")
    info.set_filter_state("a", b"later")
    info.set_filter_state("ip", SocketAddress("::1", 0))
    assert info.filter_state is not None
    texts = {key: stream_data.text(value) for key, value in info.filter_state.items()}
    assert texts == {"a": b"later", "ip": b"[::1]:0"}


@pytest.mark.parametrize("value", [b"bytes", {1: 2}, {"a": {"b": object()}}, [()]])
def test_what_is_no_json_is_refused(value: Any) -> None:
    info = StreamInfo(0.0)
    with pytest.raises(TypeError, match="is no JSON value"):
        info.set_dynamic_metadata("a", {"key": value})
    assert info.dynamic_metadata is None


def test_an_exchange_holds_only_so_much() -> None:
    info = StreamInfo(0.0)
    half = "x" * (MAX_STREAM_DATA // 2)
    info.set_filter_state("a", half)
    info.merge_dynamic_metadata("a", {"a": [1, True, None, 2.5]})
    with pytest.raises(ProxyError, match="stream_data_too_large") as caught:
        info.set_dynamic_metadata("b", {"list": [{"text": half}]})
    assert caught.value.status == 500
    assert info.dynamic_metadata == {"a": {"a": [1, True, None, 2.5]}}
    with pytest.raises(ProxyError, match="stream_data_too_large"):
        info.set_filter_state("b", half)
