"""The difference between two configurations, resource by resource."""

from __future__ import annotations

from typing import Any

from proxy.changes import changes
from proxy.config.bootstrap import CompiledConfig
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.config import compiled


def listener(name: str = "web", cluster: str = "a", prefix: str = "/", **fields: Any) -> Fields:
    return http_listener(virtual_host("all", ["*"], route(prefix, cluster)), name=name) | fields


def config(*listeners: Fields, clusters: tuple[Fields, ...] = (static_cluster("a", 1), static_cluster("b", 2))) -> Any:
    return compiled(bootstrap(list(listeners), list(clusters)))


def difference(before: CompiledConfig, now: CompiledConfig) -> dict[str, str]:
    return {f"{each.kind} {each.name}": each.how for each in changes(before, now)}


def test_nothing() -> None:
    assert difference(config(listener()), config(listener())) == {}


def test_listeners_come_and_go() -> None:
    before, now = config(listener("x-1"), listener("x-2")), config(listener("x-2"), listener("x-3"))
    assert difference(before, now) == {"listener x-3": "added", "listener x-1": "removed"}


def test_routes_alone_change_in_place() -> None:
    (change,) = changes(config(listener()), config(listener(cluster="b")))
    assert (change.how, change.chains_only) == ("in_place", True)


def test_anything_else_of_the_connection_manager_drains() -> None:
    other = http_listener(virtual_host("all", ["*"], route("/", "a")), name="web", stat_prefix="other")
    (change,) = changes(config(listener()), config(other))
    assert (change.how, change.chains_only) == ("drains", True)


def test_a_field_of_the_listener_drains_and_is_no_change_of_filter_chains() -> None:
    (change,) = changes(config(listener()), config(listener(cluster="b", per_connection_buffer_limit_bytes=9000)))
    assert (change.how, change.chains_only) == ("drains", False)


def test_clusters() -> None:
    before = config(listener(), clusters=(static_cluster("a", 1), static_cluster("b", 2), static_cluster("c", 3)))
    now = config(
        listener(),
        clusters=(
            static_cluster("d", 4),
            static_cluster("a", 1, 9),
            static_cluster("b", 2, per_connection_buffer_limit_bytes=9000),
        ),
    )
    assert difference(before, now) == {
        "cluster d": "added",
        "cluster a": "in_place",
        "cluster b": "modified",
        "cluster c": "removed",
    }


def test_another_order_of_clusters_is_no_change() -> None:
    a, b = static_cluster("a", 1), static_cluster("b", 2)
    assert difference(config(listener(), clusters=(a, b)), config(listener(), clusters=(b, a))) == {}
