"""The hosts of some clusters."""

from __future__ import annotations

import msgspec

from proxy.config.cluster import ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.endpoints_delta import Fresh, applied, changed_clusters, decode_delta, encode_delta, newer


def cluster(name: str, version: int, port: int = 80) -> ClusterEndpoints:
    host = Host(0, SocketAddress("10.0.0.1", port), additional=(SocketAddress("fd00::1", port),))
    return ClusterEndpoints(name, version, (LocalityHosts(0, (host,)),))


def fresh(*clusters: ClusterEndpoints) -> dict[str, Fresh]:
    return {each.cluster: Fresh(each.version, msgspec.Raw(msgspec.msgpack.encode(each))) for each in clusters}


def test_what_is_known_already_stays_as_it_is() -> None:
    a, b, c = (cluster(name, 1) for name in "abc")
    before = Endpoints(1, {"a": a, "b": b, "c": c})
    newer_b = cluster("b", 3, 81)
    delta = decode_delta(encode_delta(1, 4, fresh(newer_b, c, cluster("d", 4))))
    after = applied(before, delta)
    assert after == Endpoints(4, {"a": a, "b": newer_b, "c": c, "d": cluster("d", 4)})
    assert after.clusters["a"] is a
    assert after.clusters["c"] is c
    assert applied(after, delta) == after
    assert changed_clusters(before, after) == {"b", "d"}
    assert changed_clusters(after, before) == {"b", "d"}


def test_nobody_looks_into_what_is_known() -> None:
    delta = decode_delta(encode_delta(1, 4, {"a": Fresh(2, msgspec.Raw(b"\xc0")), **fresh(cluster("b", 3))}))
    assert list(newer(delta, {"a": 2, "b": 2})) == [cluster("b", 3)]
