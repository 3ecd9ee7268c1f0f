"""Ours and Envoy with many clusters: `CLUSTERS` of `HOSTS` hosts that nobody asks, and one of a name that moves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.load import Address
from bench.upstreams import Upstreams
from tests.kit.bootstrap import http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.dns_server import DnsServer
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy

CLUSTERS, HOSTS = 1_000, 100
WORKERS = 2
NAME = "moving.example"
TOLD = "x-host"
_DEADLINE = 300.0  # s
_CARES = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


def tree(name_server: int, origin: int, clusters: int, hosts: int) -> dict[str, Any]:
    """The configuration. Listener `main` sends everything to the cluster of the name, and tells the host."""
    resolver = {"@type": _CARES, "resolvers": [socket_address("127.0.0.1", name_server)]}
    moving = {
        **static_cluster("moving", origin, host=NAME),
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "dns_refresh_rate": "0.01s",
        "typed_dns_resolver_config": {"name": "resolver", "typed_config": resolver},
    }
    told = {"header": {"key": TOLD, "value": "%UPSTREAM_HOST%"}}
    everything = {**virtual_host("all", ["*"], route("/", "moving")), "response_headers_to_add": [told]}
    return {
        "static_resources": {
            "listeners": [http_listener(everything)],
            "clusters": [moving, *(_cluster(number, hosts) for number in range(clusters))],
        }
    }


def _cluster(number: int, hosts: int) -> dict[str, Any]:
    high, low = divmod(number, 250)
    endpoints = [{"endpoint": {"address": socket_address(f"10.{high}.{low}.{host + 1}", 80)}} for host in range(hosts)]
    assignment = {"cluster_name": f"c{number}", "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": f"c{number}", "type": "STATIC", "load_assignment": assignment}


class ManyClusters:
    """Ours, by `format`, or Envoy ("")."""

    def __init__(self, format: str, clusters: int = CLUSTERS, hosts: int = HOSTS) -> None:
        self.format = format
        self.names, self.origin = DnsServer(), Origin(host="0.0.0.0")
        self.names.add(NAME, "A", "127.0.0.1", ttl=0)
        self.proxy: Proxy | Envoy
        found = tree(self.names.port, self.origin.port, clusters, hosts)
        self._directory = tempfile.TemporaryDirectory(prefix="many-clusters-")
        try:
            if not format:
                self.proxy = Envoy(json.dumps(found), concurrency=WORKERS)
                return
            path = Path(self._directory.name) / f"envoy.{format}"
            path.write_text(json.dumps(found) if format == "json" else yaml.dump(found, Dumper=yaml.CSafeDumper))
            self.proxy = Proxy(concurrency=WORKERS, arguments=("-c", str(path)), deadline=_DEADLINE)
        except BaseException:
            self._close_rest()
            raise

    def smaller(self, clusters: int, hosts: int) -> ManyClusters:
        """The same with fewer."""
        return ManyClusters(self.format, clusters, hosts)

    def move(self, address: str) -> None:
        """The name has another address."""
        self.names.add(NAME, "A", address, ttl=0)

    def address(self, listener: str) -> Address:
        return self.proxy.address(listener)

    def pids(self) -> Sequence[int]:
        if isinstance(self.proxy, Envoy):
            return [self.proxy.pid]
        return [process.pid for process in self.proxy.members()]

    def close(self) -> None:
        try:
            self.proxy.__exit__(None)
        finally:
            self._close_rest()

    def _close_rest(self) -> None:
        self._directory.cleanup()
        self.origin.__exit__(None, None, None)
        self.names.__exit__()


def from_json(_: Upstreams) -> ManyClusters:
    return ManyClusters("json")


def from_yaml(_: Upstreams) -> ManyClusters:
    return ManyClusters("yaml")


def of_envoy(_: Upstreams) -> ManyClusters:
    return ManyClusters("")
