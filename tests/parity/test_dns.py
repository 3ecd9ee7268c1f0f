"""STRICT_DNS and LOGICAL_DNS against the real Envoy: the same names and name server, the same hosts and counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import dns.rcode
import pytest
import trio
import trio.testing
import yaml

from master.dns.discovery import ClusterType
from master.dns.family import LookupFamily
from master.dns.refresh import Discovery
from master.dns.resolver import Resolver
from master.dns.result import Result
from master.dns.rows import Rows
from proxy.config.bootstrap import CompiledConfig, Node
from proxy.config.cluster import Cluster, Dns, DnsEndpoint, DnsLocality, Endpoints
from proxy.stats import MemoryStats
from tests.kit.dns_server import DnsServer
from tests.kit.envoy import Envoy
from tests.kit.process import wait_for
from tests.parity.rules import of

pytestmark = pytest.mark.parity(
    "rule 70",
    *of("config.cluster.v3.Cluster", "type", "dns_lookup_family", "dns_refresh_rate", "typed_dns_resolver_config"),
)
COUNTERS = ("update_attempt", "update_success", "update_failure", "update_empty", "update_no_rebuild")
LONG = 1_000.0  # seconds between lookups: both sides look once


class Case(NamedTuple):
    """One cluster; `names` are (name, weight)."""

    kind: ClusterType
    family: LookupFamily
    names: tuple[tuple[str, int], ...]


def _hosts_name() -> str:
    """A name of this machine's hosts file that is not localhost."""
    for line in Path("/etc/hosts").read_text().splitlines():
        fields = line.partition("#")[0].split()
        if len(fields) > 1 and "localhost" not in fields[1] and ":" not in fields[0]:
            return fields[1]
    return "localhost"


CASES: dict[str, Case] = {
    "two_addresses": Case("STRICT_DNS", "V4_ONLY", (("two.example", 5),)),
    "two_names": Case("STRICT_DNS", "V4_ONLY", (("two.example", 2), ("one.example", 3))),
    "twice_the_same": Case("STRICT_DNS", "V4_ONLY", (("one.example", 1), ("alias.example", 1))),
    "logical": Case("LOGICAL_DNS", "V4_ONLY", (("two.example", 1),)),
    "no_name": Case("STRICT_DNS", "V4_ONLY", (("nowhere.example", 1),)),
    "no_record": Case("STRICT_DNS", "V4_ONLY", (("six.example", 1),)),
    "failing": Case("STRICT_DNS", "V4_ONLY", (("bad.example", 1),)),
    "logical_no_name": Case("LOGICAL_DNS", "V4_ONLY", (("nowhere.example", 1),)),
    "logical_failing": Case("LOGICAL_DNS", "V4_ONLY", (("bad.example", 1),)),
    "auto_both": Case("STRICT_DNS", "AUTO", (("both.example", 1),)),
    "auto_four": Case("STRICT_DNS", "AUTO", (("one.example", 1),)),
    "preferred_both": Case("STRICT_DNS", "V4_PREFERRED", (("both.example", 1),)),
    "preferred_six": Case("STRICT_DNS", "V4_PREFERRED", (("six.example", 1),)),
    "six_only": Case("STRICT_DNS", "V6_ONLY", (("both.example", 1),)),
    "all_both": Case("STRICT_DNS", "ALL", (("both.example", 1),)),
    "localhost_four": Case("STRICT_DNS", "V4_ONLY", (("localhost", 1),)),
    "localhost_auto": Case("STRICT_DNS", "AUTO", (("localhost", 1),)),
    "hosts_file": Case("STRICT_DNS", "V4_ONLY", ((_hosts_name(), 1),)),
    "numeric": Case("STRICT_DNS", "V4_ONLY", (("127.0.0.9", 1),)),
}


def serve(server: DnsServer) -> None:
    server.add("two.example", "A", "127.0.0.1", "127.0.0.2")
    server.add("one.example", "A", "127.0.0.3")
    server.add("alias.example", "CNAME", "one.example.")
    server.add("six.example", "AAAA", "fd00::6")
    server.add("both.example", "A", "127.0.0.4")
    server.add("both.example", "AAAA", "fd00::4")
    server.fail("bad.example", dns.rcode.SERVFAIL)


