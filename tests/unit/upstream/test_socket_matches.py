"""Which transport socket a host is for, by what its metadata says."""

from __future__ import annotations

from typing import Any

from proxy.config.cluster import ClusterEndpoints, Host, HostMetadata, LocalityHosts, SocketMatch
from proxy.route.labels import canonical, labels_of
from proxy.upstream.socket_matches import NAMESPACE, place_of
from tests.kit.trio import run_trio
from tests.unit.upstream.rig import OK, Rig, answering, origin


def said(**values: Any) -> HostMetadata:
    return (("envoy.lb", canonical({"a": "other"})), (NAMESPACE, canonical(values)))


def test_the_first_match_of_which_a_host_says_all() -> None:
    wanted: list[dict[str, Any]] = [{"a": 1.0, "b": True}, {"a": 1.0}, {"a": [1.0, "x"]}, {"s": {"k": None}}]
    matches = [SocketMatch(str(index), labels_of(labels)) for index, labels in enumerate(wanted)]
    for metadata, place in (
        (said(a=1.0, b=True, c="more"), 0),
        (said(a=1.0), 1),
        (said(a=1.0, b=1.0), 1),
        (said(a="1"), -1),
        (said(a=[1.0, "x"]), 2),
        (said(a=[1.0]), -1),
        (said(s={"k": None}), 3),
        (said(s={}), -1),
        ((), -1),
        ((("envoy.lb", canonical({"a": 1.0})),), -1),
    ):
        assert place_of(matches, metadata) == place, metadata


def test_a_match_without_labels_is_for_everybody_else() -> None:
    matches = [SocketMatch("one", labels_of({"a": "x"})), SocketMatch("rest", ())]
    assert [place_of(matches, metadata) for metadata in (said(a="x"), said(), ())] == [0, 1, 1]


@run_trio
async def test_a_host_that_is_of_another_match_gets_other_connections() -> None:
    matches = (SocketMatch("one", labels_of({"a": "x"})), SocketMatch("two", labels_of({"a": "y"})))
    async with origin(answering(OK)) as host, Rig(host.address, socket_matches=matches) as rig:

        def become(version: int, **values: Any) -> None:
            hosts = (Host(0, host.address, metadata=said(**values)),)
            rig.cluster.update_endpoints(ClusterEndpoints("c", version, (LocalityHosts(0, hosts),)))

        for version, values, connections in ((2, {"a": "x"}, 1), (3, {"a": "x", "b": 1.0}, 1), (4, {"a": "y"}, 2)):
            become(version, **values)
            await rig.get()
            assert rig.stat("cx_total") == connections
            assert rig.stat("cx_active") == 1
