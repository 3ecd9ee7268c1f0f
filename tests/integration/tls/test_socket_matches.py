"""Transport sockets by host: each of a cluster's hosts is spoken to as its metadata says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proxy.config.common import SocketAddress
from tests.integration.test_fields import one_listener
from tests.integration.tls.terminating import server
from tests.integration.tls.test_origination import Host, ask, speaking, trusting
from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, serving
from tests.unit.upstream.rig import OK, answering, origin

CLUSTER = "envoy.config.cluster.v3.Cluster"
MATCH = f"{CLUSTER}.TransportSocketMatch"
RAW = {
    "name": "raw",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
}


def configured(hosts: list[tuple[SocketAddress, dict[str, Any]]], matches: list[dict[str, Any]], **fields: Any) -> str:
    endpoints = [
        {
            "endpoint": {"address": {"socket_address": {"address": address.host, "port_value": address.port}}},
            "metadata": {"filter_metadata": {"envoy.transport_socket_match": said}},
        }
        for address, said in hosts
    ]
    assignment = {"cluster_name": "origin", "endpoints": [{"lb_endpoints": endpoints}]}
    cluster = {"name": "origin", "load_assignment": assignment, "transport_socket_matches": matches, **fields}
    return bootstrap(clusters=f"- {json.dumps(cluster)}")


@run_trio
@pytest.mark.field(f"{CLUSTER}.transport_socket_matches", f"{MATCH}.match", f"{MATCH}.transport_socket")
async def test_each_host_is_spoken_to_in_its_own_way(tmp_path: Path) -> None:
    host = Host(tmp_path, server())
    matches = [
        {"name": "old", "match": {"kind": "plain"}, "transport_socket": RAW},
        {"name": "named", "match": {"kind": "named"}, "transport_socket": speaking(trusting(), sni="a.test")},
    ]
    async with origin(host.serve) as secure, origin(answering(OK)) as plain:
        hosts: list[tuple[SocketAddress, dict[str, Any]]] = [
            (secure.address, {"kind": "named", "more": 1}),
            (plain.address, {"kind": "plain"}),
            (secure.address, {"kind": "else"}),
        ]
        text = configured(hosts, matches, transport_socket=speaking(sni="else"))
        async with serving(one_listener(text)) as rig:
            statuses = Counter([(await ask(rig))[:12] for _ in range(3)])
            assert statuses == {b"HTTP/1.1 200": 3}
            assert sorted(map(str, host.names)) == ["a.test", "else"]
            assert rig.stats.value("cluster.origin.ssl.handshake") == 2


@run_trio
async def test_a_match_of_plain_tcp_where_the_cluster_speaks_tls() -> None:
    async with origin(answering(OK)) as plain:
        matches = [{"name": "raw", "match": {"tls": "off"}, "transport_socket": RAW}]
        text = configured([(plain.address, {"tls": "off"})], matches, transport_socket=speaking())
        async with serving(one_listener(text)) as rig:
            assert (await ask(rig, GET)).startswith(b"HTTP/1.1 200")


def test_faults() -> None:
    here = [(SocketAddress("127.0.0.1", 9), {"a": 1})]
    wrong = [{"name": "x", "match": {}, "transport_socket": speaking(trusting(trusted_ca={"inline_string": "x"}))}]
    found = findings(configured(here, wrong))
    assert [fault.path[3:6] for fault in found] == [("transport_socket_matches", 0, "transport_socket")]
    assert "no typed_config" in findings(configured(here, [{"name": "x"}]))[0].message