def bootstrap(port: int, cases: dict[str, Case], refresh: float) -> str:
    resolver = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": port}}],
            "dns_resolver_options": {"no_default_search_domain": True},
        },
    }
    clusters = [
        {
            "name": name,
            "type": case.kind,
            "dns_lookup_family": case.family,
            "dns_refresh_rate": f"{refresh:g}s",
            "typed_dns_resolver_config": resolver,
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": _endpoints(case)}]},
        }
        for name, case in cases.items()
    ]
    return yaml.safe_dump({"static_resources": {"clusters": clusters}})


def _endpoints(case: Case) -> list[dict[str, Any]]:
    return [
        {
            "load_balancing_weight": weight,
            "endpoint": {"address": {"socket_address": {"address": name, "port_value": 80}}},
        }
        for name, weight in case.names
    ]


def compiled(cases: dict[str, Case], refresh: float) -> CompiledConfig:
    """What the compiler makes of `bootstrap`."""
    clusters = tuple(
        Cluster(
            name=name,
            type=case.kind,
            dns=Dns(
                localities=(DnsLocality(0, tuple(DnsEndpoint(dns, 80, weight=weight) for dns, weight in case.names)),),
                lookup_family=case.family,
                refresh_rate=refresh,
                failure_refresh_base=refresh,
                failure_refresh_max=refresh,
            ),
        )
        for name, case in cases.items()
    )
    empty = Endpoints(version=0, clusters={})
    return CompiledConfig(version=1, node=Node(), listeners=(), clusters=clusters, endpoints=empty)


class Seen(NamedTuple):
    """(address, weight, hostname) of each host, and the counters."""

    hosts: list[tuple[str, int, str]]
    counters: dict[str, int]


def of_envoy(port: int) -> dict[str, Seen]:
    with Envoy(bootstrap(port, CASES, LONG)) as envoy:

        def settled() -> bool:
            stats = envoy.stats()
            return all(
                stats[f"cluster.{name}.update_success"] + stats[f"cluster.{name}.update_failure"] >= len(case.names)
                for name, case in CASES.items()
            )

        wait_for(settled, deadline=60, what="Envoy has looked every name up")
        stats = envoy.stats()
        found: dict[str, Seen] = {}
        for cluster in json.loads(envoy.admin("/clusters?format=json").body)["cluster_statuses"]:
            name = cluster["name"]
            hosts = [
                (host["address"]["socket_address"]["address"], int(host["weight"]), host.get("hostname", ""))
                for host in cluster.get("host_statuses", [])
            ]
            found[name] = Seen(sorted(hosts), {counter: stats[f"cluster.{name}.{counter}"] for counter in COUNTERS})
        return found


class Counted:
    """A resolver that tells when it has finished so many lookups."""

    def __init__(self, inner: Resolver, lookups: int) -> None:
        self._inner = inner
        self._left = lookups
        self.done = trio.Event()

    async def lookup(self, name: str, family: LookupFamily) -> Result:
        result = await self._inner.lookup(name, family)
        self._left -= 1
        if not self._left:
            self.done.set()
        return result


def of_ours(port: int, directory: Path) -> dict[str, Seen]:
    resolv_conf = directory / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.1\nsearch .\n")
    empty = Endpoints(version=0, clusters={})
    stats = MemoryStats()
    config = compiled(CASES, LONG)
    published = [empty]

    async def publish(endpoints: Endpoints) -> None:
        published.append(endpoints)

    async def look() -> None:
        resolver = Counted(
            Resolver(resolv_conf_path=resolv_conf, port=port), sum(len(case.names) for case in CASES.values())
        )
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                found = Discovery(config, empty, stats, publish, rows=Rows(empty), resolver=resolver)
                await nursery.start(found.run)
                await resolver.done.wait()
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()

    trio.run(look)
    found: dict[str, Seen] = {}
    for name in CASES:
        cluster = published[-1].clusters.get(name)
        hosts = [
            (str(host.address).rpartition(":")[0].strip("[]"), host.weight, host.hostname)
            for place in (cluster.localities if cluster else ())
            for host in place.hosts
        ]
        counters = {counter: stats.value(f"cluster.{name}.{counter}") for counter in COUNTERS}
        found[name] = Seen(sorted(hosts), counters)
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Seen], dict[str, Seen]]:
    with DnsServer() as server:
        serve(server)
        return of_envoy(server.port), of_ours(server.port, tmp_path_factory.mktemp("dns"))


