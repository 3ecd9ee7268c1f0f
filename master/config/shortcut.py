"""`--listen` and `--upstream`: the bootstrap that a person would have written for one listener and one cluster."""

from __future__ import annotations

import json

from master.config.compile.address import canonical

HTTP_CONNECTION_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def bootstrap(listen: str, upstream: str) -> str:
    """YAML that proxies all of `listen` to `upstream`, both `host:port`; `ValueError` if one is not."""
    listen_host, listen_port = _split(listen)
    host, port = _split(upstream)
    return f"""\
static_resources:
  listeners:
  - name: main
    address: {{ socket_address: {{ address: {json.dumps(listen_host)}, port_value: {listen_port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {HTTP_CONNECTION_MANAGER}
          stat_prefix: ingress_http
          route_config:
            name: main
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: upstream }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": {ROUTER} }}
  clusters:
  - name: upstream
    type: {"STATIC" if canonical(host) else "STRICT_DNS"}
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {json.dumps(host)}, port_value: {port} }} }} }}
"""


def _split(address: str) -> tuple[str, int]:
    """`127.0.0.1:80`, `[::1]:80` or `example.com:80`."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host and not bracketed) or not (port.isascii() and port.isdigit()):
        raise ValueError(f"{address!r} is not host:port")
    if int(port) > 65535:
        raise ValueError(f"port {port} of {address!r} is above 65535")
    return host, int(port)
