"""Type URLs, and what is imported for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from master.config.any_types import find, nearest_type, split_url


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("type.googleapis.com/a.B", "a.B"),
        ("x/y/a.B", "a.B"),
        ("/a.B", None),
        ("a.B", None),
        ("host/", None),
        ("", None),
    ],
)
def test_split_url(url: str, name: str | None) -> None:
    assert split_url(url) == name


@pytest.mark.parametrize(
    "name",
    [
        "envoy.extensions.filters.http.router.v3.Router",
        "envoy.config.cluster.v3.Cluster.CommonLbConfig",
        "google.protobuf.Struct",
        "xds.type.v3.TypedStruct",
        "udpa.type.v1.TypedStruct",
        "google.rpc.Status",
    ],
)
def test_known(name: str) -> None:
    kind = find(name)
    assert kind is not None
    assert kind.DESCRIPTOR.full_name == name


@pytest.mark.parametrize(
    "name",
    [
        "envoy.config.cluster.v3.Clusters",
        "envoy.api.v2.Cluster",
        "envoy.config.accesslog.v2.FileAccessLog",
        "envoy.config.retry.previous_priorities.PreviousPrioritiesConfig",
        "os.path",
        "antigravity.v3.X",
        "envoy..v3.X",
        "envoy/../v3.X",
        "",
        "Router",
    ],
)
def test_unknown(name: str) -> None:
    assert find(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("envoy.config.accesslog.v2.FileAccessLog", "envoy.extensions.access_loggers.file.v3.FileAccessLog"),
        ("envoy.extensions.filters.http.router.v2.Router", "envoy.extensions.filters.http.router.v3.Router"),
        ("envoy.extensions.filters.http.rooter.v3.Router", "envoy.extensions.filters.http.router.v3.Router"),
        ("TcpProxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
        ("something.else.Entirely", ""),
    ],
)
def test_nearest_type(name: str, expected: str) -> None:
    assert nearest_type(name) == expected


def test_only_what_is_named_is_imported() -> None:
    code = (
        "import sys; from master.config.any_types import find;"
        "find('envoy.extensions.filters.http.router.v3.Router'); print(*[m for m in sys.modules if m.endswith('_pb2')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    modules = done.stdout.split()
    assert "envoy.extensions.filters.http.router.v3.router_pb2" in modules
    assert not any(".listener." in module or ".cluster." in module for module in modules)
