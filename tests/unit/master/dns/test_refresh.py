import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
import trio

from master.dns.refresh import Discovery
from master.dns.rows import Rows
from proxy.config.bootstrap import CompiledConfig, Node
from proxy.config.cluster import (
    Cluster,
    ClusterEndpoints,
    Dns,
    DnsEndpoint,
    DnsLocality,
    Endpoints,
    Host,
    LocalityHosts,
)
from proxy.config.common import SocketAddress
from proxy.config.dns import DnsResolver, LookupFamily
from proxy.dns.result import Answer, Failed, Failure, Resolved, Result
from proxy.stats import MemoryStats
from tests.kit.trio import run_trio

LOST = Failed(Failure.TIMEOUT)
NONE = Resolved()
STATIC = ClusterEndpoints(
    cluster="static",
    version=3,
    localities=(LocalityHosts(priority=0, hosts=(Host(0, SocketAddress("10.9.9.9", 1)),)),),
)


class Zone:
    """Names whose results a test changes; it notes when each was looked up. A lookup takes 0.25 s."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}
        self.lookups: list[tuple[float, str]] = []
        self.families: set[LookupFamily] = set()

    async def lookup(self, name: str, family: LookupFamily, how: DnsResolver) -> Result:
        self.lookups.append((trio.current_time(), name))
        self.families.add(family)
        await trio.sleep(0.25)
        return self.results[name]


def found(*addresses: str, ttl: int = 0) -> Resolved:
    return Resolved(tuple(Answer(address, ttl) for address in addresses))


def cluster(name: str, *names: str, kind: Any = "STRICT_DNS", **options: Any) -> Cluster:
    endpoints = tuple(DnsEndpoint(endpoint, 80) for endpoint in names)
    return Cluster(name=name, type=kind, dns=Dns(localities=(DnsLocality(0, endpoints),), **options))


class Run:
    """A running discovery: what it published and counted."""

    def __init__(self, zone: Zone, *clusters: Cluster) -> None:
        self.zone = zone
        self.stats = MemoryStats()
        self.published: list[tuple[float, Endpoints]] = []
        self.first = Endpoints(version=3, clusters={"static": STATIC})
        self.rows = Rows(self.first)
        self.publish_takes = 0.0
        self._config = CompiledConfig(
            version=1, node=Node(), listeners=(), clusters=clusters, endpoints=self.first, admin_address=None
        )

    async def publish(self, endpoints: Endpoints) -> None:
        self.published.append((trio.current_time(), endpoints))
        await trio.sleep(self.publish_takes)

    async def start(self, nursery: trio.Nursery) -> None:
        self.discovery = Discovery(
            self._config,
            self.first,
            self.stats,
            self.publish,
            rows=self.rows,
            resolver=self.zone,
            rng=random.Random(1),
        )
        await nursery.start(self.discovery.run)

    def hosts(self, name: str) -> list[str]:
        return [str(host.address) for place in self.published[-1][1].clusters[name].localities for host in place.hosts]

    def counted(self, name: str) -> dict[str, int]:
        prefix = f"cluster.{name}."
        return {stat[len(prefix) :]: word.value for stat, word in self.stats.words.items() if stat.startswith(prefix)}


def discovery(test: Callable[..., Any]) -> Callable[[], None]:
    """Runs a test with a nursery of its own on a virtual clock, and cancels what it started."""

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await test(nursery)
            nursery.cancel_scope.cancel()

    return run_trio(virtual_time=True, deadline=100_000.0)(run)


@discovery
async def test_hosts_follow_the_answers(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results["web"] = found("10.0.0.1", "10.0.0.2")
    run = Run(zone, cluster("c", "web", lookup_family="V4_ONLY"))
    await run.start(nursery)
    assert run.hosts("c") == ["10.0.0.1:80", "10.0.0.2:80"]
    assert run.published[-1][1].version == run.published[-1][1].clusters["c"].version == 4
    assert run.published[-1][1].clusters["static"] is STATIC
    assert zone.families == {"V4_ONLY"}
    zone.results["web"] = found("10.0.0.2", "10.0.0.3")
    await trio.sleep(6)
    assert run.hosts("c") == ["10.0.0.2:80", "10.0.0.3:80"]
    zone.results["web"] = NONE
    await trio.sleep(5)
    assert run.hosts("c") == []
    assert run.counted("c") == {
        "update_attempt": 3,
        "update_success": 3,
        "update_failure": 0,
        "update_no_rebuild": 0,
        "update_empty": 0,
        "membership_change": 3,
    }


@discovery
async def test_the_same_addresses_in_another_order_are_no_change(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results["web"] = found("10.0.0.1", "10.0.0.2")
    run = Run(zone, cluster("c", "web"))
    await run.start(nursery)
    zone.results["web"] = found("10.0.0.2", "10.0.0.1", "10.0.0.2")
    await trio.sleep(6)
    assert len(run.published) == 1
    assert run.counted("c")["update_no_rebuild"] == 1
    assert run.counted("c")["membership_change"] == 1


@discovery
async def test_a_failure_keeps_the_hosts(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results["web"] = found("10.0.0.1")
    run = Run(zone, cluster("c", "web"), cluster("l", "web", kind="LOGICAL_DNS"))
    await run.start(nursery)
    zone.results["web"] = LOST
    await trio.sleep(60)
    zone.results["web"] = NONE  # a failure for LOGICAL_DNS alone
    await trio.sleep(60)
    assert run.hosts("l") == ["10.0.0.1:80"]
    assert run.hosts("c") == []
    assert len(run.published) == 2
    assert run.counted("l")["update_failure"] == run.counted("l")["update_attempt"] - 1 > 10
    assert run.counted("c")["update_success"] > 5


@discovery
async def test_logical_dns_uses_the_first_address(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results["web"] = found("10.0.0.1", "10.0.0.2")
    run = Run(zone, cluster("l", "web", kind="LOGICAL_DNS"))
    await run.start(nursery)
    assert run.hosts("l") == ["10.0.0.1:80"]
    zone.results["web"] = found("10.0.0.2", "10.0.0.1")
    await trio.sleep(6)
    assert run.hosts("l") == ["10.0.0.2:80"]


@discovery
async def test_the_refresh_rate_and_the_ttl(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results = {"a": found("10.0.0.1", ttl=60), "b": found("10.0.0.2", ttl=60)}
    run = Run(zone, cluster("a", "a", refresh_rate=2.0), cluster("b", "b", refresh_rate=2.0, respect_ttl=True))
    start = trio.current_time()
    await run.start(nursery)
    await trio.sleep(120)
    moments = {name: [round(at - start, 2) for at, asked in zone.lookups if asked == name] for name in "ab"}
    assert moments["a"][:4] == [0, 2.25, 4.5, 6.75]
    assert moments["b"] == [0, 60.25]


@discovery
async def test_failures_back_off_and_a_success_ends_that(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results["web"] = LOST
    run = Run(zone, cluster("c", "web", refresh_rate=1_000.0, failure_refresh_base=1.0, failure_refresh_max=64.0))
    await run.start(nursery)
    assert run.published == []
    await trio.sleep(2_000)
    # Not `zone.lookups`: one that is under way now still brings the new answer.
    failures = run.counted("c")["update_failure"]
    assert 30 < failures < 300  # about 32 s each once the interval has grown; every second would be 2,000
    zone.results["web"] = found("10.0.0.1")
    await trio.sleep(900)
    assert run.hosts("c") == ["10.0.0.1:80"]
    assert run.counted("c")["update_success"] == 1
    assert run.counted("c")["update_failure"] == failures
    zone.results["web"] = LOST
    await trio.sleep(1_100)
    first, second = (at for at, _ in zone.lookups[failures + 1 : failures + 3])
    assert second - first <= 0.25 + 1.0


@discovery
async def test_it_has_started_when_every_cluster_had_a_first_result(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results = {"good": found("10.0.0.1"), "lost": LOST}
    run = Run(zone, cluster("a", "good", "lost"), cluster("b", "lost"), cluster("empty"))
    start = trio.current_time()
    await run.start(nursery)
    assert trio.current_time() - start == 0.25
    assert run.hosts("a") == ["10.0.0.1:80"]


@discovery
async def test_changes_during_a_publication_go_into_the_next_one(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results = {name: found(f"10.0.0.{number}") for number, name in enumerate("abc")}
    run = Run(zone, *(cluster(name, name, refresh_rate=rate) for name, rate in (("a", 1.0), ("b", 1.5), ("c", 2.0))))
    await run.start(nursery)
    assert len(run.published) == 1  # all three at once
    run.publish_takes = 10.0
    zone.results = {name: found(f"10.0.1.{number}") for number, name in enumerate("abc")}
    await trio.sleep(30)
    assert [run.hosts(name) for name in "abc"] == [["10.0.1.0:80"], ["10.0.1.1:80"], ["10.0.1.2:80"]]
    assert [endpoints.version for _, endpoints in run.published] == [4, 5, 6]


@discovery
async def test_slots_are_given_and_reused(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results["web"] = found("10.0.0.1", "10.0.0.2")
    run = Run(zone, cluster("c", "web", "web"))

    def slots() -> list[int]:
        return [host.slot for place in run.published[-1][1].clusters["c"].localities for host in place.hosts]

    await run.start(nursery)
    assert slots() == [1, 2, 1, 2]  # both names lead to the same two hosts
    zone.results["web"] = found("10.0.0.2", "10.0.0.3")
    await trio.sleep(6)
    assert sorted(set(slots())) == [2, 3]
    run.rows.hosts.acknowledged(run.published[-1][1].version)
    zone.results["web"] = found("10.0.0.2", "10.0.0.4")
    await trio.sleep(6)
    assert sorted(set(slots())) == [1, 2]
    assert run.rows.hosts.take_reused() == {1}
    assert run.rows.hosts.rows == 4


@discovery
async def test_a_new_controller_keeps_what_its_predecessor_found(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results = {"a": found("10.0.0.1"), "b": found("10.0.0.2")}
    first = Run(zone, cluster("c", "a", "b"))
    await first.start(nursery)
    zone.results = {"a": found("10.0.0.3"), "b": LOST}
    second = Run(zone, cluster("c", "a", "b"))
    second.first = first.published[-1][1]
    second.rows = Rows(second.first, host_rows=first.rows.hosts.rows)
    await second.start(nursery)
    assert second.hosts("c") == ["10.0.0.3:80", "10.0.0.2:80"]
    assert second.published[-1][1].version == second.first.version + 1
    zone.results["b"] = found("10.0.0.2")
    third = Run(zone, cluster("c", "a", "b"))
    third.first = second.published[-1][1]
    await third.start(nursery)
    assert third.published == []
    assert third.counted("c")["update_no_rebuild"] == 2


def test_a_failure_is_logged_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dns")

    @discovery
    async def fail_and_recover(nursery: trio.Nursery) -> None:
        zone = Zone()
        zone.results = {"web": Failed(Failure.TIMEOUT, "web.a.test: asked 10.0.0.53"), "old": NONE}
        run = Run(zone, cluster("c", "web"), cluster("l", "old", kind="LOGICAL_DNS"))
        await run.start(nursery)
        await trio.sleep(60)
        zone.results["web"] = found("10.0.0.1")
        await trio.sleep(60)

    fail_and_recover()
    lost, empty, recovered = (
        "cluster c: web: no server answered in time (web.a.test: asked 10.0.0.53); its hosts stay as they are",
        "cluster l: old: no addresses; its hosts stay as they are",
        "cluster c: web resolves again",
    )
    messages = [record.getMessage() for record in caplog.records]
    assert sorted(messages[:2]) == [lost, empty]  # both begin at once
    assert messages[2:] == [recovered]


@discovery
async def test_without_dns_clusters_it_starts_at_once(nursery: trio.Nursery) -> None:
    run = Run(Zone(), Cluster(name="static", type="STATIC"))
    await run.start(nursery)
    assert run.published == []


@discovery
async def test_another_configuration_keeps_what_it_knows_and_warms_what_is_new(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results = {"a": found("10.0.0.1"), "b": found("10.0.0.2")}
    run = Run(zone, cluster("kept", "a"), cluster("gone", "a"))
    await run.start(nursery)
    before, asked = run.discovery.endpoints, len(zone.lookups)
    static = ClusterEndpoints("fresh", 1, (LocalityHosts(0, (Host(0, SocketAddress("10.1.1.1", 1)),)),), 0)
    config = CompiledConfig(
        version=2,
        node=Node(),
        listeners=(),
        clusters=(Cluster("fresh", "STATIC"), cluster("new", "b"), cluster("kept", "a")),
        endpoints=Endpoints(1, {"fresh": static, **{name: ClusterEndpoints(name, 1, ()) for name in ("new", "kept")}}),
    )
    following = await run.discovery.follow(config, warm_within=5.0)
    hosts = following.endpoints.clusters
    assert hosts["kept"] is before.clusters["kept"]
    assert [name for _, name in zone.lookups[asked:]] == ["b"]
    assert str(hosts["new"].localities[0].hosts[0].address) == "10.0.0.2:80"
    used = {host.slot for each in before.clusters.values() for place in each.localities for host in place.hosts}
    assert {hosts[name].localities[0].hosts[0].slot for name in ("fresh", "new")}.isdisjoint(used)
    assert len({each.slot for each in [*hosts.values(), before.clusters["gone"]]}) == 4
    assert run.discovery.endpoints is before
    run.discovery.commit(following)
    assert run.discovery.endpoints is following.endpoints
    zone.results["b"] = found("10.0.0.3")
    await trio.sleep(6)
    assert run.hosts("new") == ["10.0.0.3:80"]
    assert "gone" not in run.published[-1][1].clusters


@discovery
async def test_a_configuration_that_is_dropped_leaves_nothing(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results = {"a": found("10.0.0.1"), "b": LOST}
    run = Run(zone, cluster("kept", "a"))
    await run.start(nursery)
    before = run.discovery.endpoints
    names = {"kept": cluster("kept", "a"), "new": cluster("new", "b")}
    endpoints = Endpoints(1, {name: ClusterEndpoints(name, 1, ()) for name in names})
    config = CompiledConfig(version=2, node=Node(), listeners=(), clusters=tuple(names.values()), endpoints=endpoints)
    following = await run.discovery.follow(config, warm_within=5.0)
    zone.results["a"] = found("10.0.0.9")
    await trio.sleep(6)
    assert run.discovery.endpoints is before  # nothing is published meanwhile
    run.discovery.abort(following)
    await trio.sleep(1)
    assert run.hosts("kept") == ["10.0.0.9:80"]
    assert set(run.discovery.endpoints.clusters) == set(before.clusters)
