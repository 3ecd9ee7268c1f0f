"""The configuration that ours and Envoy both run: one text, everything switched on that a service in production has.

Listeners: `main`; `log`, the same with an access log to a file; `h2`, the same with an origin that speaks HTTP/2;
`grpc`, the same for calls of gRPC; `tls`, the same over TLS; `attacked`, with little but
what the attackers of `tests/kit/h2_attacks.py` ask for; `tcp`, a TCP proxy. 100 virtual hosts with ten routes each,
timeouts of every kind, request ids, `x-forwarded-for`, and header rules in both directions on every request.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from bench.requests import HOST, HOSTS, RECORDED_HOST, ROUTE, ROUTES_PER_HOST
from tests.kit.bootstrap import HCM, ROUTER, Fields, socket_address, static_cluster
from tests.kit.certificates import Authority
from tests.kit.h2_attacks import HEADY, LARGE, VICTIM

_TYPE = "type.googleapis.com/envoy.extensions"
_TCP_PROXY = f"{_TYPE}.filters.network.tcp_proxy.v3.TcpProxy"
_FILE_LOG = f"{_TYPE}.access_loggers.file.v3.FileAccessLog"
_DOWNSTREAM_TLS = f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext"
_PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HTTP2: Fields = {
    "typed_extension_protocol_options": {
        _PROTOCOLS: {
            "@type": f"type.googleapis.com/{_PROTOCOLS}",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}
_HEADER_MUTATION = f"{_TYPE}.filters.http.header_mutation.v3.HeaderMutation"
_DYNAMIC_MODULE = f"{_TYPE}.filters.http.dynamic_modules.v3.DynamicModuleFilter"


class Ports(NamedTuple):
    """Of 127.0.0.1: what the clusters are."""

    origin: int
    origin_h2: int
    grpc: int
    recorder: int


def bootstrap(ports: Ports, filters: tuple[str, ...] = ()) -> str:
    """The YAML of `tree`."""
    return yaml.safe_dump(tree(ports, filters), sort_keys=False)


def tree(ports: Ports, filters: tuple[str, ...] = ()) -> Fields:
    """`filters` are classes of modules in `filters/`: `module.Class`."""
    log: Fields = {"name": "file", "typed_config": {"@type": _FILE_LOG, "path": "{directory}/access.log"}}
    tcp: Fields = {"@type": _TCP_PROXY, "stat_prefix": "tcp", "cluster": "origin", "idle_timeout": "3600s"}
    listeners = [
        _listener("main", _http_manager("main", filters)),
        _listener("log", _http_manager("log", filters, access_log=[log])),
        _listener("h2", _http_manager("h2", filters, cluster="origin-h2")),
        _listener("grpc", _http_manager("grpc", filters, cluster="grpc")),
        _listener("tls", _http_manager("tls", filters), transport_socket=_tls()),
        _listener(
            "attacked", _http_manager("attacked", filters, hosts=[_victim(), _virtual_host("service", HOST, "origin")])
        ),
        _listener("tcp", {"name": "envoy.filters.network.tcp_proxy", "typed_config": tcp}),
    ]
    clusters = [
        static_cluster("origin", ports.origin),
        static_cluster("origin-h2", ports.origin_h2, **_HTTP2),
        static_cluster("grpc", ports.grpc, **_HTTP2),
        static_cluster("recorder", ports.recorder),
    ]
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _listener(name: str, network_filter: Fields, **chain: Any) -> Fields:
    return {
        "name": name,
        "address": socket_address("127.0.0.1", 0),
        "filter_chains": [{"filters": [network_filter], **chain}],
    }


@functools.cache
def _tls() -> Fields:
    """One pair for all that run."""
    pair = Authority().issue("bench.test")
    certificate = {"certificate_chain": {"inline_string": pair.chain}, "private_key": {"inline_string": pair.key}}
    context = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [certificate]}
    return {"name": "tls", "typed_config": {"@type": _DOWNSTREAM_TLS, "common_tls_context": context}}


def _http_manager(
    name: str, filters: tuple[str, ...], hosts: Sequence[Fields] = (), *, cluster: str = "origin", **further: Any
) -> Fields:
    """With the hundred virtual hosts, or with `hosts`."""
    services = [_virtual_host(f"service-{number}", f"service-{number}.bench", cluster) for number in range(HOSTS)]
    recorded = _virtual_host("recorded", RECORDED_HOST, "recorder")
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        "route_config": {"name": name, "virtual_hosts": [*(hosts or services), recorded]},
        "http_filters": [*map(_python_filter, filters), _header_rules(), _filter("router", {"@type": ROUTER})],
        "use_remote_address": True,
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "stream_idle_timeout": "300s",
        "request_timeout": "120s",
        "request_headers_timeout": "10s",
        **further,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _virtual_host(name: str, domain: str, cluster: str) -> Fields:
    """Ten routes: exact paths and prefixes in turn, the last for everything. All have a timeout."""
    routes: list[Fields] = []
    for number in range(ROUTES_PER_HOST - 1):
        match = {"path": f"/r{number}"} if number % 2 == 0 else {"prefix": f"/r{number}/"}
        routes.append({"match": match, "route": {"cluster": cluster, "timeout": "60s"}})
    routes.append({"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "15s"}})
    return {"name": name, "domains": [domain], "routes": routes}


def _victim() -> Fields:
    headers = [{"header": {"key": f"x-{number}", "value": "y" * 4000}} for number in range(4)]
    heady = {"match": {"path": HEADY}, "direct_response": {"status": 200}, "response_headers_to_add": headers}
    large = {"match": {"path": LARGE}, "route": {"cluster": "origin", "prefix_rewrite": f"{ROUTE}/100m"}}
    rest = {"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "15s"}}
    return {"name": "victim", "domains": [VICTIM], "routes": [heady, large, rest]}


def _header_rules() -> Fields:
    def add(key: str, value: str) -> Fields:
        action = "OVERWRITE_IF_EXISTS_OR_ADD"
        return {"append": {"header": {"key": key, "value": value}, "append_action": action}}

    mutations = {
        "request_mutations": [add("x-tier", "gold"), {"remove": "x-internal"}],
        "response_mutations": [add("x-served-by", "bench"), {"remove": "x-powered-by"}],
    }
    return _filter("header_mutation", {"@type": _HEADER_MUTATION, "mutations": mutations})


def _python_filter(path: str) -> Fields:
    module_name, _, name = path.rpartition(".")
    module = {"name": module_name}
    return {
        "name": name,
        "typed_config": {"@type": _DYNAMIC_MODULE, "dynamic_module_config": module, "filter_name": name},
    }


def _filter(name: str, typed_config: Fields) -> Fields:
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed_config}
