"""What a reload does to each kind of change, while clients go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.reload.reloading import (
    KEEP_ALIVE,
    apply,
    asked,
    clusters,
    control,
    free_port,
    listener,
    refused,
    reload,
    write,
)
from tests.kit.bootstrap import bootstrap
from tests.kit.client import Connection
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

DRAIN = ("--drain-time-s", "2", "--drain-strategy", "immediate")
LONG = b"GET /?body=300000&chunk=10000&pause=0.1 HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin("one", "two") as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(bootstrap([listener("one")], clusters(origin, "one")), concurrency=2, arguments=DRAIN) as proxy:
        yield proxy


def test_the_same_file_does_nothing(proxy: Proxy) -> None:
    with Connection(proxy.address()) as client:
        before = asked(client)
        assert reload(proxy)["outcome"] == "unchanged"
        assert asked(client) == before
    assert "nothing was done" in control(proxy, "reload").stdout
    assert control(proxy, "diff").returncode == 0


def test_routes_change_in_place_under_load(proxy: Proxy, origin: Origin) -> None:
    """Connections stay, a download that began before is not cut, and the very next request sees the new route."""
    web = proxy.address()
    with Connection(web) as client, Connection(web, timeout=30) as download, Load(web, connections=4) as load:
        assert asked(client)[0] == "one"
        download.send(LONG)
        download.wait_readable()
        how = apply(proxy, [listener("two")], clusters(origin, "one", "two"))
        assert how == {"listener web": "in_place", "cluster two": "added"}
        assert asked(client)[0] == "two"
        assert apply(proxy, [listener("two")], clusters(origin, "two")) == {"cluster one": "removed"}
        assert asked(client)[0] == "two"
        assert len(download.receive().body) == 300_000
        assert load.finish().failed.total() == 0
    stats = proxy.stats()
    assert stats["listener_manager.listener_modified"] == stats["listener_manager.listener_in_place_updated"] == 1
    assert (stats["cluster_manager.cluster_added"], stats["cluster_manager.cluster_removed"]) == (2, 1)
    assert stats["cluster_manager.active_clusters"] == 1
    assert stats["listener_manager.total_listeners_draining"] == 0


def test_what_does_not_change_is_not_touched(proxy: Proxy, origin: Origin) -> None:
    """Another listener comes and goes; the first one's connections go on, to the same upstream connections."""
    both = [listener("one"), listener("two", name="other")]
    with Connection(proxy.address()) as client, Load(proxy.address(), mode="new", connections=2) as load:
        before = asked(client)
        how = apply(proxy, both, clusters(origin, "one", "two"))
        assert how == {"listener other": "added", "cluster two": "added"}
        other = proxy.address("other")
        with Connection(other) as leaving:
            assert asked(leaving)[0] == "two"
            with Load(other, mode="new", connections=2) as removed:
                how = apply(proxy, [listener("one")], clusters(origin, "one"))
                assert how == {"listener other": "removed", "cluster two": "removed"}
                wait_for(lambda: refused(other), deadline=10, what="the listener is closed")
                assert set(removed.finish().failed) <= {"refused"}
            last = leaving.request(KEEP_ALIVE)  # its route and cluster are those that it knew
            assert (last.status, last.values("connection")) == (200, ["close"])
        assert asked(client)[0] == before[0]
        assert load.finish().failed.total() == 0
    assert list(proxy.listeners()) == ["web"]
    stats = proxy.stats()
    assert (stats["listener_manager.listener_added"], stats["listener_manager.listener_removed"]) == (2, 1)


