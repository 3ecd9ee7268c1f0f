"""STRICT_DNS and LOGICAL_DNS against the real Envoy: the same names and name server, the same hosts and counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import dns.rcode
import pytest
import trio
import trio.testing
import yaml

from master.dns.family import LookupFamily
from master.dns.refresh import discover
from master.dns.resolver import Resolver
from master.dns.result import Result
from master.dns.slots import SlotAllocator
from proxy.config.bootstrap import CompiledConfig, Node
from proxy.config.cluster import Cluster, Dns, DnsEndpoint, DnsLocality, Endpoints
from proxy.stats import MemoryStats
from tests.kit.dns_server import DnsServer
from tests.kit.envoy import Envoy
from tests.kit.process import wait_for

pytestmark = pytest.mark.parity("config.cluster.v3.Cluster.DiscoveryType")
COUNTERS = ("update_attempt", "update_success", "update_failure", "update_empty", "update_no_rebuild")
LONG = 1_000.0  # seconds between lookups: both sides look once


class Case(NamedTuple):
    """One cluster; `names` are (name, weight)."""

    kind: str
    family: str
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


def bootstrap(port: int) -> str:
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
            "dns_refresh_rate": f"{LONG:g}s",
            "typed_dns_resolver_config": resolver,
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": _endpoints(case)}]},
        }
        for name, case in CASES.items()
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


class Seen(NamedTuple):
    """(address, weight, hostname) of each host, and the counters."""

    hosts: list[tuple[str, int, str]]
    counters: dict[str, int]


def of_envoy(port: int) -> dict[str, Seen]:
    with Envoy(bootstrap(port)) as envoy:

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
    clusters = tuple(
        Cluster(
            slot=number,
            name=name,
            type=case.kind,  # type: ignore[arg-type]
            dns=Dns(
                localities=(DnsLocality(0, tuple(DnsEndpoint(dns, 80, weight=weight) for dns, weight in case.names)),),
                lookup_family=case.family,  # type: ignore[arg-type]
                refresh_rate=LONG,
                failure_refresh_base=LONG,
                failure_refresh_max=LONG,
            ),
        )
        for number, (name, case) in enumerate(CASES.items())
    )
    empty = Endpoints(version=0, clusters={})
    stats = MemoryStats()
    config = CompiledConfig(version=1, node=Node(), listeners=(), clusters=clusters, endpoints=empty)
    published = [empty]

    async def publish(endpoints: Endpoints) -> None:
        published.append(endpoints)

    async def look() -> None:
        resolver = Counted(
            Resolver(resolv_conf_path=resolv_conf, port=port), sum(len(case.names) for case in CASES.values())
        )
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:

                async def run(*, task_status: trio.TaskStatus[None]) -> None:
                    slots = SlotAllocator(empty)
                    await discover(
                        config, empty, stats, publish, slots=slots, resolver=resolver, task_status=task_status
                    )

                await nursery.start(run)
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
