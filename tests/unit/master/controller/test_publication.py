"""What is told of hosts, and how much of it."""

from __future__ import annotations

import msgspec

from master.controller.publication import Publication
from proxy.config.cluster import ClusterEndpoints, Endpoints, Host, LocalityHosts, decode_endpoints
from proxy.config.common import SocketAddress
from proxy.config.endpoints_delta import applied, decode_delta


def some(clusters: int, *, hosts: int = 100) -> Endpoints:
    names = [f"c{number}" for number in range(clusters)]
    places = (LocalityHosts(0, tuple(Host(slot, SocketAddress("10.0.0.1", slot + 1)) for slot in range(hosts))),)
    return Endpoints(1, {name: ClusterEndpoints(name, 1, places) for name in names})


def changed(endpoints: Endpoints, *names: str) -> Endpoints:
    version = endpoints.version + 1
    fresh = {name: msgspec.structs.replace(endpoints.clusters[name], version=version) for name in names}
    return Endpoints(version, endpoints.clusters | fresh)


def test_a_change_of_one_cluster_tells_of_that_one() -> None:
    base = some(1_000)
    publication = Publication(base, deltas=True)
    kind, data = publication.next(now := changed(base, "c7"))
    assert kind == "endpoints_delta"
    assert len(data) < len(msgspec.msgpack.encode(base)) / 900
    delta = decode_delta(data)
    assert (delta.base, delta.version, list(delta.clusters)) == (1, 2, ["c7"])
    assert applied(base, delta) == now


def test_each_delta_is_all_that_who_starts_later_needs() -> None:
    base = now = some(100, hosts=1)
    publication = Publication(base, deltas=True)
    for number in range(20):
        now = changed(now, f"c{number % 7}")
        kind, data = publication.next(now)
        assert kind == "endpoints_delta"
        assert applied(base, decode_delta(data)) == now


def test_once_much_has_changed_all_are_told() -> None:
    now = some(8, hosts=1)
    publication = Publication(now, deltas=True)
    kinds = []
    for number in range(6):
        now = changed(now, f"c{number}")
        kind, data = publication.next(now)
        kinds.append(kind)
        if kind == "endpoints":
            assert decode_endpoints(data) == now
    assert kinds == ["endpoints_delta", "endpoints_delta", "endpoints"] * 2


def test_after_a_reload_deltas_begin_there() -> None:
    base = some(8, hosts=1)
    publication = Publication(base, deltas=True)
    publication.next(changed(base, "c1"))
    reloaded = Endpoints(9, some(8, hosts=2).clusters)
    publication.told(reloaded)
    kind, data = publication.next(now := changed(reloaded, "c2"))
    assert (kind, decode_delta(data).base) == ("endpoints_delta", 9)
    assert applied(reloaded, decode_delta(data)) == now


def test_a_cluster_that_goes_and_an_older_supervisor_are_told_all() -> None:
    base = some(8, hosts=1)
    less = Endpoints(2, {name: cluster for name, cluster in base.clusters.items() if name != "c1"})
    assert Publication(base, deltas=True).next(less).kind == "endpoints"
    assert Publication(base, deltas=False).next(changed(base, "c1")).kind == "endpoints"