def test_a_changed_listener_drains_itself_alone(proxy: Proxy, origin: Origin) -> None:
    web = proxy.address()
    apply(proxy, [listener("one"), listener("two", name="other")], clusters(origin, "one", "two"))
    with Connection(web) as old, Connection(proxy.address("other")) as other, Load(web, mode="new") as load:
        idle = Connection(web)
        assert asked(idle)[0] == asked(old)[0] == "one"
        assert asked(other)[0] == "two"
        changed = listener("two", per_connection_buffer_limit_bytes=50_000)
        how = apply(proxy, [changed, listener("two", name="other")], clusters(origin, "one", "two"))
        assert how == {"listener web": "drains"}
        assert asked(web)[0] == "two"
        assert proxy.stats()["listener_manager.total_listeners_draining"] == 1
        last = old.request(KEEP_ALIVE)
        assert b'"one"' in last.body
        assert last.values("connection") == ["close"]
        assert idle.rest() == b""  # until the drain's time is over
        assert asked(other)[0] == "two"
        assert load.finish().failed.total() == 0
        idle.close()
    wait_for(
        lambda: proxy.stats()["listener_manager.total_listeners_draining"] == 0, deadline=10, what="the drain is over"
    )


def test_diff_counts_the_connections_that_would_drain(proxy: Proxy, origin: Origin) -> None:
    with Connection(proxy.address()) as first, Connection(proxy.address()) as second:
        asked(first), asked(second)
        tree = [listener("one", per_connection_buffer_limit_bytes=50_000)]
        write(proxy, tree, clusters(origin, "one"))
        found = control(proxy, "diff")
        assert (found.returncode, found.stdout) == (1, "listener web: changed; 2 connections drain\n")
        assert asked(first)[0] == "one"
        assert control(proxy, "diff", "--json").returncode == 1
    assert proxy.stats()["listener_manager.listener_modified"] == 0


def test_a_changed_cluster_is_replaced(proxy: Proxy, origin: Origin) -> None:
    with Connection(proxy.address()) as client, Load(proxy.address(), connections=2) as load:
        asked(client)
        how = apply(proxy, [listener("one")], clusters(origin, "one", per_connection_buffer_limit_bytes=50_000))
        assert how == {"cluster one": "modified"}
        assert asked(client)[0] == "one"
        assert load.finish().failed.total() == 0
    assert proxy.stats()["cluster_manager.cluster_modified"] == 1


def test_other_hosts_of_a_cluster_keep_the_connections_to_those_that_stay(proxy: Proxy, origin: Origin) -> None:
    with Connection(proxy.address()) as client:
        before = asked(client)
        changed = clusters(origin, "one")
        changed[0]["load_assignment"]["endpoints"].append({"lb_endpoints": []})
        assert apply(proxy, [listener("one")], changed) == {"cluster one": "in_place"}
        assert asked(client) == before


def test_an_address_moves_from_one_listener_to_another(origin: Origin) -> None:
    a, b, c = free_port(), free_port(), free_port()
    names = clusters(origin, "one", "two")
    first = [listener("one", name="left", port=a), listener("two", name="right", port=b)]
    with Proxy(bootstrap([], names), concurrency=2, arguments=DRAIN) as proxy:
        apply(proxy, first, names)
        address_a, address_b, address_c = (("127.0.0.1", port) for port in (a, b, c))
        assert (asked(address_a)[0], asked(address_b)[0]) == ("one", "two")
        with Load(address_a, mode="new", connections=2) as on_a, Load(address_b, mode="new", connections=2) as on_b:
            how = apply(proxy, [listener("one", name="left", port=b), listener("two", name="right", port=a)], names)
            assert how == {"listener left": "drains", "listener right": "drains"}
            assert (asked(address_a)[0], asked(address_b)[0]) == ("two", "one")
            apply(proxy, [listener("one", name="left", port=c), listener("two", name="third", port=a)], names)
            wait_for(lambda: refused(address_b), deadline=10, what="b is closed")
            assert (asked(address_a)[0], asked(address_c)[0]) == ("two", "one")
            assert on_a.finish().failed.total() == 0
            assert set(on_b.finish().failed) <= {"refused"}
        assert {name: port for name, [(_, port)] in proxy.listeners().items()} == {"left": c, "third": a}
