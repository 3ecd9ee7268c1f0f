"""`set_filter_state`: compiled from YAML, then run on a request."""

from __future__ import annotations

from typing import Any

import pytest

from proxy import testing
from proxy.config.common import SocketAddress
from proxy.filters.context import FilterContext
from proxy.filters.http.set_filter_state import SetFilterState
from proxy.stats import MemoryStats
from proxy.upstream.manager import ClusterView
from tests.kit.config import HTTP_FILTERS, bootstrap, findings, manager, plugin_config

CONFIG = "envoy.extensions.filters.http.set_filter_state.v3.Config"
VALUE = "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue"


def value(key: str, text: str, more: str = "", *, factory: str = "envoy.string") -> str:
    """YAML of a `FilterStateValue`."""
    source = f"{{text_format_source: {{inline_string: '{text}'}}, omit_empty_values: true}}"
    return f"{{object_key: {key}, factory_key: {factory}, format_string: {source}, {more}}}"


def text(*values: str) -> str:
    body = f'"@type": type.googleapis.com/{CONFIG}, on_request_headers: [{", ".join(values)}]'
    return bootstrap(http_filters=f"- {{name: fs, typed_config: {{{body}}}}}{HTTP_FILTERS}")


def run(*values: str) -> dict[str, Any]:
    """The filter state of a request."""
    plugin = manager(text(*values)).http_filters[0]
    context = FilterContext(MemoryStats(), ClusterView({}), "listener.l.", stat_prefix="http.in.")
    config = plugin_config(plugin, SetFilterState.Config)
    http_filter = SetFilterState(plugin.name, config, context)
    return dict(testing.run(http_filter, path="/p", headers={"x-a": "1"}).filter_state)


@pytest.mark.field(
    f"{CONFIG}.on_request_headers", f"{VALUE}.object_key", f"{VALUE}.factory_key", f"{VALUE}.format_string"
)
def test_the_last_value_of_a_key_counts() -> None:
    state = run(value("k", "one"), value("k", "%REQ(x-a)% %REQ(:PATH)%"), value("empty", "%REQ(x-none)%"))
    assert state == {"k": b"1 /p", "empty": b""}


@pytest.mark.field(f"{VALUE}.skip_if_empty")
def test_an_empty_value_may_be_skipped() -> None:
    state = run(value("k", "one"), value("k", "%REQ(x-none)%", "skip_if_empty: true"))
    assert state == {"k": b"one"}


def test_addresses_and_what_is_none() -> None:
    state = run(
        value("v4", "10.0.0.1", factory="envoy.network.ip"),
        value("v6", "2001:DB8::1", factory="envoy.network.ip"),
        value("none", "%REQ(x-a)%", factory="envoy.network.ip"),
    )
    assert state == {"v4": SocketAddress("10.0.0.1", 0), "v6": SocketAddress("2001:db8::1", 0)}


def test_a_key_may_be_the_name_of_its_factory() -> None:
    state = run(value("envoy.string", "x").replace("factory_key: envoy.string, ", ""))
    assert state == {"envoy.string": b"x"}


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        (value("k", "x", factory="nobody"), "factory_key", "no factory of objects is called 'nobody'"),
        (
            value("k", "x").replace("factory_key: envoy.string, ", ""),
            "object_key",
            "no factory of objects is called 'k'",
        ),
        (
            value("k", "%NOPE%"),
            "format_string.text_format_source.inline_string",
            "unknown operator %NOPE%",
        ),
    ],
)
def test_what_cannot_work_is_refused(line: str, path: str, message: str) -> None:
    (found,) = findings(text(line))
    assert found.field_path.endswith(f"on_request_headers[0].{path}")
    assert found.message == message


def test_nothing_is_shared_with_upstream_connections() -> None:
    (found,) = findings(text(value("k", "x", "shared_with_upstream: ONCE")))
    assert found.kind == "unsupported"
    assert findings(text(value("k", "x", "shared_with_upstream: NONE, read_only: true"))) == []
