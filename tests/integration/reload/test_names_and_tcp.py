"""Reloads with clusters whose hosts are looked up, and with TCP connections that last."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.integration.reload.reloading import apply, asked, clusters, listener
from tests.kit.bootstrap import Fields, bootstrap, socket_address
from tests.kit.client import Connection
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy

TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
LONG = b"GET /?body=200000&chunk=10000&pause=0.1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin("one", "two") as origin:
        yield origin


def named(origin: Origin, name: str) -> Fields:
    """A cluster whose host is looked up."""
    endpoint = {"endpoint": {"address": socket_address("localhost", origin.ports[name])}}
    return {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def tcp(cluster: str, name: str = "tcp") -> Fields:
    proxy = {"@type": TCP, "stat_prefix": name, "cluster": cluster}
    return {
        "name": name,
        "address": socket_address("127.0.0.1", 0),
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": proxy}]}],
    }


def test_a_cluster_of_names_is_there_before_the_first_request_for_it(origin: Origin) -> None:
    with Proxy(bootstrap([listener("one")], [named(origin, "one")])) as proxy:
        with Connection(proxy.address()) as client:
            before = asked(client)
            assert before[0] == "one"
            how = apply(proxy, [listener("two")], [named(origin, "one"), named(origin, "two")])
            assert how == {"listener web": "in_place", "cluster two": "added"}
            assert asked(client)[0] == "two"
            apply(proxy, [listener("one")], [named(origin, "one")])
            assert asked(client) == before  # it was never touched
        assert proxy.stats()["cluster.one.membership_total"] == 1


def test_a_tcp_connection_outlives_whatever_changes_around_it(origin: Origin) -> None:
    names = clusters(origin, "one", "two")
    with Proxy(bootstrap([tcp("one"), listener("one")], names)) as proxy:
        with socket.create_connection(proxy.address("tcp"), timeout=30) as client:
            client.sendall(LONG)
            client.recv(1)
            apply(proxy, [tcp("one"), listener("two")], names)
            apply(proxy, [tcp("one")], clusters(origin, "one"))
            apply(proxy, [tcp("one"), tcp("one", "more")], clusters(origin, "one"))
            received = 1
            while data := client.recv(65536):
                received += len(data)
        assert received > 200_000
        assert proxy.stats()["listener_manager.listener_modified"] == 1
