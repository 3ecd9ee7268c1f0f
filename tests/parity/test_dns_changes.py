"""A name's address changes under way: what becomes of connections to the host that has left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.client import Address, Connection
from tests.kit.dns_server import DnsServer
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.parity.rules import of

pytestmark = pytest.mark.parity("rule 70", *of("config.cluster.v3.Cluster", "type", "dns_refresh_rate"))
CARES = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
KINDS = ("STRICT_DNS", "LOGICAL_DNS")


@pytest.fixture(scope="module")
def server() -> Iterator[DnsServer]:
    with DnsServer() as found:
        yield found


@pytest.fixture(scope="module")
def pair(server: DnsServer) -> Iterator[Pair]:
    with Origin(host="0.0.0.0") as origin:
        clusters = []
        for kind in KINDS:
            server.add(f"{kind.lower()}.example", "A", "127.0.0.1", ttl=0)
            clusters.append(
                {
                    **static_cluster(kind, origin.port, host=f"{kind.lower()}.example"),
                    "type": kind,
                    "dns_lookup_family": "V4_ONLY",
                    "dns_refresh_rate": "0.05s",
                    "typed_dns_resolver_config": {
                        "name": "resolver",
                        "typed_config": {"@type": CARES, "resolvers": [socket_address("127.0.0.1", server.port)]},
                    },
                }
            )
        told = {"header": {"key": "x-host", "value": "%UPSTREAM_HOST%"}}
        host = {
            **virtual_host("all", ["*"], *(route(f"/{kind}", kind) for kind in KINDS)),
            "response_headers_to_add": [told],
        }
        with run_pair(bootstrap([http_listener(host)], clusters), apart="how often somebody had to look") as found:
            yield found


def ask(address: Address, kind: str) -> tuple[str, int]:
    """The host, and the number of its connection."""
    with Connection(address) as connection:
        connection.send(f"GET /{kind} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        response = connection.receive()
        body: dict[str, Any] = json.loads(response.body)
        return (response.value("x-host") or "").partition(":")[0], body["connection"]


@pytest.mark.parametrize("kind", KINDS)
def test_connections_to_a_host_that_has_left(kind: str, pair: Pair, server: DnsServer) -> None:
    proxies = pair.envoy, pair.ours
    before = [ask(proxy.address(), kind) for proxy in proxies]
    assert [ask(proxy.address(), kind) for proxy in proxies] == before
    server.add(f"{kind.lower()}.example", "A", "127.0.0.2", ttl=0)
    for proxy in proxies:
        wait_for(lambda proxy=proxy: ask(proxy.address(), kind)[0] == "127.0.0.2", deadline=30, what="the other host")
    after = [ask(proxy.address(), kind) for proxy in proxies]
    assert not {number for _, number in before} & {number for _, number in after}
    ended = [
        {name: proxy.stats()[f"cluster.{kind}.upstream_cx_{name}"] for name in ("total", "destroy_local", "active")}
        for proxy in proxies
    ]
    assert ended[0] == ended[1] == {"total": 2, "destroy_local": 1, "active": 1}
