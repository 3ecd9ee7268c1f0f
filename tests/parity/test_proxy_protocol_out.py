"""PROXY headers to upstreams (`ProxyProtocolUpstreamTransport`), from Envoy and from us: who is told of whom, and which
connections are shared.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.integration.tls.terminating import authority
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.client import Address, Connection
from tests.kit.envoy import Envoy
from tests.kit.parity import Pair, run_pair
from tests.kit.proxy import Proxy
from tests.kit.proxy_receiver import ProxyReceiver
from tests.parity.rules import of
from tests.parity.test_upstream_tls import tls

KIND = "extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"


def behind(version: str, inner: Fields | None = None) -> Fields:
    """A cluster's `transport_socket`."""
    inside = inner or {"transport_socket": {"name": "raw", "typed_config": {"@type": RAW}}}
    typed = {"@type": f"type.googleapis.com/envoy.{KIND}", "config": {"version": version}, **inside}
    return {"transport_socket": {"name": "proxy", "typed_config": typed}}


def aggregate(name: str, *members: str) -> Fields:
    kind = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
    config = {"name": "envoy.clusters.aggregate", "typed_config": {"@type": kind, "clusters": [*members]}}
    return {"name": name, "connect_timeout": "1s", "lb_policy": "CLUSTER_PROVIDED", "cluster_type": config}


class Running(NamedTuple):
    pair: Pair
    plain: ProxyReceiver


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("receiver") / "pair.pem"
    issued = authority().issue("a.test")
    path.write_text(issued.chain + issued.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with (
        ProxyReceiver() as plain,
        ProxyReceiver(context=context) as secure,
        ProxyReceiver(raw=True) as raw,
    ):
        matched = static_cluster(
            "matched", plain.port, transport_socket_matches=[{"name": "all", "match": {}, **behind("V2")}]
        )
        clusters = [
            static_cluster("v1", plain.port, **behind("V1")),
            static_cluster("v2", plain.port, **behind("V2")),
            static_cluster("secure", secure.port, **behind("V2", tls())),
            matched,
            aggregate("all", "v2"),
            static_cluster("raw1", raw.port, **behind("V1")),
            static_cluster("raw2", raw.port, **behind("V2")),
        ]
        listeners = [http_listener(virtual_host("all", ["*"], *(route(f"/{c['name']}", c["name"]) for c in clusters)))]
        listeners += [tcp_listener(name) for name in ("raw1", "raw2")]
        with run_pair(bootstrap(listeners, clusters)) as pair:
            yield Running(pair, plain)


def tcp_listener(cluster: str) -> Fields:
    kind = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    filters = [{"name": "t", "typed_config": {"@type": kind, "stat_prefix": cluster, "cluster": cluster}}]
    return {"name": cluster, "address": socket_address("127.0.0.1", 0), "filter_chains": [{"filters": filters}]}


def told(address: Address, path: str) -> list[bytes]:
    """What the host heard of two requests of one connection, without the ports."""
    with Connection(address) as client:
        found = [client.request(f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode()) for _ in range(2)]
        return [masked(client, bytes.fromhex(response.body.decode())) for response in found]


def masked(client: Connection, header: bytes) -> bytes:
    ours, theirs = client.sock.getsockname()[1], client.sock.getpeername()[1]
    if header.startswith(b"PROXY"):
        return header.replace(b" %d %d\r\n" % (ours, theirs), b" client listener\r\n")
    return header.replace(ours.to_bytes(2, "big") + theirs.to_bytes(2, "big"), b"client listener")


@pytest.mark.parity(*of(KIND, "config", "transport_socket"), "config.core.v3.ProxyProtocolConfig.version")
@pytest.mark.parametrize("cluster", ["v1", "v2", "secure", "matched", "all"])
def test_requests(running: Running, cluster: str) -> None:
    both: list[Envoy | Proxy] = [running.pair.envoy, running.pair.ours]
    before = len(running.plain.headers)
    theirs, ours = (told(side.address("main"), f"/{cluster}") for side in both)
    assert ours == theirs
    assert b"client listener" in ours[0]
    if cluster != "secure":  # each client has a connection of its own, and it alone
        assert len(running.plain.headers) == before + 2


@pytest.mark.parity(*of(KIND, "config", "transport_socket"))
@pytest.mark.parametrize("cluster", ["raw1", "raw2"])
def test_bytes(running: Running, cluster: str) -> None:
    both: list[Envoy | Proxy] = [running.pair.envoy, running.pair.ours]
    found = []
    for side in both:
        with Connection(side.address(cluster)) as client:
            found.append(masked(client, client.rest()))
    assert found[0] == found[1]
    assert b"client listener" in found[1]
