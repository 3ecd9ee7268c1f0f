"""How many hosts each of a cluster's transport sockets is for."""

from __future__ import annotations

import pytest

from master.stats.socket_matches import counted
from proxy.config.common import SocketAddress
from tests.integration.tls.test_socket_matches import MATCH, RAW, configured
from tests.kit.config import compiled


@pytest.mark.field(f"{MATCH}.name")
def test_by_name() -> None:
    said = ({"kind": "a"}, {"kind": "a"}, {"kind": "b"}, {})
    hosts = [(SocketAddress("127.0.0.1", port), each) for port, each in enumerate(said, 1)]
    labels = {"one": {"kind": "a"}, "none": {"x": 1}}
    matches = [{"name": name, "match": match, "transport_socket": RAW} for name, match in labels.items()]
    config = compiled(configured(hosts, matches))
    assert counted(config.clusters[0], config.endpoints.clusters["origin"]) == {
        "cluster.origin.default.total_match_count": 2,
        "cluster.origin.one.total_match_count": 2,
        "cluster.origin.none.total_match_count": 0,
    }
    assert counted(config.clusters[0], None)["cluster.origin.default.total_match_count"] == 0
