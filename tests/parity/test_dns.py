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
from master.dns.refresh import Discovery
from master.dns.rows import Rows
from proxy.config.cluster import Endpoints
from proxy.config.dns import LookupFamily
from proxy.stats import MemoryStats
from tests.kit.config import compiled
from tests.kit.dns_server import DnsServer
from tests.kit.envoy import Envoy
from tests.kit.process import wait_for
from tests.parity.rules import of

pytestmark = pytest.mark.parity(
    "rule 70",
    *of(
        "config.cluster.v3.Cluster",
        "type",
        "cluster_type",
        "dns_lookup_family",
        "dns_refresh_rate",
        "typed_dns_resolver_config",
    ),
    *of(
        "extensions.clusters.dns.v3.DnsCluster",
        "dns_lookup_family",
        "dns_refresh_rate",
        "typed_dns_resolver_config",
        "all_addresses_in_single_endpoint",
    ),
)
COUNTERS = ("update_attempt", "update_success", "update_failure", "update_empty", "update_no_rebuild")
TYPES = "type.googleapis.com/envoy.extensions"
LONG = 1_000.0  # seconds between lookups: both sides look once


class Case(NamedTuple):
    """One cluster; `names` are (name, weight). `custom`: as a `cluster_type`; `library`: by getaddrinfo."""

    kind: ClusterType
    family: LookupFamily
    names: tuple[tuple[str, int], ...]
    custom: bool = False
    library: bool = False


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
    "logical_all": Case("LOGICAL_DNS", "ALL", (("both.example", 1),)),
    "custom": Case("STRICT_DNS", "V4_PREFERRED", (("two.example", 5), ("bad.example", 1)), custom=True),
    "custom_logical": Case("LOGICAL_DNS", "V4_ONLY", (("two.example", 5),), custom=True),
    "library_four": Case("STRICT_DNS", "V4_ONLY", (("localhost", 1),), library=True),
    "library_all": Case("STRICT_DNS", "ALL", (("localhost", 1),), library=True),
    "library_no_name": Case("STRICT_DNS", "V4_ONLY", (("nowhere.invalid", 1),), library=True),
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
    clusters = [_cluster(name, case, port, refresh) for name, case in cases.items()]
    return yaml.safe_dump({"static_resources": {"clusters": clusters}})


def _cluster(name: str, case: Case, port: int, refresh: float) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "dns_lookup_family": case.family,
        "dns_refresh_rate": f"{refresh:g}s",
        "typed_dns_resolver_config": {"name": "resolver", "typed_config": _resolver(case, port)},
    }
    cluster = {
        "name": name,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": _endpoints(case)}]},
    }
    if not case.custom:
        return {**cluster, **fields, "type": case.kind}
    single = case.kind == "LOGICAL_DNS"
    config = {"@type": f"{TYPES}.clusters.dns.v3.DnsCluster", **fields, "all_addresses_in_single_endpoint": single}
    return {**cluster, "cluster_type": {"name": "envoy.cluster.dns", "typed_config": config}}


def _resolver(case: Case, port: int) -> dict[str, Any]:
    if case.library:
        return {
            "@type": f"{TYPES}.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig",
            "num_retries": 1,
        }
    return {
        "@type": f"{TYPES}.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": port}}],
        "dns_resolver_options": {"no_default_search_domain": True},
    }


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


def of_ours(port: int) -> dict[str, Seen]:
    stats = MemoryStats()
    config = compiled(bootstrap(port, CASES, LONG))
    published = [config.endpoints]

    async def publish(endpoints: Endpoints) -> None:
        published.append(endpoints)

    def done(name: str) -> int:
        return stats.value(f"cluster.{name}.update_success") + stats.value(f"cluster.{name}.update_failure")

    async def look() -> None:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                rows = Rows(config.endpoints)
                await nursery.start(Discovery(config, config.endpoints, stats, publish, rows=rows).run)
                while any(done(name) < len(case.names) for name, case in CASES.items()):  # noqa: ASYNC110 - counters
                    await trio.sleep(0.01)
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
def both() -> tuple[dict[str, Seen], dict[str, Seen]]:
    with DnsServer() as server:
        serve(server)
        return of_envoy(server.port), of_ours(server.port)


@pytest.mark.parametrize("case", CASES)
def test_the_same_hosts_and_counts(case: str, both: tuple[dict[str, Seen], dict[str, Seen]]) -> None:
    envoy, ours = both
    assert ours[case] == envoy[case]


LATER = "later.example"
STEPS: tuple[tuple[tuple[str, ...], dns.rcode.Rcode | None], ...] = (
    (("127.0.0.1", "127.0.0.2"), None),
    (("127.0.0.1", "127.0.0.2"), dns.rcode.SERVFAIL),  # what was found stays
    (("127.0.0.1", "127.0.0.2", "127.0.0.3"), None),
    (("127.0.0.1", "127.0.0.3", "127.0.0.2"), None),  # which is news of a single host alone
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
        with Envoy(bootstrap(server.port, {"later": case}, 0.05)) as envoy:
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


async def steps_of_ours(case: Case) -> tuple[list[list[str]], int]:
    stats = MemoryStats()
    published: list[Endpoints] = []
    hosts: list[list[str]] = []

    async def publish(endpoints: Endpoints) -> None:
        published.append(endpoints)

    def lookups() -> int:
        return _lookups({name: word.value for name, word in stats.words.items()})

    with DnsServer() as server, trio.fail_after(60):
        take_step(server, *STEPS[0])
        config = compiled(bootstrap(server.port, {"later": case}, 0.05))
        rows = Rows(config.endpoints)
        async with trio.open_nursery() as nursery:
            await nursery.start(Discovery(config, config.endpoints, stats, publish, rows=rows).run)
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
def test_what_becomes_of_hosts_later(kind: ClusterType) -> None:
    case = Case(kind, "V4_ONLY", ((LATER, 1),))
    assert trio.run(steps_of_ours, case) == steps_of_envoy(case)
