"""What a start waits for, and when names are asked for again."""

import itertools

import trio

from proxy.config.cluster import Cluster, Dns, DnsEndpoint, DnsLocality
from tests.unit.master.dns.test_refresh import LOST, Run, Zone, discovery, found


def cluster(name: str, dns: Dns) -> Cluster:
    return Cluster(name, "STRICT_DNS", dns=dns)


def names(*names: str) -> tuple[DnsLocality, ...]:
    return (DnsLocality(0, tuple(DnsEndpoint(name, 80) for name in names)),)


@discovery
async def test_a_cluster_that_does_not_warm_is_waited_for_by_nobody(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results = {"web": found("10.0.0.1")}
    run = Run(zone, cluster("c", Dns(names("web"), warms=False)))
    start = trio.current_time()
    await run.start(nursery)
    assert trio.current_time() == start
    assert run.published == []
    await trio.sleep(1)
    assert run.hosts("c") == ["10.0.0.1:80"]


@discovery
async def test_names_that_are_found_are_asked_for_again_with_jitter(nursery: trio.Nursery) -> None:
    zone = Zone()
    zone.results = {"web": found("10.0.0.1"), "lost": LOST}
    run = Run(zone, cluster("c", Dns(names("web", "lost"), jitter=2.0)))
    await run.start(nursery)
    await trio.sleep(1_000)
    between = {
        name: [round(later - at, 3) for at, later in itertools.pairwise(moments)]
        for name in ("web", "lost")
        for moments in [[at for at, asked in zone.lookups if asked == name]]
    }
    assert 5.25 <= min(between["web"]) < 5.5
    assert 7.0 < max(between["web"]) < 7.25
    assert set(between["lost"]) == {5.25}
