"""`dynamic_forward_proxy`: what a configuration says; where requests go is seen beside Envoy (tests/parity)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from proxy.config.dns_cache import DnsCache
from proxy.filters.http.dynamic_forward_proxy import DynamicForwardProxy, DynamicForwardProxyPerRoute
from proxy.http.headers import Headers
from tests.kit.config import compiled
from tests.kit.trio import run_trio

PACKAGE = "envoy.extensions.filters.http.dynamic_forward_proxy.v3"
BOOTSTRAP = f"""
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: x
          http_filters:
          - name: forward
            typed_config:
              "@type": type.googleapis.com/{PACKAGE}.FilterConfig
              dns_cache_config: {{name: cache}}
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: v
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                route: {{cluster: c}}
                typed_per_filter_config:
                  forward:
                    "@type": type.googleapis.com/{PACKAGE}.PerRouteConfig
                    %s
  clusters: [{{name: c}}]
"""


def manager(own: str) -> Any:
    (plugin,) = compiled(BOOTSTRAP % own).listeners[0].filter_chains[0].filters
    return msgspec.msgpack.decode(plugin.config)


def per_route(own: str) -> DynamicForwardProxyPerRoute.Config:
    (route,) = manager(own)["route_config"]["virtual_hosts"][0]["routes"]
    found = route["typed_per_filter_config"]["forward"]["config"]
    return msgspec.convert(found, DynamicForwardProxyPerRoute.Config)


@pytest.mark.field(f"{PACKAGE}.FilterConfig.dns_cache_config")
def test_the_cache() -> None:
    found = manager("host_rewrite_literal: x")["http_filters"][0]["config"]
    assert msgspec.convert(found, DynamicForwardProxy.Config) == DynamicForwardProxy.Config("cache")


@pytest.mark.field(f"{PACKAGE}.PerRouteConfig.host_rewrite_literal")
def test_a_route_with_a_host_of_its_own() -> None:
    assert host(per_route("host_rewrite_literal: 'web.example:81'")) == b"web.example:81"


@pytest.mark.field(f"{PACKAGE}.PerRouteConfig.host_rewrite_header")
def test_a_route_whose_requests_say_the_host() -> None:
    config = per_route("host_rewrite_header: X-To")
    assert host(config, (b"x-to", b"other.example")) == b"other.example"
    assert host(config) == b"asked.example"


def host(config: DynamicForwardProxyPerRoute.Config, *headers: tuple[bytes, bytes]) -> bytes:
    return config.host(cast(Any, exchange(*headers)))


def exchange(*headers: tuple[bytes, bytes], cache: DnsCache | None = None) -> Any:
    loaded: list[bytes] = []

    async def load(authority: bytes) -> None:
        loaded.append(authority)

    cluster = SimpleNamespace(config=SimpleNamespace(dns_cache=cache), load=load)
    return SimpleNamespace(
        request=SimpleNamespace(authority=b"asked.example", headers=Headers(list(headers))),
        route=SimpleNamespace(cluster_name=lambda request: "c"),
        clusters={"c": cluster},
        filter_config=lambda name: None,
        loaded=loaded,
    )


@run_trio
async def test_clusters_of_other_caches_are_nobodys_business() -> None:
    link = DynamicForwardProxy("forward", DynamicForwardProxy.Config("cache"), cast(Any, None))
    passed: list[Any] = []

    async def call_next(each: Any) -> None:
        passed.append(each)

    for cache, loaded in ((DnsCache("cache"), [b"asked.example"]), (DnsCache("other"), []), (None, [])):
        each = exchange(cache=cache)
        await link(each, call_next)
        assert each.loaded == loaded
    assert len(passed) == 3
