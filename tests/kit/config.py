"""Configurations for tests: bootstrap text to the compiled structs, and the hook by which the field audit cuts it."""

from __future__ import annotations

import textwrap

import msgspec

from master.config.check import Checked, check
from master.config.finding import Finding
from master.config.source import Source
from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import PluginConfig
from proxy.config.listener import Listener
from proxy.config.route import RouteConfiguration
from proxy.filters.network import hcm_config
from tests.kit import field_audit

HTTP = """\
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
%(hcm)s
          route_config:
%(route_config)s
          http_filters:
%(http_filters)s
  clusters:
%(clusters)s
"""
ROUTE_CONFIG = """
name: local
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: {prefix: "/"}
    route: {cluster: origin}
"""
CLUSTERS = """
- name: origin
  load_assignment:
    cluster_name: origin
    endpoints:
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}}
"""


HTTP_FILTERS = """
- name: router
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""


def bootstrap(
    *, hcm: str = "", route_config: str = ROUTE_CONFIG, http_filters: str = HTTP_FILTERS, clusters: str = CLUSTERS
) -> str:
    """YAML of one HTTP listener `main`; the parts are YAML, more fields of the connection manager go into `hcm`."""

    def indented(text: str, columns: int) -> str:
        return textwrap.indent(textwrap.dedent(text).strip("\n"), " " * columns)

    return HTTP % {
        "hcm": indented(hcm, 10),
        "route_config": indented(route_config, 12),
        "http_filters": indented(http_filters, 12),
        "clusters": indented(clusters, 2),
    }


def checked(text: str, *, allow_unsupported: bool = False) -> Checked:
    """What `proxyctl validate` and `run` make of `text`."""
    source = Source("envoy.yaml", field_audit.cut(text), "yaml")
    return check([source], allow_unsupported=allow_unsupported, version=1)


def findings(text: str, *, allow_unsupported: bool = False) -> list[Finding]:
    """What is wrong with `text`."""
    return checked(text, allow_unsupported=allow_unsupported).findings


def compiled(text: str) -> CompiledConfig:
    """The compiled form of `text`, which is without fault."""
    result = checked(text)
    assert result.findings == []
    assert result.config is not None
    return result.config


def listener(text: str, index: int = 0) -> Listener:
    """One listener of `text`, compiled."""
    return compiled(text).listeners[index]


def manager(text: str) -> hcm_config.Config:
    """The HTTP connection manager of the first listener, compiled."""
    plugin = listener(text).filter_chains[0].filters[0]
    return msgspec.msgpack.decode(plugin.config, type=hcm_config.Config)


def routes(text: str) -> RouteConfiguration:
    """Its route configuration."""
    return manager(text).route_config


def plugin_config(plugin: PluginConfig, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """The `Config` of a compiled plug-in."""
    return msgspec.msgpack.decode(plugin.config, type=kind)
