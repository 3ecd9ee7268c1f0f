"""Hosts at several addresses: where connections go, what is counted, what is told when all fail."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, socket_address, virtual_host
from tests.kit.dns_server import DnsServer
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import of

pytestmark = pytest.mark.parity(
    "rule 70",
    "config.endpoint.v3.Endpoint.additional_addresses",
    *of("config.cluster.v3.UpstreamConnectionOptions", "happy_eyeballs_config"),
)
CARES = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
DEAD = "127.0.0.77"
CASES = ("dead_first", "alive_first", "all_dead", "sixes_first", "fours_first", "fours_first_by_config", "logical")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """The origin is alive at 127.0.0.2; nobody is at its port of `DEAD`, or at a port of ::1."""
    with Origin(host="127.0.0.2") as origin, DnsServer() as server, _six() as dead_six:
        dead_six.bind(("::1", 0))
        server.add("web.example", "A", DEAD, "127.0.0.2")
        alive, four = socket_address("127.0.0.2", origin.port), socket_address(DEAD, origin.port)
        six = socket_address("::1", dead_six.getsockname()[1])
        first_four = {"happy_eyeballs_config": {"first_address_family_version": "V4"}}
        clusters = [
            cluster("dead_first", four, alive),
            cluster("alive_first", alive, four),
            cluster("all_dead", four, six, four),
            cluster("sixes_first", six, six, alive),
            cluster("fours_first", four, six, alive),
            cluster("fours_first_by_config", six, alive, upstream_connection_options=first_four),
            {
                **cluster("logical", socket_address("web.example", origin.port)),
                "type": "LOGICAL_DNS",
                "dns_lookup_family": "V4_ONLY",
                "dns_refresh_rate": "1000s",
                "typed_dns_resolver_config": {
                    "name": "resolver",
                    "typed_config": {"@type": CARES, "resolvers": [socket_address("127.0.0.1", server.port)]},
                },
            },
        ]
        routes = [route(f"/{name}", name) for name in CASES]
        told = {"header": {"key": "x-went-to", "value": "%UPSTREAM_REMOTE_ADDRESS% of %UPSTREAM_HOST%"}}
        host = {**virtual_host("all", ["*"], *routes), "response_headers_to_add": [told]}
        with run_pair(bootstrap([http_listener(host)], clusters)) as found:
            yield found


def _six() -> socket.socket:
    return socket.socket(socket.AF_INET6)


def cluster(name: str, address: dict[str, Any], *others: dict[str, Any], **fields: Any) -> dict[str, Any]:
    endpoint = {
        "address": address,
        **({"additional_addresses": [{"address": other} for other in others]} if others else {}),
    }
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
    return {"name": name, "connect_timeout": "5s", "load_assignment": assignment, **fields}


@pytest.mark.parametrize("name", CASES)
def test_where_requests_go(name: str, pair: Pair) -> None:
    request = f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    answers = pair.send(request * 2, responses=2)
    for envoy, ours in zip(answers.envoy.responses, answers.ours.responses, strict=True):
        assert (ours.status, ours.body[:20]) == (envoy.status, envoy.body[:20])
        assert ours.value("x-went-to") == envoy.value("x-went-to")
        if envoy.status == 503:
            assert ours.body == envoy.body
