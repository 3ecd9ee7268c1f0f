"""Paths → places, in one source and in several."""

from __future__ import annotations

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2

from master.config.positions import Locator, Path
from master.config.source import Source

FILE = """\
node: {id: i}
static_resources:
  clusters:
  - name: a
    connectTimeout: 1s
  - name: b
    alias: &x {k: v}
    other: *x
admin:
  access_log:
  - name: first
    typed_config:
      "@type": t
      path: /p
"""
OPTION = """\
staticResources:
  clusters:
  - name: c
admin: {accessLog: {name: second}}
node: {cluster: o}
"""
JSON = '{\n  "node": {"id": "a\\"}b", "cluster": "c"},\n  "static_resources":\n    {"clusters": [{}, {"name": "z"}]}\n}'


def locate(path: Path, *sources: Source) -> str:
    position = Locator(sources, bootstrap_pb2.Bootstrap.DESCRIPTOR)(path)
    return f"{position.file}:{position.line}:{position.column}" if position else ""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("node",), "f:1:1"),
        (("node", "id"), "f:1:8"),
        (("static_resources", "clusters", 1), "f:6:5"),
        (("static_resources", "clusters", 0, "connect_timeout"), "f:5:5"),
        (("staticResources", "clusters", 0, "connectTimeout"), "f:5:5"),
        (("static_resources", "clusters", 0, "absent", "below"), "f:4:5"),
        (("static_resources", "clusters", 1, "other", "k"), "f:7:16"),
        (("admin", "access_log", 0, "typed_config", "path"), "f:14:7"),
        (("nowhere",), "f:1:1"),
        ((), "f:1:1"),
    ],
)
def test_yaml(path: Path, place: str) -> None:
    assert locate(path, Source("f", FILE, "yaml")) == place


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("node", "cluster"), "f:2:27"),
        (("static_resources", "clusters", 1, "name"), "f:4:24"),
        (("static_resources", "clusters", 0), "f:4:19"),
    ],
)
def test_json(path: Path, place: str) -> None:
    assert locate(path, Source("f", JSON, "json")) == place


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("static_resources", "clusters", 0, "name"), "f:4:5"),
        (("static_resources", "clusters", 1, "name"), "f:6:5"),
        (("static_resources", "clusters", 2, "name"), "o:3:5"),
        (("static_resources", "clusters", 2, "absent"), "o:3:5"),
        (("admin", "access_log", 0, "name"), "f:11:5"),
        (("admin", "access_log", 1, "name"), "o:4:21"),
        (("node", "id"), "f:1:8"),
        (("node", "cluster"), "o:5:8"),
        (("node",), "o:5:1"),
    ],
)
def test_two_sources(path: Path, place: str) -> None:
    assert locate(path, Source("f", FILE, "yaml"), Source("o", OPTION, "yaml")) == place


def test_the_value_of_a_typed_struct() -> None:
    text = "admin: {access_log: [{typed_config: {type_url: t, value: {\n  path: /p}}}]}"
    assert locate(("admin", "access_log", 0, "typed_config", "path"), Source("f", text, "yaml")) == "f:2:3"


def test_nothing_is_read_before_a_place_is_wanted() -> None:
    Locator([Source("f", "a: [", "yaml")], bootstrap_pb2.Bootstrap.DESCRIPTOR)