@pytest.mark.parametrize("case", CASES)
def test_the_same_hosts_and_counts(case: str, both: tuple[dict[str, Seen], dict[str, Seen]]) -> None:
    envoy, ours = both
    assert ours[case] == envoy[case]


LATER = "later.example"
STEPS: tuple[tuple[tuple[str, ...], dns.rcode.Rcode | None], ...] = (
    (("127.0.0.1", "127.0.0.2"), None),
    (("127.0.0.1", "127.0.0.2"), dns.rcode.SERVFAIL),  # what was found stays
    (("127.0.0.3",), None),
    ((), None),
    (("127.0.0.3",), None),
)


def take_step(server: DnsServer, addresses: tuple[str, ...], rcode: dns.rcode.Rcode | None) -> None:
    server.add(LATER, "A", *addresses, ttl=0)
    server.fail(LATER, rcode)


def steps_of_envoy(case: Case) -> tuple[list[list[str]], int]:
    """The hosts after each step, and `membership_change` at the end."""
    hosts: list[list[str]] = []
    with DnsServer() as server:
        take_step(server, *STEPS[0])
        with Envoy(bootstrap(server.port, {"later": case}, 0.1)) as envoy:
            for step in STEPS:
                take_step(server, *step)
                done = _lookups(envoy.stats())
                # The first lookup to end may have begun before the step.
                wait_for(lambda done=done: _lookups(envoy.stats()) >= done + 2, deadline=30, what="two more lookups")
                (cluster,) = json.loads(envoy.admin("/clusters?format=json").body)["cluster_statuses"]
                found = [host["address"]["socket_address"]["address"] for host in cluster.get("host_statuses", [])]
                hosts.append(sorted(found))
            return hosts, envoy.stats()["cluster.later.membership_change"]


def _lookups(stats: Mapping[str, int]) -> int:
    return stats["cluster.later.update_success"] + stats["cluster.later.update_failure"]


async def steps_of_ours(case: Case, directory: Path) -> tuple[list[list[str]], int]:
    resolv_conf = directory / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.1\nsearch .\n")
    config, stats = compiled({"later": case}, 0.1), MemoryStats()
    published = [config.endpoints]
    hosts: list[list[str]] = []

    async def publish(endpoints: Endpoints) -> None:
        published.append(endpoints)

    def lookups() -> int:
        return _lookups({name: word.value for name, word in stats.words.items()})

    with DnsServer() as server, trio.fail_after(60):
        take_step(server, *STEPS[0])
        resolver = Resolver(resolv_conf_path=resolv_conf, port=server.port)
        rows = Rows(config.endpoints)
        async with trio.open_nursery() as nursery:
            found = Discovery(config, config.endpoints, stats, publish, rows=rows, resolver=resolver)
            await nursery.start(found.run)
            for step in STEPS:
                take_step(server, *step)
                done = lookups()
                while lookups() < done + 2:  # noqa: ASYNC110 - a counter wakes nobody
                    await trio.sleep(0.01)
                places = published[-1].clusters["later"].localities
                hosts.append(sorted(str(host.address).partition(":")[0] for place in places for host in place.hosts))
            nursery.cancel_scope.cancel()
    return hosts, stats.value("cluster.later.membership_change")


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_what_becomes_of_hosts_later(kind: ClusterType, tmp_path: Path) -> None:
    case = Case(kind, "V4_ONLY", ((LATER, 1),))
    assert trio.run(steps_of_ours, case, tmp_path) == steps_of_envoy(case)
