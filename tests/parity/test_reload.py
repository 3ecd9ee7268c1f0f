"""One configuration after the other, on Envoy from LDS and CDS files, on us by reload: counts, and what clients see."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.integration.reload.reloading import KEEP_ALIVE, apply, asked, clusters, listener
from tests.kit.bootstrap import Fields, bootstrap
from tests.kit.client import Connection
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

COUNTERS = (
    "listener_manager.listener_added",
    "listener_manager.listener_modified",
    "listener_manager.listener_removed",
    "listener_manager.listener_in_place_updated",
    "listener_manager.listener_create_success",
    "listener_manager.total_listeners_active",
    "listener_manager.total_listeners_draining",
    "listener_manager.total_filter_chains_draining",
    "cluster_manager.cluster_added",
    "cluster_manager.cluster_modified",
    "cluster_manager.cluster_removed",
    "cluster_manager.active_clusters",
)
DRAIN = ("--drain-time-s", "60", "--drain-strategy", "immediate")
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


class Configuration(NamedTuple):
    listeners: list[Fields]
    clusters: list[Fields]


class Sides(NamedTuple):
    """`envoy` reads what `serve` writes; `ours` reloads it."""

    ours: Proxy
    envoy: Envoy
    directory: Path

    def serve(self, now: Configuration, done: Callable[[], bool]) -> None:
        apply(self.ours, now.listeners, now.clusters)
        updates = self.envoy.stats()["cluster_manager.cds.update_success"]
        publish(self.directory / "cds.json", CLUSTER, now.clusters)
        wait_for(  # a listener that names a cluster which is not there yet would be refused
            lambda: self.envoy.stats()["cluster_manager.cds.update_success"] > updates, deadline=20, what="Envoy's CDS"
        )
        publish(self.directory / "lds.json", LISTENER, now.listeners)
        wait_for(done, deadline=20, what="Envoy has the new configuration")

    def counted(self) -> tuple[dict[str, int], dict[str, int]]:
        ours, theirs = self.ours.stats(), self.envoy.stats()
        return {name: ours.get(name, 0) for name in COUNTERS}, {name: theirs.get(name, 0) for name in COUNTERS}


def publish(path: Path, kind: str, resources: list[Fields]) -> None:
    """By a rename, which is what Envoy watches for."""
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps({"resources": [{"@type": kind, **each} for each in resources]}))
    aside.rename(path)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin("one", "two") as origin:
        yield origin


@pytest.fixture
def sides(origin: Origin) -> Iterator[Sides]:
    first = Configuration([listener("one")], clusters(origin, "one"))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        publish(directory / "cds.json", CLUSTER, first.clusters)
        publish(directory / "lds.json", LISTENER, first.listeners)
        dynamic: dict[str, Any] = {
            "node": {"id": "us", "cluster": "ours"},
            "dynamic_resources": {
                f"{kind}_config": {
                    "resource_api_version": "V3",
                    "path_config_source": {"path": f"{directory}/{kind}.json"},
                }
                for kind in ("cds", "lds")
            },
        }
        with (
            Proxy(bootstrap(*first), arguments=DRAIN) as ours,
            Envoy(yaml.safe_dump(dynamic), arguments=DRAIN) as envoy,
        ):
            wait_for(lambda: envoy.stats()["listener_manager.total_listeners_active"] == 1, deadline=20, what="Envoy")
            yield Sides(ours, envoy, directory)


STEPS: dict[str, Callable[[Origin], Configuration]] = {
    "routes": lambda origin: Configuration([listener("two")], clusters(origin, "one", "two")),
    "another listener": lambda origin: Configuration(
        [listener("one"), listener("one", name="more")], clusters(origin, "one")
    ),
    "a field of the listener": lambda origin: Configuration(
        [listener("one", per_connection_buffer_limit_bytes=50_000)], clusters(origin, "one")
    ),
    "the listener is gone": lambda origin: Configuration([], clusters(origin, "one")),
    "a field of the cluster": lambda origin: Configuration(
        [listener("one")], clusters(origin, "one", per_connection_buffer_limit_bytes=50_000)
    ),
    "hosts of the cluster": lambda origin: Configuration(
        [listener("one")], [clusters(origin, "two")[0] | {"name": "one"}]
    ),
}


@pytest.mark.parity("rule 69")
@pytest.mark.parametrize("step", STEPS)
def test_counters(sides: Sides, origin: Origin, step: str) -> None:
    before = sides.envoy.stats()
    ours, theirs = sides.counted()
    assert ours == theirs

    def changed() -> bool:
        now = sides.envoy.stats()
        return any(now[name] != before.get(name, 0) for name in COUNTERS if name in now) and (
            now["listener_manager.total_listeners_warming"] == now["cluster_manager.warming_clusters"] == 0
        )

    sides.serve(STEPS[step](origin), changed)

    def same() -> bool:
        ours, theirs = sides.counted()
        if step == "routes":  # a deviation: nothing of ours drains then
            ours["listener_manager.total_filter_chains_draining"] += 1
        return ours == theirs

    wait_for(same, deadline=10, what=f"the same: {sides.counted()}")


@pytest.mark.parity("rule 69")
def test_who_has_to_leave(sides: Sides, origin: Origin) -> None:
    """Of the changed listener each response is the last one; the other's connections go on."""
    two = [listener("one"), listener("one", name="other")]
    sides.serve(
        Configuration(two, clusters(origin, "one")),
        lambda: sides.envoy.stats()["listener_manager.total_listeners_active"] == 2,
    )
    answers = []
    with Connections(sides) as open_ones:
        for connection in open_ones:
            assert connection.request(KEEP_ALIVE).status == 200
        changed = listener("one", stat_prefix="changed")
        sides.serve(
            Configuration([changed, two[1]], clusters(origin, "one")),
            lambda: sides.envoy.stats()["listener_manager.listener_modified"] == 1,
        )
        answers = [connection.request(KEEP_ALIVE).values("connection") for connection in open_ones]
    assert answers[:2] == answers[2:] == [["close"], []]


@pytest.mark.parity("rule 68", "rule 69")
def test_what_stays_open(sides: Sides, origin: Origin) -> None:
    """Routes: the client's connection. Hosts: the connection to a host that stays."""
    with Connection(sides.ours.address()) as ours, Connection(sides.envoy.address()) as theirs:
        before = [asked(ours), asked(theirs)]
        hosts = clusters(origin, "one")
        hosts[0]["load_assignment"]["endpoints"].append({"lb_endpoints": []})
        sides.serve(
            Configuration([listener("one")], hosts),
            lambda: sides.envoy.stats()["cluster_manager.cluster_modified"] == 1,
        )
        assert asked(ours) == before[0]
        assert asked(theirs) != before[1]
        sides.serve(
            Configuration([listener("two")], [*hosts, *clusters(origin, "two")]),
            lambda: sides.envoy.stats()["listener_manager.listener_modified"] == 1,
        )
        answers = [connection.request(KEEP_ALIVE) for connection in (ours, theirs)]
        assert [answer.values("connection") for answer in answers] == [[], ["close"]]
        assert [json.loads(answer.body)["origin"] for answer in answers] == ["two", "one"]


class Connections(list[Connection]):
    """Ours to `web` and `other`, and Envoy's."""

    def __init__(self, sides: Sides) -> None:
        found = sides.envoy._listeners()
        addresses = [sides.ours.address("web"), sides.ours.address("other"), found["web"][0], found["other"][0]]
        super().__init__(Connection(address) for address in addresses)

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self:
            connection.close()
