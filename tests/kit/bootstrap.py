"""Envoy bootstraps for tests, put together from the parts that a test is about. Values are Envoy's JSON fields."""

from __future__ import annotations

from typing import Any

import yaml

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
Fields = dict[str, Any]


def route(match: Fields | str, cluster: str, **action: Any) -> Fields:
    """A route to `cluster`; `match` is a RouteMatch or a prefix. `action` are further fields of RouteAction."""
    return {
        "match": {"prefix": match} if isinstance(match, str) else match,
        "route": {"cluster": cluster, **action},
    }


def virtual_host(name: str, domains: list[str], *routes: Fields) -> Fields:
    return {"name": name, "domains": domains, "routes": list(routes)}


def http_listener(*virtual_hosts: Fields, name: str = "main", **hcm: Any) -> Fields:
    """A listener with an HTTP connection manager; `hcm` are further fields of it.

    A close after an error is delayed by 0.1 s only (Envoy's default is 1 s), so that tests need not wait.
    """
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        "route_config": {"name": name, "virtual_hosts": list(virtual_hosts)},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        "delayed_close_timeout": "0.1s",
        **hcm,
    }
    return {
        "name": name,
        "address": socket_address("127.0.0.1", 0),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def socket_address(host: str, port: int) -> Fields:
    return {"socket_address": {"address": host, "port_value": port}}


def static_cluster(name: str, *ports: int, host: str = "127.0.0.1", **fields: Any) -> Fields:
    """A STATIC cluster with one endpoint per port; `fields` are further fields of it."""
    endpoints = [{"endpoint": {"address": socket_address(host, port)}} for port in ports]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}] if endpoints else []}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment, **fields}


def bootstrap(listeners: list[Fields], clusters: list[Fields]) -> str:
    """The YAML of both."""
    return yaml.safe_dump({"static_resources": {"listeners": listeners, "clusters": clusters}}, sort_keys=False)


def one_cluster(port: int, **hcm: Any) -> str:
    """Everything to one cluster `origin` on `port` of 127.0.0.1."""
    everything = virtual_host("everything", ["*"], route("/", "origin"))
    return bootstrap([http_listener(everything, **hcm)], [static_cluster("origin", port)])


def one_origin(port: int, *, host: str = "127.0.0.1", **cluster: Any) -> str:
    """One listener `web` (stat prefix `ingress`) that forwards everything to the origin at `host`:`port`.

    `cluster` are further fields of the cluster `origin`.
    """
    listener = http_listener(virtual_host("all", ["*"], route("/", "origin")), name="web", stat_prefix="ingress")
    return bootstrap([listener], [static_cluster("origin", port, host=host, **cluster)])
