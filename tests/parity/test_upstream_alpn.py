"""nginx as upstream, of Envoy and of ours: what is agreed on by ALPN, and what is spoken then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.figures import Unfit
from bench.nginx import Nginx, free_port
from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.certificates import Authority
from tests.kit.h2_client import H2Client
from tests.kit.parity import Pair, run_pair
from tests.parity.test_upstream_http2 import HTTP2, OTHERWISE, speaking

OPTIONS = {"http_protocol_options": {}, "http2_protocol_options": {}}
AUTO = speaking(auto_config=OPTIONS)
DOWNSTREAM = speaking(use_downstream_protocol_config=OPTIONS)
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
SECURE = {"transport_socket": {"name": "tls", "typed_config": {"@type": TLS}}}
SERVER = """server {{ listen 127.0.0.1:{port} {options};
  location / {{ return 200 "$server_protocol $ssl_alpn_protocol"; }}
  location /body {{ alias {{directory}}/body.txt; }} }}
"""
BODY = b"nginx " * 50_000
COUNTED_TWICE = {
    r"cluster\.auto-\w+\.upstream_cx_total": "of `auto_config` Envoy counts each once more when it knows its protocol"
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    servers = {"both": "ssl http2", "one": "ssl", "clear": "http2", "probe": ""}
    ports = {name: free_port() for name in servers}
    blocks = "".join(SERVER.format(port=ports[name], options=options) for name, options in servers.items())
    files = "ssl_certificate {directory}/pair.pem; ssl_certificate_key {directory}/pair.pem;"
    certificate = Authority().issue("a.test")
    clusters: dict[str, tuple[str, dict[str, Any]]] = {
        "auto-both": ("both", AUTO | SECURE),
        "auto-one": ("one", AUTO | SECURE),
        "explicit": ("both", HTTP2 | SECURE),
        "downstream": ("both", DOWNSTREAM | SECURE),
        "clear": ("clear", HTTP2),
    }
    routes = [route(f"/{name}/", name, prefix_rewrite="/") for name in clusters]
    made = [static_cluster(name, ports[port], **fields) for name, (port, fields) in clusters.items()]
    text = bootstrap([http_listener(virtual_host("everything", ["*"], *routes))], made)
    try:
        with (
            Nginx(
                files + blocks,
                ports["probe"],
                files={"pair.pem": (certificate.chain + certificate.key).encode(), "body.txt": BODY},
            ),
            run_pair(text, otherwise=OTHERWISE | COUNTED_TWICE) as made_pair,
        ):
            yield made_pair
    except Unfit as error:
        pytest.skip(str(error))


CASES = [
    "auto-both/",
    "auto-one/",
    "explicit/",
    "downstream/",
    "clear/",
    "auto-both/body",
    "auto-one/body",
    "clear/body",
]


@pytest.mark.parity(
    "extensions.upstreams.http.v3.HttpProtocolOptions.auto_config",
    "extensions.upstreams.http.v3.HttpProtocolOptions.use_downstream_protocol_config",
)
@pytest.mark.parametrize("path", CASES)
def test_both_speak_the_same(pair: Pair, path: str) -> None:
    envoy, ours = pair.send(f"GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    assert (ours.only.status, ours.only.body) == (envoy.only.status, envoy.only.body)
    assert envoy.only.status == 200
    if path.endswith("body"):
        assert ours.only.body == BODY


@pytest.mark.parity("extensions.upstreams.http.v3.HttpProtocolOptions.use_downstream_protocol_config")
def test_a_client_of_http2_has_http2_upstream(pair: Pair) -> None:
    bodies = []
    for side in (pair.envoy, pair.ours):
        with H2Client(side.address()) as client:
            bodies.append(client.get("/downstream/").body)
    assert bodies[0] == bodies[1] == b"HTTP/2.0 h2"
