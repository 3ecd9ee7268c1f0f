"""One bootstrap with clusters that speak HTTP/2, to a scripted origin and to nginx."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from bench.nginx import Nginx, free_port
from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.certificates import Authority
from tests.kit.h2_origin import H2Origin
from tests.parity.log_lines import json_of, log

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
Fields = dict[str, Any]


def speaking(*, limit: int = 0, **protocol: Any) -> Fields:
    """Fields of a cluster that speaks `protocol`, with at most `limit` requests on a connection."""
    common = {"common_http_protocol_options": {"max_requests_per_connection": limit}} if limit else {}
    typed = {"@type": f"type.googleapis.com/{OPTIONS}", **common, **protocol}
    return {"typed_extension_protocol_options": {OPTIONS: typed}}


def explicit(*, limit: int = 0, **options: Any) -> Fields:
    return speaking(limit=limit, explicit_http_config={"http2_protocol_options": options})


HTTP2 = explicit()
SCRIPTED: dict[str, Fields] = {
    **dict.fromkeys(("refused", "reset", "before", "timeout", "goaway", "plain"), HTTP2),
    "lenient": explicit(override_stream_error_on_invalid_http_message=True),
    "limited": explicit(limit=2),
    "narrow": explicit(max_concurrent_streams=2),
}
BOTH = {"http_protocol_options": {}, "http2_protocol_options": {}}
SECURE = {"transport_socket": {"name": "tls", "typed_config": {"@type": TLS}}}
OF_NGINX: dict[str, tuple[str, Fields]] = {
    "auto-both": ("ssl http2", speaking(auto_config=BOTH) | SECURE),
    "auto-one": ("ssl", speaking(auto_config=BOTH) | SECURE),
    "explicit": ("ssl http2", HTTP2 | SECURE),
    "downstream": ("ssl http2", speaking(use_downstream_protocol_config=BOTH) | SECURE),
    "clear": ("http2", HTTP2),
}
"""What nginx is told to speak, and the cluster."""

BODY = b"nginx " * 50_000
SERVER = """server {{ listen 127.0.0.1:{port} {options};
  location / {{ return 200 "$server_protocol $ssl_alpn_protocol"; }}
  location /body {{ alias {{directory}}/body.txt; }} }}
"""

LOGGED = [
    "REQ(:PATH)", "PROTOCOL", "UPSTREAM_PROTOCOL", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS", "RESPONSE_FLAGS",
    "BYTES_SENT", "UPSTREAM_WIRE_BYTES_RECEIVED", "UPSTREAM_HEADER_BYTES_RECEIVED", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
]  # fmt: skip
OTHERWISE = {
    r"cluster\.[\w-]+\.http2\.nghttp2_upstream_connections": "a library of Envoy's",
    r"cluster\.(goaway|limited)\.upstream_cx_protocol_error": "Envoy ends such a connection while it reads from it",
    r"cluster\.narrow\.upstream_rq_pending_total": "how many come before the first connection is there depends",
    r"cluster\.auto-\w+\.upstream_cx_total": "of `auto_config` Envoy counts each once more when it knows its protocol",
}


@contextlib.contextmanager
def configured() -> Iterator[str]:
    """The bootstrap, while its hosts run. Raises `Unfit` where there is no nginx."""
    with H2Origin() as origin, _nginx() as ports:
        yield _bootstrap(origin.port, ports)


@contextlib.contextmanager
def _nginx() -> Iterator[Mapping[str, int]]:
    """A port for each cluster."""
    ports = {name: free_port() for name in OF_NGINX}
    probe = free_port()
    blocks = [SERVER.format(port=ports[name], options=options) for name, (options, _) in OF_NGINX.items()]
    blocks.append(SERVER.format(port=probe, options=""))
    pair = Authority().issue("a.test")
    files = {"pair.pem": (pair.chain + pair.key).encode(), "body.txt": BODY}
    certificate = "ssl_certificate {directory}/pair.pem; ssl_certificate_key {directory}/pair.pem;"
    with Nginx(certificate + "".join(blocks), probe, files=files):
        yield ports


def _bootstrap(port: int, ports: Mapping[str, int]) -> str:
    clusters = [static_cluster(name, port, **fields) for name, fields in SCRIPTED.items()]
    clusters += [static_cluster(name, ports[name], **fields) for name, (_, fields) in OF_NGINX.items()]
    routes = [route(f"/{name}/", name, prefix_rewrite="/") for name in OF_NGINX]
    routes += [route(f"/{name}", name) for name in ("lenient", "goaway", "limited", "narrow")]
    routes += [
        route("/refused", "refused", retry_policy={"retry_on": "refused-stream", "num_retries": 2}),
        route("/reset", "reset", retry_policy={"retry_on": "reset", "num_retries": 1}),
        route("/before", "before", retry_policy={"retry_on": "reset-before-request,connect-failure", "num_retries": 1}),
        route("/timeout", "timeout", timeout="0.2s"),
        route("/", "plain"),
    ]
    listener = http_listener(
        virtual_host("everything", ["*"], *routes),
        http_protocol_options={"enable_trailers": True},
        access_log=[log("upstream", json_of(LOGGED))],
    )
    return bootstrap([listener], clusters)
